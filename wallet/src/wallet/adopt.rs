//! What takes the place of a certificate that was renewed.

use std::sync::Arc;

use scrip_protocol::{
    issuance::Blinding,
    keys::PublicKey,
    manifest::{KeyUse, Manifest},
    renewal::Renewal,
};

use super::{Wallet, apart};
use crate::{
    error::WalletError,
    records::{Blob, CertificateRecord, CertificateState},
    store::Changes,
};

/// A renewed certificate's successor.
pub(super) enum Heir {
    /// It follows from this wallet's seed.
    Own(Box<CertificateRecord>),
    /// Somebody who holds the old certificate's key, and not this seed, has it.
    Foreign,
}

impl Wallet {
    /// Derives the certificate that a recorded renewal gave: the old counter under the new key.
    ///
    /// # Errors
    /// [`WalletError::OtherAnswer`] where the vendor made the renewal up.
    pub(super) async fn derive_heir(
        &self,
        manifest: &Arc<Manifest>,
        old: &CertificateRecord,
        renewal: Renewal,
        state: CertificateState,
    ) -> Result<Heir, WalletError> {
        let (seed, vendor) = (self.seed.clone(), self.vendor.id);
        let (manifest, old) = (manifest.clone(), old.clone());
        apart(move || {
            let key = manifest.key(&renewal.key_id).ok_or(WalletError::OtherAnswer)?;
            let same_use = (key.key_use() == KeyUse::Test) == old.test;
            if key.exponent() != old.exponent || !same_use {
                return Err(WalletError::OtherAnswer);
            }
            let blinding = Blinding::start(&seed, &manifest, key, old.counter())?;
            if blinding.item().blinded_message != renewal.blinded_message {
                let signed = renewal.verify(&vendor, &old.key);
                return signed.map(|()| Heir::Foreign).map_err(|_| WalletError::OtherAnswer);
            }
            let certificate = blinding.finish(key, &renewal.signed_item())?;
            let token = certificate.token();
            Ok(Heir::Own(Box::new(CertificateRecord {
                key: PublicKey::from_bytes(token.nonce),
                token: Blob(certificate.token_bytes().to_vec()),
                key_id: token.key_id,
                spend_until: key.windows().spend_until,
                state,
                unrecorded: None,
                proof: None,
                ..old
            })))
        })
        .await?
    }

    /// The old certificate is gone, and the new one is there, in one transaction. `false` where it was there before.
    pub(super) async fn hand_over(
        &self,
        old: &CertificateRecord,
        new: CertificateRecord,
    ) -> Result<bool, WalletError> {
        let purse = self.lock_purse().await;
        let state = CertificateState::Renewed { by: new.key };
        let Some(gone) = purse.get(&old.key).and_then(|one| replaced(one, state)) else {
            return Ok(false);
        };
        let mut changed = vec![gone];
        // What is known of it already is more than that it exists.
        let is_new = purse.get(&new.key).is_none();
        if is_new {
            changed.push(new);
        }
        let mut changes = Changes::default();
        changed.iter().for_each(|one| changes.add(one));
        self.commit_purse(purse, changes, changed).await?;
        Ok(is_new)
    }

    /// The certificate is gone, and nothing took its place. `proof` shows that it was spent at a relay.
    pub(super) async fn write_off(
        &self,
        old: &CertificateRecord,
        proof: Option<Blob>,
    ) -> Result<(), WalletError> {
        let purse = self.lock_purse().await;
        let state = CertificateState::SpentElsewhere;
        let Some(gone) = purse.get(&old.key).and_then(|one| replaced(one, state)) else {
            return Ok(());
        };
        let gone = CertificateRecord { proof, ..gone };
        let changes = Changes::default().put(&gone);
        self.commit_purse(purse, changes, vec![gone]).await
    }
}

/// The record in its last state; `None` where it was spent, or bound to a payment, meanwhile.
fn replaced(one: &CertificateRecord, state: CertificateState) -> Option<CertificateRecord> {
    let free = matches!(one.state, CertificateState::InDoubt | CertificateState::Renewing { .. });
    free.then(|| CertificateRecord { state, ..one.clone() })
}
