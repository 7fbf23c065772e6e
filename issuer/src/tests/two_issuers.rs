//! Two issuer processes on one database. Called by the store's tests, which have the database.

use futures_util::future::join_all;
use scrip_protocol::{ledger::Leaf, media, problem::ProblemType, redemption::ItemResult};

use super::support::*;
use crate::testing::TestIssuer;

/// A voucher, a grant and a certificate, each used at both at the same time.
pub(crate) async fn race(one: &TestIssuer, two: &TestIssuer) {
    assert_eq!(one.issuer.vendor_id(), two.issuer.vendor_id());
    let both = [one, two];
    let at = |index: usize| &both[index % 2].issuer;
    let mut wallet = Wallet::new(1);

    let (_, secret) = wallet.grant(at(0), "starter").await;
    let requests: Vec<Vec<u8>> =
        (100..108).map(|index| wallet.blind(at(0), index, &STARTER).1.encode()).collect();
    let answers = join_all(requests.iter().enumerate().map(|(index, request)| {
        post(at(index), "/v1/issuance", media::ISSUANCE_REQUEST, Some(&secret), request.clone())
    }));
    let answers = answers.await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|answer| answer.problem() == ProblemType::GrantUsed));
    for index in 0..2 {
        assert_eq!(get(at(index), "/v1/issuance", Some(&secret)).await, *won[0]);
    }

    let certificates = wallet.buy(at(1)).await;
    let mut batches = Vec::new();
    for number in 1..=8 {
        let mut operator = Operator::new(one, number).await;
        let items = certificates.iter().map(|c| operator.item(one, c, number)).collect();
        batches.push(operator.batch(one, items));
    }
    let answers = join_all(
        batches.iter().enumerate().map(|(index, batch)| send_batch(at(index), batch.clone())),
    );
    let answers = answers.await;
    let outcomes: Vec<_> =
        batches.iter().zip(answers).map(|(batch, answer)| outcome(one, batch, answer)).collect();
    for position in 0..certificates.len() {
        let accepted =
            outcomes.iter().filter(|outcome| outcome.results[position] == ItemResult::Accepted);
        assert_eq!(accepted.count(), 1);
    }
    assert_eq!(two.issuer.status().await.unwrap().credits_redeemed.0, 12);
    // Both wrote to one ledger, one after the other: nothing is in it twice, and nothing is missing.
    let (_, leaves) = super::ledger::leaves(two).await;
    let redeemed = super::ledger::redeemed_keys(&leaves);
    let mut expected: Vec<_> = certificates.iter().map(|c| c.token().nonce).collect();
    expected.sort_unstable();
    let mut sorted = redeemed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    for outcome in &outcomes {
        outcome.check_leaves().unwrap();
        for (position, index) in outcome.credited() {
            let Leaf::Redemption(leaf) = &leaves[index as usize] else { panic!("no redemption") };
            assert_eq!(leaf.item.token.nonce, certificates[position].token().nonce);
        }
    }
}
