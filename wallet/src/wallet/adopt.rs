//! What takes the place of a certificate that was renewed.

use std::sync::Arc;

use scrip_protocol::{
    issuance::Blinding,
    manifest::{DenominationKey, KeyUse, Manifest},
    renewal::Renewal,
};

use super::{Wallet, apart};
use crate::{
    error::WalletError,
    records::{AnsweredRecord, Blob, CertificateRecord, CertificateState},
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
        let (privacy, now) = (self.privacy().await, self.now());
        let mut entropy = self.environment.entropy.clone();
        apart(move || {
            // First of all: what the old certificate's key did not sign is the vendor's invention, and whether this wallet can
            // make anything of it must not show. It may be a piece of some purchase, offered to see whether it fits.
            renewal.verify(&vendor, &old.key_id, &old.key).map_err(|_| WalletError::OtherAnswer)?;
            let key = manifest.key(&renewal.key_id).ok_or(WalletError::OtherAnswer)?;
            let before = manifest.key(&old.key_id).map(DenominationKey::epoch);
            if before.is_none_or(|before| key.epoch() <= before) {
                return Err(WalletError::OtherAnswer);
            }
            let same_use = (key.key_use() == KeyUse::Test) == old.test;
            if key.exponent() != old.exponent || !same_use {
                return Err(WalletError::OtherAnswer);
            }
            let blinding = Blinding::start(&seed, &manifest, key, old.counter())?;
            if blinding.item().blinded_message != renewal.blinded_message {
                return Ok(Heir::Foreign);
            }
            let certificate = blinding.finish(key, &renewal.signed_item())?;
            let token = certificate.token();
            let spend_until = key.windows().spend_until;
            Ok(Heir::Own(Box::new(CertificateRecord {
                key: certificate.key(),
                token: Blob(certificate.token_bytes().to_vec()),
                key_id: token.key_id,
                spend_until,
                ripe: privacy.ripe_at(now, spend_until, &mut entropy),
                state,
                looked: None,
                listed: false,
                seen_by: Default::default(),
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

    /// The certificate is gone, and nothing took its place. `proof` shows that it was spent at a relay, and `answer` that the vendor
    /// signed so.
    pub(super) async fn write_off(
        &self,
        old: &CertificateRecord,
        proof: Option<Blob>,
        answer: Option<AnsweredRecord>,
    ) -> Result<(), WalletError> {
        let purse = self.lock_purse().await;
        let state = CertificateState::SpentElsewhere;
        let Some(gone) = purse.get(&old.key).and_then(|one| replaced(one, state)) else {
            return Ok(());
        };
        let gone = CertificateRecord { proof, ..gone };
        let mut changes = Changes::default().put(&gone);
        answer.iter().for_each(|answer| changes.add(answer));
        self.commit_purse(purse, changes, vec![gone]).await
    }
}

/// The record in its last state; `None` where it was spent, or bound to a payment, meanwhile.
fn replaced(one: &CertificateRecord, state: CertificateState) -> Option<CertificateRecord> {
    let free = matches!(one.state, CertificateState::InDoubt | CertificateState::Renewing { .. });
    free.then(|| CertificateRecord { state, ..one.clone() })
}

#[cfg(test)]
mod tests {
    use scrip_protocol::keys::Signature;

    use super::*;
    use crate::testing::World;

    /// Renewal answers are not signed. A vendor that shows pieces of purchases in them must not see which of them fit.
    #[tokio::test]
    async fn what_the_old_key_did_not_sign_tells_a_vendor_nothing() {
        let world = World::new(0).await;
        let wallet = world.funded("wallet").await;
        let manifest = Arc::new(world.vendor.manifest());
        let held: Vec<CertificateRecord> = wallet.purse.lock().await.all().cloned().collect();
        let old = &held[0];
        let mut fits = 0;
        for one in held.iter().filter(|one| one.key_id == old.key_id) {
            let key = manifest.key(&one.key_id).unwrap();
            let blinding = Blinding::start(&wallet.seed, &manifest, key, one.counter()).unwrap();
            fits += usize::from(one.key == old.key);
            let renewal = Renewal {
                key_id: one.key_id,
                blinded_message: blinding.item().blinded_message,
                blind_signature: [1; 256],
                signature: Signature::from_bytes([7; 64]),
            };
            let state = CertificateState::InDoubt;
            let shown = wallet.derive_heir(&manifest, old, renewal, state).await;
            assert!(matches!(shown, Err(WalletError::OtherAnswer)));
        }
        assert_eq!(fits, 1);
    }
}
