//! What every spent store promises, as tests that any implementation can be put through.

use std::sync::Arc;

use futures_util::future::join_all;
use scrip_protocol::{
    credits::{Credits, Exponent},
    id::{KeyId, PaymentId, VendorId},
    keys::{PublicKey, Signature},
    manifest::KeyUse,
    payment::Evidence,
    redemption::{ConflictProof, DoubleSpend, InvalidReason, ItemResult, RedemptionItem, Winner},
    spend::{Binding, Commitment, SpendKind},
    time::{Day, UnixSeconds},
    token::Token,
};

use super::{
    EvidenceState, KnownPayment, MOST_REFUSALS, NewBatch, NewRefusal, OutcomeRecord, PendingBatch,
    RefuseOutcome, Reservation, ReserveOutcome, ReservedItem, ReservedPayment, SpentStore,
    StoreError, Waiting,
};
use crate::provisions::StoredAnswer;

/// When the reservations below are made.
pub const AT: UnixSeconds = UnixSeconds(1_800_000_000);
const REDEEM_UNTIL: UnixSeconds = UnixSeconds(1_900_000_000);

/// Puts a store, empty at first, through everything.
///
/// # Panics
/// Where a promise is broken.
pub async fn run(store: Arc<dyn SpentStore>) {
    // Each part uses a vendor of its own, and so sees nothing of the others.
    retries_and_conflicts(&*store, vendor(1)).await;
    all_or_nothing(&*store, vendor(2)).await;
    release_frees(&*store, vendor(3)).await;
    exactly_one_wins(&store, vendor(4)).await;
    the_limit_holds(&store, vendor(5)).await;
    a_batch_goes_its_way(&*store, vendor(6)).await;
    asked_first(&*store, vendor(7)).await;
    closed_epochs_are_dropped(&*store, vendor(8)).await;
    refused_is_never_taken(&*store, vendor(9)).await;
    refusals_are_bounded_and_pruned(&*store, vendor(10)).await;
}

/// A vendor's id for tests.
pub fn vendor(number: u8) -> VendorId {
    VendorId::from_bytes([number; 32])
}

/// A reservation of certificates of two credits with these keys, named by `payment`.
pub fn reservation(vendor_id: VendorId, payment: u16, keys: &[u32]) -> Reservation {
    let mut id = *vendor_id.as_bytes();
    id[..2].copy_from_slice(&payment.to_be_bytes());
    Reservation {
        payment_id: PaymentId::from_bytes(id),
        vendor_id,
        seconds_per_credit: 60,
        asks_first: false,
        limit: None,
        at: AT,
        items: keys.iter().map(|key| item(payment, *key)).collect(),
    }
}

fn item(payment: u16, key: u32) -> ReservedItem {
    let mut binding = [0xb0; 32];
    binding[..2].copy_from_slice(&payment.to_be_bytes());
    binding[2..6].copy_from_slice(&key.to_be_bytes());
    let token = Token {
        nonce: nonce(key),
        challenge_digest: [1; 32],
        key_id: KeyId::from_bytes([2; 32]),
        authenticator: [3; 256],
    };
    let mut signature = [5; 64];
    signature[..32].copy_from_slice(&binding);
    let (day, commitment) = (AT.day(), Commitment::from_bytes(binding));
    let signature = Signature::from_bytes(signature);
    let item = RedemptionItem { token, day, commitment, signature };
    ReservedItem {
        epoch: 1,
        exponent: Exponent::new(1).unwrap(),
        key_use: KeyUse::Production,
        redeem_until: REDEEM_UNTIL,
        evidence: Evidence { item, binding: Binding::from_bytes(binding) },
    }
}

fn nonce(key: u32) -> [u8; 32] {
    let mut nonce = [0x99; 32];
    nonce[..4].copy_from_slice(&key.to_be_bytes());
    nonce
}

fn answer(text: &str) -> StoredAnswer {
    StoredAnswer { status: 201, content_type: "text/x".into(), body: text.into() }
}

async fn reserve(store: &dyn SpentStore, reservation: &Reservation) -> ReserveOutcome {
    store.reserve(reservation.clone()).await.unwrap()
}

async fn reserve_new(store: &dyn SpentStore, reservation: &Reservation) -> ReservedPayment {
    match reserve(store, reservation).await {
        ReserveOutcome::New(reserved) => reserved,
        other => panic!("{other:?}"),
    }
}

async fn unredeemed(store: &dyn SpentStore, vendor: VendorId) -> Credits {
    let totals = store.totals().await.unwrap();
    totals.iter().find(|one| one.vendor_id == vendor).map_or(Credits::ZERO, |one| one.unredeemed)
}

/// The spend-identity rule: the same payment is a retry, another payment a conflict with its proof.
async fn retries_and_conflicts(store: &dyn SpentStore, vendor: VendorId) {
    let first = reservation(vendor, 1, &[1, 2]);
    assert_eq!(store.find(first.payment_id).await.unwrap(), None);
    let reserved = reserve_new(store, &first).await;
    assert_eq!(reserved.certificates.len(), 2);
    assert_eq!(reserved.seconds_per_credit, 60);
    assert_eq!(reserve(store, &first).await, ReserveOutcome::Retry(reserved.clone()));
    let found = store.find(first.payment_id).await.unwrap();
    assert_eq!(found, Some(KnownPayment::Reserved(reserved)));

    assert_eq!(store.commit(first.payment_id, answer("a")).await.unwrap(), answer("a"));
    let second = store.commit(first.payment_id, answer("b")).await.unwrap();
    assert_eq!(second, answer("a"), "the first answer stays");
    assert_eq!(reserve(store, &first).await, ReserveOutcome::Committed(answer("a")));
    let found = store.find(first.payment_id).await.unwrap();
    assert_eq!(found, Some(KnownPayment::Committed(answer("a"))));

    let evidence = &first.items[1].evidence;
    let proof = ConflictProof {
        certificate_key: PublicKey::from_bytes(nonce(2)).unwrap(),
        kind: SpendKind::Spend,
        other_binding: evidence.binding,
        other_signature: evidence.item.signature,
    };
    let other = reserve(store, &reservation(vendor, 2, &[3, 2])).await;
    assert_eq!(other, ReserveOutcome::SpentElsewhere { proof: Some(proof) });

    let mut same_binding = first.clone();
    same_binding.payment_id = PaymentId::from_bytes([0xee; 32]);
    let outcome = reserve(store, &same_binding).await;
    assert_eq!(outcome, ReserveOutcome::SpentElsewhere { proof: None });
}

/// A refused reservation leaves nothing behind: its other certificates stay free.
async fn all_or_nothing(store: &dyn SpentStore, vendor: VendorId) {
    reserve_new(store, &reservation(vendor, 1, &[1])).await;
    let outcome = reserve(store, &reservation(vendor, 2, &[7, 1])).await;
    assert!(matches!(outcome, ReserveOutcome::SpentElsewhere { .. }));
    assert_eq!(unredeemed(store, vendor).await, Credits(2));
    assert_eq!(store.find(reservation(vendor, 2, &[]).payment_id).await.unwrap(), None);
    reserve_new(store, &reservation(vendor, 3, &[7])).await;
}

async fn release_frees(store: &dyn SpentStore, vendor: VendorId) {
    let first = reservation(vendor, 1, &[1, 2]);
    reserve_new(store, &first).await;
    store.release(first.payment_id).await.unwrap();
    store.release(first.payment_id).await.unwrap();
    assert_eq!(unredeemed(store, vendor).await, Credits::ZERO);
    assert_eq!(store.find(first.payment_id).await.unwrap(), None);
    let late = store.commit(first.payment_id, answer("late")).await;
    assert!(matches!(late, Err(StoreError::NotReserved)));

    let second = reservation(vendor, 2, &[2, 3]);
    reserve_new(store, &second).await;
    let early = UnixSeconds(AT.0 - 1);
    assert!(!store.reserved(early).await.unwrap().iter().any(|one| one.vendor_id == vendor));
    assert!(store.reserved(AT).await.unwrap().iter().any(|one| one.vendor_id == vendor));
    store.commit(second.payment_id, answer("x")).await.unwrap();
    assert!(!store.reserved(AT).await.unwrap().iter().any(|one| one.vendor_id == vendor));
    let released = store.release(second.payment_id).await;
    assert!(matches!(released, Err(StoreError::NotReleasable)));
}

fn refusal(reservation: &Reservation, text: &str) -> NewRefusal {
    let bindings = reservation.items.iter();
    NewRefusal {
        payment_id: reservation.payment_id,
        day: AT.day(),
        bindings: bindings
            .map(|item| (item.evidence.item.token.nonce, item.evidence.binding))
            .collect(),
        answer: answer(text),
    }
}

async fn refuse(store: &dyn SpentStore, reservation: &Reservation, text: &str) -> RefuseOutcome {
    store.refuse(refusal(reservation, text)).await.unwrap()
}

/// The payment, its bindings in whatever payment, and the first answer; reserved before or not.
async fn refused_is_never_taken(store: &dyn SpentStore, vendor: VendorId) {
    let first = reservation(vendor, 301, &[1, 2]);
    reserve_new(store, &first).await;
    assert_eq!(refuse(store, &first, "a").await, RefuseOutcome::Refused(answer("a")));
    assert_eq!(unredeemed(store, vendor).await, Credits::ZERO, "released with it");
    assert_eq!(refuse(store, &first, "b").await, RefuseOutcome::Refused(answer("a")));
    assert_eq!(reserve(store, &first).await, ReserveOutcome::Refused(answer("a")));
    let found = store.find(first.payment_id).await.unwrap();
    assert_eq!(found, Some(KnownPayment::Refused(answer("a"))));
    let late = store.commit(first.payment_id, answer("late")).await;
    assert!(matches!(late, Err(StoreError::NotReserved)));
    store.release(first.payment_id).await.unwrap();
    assert_eq!(reserve(store, &first).await, ReserveOutcome::Refused(answer("a")));

    // One of its bindings, under another name.
    let mut part = reservation(vendor, 301, &[2]);
    part.payment_id = PaymentId::from_bytes([0xed; 32]);
    assert_eq!(reserve(store, &part).await, ReserveOutcome::BindingRefused);
    assert_eq!(refuse(store, &part, "c").await, RefuseOutcome::Refused(answer("c")));
    // The certificates, bound anew.
    let second = reservation(vendor, 302, &[1, 2]);
    reserve_new(store, &second).await;
    store.commit(second.payment_id, answer("x")).await.unwrap();
    assert_eq!(refuse(store, &second, "d").await, RefuseOutcome::Committed(answer("x")));
    let mut taken = reservation(vendor, 302, &[1]);
    taken.payment_id = PaymentId::from_bytes([0xec; 32]);
    assert_eq!(refuse(store, &taken, "e").await, RefuseOutcome::Taken);
    assert_eq!(store.find(taken.payment_id).await.unwrap(), None);
    // A payment that was never reserved, of certificates that were spent for something else.
    let third = reservation(vendor, 303, &[1, 2]);
    assert_eq!(refuse(store, &third, "f").await, RefuseOutcome::Refused(answer("f")));
    assert_eq!(unredeemed(store, vendor).await, Credits(4));
}

async fn refusals_are_bounded_and_pruned(store: &dyn SpentStore, vendor: VendorId) {
    for at in 0..MOST_REFUSALS as u16 {
        let payment = reservation(vendor, 400 + at, &[7_001]);
        assert!(matches!(refuse(store, &payment, "r").await, RefuseOutcome::Refused(_)));
    }
    let more = reservation(vendor, 499, &[7_002, 7_001]);
    reserve_new(store, &more).await;
    assert_eq!(refuse(store, &more, "r").await, RefuseOutcome::Full);
    assert_eq!(unredeemed(store, vendor).await, Credits::ZERO, "released all the same");
    assert_eq!(store.find(more.payment_id).await.unwrap(), None);
    // While the day of the payment could let it pass, also by a clock that is some days wrong, a refusal is there.
    let first = reservation(vendor, 400, &[7_001]);
    while store.prune(AT.plus(20 * 86_400)).await.unwrap() > 0 {}
    assert!(matches!(reserve(store, &first).await, ReserveOutcome::Refused(_)));
    while store.prune(AT.plus(40 * 86_400)).await.unwrap() > 0 {}
    assert_eq!(store.find(first.payment_id).await.unwrap(), None);
    assert!(matches!(refuse(store, &more, "r").await, RefuseOutcome::Refused(_)));
}

/// 64 payments at once with one certificate in common, and one more of their own.
async fn exactly_one_wins(store: &Arc<dyn SpentStore>, vendor: VendorId) {
    let attempts = (0..64).map(|at| {
        let (store, reservation) =
            (Arc::clone(store), reservation(vendor, at, &[5_000, u32::from(at)]));
        tokio::spawn(async move { store.reserve(reservation).await.unwrap() })
    });
    let outcomes = join_all(attempts).await;
    let won = outcomes.iter().filter(|one| matches!(one, Ok(ReserveOutcome::New(_)))).count();
    let lost = |one: &&Result<ReserveOutcome, _>| {
        matches!(one, Ok(ReserveOutcome::SpentElsewhere { proof: Some(_) }))
    };
    assert_eq!((won, outcomes.iter().filter(lost).count()), (1, 63));
    assert_eq!(unredeemed(&**store, vendor).await, Credits(4));
}

/// 64 payments at once of two credits each, and room for twenty credits.
async fn the_limit_holds(store: &Arc<dyn SpentStore>, vendor: VendorId) {
    let attempts = (0..64).map(|at| {
        let mut reservation = reservation(vendor, at, &[u32::from(at)]);
        reservation.limit = Some(Credits(20));
        let store = Arc::clone(store);
        tokio::spawn(async move { store.reserve(reservation).await.unwrap() })
    });
    let outcomes = join_all(attempts).await;
    let won = outcomes.iter().filter(|one| matches!(one, Ok(ReserveOutcome::New(_)))).count();
    let over = outcomes.iter().filter(|one| matches!(one, Ok(ReserveOutcome::OverLimit))).count();
    assert_eq!((won, over), (10, 54));
    assert_eq!(unredeemed(&**store, vendor).await, Credits(20));
    // A retry takes nothing, and is answered whatever the limit.
    let winner = outcomes.iter().position(|one| matches!(one, Ok(ReserveOutcome::New(_))));
    let at = winner.unwrap() as u16;
    let mut again = reservation(vendor, at, &[u32::from(at)]);
    again.limit = Some(Credits::ZERO);
    assert!(matches!(reserve(&**store, &again).await, ReserveOutcome::Retry(_)));
    store.release(again.payment_id).await.unwrap();
    let mut next = reservation(vendor, 99, &[99]);
    next.limit = Some(Credits(20));
    reserve_new(&**store, &next).await;
}

async fn pending(store: &dyn SpentStore, vendor: VendorId) -> Vec<PendingBatch> {
    let mut pending = store.pending_batches().await.unwrap();
    pending.retain(|batch| batch.vendor_id == vendor);
    pending
}

async fn put(store: &dyn SpentStore, batch: &NewBatch) -> Result<(), StoreError> {
    store.put_batches(vec![batch.clone()]).await
}

/// From waiting evidence through a batch to results, conflicts and earnings.
async fn a_batch_goes_its_way(store: &dyn SpentStore, vendor: VendorId) {
    let payment = reservation(vendor, 1, &[1, 2, 3, 4, 5]);
    reserve_new(store, &payment).await;
    assert_eq!(store.waiting(vendor).await.unwrap(), Waiting::default());
    store.commit(payment.payment_id, answer("x")).await.unwrap();
    assert_eq!(
        store.waiting(vendor).await.unwrap(),
        Waiting { items: 5, oldest: Some(AT), redeem_until: Some(REDEEM_UNTIL) }
    );
    assert_eq!(store.redeemable(vendor, 2).await.unwrap().len(), 2);
    let items = store.redeemable(vendor, 9).await.unwrap();
    let shown: Vec<_> = items.iter().map(|one| one.item.clone()).collect();
    let own: Vec<_> = payment.items.iter().map(|one| one.evidence.item.clone()).collect();
    assert!(shown == own, "the evidence is what was reserved");

    let members = items.iter().rev().map(|one| one.number).collect();
    let batch = NewBatch { vendor_id: vendor, bytes: vec![42; 100], members, at: AT };
    put(store, &batch).await.unwrap();
    assert!(matches!(put(store, &batch).await, Err(StoreError::AlreadyInBatch)));
    assert_eq!(store.waiting(vendor).await.unwrap().items, 0);
    let pending_batches = pending(store, vendor).await;
    let [sent] = pending_batches[..] else { panic!("one batch") };
    assert_eq!(store.batch_bytes(sent.number).await.unwrap(), [42; 100]);
    assert_eq!(store.pending_batches_of(payment.payment_id).await.unwrap(), [sent]);

    let double_spend = double_spend(4);
    let results = vec![
        ItemResult::Accepted,
        ItemResult::DoubleSpent(double_spend),
        ItemResult::Expired,
        ItemResult::Invalid(InvalidReason::Day),
        ItemResult::AlreadyAccepted,
    ];
    let (batch, bytes, day) = (sent.number, vec![43; 9], Day(20_833));
    let mut outcome = OutcomeRecord { batch, bytes, results, day };
    let short = OutcomeRecord { results: outcome.results[1..].to_vec(), ..outcome.clone() };
    assert!(matches!(store.record_outcome(short).await, Err(StoreError::UnknownBatch)));
    assert_eq!(unredeemed(store, vendor).await, Credits(10));
    store.record_outcome(outcome.clone()).await.unwrap();
    outcome.results = vec![ItemResult::Accepted; 5];
    store.record_outcome(outcome).await.unwrap(); // answered already: the first answer stays
    assert_eq!(pending(store, vendor).await, []);

    let totals = store.totals().await.unwrap();
    let totals = totals.iter().find(|one| one.vendor_id == vendor).unwrap();
    assert_eq!(totals.unredeemed, Credits::ZERO);
    assert_eq!((totals.accepted, totals.lost), (Credits(4), Credits(6)));
    assert_eq!((totals.conflicts, totals.oldest), (1, None));
    let earnings = store.earnings().await.unwrap();
    let mut kinds: Vec<_> =
        earnings.iter().filter(|row| row.vendor_id == vendor).map(|row| row.state).collect();
    kinds.sort_by_key(|state| state.code());
    assert_eq!(kinds, &EvidenceState::ALL[3..]);
    told_once(store, vendor, payment.payment_id, &double_spend.proof()).await;
}

/// What a vendor says of a certificate with this number.
fn double_spend(number: u32) -> DoubleSpend {
    DoubleSpend {
        certificate_key: PublicKey::from_bytes(nonce(number)).unwrap(),
        other_binding: Binding::from_bytes([8; 32]),
        other_signature: Signature::from_bytes([8; 64]),
        winner: Winner::Leaf(0),
    }
}

async fn told_once(
    store: &dyn SpentStore,
    vendor: VendorId,
    payment: PaymentId,
    proof: &ConflictProof,
) {
    let unreported = store.unreported().await.unwrap();
    let [conflict] = unreported[..] else { panic!("one conflict") };
    assert_eq!((conflict.payment_id, conflict.vendor_id), (payment, vendor));
    assert_eq!((conflict.value, conflict.proof), (Credits(2), *proof));
    store.reported(conflict.number).await.unwrap();
    store.reported(conflict.number).await.unwrap();
    assert_eq!(store.unreported().await.unwrap(), []);
    let kept = store.conflicts(9).await.unwrap();
    assert!(kept.iter().any(|one| one.number == conflict.number && one.reported));
}

/// A payment that the vendor was shown cannot be released, and its conflicts are not for the server.
async fn asked_first(store: &dyn SpentStore, vendor: VendorId) {
    let mut payment = reservation(vendor, 1, &[1, 2]);
    payment.asks_first = true;
    assert!(reserve_new(store, &payment).await.asks_first);
    let items = store.unshown(payment.payment_id).await.unwrap();
    let members = items.iter().map(|one| one.number).collect();
    let batch = NewBatch { vendor_id: vendor, bytes: vec![1], members, at: AT };
    put(store, &batch).await.unwrap();
    assert!(store.unshown(payment.payment_id).await.unwrap().is_empty());
    let released = store.release(payment.payment_id).await;
    assert!(matches!(released, Err(StoreError::NotReleasable)));

    let [sent] = pending(store, vendor).await[..] else { panic!("one batch") };
    let results = vec![ItemResult::DoubleSpent(double_spend(1)), ItemResult::Accepted];
    let outcome = OutcomeRecord { batch: sent.number, bytes: vec![2], results, day: Day(1) };
    store.record_outcome(outcome).await.unwrap();
    assert_eq!(store.unreported().await.unwrap(), []);
    assert_eq!(store.conflicts_of(payment.payment_id).await.unwrap().len(), 1);
    let Some(KnownPayment::Reserved(reserved)) = store.find(payment.payment_id).await.unwrap()
    else {
        panic!("reserved")
    };
    let states: Vec<_> = reserved.certificates.iter().map(|one| one.state).collect();
    assert_eq!(states, [EvidenceState::DoubleSpent, EvidenceState::Accepted]);
    store.commit(payment.payment_id, answer("x")).await.unwrap();
    assert_eq!(store.waiting(vendor).await.unwrap().items, 0, "nothing is redeemed twice");
}

/// What is decided goes when its epoch closes; what is not decided is money and stays.
async fn closed_epochs_are_dropped(store: &dyn SpentStore, vendor: VendorId) {
    let decided = reservation(vendor, 1, &[1, 2]);
    let open = reservation(vendor, 2, &[3]);
    for payment in [&decided, &open] {
        reserve_new(store, payment).await;
        store.commit(payment.payment_id, answer("x")).await.unwrap();
    }
    let items = store.redeemable(vendor, 2).await.unwrap();
    let members = items.iter().map(|one| one.number).collect();
    let batch = NewBatch { vendor_id: vendor, bytes: vec![1], members, at: AT };
    put(store, &batch).await.unwrap();
    let [sent] = pending(store, vendor).await[..] else { panic!("one batch") };
    let results = vec![ItemResult::Accepted; 2];
    let outcome =
        OutcomeRecord { batch: sent.number, bytes: vec![2], results, day: REDEEM_UNTIL.day() };
    store.record_outcome(outcome).await.unwrap();

    assert_eq!(store.prune(UnixSeconds(REDEEM_UNTIL.0 - 1)).await.unwrap(), 0);
    assert!(store.find(decided.payment_id).await.unwrap().is_some());
    while store.prune(REDEEM_UNTIL).await.unwrap() > 0 {}
    assert_eq!(store.find(decided.payment_id).await.unwrap(), None);
    assert!(store.find(open.payment_id).await.unwrap().is_some());
    assert_eq!(store.waiting(vendor).await.unwrap().items, 1);
    let accepted = store.totals().await.unwrap();
    let accepted = accepted.iter().find(|one| one.vendor_id == vendor).unwrap().accepted;
    assert_eq!(accepted, Credits(4), "the books stay");
    assert!(store.batch_bytes(sent.number).await.is_ok(), "receipts stay longer");
    assert_eq!(store.prune(REDEEM_UNTIL.plus(3 * 366 * 86_400)).await.unwrap(), 0);
    assert!(store.batch_bytes(sent.number).await.is_err());
}
