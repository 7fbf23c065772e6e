//! Redemption: every check, and who wins.

use futures_util::future::join_all;
use scrip_protocol::{
    id::{BatchId, VendorId},
    issuance::Certificate,
    keys::SigningKey,
    limits::MAX_REDEMPTION_BATCH,
    problem::ProblemType,
    redemption::{InvalidReason, ItemResult, RedemptionBatch, RedemptionItem},
    time::Day,
};

use super::support::*;
use crate::testing::TestIssuer;

async fn vendor_with_certificates() -> (TestIssuer, Vec<Certificate>) {
    let vendor = TestIssuer::start().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    (vendor, certificates)
}

fn proof(result: &ItemResult) -> scrip_protocol::redemption::ConflictProof {
    match result {
        ItemResult::DoubleSpent(spend) => spend.proof(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_spend_wins_and_a_retry_is_none() {
    let (vendor, certificates) = vendor_with_certificates().await;
    let (mut one, mut two) = (Operator::new(&vendor, 1).await, Operator::new(&vendor, 2).await);
    let first = one.item(&vendor, &certificates[0], 1);
    let batch = one.batch(&vendor, vec![first.clone()]);
    let answer = send_batch(&vendor.issuer, batch.clone()).await;
    assert_eq!(outcome(&vendor, &batch, answer.clone()).results, [ItemResult::Accepted]);
    assert_eq!(send_batch(&vendor.issuer, batch).await, answer, "the same bytes again");

    // In another batch it is the same spend; at another operator, or for another resource, a second one.
    let again = one.redeem(&vendor, vec![first.clone()]).await;
    assert_eq!(again, [ItemResult::AlreadyAccepted]);
    let own = first.binding(&vendor.issuer.vendor_id(), &one.id);
    for (operator, resource) in [(&mut two, 1), (&mut one, 2)] {
        let item = operator.item(&vendor, &certificates[0], resource);
        let binding = item.binding(&vendor.issuer.vendor_id(), &operator.id);
        let proof = proof(&operator.redeem(&vendor, vec![item.clone()]).await[0]);
        assert_eq!(proof.other_binding, own);
        proof.verify(&item.token.nonce, &binding).unwrap();
    }

    let status = vendor.issuer.status().await.unwrap();
    assert_eq!(status.credits_redeemed.0, 1);
    assert_eq!((status.operators[0].certificates, status.operators[1].certificates), (1, 0));
}

#[tokio::test]
async fn within_one_batch_too() {
    let (vendor, certificates) = vendor_with_certificates().await;
    let mut operator = Operator::new(&vendor, 1).await;
    let item =
        |certificate: usize, resource| operator.item(&vendor, &certificates[certificate], resource);
    let (a1, a2, b1) = (item(0, 1), item(0, 2), item(6, 1));
    let spoiled = RedemptionItem { signature: bad_signature(), ..b1.clone() };
    let items = vec![a1.clone(), spoiled, a2.clone(), a1.clone(), b1, a2];
    let results = operator.redeem(&vendor, items).await;
    let vendor_id = vendor.issuer.vendor_id();
    assert_eq!(results[0], ItemResult::Accepted);
    assert_eq!(results[1], ItemResult::Invalid(InvalidReason::SpendSignature));
    assert_eq!(proof(&results[2]).other_binding, a1.binding(&vendor_id, &operator.id));
    assert_eq!(results[3], ItemResult::AlreadyAccepted);
    assert_eq!(results[4], ItemResult::Accepted, "an invalid copy before it takes nothing");
    assert_eq!(results[5], results[2]);
    let status = vendor.issuer.status().await.unwrap();
    assert_eq!((status.operators[0].certificates, status.credits_redeemed.0), (2, 1 + 4));
}

#[tokio::test]
async fn each_item_fails_its_first_check() {
    let (vendor, certificates) = vendor_with_certificates().await;
    let mut operator = Operator::new(&vendor, 1).await;
    let good = operator.item(&vendor, &certificates[0], 1);
    let with = |edit: &dyn Fn(&mut RedemptionItem)| {
        let mut item = good.clone();
        edit(&mut item);
        item
    };
    let mut identity = [0; 32]; // the neutral element: every signature of this form would verify
    identity[0] = 1;
    let unreduced = [0xff; 32];
    let windows = vendor.issuer.manifest().epochs()[0].windows;
    let (first, last) = (windows.issue_from.day().0 - 1, windows.spend_until.day().0 + 1);
    let days = [first - 1, last + 1, 0, u32::MAX];
    let cases = [
        (with(&|item| item.token.challenge_digest[0] ^= 1), InvalidReason::Challenge),
        (
            with(&|item| item.token.key_id = scrip_protocol::id::KeyId::from_bytes([1; 32])),
            InvalidReason::Key,
        ),
        (with(&|item| item.token.nonce = identity), InvalidReason::CertificateKey),
        (with(&|item| item.token.nonce = unreduced), InvalidReason::CertificateKey),
        (with(&|item| item.token.authenticator[9] ^= 1), InvalidReason::CertificateSignature),
        (
            with(&|item| item.token.key_id = certificates[6].token().key_id),
            InvalidReason::CertificateSignature,
        ),
        (with(&|item| item.signature = bad_signature()), InvalidReason::SpendSignature),
        (
            with(&|item| item.commitment = scrip_protocol::spend::Commitment::from_bytes([1; 32])),
            InvalidReason::SpendSignature,
        ),
        (with(&|item| item.day = Day(item.day.0 + 1)), InvalidReason::SpendSignature),
    ];
    let before = database(&vendor.issuer).await;
    let mut items: Vec<RedemptionItem> = cases.iter().map(|(item, _)| item.clone()).collect();
    items.extend(days.map(|day| operator.item_of_day(&vendor, &certificates[0], 1, Day(day))));
    let results = operator.redeem(&vendor, items).await;
    for (result, (_, reason)) in results.iter().zip(&cases) {
        assert_eq!(*result, ItemResult::Invalid(*reason));
    }
    assert!(results[cases.len()..].iter().all(|r| *r == ItemResult::Invalid(InvalidReason::Day)));
    let after = database(&vendor.issuer).await;
    for table in ["spent", "evidence", "redeemed"] {
        assert_eq!(after[table], before[table], "{table}");
    }
    // Nothing was lost: the certificate is as good as before, also with the outermost days.
    let outermost = [
        operator.item_of_day(&vendor, &certificates[1], 1, Day(first)),
        operator.item_of_day(&vendor, &certificates[2], 1, Day(last)),
        good,
    ];
    assert_eq!(operator.redeem(&vendor, outermost.into()).await, [ItemResult::Accepted; 3]);
}

#[tokio::test]
async fn after_the_window_only_the_record_counts() {
    let (vendor, certificates) = vendor_with_certificates().await;
    let mut operator = Operator::new(&vendor, 1).await;
    let recorded = operator.item(&vendor, &certificates[0], 1);
    let unrecorded = operator.item(&vendor, &certificates[1], 1);
    let conflicting = operator.item(&vendor, &certificates[0], 2);
    let last = operator.item(&vendor, &certificates[2], 1);
    let spoil =
        |item: &RedemptionItem| RedemptionItem { signature: bad_signature(), ..item.clone() };
    let first = operator.redeem(&vendor, vec![recorded.clone()]).await;
    assert_eq!(first, [ItemResult::Accepted]);

    let redeem_until = vendor.issuer.manifest().epochs()[0].windows.redeem_until;
    vendor.clock.set(redeem_until.minus(1));
    assert_eq!(operator.redeem(&vendor, vec![last]).await, [ItemResult::Accepted]);
    vendor.clock.set(redeem_until);
    let items = vec![
        recorded.clone(),
        unrecorded.clone(),
        conflicting,
        spoil(&unrecorded),
        spoil(&recorded),
    ];
    let results = operator.redeem(&vendor, items).await;
    assert_eq!(results[0], ItemResult::AlreadyAccepted);
    assert_eq!(results[1], ItemResult::Expired);
    assert!(matches!(results[2], ItemResult::DoubleSpent(_)));
    assert_eq!(results[3], ItemResult::Expired, "the window is checked before the signatures");
    assert_eq!(results[4], ItemResult::Invalid(InvalidReason::SpendSignature));
}

#[tokio::test]
async fn a_refused_batch_changes_nothing() {
    let (vendor, certificates) = vendor_with_certificates().await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items = vec![operator.item(&vendor, &certificates[0], 1)];
    let good = operator.batch(&vendor, items.clone());
    let body = RedemptionBatch {
        vendor_id: vendor.issuer.vendor_id(),
        operator_id: operator.id,
        batch_id: BatchId::from_bytes([1; 16]),
        items,
    };
    let stranger = SigningKey::from_seed(&[99; 32]);
    let elsewhere = RedemptionBatch { vendor_id: VendorId::from_bytes([1; 32]), ..body.clone() }
        .sign(&operator.key);
    let unknown = RedemptionBatch {
        operator_id: scrip_protocol::id::OperatorId::of(&stranger.public()),
        ..body.clone()
    };
    let mut altered = good.clone();
    altered[70] ^= 1; // in the batch's name
    let before = database(&vendor.issuer).await;
    for (bytes, problem) in [
        (vec![0; MAX_REDEMPTION_BATCH + 1], ProblemType::TooLarge),
        (good[..good.len() - 1].to_vec(), ProblemType::Malformed),
        ([good.clone(), vec![0]].concat(), ProblemType::Malformed),
        (
            RedemptionBatch { items: Vec::new(), ..body.clone() }.sign(&operator.key),
            ProblemType::Malformed,
        ),
        (elsewhere, ProblemType::WrongVendor),
        (unknown.sign(&stranger), ProblemType::OperatorUnknown),
        (body.sign(&stranger), ProblemType::OperatorSignatureInvalid),
        (altered, ProblemType::OperatorSignatureInvalid),
    ] {
        assert_eq!(send_batch(&vendor.issuer, bytes).await.problem(), problem);
    }
    assert_eq!(database(&vendor.issuer).await, before);
    let answer = send_batch(&vendor.issuer, good.clone()).await;
    assert_eq!(outcome(&vendor, &good, answer).results, [ItemResult::Accepted]);
}

#[tokio::test]
async fn of_many_operators_at_once_one_is_credited() {
    let (vendor, certificates) = vendor_with_certificates().await;
    let mut batches = Vec::new();
    for number in 1..=16 {
        let mut operator = Operator::new(&vendor, number).await;
        let items = certificates.iter().map(|c| operator.item(&vendor, c, number)).collect();
        batches.push(operator.batch(&vendor, items));
    }
    let answers = join_all(batches.iter().map(|b| send_batch(&vendor.issuer, b.clone()))).await;
    let outcomes: Vec<_> = batches
        .iter()
        .zip(answers)
        .map(|(batch, answer)| outcome(&vendor, batch, answer))
        .collect();
    for at in 0..certificates.len() {
        let results = outcomes.iter().map(|outcome| outcome.results[at]);
        let (accepted, others): (Vec<_>, Vec<_>) =
            results.partition(|result| *result == ItemResult::Accepted);
        assert_eq!((accepted.len(), others.len()), (1, 15));
        assert!(others.iter().all(|result| matches!(result, ItemResult::DoubleSpent(_))));
    }
    assert_eq!(vendor.issuer.status().await.unwrap().credits_redeemed.0, 12);
}

#[tokio::test]
async fn the_same_batch_at_once_gets_the_same_bytes() {
    let (vendor, certificates) = vendor_with_certificates().await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    let batch = operator.batch(&vendor, items);
    let answers = join_all((0..8).map(|_| send_batch(&vendor.issuer, batch.clone()))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let results = outcome(&vendor, &batch, answers[0].clone()).results;
    assert_eq!(results, vec![ItemResult::Accepted; certificates.len()]);
}
