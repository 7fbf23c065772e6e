//! Storing files: see [`crate::file`] for what lies on the relays.
//!
//! What is decided about a file (its key, its relays) is on disk first. Each part then goes its own way: sealed, paid for,
//! uploaded, each step recorded, so that an interrupted upload goes on where it was. Sealing is deterministic, and
//! the digest of a sealed chunk is on disk, within the paid request, before the chunk is sent: a part that is sealed again and
//! has another digest is not sent, because its file has changed and its nonce must not be used for anything else.

mod parts;
mod upload;

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use scrip_protocol::{
    address::RelayAddress,
    resource::{PriceList, SizeClass},
    time::UnixSeconds,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Doubtful, Wallet, apart};
use crate::{
    error::WalletError,
    file::{INLINE_MAX, is_plain_name, pieces},
    records::{Blob, UploadId, UploadRecord},
    secret::Secret,
    store::Changes,
};

/// How a file is stored.
#[derive(Clone, Debug)]
pub struct PutOptions {
    /// For how many days.
    pub days: u16,
    /// On how many relays.
    pub copies: u8,
    /// The relay of each copy, at least as many as there are copies; the cheapest where none is named.
    pub relays: Vec<RelayAddress>,
    /// Whether certificates in doubt may pay.
    pub doubtful: Doubtful,
}

impl Default for PutOptions {
    /// 30 days, one copy, the cheapest relay.
    fn default() -> Self {
        Self { days: 30, copies: 1, relays: Vec::new(), doubtful: Doubtful::Keep }
    }
}

/// A file that was stored.
#[derive(Clone, Debug, Serialize)]
pub struct Stored {
    /// Its name in this wallet.
    pub upload: UploadId,
    /// All that is needed to fetch it.
    pub link: String,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// How many chunks it has on each relay, the descriptor included.
    pub chunks: usize,
    /// The relay of each copy.
    pub relays: Vec<RelayAddress>,
    /// When the first of its leases ends.
    pub until: UnixSeconds,
}

/// A file that this wallet stored, or is storing.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// Its name in this wallet.
    pub upload: UploadId,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When its storing began.
    pub at: UnixSeconds,
    /// The relay of each copy.
    pub relays: Vec<RelayAddress>,
    /// All that is needed to fetch it, once it is stored completely.
    pub link: Option<String>,
}

impl Wallet {
    /// The files that were stored, the oldest first.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn files(&self) -> Result<Vec<FileReport>, WalletError> {
        let mut uploads = self.store.all::<UploadRecord>().await?;
        uploads.sort_by_key(|upload| (upload.at, upload.id));
        let report = |upload: UploadRecord| {
            let UploadRecord { id, name, size, at, relays, link, .. } = upload;
            FileReport { upload: id, name, size, at, relays, link }
        };
        Ok(uploads.into_iter().map(report).collect())
    }

    /// Stores a file. Where the same file was begun before with the same days and copies, that upload goes on, and nothing
    /// is paid twice.
    ///
    /// # Errors
    /// [`WalletError`]. What was paid until then is used when the upload goes on.
    pub async fn put_file(&self, path: &Path, options: PutOptions) -> Result<Stored, WalletError> {
        if options.copies == 0 {
            return Err(WalletError::Copies);
        }
        let path = std::fs::canonicalize(path).map_err(WalletError::io("open", path))?;
        let (size, digest) = measure(&path).await?;
        let upload = match self.begun(&path, &digest, &options).await? {
            Some(upload) => upload,
            None => self.begin_upload(path, size, digest, &options).await?,
        };
        self.finish_upload(upload, options.doubtful).await
    }

    /// Goes on with every upload that was begun.
    pub(super) async fn resume_uploads(
        &self,
        doubtful: Doubtful,
    ) -> Result<Vec<Result<Stored, WalletError>>, WalletError> {
        let mut results = Vec::new();
        for upload in self.store.all::<UploadRecord>().await? {
            if upload.link.is_none() {
                results.push(self.go_on(upload, doubtful).await);
            }
        }
        Ok(results)
    }

    async fn go_on(&self, upload: UploadRecord, doubtful: Doubtful) -> Result<Stored, WalletError> {
        let (_, digest) = measure(&upload.path).await?;
        if digest != upload.digest.0 {
            return Err(WalletError::FileChanged(upload.path));
        }
        self.finish_upload(upload, doubtful).await
    }

    /// An open upload of this very file.
    async fn begun(
        &self,
        path: &Path,
        digest: &[u8],
        options: &PutOptions,
    ) -> Result<Option<UploadRecord>, WalletError> {
        let uploads = self.store.all::<UploadRecord>().await?;
        Ok(uploads.into_iter().find(|upload| {
            upload.link.is_none()
                && upload.path == path
                && upload.digest.0 == digest
                && upload.days == options.days
                && upload.relays.len() == usize::from(options.copies)
        }))
    }

    async fn begin_upload(
        &self,
        path: PathBuf,
        size: u64,
        digest: Vec<u8>,
        options: &PutOptions,
    ) -> Result<UploadRecord, WalletError> {
        let classes = classes_of(size)?;
        let price = |prices: &PriceList| price_of(prices, &classes);
        let copies = usize::from(options.copies);
        let mut wanted = options.relays.clone();
        // Two copies on one relay are lost together.
        wanted.sort();
        wanted.dedup();
        let relays = self.candidates(&wanted, copies, options.days, price).await?;
        let mut entropy = self.environment.entropy.clone();
        let upload = UploadRecord {
            id: UploadId(u64::from_be_bytes(entropy.bytes())),
            name: name_of(&path)?,
            path,
            size,
            digest: Blob(digest),
            days: options.days,
            relays: relays
                .iter()
                .take(copies)
                .map(|relay| relay.client.address().clone())
                .collect(),
            key: Secret::generate(&mut entropy),
            at: self.now(),
            link: None,
        };
        self.store.commit(Changes::default().put(&upload)).await?;
        self.at("wallet.upload.recorded");
        Ok(upload)
    }
}

/// The sizes of all chunks of one copy but the descriptor; none for a file that its descriptor holds.
fn classes_of(size: u64) -> Result<Vec<SizeClass>, WalletError> {
    if size <= INLINE_MAX {
        return Ok(Vec::new());
    }
    let pieces = pieces(size).ok_or(WalletError::FileTooLarge)?;
    Ok(pieces.into_iter().map(|piece| piece.class).collect())
}

/// What all chunks cost in 30 days. The descriptor is left out, which is small, and alike everywhere.
fn price_of(prices: &PriceList, classes: &[SizeClass]) -> u64 {
    match classes {
        [] => prices.chunk(SizeClass::K64).into(),
        _ => classes.iter().map(|class| u64::from(prices.chunk(*class))).sum(),
    }
}

fn name_of(path: &Path) -> Result<String, WalletError> {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_plain_name(name));
    name.map(str::to_owned).ok_or_else(|| WalletError::FileName(path.to_owned()))
}

/// Size and SHA-256 of a file.
async fn measure(path: &Path) -> Result<(u64, Vec<u8>), WalletError> {
    let path = path.to_owned();
    apart(move || {
        let failed = || WalletError::io("read", &path);
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
