use scrip_protocol::{
    keys::SigningKey,
    manifest::{ManifestBody, ReceiptKeys},
    tlog::{
        checkpoint::Checkpoint,
        cosignature::cosign,
        note::{Algorithm, KeyName, VerifierKey},
        tree::InclusionProof,
    },
};
use tempfile::TempDir;

use super::*;
use crate::testing::{Behaviour, NOW, TestLink, TestVendor};

struct World {
    dir: TempDir,
    vendor: Arc<TestVendor>,
    link: Arc<TestLink>,
}

impl World {
    fn new() -> Self {
        let vendor = Arc::new(TestVendor::new(0));
        let link = TestLink::to([&vendor]);
        Self { dir: TempDir::new().unwrap(), vendor, link }
    }

    fn open(&self) -> Manifests {
        Manifests::open(self.dir.path(), [&self.vendor.address()]).unwrap()
    }

    async fn refresh(&self, manifests: &Manifests) -> Result<Refreshed, RefreshError> {
        self.refresh_at(manifests, NOW).await
    }

    async fn refresh_at(
        &self,
        manifests: &Manifests,
        now: UnixSeconds,
    ) -> Result<Refreshed, RefreshError> {
        manifests.refresh(&self.vendor.id(), &*self.link, now).await
    }

    fn version(&self, manifests: &Manifests) -> Option<u64> {
        manifests.held(&self.vendor.id()).map(|manifest| manifest.version())
    }
}

#[tokio::test]
async fn a_manifest_is_fetched_kept_and_used_while_the_vendor_is_down() {
    let world = World::new();
    let manifests = world.open();
    assert_eq!(world.version(&manifests), None);
    let refreshed = world.refresh(&manifests).await.unwrap();
    assert_eq!(refreshed, Refreshed::Updated { version: 1 });
    assert_eq!(world.refresh(&manifests).await.unwrap(), Refreshed::Unchanged);
    world.link.behave(Behaviour::Down);
    let refreshed = world.refresh(&manifests).await;
    assert!(matches!(refreshed, Err(RefreshError::NoAnswer(_))));
    assert_eq!(world.version(&manifests), Some(1));
    assert_eq!(world.version(&world.open()), Some(1), "from the disk");
}

#[tokio::test]
async fn a_manifest_goes_forward_and_never_back() {
    let world = World::new();
    let manifests = world.open();
    world.refresh(&manifests).await.unwrap();
    world.vendor.publish(|body| body.version = 5);
    let refreshed = world.refresh(&manifests).await.unwrap();
    assert_eq!(refreshed, Refreshed::Updated { version: 5 });
    world.vendor.publish(|body| body.version = 4);
    for manifests in [manifests, world.open()] {
        let refreshed = world.refresh(&manifests).await;
        assert!(matches!(refreshed, Err(RefreshError::Older { held: 5, offered: 4 })));
        assert_eq!(world.version(&manifests), Some(5));
    }
}

#[tokio::test]
async fn two_manifests_of_one_version_are_kept_as_evidence() {
    let world = World::new();
    let manifests = world.open();
    world.refresh(&manifests).await.unwrap();
    let first = manifests.held(&world.vendor.id()).unwrap().digest();
    assert_eq!(manifests.equivocations(&world.vendor.id()).unwrap(), []);
    world.vendor.publish(|body| body.epochs.truncate(1));
    let refreshed = world.refresh(&manifests).await;
    let Err(RefreshError::Equivocation { version: 1, held, offered }) = refreshed else {
        panic!("{refreshed:?}")
    };
    assert_eq!(held, first);
    assert_eq!(manifests.held(&world.vendor.id()).unwrap().digest(), first, "the first stays");
    let mut both = vec![held, offered];
    both.sort_unstable();
    assert_eq!(world.open().equivocations(&world.vendor.id()).unwrap(), both);
    for digest in both {
        let name = format!("{}.1.{digest}.evidence", world.vendor.id());
        let bytes = std::fs::read(world.dir.path().join(name)).unwrap();
        assert_eq!(Manifest::open(&bytes, &world.vendor.id()).unwrap().digest(), digest);
    }
}

#[tokio::test]
async fn a_vendor_that_contradicts_itself_all_day_does_not_fill_the_disk() {
    let world = World::new();
    let manifests = world.open();
    world.refresh(&manifests).await.unwrap();
    for at in 0..10 {
        world.vendor.publish(|body| body.epochs[0].windows.redeem_until.0 += at + 1);
        for _ in 0..2 {
            let refreshed = world.refresh(&manifests).await;
            assert!(matches!(refreshed, Err(RefreshError::Equivocation { .. })));
        }
    }
    assert_eq!(manifests.equivocations(&world.vendor.id()).unwrap().len(), 1 + 4);
}

/// A vendor cannot take back what it said by saying something new: all that was held stays.
#[tokio::test]
async fn every_version_that_was_held_is_kept() {
    let world = World::new();
    let manifests = world.open();
    world.refresh(&manifests).await.unwrap();
    let first = world.vendor.manifest().digest();
    let second_key = SigningKey::from_seed(&[0x31; 32]).public();
    world.vendor.endorse(3, second_key);
    assert_eq!(world.refresh(&manifests).await.unwrap(), Refreshed::Updated { version: 3 });
    let second = world.vendor.manifest().digest();
    // Another key in the place of the first one: refused, and kept as evidence beside the one that it contradicts.
    let replaced = ReceiptKeys::first(second_key);
    world.vendor.publish(|body| (body.version, body.receipt_keys) = (4, replaced));
    let refreshed = world.refresh(&manifests).await;
    let rule = SuccessionError::ReceiptKeys;
    let Err(RefreshError::Broken { held: 3, offered: 4, rule: found }) = refreshed else {
        panic!("{refreshed:?}")
    };
    assert_eq!(found, rule);
    let third = world.vendor.manifest().digest();
    for manifests in [manifests, world.open()] {
        assert_eq!(world.version(&manifests), Some(3));
        let kept = manifests.kept(&world.vendor.id()).unwrap();
        let digests: Vec<_> = kept.iter().map(Manifest::digest).collect();
        assert_eq!(digests, [first, second, third]);
    }
}

#[tokio::test]
async fn windows_get_shorter_and_never_longer() {
    let world = World::new();
    let manifests = world.open();
    world.refresh(&manifests).await.unwrap();
    world.vendor.publish(|body| {
        body.version = 2;
        body.epochs[0].windows.renew_from = body.epochs[0].windows.issue_until;
        body.epochs[0].windows.spend_until = body.epochs[0].windows.issue_until;
    });
    let refreshed = world.refresh(&manifests).await.unwrap();
    assert_eq!(refreshed, Refreshed::Updated { version: 2 });
    let held = manifests.held(&world.vendor.id()).unwrap().digest();
    world.vendor.publish(|body| body.version = 3);
    let refreshed = world.refresh(&manifests).await;
    let Err(RefreshError::Broken { held: 2, offered: 3, rule }) = refreshed else {
        panic!("{refreshed:?}")
    };
    assert!(matches!(rule, SuccessionError::Lengthened { .. }));
    assert_eq!(manifests.held(&world.vendor.id()).unwrap().digest(), held, "the first stays");
    assert_eq!(world.open().equivocations(&world.vendor.id()).unwrap().len(), 2);
}

#[tokio::test]
async fn what_another_key_signed_changes_nothing() {
    let world = World::new();
    let manifests = world.open();
    world.refresh(&manifests).await.unwrap();
    let other = SigningKey::from_seed(&[1; 32]);
    world.vendor.publish(|body| (body.version, body.root_key) = (9, other.public()));
    let refreshed = world.refresh(&manifests).await;
    assert!(matches!(
        refreshed,
        Err(RefreshError::Manifest(ProvenManifestError::Manifest(ManifestError::OtherVendor)))
    ));
    assert_eq!(world.version(&manifests), Some(1));
    let unknown = VendorId::from_bytes([1; 32]);
    let refreshed = manifests.refresh(&unknown, &*world.link, NOW).await;
    assert!(matches!(refreshed, Err(RefreshError::UnknownVendor)));
}

#[tokio::test]
async fn a_damaged_file_is_reported_with_its_name() {
    let world = World::new();
    world.refresh(&world.open()).await.unwrap();
    let path = world.dir.path().join(format!("{}.1.manifest", world.vendor.id()));
    std::fs::write(&path, b"damaged").unwrap();
    let Err(error) = Manifests::open(world.dir.path(), [&world.vendor.address()]) else {
        panic!("opened")
    };
    assert!(matches!(error, ManifestsError::Damaged { .. }));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

/// A vendor that gave somebody keys for a day cannot say afterwards that they were in use long ago.
#[tokio::test]
async fn what_has_begun_stays_where_it_was() {
    const DAY: u64 = 86_400;
    let world = World::new();
    let manifests = world.open();
    let begins = world.vendor.manifest().epochs()[1].windows.issue_from;
    let moved = |version| {
        move |body: &mut ManifestBody| {
            body.version = version;
            body.epochs[0].windows.issue_until = begins.minus(40 * DAY);
            let second = &mut body.epochs[1].windows;
            second.issue_from = begins.minus(40 * DAY);
            second.issue_until = second.issue_until.minus(40 * DAY);
        }
    };
    world.refresh_at(&manifests, begins.plus(DAY)).await.unwrap();
    world.vendor.publish(moved(2));
    let refreshed = world.refresh_at(&manifests, begins.plus(2 * DAY)).await;
    let Err(RefreshError::Broken { rule: SuccessionError::Rewritten { epoch: 2 }, .. }) = refreshed
    else {
        panic!("{refreshed:?}")
    };
    assert_eq!(world.version(&manifests), Some(1));
    // Who asked last before that cannot tell it from an epoch that was called forward.
    let long_ago = world.open();
    world.vendor.publish(|_| ());
    world.refresh_at(&long_ago, begins.minus(41 * DAY)).await.unwrap();
    world.vendor.publish(moved(2));
    let refreshed = world.refresh_at(&long_ago, begins.plus(2 * DAY)).await.unwrap();
    assert_eq!(refreshed, Refreshed::Updated { version: 2 });
}

/// A vendor that takes payments back says afterwards that the key's life was over when they were made. What a relay saw is on its
/// disk: that it was restarted in between helps nobody.
#[tokio::test]
async fn what_was_good_stays_good_for_the_days_before() {
    const DAY: u64 = 86_400;
    let world = World::new();
    let id = world.vendor.id();
    let ended = |at: UnixSeconds| {
        move |body: &mut ManifestBody| {
            body.version = 2;
            let windows = &mut body.epochs[0].windows;
            windows.issue_until = windows.issue_until.min(at);
            (windows.renew_from, windows.spend_until) = (at, at);
        }
    };
    world.refresh_at(&world.open(), NOW).await.unwrap();
    world.vendor.publish(ended(NOW.minus(DAY + 1)));
    let manifests = world.open();
    for later in [0, 3 * DAY] {
        let refreshed = world.refresh_at(&manifests, NOW.plus(later)).await;
        let Err(RefreshError::Broken { rule: SuccessionError::Backdated { epoch: 1 }, .. }) =
            refreshed
        else {
            panic!("{refreshed:?}")
        };
    }
    assert_eq!(world.version(&manifests), Some(1));
    assert!(manifests.has_refused(&id, 2).unwrap() && !manifests.has_refused(&id, 1).unwrap());
    assert_eq!(manifests.seen_on(&id, NOW.plus(3 * DAY)), Some(NOW.day()));
    // A clock that was far ahead once does not refuse everything for ever.
    assert_eq!(manifests.seen_on(&id, NOW.minus(2 * DAY)), None);
    // An honest revocation ends at the time at which it is published, and reaches relays later.
    world.vendor.publish(ended(NOW.plus(DAY)));
    let refreshed = world.refresh_at(&manifests, NOW.plus(2 * DAY)).await.unwrap();
    assert_eq!(refreshed, Refreshed::Updated { version: 2 });
}

fn witness(number: u8) -> (SigningKey, VerifierKey) {
    let key = SigningKey::from_seed(&[0x50 + number; 32]);
    let name = format!("witness.example/w{number}").parse().unwrap();
    let verifier = VerifierKey::new(name, Algorithm::CosignatureV1, key.public());
    (key, verifier)
}

impl World {
    /// From now on the manifest comes with the proof of a log of one leaf, cosigned by these witnesses.
    fn prove(&self, witnesses: &[u8]) {
        let manifest = self.vendor.manifest();
        let origin = KeyName::of_ledger(&self.vendor.id());
        let log = SigningKey::from_seed(&[0x78; 32]);
        let checkpoint = Checkpoint { origin, size: 1, root: manifest.leaf_hash() };
        let mut checkpoint = checkpoint.sign(&log).unwrap();
        for number in witnesses {
            let (key, verifier) = witness(*number);
            let signature = cosign(&checkpoint, verifier.name(), &key, NOW).unwrap();
            checkpoint.add(signature).unwrap();
        }
        let inclusion = InclusionProof(Vec::new());
        let proof = LogProof { extra: None, index: 0, inclusion, checkpoint };
        self.vendor.prove(proof.encode());
    }

    fn demanding(&self, witnesses: &[u8]) -> Manifests {
        let keys = witnesses.iter().map(|number| witness(*number).1).collect();
        let policy = WitnessPolicy::new(keys, witnesses.len()).unwrap();
        self.open().demanding(&self.vendor.id(), policy)
    }

    fn is_proven(&self, manifests: &Manifests) -> bool {
        manifests.proven(&self.vendor.id()).unwrap().proof().is_some()
    }
}

#[tokio::test]
async fn the_proof_is_kept_beside_the_manifest() {
    let world = World::new();
    let manifests = world.open();
    world.refresh(&manifests).await.unwrap();
    assert!(!world.is_proven(&manifests));
    world.prove(&[]);
    assert_eq!(world.refresh(&manifests).await.unwrap(), Refreshed::Unchanged);
    assert!(world.is_proven(&manifests) && world.is_proven(&world.open()));
    // That of another version is none, also where a crash came between the two files.
    world.vendor.publish(|body| body.version = 2);
    assert_eq!(world.refresh(&manifests).await.unwrap(), Refreshed::Updated { version: 2 });
    assert!(!world.is_proven(&manifests) && !world.is_proven(&world.open()));
    world.prove(&[]);
    world.refresh(&manifests).await.unwrap();
    assert!(world.is_proven(&world.open()));
}

#[tokio::test]
async fn where_witnesses_are_demanded_nothing_newer_is_taken_without_them() {
    let world = World::new();
    let manifests = world.demanding(&[1, 2]);
    for cosigned in [&[][..], &[1], &[2, 3]] {
        world.prove(cosigned);
        let refreshed = world.refresh(&manifests).await;
        assert!(matches!(refreshed, Err(RefreshError::Unproven { offered: 1, .. })));
        assert_eq!(world.version(&manifests), None);
    }
    world.prove(&[1, 2]);
    assert_eq!(world.refresh(&manifests).await.unwrap(), Refreshed::Updated { version: 1 });
    world.vendor.publish(|body| body.version = 2);
    let refreshed = world.refresh(&manifests).await;
    assert!(matches!(refreshed, Err(RefreshError::Unproven { offered: 2, .. })), "an old proof");
    assert_eq!(world.version(&manifests), Some(1));
    // What another operator's witnesses stood for is in use, and waits for a proof of its own.
    let others = world.demanding(&[3]);
    assert!(world.version(&others) == Some(1) && !world.is_proven(&others));
}
