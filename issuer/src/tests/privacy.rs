//! The join test at the vendor: what the two sides of the database have in common.

use std::collections::BTreeSet;

use super::support::*;
use crate::{
    store::dump::{Dump, ISSUANCE, REDEMPTION, dump},
    testing::TestIssuer,
};

/// Every value of eight bytes and more that is no small number; answers and tokens in all their parts.
fn values(dump: &Dump) -> BTreeSet<Vec<u8>> {
    let mut values = BTreeSet::new();
    for (column, cell) in dump.values().flatten().flatten() {
        let Some(bytes) = cell else { continue };
        match column.as_str() {
            "answer" => values.extend(parts(bytes.get(3..).unwrap_or_default(), &[32, 256])),
            "token" => values.extend(parts(bytes, &[2, 32, 32, 32, 256])),
            _ => drop(values.insert(bytes.clone())),
        }
    }
    values.retain(|value| value.len() >= 8 && value[..4] != [0; 4]);
    values
}

fn parts(mut bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    for size in sizes.iter().cycle() {
        let Some((part, rest)) = bytes.split_at_checked(*size) else { break };
        parts.push(part.to_vec());
        bytes = rest;
    }
    parts
}

#[tokio::test]
async fn the_two_sides_share_public_key_ids_and_nothing_else() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let certificates = wallet.buy(issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    operator.redeem(&vendor, items).await;

    let bought = values(&dump(issuer.store(), &ISSUANCE).await);
    let redeemed = values(&dump(issuer.store(), &REDEMPTION).await);
    assert!(bought.len() >= 14 && redeemed.len() > 20, "the search looks at something");
    let shared: Vec<_> = bought.intersection(&redeemed).cloned().collect();
    let key_ids: BTreeSet<Vec<u8>> =
        issuer.manifest().keys().map(|key| key.id().as_bytes().to_vec()).collect();
    assert!(shared.iter().all(|value| key_ids.contains(value)), "{shared:?}");
}

#[tokio::test]
async fn two_certificates_of_one_payment_share_operator_day_and_batch_alone() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let certificates = Wallet::new(1).buy(issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items = certificates[..2].iter().map(|c| operator.item(&vendor, c, 1)).collect();
    operator.redeem(&vendor, items).await;
    let stored = dump(issuer.store(), &["spent", "evidence"]).await;
    for rows in stored.values() {
        let [one, two] = rows.as_slice() else { panic!("two rows") };
        let equal: Vec<&str> = one
            .iter()
            .zip(two)
            .filter(|(one, two)| one.1 == two.1)
            .map(|(one, _)| one.0.as_str())
            .collect();
        assert!(equal.iter().all(|c| ["batch", "day", "epoch"].contains(c)), "{equal:?}");
    }
}

#[tokio::test]
async fn redemption_knows_the_day_and_no_second() {
    let vendor = TestIssuer::start().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let item = operator.item(&vendor, &certificates[0], 1);
    operator.redeem(&vendor, vec![item]).await;
    let now = scrip_runtime::clock::Clock::now(&vendor.clock).0;
    let stored = dump(vendor.issuer.store(), &REDEMPTION).await;
    for (column, cell) in stored.values().flatten().flatten() {
        let Some(bytes) = cell.as_ref().filter(|bytes| bytes.len() == 8) else { continue };
        let number = i64::from_be_bytes(bytes.as_slice().try_into().unwrap()).unsigned_abs();
        assert!(number.abs_diff(now) > 86_400 * 365, "{column} looks like a time");
    }
}
