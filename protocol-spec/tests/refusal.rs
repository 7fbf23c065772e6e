//! A refusal and what is credited since: who is convicted by the two, and who never is.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod world;

use scrip_protocol::id::{BatchId, OperatorId};
use scrip_protocol::keys::{PublicKey, Signature, SigningKey};
use scrip_protocol::ledger::Redemption;
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::problem::ProblemType;
use scrip_protocol::redemption::{
    ItemResult, RedemptionBatch, RedemptionItem, RedemptionOutcome, batch_digest,
};
use scrip_protocol::refusal::{Accusation, AccusationError, Refusal, RefusedCertificate};
use world::World;

fn items(paid: &PaidRequest) -> Vec<RedemptionItem> {
    paid.payment.evidence(&paid.resource_request).into_iter().map(|one| one.item).collect()
}

fn refused(world: &World, paid: &PaidRequest) -> Accusation {
    let refusal = Refusal {
        operator_id: world.operator_id(),
        payment_id: paid.payment_id(),
        problem: ProblemType::StorageFull,
    };
    let evidence = paid.payment.evidence(&paid.resource_request);
    let certificates = evidence.iter().map(|one| RefusedCertificate {
        certificate_key: PublicKey::from_bytes(one.item.token.nonce).unwrap(),
        binding: one.binding,
    });
    let (operator, signed) = (world.operator.public(), refusal.sign(&world.operator));
    Accusation::new(world.vendor_id(), operator, &signed, certificates.collect(), None)
}

fn outcome(world: &World, batch: &RedemptionBatch, results: Vec<ItemResult>) -> RedemptionOutcome {
    RedemptionOutcome {
        vendor_id: world.vendor_id(),
        operator_id: batch.operator_id,
        batch_digest: batch_digest(&batch.sign(&world.operator)),
        day: world::TODAY,
        manifest_version: 1,
        leaves: vec![1; results.iter().filter(|result| result.is_credited()).count()],
        results,
        checkpoint: Vec::new(),
    }
}

#[test]
fn a_refusal_with_a_credit_for_the_same_payment_convicts_its_operator() {
    let world = World::new();
    let paid = world.paid_request(&[world.certificate(0, 0), world.certificate(2, 1)], 0x5a);
    let accusation = refused(&world, &paid);
    let json = serde_json::to_vec(&accusation).unwrap();
    let accused = Accusation::from_json(&json).unwrap().open().unwrap();
    assert_eq!(accused.operator_id(), world.operator_id());
    for item in items(&paid) {
        let mut leaf = Redemption { operator_id: world.operator_id(), item };
        assert!(accused.is_credited_by(&leaf));
        leaf.item.signature = Signature::from_bytes([1; 64]);
        assert!(!accused.is_credited_by(&leaf), "nobody's certificate");
    }
    let batch = |items| RedemptionBatch {
        vendor_id: world.vendor_id(),
        operator_id: world.operator_id(),
        batch_id: BatchId::from_bytes([1; 16]),
        items,
    };
    let both = batch(items(&paid));
    let late = outcome(&world, &both, vec![ItemResult::Expired, ItemResult::Accepted]);
    assert_eq!(accused.redeemed_in(&both, &late), Some(1));
    // What the vendor did not credit, nobody gained by: that is how an online check ends, too.
    let nothing = outcome(&world, &both, vec![ItemResult::Expired, ItemResult::Expired]);
    assert_eq!(accused.redeemed_in(&both, &nothing), None);
}

#[test]
fn nothing_else_convicts() {
    let world = World::new();
    let certificates = [world.certificate(0, 0), world.certificate(2, 1)];
    let paid = world.paid_request(&certificates, 0x5a);
    let accused = refused(&world, &paid).open().unwrap();
    let leaf = |operator_id, item| Redemption { operator_id, item };
    // The same certificates, spent at the same operator in another payment.
    for item in items(&world.paid_request(&certificates, 0x5b)) {
        assert!(!accused.is_credited_by(&leaf(world.operator_id(), item)));
    }
    // The same payment, credited to somebody else.
    let other = OperatorId::of(&SigningKey::from_seed(&[9; 32]).public());
    assert!(!accused.is_credited_by(&leaf(other, items(&paid).remove(0))));
    // A refusal of one payment with the certificates of another, or not all of them.
    let mut mixed = refused(&world, &paid);
    mixed.certificates = refused(&world, &world.paid_request(&certificates, 0x5b)).certificates;
    assert_eq!(mixed.open().err(), Some(AccusationError::OtherPayment));
    let mut part = refused(&world, &paid);
    part.certificates.pop();
    assert_eq!(part.open().err(), Some(AccusationError::OtherPayment));
    // A refusal that somebody else signed.
    let mut forged = refused(&world, &paid);
    forged.operator_key = SigningKey::from_seed(&[9; 32]).public();
    assert!(matches!(forged.open(), Err(AccusationError::Refusal(_))));
}
