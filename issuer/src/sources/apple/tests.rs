//! What is believed, and everything that is not.

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{untrusted::Untrusted, *};
use crate::testing::apple::{AppleStore, BUNDLE_ID, Shape, Transaction as Bought, set};

/// 2026-02-16
const NOW: UnixSeconds = UnixSeconds(20_500 * 86_400);
const ORDER: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

fn source(store: &AppleStore) -> AppleSource {
    let products = [("credits.starter".to_owned(), "starter".to_owned())].into();
    AppleSource::trusting(store.root(), AppleConfig { bundle_id: BUNDLE_ID.into(), products })
}

fn bought() -> Bought {
    Bought::of(2_000_000_123_456_789, "credits.starter", ORDER, NOW)
}

fn open(store: &AppleStore, signed: &str) -> Result<Transaction, Untrusted> {
    jws::open(&source(store).root, signed, MAX_TRANSACTION, NOW)
}

/// Why it is not believed.
fn distrust(store: &AppleStore, signed: &str) -> Untrusted {
    open(store, signed).err().expect("a refusal")
}

fn shaped(change: impl FnOnce(&mut Shape)) -> AppleStore {
    let mut shape = Shape::default();
    change(&mut shape);
    AppleStore::shaped(shape)
}

/// What becomes of a purchase with this field.
fn with(field: &str, value: impl Into<Value>) -> Result<Verified, SourceError> {
    let store = AppleStore::new();
    source(&store).verified(&store.transaction(&bought().with(field, value)), NOW)
}

#[test]
fn a_purchase_is_verified() {
    let store = AppleStore::new();
    let verified = source(&store).verified(&store.transaction(&bought()), NOW).unwrap();
    assert_eq!(verified.transaction.as_bytes(), b"production/2000000123456789");
    assert_eq!(verified.product, "starter");
    assert_eq!((verified.quantity, verified.test, verified.settles), (1, false, false));
    assert!(verified.lapsed.is_none());
    assert_eq!(verified.order, Some(ORDER.parse().unwrap()));
    assert_eq!(verified.account, Some(AccountId::of("apple", "704289572311513293")),);
    // An old purchase is as good, also when the signer's certificate has expired since.
    let later = NOW.plus(10 * 365 * 86_400);
    assert!(source(&store).verified(&store.transaction(&bought()), later).is_ok());
}

#[test]
fn what_a_transaction_says_decides() {
    let unverified = |result: Result<Verified, SourceError>| {
        assert!(matches!(result, Err(SourceError::Unverified(_))), "{result:?}");
    };
    unverified(with("bundleId", "example.other.app"));
    unverified(with("bundleId", ""));
    unverified(with("environment", "Xcode"));
    unverified(with("environment", "LocalTesting"));
    unverified(with("environment", "production"));
    unverified(with("appAccountToken", Value::Null));
    unverified(with("appAccountToken", "none"));
    unverified(with("type", "Non-Consumable"));
    unverified(with("type", "Auto-Renewable Subscription"));
    unverified(with("inAppOwnershipType", "FAMILY_SHARED"));
    unverified(with("transactionId", ""));
    unverified(with("transactionId", "1/2"));
    unverified(with("transactionId", "9".repeat(65)));
    unverified(with("quantity", -1));
    unverified(with("quantity", 65_536));
    for required in ["bundleId", "environment", "type", "transactionId", "productId", "signedDate"]
    {
        unverified(with(required, Value::Null));
    }
    for product in ["credits.other", "starter", ""] {
        let result = with("productId", product);
        assert!(matches!(result, Err(SourceError::ProductUnknown)), "{result:?}");
    }
    // Refunded: it is known which, for the case that it was turned into this grant before.
    let refunded = with("revocationDate", 1_770_000_000_000_u64).unwrap();
    assert!(matches!(refunded.lapsed, Some(SourceError::Refunded)), "{refunded:?}");

    assert_eq!(with("quantity", 3).unwrap().quantity, 3);
    assert_eq!(with("quantity", Value::Null).unwrap().quantity, 1);
    assert_eq!(with("appTransactionId", Value::Null).unwrap().account, None);
    assert!(with("inAppOwnershipType", Value::Null).is_ok());
    assert!(with("ofNextYear", json!({ "any": ["thing"] })).is_ok());
}

/// Sandbox purchases are marked, and their numbers are not those of customers' purchases.
#[test]
fn testers_buy_apart_from_customers() {
    let sandbox = with("environment", "Sandbox").unwrap();
    assert!(sandbox.test);
    assert_eq!(sandbox.transaction.as_bytes(), b"sandbox/2000000123456789");
}

#[test]
fn the_certificates_must_be_as_apples() {
    let refusal = |store: AppleStore| distrust(&store, &store.transaction(&bought()));
    let chain = |change: fn(&mut Shape)| refusal(shaped(change));
    assert_eq!(chain(|shape| shape.leaf_marker = None), Untrusted::LeafMarker);
    assert_eq!(
        chain(|shape| shape.leaf_marker = Some(&[1, 2, 840, 113_635, 100, 6, 11, 2])),
        Untrusted::LeafMarker
    );
    assert_eq!(chain(|shape| shape.intermediate_marker = None), Untrusted::IntermediateMarker);
    assert_eq!(
        chain(|shape| shape.intermediate_marker = Some(&[1, 2, 840, 113_635, 100, 6, 2])),
        Untrusted::IntermediateMarker
    );
    assert_eq!(chain(|shape| shape.intermediate_issues = false), Untrusted::Chain);
    assert_eq!(chain(|shape| shape.leaf_from_root = true), Untrusted::Chain);
    // Expired and not yet valid: when it was signed, not now.
    assert_eq!(chain(|shape| shape.leaf_years = (2020, 2026)), Untrusted::Chain);
    assert_eq!(chain(|shape| shape.leaf_years = (2027, 2030)), Untrusted::Chain);
    assert_eq!(chain(|shape| shape.intermediate_years = (2020, 2026)), Untrusted::Chain);
    assert_eq!(chain(|shape| shape.intermediate_years = (2027, 2030)), Untrusted::Chain);
}

#[test]
fn only_the_pinned_root_is_trusted() {
    let (store, other) = (AppleStore::new(), AppleStore::new());
    // Its root comes with it, as everybody's would.
    assert_eq!(distrust(&store, &other.transaction(&bought())), Untrusted::Chain);

    // What is sent as the third certificate does not matter.
    let mut header = store.header();
    header["x5c"][2] = other.header()["x5c"][2].clone();
    assert!(open(&store, &store.sign(&header, &bought().0)).is_ok());
    header["x5c"][2] = json!("nothing");
    assert!(open(&store, &store.sign(&header, &bought().0)).is_ok());

    // Apple's root trusts no store of ours.
    let config = source(&store).config;
    let result = AppleSource::new(config).verified(&store.transaction(&bought()), NOW);
    let Err(SourceError::Unverified(why)) = result else { panic!("{result:?}") };
    assert_eq!(why, Untrusted::Chain.detail());
}

#[test]
fn there_are_exactly_three_certificates() {
    let store = AppleStore::new();
    let all = store.header()["x5c"].as_array().unwrap().clone();
    let with = |certificates: Vec<Value>| {
        let mut header = store.header();
        header["x5c"] = certificates.into();
        distrust(&store, &store.sign(&header, &bought().0))
    };
    assert_eq!(with(vec![]), Untrusted::CertificateCount);
    assert_eq!(with(all[..1].to_vec()), Untrusted::CertificateCount);
    assert_eq!(with(all[..2].to_vec()), Untrusted::CertificateCount);
    assert_eq!(with([&all[..], &all[2..]].concat()), Untrusted::CertificateCount);
    assert_eq!(with([&all[..1], &all[..]].concat()), Untrusted::CertificateCount);
    // In another order.
    assert_eq!(with(vec![all[1].clone(), all[0].clone(), all[2].clone()]), Untrusted::Chain);
    assert_eq!(with(vec![all[0].clone(), all[2].clone(), all[1].clone()]), Untrusted::Chain);
}

#[test]
fn the_algorithm_is_not_the_senders_choice() {
    let store = AppleStore::new();
    for algorithm in ["none", "None", "", "HS256", "ES384", "RS256", "es256"] {
        let mut header = store.header();
        header["alg"] = json!(algorithm);
        let signed = store.sign(&header, &bought().0);
        assert_eq!(distrust(&store, &signed), Untrusted::Algorithm, "{algorithm}");
        let (unsigned, _) = signed.rsplit_once('.').unwrap();
        assert_eq!(distrust(&store, &format!("{unsigned}.")), Untrusted::Algorithm);
    }
    // Nor is it the key's.
    let p384 = shaped(|shape| shape.leaf_p384 = true);
    assert_eq!(distrust(&p384, &p384.transaction(&bought())), Untrusted::Signature);
    let header = |field: &str, value: Value| {
        let mut header = store.header();
        set(&mut header, field, value);
        distrust(&store, &store.sign(&header, &bought().0))
    };
    assert_eq!(header("alg", Value::Null), Untrusted::Header);
    assert_eq!(header("alg", json!(["ES256"])), Untrusted::Header);
    assert_eq!(header("x5c", Value::Null), Untrusted::Header);
    assert_eq!(header("x5c", json!("MIIB")), Untrusted::Header);
    assert_eq!(header("x5c", json!(["-", "-", "-"])), Untrusted::Header);
    assert_eq!(header("x5c", json!(["", "", ""])), Untrusted::Chain);
    assert_eq!(header("crit", json!(["b64"])), Untrusted::Header);
}

#[test]
fn the_signature_is_of_these_bytes() {
    let store = AppleStore::new();
    let signed = store.transaction(&bought());
    let parts: Vec<&str> = signed.split('.').collect();
    let [header, payload, signature] = parts[..] else { unreachable!() };

    let other = BASE64URL_NOPAD.encode(bought().with("quantity", 10).0.to_string().as_bytes());
    assert_eq!(distrust(&store, &format!("{header}.{other}.{signature}")), Untrusted::Signature);
    // The same fields in other bytes.
    let pretty = serde_json::to_string_pretty(&bought().0).unwrap();
    let pretty = BASE64URL_NOPAD.encode(pretty.as_bytes());
    assert_eq!(distrust(&store, &format!("{header}.{pretty}.{signature}")), Untrusted::Signature);

    let raw = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let with = |signature: &[u8]| {
        let signature = BASE64URL_NOPAD.encode(signature);
        distrust(&store, &format!("{header}.{payload}.{signature}"))
    };
    for length in 0..raw.len() {
        assert_eq!(with(&raw[..length]), Untrusted::Signature);
    }
    for at in 0..raw.len() {
        let mut changed = raw.clone();
        changed[at] ^= 1;
        assert_eq!(with(&changed), Untrusted::Signature);
    }
    assert_eq!(with(&[&raw[..], &[0]].concat()), Untrusted::Signature);
    assert_eq!(with(&[0; 64]), Untrusted::Signature);
    assert_eq!(with(&der(&raw)), Untrusted::Signature);
}

/// The same signature as X.509 would have it.
fn der(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let mut value = bytes[zeros..].to_vec();
        if value[0] & 0x80 != 0 {
            value.insert(0, 0);
        }
        [&[2, value.len() as u8][..], &value].concat()
    };
    let both = [integer(&raw[..32]), integer(&raw[32..])].concat();
    [&[0x30, both.len() as u8][..], &both].concat()
}

#[test]
fn the_form_is_strict_and_bounded() {
    let store = AppleStore::new();
    let signed = store.transaction(&bought());
    let spaced = signed.replace('.', " .");
    let padded = format!("{signed}=");
    let four = format!("{signed}.");
    for bad in ["", ".", "..", "...", "a.b", "é.é.é", &spaced, &padded, &four, &signed[1..]] {
        assert!(open(&store, bad).is_err(), "{bad}");
    }
    assert_eq!(distrust(&store, &padded), Untrusted::Encoding);
    assert_eq!(distrust(&store, &spaced), Untrusted::Encoding);

    let huge = store.transaction(&bought().with("note", "x".repeat(MAX_TRANSACTION)));
    assert_eq!(distrust(&store, &huge), Untrusted::TooLarge);
    // Deeper than any reader's stack.
    let deep = BASE64URL_NOPAD.encode("[".repeat(2_000).as_bytes());
    assert_eq!(distrust(&store, &format!("{deep}.{deep}.{deep}")), Untrusted::Header);
    // One field twice: which of the two counts depends on the reader.
    let twice = signed_text(&store, &bought().0.to_string().replacen('{', "{\"quantity\":9,", 1));
    assert_eq!(distrust(&store, &twice), Untrusted::Payload);
}

/// Signs the text itself.
fn signed_text(store: &AppleStore, payload: &str) -> String {
    store.sign_text(&store.header().to_string(), payload)
}

#[test]
fn nothing_comes_from_the_future() {
    let store = AppleStore::new();
    let at = |now: UnixSeconds| {
        let bought = Bought::of(1, "credits.starter", ORDER, now);
        source(&store).verified(&store.transaction(&bought), NOW)
    };
    assert!(at(NOW.plus(3_600)).is_ok());
    let Err(SourceError::Unverified(why)) = at(NOW.plus(3_601)) else { panic!("a refusal") };
    assert_eq!(why, Untrusted::Future.detail());
}

/// What is understood of a notification: its name, and for each transaction whether it is refunded now.
fn understood(told: Result<Notification, SourceError>) -> (String, Vec<(String, bool)>) {
    let told = told.unwrap();
    let understood = |event| match event {
        Event::Refunded { transaction } => (transaction.to_string(), true),
        Event::RefundReversed { transaction } => (transaction.to_string(), false),
        other => panic!("{other:?}"),
    };
    (told.id, told.events.into_iter().map(understood).collect())
}

fn told(kind: &str, about: &Bought) -> (String, Vec<(String, bool)>) {
    let store = AppleStore::new();
    understood(source(&store).told(store.notification(kind, "uuid-1", about).as_bytes(), NOW))
}

#[test]
fn refunds_are_told() {
    let refunded = bought().with("revocationDate", 1_771_000_000_000_u64);
    for (kind, is_refund) in [("REFUND", true), ("REVOKE", true), ("REFUND_REVERSED", false)] {
        let about = |id: &str| ("uuid-1".to_owned(), vec![(id.to_owned(), is_refund)]);
        assert_eq!(told(kind, &refunded), about("production/2000000123456789"));
        // A product that is not sold any more, and purchases that named no order, are refunded too.
        let old = refunded.clone().with("productId", "gone").with("appAccountToken", Value::Null);
        assert_eq!(told(kind, &old), about("production/2000000123456789"));
        let sandbox = refunded.clone().with("environment", "Sandbox");
        assert_eq!(told(kind, &sandbox), about("sandbox/2000000123456789"));
    }
}

#[test]
fn other_news_change_nothing() {
    for kind in ["CONSUMPTION_REQUEST", "TEST", "REFUND_DECLINED", "DID_RENEW", "OF_NEXT_YEAR"] {
        assert_eq!(told(kind, &bought()).1, [], "{kind}");
    }
    let store = AppleStore::new();
    let payload = json!({
        "notificationType": "RENEWAL_EXTENSION", "notificationUUID": "uuid-2", "version": "2.0",
        "signedDate": NOW.0 * 1_000, "summary": { "bundleId": BUNDLE_ID },
    });
    let told = source(&store).told(store.told(&payload).as_bytes(), NOW);
    assert_eq!(understood(told), ("uuid-2".to_owned(), vec![]));
}

#[test]
fn only_apple_is_believed_about_refunds() {
    let (store, other) = (AppleStore::new(), AppleStore::new());
    let refused = |body: &str| {
        let result = source(&store).told(body.as_bytes(), NOW);
        let refused = matches!(result, Err(SourceError::NotificationUnverified(_)));
        assert!(refused, "{body:.80}: {result:?}");
    };
    let payload = |transaction: &str, change: (&str, Value)| {
        let mut payload = json!({
            "notificationType": "REFUND", "notificationUUID": "uuid", "version": "2.0",
            "signedDate": NOW.0 * 1_000,
            "data": {
                "bundleId": BUNDLE_ID, "environment": "Production",
                "signedTransactionInfo": transaction,
            },
        });
        set(&mut payload["data"], change.0, change.1.clone());
        set(&mut payload, change.0, change.1);
        store.told(&payload)
    };
    let inner = store.transaction(&bought());
    let ok = payload(&inner, ("version", json!("2.0")));
    assert!(source(&store).told(ok.as_bytes(), NOW).is_ok());

    refused("");
    refused("{}");
    refused("{\"signedPayload\": \"\"}");
    refused(&other.notification("REFUND", "uuid", &bought()));
    refused(&store.notification("REFUND", "uuid", &bought().with("bundleId", "example.other")));
    refused(&store.notification("REFUND", "uuid", &bought().with("environment", "Xcode")));
    refused(&payload(&inner, ("signedTransactionInfo", Value::Null)));
    refused(&payload(&inner, ("environment", json!("Sandbox"))));
    refused(&payload(&inner, ("environment", Value::Null)));
    refused(&payload(&inner, ("notificationUUID", Value::Null)));
    refused(&payload(&inner, ("signedDate", json!((NOW.0 + 7_200) * 1_000))));
    refused(&payload(&inner, ("signedDate", Value::Null)));
    // An inner transaction that Apple did not sign, or about something else.
    refused(&payload(&other.transaction(&bought()), ("version", json!("2.0"))));
    let elsewhere = store.transaction(&bought().with("bundleId", "example.other"));
    refused(&payload(&elsewhere, ("version", json!("2.0"))));
    refused(&payload(&inner, ("notificationUUID", json!("u".repeat(MAX_NOTIFICATION)))));
    // A purchase is no news, and news are no purchase.
    refused(&json!({ "signedPayload": inner }).to_string());
    let signed: Value = serde_json::from_str(&ok).unwrap();
    let result = source(&store).verified(signed["signedPayload"].as_str().unwrap(), NOW);
    assert!(matches!(result, Err(SourceError::Unverified(_))), "{result:?}");
}

/// One store for all cases: making certificates is slow.
fn any_store() -> &'static AppleStore {
    static STORE: std::sync::OnceLock<AppleStore> = std::sync::OnceLock::new();
    STORE.get_or_init(AppleStore::new)
}

proptest! {
    #[test]
    fn no_bytes_panic(text in ".{0,200}", body in prop::collection::vec(any::<u8>(), 0..200)) {
        let source = source(any_store());
        prop_assert!(source.verified(&text, NOW).is_err());
        prop_assert!(source.told(&body, NOW).is_err());
        let part = BASE64URL_NOPAD.encode(&body);
        let parts = [&part[..]; 3].join(".");
        prop_assert!(source.verified(&parts, NOW).is_err());
    }

    #[test]
    fn no_certificates_panic(
        leaf in prop::collection::vec(any::<u8>(), 0..100),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        which in 0_usize..2,
    ) {
        let store = any_store();
        let root = &source(store).root;
        let [good, intermediate, _] = &store.certificates;
        prop_assert!(root.signer(&leaf, intermediate, NOW).is_err());
        prop_assert!(root.signer(good, &leaf, NOW).is_err());
        let mut changed = [good.clone(), intermediate.clone()];
        let at = at.index(changed[which].len());
        let was = changed[which][at];
        changed[which][at] = byte;
        prop_assert_eq!(root.signer(&changed[0], &changed[1], NOW).is_ok(), was == byte);
    }

    #[test]
    fn no_changed_character_is_believed(at in any::<prop::sample::Index>(), with in ".") {
        let store = any_store();
        let signed = store.transaction(&bought());
        let at = at.index(signed.len());
        // The third certificate is ignored, but the signature covers it.
        let changed = [&signed[..at], &with, &signed[at + 1..]].concat();
        prop_assert_eq!(open(store, &changed).is_ok(), changed == signed);
    }
}
