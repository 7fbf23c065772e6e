//! The path of a paid request, verification.md 1 to 14: check, reserve, provision, commit or refuse.
//!
//! What a crash leaves behind: before the reservation nothing; after it a reservation, which a retry continues and
//! [`Verifier::recover`] settles; after the commit or the refusal the answer, which every retry gets. A refusal promises that nothing is
//! ever taken, so it is signed once it is on disk and not before; what is not signed promises nothing.

mod ask_first;
mod refuse;

use std::sync::Arc;

use bytes::Bytes;
use scrip_protocol::{
    id::encode_base64url,
    problem::{Problem, ProblemType},
    redemption::ConflictProof,
};

use crate::{
    check::{Addressed, CheckedPayment, Priced, Received, Refusal},
    inflight::Entry,
    policy::VendorPolicy,
    price::{Price, Quote},
    provisions::{Paid, PaidCertificate, StoredAnswer},
    spent::{
        EvidenceState, KnownPayment, Reservation, ReserveOutcome, ReservedPayment, StoreError,
    },
    verifier::Verifier,
};

/// What the server did with a payment.
pub(crate) enum Provisioned {
    /// It provisioned, and this is the answer to every retry.
    Done(StoredAnswer),
    /// It provisioned nothing and never will for this payment.
    Nothing(Problem),
    /// Nobody knows.
    Unknown(Problem),
}

/// Why a payment has no answer of the server's.
enum Stop {
    /// The client is told, and nothing is promised.
    Problem(Box<Problem>),
    /// The client is told that the payment is refused for good, if that can be promised.
    Refused(Box<Problem>, Genuine),
    /// The payment has an answer already.
    Answered(StoredAnswer),
}

/// Whether all signatures of a payment are known to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Genuine {
    Verified,
    NotVerified,
}

impl Stop {
    fn refused(problem: impl Into<Problem>, genuine: Genuine) -> Self {
        Self::Refused(Box::new(problem.into()), genuine)
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<ProblemType> for Stop {
    fn from(problem: ProblemType) -> Self {
        Problem::new(problem).into()
    }
}

impl From<StoreError> for Stop {
    /// Whether the write happened is not known, and `internal` says so: the client repeats, and finds out.
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the spent store failed");
        ProblemType::Internal.into()
    }
}

/// Takes a payment. `provision` is called with the resource request once the certificates are reserved, keyed by the
/// payment's name: it may have been called for it before.
pub(crate) async fn pay<P, F, Fut>(
    verifier: Arc<Verifier>,
    body: Bytes,
    price: Arc<P>,
    provision: F,
) -> StoredAnswer
where
    P: Price,
    F: FnOnce(Vec<u8>, Paid) -> Fut + Send,
    Fut: Future<Output = Provisioned> + Send,
{
    let received = match Received::decode(&body) {
        Ok(received) => received,
        Err(refusal) => return StoredAnswer::problem(&refusal.problem()),
    };
    let lead = match verifier.inflight.enter(received.payment_id()) {
        Entry::Lead(lead) => lead,
        Entry::Follow(follow) => {
            let answer = follow.answer(verifier.patience).await;
            return answer
                .unwrap_or_else(|| StoredAnswer::problem(&ProblemType::PaymentInProgress.into()));
        }
    };
    let answer = match run(&verifier, received, &*price, provision).await {
        Ok(answer) | Err(Stop::Answered(answer)) => answer,
        Err(Stop::Problem(problem)) => StoredAnswer::problem(&problem),
        Err(Stop::Refused(problem, genuine)) => {
            refuse::refuse(&verifier, &body, *problem, genuine).await
        }
    };
    lead.finish(&answer);
    answer
}

async fn run<P, F, Fut>(
    verifier: &Verifier,
    received: Received,
    price: &P,
    provision: F,
) -> Result<StoredAnswer, Stop>
where
    P: Price,
    F: FnOnce(Vec<u8>, Paid) -> Fut + Send,
    Fut: Future<Output = Provisioned> + Send,
{
    let request = received.resource_request().to_vec();
    let reserved = match known(verifier, &received).await? {
        Some(reserved) => reserved,
        None => {
            let (checked, policy) = check(verifier, received, price).await?;
            reserve(verifier, &checked, policy).await?
        }
    };
    let paid = if reserved.asks_first {
        ask_first::ask(verifier, &reserved).await?
    } else {
        all_of(&reserved)
    };
    verifier.steps.at("verifier.provision.before");
    let provisioned = provision(request, paid).await;
    verifier.steps.at("verifier.provision.after");
    settle(verifier, &reserved, provisioned).await
}

/// A retry is recognised before anything else is looked at: neither the day, nor the window of a key, nor the price may
/// turn an answer that was given into a refusal, which would tell the wallet that its certificates are free.
async fn known(verifier: &Verifier, received: &Received) -> Result<Option<ReservedPayment>, Stop> {
    if received.operator_id() != verifier.operator_id() {
        return Ok(None);
    }
    match verifier.store.find(received.payment_id()).await? {
        Some(KnownPayment::Committed(answer) | KnownPayment::Refused(answer)) => {
            Err(Stop::Answered(answer))
        }
        Some(KnownPayment::Reserved(reserved)) => Ok(Some(reserved)),
        None => Ok(None),
    }
}

/// Checks 3 to 10.
async fn check<'v, P: Price>(
    verifier: &'v Verifier,
    received: Received,
    price: &P,
) -> Result<(CheckedPayment, &'v VendorPolicy), Stop> {
    let vendor = received.vendor_id();
    let manifest = verifier.manifests.held(&vendor);
    let refused = |refusal: Refusal| stop_of(verifier, refusal);
    let addressed =
        received.accepted_from(|_| manifest.is_some(), &verifier.operator_id()).map_err(refused)?;
    let (Some(manifest), Some(policy)) = (manifest, verifier.policy(&vendor)) else {
        return Err(refused(Refusal::WrongVendor));
    };
    let (accept_test, now) = (policy.accept_test, verifier.believed().read());
    let inspected = Addressed::inspect(addressed, manifest, accept_test, now.wall);
    let inspected = inspected.map_err(|refusal| match refusal {
        // A refusal is signed and final, and this one depends on which clock is right.
        Refusal::DayOutOfRange | Refusal::KeyOutsideWindow if now.is_in_doubt() => {
            let problem = Problem::new(ProblemType::Overloaded);
            Stop::from(problem.detail("the relay's clock is in doubt"))
        }
        refusal => refused(refusal),
    })?;
    let quote = price.quote(inspected.resource_request()).await;
    let quote: Quote = quote.map_err(|problem| Stop::refused(problem, Genuine::NotVerified))?;
    let priced = inspected.for_price(quote).map_err(refused)?;
    let checked = verify_signatures(verifier, priced).await?.map_err(refused)?;
    Ok((checked, policy))
}

fn stop_of(verifier: &Verifier, refusal: Refusal) -> Stop {
    let problem = match refusal {
        Refusal::PaymentTooLow { quote, .. } => verifier.with_terms(refusal.problem(), quote),
        Refusal::KeyUnknown => {
            verifier.manifests.want_refresh(); // the vendor may have begun an epoch
            refusal.problem()
        }
        _ => refusal.problem(),
    };
    match refusal.depends_on_the_relay() {
        true => Stop::refused(problem, Genuine::NotVerified),
        false => problem.into(),
    }
}

/// On a thread that may block, and on no more threads at a time than there are processors.
async fn verify_signatures(
    verifier: &Verifier,
    priced: Priced,
) -> Result<Result<CheckedPayment, Refusal>, Stop> {
    let Ok(_slot) = verifier.signature_slots.acquire().await else {
        return Err(ProblemType::Internal.into()); // the semaphore is never closed
    };
    let mut rng = (verifier.rng)();
    let verified = tokio::task::spawn_blocking(move || priced.verify(&mut &mut *rng)).await;
    verified.map_err(|error| {
        tracing::error!(panicked = error.is_panic(), "the check of a payment did not end");
        ProblemType::Internal.into()
    })
}

/// Checks 11 and 12, in one transaction of the store.
async fn reserve(
    verifier: &Verifier,
    checked: &CheckedPayment,
    policy: &VendorPolicy,
) -> Result<ReservedPayment, Stop> {
    let asks_first = policy.risk.asks_first(checked.credits);
    let reservation = Reservation::of(checked, asks_first, policy.stop_above, verifier.now());
    verifier.steps.at("verifier.reserve.before");
    let outcome = verifier.store.reserve(reservation).await?;
    verifier.steps.at("verifier.reserve.after");
    match outcome {
        ReserveOutcome::New(reserved) | ReserveOutcome::Retry(reserved) => Ok(reserved),
        ReserveOutcome::Committed(answer) => Err(Stop::Answered(answer)),
        ReserveOutcome::Refused(answer) => Err(Stop::Answered(answer)),
        ReserveOutcome::SpentElsewhere { proof } => {
            Err(Stop::refused(spent(proof.as_ref()), Genuine::Verified))
        }
        ReserveOutcome::OverLimit => {
            Err(Stop::refused(ProblemType::VendorLimit, Genuine::Verified))
        }
        ReserveOutcome::BindingRefused => {
            let detail = "a certificate is bound as in a payment that was refused";
            let problem = Problem::new(ProblemType::RequestRefused).detail(detail);
            Err(Stop::refused(problem, Genuine::Verified))
        }
    }
}

fn spent(proof: Option<&ConflictProof>) -> Problem {
    let mut problem = Problem::new(ProblemType::CertificateSpent);
    problem.conflict = proof.map(|proof| encode_base64url(&proof.encode()));
    problem
}

fn all_of(reserved: &ReservedPayment) -> Paid {
    paid_with(reserved, |_| true)
}

/// What was paid with the certificates that `counts` lets pass.
fn paid_with(reserved: &ReservedPayment, counts: impl Fn(EvidenceState) -> bool) -> Paid {
    let certificates: Vec<PaidCertificate> = reserved
        .certificates
        .iter()
        .filter(|certificate| counts(certificate.state))
        .map(|certificate| PaidCertificate { key: certificate.key, value: certificate.value })
        .collect();
    Paid {
        payment_id: reserved.payment_id,
        vendor_id: reserved.vendor_id,
        credits: scrip_protocol::credits::Credits::total(
            certificates.iter().map(|certificate| certificate.value),
        ),
        seconds_per_credit: reserved.seconds_per_credit,
        certificates,
    }
}

/// Checks 13 and 14: commit, refuse, or leave the reservation for the next attempt.
async fn settle(
    verifier: &Verifier,
    reserved: &ReservedPayment,
    provisioned: Provisioned,
) -> Result<StoredAnswer, Stop> {
    match provisioned {
        Provisioned::Done(answer) => Ok(verifier.commit(reserved.payment_id, answer).await?),
        Provisioned::Nothing(problem) => Err(Stop::refused(problem, Genuine::Verified)),
        Provisioned::Unknown(problem) => Err(problem.into()),
    }
}
