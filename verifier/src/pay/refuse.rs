//! Refusals that hold for good (verification.md, "Refusals"): stored first, signed then.

use bytes::Bytes;
use scrip_protocol::{
    id::PaymentId,
    problem::{Problem, ProblemType},
    refusal::Refusal,
};

use super::{Genuine, Stop};
use crate::{
    check::Received,
    provisions::StoredAnswer,
    spent::{NewRefusal, RefuseOutcome, StoreError},
    verifier::Verifier,
};

/// How far ahead the day of a payment may be whose refusal is kept. Until then the refusal lies on disk.
const DAYS_AHEAD: u32 = 366;
/// What is kept of a problem's detail, in bytes: it is the server's, and it is stored with each refusal.
const MOST_DETAIL: usize = 200;

/// The answer to a payment that is refused because of `problem`. It is signed where the payment is its holder's own, and where
/// nothing of it can be taken any more; else it promises nothing, and the client repeats its payment.
pub(super) async fn refuse(
    verifier: &Verifier,
    body: &Bytes,
    problem: Problem,
    genuine: Genuine,
) -> StoredAnswer {
    let unsigned = StoredAnswer::problem(&problem);
    let Ok(received) = Received::decode(body) else { return unsigned };
    let last_day = verifier.now().day().0.saturating_add(DAYS_AHEAD);
    let can_promise = problem.problem.nothing_taken()
        && received.operator_id() == verifier.operator_id()
        && received.day().0 <= last_day;
    if !can_promise {
        return unsigned;
    }
    let (payment_id, day) = (received.payment_id(), received.day());
    let bindings = received.bindings();
    if genuine == Genuine::NotVerified && !is_genuine(verifier, received).await {
        return unsigned;
    }
    let answer = signed(verifier, payment_id, problem);
    verifier.steps.at("verifier.refuse.before");
    let refused = verifier.store.refuse(NewRefusal { payment_id, day, bindings, answer }).await;
    verifier.steps.at("verifier.refuse.after");
    match refused {
        Ok(RefuseOutcome::Refused(answer) | RefuseOutcome::Committed(answer)) => answer,
        Ok(RefuseOutcome::Taken | RefuseOutcome::Full) => unsigned,
        // The vendor has recorded the spend: a promise that nothing was taken would be a lie. The next attempt may succeed.
        Err(StoreError::NotReleasable) => {
            StoredAnswer::problem(&ProblemType::ProvisioningFailed.into())
        }
        Err(error) => match Stop::from(error) {
            Stop::Problem(problem) | Stop::Refused(problem, _) => StoredAnswer::problem(&problem),
            Stop::Answered(answer) => answer,
        },
    }
}

/// The problem with the operator's promise. It must not leave before it is on disk.
pub(super) fn signed(
    verifier: &Verifier,
    payment: PaymentId,
    mut problem: Problem,
) -> StoredAnswer {
    if let Some(detail) = &mut problem.detail {
        detail.truncate(detail.floor_char_boundary(MOST_DETAIL));
    }
    let refusal = Refusal {
        operator_id: verifier.operator_id(),
        payment_id: payment,
        problem: problem.problem,
    };
    refusal.attach(&verifier.operator_key, &mut problem);
    StoredAnswer::problem(&problem)
}

/// Strangers must not be able to fill the store, and nothing is promised of certificates that are nobody's.
async fn is_genuine(verifier: &Verifier, received: Received) -> bool {
    let Some(manifest) = verifier.manifests.held(&received.vendor_id()) else { return false };
    let Ok(_slot) = verifier.signature_slots.acquire().await else { return false };
    let mut rng = (verifier.rng)();
    let verified =
        tokio::task::spawn_blocking(move || received.is_genuine(&manifest, &mut &mut *rng)).await;
    verified.unwrap_or_else(|error| {
        tracing::error!(panicked = error.is_panic(), "the check of a refused payment did not end");
        false
    })
}
