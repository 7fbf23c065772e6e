//! The pure check of a payment: verification.md, checks 1 to 10, in that order.
//!
//! Each step consumes the one before, so that a step that was left out does not compile:
//! [`Received`] (1, 2) → [`Received::accepted_from`] (3) → [`Addressed::inspect`] (4–7) → [`Inspected::for_price`] (8) →
//! [`Priced::verify`] (9, 10) → [`CheckedPayment`]. Between the steps the caller looks up what the check must not: whether the
//! payment is known already, the vendor's manifest, the price.

mod refusal;

#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc};

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    DecodeError,
    check::{Rejection, Spend, check_batch, check_one},
    credits::{Credits, Exponent},
    id::{OperatorId, PaymentId, VendorId},
    manifest::{DenominationKey, KeyUse, Manifest},
    payment::{Evidence, PaidRequest, PaymentItem},
    spend::{Binding, SpendKind, payment_id},
    time::{Day, UnixSeconds},
};

pub use self::refusal::Refusal;
use crate::price::Quote;

/// The most that one payment can be worth: receipts and leases count credits in 32 bits (resources.md).
pub const MOST_CREDITS: Credits = Credits(u32::MAX as u64);
/// How many certificates are checked at once. A payment is given up after the first slice with a bad certificate.
const SLICE: usize = 8;

/// A paid request that parses, and its name: checks 1 and 2.
pub struct Received {
    request: PaidRequest,
    evidence: Vec<Evidence>,
    payment_id: PaymentId,
}

/// A paid request to this operator, with certificates of a vendor that is accepted: check 3.
pub struct Addressed(Received);

/// A paid request whose certificates look right, and what they are worth: checks 4 to 7.
pub struct Inspected {
    received: Received,
    manifest: Arc<Manifest>,
    credits: Credits,
}

/// A paid request that covers its price: check 8.
pub struct Priced {
    inspected: Inspected,
    quote: Quote,
}

/// A payment that passed every check that needs no store. What is left is whether it was spent before.
pub struct CheckedPayment {
    /// The payment's name.
    pub payment_id: PaymentId,
    /// Whose certificates these are.
    pub vendor_id: VendorId,
    /// What they are worth together.
    pub credits: Credits,
    /// The price that they cover.
    pub quote: Quote,
    /// What is paid for.
    pub resource_request: Vec<u8>,
    /// The certificates, in the order of the payment.
    pub certificates: Vec<CheckedCertificate>,
}

/// One certificate of a checked payment.
pub struct CheckedCertificate {
    /// All that the vendor will be shown, and the binding.
    pub evidence: Evidence,
    /// The epoch of its key.
    pub epoch: u32,
    /// The denomination of its key.
    pub exponent: Exponent,
    /// What its key signs.
    pub key_use: KeyUse,
    /// When it can no longer be redeemed.
    pub redeem_until: UnixSeconds,
}

impl Received {
    /// Checks 1 and 2: the size, and that it parses.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, Refusal> {
        let request = PaidRequest::decode(body).map_err(|error| match error {
            DecodeError::TooLarge { .. } => Refusal::TooLarge,
            other => Refusal::Malformed(other),
        })?;
        let evidence = request.payment.evidence(&request.resource_request);
        let bindings: Vec<Binding> = evidence.iter().map(|one| one.binding).collect();
        let payment_id = payment_id(&request.payment.vendor_id, &bindings);
        Ok(Self { request, evidence, payment_id })
    }

    /// What the payment is known by, if it is a retry. A retry is answered whatever the later checks would say.
    pub fn payment_id(&self) -> PaymentId {
        self.payment_id
    }

    /// The vendor that the payment names.
    pub fn vendor_id(&self) -> VendorId {
        self.request.payment.vendor_id
    }

    /// The operator whom the payment names.
    pub fn operator_id(&self) -> OperatorId {
        self.request.payment.operator_id
    }

    /// What is paid for.
    pub fn resource_request(&self) -> &[u8] {
        &self.request.resource_request
    }

    /// The UTC day that the payment names.
    pub fn day(&self) -> Day {
        self.request.payment.day
    }

    /// Each certificate key with its binding, in the order of the payment.
    pub fn bindings(&self) -> Vec<([u8; 32], Binding)> {
        self.evidence.iter().map(|one| (one.item.token.nonce, one.binding)).collect()
    }

    /// Whether checks 4, 7, 9 and 10, and of check 6 what does not change with time, all pass: only then is this a payment that
    /// its holder made, so that a refusal of it is signed (verification.md, "Refusals"). As expensive as [`Priced::verify`].
    pub fn is_genuine(self, manifest: &Manifest, rng: &mut (impl RngCore + CryptoRng)) -> bool {
        let Self { request, evidence, .. } = self;
        let items = &request.payment.items;
        let looks_right = are_different(items)
            && items.iter().all(|item| {
                item.token.challenge_digest == *manifest.challenge_digest()
                    && item.token.certificate_key().is_ok()
            });
        looks_right
            && denomination_keys(&evidence, manifest)
                .is_ok_and(|keys| check_signatures(&evidence, &keys, rng).is_ok())
    }

    /// Check 3: the vendor is one of those that `accepts` names, and the payment is for `operator`.
    ///
    /// # Errors
    /// [`Refusal::WrongVendor`], [`Refusal::WrongOperator`].
    pub fn accepted_from(
        self,
        accepts: impl FnOnce(&VendorId) -> bool,
        operator: &OperatorId,
    ) -> Result<Addressed, Refusal> {
        if !accepts(&self.vendor_id()) {
            return Err(Refusal::WrongVendor);
        }
        if self.operator_id() != *operator {
            return Err(Refusal::WrongOperator);
        }
        Ok(Addressed(self))
    }
}

impl Addressed {
    /// What is paid for.
    pub fn resource_request(&self) -> &[u8] {
        self.0.resource_request()
    }

    /// Checks 4 to 7: no certificate twice; the day; challenge, key, window and use of each; each certificate key.
    /// Certificates of test keys pass where `accept_test` is set.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn inspect(
        self,
        manifest: Arc<Manifest>,
        accept_test: bool,
        now: UnixSeconds,
    ) -> Result<Inspected, Refusal> {
        let received = self.0;
        let payment = &received.request.payment;
        if !are_different(&payment.items) {
            return Err(Refusal::DuplicateCertificate);
        }
        if !payment.day.is_adjacent_to(now.day()) {
            return Err(Refusal::DayOutOfRange);
        }
        if payment.vendor_id != manifest.vendor_id() {
            return Err(Refusal::WrongVendor);
        }
        let challenge = manifest.challenge_digest();
        if payment.items.iter().any(|item| item.token.challenge_digest != *challenge) {
            return Err(Refusal::ChallengeMismatch);
        }
        let mut values = Vec::with_capacity(payment.items.len());
        for item in &payment.items {
            let key = manifest.key(&item.token.key_id).ok_or(Refusal::KeyUnknown)?;
            if !key.windows().spends_at(now) {
                return Err(Refusal::KeyOutsideWindow);
            }
            if key.key_use() == KeyUse::Test && !accept_test {
                return Err(Refusal::TestCertificate);
            }
            values.push(key.value());
        }
        for item in &payment.items {
            item.token.certificate_key().map_err(Rejection::from)?;
        }
        Ok(Inspected { credits: Credits::total(values), received, manifest })
    }
}

impl Inspected {
    /// What is paid for.
    pub fn resource_request(&self) -> &[u8] {
        self.received.resource_request()
    }

    /// Check 8: the certificates are worth at least the price, and not more than one payment can be for.
    ///
    /// # Errors
    /// [`Refusal::PaymentTooLow`], [`Refusal::PaymentTooHigh`].
    pub fn for_price(self, quote: Quote) -> Result<Priced, Refusal> {
        if self.credits < quote.credits {
            return Err(Refusal::PaymentTooLow { paid: self.credits, quote });
        }
        if self.credits > MOST_CREDITS {
            return Err(Refusal::PaymentTooHigh { paid: self.credits });
        }
        Ok(Priced { inspected: self, quote })
    }
}

impl Priced {
    /// Checks 9 and 10: every signature. Takes some 50 µs for each certificate; `rng` draws the coefficients of the batch.
    ///
    /// # Errors
    /// [`Refusal::CertificateSignature`] where any RSA signature is bad, else [`Refusal::SpendSignature`].
    pub fn verify(self, rng: &mut (impl RngCore + CryptoRng)) -> Result<CheckedPayment, Refusal> {
        let Self { inspected: Inspected { received, manifest, credits }, quote } = self;
        let keys = denomination_keys(&received.evidence, &manifest)?;
        check_signatures(&received.evidence, &keys, rng)?;
        let certificates = received
            .evidence
            .into_iter()
            .zip(keys)
            .map(|(evidence, key)| CheckedCertificate {
                evidence,
                epoch: key.epoch(),
                exponent: key.exponent(),
                key_use: key.key_use(),
                redeem_until: key.windows().redeem_until,
            })
            .collect();
        Ok(CheckedPayment {
            payment_id: received.payment_id,
            vendor_id: received.request.payment.vendor_id,
            credits,
            quote,
            resource_request: received.request.resource_request,
            certificates,
        })
    }
}

fn are_different(items: &[PaymentItem]) -> bool {
    let mut keys = HashSet::with_capacity(items.len());
    items.iter().all(|item| keys.insert(item.token.nonce))
}

fn denomination_keys<'m>(
    evidence: &[Evidence],
    manifest: &'m Manifest,
) -> Result<Vec<&'m DenominationKey>, Refusal> {
    evidence
        .iter()
        .map(|one| manifest.key(&one.item.token.key_id).ok_or(Refusal::KeyUnknown))
        .collect()
}

fn check_signatures(
    evidence: &[Evidence],
    keys: &[&DenominationKey],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(), Refusal> {
    let spends: Vec<Spend<'_>> = evidence
        .iter()
        .zip(keys)
        .map(|(one, key)| Spend {
            token: &one.item.token,
            key,
            kind: SpendKind::Spend,
            binding: one.binding,
            signature: &one.item.signature,
        })
        .collect();
    // Check 9 comes before check 10 for the payment as a whole, not for each certificate: a bad spend signature is the
    // answer only once every certificate's own signature is known to be good.
    let mut found: Option<Rejection> = None;
    for slice in spends.chunks(SLICE) {
        let results = match slice {
            [single] => vec![check_one(single)],
            many => check_batch(many, rng),
        };
        let rejections = results.into_iter().filter_map(Result::err).chain(found);
        found = rejections.min_by_key(|rejection| severity(*rejection));
        if let Some(rejection) = found
            && severity(rejection) < severity(Rejection::SpendSignature)
        {
            break;
        }
    }
    found.map_or(Ok(()), |rejection| Err(rejection.into()))
}

/// The number of the check that a rejection belongs to.
const fn severity(rejection: Rejection) -> u8 {
    match rejection {
        Rejection::CertificateKey => 7,
        Rejection::CertificateSignature => 9,
        Rejection::SpendSignature => 10,
    }
}
