//! What is said to need somebody, and what is not.

use scrip_protocol::{credits::Credits, time::Day};

use super::support::*;
use crate::{
    alerts::{self, Alert, Severity},
    schedule, status,
    store::{OutcomeCounts, OutcomeDay, Sale, SourceFailure},
    testing::TestIssuer,
};

async fn read(vendor: &TestIssuer) -> Vec<Alert> {
    let issuer = &vendor.issuer;
    let (now, doubt) = (issuer.inner.clock.now(), issuer.clock_in_doubt());
    alerts::read(issuer.store(), issuer.config(), now, doubt).await.unwrap()
}

#[tokio::test]
async fn a_vendor_that_works_needs_nobody() {
    let vendor = TestIssuer::start().await.unwrap();
    let mut wallet = Wallet::new(1);
    let certificates = wallet.buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    operator.redeem(&vendor, items).await;
    assert_eq!(read(&vendor).await, []);
}

#[tokio::test]
async fn keys_that_run_out_are_told_before_and_after() {
    let vendor = TestIssuer::start().await.unwrap();
    vendor.clock.advance(23 * 86_400);
    assert_eq!(read(&vendor).await.len(), 1, "due at the day's beginning, and not made");
    let late = read(&vendor).await.remove(0);
    assert!(late.severity == Severity::Warning && late.remedy.contains("keys were not tended"));
    vendor.issuer.tend_keys().await.unwrap();
    assert_eq!(read(&vendor).await, []);
    vendor.clock.advance(60 * 86_400);
    let out = read(&vendor).await.remove(0);
    assert!(out.severity == Severity::Bad && out.what.contains("No epoch issues"), "{out:?}");
}

#[tokio::test]
async fn a_source_that_fails_is_told_until_it_works() {
    let vendor = TestIssuer::start().await.unwrap();
    let store = vendor.issuer.store();
    let now = vendor.issuer.inner.clock.now();
    for _ in 0..2 {
        store.source_failed("google", now, "401 from the Developer API").await.unwrap();
    }
    let alert = read(&vendor).await.remove(0);
    assert!(
        alert.what.contains("`google` failed 2 times") && alert.what.contains("401"),
        "{alert:?}"
    );
    assert!(alert.remedy.contains("`[sources.google]`"));
    store.source_works("google").await.unwrap();
    assert_eq!(read(&vendor).await, []);
}

/// The rest of what can go wrong, made up.
#[tokio::test]
async fn theft_refunds_and_double_spends_are_told_from_their_rates_on() {
    let vendor = TestIssuer::start().await.unwrap();
    let (issuer, now) = (&vendor.issuer, vendor.issuer.inner.clock.now());
    drop(Operator::new(&vendor, 1).await);
    let mut status = status::read(issuer.store(), issuer.config(), now).await.unwrap();
    let schedule = schedule::read(issuer.store(), issuer.config(), now).await.unwrap();
    let operators = issuer.operators().await.unwrap();
    let sale = |purchases, refunded, test| Sale {
        source: "apple".into(),
        day: Day(1),
        product: "starter".into(),
        test,
        purchases,
        credits: Credits(12 * purchases),
        refunded,
    };
    let outcome = |accepted, double_spent| OutcomeDay {
        operator: operators[0].number,
        day: Day(1),
        counts: OutcomeCounts { accepted, double_spent, ..OutcomeCounts::default() },
    };
    let find = |status: &_, sales: &[Sale], outcomes: &[OutcomeDay]| {
        let (operators, failures): (_, &[SourceFailure]) = (&operators[..], &[]);
        let schedule = &schedule;
        let (receipt_key, doubt) = (None, None);
        let books = alerts::Books {
            status,
            schedule,
            failures,
            sales,
            operators,
            outcomes,
            receipt_key,
            doubt,
            clock: None,
        };
        alerts::of(books, now)
    };
    let fine = [sale(50, 2, false), sale(10, 1, false), sale(1, 40, true)];
    assert_eq!(find(&status, &fine, &[outcome(400, 4)]), []);
    let refunded = find(&status, &[sale(50, 2, false), sale(9, 1, false)], &[]);
    assert!(refunded[0].what.starts_with("3 of 59 purchases of `starter` at `apple`"));
    let cheated = find(&status, &[], &[outcome(200, 2), outcome(100, 3)]);
    assert!(cheated[0].what.starts_with("5 of 305 certificates that `operator 1`"), "{cheated:?}");

    status.denominations[1].redeemed = 1;
    let stolen = find(&status, &[sale(9, 3, false)], &[]);
    let severities: Vec<Severity> = stolen.iter().map(|alert| alert.severity).collect();
    assert_eq!(severities, [Severity::Bad, Severity::Warning], "the worst first");
    assert!(stolen[0].remedy.contains("`scrip-issuer keys revoke --epoch 1`"));
}
