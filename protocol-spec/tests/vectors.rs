//! The vectors beside the specification. They are made by `SCRIP_WRITE_VECTORS=1 cargo test -p scrip-protocol --test vectors` and reviewed like
//! code: a change of one is a change of the protocol. Every run checks them, byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use scrip_protocol::address::{RelayAddress, VendorAddress};
use scrip_protocol::hash::Label;
use scrip_protocol::id::{BatchId, ResourceId, encode_base64url};
use scrip_protocol::issuance::Blinding;
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::{EpochBody, KeyUse, Manifest, SuccessionError};
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::problem::ProblemType;
use scrip_protocol::receipt::{Receipt, ReceiptEvent};
use scrip_protocol::redemption::{
    ConflictProof, DoubleSpend, InvalidReason, ItemResult, RedemptionBatch, RedemptionOutcome,
    SignedBatch, Winner, batch_digest,
};
use scrip_protocol::refusal::Refusal;
use scrip_protocol::renewal::RenewalResult;
use scrip_protocol::resource::{Command, ResourceRequest};
use scrip_protocol::seed::Counter;
use scrip_protocol::spend::{SpendKind, payment_id, request_digest};
use scrip_protocol::time::Day;
use scrip_protocol::token::Token;
use serde_json::json;
use world::{TODAY, World, check, hex};

#[test]
fn identifiers() {
    let world = World::new();
    let vendor = VendorAddress { id: world.vendor_id(), authority: "vendor.example".into() };
    let relay = RelayAddress { id: world.operator_id(), authority: "relay.example:8443".into() };
    check(
        "identifiers.json",
        json!({
            "root_key": hex(world.root.public().as_bytes()),
            "vendor_id": hex(world.vendor_id().as_bytes()),
            "vendor_address": vendor.to_string(),
            "operator_key": hex(world.operator.public().as_bytes()),
            "operator_id": hex(world.operator_id().as_bytes()),
            "relay_address": relay.to_string(),
            "signature": {
                "seed": hex(world.root.seed()), "label": Label::Receipt.as_str(), "data": "00ff",
                "signature": hex(world.root.sign(Label::Receipt, &[0, 0xff]).as_bytes()),
            },
        }),
    );
}

#[test]
fn derivation() {
    let world = World::new();
    let keys: Vec<_> = world.body.epochs[0].keys.iter().map(|(exponent, modulus)| {
        let key = world.manifest.issuing(KeyUse::Production, *exponent, world.now()).unwrap();
        assert_eq!(key.public().modulus(), modulus);
        let certificates: Vec<_> = [Counter::new(0, 0), Counter::new(0, 1), Counter::new(3, 500)]
            .into_iter()
            .map(|counter| {
                let blinding = Blinding::start(&world.seed, &world.manifest, key, counter).unwrap();
                let blinded = blinding.item().blinded_message;
                let answer = world.sign_blindly(&blinding);
                let certificate = blinding.finish(key, &answer).unwrap();
                json!({
                    "counter": counter.get(),
                    "certificate_key_seed": hex(world.seed.certificate_key(&key.id(), counter).seed()),
                    "blinded_message": hex(blinded),
                    "blind_signature": hex(answer.blind_signature),
                    "certificate": hex(certificate.token_bytes()),
                })
            })
            .collect();
        json!({
            "exponent": exponent.get(), "modulus": hex(modulus), "spki": hex(key.public().spki()),
            "key_id": hex(key.id().as_bytes()), "certificates": certificates,
        })
    }).collect();
    let grants: Vec<_> = [0, 1, u32::MAX]
        .into_iter()
        .map(|index| {
            let secret = world.seed.grant_secret(&world.vendor_id(), index);
            json!({
                "grant_index": index, "grant_secret": hex(secret.as_bytes()),
                "authorization": *secret.to_bearer(), "grant_id": hex(secret.grant_id().as_bytes()),
            })
        })
        .collect();
    check(
        "derivation.json",
        json!({
            "seed": hex(world.seed.as_bytes()), "vendor_id": hex(world.vendor_id().as_bytes()),
            "issuer_name": world.manifest.challenge().issuer_name,
            "challenge": hex(world.manifest.challenge().encode()),
            "challenge_digest": hex(world.manifest.challenge_digest()),
            "grants": grants, "keys": keys,
        }),
    );
}

/// Where the `use` of the first epoch stands: the epochs are last before the signature.
fn use_at(world: &World) -> usize {
    let keys = world.body.epochs[0].keys.len() * 257;
    world.manifest.bytes().len() - 64 - keys - 2 - 5 * 8 - 1
}

/// The manifest with a signature over what it says now.
fn resigned(world: &World, mut manifest: Vec<u8>) -> Vec<u8> {
    manifest.truncate(manifest.len() - 64);
    let signature = world.root.sign(Label::Manifest, &manifest);
    manifest.extend_from_slice(signature.as_bytes());
    manifest
}

#[test]
fn manifest() {
    let world = World::new();
    let good = world.manifest.bytes().to_vec();
    let mut cases = vec![("valid", good.clone())];
    let mut flipped = good.clone();
    flipped[40] ^= 1;
    cases.push(("a bit of the version flipped", flipped));
    cases.push(("cut by a byte", good[..good.len() - 1].to_vec()));
    cases.push(("a byte too long", [&good[..], &[0]].concat()));
    let mut format = good.clone();
    format[1] = 2;
    cases.push(("format 2, which had no products and no operators", format));
    let signed = |change: &dyn Fn(&mut scrip_protocol::manifest::ManifestBody)| {
        let mut body = world.body.clone();
        change(&mut body);
        body.sign(&world.root)
    };
    cases.push(("an issuer name with a space", signed(&|b| b.issuer_name = "a b".into())));
    cases.push((
        "renew_from before issue_until",
        signed(&|b| b.epochs[0].windows.renew_from.0 = b.epochs[0].windows.issue_until.0 - 1),
    ));
    cases.push((
        "renew_from after spend_until",
        signed(&|b| b.epochs[0].windows.renew_from.0 = b.epochs[0].windows.spend_until.0 + 1),
    ));
    cases.push(("test keys", signed(&|b| b.epochs[0].key_use = KeyUse::Test)));
    let mut use_0 = good.clone();
    use_0[use_at(&world)] = 0;
    cases.push(("use 0", resigned(&world, use_0)));
    cases.push((
        "spend_until before issue_until",
        signed(&|b| b.epochs[0].windows.spend_until = b.epochs[0].windows.issue_from),
    ));
    cases.push(("keys out of order", signed(&|b| b.epochs[0].keys.swap(0, 1))));
    cases.push(("an even modulus", signed(&|b| b.epochs[0].keys[0].1[255] &= 0xfe)));
    cases.push(("a key twice", signed(&|b| b.epochs[0].keys[1].1 = b.epochs[0].keys[0].1)));
    cases.push((
        "no issue window",
        signed(&|b| b.epochs[0].windows.issue_until = b.epochs[0].windows.issue_from),
    ));
    let second = |key_use, days: u64| {
        signed(&|b| {
            let keys = vec![b.epochs[0].keys.pop().unwrap()];
            let windows = world::windows(Day(TODAY.0 - 10 + days as u32));
            b.epochs.push(EpochBody { number: 8, key_use, windows, keys });
        })
    };
    cases.push(("an epoch after the other", second(KeyUse::Production, 30)));
    cases.push(("two epochs at one time", second(KeyUse::Production, 29)));
    cases.push(("test keys at the same time", second(KeyUse::Test, 0)));
    cases.push(("no product", signed(&|b| b.products.clear())));
    cases.push(("a key that no product has", signed(&|b| b.products = vec![world::product(2)])));
    cases.push(("a product that no key has", signed(&|b| b.products = vec![world::product(9)])));
    cases.push(("a product twice", signed(&|b| b.products.push(b.products[0].clone()))));
    cases.push(("a product off sale", signed(&|b| b.products[0].on_sale = false)));
    cases.push(("a name in capitals", signed(&|b| b.products[0].name = "Starter".into())));
    cases.push(("a second part", signed(&|b| b.products[0].rest = Some(world::rest(1)))));
    cases.push(("a second part at once", signed(&|b| b.products[0].rest = Some(world::rest(0)))));
    cases.push(("no operator", signed(&|b| b.operators.clear())));
    cases.push(("an operator twice", signed(&|b| b.operators.push(b.operators[0].clone()))));
    cases.push((
        "an operator's name that runs backwards",
        signed(&|b| b.operators[0].name = "Relay\u{202e}enO".into()),
    ));
    cases.push((
        "an address that is none",
        signed(&|b| b.operators[0].addresses[0] = "user@relay.example".into()),
    ));
    cases.push(("no address", signed(&|b| b.operators[0].addresses.clear())));
    cases.push(("an epoch twice", signed(&|b| b.epochs.push(b.epochs[0].clone()))));
    let cases: Vec<_> = cases.into_iter().map(|(comment, bytes)| {
        let result = match Manifest::open(&bytes, &world.vendor_id()) {
            Ok(manifest) => json!({"version": manifest.version(), "digest": hex(manifest.digest().as_bytes())}),
            Err(error) => json!({"error": format!("{error:?}")}),
        };
        json!({"comment": comment, "manifest": hex(bytes), "result": result})
    }).collect();
    check("manifest.json", json!({"vendor_id": hex(world.vendor_id().as_bytes()), "cases": cases}));
}

#[test]
fn succession() {
    let world = World::new();
    let signed = |change: &dyn Fn(&mut scrip_protocol::manifest::ManifestBody)| {
        let mut body = world.body.clone();
        body.version = 2;
        change(&mut body);
        body.sign(&world.root)
    };
    let held_at = world.now();
    let cases = [
        ("nothing but the version", signed(&|_| ())),
        ("an end of issuing before its time", signed(&|b| b.epochs[0].windows.issue_until.0 -= 1)),
        ("an end of spending before its time", signed(&|b| b.epochs[0].windows.spend_until.0 -= 1)),
        (
            "a renewal that opens before its time",
            signed(&|b| b.epochs[0].windows.renew_from.0 -= 1),
        ),
        ("a renewal put off", signed(&|b| b.epochs[0].windows.renew_from.0 += 1)),
        ("keys of another use", signed(&|b| b.epochs[0].key_use = KeyUse::Test)),
        ("an end of issuing put off", signed(&|b| b.epochs[0].windows.issue_until.0 += 1)),
        (
            "an earlier start, so that it issues longer",
            signed(&|b| b.epochs[0].windows.issue_from.0 -= 1),
        ),
        (
            "an end of redemption before its time",
            signed(&|b| b.epochs[0].windows.redeem_until.0 -= 1),
        ),
        (
            "a beginning that was days ago, before its time",
            signed(&|b| {
                b.epochs[0].windows.issue_from.0 -= 1;
                b.epochs[0].windows.issue_until.0 -= 1;
            }),
        ),
        (
            "an end of issuing that was days ago",
            signed(&|b| b.epochs[0].windows.issue_until.0 = held_at.0 - 2 * 86_400),
        ),
        (
            "an end of spending that was days ago",
            signed(&|b| {
                let windows = &mut b.epochs[0].windows;
                windows.issue_until.0 = held_at.0 - 2 * 86_400;
                (windows.renew_from, windows.spend_until) =
                    (windows.issue_until, windows.issue_until);
            }),
        ),
        (
            "revoked at the moment",
            signed(&|b| {
                let windows = &mut b.epochs[0].windows;
                windows.issue_until = held_at;
                (windows.renew_from, windows.spend_until) = (held_at, held_at);
            }),
        ),
        ("a product gone", signed(&|b| b.products[0].name = "other".into())),
        ("a product's pack changed", signed(&|b| b.products[0].pack = world::product(4).pack)),
        ("a second part added", signed(&|b| b.products[0].rest = Some(world::rest(1)))),
        ("a product off sale", signed(&|b| b.products[0].on_sale = false)),
        ("no operator any more", signed(&|b| b.operators.clear())),
        ("a key gone", signed(&|b| b.epochs[0].keys.truncate(2))),
        ("an epoch gone", signed(&|b| b.epochs.clear())),
        ("another issuer name", signed(&|b| b.issuer_name = "other.example".into())),
        ("version 1 again", signed(&|b| b.version = 1)),
    ];
    let cases = cases.map(|(comment, bytes)| {
        let offered = Manifest::open(&bytes, &world.vendor_id()).unwrap();
        let result = match offered.may_follow(&world.manifest, held_at) {
            Ok(()) => json!("ok"),
            Err(error) => json!({"error": format!("{error:?}")}),
        };
        json!({"comment": comment, "manifest": hex(bytes), "result": result})
    });
    let held = hex(world.manifest.bytes());
    let vendor_id = hex(world.vendor_id().as_bytes());
    check(
        "succession.json",
        json!({"vendor_id": vendor_id, "held": held, "held_at": held_at.0, "cases": cases}),
    );
}

/// The world's manifest with these receipt keys: version, key, and who endorses it.
fn with_receipt_keys(
    world: &World,
    version: u64,
    list: &[(u64, &SigningKey, Option<&SigningKey>)],
) -> Vec<u8> {
    let vendor = world.vendor_id();
    let mut keys = Vec::new();
    for (since, key, by) in list {
        let since = since.to_be_bytes();
        let message = [vendor.as_bytes(), since.as_slice(), key.public().as_bytes()].concat();
        keys.extend([since.as_slice(), key.public().as_bytes()].concat());
        let endorsement = by.map(|by| by.sign(Label::ReceiptKey, &message));
        let endorsement = endorsement.as_ref().map_or(&[][..], |signature| signature.as_bytes());
        keys.push(endorsement.len() as u8);
        keys.extend(endorsement);
    }
    let manifest = world.manifest.bytes();
    let at = 2 + 32 + 8 + 1 + world.body.issuer_name.len();
    let after = at + 2 + 41;
    let mut made = manifest[..at].to_vec();
    made[2 + 32..][..8].copy_from_slice(&version.to_be_bytes());
    made.extend((keys.len() as u16).to_be_bytes());
    made.extend([&keys, &manifest[after..]].concat());
    resigned(world, made)
}

#[test]
fn receipt_keys() {
    let world = World::new();
    let [second, third] = [40, 41].map(|byte| SigningKey::from_seed(&[byte; 32]));
    let first = &world.receipt;
    let with = |version, list: &[_]| with_receipt_keys(&world, version, list);
    let (one, two) = ((1, first, None), (2, &second, Some(first)));
    let three = (3, &third, Some(&second));
    let opened: Vec<_> = [
        ("two receipt keys", with(2, &[one, two])),
        ("three, one version each", with(3, &[one, two, three])),
        ("no endorsement", with(2, &[one, (2, &second, None)])),
        ("endorsed by itself", with(2, &[one, (2, &second, Some(&second))])),
        ("endorsed by another key", with(2, &[one, (2, &second, Some(&third))])),
        ("the first is endorsed too", with(2, &[(1, first, Some(first)), two])),
        ("the third by the first", with(3, &[one, two, (3, &third, Some(first))])),
        ("two at one version", with(2, &[one, two, (2, &third, Some(&second))])),
        ("out of order", with(3, &[two, one])),
        ("the same key again", with(3, &[one, two, (3, first, Some(&second))])),
        ("of a version to come", with(1, &[one, two])),
        ("no receipt key", with(2, &[])),
    ]
    .into_iter()
    .map(|(comment, bytes)| {
        let result = match Manifest::open(&bytes, &world.vendor_id()) {
            Ok(manifest) => json!({"receipt_keys": manifest.receipt_keys().all().map(|one| hex(one.key.as_bytes())).collect::<Vec<_>>()}),
            Err(error) => json!({"error": format!("{error:?}")}),
        };
        json!({"comment": comment, "manifest": hex(bytes), "result": result})
    })
    .collect();
    let open = |bytes: Vec<u8>| Manifest::open(&bytes, &world.vendor_id()).unwrap();
    let held = open(with(2, &[one, two]));
    let follow: Vec<_> = [
        ("another key after them", with(3, &[one, two, three])),
        ("the same ones", with(3, &[one, two])),
        ("the last one gone", with(3, &[one])),
        ("the first one gone", with(3, &[(1, &second, None)])),
        ("the other way round", with(3, &[(1, &second, None), (2, first, Some(&second))])),
        ("another in the second's place", with(3, &[one, (2, &third, Some(first))])),
        ("the second since a later version", with(3, &[one, (3, &second, Some(first))])),
    ]
    .into_iter()
    .map(|(comment, bytes)| {
        let result = match open(bytes.clone()).may_follow(&held, world.now()) {
            Ok(()) => json!("ok"),
            Err(error) => json!({"error": format!("{error:?}")}),
        };
        json!({"comment": comment, "manifest": hex(bytes), "result": result})
    })
    .collect();
    // One that says to have been there since a version at which the reader knew better.
    let later = open(with(5, &[one]));
    let unsaid = open(with(6, &[one, two]));
    assert_eq!(unsaid.may_follow(&later, world.now()), Err(SuccessionError::ReceiptKeys));
    check(
        "receipt-keys.json",
        json!({
            "vendor_id": hex(world.vendor_id().as_bytes()), "cases": opened,
            "held": hex(held.bytes()), "held_at": world.now().0, "succession": follow,
        }),
    );
}

#[test]
fn spending() {
    let world = World::new();
    let certificates = [world.certificate(0, 0), world.certificate(2, 1)];
    let paid = world.paid_request(&certificates, 0x5a);
    let evidence = paid.payment.evidence(&paid.resource_request);
    let bindings: Vec<_> = evidence.iter().map(|e| e.binding).collect();
    assert_eq!(payment_id(&world.vendor_id(), &bindings), paid.payment_id());
    let items: Vec<_> = evidence.iter().map(|e| json!({
        "certificate_key": hex(e.item.token.nonce), "commitment": hex(e.item.commitment.as_bytes()),
        "binding": hex(e.binding.as_bytes()), "signature": hex(e.item.signature.as_bytes()),
    })).collect();
    let refusal = Refusal {
        operator_id: world.operator_id(),
        payment_id: paid.payment_id(),
        problem: ProblemType::StorageFull,
    };
    let bytes = paid.encode();
    let negatives: Vec<_> = negatives(&bytes)
        .into_iter()
        .map(|(comment, bytes)| {
            let error = PaidRequest::decode(&bytes).err().expect(comment);
            json!({"comment": comment, "paid_request": hex(bytes), "error": format!("{error:?}")})
        })
        .collect();
    check(
        "spending.json",
        json!({
            "vendor_id": hex(world.vendor_id().as_bytes()), "operator_id": hex(world.operator_id().as_bytes()),
            "day": TODAY.0, "salt": hex(paid.payment.salt.0),
            "resource_request": hex(&paid.resource_request),
            "request_digest": hex(request_digest(&paid.resource_request).as_bytes()),
            "items": items, "payment_id": hex(paid.payment_id().as_bytes()),
            "paid_request": hex(&bytes), "undecodable": negatives,
            "refusal": {"problem": refusal.problem.name(), "bytes": hex(refusal.sign(&world.operator))},
        }),
    );
}

fn negatives(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let request = 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let length = request + 100;
    let mut empty_request = vec![0, 0];
    empty_request.extend_from_slice(&bytes[request..]);
    let mut no_items = bytes[..length].to_vec();
    no_items.extend_from_slice(&[0, 0]);
    let mut half_item = bytes.to_vec();
    half_item[length + 1] -= 1;
    half_item.pop();
    let mut token_type = bytes.to_vec();
    token_type[length + 3] = 1;
    vec![
        ("cut by a byte", bytes[..bytes.len() - 1].to_vec()),
        ("a byte too long", [bytes, &[0]].concat()),
        ("an empty resource request", empty_request),
        ("no items", no_items),
        ("a length that is no whole number of items", half_item),
        ("token type 1", token_type),
        ("nothing", Vec::new()),
    ]
}

#[test]
fn redemption() {
    let world = World::new();
    let certificates = [world.certificate(0, 0), world.certificate(1, 1), world.certificate(2, 2)];
    let paid = world.paid_request(&certificates, 1);
    let elsewhere = world.paid_request(&certificates[..1], 2);
    let own = paid.payment.evidence(&paid.resource_request);
    let other = elsewhere.payment.evidence(&elsewhere.resource_request).remove(0);
    let spend = DoubleSpend {
        certificate_key: own[0].item.token.certificate_key().unwrap(),
        other_binding: other.binding,
        other_signature: other.item.signature,
        winner: Winner::Leaf(255),
    };
    let (_, item, _, _) = world.renewal();
    let renewed = DoubleSpend {
        certificate_key: item.token.certificate_key().unwrap(),
        other_binding: item.binding(&world.vendor_id()),
        other_signature: item.signature,
        winner: Winner::Renewed(Day(TODAY.0 + 370)),
    };
    let proof = spend.proof();
    proof.verify(&own[0].item.token.nonce, &own[0].binding).unwrap();
    let batch = RedemptionBatch {
        vendor_id: world.vendor_id(),
        operator_id: world.operator_id(),
        batch_id: BatchId::from_bytes([0xb; 16]),
        items: own.iter().map(|e| e.item.clone()).collect(),
    };
    let bytes = batch.sign(&world.operator);
    assert!(
        SignedBatch::decode(&bytes).unwrap().verify(&world.operator.public()).unwrap() == batch
    );
    let outcome = RedemptionOutcome {
        vendor_id: world.vendor_id(),
        operator_id: world.operator_id(),
        batch_digest: batch_digest(&bytes),
        day: world.now().day(),
        manifest_version: world.manifest.version(),
        results: vec![
            ItemResult::DoubleSpent(spend),
            ItemResult::Accepted,
            ItemResult::Invalid(InvalidReason::Key),
        ],
        leaves: vec![256],
        checkpoint: b"a note".to_vec(),
    };
    check(
        "redemption.json",
        json!({
            "operator_key": hex(world.operator.public().as_bytes()),
            "receipt_key": hex(world.receipt.public().as_bytes()),
            "batch": hex(&bytes), "batch_digest": hex(batch_digest(&bytes).as_bytes()),
            "bindings": own.iter().map(|e| hex(e.binding.as_bytes())).collect::<Vec<_>>(),
            "conflict_proof": hex(proof.encode()),
            "results": ["double_spent(leaf 255)", "accepted", "invalid(key)"],
            "outcome": hex(outcome.sign(&world.receipt)),
            "renewed_outcome": hex(
                RedemptionOutcome {
                    results: vec![
                        ItemResult::DoubleSpent(renewed),
                        ItemResult::AlreadyAccepted,
                        ItemResult::Expired,
                    ],
                    ..outcome
                }
                .sign(&world.receipt)
            ),
        }),
    );
}

#[test]
fn renewal() {
    let world = World::new();
    let (old, item, renewal, new) = world.renewal();
    let binding = item.binding(&world.vendor_id());
    let old_key = old.key();
    renewal.verify(&world.vendor_id(), &old.token().key_id, &old_key).unwrap();
    // What a relay is shown that was paid with the same certificate.
    let proof = ConflictProof {
        certificate_key: old_key,
        kind: SpendKind::Renewal,
        other_binding: binding,
        other_signature: item.signature,
    };
    let paid = world.paid_request(std::slice::from_ref(&old), 1);
    let own = paid.payment.evidence(&paid.resource_request).remove(0);
    proof.verify(&old.token().nonce, &own.binding).unwrap();
    // What the wallet is told that had spent it, and what it is told where it asks too late.
    let spent = world.renewal_spent();
    let shown = spent.verify(&world.receipt.public()).unwrap();
    shown.proof.verify(&old.token().nonce, &binding).unwrap();
    let answers = [RenewalResult::Renewed(renewal.clone()), RenewalResult::Spent(spent)];
    let refusal = world.renewal_refusal().sign(&world.receipt);
    check(
        "renewal.json",
        json!({
            "old_certificate": hex(old.token_bytes()), "counter": Counter::new(0, 0).get(),
            "new_key_id": hex(renewal.key_id.as_bytes()), "blinded_message": hex(renewal.blinded_message),
            "binding": hex(binding.as_bytes()), "request": hex(item.encode()),
            "answers": answers.map(|answer| hex(answer.encode())), "refusal": hex(refusal),
            "new_certificate": hex(new.token_bytes()),
        }),
    );
}

#[test]
fn resources() {
    let world = World::new();
    let paid = world.paid_request(&[world.certificate(0, 0)], 1);
    let receipt = Receipt {
        operator_id: world.operator_id(),
        payment_id: paid.payment_id(),
        event: ReceiptEvent::Provisioned,
        lease_id: ResourceId::from_bytes([0x1e; 24]),
        lease_until: TODAY.start().plus(30 * 86_400),
        credits: 1,
        detail: vec![0x5e; 24],
    };
    let path = format!("/v1/leases/{}", receipt.lease_id);
    let command = Command {
        operator_id: &world.operator_id(),
        method: "DELETE",
        path: &path,
        body_digest: Command::digest_of(b""),
    };
    let auth = command.sign(&world.operator, world.now(), [0xc0; 16]);
    command.verify(&auth, &world.operator.public(), world.now()).unwrap();
    let invalid = [
        ("kind 0", vec![0, 0, 1]),
        ("no days", {
            let mut r = paid.resource_request.clone();
            r[2] = 0;
            r
        }),
        ("cut", paid.resource_request[..20].to_vec()),
    ]
    .map(|(comment, bytes)| {
        let error = ResourceRequest::decode(&bytes).expect_err(comment);
        json!({"comment": comment, "resource_request": hex(bytes), "error": format!("{error:?}")})
    });
    check(
        "resources.json",
        json!({
            "operator_key": hex(world.operator.public().as_bytes()),
            "receipt": hex(receipt.sign(&world.operator)),
            "lease_id": encode_base64url(receipt.lease_id.as_bytes()),
            "command": {"method": command.method, "path": path, "body": "", "time": auth.time.0,
                "nonce": hex(auth.nonce), "header": auth.to_header()},
            "undecodable": invalid,
        }),
    );
}

/// A verifier of tokens that knows nothing of scrip accepts a certificate.
#[test]
fn a_certificate_is_an_rfc_9578_token() {
    use blind_rsa_signatures::{Deterministic, PSS, PublicKey, Sha384, Signature};
    let world = World::new();
    let certificate = world.certificate(1, 4);
    let key = world.manifest.key(&certificate.token().key_id).unwrap();
    let verifier =
        PublicKey::<Sha384, PSS, Deterministic>::from_spki(&key.public().spki()).unwrap();
    let bytes = certificate.token_bytes();
    verifier.verify(&Signature(bytes[98..].to_vec()), None, &bytes[..98]).unwrap();
    assert!(Token::decode(&bytes).unwrap() == *certificate.token());
}

/// errors.md and the code say the same.
#[test]
fn the_table_of_errors_is_that_of_the_code() {
    use scrip_protocol::problem::{Fault, ProblemType};
    let page =
        std::fs::read_to_string(format!("{}/errors.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = ProblemType::ALL
        .iter()
        .map(|p| {
            let fault = if p.fault() == Fault::Client { "client" } else { "server" };
            let taken = if p.nothing_taken() { "nothing" } else { "unknown" };
            format!("| `{}` | {} | {fault} | {taken} | {} |", p.name(), p.status(), p.title())
        })
        .collect();
    assert_eq!(rows, expected);
}
