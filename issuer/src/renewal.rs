//! Renewal and inquiry (renewal.md): what holders of certificates ask the vendor for.

use std::{collections::BTreeSet, sync::Arc};

use scrip_protocol::{
    check::{Rejection, Spend, check_batch, check_inquiry},
    inquiry::{Inquiry, InquiryAnswer, InquiryResult},
    manifest::{DenominationKey, Manifest},
    redemption::ConflictProof,
    renewal::{Renewal, RenewalAnswer, RenewalItem, RenewalRequest, RenewalResult},
    spend::SpendKind,
    time::UnixSeconds,
    token::Token,
};

use crate::{
    issuer::Issuer,
    random::random_number,
    ring::Ring,
    signer::{Job, SignError, in_range, raw},
    store::{NewRenewal, Recorded, RecordedSpend, RenewalRecord, StoreError},
};

/// Why nothing was renewed, or not answered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// A certificate occurs twice.
    #[error("a certificate occurs twice in the request")]
    Duplicate,
    /// An inquiry is for another vendor.
    #[error("the inquiry is for another vendor")]
    WrongVendor,
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
    pub async fn renew(&self, request: RenewalRequest) -> Result<Vec<u8>, RenewalError> {
        let keys: BTreeSet<&[u8; 32]> = request.items.iter().map(|one| &one.token.nonce).collect();
        if keys.len() < request.items.len() {
            return Err(RenewalError::Duplicate);
        }
        let now = self.inner.clock.now();
        let knows = |ring: &Ring| {
            let old = |item: &RenewalItem| ring.manifest.key(&item.token.key_id).is_some();
            request.items.iter().all(|item| old(item) && ring.signs(&item.blinded.key_id, now))
        };
        let ring = self.ring_that(knows).await;
        let request = Arc::new(request);
        self.check_signatures(&ring, &request).await?;
        let items = &request.items;
        let names = items.iter().map(|item| name(&ring.manifest, &item.token));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let mut records = self.inner.store.recorded(&names).await?;
        let unrecorded = names.iter().zip(items).filter(|(name, _)| !records.contains_key(*name));
        let checked = unrecorded.map(|(_, item)| check_unrecorded(&ring, item, now));
        let checked = checked.collect::<Result<Vec<_>, _>>()?;
        if !checked.is_empty() {
            records.extend(self.sign_and_record(checked).await?);
        }
        let result = |(name, item): (_, &RenewalItem)| match records.get(name) {
            Some(Recorded::Renewed(renewal)) => Ok(RenewalResult::Renewed(renewal.clone())),
            Some(Recorded::Spent(spend)) => Ok(RenewalResult::Spent(proof(&item.token, spend)?)),
            // What was recorded a moment ago was dropped: its epoch ended meanwhile.
            None => Err(RenewalError::Closed),
        };
        let results = names.iter().zip(items).map(result).collect::<Result<_, _>>()?;
        Ok(RenewalAnswer { results }.encode())
    }

    /// `POST /v1/inquiries`, from the third check on: the signed answer.
    ///
    /// # Errors
    /// [`RenewalError`].
    pub async fn inquire(&self, inquiry: &Inquiry) -> Result<Vec<u8>, RenewalError> {
        if inquiry.vendor_id != self.vendor_id() {
            return Err(RenewalError::WrongVendor);
        }
        let knows = |ring: &Ring| ring.manifest.key(&inquiry.token.key_id).is_some();
        let ring = self.ring_that(knows).await;
        let key = old_key(&ring.manifest, &inquiry.token)?;
        check_inquiry(inquiry, key)?;
        // Before the database is read: what it has nothing of then, it had nothing of at this time.
        let time = self.inner.clock.now();
        let name = (key.epoch(), inquiry.token.nonce);
        let records = self.inner.store.recorded(&[name]).await?;
        let result = match records.get(&name) {
            Some(Recorded::Renewed(renewal)) => InquiryResult::Renewed(renewal.clone()),
            Some(Recorded::Spent(spend)) => InquiryResult::Spent(proof(&inquiry.token, spend)?),
            None if key.windows().redeems_at(time) => InquiryResult::Unrecorded,
            None => InquiryResult::Expired,
        };
        let answer = InquiryAnswer {
            vendor_id: self.vendor_id(),
            inquiry_digest: inquiry.digest(),
            time,
            result,
        };
        Ok(answer.sign(&ring.receipt.newest))
    }

    /// Checks 4 and 5, away from the async runtime.
    async fn check_signatures(
        &self,
        ring: &Ring,
        request: &Arc<RenewalRequest>,
    ) -> Result<(), RenewalError> {
        let permit = self.inner.checks.acquire().await;
        let _permit = permit.map_err(|_| RenewalError::Overloaded)?;
        let (manifest, request) = (ring.manifest.clone(), request.clone());
        let rng = self.inner.rng.clone();
        tokio::task::spawn_blocking(move || {
            let vendor = manifest.vendor_id();
            let spend = |item| spend_of(&manifest, &vendor, item);
            let spends = request.items.iter().map(spend).collect::<Result<Vec<_>, _>>()?;
            let mut rng = rng();
            let checked: Result<(), Rejection> =
                check_batch(&spends, &mut &mut *rng).into_iter().collect();
            Ok(checked?)
        })
        .await
        .map_err(|_| RenewalError::Overloaded)?
    }

    /// Signs what passed all checks, records what is still unrecorded, and returns what is recorded then.
    async fn sign_and_record(
        &self,
        checked: Vec<Checked<'_>>,
    ) -> Result<crate::store::Records, RenewalError> {
        let job = |checked: &Checked<'_>| Job {
            key: checked.private.clone(),
            message: checked.item.blinded.blinded_message,
        };
        let signatures = self.inner.signer.sign(checked.iter().map(job).collect()).await?;
        let (vendor, today) = (self.vendor_id(), self.inner.clock.today());
        let renewal = |(checked, blind_signature): (Checked<'_>, _)| NewRenewal {
            token: checked.item.token.clone(),
            epoch: checked.old.epoch(),
            new_epoch: checked.new.epoch(),
            exponent: checked.old.exponent(),
            binding: checked.item.binding(&vendor),
            renewal: Renewal {
                key_id: checked.item.blinded.key_id,
                blinded_message: checked.item.blinded.blinded_message,
                blind_signature,
                signature: checked.item.signature,
                day: today,
            },
        };
        let record = RenewalRecord {
            number: random_number(&self.inner.rng),
            day: today,
            items: checked.into_iter().zip(signatures).map(renewal).collect(),
        };
        self.inner.steps.at("issuer.renewal.before_commit");
        let records = self.inner.store.record_renewals(&record, &self.inner.steps).await?;
        self.inner.steps.at("issuer.renewal.after_commit");
        Ok(records)
    }
}

/// Check 4: the key of a certificate that answers the vendor's challenge.
fn old_key<'a>(manifest: &'a Manifest, token: &Token) -> Result<&'a DenominationKey, RenewalError> {
    if token.challenge_digest != *manifest.challenge_digest() {
        return Err(RenewalError::Challenge);
    }
    manifest.key(&token.key_id).ok_or(RenewalError::KeyUnknown)
}

/// What a certificate is recorded under.
fn name(manifest: &Manifest, token: &Token) -> Result<(u32, [u8; 32]), RenewalError> {
    Ok((old_key(manifest, token)?.epoch(), token.nonce))
}

fn spend_of<'a>(
    manifest: &'a Manifest,
    vendor: &scrip_protocol::id::VendorId,
    item: &'a RenewalItem,
) -> Result<Spend<'a>, RenewalError> {
    let key = old_key(manifest, &item.token)?;
    let binding = item.binding(vendor);
    let (token, signature) = (&item.token, &item.signature);
    Ok(Spend { token, key, kind: SpendKind::Renewal, binding, signature })
}

/// Check 6, of an item whose certificate is not recorded.
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
