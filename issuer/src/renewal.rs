//! Renewal (renewal.md): a certificate that expires soon for a new one.

use std::sync::Arc;

use scrip_protocol::{
    check::{Rejection, Spend, check_one},
    manifest::{DenominationKey, Manifest},
    redemption::ConflictProof,
    renewal::{Renewal, RenewalItem, RenewalResult},
    spend::SpendKind,
    time::UnixSeconds,
    token::Token,
};

use crate::{
    issuer::Issuer,
    random::random_number,
    ring::Ring,
    signer::{Job, SignError, in_range, raw},
    store::{NewRenewal, Recorded, RecordedSpend, StoreError},
};

/// Why nothing was renewed, or not answered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// A certificate answers another challenge.
    #[error("a certificate answers another challenge than the vendor's")]
    Challenge,
    /// The manifest does not have a key that is named.
    #[error("the manifest has no such key")]
    KeyUnknown,
    /// A certificate or its holder's signature is not valid.
    #[error(transparent)]
    Certificate(#[from] Rejection),
    /// A certificate is outside of its renewal window.
    #[error("a certificate is outside of its renewal window")]
    Closed,
    /// Whether it is depends on which clock is right.
    #[error("the clock is in doubt, and with it whether a certificate can be renewed")]
    ClockInDoubt,
    /// The new key does not issue now.
    #[error("the new key does not issue now")]
    KeyOutsideWindow,
    /// The new key is not of a later epoch, or of another denomination or use.
    #[error("the new key is not the old one's in a later epoch")]
    OtherDenomination,
    /// A blinded message is not below the key's modulus.
    #[error("a blinded message is out of range")]
    OutOfRange,
    /// The signer has too much to do, or the server is shutting down.
    #[error("too many signatures are waiting")]
    Overloaded,
    /// A signature was computed wrongly.
    #[error("the signer failed: {0}")]
    Signer(SignError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SignError> for RenewalError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::OutOfRange => Self::OutOfRange,
            SignError::Overloaded | SignError::Closed => Self::Overloaded,
            SignError::Fault => Self::Signer(error),
        }
    }
}

/// An unrecorded item that passed its checks.
struct Checked<'a> {
    item: &'a RenewalItem,
    old: &'a DenominationKey,
    new: &'a DenominationKey,
    private: Arc<raw::PrivateKey>,
}

impl Issuer {
    /// `POST /v1/renewals`, from the third check on: the encoded answer.
    ///
    /// # Errors
    /// [`RenewalError`].
    pub async fn renew(&self, item: RenewalItem) -> Result<Vec<u8>, RenewalError> {
        let reading = self.inner.believed.read();
        let now = reading.wall;
        let knows = |ring: &Ring| {
            let old = ring.manifest.key(&item.token.key_id).is_some();
            old && ring.signs(&item.blinded.key_id, now)
        };
        let ring = self.ring_that(knows).await;
        let item = Arc::new(item);
        self.check_signatures(&ring, &item).await?;
        let name = (old_key(&ring.manifest, &item.token)?.epoch(), item.token.nonce);
        let recorded = match self.inner.store.recorded(&name).await? {
            Some(recorded) => recorded,
            None => {
                let old = old_key(&ring.manifest, &item.token)?.windows();
                if old.renews_at(now) != old.renews_at(reading.believed) {
                    return Err(RenewalError::ClockInDoubt);
                }
                let checked = check_unrecorded(&ring, &item, now)?;
                let recorded = self.sign_and_record(checked).await?;
                // What was recorded a moment ago was dropped: its epoch ended meanwhile.
                recorded.ok_or(RenewalError::Closed)?
            }
        };
        let result = match recorded {
            Recorded::Renewed(renewal) => RenewalResult::Renewed(renewal),
            Recorded::Spent(spend) => RenewalResult::Spent(proof(&item.token, &spend)?),
        };
        Ok(result.encode())
    }

    /// Checks 3 and 4, away from the async runtime.
    async fn check_signatures(
        &self,
        ring: &Ring,
        item: &Arc<RenewalItem>,
    ) -> Result<(), RenewalError> {
        let permit = self.inner.checks.acquire().await;
        let _permit = permit.map_err(|_| RenewalError::Overloaded)?;
        let (manifest, item) = (ring.manifest.clone(), item.clone());
        tokio::task::spawn_blocking(move || {
            let key = old_key(&manifest, &item.token)?;
            let binding = item.binding(&manifest.vendor_id());
            let (token, signature) = (&item.token, &item.signature);
            let kind = SpendKind::Renewal;
            Ok(check_one(&Spend { token, key, kind, binding, signature })?)
        })
        .await
        .map_err(|_| RenewalError::Overloaded)?
    }

    /// Signs what passed all checks, records it unless something else was recorded meanwhile, and returns what is recorded then.
    async fn sign_and_record(
        &self,
        checked: Checked<'_>,
    ) -> Result<Option<Recorded>, RenewalError> {
        let Checked { item, old, new, private } = checked;
        let job = Job { key: private, message: item.blinded.blinded_message };
        let signatures = self.inner.signer.sign(vec![job]).await?;
        let blind_signature = *signatures.first().ok_or(RenewalError::Overloaded)?;
        let renewal = NewRenewal {
            number: random_number(&self.inner.rng),
            day: self.inner.believed.read().believed.day(),
            token: item.token.clone(),
            epoch: old.epoch(),
            new_epoch: new.epoch(),
            exponent: old.exponent(),
            binding: item.binding(&self.vendor_id()),
            renewal: Renewal {
                key_id: item.blinded.key_id,
                blinded_message: item.blinded.blinded_message,
                blind_signature,
                signature: item.signature,
            },
        };
        self.inner.steps.at("issuer.renewal.before_commit");
        let recorded = self.inner.store.record_renewal(&renewal, &self.inner.steps).await?;
        self.inner.steps.at("issuer.renewal.after_commit");
        Ok(recorded)
    }
}

/// Check 3: the key of a certificate that answers the vendor's challenge.
fn old_key<'a>(manifest: &'a Manifest, token: &Token) -> Result<&'a DenominationKey, RenewalError> {
    if token.challenge_digest != *manifest.challenge_digest() {
        return Err(RenewalError::Challenge);
    }
    manifest.key(&token.key_id).ok_or(RenewalError::KeyUnknown)
}

/// Check 5, of an item whose certificate is not recorded.
fn check_unrecorded<'a>(
    ring: &'a Ring,
    item: &'a RenewalItem,
    now: UnixSeconds,
) -> Result<Checked<'a>, RenewalError> {
    let old = old_key(&ring.manifest, &item.token)?;
    if !old.windows().renews_at(now) {
        return Err(RenewalError::Closed);
    }
    let new_id = &item.blinded.key_id;
    let new = ring.manifest.key(new_id).ok_or(RenewalError::KeyUnknown)?;
    if !new.windows().signs_at(now) {
        return Err(RenewalError::KeyOutsideWindow);
    }
    let private = ring.private(new_id).ok_or(RenewalError::KeyUnknown)?.clone();
    let same = new.exponent() == old.exponent() && new.key_use() == old.key_use();
    if !same || new.epoch() <= old.epoch() {
        return Err(RenewalError::OtherDenomination);
    }
    if !in_range(&item.blinded.blinded_message, new.public().modulus()) {
        return Err(RenewalError::OutOfRange);
    }
    Ok(Checked { item, old, new, private })
}

fn proof(token: &Token, spend: &RecordedSpend) -> Result<ConflictProof, Rejection> {
    Ok(ConflictProof {
        certificate_key: token.certificate_key()?,
        kind: SpendKind::Spend,
        other_binding: spend.binding,
        other_signature: spend.signature,
    })
}
