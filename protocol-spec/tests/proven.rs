//! `vectors/proven-manifest.json`: a manifest with the proof that its vendor's ledger has it, and what must be refused in its place.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod world;

use scrip_protocol::keys::SigningKey;
use scrip_protocol::ledger::Leaf;
use scrip_protocol::limits::MAX_PROVEN_MANIFEST;
use scrip_protocol::manifest::{
    HeldManifest, Manifest, ManifestBody, NotProven, ProvenManifest, ProvenManifestError,
};
use scrip_protocol::time::UnixSeconds;
use scrip_protocol::tlog::checkpoint::Checkpoint;
use scrip_protocol::tlog::cosignature::cosign;
use scrip_protocol::tlog::hash::{TreeHash, leaf_hash};
use scrip_protocol::tlog::note::{Algorithm, KeyName, Note, VerifierKey};
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_protocol::tlog::proof::LogProof;
use scrip_protocol::tlog::tree::{Frontier, InclusionProof};
use serde_json::{Value, json};
use world::{World, check, hex};

const TIME: UnixSeconds = UnixSeconds(1_767_225_600);

fn witness(number: u8) -> (SigningKey, VerifierKey) {
    let key = SigningKey::from_seed(&[5 + number; 32]);
    let name = format!("witness.example/w{number}").parse().unwrap();
    let verifier = VerifierKey::new(name, Algorithm::CosignatureV1, key.public());
    (key, verifier)
}

/// Both witnesses must have cosigned.
fn policy() -> WitnessPolicy {
    WitnessPolicy::new(vec![witness(1).1, witness(2).1], 2).unwrap()
}

/// A log of a cover, the leaf `middle` and another cover: the root, and the proof for the one in the middle.
fn tree(middle: TreeHash) -> (TreeHash, InclusionProof) {
    let cover = |byte| Leaf::Cover([byte; 32]).hash();
    let mut frontier = Frontier::empty();
    [cover(7), middle, cover(8)].into_iter().for_each(|leaf| frontier.push(leaf));
    (frontier.root(), InclusionProof(vec![cover(7), cover(8)]))
}

fn note(root: TreeHash, origin: KeyName, log: &SigningKey, witnesses: &[u8]) -> Note {
    let mut note = Checkpoint { origin, size: 3, root }.sign(log).unwrap();
    for number in witnesses {
        let (key, verifier) = witness(*number);
        let signature = cosign(&note, verifier.name(), &key, TIME).unwrap();
        note.add(signature).unwrap();
    }
    note
}

/// As it should be, with the cosignatures of these witnesses.
fn proven(world: &World, witnesses: &[u8]) -> ProvenManifest {
    let (root, inclusion) = tree(world.manifest.leaf_hash());
    let origin = KeyName::of_ledger(&world.vendor_id());
    let checkpoint = note(root, origin, &world.receipt, witnesses);
    let proof = LogProof { extra: None, index: 1, inclusion, checkpoint };
    ProvenManifest::new(world.manifest.clone(), Some(proof))
}

fn changed(world: &World, change: impl FnOnce(&mut LogProof)) -> ProvenManifest {
    let right = proven(world, &[1, 2]);
    let mut proof = right.proof().unwrap().clone();
    change(&mut proof);
    ProvenManifest::new(right.into_manifest(), Some(proof))
}

/// Another manifest of the same version, which the vendor signed as well.
fn other_face(world: &World) -> Manifest {
    let mut body: ManifestBody = world.body.clone();
    body.epochs[0].windows.redeem_until = body.epochs[0].windows.redeem_until.plus(1);
    Manifest::open(&body.sign(&world.root), &world.vendor_id()).unwrap()
}

/// Manifests that are good by themselves, and are not shown to be everybody's.
fn not_proven(world: &World) -> Vec<(&'static str, ProvenManifest)> {
    let fork = note(
        tree(other_face(world).leaf_hash()).0,
        KeyName::of_ledger(&world.vendor_id()),
        &world.receipt,
        &[],
    );
    let stolen = proven(world, &[1, 2]).proof().unwrap().clone();
    let stranger = SigningKey::from_seed(&[9; 32]);
    let other_vendor = KeyName::of_ledger(&scrip_protocol::id::VendorId::from_bytes([9; 32]));
    let root = tree(world.manifest.leaf_hash()).0;
    vec![
        ("no proof", proven(world, &[1, 2]).without_proof()),
        ("no witness cosigned", proven(world, &[])),
        ("one witness of two cosigned", proven(world, &[2])),
        ("the proof of another manifest", ProvenManifest::new(other_face(world), Some(stolen))),
        (
            "a fork of the log, which no witness cosigned",
            changed(world, |proof| proof.checkpoint = fork),
        ),
        (
            "the log of another vendor",
            changed(world, |proof| {
                proof.checkpoint = note(root, other_vendor, &world.receipt, &[1, 2]);
            }),
        ),
        (
            "a checkpoint that another key signed",
            changed(world, |proof| {
                let origin = KeyName::of_ledger(&world.vendor_id());
                proof.checkpoint = note(root, origin, &stranger, &[1, 2]);
            }),
        ),
        ("another index", changed(world, |proof| proof.index = 0)),
        (
            "a hash too few",
            changed(world, |proof| proof.inclusion.0.truncate(proof.inclusion.0.len() - 1)),
        ),
        ("a hash too many", changed(world, |proof| proof.inclusion.0.push(leaf_hash(b"one more")))),
        ("the hashes the other way round", changed(world, |proof| proof.inclusion.0.reverse())),
    ]
}

fn vector(length: &[u8], content: &[u8]) -> Vec<u8> {
    [length, content].concat()
}

/// Bytes that are no manifest with its proof.
fn malformed(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let right = proven(world, &[1, 2]).encode();
    let manifest = world.manifest.bytes();
    let length = u32::try_from(manifest.len()).unwrap().to_be_bytes();
    let manifest = vector(&length[1..], manifest);
    let with_extra = changed(world, |proof| proof.extra = Some(b"for you alone".to_vec()));
    let mut broken = manifest.clone();
    *broken.last_mut().unwrap() ^= 1;
    vec![
        ("empty", Vec::new()),
        ("the manifest alone, as it is signed", world.manifest.bytes().to_vec()),
        ("the proof's length is missing", manifest.clone()),
        ("bytes after the end", vector(&right, &[0])),
        ("a proof that is none", [&manifest[..], &[0, 0, 1], b"x"].concat()),
        ("extra data in the proof", with_extra.encode()),
        ("a manifest whose signature does not verify", vector(&broken, &[0, 0, 0])),
    ]
}

#[test]
fn vectors() {
    let world = World::new();
    let vendor = world.vendor_id();
    let right = proven(&world, &[1, 2]);
    let cases = |all: Vec<(&'static str, ProvenManifest)>| -> Value {
        all.into_iter().map(|(why, one)| json!({"why": why, "bytes": hex(one.encode())})).collect()
    };
    let refused: Value = malformed(&world)
        .into_iter()
        .map(|(why, bytes)| json!({"why": why, "bytes": hex(bytes)}))
        .collect();
    let said = HeldManifest::sign(&world.operator, &world.manifest).to_header();
    check(
        "proven-manifest.json",
        json!({
            "vendor_id": hex(vendor.as_bytes()),
            "witnesses": policy().witnesses(),
            "quorum": policy().quorum(),
            "leaf": hex(world.manifest.leaf().encode()),
            "bytes": hex(right.encode()),
            "held": {"operator_id": world.operator_id(), "header": said},
            "not_proven": cases(not_proven(&world)),
            "malformed": refused,
        }),
    );
}

#[test]
fn a_proof_that_both_witnesses_stand_for_holds() {
    let world = World::new();
    let right = proven(&world, &[1, 2]);
    let read = ProvenManifest::open(&right.encode(), &world.vendor_id()).unwrap();
    assert_eq!(read.encode(), right.encode());
    assert_eq!(read.manifest().digest(), world.manifest.digest());
    assert_eq!(read.verify(&policy()).unwrap().checkpoint().size, 3);
    // Whoever demands no witness is content with the vendor's signature.
    assert!(proven(&world, &[]).verify(&WitnessPolicy::none()).is_ok());
}

#[test]
fn what_is_not_proven_is_refused_with_a_reason() {
    let world = World::new();
    for (why, one) in not_proven(&world) {
        let read = ProvenManifest::open(&one.encode(), &world.vendor_id()).unwrap();
        let refused = read.verify(&policy()).err().unwrap_or_else(|| panic!("{why}"));
        assert_eq!(refused == NotProven::Missing, why == "no proof", "{why}: {refused}");
    }
}

#[test]
fn what_is_malformed_is_refused() {
    let world = World::new();
    for (why, bytes) in malformed(&world) {
        assert!(ProvenManifest::open(&bytes, &world.vendor_id()).is_err(), "{why}");
    }
    let long = vec![0; MAX_PROVEN_MANIFEST + 1];
    let refused = ProvenManifest::open(&long, &world.vendor_id()).err().unwrap();
    assert!(matches!(refused, ProvenManifestError::Decode(_)));
}

#[test]
fn an_operators_word_is_for_one_manifest() {
    let world = World::new();
    let header = HeldManifest::sign(&world.operator, &world.manifest).to_header();
    let operator = world.operator_id();
    let read = HeldManifest::open(&header, &operator, &world.manifest).unwrap();
    assert_eq!(read.to_header(), header);
    assert!(HeldManifest::open(&header, &operator, &other_face(&world)).is_err());
    let stranger = SigningKey::from_seed(&[9; 32]);
    let other = HeldManifest::sign(&stranger, &world.manifest).to_header();
    assert!(HeldManifest::open(&other, &operator, &world.manifest).is_err());
    for bad in ["", "x", &header[1..], &format!("{header}AA")] {
        assert!(HeldManifest::open(bad, &operator, &world.manifest).is_err(), "{bad}");
    }
}
