//! What shows that a vendor or a relay signed what it must not, for the user to show to others.

use scrip_protocol::{address::RelayAddress, time::UnixSeconds};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    records::{Blob, Evidence, EvidenceRecord},
};

/// Manifests that must not both be, or checkpoints. All of it is signed.
#[derive(Clone, Serialize)]
pub struct EvidenceReport {
    /// When the wallet met it.
    pub at: UnixSeconds,
    /// The version that it is about.
    pub version: u64,
    /// The relay that handed out the second manifest, where it was not the vendor.
    pub relay: Option<RelayAddress>,
    /// Its operator's word that it holds that one, as it was in the header `scrip-held`.
    pub relay_word: Option<String>,
    /// The signed manifests, base64url.
    pub manifests: Vec<String>,
    /// The signed checkpoints.
    pub checkpoints: Vec<String>,
}

impl Wallet {
    /// What the wallet kept as evidence, the oldest first.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn evidence(&self) -> Result<Vec<EvidenceReport>, WalletError> {
        let mut kept = self.store.all::<EvidenceRecord>().await?;
        kept.sort_by_key(|one| (one.at, one.version));
        Ok(kept.into_iter().map(report).collect())
    }

    /// What shows that a manifest was not as it should be.
    pub(super) async fn keep_evidence(
        &self,
        version: u64,
        what: Evidence,
    ) -> Result<(), WalletError> {
        let record = EvidenceRecord { at: self.now(), version, what };
        self.store.commit(crate::store::Changes::default().put(&record)).await?;
        self.at("wallet.manifest.evidence_kept");
        Ok(())
    }
}

fn report(record: EvidenceRecord) -> EvidenceReport {
    let EvidenceRecord { at, version, what } = record;
    let base64url = |blob: &Blob| scrip_protocol::id::encode_base64url(&blob.0);
    let text = |blob: &Blob| String::from_utf8_lossy(&blob.0).into_owned();
    match what {
        Evidence::Manifests { held, offered, relay, said } => EvidenceReport {
            at,
            version,
            relay,
            relay_word: said,
            manifests: vec![base64url(&held), base64url(&offered)],
            checkpoints: Vec::new(),
        },
        Evidence::Checkpoints { held, offered } => EvidenceReport {
            at,
            version,
            relay: None,
            relay_word: None,
            manifests: Vec::new(),
            checkpoints: vec![text(&held), text(&offered)],
        },
    }
}
