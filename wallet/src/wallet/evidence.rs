//! What shows that a vendor or a relay signed what it must not, for the user to show to others.

use scrip_protocol::{address::RelayAddress, time::UnixSeconds};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    records::{Blob, Evidence, EvidenceRecord, SignedWord},
};

/// Manifests that must not both be, or a manifest and a relay that reports another one. All of it is signed.
#[derive(Clone, Serialize)]
pub struct EvidenceReport {
    /// When the wallet met it.
    pub at: UnixSeconds,
    /// The version that it is about.
    pub version: u64,
    /// The relay that reports another digest.
    pub relay: Option<RelayAddress>,
    /// What the relay said, and its operator's signature as it was in the header `scrip-signature`.
    pub relay_statement: Option<(String, String)>,
    /// The signed manifests, base64url.
    pub manifests: Vec<String>,
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
    let text = |blob: &Blob| scrip_protocol::id::encode_base64url(&blob.0);
    let (relay, said, manifests) = match record.what {
        Evidence::Manifests { held, offered } => (None, None, vec![text(&held), text(&offered)]),
        Evidence::Relay { relay, said, manifest } => {
            (Some(relay), said, manifest.iter().map(text).collect())
        }
    };
    let statement = |SignedWord { body, signature }: SignedWord| {
        (String::from_utf8_lossy(&body.0).into_owned(), signature)
    };
    EvidenceReport {
        at: record.at,
        version: record.version,
        relay,
        relay_statement: said.map(statement),
        manifests,
    }
}
