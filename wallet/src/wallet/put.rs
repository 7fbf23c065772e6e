//! Storing files: see [`crate::file`] for what lies on the relays.
//!
//! What is decided about a file (its key, its relays) is on disk first. Each part then goes its own way: sealed, paid for,
//! uploaded, each step recorded, so that an interrupted upload goes on where it was. Sealing is deterministic, and
//! the digest of a sealed chunk is on disk, within the paid request, before the chunk is sent: a part that is sealed again and
//! has another digest is not sent, because its file has changed and its nonce must not be used for anything else. An upload
//! whose file has changed, or one of whose leases has ended, is given up; the next one has a new file key.
//!
//! Two relays must not see copies come in step. So the parts are taken in steps, each of which calls one relay: all chunks of a copy
//! ([`Pace::Together`]) or one of them ([`Pace::Apart`]), then the descriptors. After each, the rest waits for its own moment
//! ([`Wallet::tend`]), unless everything is wanted now.

mod again;
mod begin;
mod parts;
mod upload;

use std::{collections::BTreeMap, path::Path};

use scrip_protocol::{address::RelayAddress, credits::Credits, time::UnixSeconds};
use serde::Serialize;

use self::begin::measure;
use self::parts::chunk_of;
pub(super) use self::{again::AGAIN, parts::is_uploaded};
use super::{Doubtful, Wallet, relays::CHOICES};
use crate::{
    error::WalletError,
    privacy::{Pace, When},
    records::{LeaseRecord, UploadId, UploadRecord},
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
    /// How the chunks come to one relay.
    pub pace: Pace,
    /// Whether certificates that are not ripe may pay, and all parts are stored at once.
    pub when: When,
}

impl Default for PutOptions {
    /// 30 days, one copy, the cheapest relay, its chunks together.
    fn default() -> Self {
        Self {
            days: 30,
            copies: 1,
            relays: Vec::new(),
            doubtful: Doubtful::Keep,
            pace: Pace::Together,
            when: When::InTime,
        }
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
    /// What was paid for all of them.
    pub paid: Credits,
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
    /// [`WalletError::StillStoring`] where the rest waits for its own time; else what failed. What was paid until then is used when
    /// the upload goes on.
    pub async fn put_file(&self, path: &Path, options: PutOptions) -> Result<Stored, WalletError> {
        if options.copies == 0 {
            return Err(WalletError::Copies);
        }
        let path = std::fs::canonicalize(path).map_err(WalletError::io("open", path))?;
        let (size, digest) = measure(&path).await?;
        let _alone = self.storing.lock().await;
        let mut choices = 0;
        loop {
            choices += 1;
            let upload = match self.begun(&path, &digest, &options).await? {
                Some(upload) => upload,
                None => self.begin_upload(&path, size, &digest, &options).await?,
            };
            let id = upload.id;
            match self.finish_upload(upload, options.doubtful, options.when).await {
                Err(error)
                    if choices < CHOICES
                        && self.may_choose_again(&options.relays, &error).await?
                        && self.drop_unpaid(&id).await? => {}
                other => return other,
            }
        }
    }

    /// Goes on with every upload that was begun. One that cannot go on is given up and is an error once.
    pub(super) async fn resume_uploads(
        &self,
        doubtful: Doubtful,
        when: When,
    ) -> Result<Vec<Result<Stored, WalletError>>, WalletError> {
        let _alone = self.storing.lock().await;
        let mut results = Vec::new();
        for upload in self.unstored().await? {
            results.push(self.go_on(upload, doubtful, when).await);
        }
        Ok(results)
    }

    /// The next step of one upload; `None` where it came to an end meanwhile.
    pub(super) async fn go_on_with_upload(
        &self,
        id: UploadId,
    ) -> Result<Option<Stored>, WalletError> {
        let _alone = self.storing.lock().await;
        let upload = self.unstored().await?.into_iter().find(|upload| upload.id == id);
        match upload {
            Some(upload) => self.go_on(upload, Doubtful::Keep, When::InTime).await.map(Some),
            None => Ok(None),
        }
    }

    /// The files that are being stored, each with its pace.
    pub(super) async fn open_uploads(&self) -> Result<Vec<(UploadId, Pace)>, WalletError> {
        let uploads = self.unstored().await?.into_iter();
        Ok(uploads.map(|one| (one.id, one.pace)).collect())
    }

    /// The uploads that are under way, and those of which a relay lost a part whose lease lives.
    async fn unstored(&self) -> Result<Vec<UploadRecord>, WalletError> {
        let lost = self.lost_parts().await?;
        let mut uploads = self.store.all::<UploadRecord>().await?;
        uploads.retain(|upload| upload.link.is_none() || lost.contains_key(&upload.id));
        Ok(uploads)
    }

    /// The leases that live and hold nothing, of each file.
    pub(super) async fn lost_parts(
        &self,
    ) -> Result<BTreeMap<UploadId, Vec<LeaseRecord>>, WalletError> {
        let mut lost: BTreeMap<UploadId, Vec<LeaseRecord>> = BTreeMap::new();
        for lease in self.store.all::<LeaseRecord>().await? {
            let chunk = chunk_of(&lease).filter(|chunk| !chunk.uploaded);
            if let Some(upload) = chunk.map(|chunk| chunk.upload)
                && lease.is_live(self.now())
            {
                lost.entry(upload).or_default().push(lease);
            }
        }
        Ok(lost)
    }

    async fn go_on(
        &self,
        upload: UploadRecord,
        doubtful: Doubtful,
        when: When,
    ) -> Result<Stored, WalletError> {
        if upload.link.is_some() {
            return self.store_again(upload).await;
        }
        if self.has_ended(&upload.id).await? {
            self.give_up(&upload).await?;
            return Err(WalletError::UploadGivenUp(upload.path));
        }
        let (_, digest) = measure(&upload.path).await?;
        if digest != upload.digest.0 {
            self.give_up(&upload).await?;
            return Err(WalletError::FileChanged(upload.path));
        }
        self.finish_upload(upload, doubtful, when).await
    }
}
