//! Google Play's source against a Google on loopback.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use scrip_protocol::id::GrantId;
use scrip_runtime::clock::ManualClock;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::testing::{
    Failing,
    google::{FakeGoogle, one_time, voided_notification},
};

const NOW: UnixSeconds = UnixSeconds(1_767_225_600);
const TOKEN: &str = "abcdefgh.AO-J1Oxyz_123";
const ORDER: OrderId = OrderId::from_random([7; 16]);

struct World {
    google: FakeGoogle,
    source: GoogleSource,
    clock: ManualClock,
    _directory: TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let google = FakeGoogle::start().await.unwrap();
        let config = google.config(directory.path(), [("small", "starter"), ("big", "large")]);
        let clock = ManualClock::new(NOW);
        let source = GoogleSource::new(config.unwrap(), Arc::new(clock.clone())).unwrap();
        Self { google, source, clock, _directory: directory }
    }

    /// With one purchase of `small` for the order.
    async fn sold() -> Self {
        let world = Self::new().await;
        world.google.buy(TOKEN, "small", Some(&ORDER));
        world
    }

    async fn verify(&self, product: &str, token: &str) -> Result<Verified, SourceError> {
        let request = GrantRequest::Google { product: product.into(), token: token.into() };
        let grant_id = GrantId::from_bytes([1; 32]);
        self.source.verify(&Asked { request: &request, grant_id, now: NOW }).await
    }

    async fn settle(&self) -> Result<(), SourceError> {
        let settling = Settling { transaction: transaction(TOKEN), product: "starter".into() };
        self.source.settle(&settling).await
    }

    async fn notify(&self, about: &Value) -> Result<Notification, SourceError> {
        let (headers, body) = self.google.push("m1", about, NOW);
        self.source.notification(&headers, &body, NOW).await
    }
}

#[track_caller]
fn unverified(result: Result<Verified, SourceError>) {
    assert!(matches!(result, Err(SourceError::Unverified(_))), "{result:?}");
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(result: Result<T, SourceError>) {
    match result {
        Err(SourceError::Unavailable(reason)) => {
            assert!(!reason.contains(TOKEN) && !reason.contains("ya29"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refunds(notification: &Notification) -> Vec<String> {
    let refund = |event: &Event| match event {
        Event::Refunded { transaction } => transaction.to_string(),
        other => panic!("{other:?}"),
    };
    notification.events.iter().map(refund).collect()
}

#[tokio::test]
async fn a_purchase_verifies() {
    let world = World::sold().await;
    let verified = world.verify("small", TOKEN).await.unwrap();
    assert_eq!(verified.transaction.as_bytes(), TOKEN.as_bytes());
    assert_eq!((verified.product.as_str(), verified.quantity), ("starter", 1));
    assert_eq!((verified.order, verified.settles, verified.test), (Some(ORDER), true, false));
    assert!(!world.google.purchase(TOKEN).unwrap().consumed, "verifying changes nothing");
    world.google.change(TOKEN, |purchase| (purchase.quantity, purchase.refundable) = (3, 3));
    assert_eq!(world.verify("small", TOKEN).await.unwrap().quantity, 3);
    world.google.change(TOKEN, |purchase| purchase.refundable = 2);
    assert_eq!(world.verify("small", TOKEN).await.unwrap().quantity, 2, "one was refunded");
    world.google.change(TOKEN, |purchase| purchase.test = true);
    assert!(world.verify("small", TOKEN).await.unwrap().test);
    assert_eq!(world.google.server.calls("POST /token"), 1, "the access token is kept");
}

#[tokio::test]
async fn what_is_not_paid_is_no_purchase() {
    let world = World::sold().await;
    for (state, expected) in [
        ("PENDING", "Pending"),
        ("PURCHASE_STATE_UNSPECIFIED", "Unavailable"),
        ("SOMETHING_NEW", "Unavailable"),
    ] {
        world.google.change(TOKEN, |purchase| purchase.state = state);
        let error = format!("{:?}", world.verify("small", TOKEN).await.unwrap_err());
        assert!(error.starts_with(expected), "{state}: {error}");
    }
    // A grant that it became before is shown all the same, and none is made.
    for (state, refundable) in [("CANCELLED", 1), ("PURCHASED", 0)] {
        world.google.change(TOKEN, |purchase| {
            (purchase.state, purchase.refundable) = (state, refundable);
        });
        let verified = world.verify("small", TOKEN).await.unwrap();
        assert!(matches!(verified.lapsed, Some(SourceError::Refunded)), "{state}");
    }
}

#[tokio::test]
async fn another_product_order_or_token_does_not_verify() {
    let world = World::sold().await;
    unverified(world.verify("big", TOKEN).await);
    let unknown = world.verify("huge", TOKEN).await;
    assert!(matches!(unknown, Err(SourceError::ProductUnknown)), "{unknown:?}");
    unverified(world.verify("small", "no.such.token").await);
    let asked = world.google.server.calls("productsv2");
    for odd in [
        "",
        ".",
        "..",
        "../../../other",
        "a/b/c/d/e/f",
        "abcdefgh?x=1",
        "........",
        &"a".repeat(2_049),
    ] {
        unverified(world.verify("small", odd).await);
    }
    assert_eq!(world.google.server.calls("productsv2"), asked, "Google is not asked for those");
    for account in [None, Some(String::new()), Some("user-7".into())] {
        world.google.change(TOKEN, |purchase| purchase.account = account);
        unverified(world.verify("small", TOKEN).await);
    }
    world.google.buy(TOKEN, "small", Some(&ORDER));
    for products in [vec![], vec!["small".to_owned(), "big".to_owned()]] {
        world.google.change(TOKEN, |purchase| purchase.products = products);
        unverified(world.verify("small", TOKEN).await);
    }
    let request = GrantRequest::Voucher { code: "x".into() };
    let asked = Asked { request: &request, grant_id: GrantId::from_bytes([1; 32]), now: NOW };
    assert!(matches!(world.source.verify(&asked).await, Err(SourceError::Unknown)));
}

#[tokio::test]
async fn trouble_at_google_is_nobodys_fraud() {
    let world = World::sold().await;
    for failing in [
        Failing::Status(500),
        Failing::Status(503),
        Failing::Status(403),
        Failing::Status(429),
        Failing::Status(302),
        Failing::Garbage,
        Failing::Late(Duration::from_secs(3)),
    ] {
        for path in ["productsv2", "/token"] {
            world.google.revoke_tokens();
            world.source.api.account.forget(&world.source.api.account.token().await.unwrap()).await;
            world.google.server.fail(path, failing, 1);
            unavailable(world.verify("small", TOKEN).await);
            world.google.server.recover();
            world
                .verify("small", TOKEN)
                .await
                .unwrap_or_else(|error| panic!("{path} {failing:?}: {error}"));
        }
    }
    let World { source, google, .. } = world;
    drop(google);
    let request = GrantRequest::Google { product: "small".into(), token: TOKEN.into() };
    let asked = Asked { request: &request, grant_id: GrantId::from_bytes([1; 32]), now: NOW };
    unavailable(source.verify(&asked).await);
}

#[tokio::test]
async fn access_tokens_are_renewed_in_time_and_when_they_are_refused() {
    let world = World::sold().await;
    let fetched = || world.google.server.calls("POST /token");
    world.verify("small", TOKEN).await.unwrap();
    world.clock.advance(3_539);
    world.verify("small", TOKEN).await.unwrap();
    assert_eq!(fetched(), 1);
    world.clock.advance(1);
    world.verify("small", TOKEN).await.unwrap();
    assert_eq!(fetched(), 2, "a minute before its end");
    world.google.revoke_tokens();
    world.verify("small", TOKEN).await.unwrap();
    assert_eq!(fetched(), 3, "once again with a new one");
    world.google.server.fail("productsv2", Failing::Status(401), 2);
    unavailable(world.verify("small", TOKEN).await);
    assert_eq!(fetched(), 4, "and not for ever");
}

#[tokio::test]
async fn many_who_wait_for_a_token_share_one_attempt() {
    let world = World::sold().await;
    world.google.server.fail("/token", Failing::Late(Duration::from_millis(200)), 1);
    let all = futures_util::future::join_all((0..20).map(|_| world.verify("small", TOKEN))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(world.google.server.calls("POST /token"), 1);
    world.clock.advance(7_200);
    world.google.server.fail("/token", Failing::Late(Duration::from_secs(5)), 1);
    let all = futures_util::future::join_all((0..20).map(|_| world.verify("small", TOKEN))).await;
    assert!(all.iter().all(Result::is_err), "all fail together, and not one after the other");
    assert_eq!(world.google.server.calls("POST /token"), 2);
    world.verify("small", TOKEN).await.unwrap();
}

#[tokio::test]
async fn what_was_granted_is_consumed_once() {
    let world = World::sold().await;
    for failing in [Failing::Status(500), Failing::Status(409)] {
        world.google.server.fail(":consume", failing, 1);
        unavailable(world.settle().await);
        assert!(!world.google.purchase(TOKEN).unwrap().consumed);
    }
    world.settle().await.unwrap();
    assert!(world.google.purchase(TOKEN).unwrap().consumed);
    world.settle().await.unwrap();
    assert_eq!(world.google.server.calls(":consume"), 3, "it is not consumed again");
    world.verify("small", TOKEN).await.unwrap();
    world
        .google
        .change(TOKEN, |purchase| (purchase.state, purchase.consumed) = ("CANCELLED", false));
    world.settle().await.unwrap();
    assert_eq!(world.google.server.calls(":consume"), 3, "nor where the money went back");
}

#[tokio::test]
async fn voided_purchases_are_polled_page_by_page() {
    let world = World::sold().await;
    let start = NOW.minus(EVERY);
    assert!(world.source.poll(start).await.unwrap().is_empty());
    for n in 0..5 {
        world.google.void(&format!("voided-{n}"), NOW.minus(100));
    }
    world.google.void("voided-of-old", NOW.minus(31 * SECONDS_PER_DAY));
    world.google.server.fail("token=2", Failing::Status(500), 1);
    unavailable(world.source.poll(NOW).await);
    let found = world.source.poll(NOW).await.unwrap();
    let names: Vec<String> = found.iter().flat_map(refunds).collect();
    assert_eq!(names, (0..5).map(|n| format!("voided-{n}")).collect::<Vec<_>>());
    assert!(found.iter().all(|notification| !notification.id.contains("voided-")), "{found:?}");
    assert!(world.source.poll(NOW.plus(EVERY - 1)).await.unwrap().is_empty(), "not all the time");
    let again = world.source.poll(NOW.plus(EVERY)).await.unwrap();
    let ids = |list: &[Notification]| list.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    assert_eq!(
        ids(&again),
        ids(&found),
        "the lists overlap, and what comes again is known by its id"
    );
    let later = NOW.plus(OVERLAP);
    assert_eq!(world.source.poll(later).await.unwrap().len(), 5, "from the list before this one");
    assert!(world.source.poll(later.plus(EVERY)).await.unwrap().is_empty());
    let asked =
        |since: UnixSeconds| world.google.server.calls(&format!("startTime={}", since.0 * 1_000));
    assert!(asked(start.minus(OLDEST)) > 0 && asked(NOW.plus(EVERY).minus(OVERLAP)) > 0);
}

#[tokio::test]
async fn a_notification_is_a_hint() {
    let world = World::sold().await;
    let hint = one_time(TOKEN, 2);
    let nothing = world.notify(&hint).await.unwrap();
    assert_eq!((nothing.id.as_str(), nothing.events.len()), ("m1", 0), "Google says it is bought");
    world.google.change(TOKEN, |purchase| purchase.state = "CANCELLED");
    assert_eq!(refunds(&world.notify(&hint).await.unwrap()), [TOKEN]);
    assert_eq!(
        refunds(&world.notify(&one_time(TOKEN, 1)).await.unwrap()),
        [TOKEN],
        "whatever it says"
    );
    world.google.change(TOKEN, |purchase| purchase.state = "PURCHASED");
    let voided = voided_notification(TOKEN);
    assert!(world.notify(&voided).await.unwrap().events.is_empty());
    world.google.void(TOKEN, NOW);
    assert_eq!(refunds(&world.notify(&voided).await.unwrap()), [TOKEN], "money back, goods kept");
    for other in [
        json!({ "testNotification": { "version": "1.0" } }),
        json!({ "subscriptionNotification": { "purchaseToken": TOKEN } }),
        json!({ "packageName": "somebody.else", "voidedPurchaseNotification": { "purchaseToken": TOKEN } }),
        json!({ "oneTimeProductNotification": { "purchaseToken": "../x" } }),
        json!({ "oneTimeProductNotification": 7 }),
    ] {
        assert!(world.notify(&other).await.unwrap().events.is_empty(), "{other}");
    }
    world.google.server.fail("productsv2", Failing::Status(500), 1);
    unavailable(world.notify(&hint).await);
}

#[tokio::test]
async fn a_notification_that_google_did_not_sign_is_refused() {
    let world = World::sold().await;
    let (good, body) = world.google.push("m1", &voided_notification(TOKEN), NOW);
    let altered = |name: &'static str, value: Value| {
        world.google.authorization(NOW, move |claims| claims[name] = value)
    };
    let with =
        |text: &str| HeaderMap::from_iter([(http::header::AUTHORIZATION, text.parse().unwrap())]);
    let text = good[http::header::AUTHORIZATION].to_str().unwrap().to_owned();
    let none = text.replacen("Bearer ", "", 1);
    let parts: Vec<&str> = none.split('.').collect();
    let unsigned = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none","kid":"key-1"}"#);
    let stranger = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"RS256","kid":"key-2"}"#);
    for (what, headers) in [
        ("no token", HeaderMap::new()),
        ("no scheme", with(&none)),
        ("another audience", altered("aud", json!("https://other.test"))),
        ("another account", altered("email", json!("other@test.iam.gserviceaccount.com"))),
        ("an account that is not verified", altered("email_verified", json!(false))),
        ("another issuer", altered("iss", json!("https://accounts.test"))),
        ("an old token", altered("exp", json!(NOW.0 - 60))),
        ("another key", world.google.forged_authorization(NOW)),
        ("an unknown key", with(&format!("Bearer {stranger}.{}.{}", parts[1], parts[2]))),
        ("no algorithm", with(&format!("Bearer {unsigned}.{}.", parts[1]))),
        ("other claims", with(&format!("Bearer {}.e30.{}", parts[0], parts[2]))),
        ("no JWT", with("Bearer x.y.z")),
        ("a cut JWT", with(&format!("Bearer {}.{}", parts[0], parts[1]))),
        ("a long JWT", with(&format!("Bearer {none}.{}", "a".repeat(9_000)))),
    ] {
        let result = world.source.notification(&headers, &body, NOW).await;
        assert!(
            matches!(result, Err(SourceError::NotificationUnverified(_))),
            "{what}: {result:?}"
        );
    }
    assert!(world.google.server.calls("/certs") <= 2, "an unknown key is not asked for each time");
    assert_eq!(world.google.server.calls("productsv2"), 0, "nothing was asked for them");
    let garbage = world.source.notification(&good, b"{}", NOW).await;
    assert!(matches!(garbage, Err(SourceError::NotificationUnverified(_))));
    world.source.notification(&good, &body, NOW).await.unwrap();
}

#[tokio::test]
async fn googles_keys_are_asked_for_again_where_they_could_not_be_had() {
    let world = World::sold().await;
    for failing in [Failing::Status(500), Failing::Garbage] {
        world.google.server.fail("/certs", failing, 1);
        unavailable(world.notify(&one_time(TOKEN, 2)).await);
    }
    world.notify(&one_time(TOKEN, 2)).await.unwrap();
    assert_eq!(world.google.server.calls("/certs"), 3);
}

#[tokio::test]
async fn without_a_push_subscription_nothing_is_taken() {
    let directory = TempDir::new().unwrap();
    let google = FakeGoogle::start().await.unwrap();
    let config = google.config(directory.path(), [("small", "starter")]).unwrap();
    let config = GoogleConfig { push: None, ..config };
    let source = GoogleSource::new(config, Arc::new(ManualClock::new(NOW))).unwrap();
    let (headers, body) = google.push("m1", &one_time(TOKEN, 2), NOW);
    let result = source.notification(&headers, &body, NOW).await;
    assert!(matches!(result, Err(SourceError::Unknown)));
    assert_eq!(source.products(), Some(vec!["starter"]));
}

#[tokio::test]
async fn a_key_file_or_address_that_cannot_be_used_is_said_at_the_start() {
    let directory = TempDir::new().unwrap();
    let google = FakeGoogle::start().await.unwrap();
    let good = google.config(directory.path(), [("small", "starter")]).unwrap();
    let key_file = std::fs::read_to_string(&good.service_account).unwrap();
    let secret = &key_file[key_file.find("MII").unwrap()..][..40];
    let file = |text: &str| {
        let path = directory.path().join("other.json");
        std::fs::write(&path, text).unwrap();
        GoogleConfig { service_account: path, ..good.clone() }
    };
    let http = GoogleConfig { api: "http://api.test".into(), ..good.clone() };
    let missing = GoogleConfig { service_account: "/nowhere.json".into(), ..good.clone() };
    for config in [http, missing] {
        let error = GoogleSource::new(config, Arc::new(ManualClock::new(NOW))).err().unwrap();
        assert!(error.to_string().contains("[sources.google]"), "{error}");
    }
    for text in [
        "{}".to_owned(),
        "no JSON".to_owned(),
        key_file.replace("MII", "XII"),
        key_file.replace("PRIVATE KEY", "CERTIFICATE"),
        key_file.replace("http://127.0.0.1", "http://10.0.0.1"),
        key_file.replace("\"private_key\":", "\"private_key\":7,\"x\":"),
    ] {
        let error = GoogleSource::new(file(&text), Arc::new(ManualClock::new(NOW))).err().unwrap();
        let error = error.to_string();
        assert!(error.contains("other.json") && !error.contains(secret), "{error}");
    }
}
