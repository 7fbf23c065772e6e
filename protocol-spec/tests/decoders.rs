//! Every decoder: what was encoded comes back, everything cut or longer is refused, and hostile bytes neither
//! panic nor have two forms. The mutations are drawn from a fixed seed, so that a failure repeats.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use scrip_protocol::DecodeError;
use scrip_protocol::id::BatchId;
use scrip_protocol::issuance::{BlindedItem, IssuanceAnswer, IssuanceRequest, SignedItem};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::limits::{MAX_BATCH_ITEMS, MAX_PACK, MAX_PAYMENT_ITEMS};
use scrip_protocol::manifest::Manifest;
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::problem::ProblemType;
use scrip_protocol::receipt::{Receipt, ReceiptEvent};
use scrip_protocol::redemption::{
    ConflictProof, DoubleSpend, InvalidReason, ItemResult, RedemptionBatch, RedemptionOutcome,
    SignedBatch, Winner, batch_digest,
};
use scrip_protocol::refusal::{Accusation, Refusal};
use scrip_protocol::renewal::{
    Complaint, RenewalItem, RenewalRefusal, RenewalResult, SignedRenewalSpent,
};
use scrip_protocol::resource::{Command, CommandAuth, LeaseStatus, ResourceRequest};
use scrip_protocol::spend::Binding;
use scrip_protocol::token::{Token, TokenRequest};
use scrip_protocol::voided::{Edition, ProvenIndex, SignedVoidedIndex, Voided};
use world::{TODAY, World};

/// A decoder that gives the canonical bytes of what it read.
type Decoder = Box<dyn Fn(&[u8]) -> Option<Vec<u8>>>;

/// Every decoder with a valid input.
fn decoders() -> Vec<(&'static str, Vec<u8>, Decoder)> {
    let world = World::new();
    let certificates = [world.certificate(0, 0), world.certificate(1, 1)];
    let paid = world.paid_request(&certificates, 9);
    let items: Vec<_> =
        paid.payment.evidence(&paid.resource_request).into_iter().map(|e| e.item).collect();
    let token = certificates[0].token().encode().to_vec();
    let batch = RedemptionBatch {
        vendor_id: world.vendor_id(),
        operator_id: world.operator_id(),
        batch_id: BatchId::from_bytes([1; 16]),
        items,
    };
    let signed_batch = batch.sign(&world.operator);
    let proof = conflict(&world);
    let outcome = outcome(&world, &signed_batch, proof).sign(&world.receipt);
    let receipt = receipt(&world).sign(&world.operator);
    let auth = Command {
        operator_id: &world.operator_id(),
        method: "GET",
        path: "/v1/x",
        body_digest: [0; 32],
    }
    .sign(&world.operator, world.now(), [8; 16]);
    let key_id = *world.manifest.keys().next().unwrap().id().as_bytes();
    let key_id = scrip_protocol::id::KeyId::from_bytes(key_id);
    let request =
        IssuanceRequest { items: vec![BlindedItem { key_id, blinded_message: [7; 256] }; 3] };
    let answer =
        IssuanceAnswer { items: vec![SignedItem { key_id, blind_signature: [6; 256] }; 3] };
    let lease = LeaseStatus {
        live: true,
        missing: true,
        lease_until: world.now(),
        receipts: vec![receipt.clone(); 2],
    };
    let (vendor, operator_key, receipt_key) =
        (world.vendor_id(), world.operator.public(), world.receipt.public());
    let operator_seed = *world.operator.seed();
    let renewal = world.renewal();

    vec![
        ("token", token, Box::new(|b| Token::decode(b).ok().map(|t| t.encode().to_vec()))),
        (
            "token request",
            TokenRequest { truncated_key_id: 1, blinded_message: [1; 256] }.encode(),
            Box::new(|b| TokenRequest::decode(b).ok().map(|t| t.encode())),
        ),
        (
            "manifest",
            world.manifest.bytes().to_vec(),
            Box::new(move |b| Manifest::open(b, &vendor).ok().map(|m| m.bytes().to_vec())),
        ),
        (
            "issuance request",
            request.encode(),
            Box::new(|b| IssuanceRequest::decode(b).ok().map(|r| r.encode())),
        ),
        (
            "issuance answer",
            answer.encode(),
            Box::new(|b| IssuanceAnswer::decode(b).ok().map(|r| r.encode())),
        ),
        (
            "paid request",
            paid.encode(),
            Box::new(|b| PaidRequest::decode(b).ok().map(|r| r.encode())),
        ),
        (
            "resource request",
            paid.resource_request.clone(),
            Box::new(|b| ResourceRequest::decode(b).ok().map(|r| r.encode())),
        ),
        (
            "redemption batch",
            signed_batch,
            Box::new(move |b| {
                let operator = SigningKey::from_seed(&operator_seed);
                SignedBatch::decode(b)
                    .ok()?
                    .verify(&operator.public())
                    .ok()
                    .map(|batch| batch.sign(&operator))
            }),
        ),
        (
            "redemption outcome",
            outcome,
            Box::new(move |b| {
                let key = SigningKey::from_seed(&[2; 32]);
                RedemptionOutcome::open(b, &receipt_key).ok().map(|o| o.sign(&key))
            }),
        ),
        (
            "conflict proof",
            proof.proof().encode(),
            Box::new(|b| ConflictProof::decode(b).ok().map(|p| p.encode())),
        ),
        (
            "receipt",
            receipt,
            Box::new(move |b| {
                let key = SigningKey::from_seed(&[3; 32]);
                Receipt::open(b, &operator_key).ok().map(|r| r.sign(&key))
            }),
        ),
        (
            "refusal",
            refusal(&world).sign(&world.operator),
            Box::new(move |b| {
                let key = SigningKey::from_seed(&[3; 32]);
                Refusal::open(b, &operator_key).ok().map(|r| r.sign(&key))
            }),
        ),
        (
            "lease status",
            lease.encode(),
            Box::new(|b| LeaseStatus::decode(b).ok().map(|l| l.encode())),
        ),
        (
            "renewal request",
            renewal.1.encode(),
            Box::new(|b| RenewalItem::decode(b).ok().map(|r| r.encode())),
        ),
        (
            "renewal answer",
            RenewalResult::Renewed(renewal.2.clone()).encode(),
            Box::new(|b| RenewalResult::decode(b).ok().map(|r| r.encode())),
        ),
        (
            "renewal of what was spent",
            RenewalResult::Spent(world.renewal_spent()).encode(),
            Box::new(|b| RenewalResult::decode(b).ok().map(|r| r.encode())),
        ),
        (
            "renewal of what was spent, by itself",
            world.renewal_spent().encode(),
            Box::new(|b| SignedRenewalSpent::decode(b).ok().map(|s| s.encode())),
        ),
        (
            "refusal of a renewal",
            world.renewal_refusal().sign(&world.receipt),
            Box::new(move |b| {
                let key = SigningKey::from_seed(&[2; 32]);
                RenewalRefusal::open(b, &receipt_key).ok().map(|r| r.sign(&key))
            }),
        ),
        (
            "voided index",
            voided_index(&world),
            Box::new(|b| SignedVoidedIndex::decode(b).ok().map(|i| i.encode())),
        ),
        (
            "proven index",
            ProvenIndex { index: voided_index(&world), proof: b"proof".to_vec() }.encode(),
            Box::new(|b| ProvenIndex::decode(b).ok().map(|p| p.encode())),
        ),
        (
            "command",
            auth.to_header().into_bytes(),
            Box::new(|b| {
                CommandAuth::from_header(std::str::from_utf8(b).ok()?)
                    .ok()
                    .map(|a| a.to_header().into_bytes())
            }),
        ),
    ]
}

fn conflict(world: &World) -> DoubleSpend {
    let certificate = world.certificate(0, 0);
    let elsewhere = world.paid_request(std::slice::from_ref(&certificate), 99);
    let evidence = &elsewhere.payment.evidence(&elsewhere.resource_request)[0];
    DoubleSpend {
        certificate_key: scrip_protocol::keys::PublicKey::from_bytes(certificate.token().nonce)
            .unwrap(),
        other_binding: evidence.binding,
        other_signature: evidence.item.signature,
        winner: Winner::Leaf(3),
    }
}

fn outcome(world: &World, batch: &[u8], spend: DoubleSpend) -> RedemptionOutcome {
    RedemptionOutcome {
        vendor_id: world.vendor_id(),
        operator_id: world.operator_id(),
        batch_digest: batch_digest(batch),
        day: TODAY,
        manifest_version: world.manifest.version(),
        results: vec![
            ItemResult::Accepted,
            ItemResult::AlreadyAccepted,
            ItemResult::DoubleSpent(spend),
            ItemResult::DoubleSpent(DoubleSpend { winner: Winner::Renewed(TODAY), ..spend }),
            ItemResult::Expired,
            ItemResult::Invalid(InvalidReason::Day),
        ],
        leaves: vec![7, 3],
        checkpoint: b"a note".to_vec(),
    }
}

fn receipt(world: &World) -> Receipt {
    Receipt {
        operator_id: world.operator_id(),
        payment_id: world.paid_request(&[world.certificate(0, 0)], 9).payment_id(),
        event: ReceiptEvent::Provisioned,
        lease_id: scrip_protocol::id::ResourceId::from_bytes([1; 24]),
        lease_until: TODAY.start(),
        credits: 4,
        detail: vec![2; 24],
    }
}

fn refusal(world: &World) -> Refusal {
    Refusal {
        operator_id: world.operator_id(),
        payment_id: world.paid_request(&[world.certificate(0, 0)], 9).payment_id(),
        problem: ProblemType::StorageFull,
    }
}

#[test]
fn valid_bytes_come_back_and_no_others_of_their_prefix() {
    for (name, valid, decode) in decoders() {
        assert_eq!(decode(&valid), Some(valid.clone()), "{name}");
        for cut in (0..valid.len()).step_by(1 + valid.len() / 300) {
            assert_eq!(decode(&valid[..cut]), None, "{name} cut at {cut}");
        }
        for extra in [0, 1, 0xff] {
            assert_eq!(decode(&[&valid[..], &[extra]].concat()), None, "{name} with a byte more");
        }
    }
}

#[test]
fn hostile_bytes_do_not_panic_and_have_one_form() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (name, valid, decode) in decoders() {
        let rounds = if name == "manifest" { 300 } else { 3_000 };
        for _ in 0..rounds {
            let bytes = mutate(&valid, &mut rng);
            if let Some(canonical) = decode(&bytes) {
                // Ed25519 signatures are deterministic here, so that even signed structures have one form.
                assert_eq!(canonical, bytes, "{name} has two encodings");
            }
        }
    }
}

fn mutate(valid: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..1 + rng.next_u32() % 4 {
        let at = rng.next_u64() as usize % bytes.len().max(1);
        match rng.next_u32() % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), rng.next_u32() as u8),
            2 if !bytes.is_empty() => {
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.next_u32() as usize % 5]
            }
            3 if !bytes.is_empty() => bytes[at] ^= 1 << (rng.next_u32() % 8),
            _ => {
                // Lengths and numbers stand at the front of most structures.
                let head = at % 8;
                if head < bytes.len() {
                    bytes[head] = rng.next_u32() as u8;
                }
            }
        }
    }
    bytes
}

#[test]
fn vectors_are_bounded_by_their_number_of_elements() {
    let world = World::new();
    let paid = world.paid_request(&[world.certificate(0, 0)], 9);
    let mut payment = paid.clone();
    payment.payment.items = vec![paid.payment.items[0].clone(); MAX_PAYMENT_ITEMS];
    assert!(PaidRequest::decode(&payment.encode()).is_ok());
    payment.payment.items.push(paid.payment.items[0].clone());
    assert!(PaidRequest::decode(&payment.encode()).is_err());
    payment.payment.items.clear();
    assert_eq!(PaidRequest::decode(&payment.encode()).err(), Some(DecodeError::BadLength));

    let key_id = world.certificate(0, 0).token().key_id;
    let item = BlindedItem { key_id, blinded_message: [0; 256] };
    let request = |n| IssuanceRequest { items: vec![item.clone(); n] }.encode();
    assert!(IssuanceRequest::decode(&request(MAX_PACK)).is_ok());
    assert!(matches!(
        IssuanceRequest::decode(&request(MAX_PACK + 1)),
        Err(DecodeError::TooLarge { .. })
    ));
    assert!(IssuanceRequest::decode(&request(0)).is_err());

    let redeemed = paid.payment.evidence(&paid.resource_request)[0].item.clone();
    let batch = |n| {
        RedemptionBatch {
            vendor_id: world.vendor_id(),
            operator_id: world.operator_id(),
            batch_id: BatchId::from_bytes([0; 16]),
            items: vec![redeemed.clone(); n],
        }
        .sign(&world.operator)
    };
    assert!(SignedBatch::decode(&batch(MAX_BATCH_ITEMS)).is_ok());
    assert!(SignedBatch::decode(&batch(MAX_BATCH_ITEMS + 1)).is_err());
}

fn voided_index(world: &World) -> Vec<u8> {
    let edition = Edition {
        vendor_id: world.vendor_id(),
        epoch: 7,
        number: 1,
        day: world.now().day(),
        covered: 9,
        salt: [1; 32],
    };
    edition.list([([1; 32], Voided::Redeemed)]).unwrap().index.sign(&world.receipt)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Token::decode(&bytes);
        let _ = PaidRequest::decode(&bytes);
        let _ = SignedBatch::decode(&bytes);
        let _ = ResourceRequest::decode(&bytes);
        let _ = LeaseStatus::decode(&bytes);
        let _ = IssuanceRequest::decode(&bytes);
        let _ = ConflictProof::decode(&bytes);
        let _ = Accusation::from_json(&bytes);
        let _ = RenewalItem::decode(&bytes);
        let _ = RenewalResult::decode(&bytes);
        let _ = SignedRenewalSpent::decode(&bytes);
        let _ = Complaint::from_json(&bytes);
        let _ = SignedVoidedIndex::decode(&bytes);
        let _ = ProvenIndex::decode(&bytes);
    }

    #[test]
    fn bindings_are_told_apart_by_every_input(a in any::<[u8; 32]>(), flip in 0..1_312usize) {
        use scrip_protocol::id::{KeyId, OperatorId, VendorId};
        use scrip_protocol::spend::{Commitment, binding};
        use scrip_protocol::time::Day;
        let inputs = |flip: Option<usize>| -> Binding {
            let mut bytes = [a, a, a, a].concat();
            bytes.extend_from_slice(&[0; 4]);
            if let Some(bit) = flip.filter(|bit| bit / 8 < bytes.len()) {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let part = |n: usize| <[u8; 32]>::try_from(&bytes[32 * n..32 * n + 32]).unwrap();
            let day = Day(u32::from_be_bytes(bytes[128..].try_into().unwrap()));
            let (vendor, operator) = (VendorId::from_bytes(part(0)), OperatorId::from_bytes(part(1)));
            let (commitment, key_id) = (Commitment::from_bytes(part(2)), KeyId::from_bytes(part(3)));
            binding(&vendor, &operator, day, &key_id, &commitment)
        };
        prop_assert_eq!(inputs(None) == inputs(Some(flip)), flip / 8 >= 132);
    }
}
