//! The free allowance, second parts, refunds by hand, orders, and what is offered.

use futures_util::future::join_all;
use scrip_protocol::{
    issuance::GrantAnswer,
    media,
    problem::ProblemType,
    purchase::{Allowance, GrantRequest, Offer, OrderAnswer, work},
    seed::GrantSecret,
};
use scrip_runtime::config::HumanDuration;

use super::support::*;
use crate::{
    Issuer,
    config::ProductRest,
    sources::{FreeConfig, TransactionId},
    store::Refund,
    testing::{Setup, TestIssuer},
};

const DAY: u64 = 86_400;
const WORK: u32 = 6;

/// A vendor that gives `free` away, at most three a day, and issues half of `big` after 14 days.
async fn vendor() -> (TestIssuer, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    setup.config.sources.free =
        Some(FreeConfig { period: HumanDuration(30 * DAY), work: WORK, credits_per_day: 6 });
    setup.config.set_product("free", [(k(1), 1)]).unwrap();
    setup.config.set_product("big", [(k(0), 4), (k(1), 2), (k(2), 1)]).unwrap();
    let pack = setup.config.products["starter"].pack.clone();
    setup.config.products.get_mut("big").unwrap().rest =
        Some(ProductRest { pack, after: HumanDuration(14 * DAY) });
    (setup.init().await.unwrap(), directory)
}

async fn ask(issuer: &Issuer, secret: &GrantSecret, request: &GrantRequest) -> Answer {
    let body = serde_json::to_vec(request).unwrap();
    post(issuer, "/v1/grants", media::JSON, Some(secret), body).await
}

fn granted(answer: Answer) -> GrantAnswer {
    serde_json::from_slice(&answer.success(media::JSON)).unwrap()
}

/// What the installation `number` asks with in the vendor's present period.
fn allowance(vendor: &TestIssuer, number: u8, secret: &GrantSecret) -> Allowance {
    let key = scrip_protocol::keys::SigningKey::from_seed(&[number; 32]);
    let id = vendor.issuer.vendor_id();
    let period = today(vendor).0 as u64 / 30;
    let nonce = (0..).find(|nonce| work(&id, &key.public(), period, *nonce) >= WORK).unwrap();
    Allowance::sign(&key, &id, &secret.grant_id(), period, nonce)
}

#[tokio::test]
async fn an_installation_gets_its_allowance_once_a_period_within_the_budget() {
    let (vendor, _directory) = vendor().await;
    let (issuer, wallet) = (&vendor.issuer, Wallet::new(1));
    let secret = |index| wallet.secret(issuer, index);
    let free = |number, index| GrantRequest::Free(allowance(&vendor, number, &secret(index)));

    let grant = granted(ask(issuer, &secret(0), &free(1, 0)).await);
    assert_eq!((grant.product.as_str(), grant.credits.0, grant.test), ("free", 2, false));
    assert_eq!(granted(ask(issuer, &secret(0), &free(1, 0)).await), grant, "the same again");
    let twice = ask(issuer, &secret(1), &free(1, 1)).await;
    assert_eq!(twice.problem(), ProblemType::AllowanceUsed);
    // Somebody who saw the request has another secret.
    assert_eq!(
        ask(issuer, &secret(1), &free(1, 0)).await.problem(),
        ProblemType::PurchaseUnverified
    );
    let lazy = allowance(&vendor, 2, &secret(1));
    let id = issuer.vendor_id();
    let nonce = (0..).find(|n| work(&id, &lazy.installation, lazy.period, *n) < WORK).unwrap();
    let lazy = GrantRequest::Free(Allowance { nonce, ..lazy });
    assert_eq!(ask(issuer, &secret(1), &lazy).await.problem(), ProblemType::WorkInsufficient);

    // Three in a day, however many ask at once.
    let requests: Vec<(GrantSecret, GrantRequest)> =
        (10..16).map(|n| (secret(u32::from(n)), free(n, u32::from(n)))).collect();
    let answers = join_all(requests.iter().map(|(secret, asked)| ask(issuer, secret, asked))).await;
    let refused = |one: &&Answer| one.status != 200;
    assert_eq!(answers.iter().filter(refused).count(), 4);
    for answer in answers.iter().filter(refused) {
        assert_eq!(answer.problem(), ProblemType::AllowanceExhausted);
    }
    let late = answers.iter().position(|one| one.status != 200).unwrap();
    vendor.clock.advance(DAY);
    let number = 10 + late as u8;
    let tomorrow = ask(issuer, &secret(u32::from(number)), &free(number, u32::from(number))).await;
    assert_eq!(granted(tomorrow).credits.0, 2);

    // A new period, a new allowance; the old request still shows the old grant, and makes no new one.
    let old = free(1, 0);
    let stale = free(20, 20);
    vendor.clock.advance(30 * DAY);
    assert_eq!(granted(ask(issuer, &secret(0), &old).await), grant);
    assert_eq!(ask(issuer, &secret(20), &stale).await.problem(), ProblemType::PurchaseUnverified);
    assert_eq!(granted(ask(issuer, &secret(21), &free(1, 21)).await).credits.0, 2);
}

#[tokio::test]
async fn the_second_part_comes_when_it_is_due_and_once() {
    let (vendor, _directory) = vendor().await;
    let (issuer, wallet) = (&vendor.issuer, Wallet::new(2));
    let secret = |index| wallet.secret(issuer, index);
    let rest = |index| GrantRequest::Rest {
        grant: scrip_protocol::id::encode_base64url(secret(index).as_bytes()),
    };
    // Vouchers are for packs as they are: the product in two parts is sold for money. Here it is the sale that matters.
    let (first, refunded) = (secret(0), secret(1));
    for (number, secret) in [(1_u8, &first), (2, &refunded)] {
        let mut new = crate::store::NewPurchase {
            source: "apple",
            transaction: TransactionId::new([number]),
            grant_id: secret.grant_id(),
            grant: crate::store::GrantRow::new("big", issuer.config().products["big"].pack.clone()),
            day: today(&vendor),
            account: None,
            order: None,
            settles: false,
            parent: None,
            budget: None,
            reseller: None,
            lapsed: false,
        };
        let pack = issuer.config().products["starter"].pack.clone();
        new.grant.rest = Some((pack, issuer.inner.clock.now().plus(14 * DAY)));
        issuer.store().record_purchase(&new).await.unwrap();
    }
    let shown = granted(get(issuer, "/v1/grants", Some(&first)).await);
    assert_eq!(shown.rest.unwrap().credits.0, 12);

    assert_eq!(ask(issuer, &secret(5), &rest(0)).await.problem(), ProblemType::RestNotDue);
    vendor.clock.advance(14 * DAY);
    let second = granted(ask(issuer, &secret(5), &rest(0)).await);
    assert_eq!((second.credits.0, second.rest), (12, None));
    assert_eq!(granted(ask(issuer, &secret(5), &rest(0)).await), second);
    assert_eq!(ask(issuer, &secret(6), &rest(0)).await.problem(), ProblemType::PurchaseUsed);
    // The second part has no second part, and who knows no secret has none.
    for index in [5, 9] {
        let none = ask(issuer, &secret(6), &rest(index)).await;
        assert_eq!(none.problem(), ProblemType::PurchaseUnverified);
    }
    let refund = issuer.refund("apple", &TransactionId::new([2]), false).await.unwrap();
    assert_eq!(refund, Refund::Cancelled);
    assert_eq!(ask(issuer, &secret(6), &rest(1)).await.problem(), ProblemType::PurchaseRefunded);
    assert_eq!(granted(get(issuer, "/v1/grants", Some(&refunded)).await).rest, None);
}

#[tokio::test]
async fn a_refund_cancels_what_was_not_minted_and_books_what_was() {
    let (vendor, _directory) = vendor().await;
    let (issuer, wallet) = (&vendor.issuer, Wallet::new(3));
    let codes = issuer.create_vouchers("starter", 3, 30).await.unwrap().codes;
    let transaction = |n: usize| TransactionId::new(codes[n].hash());
    let [unminted, minted, early] = [0, 1, 2].map(|index| wallet.secret(issuer, index));
    for (secret, code) in [(&unminted, 0), (&minted, 1)] {
        use_voucher(issuer, Some(secret), &codes[code].to_string()).await.success(media::JSON);
    }
    let issue = async |index: u32, secret: &GrantSecret| {
        let (_, request) = wallet.blind(issuer, index, &STARTER);
        post(issuer, "/v1/issuance", media::ISSUANCE_REQUEST, Some(secret), request.encode()).await
    };
    let certificates = issue(1, &minted).await;
    certificates.clone().success(media::ISSUANCE_ANSWER);

    assert_eq!(issuer.refund("voucher", &transaction(0), false).await.unwrap(), Refund::Cancelled);
    assert_eq!(issuer.refund("voucher", &transaction(1), false).await.unwrap(), Refund::Lost);
    assert_eq!(issuer.refund("voucher", &transaction(2), false).await.unwrap(), Refund::Noted);
    assert_eq!(issue(0, &unminted).await.problem(), ProblemType::GrantCancelled);
    assert_eq!(issue(1, &minted).await, certificates, "what was signed can be fetched again");
    let late = use_voucher(issuer, Some(&early), &codes[2].to_string()).await;
    assert_eq!(late.problem(), ProblemType::PurchaseRefunded);
    let losses = issuer.store().losses().await.unwrap();
    assert_eq!((losses.len(), losses[0].credits.0, losses[0].product.as_str()), (1, 12, "starter"));

    for n in 0..3 {
        issuer.refund("voucher", &transaction(n), true).await.unwrap();
    }
    issue(0, &unminted).await.success(media::ISSUANCE_ANSWER);
    use_voucher(issuer, Some(&early), &codes[2].to_string()).await.success(media::JSON);
    assert!(issuer.store().losses().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_sold_is_not_ordered() {
    let (vendor, _directory) = vendor().await;
    let (issuer, wallet) = (&vendor.issuer, Wallet::new(4));
    let secret = wallet.secret(issuer, 0);
    let order = async |body: &str| {
        post(issuer, "/v1/orders", media::JSON, Some(&secret), body.to_owned()).await
    };
    for product in ["starter", "nothing"] {
        let answer = order(&format!(r#"{{"product":"{product}"}}"#)).await;
        assert_eq!(
            answer.problem(),
            ProblemType::ProductUnknown,
            "no payment service is configured"
        );
    }
    assert_eq!(order(r#"{"product":1}"#).await.problem(), ProblemType::Malformed);
    for source in ["apple", "voucher", "free", "nothing"] {
        let path = format!("/v1/notifications/{source}");
        let answer = post(issuer, &path, media::JSON, None, "{}").await;
        assert_eq!(answer.problem(), ProblemType::SourceUnknown);
    }
    let apple = GrantRequest::Apple { transaction: "a.b.c".into() };
    assert_eq!(ask(issuer, &secret, &apple).await.problem(), ProblemType::SourceUnknown);
    let unknown =
        GrantRequest::Order { order: "123e4567-e89b-42d3-a456-426614174000".parse().unwrap() };
    assert_eq!(ask(issuer, &secret, &unknown).await.problem(), ProblemType::OrderUnknown);
    assert!(serde_json::from_slice::<OrderAnswer>(b"{}").is_err());

    let offer: Offer =
        serde_json::from_slice(&get(issuer, "/v1/offer", None).await.success(media::JSON)).unwrap();
    let of = |name: &str| offer.products.iter().find(|one| one.product == name).unwrap();
    assert_eq!(of("free").sources, ["free", "voucher"]);
    assert_eq!(of("starter").sources, ["voucher"]);
    assert_eq!(of("big").sources, ["voucher"]);
    assert_eq!(offer.free.map(|free| (free.period, free.work)), Some((30 * DAY, WORK)));
    let manifest = issuer.manifest();
    let rest = manifest.product("big").unwrap().rest.as_ref().unwrap();
    assert_eq!((rest.pack.credits().0, rest.after), (12, 14 * DAY));
}

/// A database of an older program: its vouchers keep what they were, used or not.
#[tokio::test]
async fn vouchers_of_older_databases_move_over() {
    let directory = tempfile::tempdir().unwrap();
    let url = crate::config::sqlite_url(&directory.path().join("old.db"));
    let store = crate::store::Store::open_at_version(&url, 2).await.unwrap();
    let sql =
        "INSERT INTO grants (grant_id, product, pack, minted) VALUES (x'01', 'starter', '0:1', 1);
        INSERT INTO vouchers (code_hash, product, pack, last_day, grant_id)
        VALUES (x'0a', 'starter', '0:1', 20500, x'01'), (x'0b', 'starter', '0:1', 20500, NULL);";
    store.execute_raw(sql).await.unwrap();
    store.close().await;
    let store = crate::store::Store::open(&url, 1, false).await.unwrap();
    let status = store.status().await.unwrap();
    assert_eq!((status.vouchers, status.vouchers_used, status.grants), (2, 1, 1));
    let dump = crate::store::dump::dump(&store, &["purchases", "grants"]).await;
    let cell = |table: &str, column: &str| {
        dump[table][0].iter().find(|(name, _)| name == column).unwrap().1.clone()
    };
    assert_eq!(cell("purchases", "transaction_id"), Some(vec![0x0a]));
    assert_eq!(cell("purchases", "grant_id"), Some(vec![1]));
    assert_eq!(cell("grants", "cancelled"), Some(0_i64.to_be_bytes().to_vec()));
    assert_eq!(cell("grants", "rest"), None);
}
