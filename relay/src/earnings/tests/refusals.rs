//! Vendors that refuse what they have to credit, and operators that claim that they did.

use scrip_protocol::{
    id::encode_base64url,
    issuance::Certificate,
    redemption::{
        DoubleSpend, InvalidReason, ItemResult, RedemptionItem, RedemptionOutcome, Winner,
        batch_digest,
    },
};

use super::*;
use crate::earnings::{
    compare::Difference,
    dispute::{ProvenLeaf, judge},
};

impl World {
    /// What `certificate` is redeemed with, spent at `operator` for something.
    fn spent(
        &mut self,
        certificate: &Certificate,
        operator: &OperatorId,
        what: u8,
    ) -> RedemptionItem {
        let request = [what];
        let paid = self.vendor.pay([certificate], operator, &request, &mut self.rng);
        paid.payment.evidence(&request).remove(0).item
    }

    /// Sends a batch, and has the vendor sign this answer.
    fn answered(&mut self, items: Vec<RedemptionItem>, results: Vec<ItemResult>) {
        self.answered_on(NOW.day(), items, results);
    }

    fn answered_on(&mut self, day: Day, items: Vec<RedemptionItem>, results: Vec<ItemResult>) {
        let batch = RedemptionBatch {
            vendor_id: self.vendor.id(),
            operator_id: self.operator_id(),
            batch_id: BatchId::from_bytes([self.receipts.len() as u8; 16]),
            items,
        };
        let batch = batch.sign(&self.operator);
        let mut outcome = RedemptionOutcome {
            vendor_id: self.vendor.id(),
            operator_id: self.operator_id(),
            batch_digest: batch_digest(&batch),
            day,
            manifest_version: self.keys.held().version(),
            results,
            leaves: Vec::new(),
            checkpoint: Vec::new(),
        };
        if outcome.last_leaf().is_some() {
            outcome.checkpoint = self.vendor.checkpoint().into_bytes();
        }
        let outcome = outcome.sign(self.vendor.receipt_key());
        self.receipts.push(BatchReceipt { batch, outcome });
    }

    /// The file with everything that lacks, looked up as an auditor may.
    async fn judge_with_the_ledger(&self, checked: &Checked) -> Vec<Judgement> {
        let mut file = Dispute::of(checked);
        file.look_up(&self.vendor.address(), self).await.unwrap();
        judge(&file, &self.vendor.id()).unwrap()
    }
}

/// That `item` was spent before, as `winner` shows.
fn double_spend(
    world: &World,
    operator: &OperatorId,
    winner: &RedemptionItem,
    at: Winner,
) -> ItemResult {
    ItemResult::DoubleSpent(DoubleSpend {
        certificate_key: winner.token.certificate_key().unwrap(),
        other_binding: winner.binding(&world.vendor.id(), operator),
        other_signature: winner.signature,
        winner: at,
    })
}

fn verdicts(judgements: &[Judgement]) -> Vec<Verdict> {
    judgements.iter().map(|one| one.verdict).collect()
}

#[tokio::test]
async fn a_refusal_of_what_verifies_differs_and_is_proven() {
    let mut world = World::in_business();
    let operator = world.operator_id();
    let lies = [ItemResult::Invalid(InvalidReason::CertificateSignature), ItemResult::Expired];
    let items: Vec<_> = (0..2)
        .map(|exponent| {
            let certificate = world.vendor.issue_in(1, exponent);
            world.spent(&certificate, &operator, exponent)
        })
        .collect();
    world.answered(items.clone(), lies.to_vec());
    // The same is right of what does not verify, and after the window.
    let mut spoiled = items[0].clone();
    spoiled.token.authenticator[0] ^= 1;
    world.answered(vec![spoiled], vec![lies[0]]);
    let key = world.keys.held().key(&items[1].token.key_id).unwrap();
    let end = key.windows().redeem_until.day();
    world.answered_on(end, vec![items[1].clone()], vec![lies[1]]);

    let checked = world.check().await;
    assert_eq!(checked.differences.len(), 2, "{:?}", checked.differences);
    let refused = |one: &Difference| matches!(one, Difference::Refused { .. });
    assert!(checked.differences.iter().all(refused));
    let judgements = world.judge(&checked);
    assert_eq!(verdicts(&judgements), [Verdict::Proven; 2], "{judgements:?}");

    // An operator that claims the same of the true refusals gets nowhere.
    let mut file = Dispute::of(&checked);
    file.receipts = world.receipts.iter().map(|one| encode_base64url(&one.encode())).collect();
    let last = file.receipts.len();
    let claim = |receipt| Claim::Refused { what: "refused".into(), receipt, position: 0 };
    file.claims = vec![claim(last - 2), claim(last - 1), claim(0)];
    let judgements = judge(&file, &world.vendor.id()).unwrap();
    assert_eq!(verdicts(&judgements), [Verdict::Unfounded; 3], "{judgements:?}");
}

/// A vendor ends a key's life after the fact, so that what was good when it was taken is "invalid" by its newest manifest. An answer of
/// before, by which it still went by the manifest that it takes back, convicts it; without one nobody can tell it from a revocation.
#[tokio::test]
async fn a_day_that_is_taken_back_differs_and_is_proven() {
    let mut world = World::in_business();
    let first = world.keys.held().clone();
    let end = |body: &mut scrip_protocol::manifest::ManifestBody| {
        body.version = 2;
        let windows = &mut body.epochs[0].windows;
        windows.issue_until = NOW.minus(10 * 86_400);
        (windows.renew_from, windows.spend_until) = (windows.issue_until, windows.issue_until);
    };
    world.vendor.publish(end);
    world.keys = VendorKeys::new(vec![first.clone(), world.vendor.manifest()]).unwrap();
    let operator = world.operator_id();
    let certificate = world.vendor.issue_in(1, 3);
    let item = world.spent(&certificate, &operator, 1);
    let on = Day(NOW.day().0 + 1);
    world.answered_on(on, vec![item], vec![ItemResult::Invalid(InvalidReason::Day)]);

    let checked = world.check().await;
    let [Difference::Refused { manifest: 1, stood: Some(_), .. }] = checked.differences[..] else {
        panic!("{:?}", checked.differences)
    };
    let judgements = world.judge(&checked);
    assert_eq!(verdicts(&judgements), [Verdict::Proven], "{judgements:?}");
    let file = Dispute::of(&checked);
    assert_eq!((file.manifests.len(), file.receipts.len()), (2, 2));
    // Neither the manifest nor the earlier answer can be left out.
    let mut lacking = file.clone();
    lacking.receipts.truncate(1);
    let judged = judge(&lacking, &world.vendor.id()).unwrap();
    assert_eq!(verdicts(&judged), [Verdict::Unfounded], "{judged:?}");
    let mut lacking = file;
    lacking.manifests = vec![encode_base64url(world.vendor.manifest().bytes())];
    let judged = judge(&lacking, &world.vendor.id()).unwrap();
    assert_eq!(verdicts(&judged), [Verdict::Unfounded], "{judged:?}");

    // An honest revocation: nothing shows that the first version stood any longer.
    world.receipts.drain(..world.receipts.len() - 1);
    let mut ledger = World::new();
    (ledger.receipts, ledger.keys) = (world.receipts, world.keys);
    assert!(ledger.check().await.agrees());
}

#[tokio::test]
async fn a_double_spend_is_held_against_the_leaf_that_it_names() {
    let mut world = World::in_business();
    let (own, other) = (world.operator_id(), OperatorId::from_bytes([8; 32]));
    let certificate = world.vendor.issue_in(1, 2);
    let here = world.spent(&certificate, &own, 1);
    // The wallet signed this too, and it was never redeemed: a payment that was refused, say.
    let elsewhere = world.spent(&certificate, &other, 2);
    // Leaf 2 is a redemption of this operator's own, and of another certificate.
    let lie = double_spend(&world, &other, &elsewhere, Winner::Leaf(2));
    world.answered(vec![here.clone()], vec![lie]);
    let checked = world.check().await;
    assert!(matches!(checked.differences[..], [Difference::NoDoubleSpend { .. }]));
    assert_eq!(verdicts(&world.judge(&checked)), [Verdict::Proven]);
    world.receipts.pop();

    // Leaf 0 is a cover, which the operator may not read: no difference, and a claim that whoever may read it settles.
    let lie = double_spend(&world, &other, &elsewhere, Winner::Leaf(0));
    world.answered(vec![here.clone()], vec![lie]);
    let checked = world.check().await;
    assert!(checked.agrees() && checked.unseen.len() == 1, "{checked:?}");
    assert_eq!(verdicts(&world.judge(&checked)), [Verdict::Open]);
    let judged = world.judge_with_the_ledger(&checked).await;
    assert_eq!(verdicts(&judged), [Verdict::Proven], "{judged:?}");
    world.receipts.pop();

    // The honest answer: it was redeemed elsewhere.
    let redemption = Box::new(scrip_protocol::ledger::Redemption {
        operator_id: other,
        item: elsewhere.clone(),
    });
    let index = world.append(&Leaf::Redemption(redemption));
    let truth = double_spend(&world, &other, &elsewhere, Winner::Leaf(index));
    world.answered(vec![here.clone()], vec![truth]);
    let checked = world.check().await;
    assert!(checked.agrees() && checked.unseen.len() == 1, "{checked:?}");
    assert_eq!(verdicts(&world.judge(&checked)), [Verdict::Open]);
    let judged = world.judge_with_the_ledger(&checked).await;
    assert_eq!(verdicts(&judged), [Verdict::Unfounded], "{judged:?}");
    world.receipts.pop();

    // A renewal names no leaf: only an audit of everything can tell.
    let renewed = double_spend(&world, &other, &elsewhere, Winner::Renewed(NOW.day()));
    world.answered(vec![here], vec![renewed]);
    let checked = world.check().await;
    assert_eq!(checked.differences.len(), 1, "signed as a spend, it proves no renewal");
    assert_eq!(verdicts(&world.judge(&checked)), [Verdict::Proven]);
}

/// What was recorded before may have come with another signature. So a hash that is not that of what was sent proves nothing where the
/// vendor says that, and all where it says that it recorded this.
#[tokio::test]
async fn another_hash_alone_convicts_for_what_is_accepted_alone() {
    let mut world = World::in_business();
    let operator = world.operator_id();
    let certificate = world.vendor.issue_in(1, 3);
    let item = world.spent(&certificate, &operator, 1);
    let index = world.append(&Leaf::Cover([7; 32]));
    for result in [ItemResult::Accepted, ItemResult::AlreadyAccepted] {
        world.answered(vec![item.clone()], vec![result]);
        let last = world.receipts.last_mut().unwrap();
        let receipt = world.vendor.receipt_key();
        let outcome = RedemptionOutcome::open(&last.outcome, &receipt.public()).unwrap();
        let checkpoint = world.vendor.checkpoint().into_bytes();
        last.outcome =
            RedemptionOutcome { leaves: vec![index], checkpoint, ..outcome }.sign(receipt);
        let checked = world.check().await;
        let expected = match result {
            ItemResult::Accepted => Verdict::Proven,
            _ => Verdict::Open,
        };
        assert_eq!(verdicts(&world.judge(&checked)), [expected], "{result:?}");
        let judged = world.judge_with_the_ledger(&checked).await;
        assert_eq!(verdicts(&judged), [Verdict::Proven], "with the leaf both are");
        world.receipts.pop();
    }

    // Nor does the leaf itself convict where it is the same spend with other signatures.
    let mut resigned = item.clone();
    resigned.signature = scrip_protocol::keys::Signature::from_bytes([9; 64]);
    resigned.token.authenticator[5] ^= 1;
    let there = scrip_protocol::ledger::Redemption { operator_id: operator, item: resigned };
    let leaf = Leaf::Redemption(Box::new(there));
    let index = world.append(&leaf);
    world.answered(vec![item], vec![ItemResult::AlreadyAccepted]);
    let last = world.receipts.last_mut().unwrap();
    let receipt = world.vendor.receipt_key();
    let outcome = RedemptionOutcome::open(&last.outcome, &receipt.public()).unwrap();
    let checkpoint = world.vendor.checkpoint().into_bytes();
    last.outcome = RedemptionOutcome { leaves: vec![index], checkpoint, ..outcome }.sign(receipt);
    let checked = world.check().await;
    assert!(checked.agrees(), "{:?}", checked.differences);
    let mut file = Dispute::of(&checked);
    file.receipts = vec![encode_base64url(&world.receipts.last().unwrap().encode())];
    let ProvenLeaf { leaf, proof } = world.proven(index, &leaf).await;
    let (what, receipt, position) = ("another leaf is there".to_owned(), 0, 0);
    let found = String::new();
    file.claims = vec![Claim::Leaf { what, receipt, position, found, leaf: Some(leaf), proof }];
    let judged = judge(&file, &world.vendor.id()).unwrap();
    assert_eq!(verdicts(&judged), [Verdict::Unfounded], "{judged:?}");
}

impl World {
    /// A leaf of the ledger with its proof.
    async fn proven(&self, index: u64, leaf: &Leaf) -> ProvenLeaf {
        use scrip_protocol::tlog::{
            checkpoint::SignedCheckpoint,
            note::{KeyName, VerifierKey},
            proof::LogProof,
            tree::{inclusion_proof, inclusion_tiles},
        };
        let (vendor, policy) = (self.vendor.id(), WitnessPolicy::none());
        let key = VerifierKey::of_ledger(&vendor, self.vendor.receipt_key().public());
        let note = self.vendor.checkpoint().into_bytes();
        let origin = KeyName::of_ledger(&vendor);
        let signed = SignedCheckpoint::open(&note, &origin, [&key], &policy).unwrap();
        let size = signed.checkpoint().size;
        let mut tiles = scrip_protocol::tlog::tile::Tiles::new();
        for path in inclusion_tiles(index, size) {
            tiles.insert(&path, &self.vendor.ledger().tile(&path).unwrap()).unwrap();
        }
        let inclusion = inclusion_proof(&tiles, index, size).unwrap();
        let checkpoint = signed.note().clone();
        let proof = LogProof { extra: None, index, inclusion, checkpoint }.encode();
        ProvenLeaf { leaf: encode_base64url(&leaf.encode()), proof }
    }
}
