//! What a relay has lost of a stored file, uploaded again: its leases are paid for, and its keys are known. The bytes come from the
//! file itself as long as it is what was stored, and else from another copy.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use scrip_protocol::{address::RelayAddress, credits::Credits};

use super::{
    Stored,
    begin::{measure, pieces_of},
    parts::{Progress, Seller, chunk_of},
    upload::Job,
};
use crate::{
    error::WalletError,
    fetch::{FetchOptions, fetch_file},
    privacy::When,
    records::{LeaseRecord, Part, UploadRecord},
    wallet::{Doubtful, Wallet, leases::paid_for},
};

/// The directory, within the wallet's, of a file that is fetched to be stored again.
pub(in crate::wallet) const AGAIN: &str = "again";

impl Wallet {
    /// Uploads the parts of a stored file that relays have lost, one relay after the other. Nothing is paid, and nothing is given
    /// up where it fails. The caller holds `storing`.
    pub(super) async fn store_again(
        &self,
        mut upload: UploadRecord,
    ) -> Result<Stored, WalletError> {
        let mut lost: BTreeMap<RelayAddress, Vec<LeaseRecord>> = BTreeMap::new();
        for lease in self.lost_parts().await?.remove(&upload.id).unwrap_or_default() {
            lost.entry(lease.relay.clone()).or_default().push(lease);
        }
        let directory = self.directory().join(AGAIN);
        let source = self.source(&upload, &directory).await;
        let done = match source {
            Ok(path) => {
                // In memory alone: the record names what the user stored.
                upload.path = path;
                self.bring_lost(&upload, lost).await
            }
            Err(error) => Err(error),
        };
        remove(&directory)?;
        done?;
        self.stored(upload).await
    }

    /// Where the content is: the file that was stored, or what another copy gives.
    async fn source(
        &self,
        upload: &UploadRecord,
        directory: &Path,
    ) -> Result<PathBuf, WalletError> {
        if measure(&upload.path)
            .await
            .is_ok_and(|found| found == (upload.size, upload.digest.0.clone()))
        {
            return Ok(upload.path.clone());
        }
        remove(directory)?;
        fs::create_dir(directory).map_err(WalletError::io("create", directory))?;
        let link = upload.link.as_deref().unwrap_or_default().parse()?;
        let options = FetchOptions { output: directory.join("file"), overwrite: true };
        let network = self.network().await;
        Ok(fetch_file(&link, &options, &network, &self.environment).await?.path)
    }

    async fn bring_lost(
        &self,
        upload: &UploadRecord,
        lost: BTreeMap<RelayAddress, Vec<LeaseRecord>>,
    ) -> Result<(), WalletError> {
        let pieces = pieces_of(upload.size)?;
        let places = self.places(&upload.id).await?;
        let from = self.choosable(Doubtful::Keep, When::InTime).await;
        let progress = Progress::new(self.watch().clone());
        let job = Job { wallet: self, upload, places, from, progress };
        for (address, leases) in lost {
            let clock = self.environment.clock.clone();
            let client = self.network().await.relay(&address, clock)?;
            let relay = Seller { client, info: job.offer(&address).await?.info };
            for chunk in leases.iter().filter_map(chunk_of) {
                match chunk.part {
                    Part::Descriptor => {
                        let content = job.describe(&pieces).await?;
                        job.bring_descriptor(chunk.copy, chunk.class, &content, &relay).await?;
                    }
                    Part::Chunk(index) => {
                        let piece = pieces.iter().find(|piece| piece.index == index);
                        let changed = || WalletError::FileChanged(upload.path.clone());
                        let piece = *piece.ok_or_else(changed)?;
                        job.bring_piece(piece, chunk.copy, &relay).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn stored(&self, upload: UploadRecord) -> Result<Stored, WalletError> {
        let mut leases = self.store.all::<LeaseRecord>().await?;
        leases.retain(|lease| chunk_of(lease).is_some_and(|chunk| chunk.upload == upload.id));
        let live = leases.iter().filter(|lease| lease.is_live(self.now()));
        Ok(Stored {
            upload: upload.id,
            link: upload.link.unwrap_or_default(),
            name: upload.name,
            size: upload.size,
            chunks: pieces_of(upload.size)?.len() + 1,
            relays: upload.relays,
            until: live.map(|lease| lease.until).min().unwrap_or(self.now()),
            paid: Credits::total(leases.iter().map(paid_for)),
        })
    }
}

fn remove(directory: &Path) -> Result<(), WalletError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(WalletError::io("remove", directory)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
