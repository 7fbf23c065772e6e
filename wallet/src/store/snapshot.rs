//! All records at one moment, as one sealed file: a backup.
//!
//! ```text
//! "scripbak" ‖ version 1 (u8) ‖ header of the key derivation (37) ‖ nonce ‖ ciphertext
//! ```
//!
//! Under the wallet's own passphrase. Inside, integers big-endian: `made (u64) ‖ id (16) ‖` for each record
//! `kind (u8) ‖ name on disk (16) ‖ length (u32) ‖ JSON`. One seal around everything: a record cannot be taken from another
//! backup, and how many there are of each kind does not show.

use std::{fs, io::Read, path::Path};

use scrip_protocol::time::UnixSeconds;
use scrip_runtime::{
    files,
    passphrase::Passphrase,
    sealed::{KdfHeader, SealingKey, open_with_key, seal_with_key},
};
use zeroize::Zeroizing;

use super::{
    Kind, NAME_KEY, NameKey, Plain, Record, Store, StoreError, context, damaged, derive, parse,
    record,
};
use crate::secret::Secret;

const MAGIC: &[u8; 9] = b"scripbak\x01";
const CONTEXT: &[u8] = b"wallet backup";
/// Hundreds of thousands of certificates.
const MAX_BACKUP: u64 = 256 << 20;
const ROW_HEAD: usize = 1 + 16 + 4;

/// Kind, name on disk, JSON.
pub(super) type PlainRow = (Kind, [u8; 16], Plain);

/// Every record of a wallet file.
pub(crate) struct Snapshot {
    /// When it was taken.
    pub(crate) made: UnixSeconds,
    /// Chance: tells one backup from another.
    pub(crate) id: [u8; 16],
    rows: Vec<PlainRow>,
}

/// A backup that its passphrase opened.
pub(crate) struct OpenBackup {
    pub(crate) snapshot: Snapshot,
    pub(super) header: KdfHeader,
    pub(super) key: SealingKey,
}

impl Store {
    /// Every record at this moment.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]: a wallet that cannot be read is not backed up as if it could.
    pub(crate) async fn snapshot(&self, made: UnixSeconds) -> Result<Snapshot, StoreError> {
        let mut rows = Vec::new();
        for (kind, id, sealed) in self.database.everything().await? {
            let known = u8::try_from(kind).ok().and_then(Kind::from_code);
            let kind =
                known.ok_or(StoreError::Newer { found: kind, known: Kind::ALL.len() as i64 })?;
            let id: [u8; 16] = id.try_into().unwrap_or_default();
            let plain = open_with_key(&self.key, &context(kind, &id), &sealed)
                .map_err(|error| damaged(kind, &error))?;
            rows.push((kind, id, plain));
        }
        Ok(Snapshot { made, id: self.entropy.bytes(), rows })
    }

    /// Writes a snapshot to a file, durably, and reads it back. An existing file is replaced only where `overwrite` is set;
    /// until the new one is complete, the old one stays.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Backup`].
    pub(crate) fn write_backup(
        &self,
        snapshot: &Snapshot,
        path: &Path,
        overwrite: bool,
    ) -> Result<(), StoreError> {
        let plain = snapshot.encode();
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&self.header.encode());
        file.extend(seal_with_key(&self.key, CONTEXT, &plain, &mut self.entropy.clone()));
        let bad = |reason| StoreError::Backup { path: path.to_owned(), reason };
        if file.len() as u64 > MAX_BACKUP {
            return Err(bad("the wallet is too large for one"));
        }
        match overwrite {
            true => files::replace_atomically(path, &file)?,
            false => files::write_new_private(path, &file)?,
        }
        let (_, sealed) = split(path, &read(path)?)?;
        let again = open_with_key(&self.key, CONTEXT, &sealed)
            .map_err(|_| bad("it does not read back as it was written"))?;
        if again == plain { Ok(()) } else { Err(bad("it does not read back as it was written")) }
    }
}

impl OpenBackup {
    /// Reads a backup.
    ///
    /// # Errors
    /// [`StoreError::Backup`], [`StoreError::WrongPassphrase`].
    pub(crate) async fn read(path: &Path, passphrase: Passphrase) -> Result<Self, StoreError> {
        let (header, sealed) = split(path, &read(path)?)?;
        let key = derive(passphrase, header.clone()).await?;
        let plain = open_with_key(&key, CONTEXT, &sealed)
            .map_err(|_| StoreError::WrongPassphrase(path.to_owned()))?;
        let reason = "it is cut short, or was written by a newer release";
        let bad = || StoreError::Backup { path: path.to_owned(), reason };
        Ok(Self { snapshot: Snapshot::decode(&plain).ok_or_else(bad)?, header, key })
    }
}

impl Snapshot {
    /// The records of a kind.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(crate) fn all<R: Record>(&self) -> Result<Vec<R>, StoreError> {
        let of_kind = self.rows.iter().filter(|(kind, ..)| *kind == R::KIND);
        of_kind.map(|(kind, _, plain)| parse(*kind, plain)).collect()
    }

    /// Changes every record of a kind. Its name must stay.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(crate) fn change<R: Record>(&mut self, change: impl Fn(R) -> R) -> Result<(), StoreError> {
        for (kind, _, plain) in self.rows.iter_mut().filter(|(kind, ..)| *kind == R::KIND) {
            *plain = record::encode(*kind, &change(parse(*kind, plain)?))?;
        }
        Ok(())
    }

    /// The key of the names, and all other records.
    pub(super) fn into_rows(self) -> Result<(Secret, Vec<PlainRow>), StoreError> {
        let (names, rows): (Vec<_>, Vec<_>) =
            self.rows.into_iter().partition(|(kind, ..)| *kind == Kind::NameKey);
        let (_, _, names) = names
            .into_iter()
            .find(|(_, id, _)| *id == NAME_KEY)
            .ok_or(StoreError::Damaged { kind: "name key", reason: "it is missing".to_owned() })?;
        let NameKey { key } = parse(Kind::NameKey, &names)?;
        Ok((key, rows))
    }

    fn encode(&self) -> Plain {
        let length: usize = self.rows.iter().map(|(.., plain)| ROW_HEAD + plain.len()).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(24 + length));
        out.extend_from_slice(&self.made.0.to_be_bytes());
        out.extend_from_slice(&self.id);
        for (kind, id, plain) in &self.rows {
            out.push(kind.code());
            out.extend_from_slice(id);
            // A record is far smaller than 4 GiB; one that is not would not read back.
            out.extend_from_slice(&(plain.len() as u32).to_be_bytes());
            out.extend_from_slice(plain);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (made, rest) = bytes.split_first_chunk()?;
        let (id, mut rest) = rest.split_first_chunk()?;
        let mut rows = Vec::new();
        while let Some((kind, after)) = rest.split_first() {
            let (id, after) = after.split_first_chunk()?;
            let (length, after) = after.split_first_chunk()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (plain, after) = after.split_at_checked(length)?;
            rows.push((Kind::from_code(*kind)?, *id, Plain::new(plain.to_vec())));
            rest = after;
        }
        Some(Self { made: UnixSeconds(u64::from_be_bytes(*made)), id: *id, rows })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    let failed = |source| files::FileError::Io { action: "read", path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_BACKUP + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn split(path: &Path, bytes: &[u8]) -> Result<(KdfHeader, Vec<u8>), StoreError> {
    let bad = |reason| StoreError::Backup { path: path.to_owned(), reason };
    if bytes.len() as u64 > MAX_BACKUP {
        return Err(bad("it is too large"));
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or(bad("it does not begin as one"))?;
    let (header, sealed) = rest.split_at_checked(KdfHeader::LEN).ok_or(bad("it is cut short"))?;
    let header = KdfHeader::decode(header).map_err(|_| bad("its header is damaged"))?;
    Ok((header, sealed.to_vec()))
}
