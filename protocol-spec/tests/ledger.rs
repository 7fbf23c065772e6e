//! The vectors of ledger.md and solvency.md. Made and reviewed as those of `vectors.rs` are.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use scrip_protocol::credits::{Credits, Exponent};
use scrip_protocol::ledger::{
    Adjustment, Contract, Count, EarnedLine, Leaf, LedgerQuery, ManifestVersion, Redemption,
    RenewalEvidence, ResoldLine, Sales, Settled, SourceName, Statement, Tally, TallyKind,
};
use scrip_protocol::time::Day;
use scrip_protocol::voided::{Edition, Voided};
use serde_json::json;
use world::{TODAY, World, check, hex};

fn tally(world: &World, kind: TallyKind, certificates: u64, blinding: [u8; 32]) -> Tally {
    let exponent = Exponent::new(2).unwrap();
    Tally {
        kind,
        day: TODAY,
        operator_id: (kind == TallyKind::Redeemed).then(|| world.operator_id()),
        epoch: world.body.epochs[0].number,
        counts: vec![Count { exponent, certificates }],
        blinding,
    }
}

fn statement(world: &World) -> Statement {
    let epoch = world.body.epochs[0].number;
    let exponent = Exponent::new(2).unwrap();
    Statement {
        vendor_id: world.vendor_id(),
        operator_id: world.operator_id(),
        number: 1,
        day: TODAY,
        from: 0,
        until: 256,
        currency: "EUR".parse().unwrap(),
        earned: vec![EarnedLine { contract: 1, epoch, exponent, certificates: 5 }],
        resold: vec![ResoldLine { contract: 1, purchases: 1, credits: Credits(8) }],
        adjustments: vec![Adjustment { amount: -500, reason: "agreed by telephone".into() }],
        settled: vec![Settled { epoch, credits: Credits(20), blinding: [5; 32] }],
        // 20 credits · 2,000 · 70 %, less 8 · 1,500, less 500
        total: 28_000 - 12_000 - 500,
    }
}

#[test]
fn ledger() {
    let world = World::new();
    let paid = world.paid_request(&[world.certificate(2, 2)], 1);
    let evidence = paid.payment.evidence(&paid.resource_request).remove(0);
    let (old, item, renewal, _) = world.renewal();
    let leaves = [
        ("cover", Leaf::Cover([0xc0; 32])),
        (
            "redemption",
            Leaf::Redemption(Box::new(Redemption {
                operator_id: world.operator_id(),
                item: evidence.item,
            })),
        ),
        (
            "renewal",
            Leaf::Renewal(Box::new(RenewalEvidence {
                token: old.token().clone(),
                day: Day(TODAY.0 + 370),
                binding: item.binding(&world.vendor_id()),
                signature: renewal.signature,
            })),
        ),
        ("tally: sold", Leaf::Tally(tally(&world, TallyKind::Sold, 9, [1; 32]))),
        ("tally: redeemed", Leaf::Tally(tally(&world, TallyKind::Redeemed, 5, [2; 32]))),
        (
            "sales",
            Leaf::Sales(Sales {
                day: TODAY,
                source: SourceName::new("voucher").unwrap(),
                test: false,
                operator_id: Some(world.operator_id()),
                purchases: 1,
                credits: Credits(8),
                salt: [0x5a; 32],
            }),
        ),
        (
            "manifest",
            Leaf::Manifest(ManifestVersion {
                version: world.manifest.version(),
                digest: world.manifest.digest(),
            }),
        ),
        (
            "contract",
            Leaf::Contract(Contract {
                operator_key: world.operator.public(),
                number: 1,
                day: TODAY,
                currency: "EUR".parse().unwrap(),
                price: 2_000,
                share: 7_000,
                resale_price: 1_500,
                salt: [0x5b; 32],
            }),
        ),
        ("statement", Leaf::Statement(statement(&world).sign(&world.receipt).unwrap())),
    ];
    let query = LedgerQuery {
        vendor_id: world.vendor_id(),
        operator_id: world.operator_id(),
        time: TODAY.start(),
        from: 256,
    };
    check(
        "ledger.json",
        json!({
            "origin": scrip_protocol::ledger::origin(&world.vendor_id()),
            "receipt_key": hex(world.receipt.public().as_bytes()),
            "operator_key": hex(world.operator.public().as_bytes()),
            "leaves": leaves.iter().map(|(name, leaf)| json!({
                "name": name,
                "public": leaf.is_public(),
                "leaf": hex(leaf.encode()),
                "hash": hex(leaf.hash().as_bytes()),
            })).collect::<Vec<_>>(),
            "query": hex(query.sign(&world.operator)),
        }),
    );
}

#[cfg(feature = "solvency")]
#[test]
fn solvency() {
    use rand_core::SeedableRng;
    use scrip_protocol::ledger::{CommitmentKind, ValueCommitment};
    use scrip_protocol::solvency::{Blinding, Claim, PrivateBooks, PublicBooks, commit};

    let world = World::new();
    let blinding = |n: u8| Blinding::from_seed(&[n; 32], b"vector");
    let of = |kind, certificates, n: u8| {
        let tally = tally(&world, kind, certificates, blinding(n).to_bytes());
        let kind = CommitmentKind::Tally(kind);
        (kind, tally.epoch, tally.credits().unwrap(), n, Leaf::Tally(tally))
    };
    let statement = Leaf::Statement(statement(&world).sign(&world.receipt).unwrap());
    let epoch = world.body.epochs[0].number;
    let entries = [
        of(TallyKind::Sold, 9, 1),
        of(TallyKind::Redeemed, 5, 2),
        (CommitmentKind::Settled, epoch, Credits(20), 3, statement),
    ];
    let (mut private, mut public) = (PrivateBooks::new(2), PublicBooks::new(2));
    let mut shown = Vec::new();
    for (index, (kind, epoch, credits, n, leaf)) in (0_u64..).zip(entries) {
        private.add(index, kind, epoch, credits, &blinding(n));
        let commitment = ValueCommitment {
            kind,
            epoch,
            commitment: commit(credits, &blinding(n)),
            leaf_hash: leaf.hash(),
        };
        public.add(index, &commitment).unwrap();
        let leaf = Leaf::Commitment(commitment);
        shown.push(json!({
            "index": index, "credits": credits.0, "blinding": hex(blinding(n).to_bytes()),
            "leaf": hex(leaf.encode()),
        }));
    }
    let text = format!(
        "{}\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        scrip_protocol::ledger::origin(&world.vendor_id())
    );
    let vendor_id = world.vendor_id();
    let claim =
        Claim { vendor_id: &vendor_id, checkpoint_text: &text, checkpoint: text.as_bytes() };
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([9; 32]);
    let proof = private.prove(&claim, &mut rng).unwrap();
    proof.verify(&claim, &public, &mut rng).unwrap();
    check(
        "solvency.json",
        json!({
            "vendor_id": hex(vendor_id.as_bytes()),
            "checkpoint_text": text,
            "commitments": shown,
            "document": hex(proof.encode()),
        }),
    );
}

#[test]
fn voided() {
    let world = World::new();
    let edition = Edition {
        vendor_id: world.vendor_id(),
        epoch: 7,
        number: 3,
        day: TODAY,
        covered: 4_096,
        salt: [0x7a; 32],
    };
    let voided = [
        (world.certificate(0, 0).token().nonce, Voided::Redeemed),
        (world.certificate(0, 1).token().nonce, Voided::Renewed),
        ([0x11; 32], Voided::Redeemed),
    ];
    let list = edition.list(voided).unwrap();
    let index = &list.index;
    let kinds =
        voided.map(|(key, what)| json!({ "key": hex(key), "renewed": what == Voided::Renewed }));
    check(
        "voided.json",
        json!({
            "epoch": 7, "edition": 3, "day": TODAY.0, "covered": 4_096,
            "salt": hex(edition.salt), "voided": kinds,
            "key": hex(index.key), "capacity": index.capacity,
            "bucket": hex(&list.buckets[0]),
            "bucket_hashes": index.buckets.iter().map(hex).collect::<Vec<_>>(),
            "signed_index": hex(index.sign(&world.receipt)),
            "commitment_leaf": hex(Leaf::Voided(index.commitment()).encode()),
            "salt_leaf": hex(Leaf::VoidedSalt(edition.salt_leaf()).encode()),
        }),
    );
}
