//! Who may read what.

use http::{Request, header};
use scrip_protocol::{
    keys::SigningKey,
    ledger::{LedgerQuery, OwnLeaves},
    limits::COMMAND_SKEW,
    media,
    problem::ProblemType,
    tlog::tile::{EntryBundle, PublicBundle},
};

use super::*;
use crate::{
    Issuer,
    ledger::auditors::{AuditorError, add_auditor, revoke_auditor},
};

async fn read(issuer: &Issuer, path: &str, token: Option<&str>) -> Answer {
    let mut request = Request::builder().uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    send(issuer, request.body(axum::body::Body::empty()).unwrap()).await
}

async fn sold_and_redeemed() -> (TestIssuer, Operator, RedemptionOutcome) {
    let vendor = TestIssuer::start().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let items = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    let batch = operator.batch(&vendor, items);
    let decided = outcome(&vendor, &batch, send_batch(&vendor.issuer, batch.clone()).await);
    (vendor, operator, decided)
}

#[tokio::test]
async fn everybody_reads_what_is_public_and_auditors_the_rest() {
    let (vendor, _, _) = sold_and_redeemed().await;
    let issuer = &vendor.issuer;
    let checkpoint = read(issuer, "/ledger/checkpoint", None).await;
    assert_eq!(checkpoint.media_type, "text/plain; charset=utf-8");
    assert_eq!(size_of(&vendor, &checkpoint.body), 256);
    assert_eq!(read(issuer, "/ledger/tile/0/000", None).await.body.len(), 256 * 32);
    let (_, all) = leaves(&vendor).await;
    let public = read(issuer, "/ledger/tile/public/000", None).await.body;
    let public = PublicBundle::decode(&public, 256).unwrap().into_entries();
    let expected = (0..=255_u8).zip(&all).filter(|(_, leaf)| leaf.is_public());
    assert_eq!(public, expected.map(|(at, leaf)| (at, leaf.encode())).collect());
    let file = read(issuer, "/ledger/manifest/1", None).await;
    let manifest = file.success("application/octet-stream");
    assert_eq!(manifest, issuer.manifest().bytes());

    let entries = "/ledger/tile/entries/000";
    let unknown = "scrip-auditor-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for token in [None, Some(unknown), Some("scrip-auditor-"), Some("")] {
        let refused = read(issuer, entries, token).await;
        assert_eq!(refused.problem(), ProblemType::AuditorUnknown, "{token:?}");
    }
    let now = vendor.clock.now();
    let add = async |name: &'static str, days| {
        add_auditor(issuer.store(), name, days, now, &mut rng(7)).await
    };
    let (token, row) = add("carol", 30).await.unwrap();
    assert_eq!((row.name.as_str(), row.valid_until), ("carol", now.plus(30 * 86_400)));
    assert!(matches!(add("carol", 30).await, Err(AuditorError::NameTaken { .. })));
    assert!(matches!(add("no space", 30).await, Err(AuditorError::Name)));
    assert!(matches!(add("dave", 0).await, Err(AuditorError::ValidDays)));
    let token = token.to_string();
    let bundle = read(issuer, entries, Some(&token)).await.success("application/octet-stream");
    let bundle = EntryBundle::decode(&bundle, 256).unwrap().into_entries();
    assert_eq!(bundle, all.iter().map(Leaf::encode).collect::<Vec<_>>());
    let log = issuer.store().admin_log(None, 5).await.unwrap();
    assert!(log.iter().any(|entry| entry.action == "auditor add" && entry.subject == "carol"));
    assert!(!format!("{log:?}").contains(&token), "the token is nowhere");
    vendor.clock.advance(30 * 86_400);
    assert_eq!(read(issuer, entries, Some(&token)).await.status, 401, "it has ended");
    vendor.clock.set(now);
    revoke_auditor(issuer.store(), "carol", now).await.unwrap();
    assert_eq!(read(issuer, entries, Some(&token)).await.status, 401, "it was revoked");
    let unknown = revoke_auditor(issuer.store(), "erin", now).await;
    assert!(matches!(unknown, Err(AuditorError::Unknown { .. })));
}

#[tokio::test]
async fn what_is_no_tile_is_not_found() {
    let (vendor, _, _) = sold_and_redeemed().await;
    for path in [
        "tile/0/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/../../issuer.db",
        "tile/%2e%2e/%2e%2e/issuer.db",
        "tile/..%2f..%2fissuer.db",
        "tile//000",
        "tile/",
        "manifest/2",
        "manifest/01",
        "manifest/x",
        "solvency",
        "issuer.db",
        "",
    ] {
        let answer = read(&vendor.issuer, &format!("/ledger/{path}"), None).await;
        assert_eq!(answer.problem(), ProblemType::NotFound, "{path}");
    }
}

#[tokio::test]
async fn an_operator_reads_its_own_leaves() {
    let (vendor, mut operator, decided) = sold_and_redeemed().await;
    let issuer = &vendor.issuer;
    let mut other = Operator::new(&vendor, 2).await;
    for number in 2..=3 {
        let certificates = Wallet::new(number).buy(issuer).await;
        let to = if number == 2 { &mut other } else { &mut operator };
        let items = certificates.iter().map(|c| to.item(&vendor, c, 1)).collect();
        to.redeem(&vendor, items).await;
    }
    let (verified, all) = leaves(&vendor).await;
    let ask = async |key: &SigningKey, query: LedgerQuery| {
        post(issuer, "/v1/ledger/own", media::LEDGER_QUERY, None, query.sign(key)).await
    };
    let query = LedgerQuery {
        vendor_id: issuer.vendor_id(),
        operator_id: operator.id,
        time: vendor.clock.now(),
        from: 0,
    };
    let own = ask(&operator.key, query).await.success(media::LEDGER_LEAVES);
    let own = OwnLeaves::decode(&own).unwrap();
    assert_eq!((own.size, own.next), (verified.size, verified.size));
    let mine = |leaf: &Leaf| match leaf {
        Leaf::Redemption(leaf) => leaf.operator_id == operator.id,
        Leaf::Tally(tally) => tally.operator_id == Some(operator.id),
        _ => false,
    };
    let expected: Vec<(u64, Vec<u8>)> = (0..)
        .zip(&all)
        .filter(|(_, leaf)| mine(leaf))
        .map(|(index, leaf)| (index, leaf.encode()))
        .collect();
    assert_eq!(expected.len(), 2 * 8);
    let shown: Vec<_> = own.leaves.iter().map(|own| (own.index, own.leaf.clone())).collect();
    assert_eq!(shown, expected);
    let from = decided.leaves[3];
    let later = ask(&operator.key, LedgerQuery { from, ..query }).await;
    let later = OwnLeaves::decode(&later.success(media::LEDGER_LEAVES)).unwrap();
    let shown: Vec<_> = later.leaves.iter().map(|own| own.index).collect();
    let rest: Vec<_> = expected.iter().map(|(index, _)| *index).filter(|i| *i >= from).collect();
    assert_eq!(shown, rest, "also from the middle of a batch on");
    let beyond = ask(&operator.key, LedgerQuery { from: u64::MAX, ..query }).await;
    let beyond = OwnLeaves::decode(&beyond.success(media::LEDGER_LEAVES)).unwrap();
    assert!(beyond.leaves.is_empty());

    let wrong = LedgerQuery { vendor_id: VendorId::from_bytes([1; 32]), ..query };
    assert_eq!(ask(&operator.key, wrong).await.problem(), ProblemType::WrongVendor);
    let stranger = SigningKey::from_seed(&[99; 32]);
    let operator_id = scrip_protocol::id::OperatorId::of(&stranger.public());
    let unknown = LedgerQuery { operator_id, ..query };
    assert_eq!(ask(&stranger, unknown).await.problem(), ProblemType::OperatorUnknown);
    assert_eq!(ask(&other.key, query).await.problem(), ProblemType::OperatorSignatureInvalid);
    for time in [query.time.plus(COMMAND_SKEW + 1), query.time.minus(COMMAND_SKEW + 1)] {
        let stale = LedgerQuery { time, ..query };
        assert_eq!(ask(&operator.key, stale).await.problem(), ProblemType::ClockSkew);
    }
}
