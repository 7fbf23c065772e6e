#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use futures_util::{FutureExt, future::BoxFuture};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use scrip_protocol::{
    credits::{Credits, Exponent},
    keys::SigningKey,
    ledger::{TallyKind, ValueCommitment},
    manifest::{EpochBody, ManifestBody, Product, ReceiptKeys, Windows},
    pack::Pack,
    solvency::{Blinding, PrivateBooks, commit},
    time::UnixSeconds,
    tlog::cosignature::cosign,
    tlog::note::Algorithm,
    tlog::tile::{Tiles, new_bundles},
    tlog::tree::append,
};

use super::*;

const SOLD: CommitmentKind = CommitmentKind::Tally(TallyKind::Sold);
const REDEEMED: CommitmentKind = CommitmentKind::Tally(TallyKind::Redeemed);
const SETTLED: CommitmentKind = CommitmentKind::Settled;

/// A ledger in memory.
#[derive(Clone, Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Ledger for Files {
    fn get<'a>(
        &'a self,
        path: &'a str,
        max: usize,
    ) -> BoxFuture<'a, Result<Option<Bytes>, SourceError>> {
        let found = self.0.get(path).filter(|bytes| bytes.len() <= max);
        async move { Ok(found.map(|bytes| Bytes::from(bytes.clone()))) }.boxed()
    }

    fn place(&self) -> String {
        "memory".into()
    }
}

/// A vendor that keeps books with the public leaves alone, and covers in the place of the private ones.
struct Vendor {
    root: SigningKey,
    receipt: SigningKey,
    leaves: Vec<Leaf>,
    books: PrivateBooks,
}

impl Vendor {
    fn new(settled_until: u64) -> Self {
        let (root, receipt) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let books = PrivateBooks::new(settled_until);
        let mut vendor = Self { root, receipt, leaves: Vec::new(), books };
        let manifest = Manifest::open(&vendor.manifest(), &vendor.id()).unwrap();
        let version = ManifestVersion { version: 1, digest: manifest.digest() };
        vendor.leaves.push(Leaf::Manifest(version));
        vendor
    }

    fn id(&self) -> VendorId {
        VendorId::of(&self.root.public())
    }

    fn manifest(&self) -> Vec<u8> {
        self.manifest_of(1)
    }

    fn manifest_of(&self, version: u64) -> Vec<u8> {
        let epoch = |number: u32, key_use| EpochBody {
            number,
            key_use,
            windows: Windows {
                issue_from: UnixSeconds(u64::from(number)),
                issue_until: UnixSeconds(u64::from(number) + 1),
                renew_from: UnixSeconds(10),
                spend_until: UnixSeconds(20),
                redeem_until: UnixSeconds(30),
            },
            keys: vec![(Exponent::new(0).unwrap(), {
                let mut modulus = [0xff; 256];
                modulus[9] = number as u8;
                modulus
            })],
        };
        let body = ManifestBody {
            root_key: self.root.public(),
            version,
            issuer_name: "vendor.example".into(),
            receipt_keys: ReceiptKeys::first(self.receipt.public()),
            products: vec![Product::new(
                "one",
                Pack::new([(Exponent::new(0).unwrap(), 1)]).unwrap(),
            )],
            operators: Vec::new(),
            epochs: vec![
                epoch(1, KeyUse::Production),
                epoch(2, KeyUse::Production),
                epoch(3, KeyUse::Test),
            ],
        };
        body.sign(&self.root)
    }

    /// Something that happened, with as many private leaves behind it.
    fn happen(&mut self, kind: CommitmentKind, epoch: u32, credits: u64, covers: usize) {
        let index = self.leaves.len() as u64;
        let blinding = Blinding::from_seed(&[3; 32], &index.to_be_bytes());
        self.books.add(index, kind, epoch, Credits(credits), &blinding);
        let cover = Leaf::Cover([index as u8; 32]);
        self.leaves.push(Leaf::Commitment(ValueCommitment {
            kind,
            epoch,
            commitment: commit(Credits(credits), &blinding),
            leaf_hash: cover.hash(),
        }));
        self.leaves.extend(std::iter::repeat_n(cover, covers));
    }

    /// The files, with the proof of `books` in them.
    fn publish(&self, books: &PrivateBooks) -> Files {
        let mut files = BTreeMap::from([("manifest/1".to_owned(), self.manifest())]);
        let hashes: Vec<TreeHash> = self.leaves.iter().map(Leaf::hash).collect();
        let size = hashes.len() as u64;
        let mut frontier = Frontier::empty();
        hashes.iter().for_each(|hash| frontier.push(*hash));
        for (path, bytes) in append(&Tiles::new(), 0, &hashes).unwrap() {
            files.insert(path.to_string(), bytes);
        }
        for path in new_bundles(TileKind::Public, 0, size) {
            let start = path.start() as usize;
            let bundle = (0_u8..=255).zip(&self.leaves[start..]);
            let bundle = bundle.filter(|(_, leaf)| leaf.is_public());
            let bundle = bundle.map(|(offset, leaf)| (offset, leaf.encode())).collect();
            files.insert(path.to_string(), PublicBundle::new(bundle).unwrap().encode());
        }
        let origin = KeyName::of_ledger(&self.id());
        let checkpoint = Checkpoint { origin, size, root: frontier.root() };
        let note = checkpoint.sign(&self.receipt).unwrap().encode();
        let id = self.id();
        let text = checkpoint.encode();
        let claim = Claim { vendor_id: &id, checkpoint_text: &text, checkpoint: note.as_bytes() };
        let proof = books.prove(&claim, &mut rng()).unwrap();
        files.insert("solvency".into(), proof.encode());
        files.insert("checkpoint".into(), note.into_bytes());
        Files(files)
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([5; 32])
}

fn honest() -> Vendor {
    let mut vendor = Vendor::new(500);
    vendor.happen(SOLD, 1, 1_000, 3);
    vendor.happen(REDEEMED, 1, 400, 290);
    vendor.happen(SOLD, 2, 50, 0);
    vendor.happen(REDEEMED, 1, 100, 120);
    vendor.happen(SETTLED, 1, 500, 100);
    vendor.happen(REDEEMED, 2, 20, 30);
    vendor
}

async fn check_files(vendor: &Vendor, files: &Files) -> Result<Shown, CheckError> {
    check(files, &vendor.id(), &WitnessPolicy::new(Vec::new(), 0).unwrap(), &mut rng()).await
}

async fn refutation(vendor: &Vendor, files: &Files) -> Refutation {
    match check_files(vendor, files).await.unwrap_err() {
        CheckError::Refuted(refutation) => refutation,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn everybody_can_see_that_honest_books_add_up() {
    let vendor = honest();
    let files = vendor.publish(&vendor.books);
    let shown = check_files(&vendor, &files).await.unwrap();
    assert_eq!((shown.size, shown.settled_until), (550, Some(500)));
    assert_eq!((shown.ledger_size, shown.lag()), (550, 0));
    assert_eq!(
        shown.epochs,
        [
            ShownEpoch { epoch: 1, issued: 1, voided: 2, settled: 1 },
            ShownEpoch { epoch: 2, issued: 1, voided: 1, settled: 0 },
        ]
    );
    let entries = files.0.keys().filter(|path| path.contains("entries")).count();
    assert_eq!(entries, 0, "nothing private was read");

    // A tree that has grown since: its partial tiles are gone, the full ones there.
    let mut grown = honest();
    grown.leaves.extend(std::iter::repeat_n(Leaf::Cover([9; 32]), 300));
    let mut later = grown.publish(&PrivateBooks::new(0));
    later.0.insert("solvency".into(), files.0["solvency"].clone());
    let as_of = Shown { ledger_size: 850, ..shown };
    assert_eq!(check_files(&vendor, &later).await.unwrap(), as_of);
    assert_eq!(as_of.lag(), 300);
}

#[tokio::test]
async fn a_proof_of_any_age_is_held_against_the_newest_checkpoint_though_no_witness_is_named() {
    let vendor = honest();
    let proof = vendor.publish(&vendor.books).0["solvency"].clone();
    // The newest checkpoint is of another history, with tiles of its own.
    let mut other = honest();
    other.leaves.extend(std::iter::repeat_n(Leaf::Cover([9; 32]), 300));
    let grown = other.publish(&PrivateBooks::new(0));
    other.leaves[2] = Leaf::Cover([7; 32]);
    let mut forked = grown.clone();
    forked
        .0
        .insert("checkpoint".into(), other.publish(&PrivateBooks::new(0)).0["checkpoint"].clone());
    forked.0.insert("solvency".into(), proof.clone());
    let refuted = refutation(&vendor, &forked).await;
    assert!(matches!(refuted, Refutation::NotContinued { proven: 550, size: 850 }), "{refuted}");
    // It is not the vendor's.
    let thief = Vendor { receipt: SigningKey::from_seed(&[9; 32]), ..other };
    let mut stolen = thief;
    stolen.leaves[2] = honest().leaves[2].clone();
    let mut stolen = stolen.publish(&PrivateBooks::new(0));
    stolen.0.insert("manifest/1".into(), vendor.manifest());
    stolen.0.insert("solvency".into(), proof);
    assert!(matches!(refutation(&vendor, &stolen).await, Refutation::Checkpoint(_)));
    let mut missing = grown;
    missing.0.insert("solvency".into(), vendor.publish(&vendor.books).0["solvency"].clone());
    missing.0.remove("checkpoint");
    let error = check_files(&vendor, &missing).await.unwrap_err();
    assert!(matches!(error, CheckError::Source(SourceError::Missing { .. })), "{error}");
}

#[tokio::test]
async fn a_newer_checkpoint_may_be_signed_by_a_newer_key() {
    let vendor = honest();
    let mut files = vendor.publish(&vendor.books);
    let proof = files.0["solvency"].clone();
    let mut grown = Vendor { receipt: SigningKey::from_seed(&[9; 32]), ..honest() };
    let second = grown.manifest_of(2);
    let digest = Manifest::open(&second, &vendor.id()).unwrap().digest();
    grown.leaves.push(Leaf::Manifest(ManifestVersion { version: 2, digest }));
    // The partial tiles of the smaller tree are there beside the larger ones.
    let published = grown.publish(&PrivateBooks::new(0)).0;
    files.0.extend(published.into_iter().filter(|(path, _)| path != "manifest/1"));
    files.0.insert("manifest/2".to_owned(), second);
    files.0.insert("solvency".to_owned(), proof);
    let shown = check_files(&vendor, &files).await.unwrap();
    assert_eq!((shown.size, shown.ledger_size), (550, 551));
}

/// The witness's key, and the checkpoint as it cosigned it.
fn cosigned(files: &mut Files, witness: &SigningKey) -> VerifierKey {
    let name: KeyName = "witness.example/w1".parse().unwrap();
    let mut note = Note::parse(&files.0["checkpoint"]).unwrap();
    let cosignature = cosign(&note, &name, witness, UnixSeconds(1_800_000_000)).unwrap();
    note.add(cosignature).unwrap();
    files.0.insert("checkpoint".into(), note.encode().into_bytes());
    VerifierKey::new(name, Algorithm::CosignatureV1, witness.public())
}

#[tokio::test]
async fn a_proof_counts_when_witnesses_saw_what_its_tree_became() {
    let vendor = honest();
    let witness = SigningKey::from_seed(&[6; 32]);
    let mut grown = honest();
    grown.leaves.extend(std::iter::repeat_n(Leaf::Cover([9; 32]), 300));
    let mut later = grown.publish(&PrivateBooks::new(0));
    later.0.insert("solvency".into(), vendor.publish(&vendor.books).0["solvency"].clone());
    let unseen = later.clone();
    let key = cosigned(&mut later, &witness);
    let policy = WitnessPolicy::new(vec![key], 1).unwrap();
    let id = vendor.id();
    check(&later, &id, &policy, &mut rng()).await.unwrap();
    let error = check(&unseen, &id, &policy, &mut rng()).await.unwrap_err();
    assert!(matches!(error, CheckError::Refuted(Refutation::Checkpoint(_))), "{error}");

    // The witness saw another history, of which the proof's tree is no beginning.
    let mut other = honest();
    other.leaves[1] = Leaf::Cover([7; 32]);
    other.leaves.extend(std::iter::repeat_n(Leaf::Cover([9; 32]), 300));
    let mut forked = other.publish(&PrivateBooks::new(0));
    cosigned(&mut forked, &witness);
    later.0.insert("checkpoint".into(), forked.0["checkpoint"].clone());
    let error = check(&later, &id, &policy, &mut rng()).await.unwrap_err();
    let other = Refutation::NotContinued { proven: 550, size: 850 };
    assert_eq!(error.to_string(), other.to_string());
}

#[tokio::test]
async fn what_does_not_belong_together_is_refuted() {
    let vendor = honest();
    let good = vendor.publish(&vendor.books);
    let spoiled = |path: &str, spoil: fn(&mut Vec<u8>)| {
        let mut files = good.clone();
        spoil(files.0.get_mut(path).unwrap());
        files
    };
    let files = spoiled("tile/public/000", |bytes| bytes[10] ^= 1);
    assert!(matches!(refutation(&vendor, &files).await, Refutation::Leaf { index: 0 }));
    let files = spoiled("tile/0/001", |bytes| bytes[32 * 255] ^= 1);
    assert!(matches!(refutation(&vendor, &files).await, Refutation::Root { size: 550 }));
    let files = spoiled("tile/0/001", |bytes| bytes.truncate(7));
    assert!(matches!(refutation(&vendor, &files).await, Refutation::Tile { .. }));
    let files = spoiled("manifest/1", |bytes| bytes[60] ^= 1);
    assert!(matches!(refutation(&vendor, &files).await, Refutation::Manifest { .. }));
    let files = spoiled("solvency", |bytes| bytes.truncate(100));
    assert!(matches!(refutation(&vendor, &files).await, Refutation::Document(_)));
    // A commitment that is not shown.
    let files = spoiled("tile/public/001", Vec::clear);
    assert!(matches!(refutation(&vendor, &files).await, Refutation::Proof(_)));

    let mut missing = good.clone();
    missing.0.remove("tile/0/001");
    let error = check_files(&vendor, &missing).await.unwrap_err();
    assert!(matches!(error, CheckError::Source(SourceError::Missing { .. })), "{error}");
    missing.0.remove("solvency");
    assert!(matches!(check_files(&vendor, &missing).await, Err(CheckError::NoProof { .. })));

    let other = Vendor { root: SigningKey::from_seed(&[8; 32]), ..honest() };
    assert!(matches!(refutation(&other, &good).await, Refutation::Manifest { .. }));
    let thief = Vendor { receipt: SigningKey::from_seed(&[9; 32]), ..honest() };
    let mut stolen = thief.publish(&thief.books);
    stolen.0.insert("manifest/1".into(), good.0["manifest/1"].clone());
    assert!(matches!(refutation(&vendor, &stolen).await, Refutation::Checkpoint(_)));
}

#[tokio::test]
async fn a_vendor_whose_books_do_not_add_up_is_found() {
    let mut vendor = Vendor::new(0);
    vendor.happen(SOLD, 1, 10, 1);
    vendor.happen(REDEEMED, 1, 12, 2);
    assert!(vendor.books.clone().prove(&CLAIM, &mut rng()).is_err());
    let mut invented = PrivateBooks::new(0);
    for (index, kind, credits) in [(1, SOLD, 12), (3, REDEEMED, 12)] {
        let blinding = Blinding::from_seed(&[3; 32], &u64::to_be_bytes(index));
        invented.add(index, kind, 1, Credits(credits), &blinding);
    }
    let files = vendor.publish(&invented);
    let refuted = refutation(&vendor, &files).await;
    assert!(
        matches!(refuted, Refutation::Proof(SolvencyError::Range { first: 1, last: 1 })),
        "{refuted}"
    );

    let mut vendor = Vendor::new(0);
    vendor.happen(SOLD, 3, 10, 1);
    let files = vendor.publish(&vendor.books);
    let refuted = refutation(&vendor, &files).await;
    assert!(matches!(refuted, Refutation::Epoch { epoch: 3 }), "of test keys: {refuted}");
}

const CLAIM: Claim<'static> =
    Claim { vendor_id: &VendorId::from_bytes([0; 32]), checkpoint_text: "", checkpoint: b"" };
