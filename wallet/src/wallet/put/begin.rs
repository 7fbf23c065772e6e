//! What is decided about a file before its first part is paid, and when an upload is given up.

use std::{fs::File, io::Read, path::Path};

use scrip_protocol::{
    address::RelayAddress,
    resource::{PriceList, SizeClass},
};
use sha2::{Digest, Sha256};

use super::{PutOptions, parts::chunk_of};
use crate::{
    error::WalletError,
    file::{INLINE_MAX, Piece, descriptor_length, fitting_class, is_plain_name, pieces},
    link::{FileLink, fits_link},
    records::{Blob, LeaseRecord, UploadId, UploadRecord},
    secret::Secret,
    store::{Changes, Record},
    wallet::{Wallet, apart},
};

impl Wallet {
    /// An open upload of this very file that can go on.
    pub(super) async fn begun(
        &self,
        path: &Path,
        digest: &[u8],
        options: &PutOptions,
    ) -> Result<Option<UploadRecord>, WalletError> {
        let wanted = wanted(options);
        let is_same = |upload: &UploadRecord| {
            upload.link.is_none()
                && upload.path == path
                && upload.digest.0 == digest
                && upload.days == options.days
                && upload.relays.len() == usize::from(options.copies)
                && (wanted.is_empty() || sorted(&upload.relays) == wanted)
        };
        let uploads = self.store.all::<UploadRecord>().await?;
        for upload in uploads.into_iter().filter(is_same) {
            if !self.has_ended(&upload.id).await? {
                return Ok(Some(upload));
            }
            self.give_up(&upload).await?;
            self.watch().warn(WalletError::UploadGivenUp(upload.path).to_string());
        }
        Ok(None)
    }

    /// Decides on key and relays, once it is certain that all that is stored can be found again.
    pub(super) async fn begin_upload(
        &self,
        path: &Path,
        size: u64,
        digest: &[u8],
        options: &PutOptions,
    ) -> Result<UploadRecord, WalletError> {
        let name = name_of(path)?;
        let pieces = pieces_of(size)?;
        let price = |prices: &PriceList| price_of(prices, &pieces);
        let copies = usize::from(options.copies);
        let from = self.choosable(options.doubtful, options.when).await;
        let candidates =
            self.candidates(&wanted(options), copies, options.days, from, price).await?;
        let relays: Vec<RelayAddress> =
            candidates.into_iter().take(copies).map(|relay| relay.address).collect();
        if relays.len() < copies {
            return Err(WalletError::TooFewRelays { needed: copies, usable: relays.len() });
        }
        let mut entropy = self.environment.entropy.clone();
        let upload = UploadRecord {
            id: UploadId(u64::from_be_bytes(entropy.bytes())),
            name,
            path: path.to_owned(),
            size,
            digest: Blob(digest.to_vec()),
            days: options.days,
            relays,
            pace: options.pace,
            key: Secret::generate(&mut entropy),
            at: self.now(),
            link: None,
        };
        descriptor_class(&upload, &pieces)?;
        check_addresses(&upload.relays)?;
        self.store.commit(Changes::default().put(&upload)).await?;
        self.at("wallet.upload.recorded");
        Ok(upload)
    }

    /// Gives up an upload of which nothing is paid or was about to be; whether it was one.
    pub(super) async fn drop_unpaid(&self, id: &UploadId) -> Result<bool, WalletError> {
        let Some(upload) = self.store.get::<UploadRecord>(&id.0.to_be_bytes()).await? else {
            return Ok(true);
        };
        let places = self.places(id).await?;
        let unpaid = places.leases.is_empty() && places.open_payments.is_empty();
        if unpaid {
            self.give_up(&upload).await?;
        }
        Ok(unpaid)
    }

    /// Whether a lease of this upload has ended. Its chunk is gone, and another one must not be made: under this file key
    /// each nonce has been used.
    pub(in crate::wallet) async fn has_ended(
        &self,
        upload: &UploadId,
    ) -> Result<bool, WalletError> {
        let leases = self.store.all::<LeaseRecord>().await?;
        let of_upload =
            |lease: &&LeaseRecord| chunk_of(lease).is_some_and(|chunk| chunk.upload == *upload);
        Ok(leases.iter().filter(of_upload).any(|lease| !lease.is_live(self.now())))
    }

    /// Forgets an upload that cannot come to its end, and with it the file key. Its leases stay until they end.
    pub(super) async fn give_up(&self, upload: &UploadRecord) -> Result<(), WalletError> {
        self.store.commit(Changes::default().delete::<UploadRecord>(&upload.name())).await?;
        self.at("wallet.upload.given_up");
        Ok(())
    }
}

/// The relays that the copies shall go to, sorted; none where that is left to the wallet.
fn wanted(options: &PutOptions) -> Vec<RelayAddress> {
    let mut wanted = sorted(&options.relays);
    // Two copies on one relay are lost together.
    wanted.dedup();
    wanted.truncate(options.relays.len().min(options.copies.into()));
    wanted
}

fn sorted(relays: &[RelayAddress]) -> Vec<RelayAddress> {
    let mut relays = relays.to_vec();
    relays.sort();
    relays
}

/// All chunks of one copy but the descriptor; none for a file that its descriptor holds.
pub(super) fn pieces_of(size: u64) -> Result<Vec<Piece>, WalletError> {
    match size {
        0..=INLINE_MAX => Ok(Vec::new()),
        size => pieces(size).ok_or(WalletError::FileTooLarge),
    }
}

/// The size of the chunk that the descriptor will fill.
pub(super) fn descriptor_class(
    upload: &UploadRecord,
    pieces: &[Piece],
) -> Result<SizeClass, WalletError> {
    let length = descriptor_length(&upload.name, upload.size, &upload.relays, pieces.len());
    length.and_then(fitting_class).ok_or(WalletError::FileTooLarge)
}

/// Whether descriptor and link can name these relays.
fn check_addresses(relays: &[RelayAddress]) -> Result<(), WalletError> {
    if let Some(relay) = relays.iter().find(|relay| !fits_link(relay)) {
        return Err(WalletError::AddressTooLong(relay.clone().into()));
    }
    match FileLink::fits(relays) {
        true => Ok(()),
        false => Err(WalletError::LinkTooLong { copies: relays.len() }),
    }
}

/// What all chunks cost in 30 days. The descriptor is left out, which is small, and alike everywhere.
fn price_of(prices: &PriceList, pieces: &[Piece]) -> u64 {
    match pieces {
        [] => prices.chunk(SizeClass::K64).into(),
        _ => pieces.iter().map(|piece| u64::from(prices.chunk(piece.class))).sum(),
    }
}

fn name_of(path: &Path) -> Result<String, WalletError> {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_plain_name(name));
    name.map(str::to_owned).ok_or_else(|| WalletError::FileName(path.to_owned()))
}

/// Size and SHA-256 of a file.
pub(super) async fn measure(path: &Path) -> Result<(u64, Vec<u8>), WalletError> {
    let path = path.to_owned();
    apart(move || {
        let failed = || WalletError::io("read", &path);
        // A pipe or a device would be waited for, or never end.
        if !std::fs::metadata(&path).map_err(failed())?.is_file() {
            return Err(WalletError::NoRegularFile(path));
        }
        let mut file = File::open(&path).map_err(WalletError::io("open", &path))?;
        let mut sha = Sha256::new();
        let mut size: u64 = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).map_err(failed())? {
                0 => return Ok((size, sha.finalize().to_vec())),
                n => {
                    sha.update(&buffer[..n]);
                    size += n as u64;
                }
            }
        }
    })
    .await?
}
