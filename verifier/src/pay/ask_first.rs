//! The online policy: a payment is redeemed before anything is provisioned (verification.md, "Risk policy").
//!
//! Once its batch is stored the payment may be recorded at the vendor, so that it can no longer be released. The
//! redeemer goes on sending the batch; a retry of the client does so at once.

use scrip_protocol::problem::ProblemType;

use super::{Stop, paid_with, refuse::signed, spent};
use crate::{
    provisions::Paid,
    redeemer::{exchange, new_batch},
    spent::{EvidenceState, KnownPayment, ReservedPayment},
    verifier::Verifier,
};

/// What the payment is worth after the vendor was asked.
///
/// Certificates that were double spent do not count. Where some were and others were not, the others are redeemed, and the
/// wallet cannot have them back: the payment is provisioned for what they are worth, as it would be shortened to offline.
pub(super) async fn ask(verifier: &Verifier, reserved: &ReservedPayment) -> Result<Paid, Stop> {
    if let Some(paid) = decided(verifier, reserved).await? {
        return Ok(paid);
    }
    show(verifier, reserved).await?;
    for batch in verifier.store.pending_batches_of(reserved.payment_id).await? {
        if let Err(error) = exchange(verifier, &batch).await {
            tracing::warn!(vendor = %batch.vendor_id, %error, "a payment waits for its vendor");
            return Err(ProblemType::VendorUnreachable.into());
        }
    }
    match verifier.store.find(reserved.payment_id).await? {
        Some(KnownPayment::Committed(answer) | KnownPayment::Refused(answer)) => {
            Err(Stop::Answered(answer))
        }
        Some(KnownPayment::Reserved(now)) => match decided(verifier, &now).await? {
            Some(paid) => Ok(paid),
            None => Err(ProblemType::VendorUnreachable.into()),
        },
        None => Err(ProblemType::Internal.into()), // a payment that was shown is never released
    }
}

/// Stores a batch of the payment's certificates, unless that was done before.
async fn show(verifier: &Verifier, reserved: &ReservedPayment) -> Result<(), Stop> {
    let items = verifier.store.unshown(reserved.payment_id).await?;
    if items.is_empty() {
        return Ok(());
    }
    let batch = new_batch(verifier, reserved.vendor_id, items);
    verifier.steps.at("verifier.ask.before");
    verifier.store.put_batches(vec![batch]).await?;
    verifier.steps.at("verifier.ask.persisted");
    Ok(())
}

/// What the payment is worth, or `None` where the vendor has not decided yet.
async fn decided(verifier: &Verifier, reserved: &ReservedPayment) -> Result<Option<Paid>, Stop> {
    if !reserved.certificates.iter().all(|certificate| certificate.state.is_decided()) {
        return Ok(None);
    }
    // `expired` and `invalid` are our loss: the client paid with what our own check accepted (redemption.md).
    let paid = paid_with(reserved, |state| state != EvidenceState::DoubleSpent);
    if !paid.certificates.is_empty() {
        return Ok(Some(paid));
    }
    // Nothing is left. The refusal is kept as the payment's answer: a retry asks nobody again, and no other payment can have
    // its certificates with these bindings.
    let conflicts = verifier.store.conflicts_of(reserved.payment_id).await?;
    let refusal = spent(conflicts.first().map(|conflict| &conflict.proof));
    let answer = signed(verifier, reserved.payment_id, refusal);
    Err(Stop::Answered(verifier.commit(reserved.payment_id, answer).await?))
}
