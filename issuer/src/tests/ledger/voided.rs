//! Lists of voided certificates: when they are made, what is in them, and what crashes and faults leave.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use scrip_protocol::{
    tlog::proof::LogProof,
    voided::{ProvenIndex, SignedVoidedIndex, Voided, VoidedIndex},
};
use scrip_runtime::steps::Steps;

use super::{super::renewal, *};
use crate::{
    config::LedgerConfig,
    ledger::Fault,
    testing::{VOIDED_STEPS, s3::FakeS3},
};

/// Two in the morning, some days later.
fn later(vendor: &TestIssuer, days: u64) {
    vendor.clock.set(vendor.clock.today().start().plus(days * 86_400 + 2 * 3_600));
}

/// The newest edition of the first epoch's list, if there is one: proven to be in the ledger.
async fn newest(vendor: &TestIssuer) -> Option<VoidedIndex> {
    let issuer = &vendor.issuer;
    let file = issuer.ledger_file("voided/1/newest").await.unwrap()?;
    let proven = ProvenIndex::decode(&file).unwrap();
    let (id, key) = (issuer.vendor_id(), issuer.manifest().receipt_keys().newest().key);
    let signed = SignedVoidedIndex::decode(&proven.index).unwrap();
    let index = signed.verify(&key).unwrap().clone();
    let leaf = Leaf::Voided(index.commitment()).hash();
    let proof = LogProof::parse(&proven.proof).unwrap();
    let keys = [VerifierKey::of_ledger(&id, key)];
    proof.verify(&leaf, &KeyName::of_ledger(&id), &keys, &WitnessPolicy::none()).unwrap();
    Some(index)
}

/// What the newest list says of a certificate.
async fn look(vendor: &TestIssuer, certificate: &[u8; 32]) -> Option<Voided> {
    let index = newest(vendor).await.unwrap();
    let place = index.place(certificate);
    let name = format!("voided/1/{}/{}", index.edition, place.bucket);
    let bytes = vendor.issuer.ledger_file(&name).await.unwrap().unwrap();
    index.open_bucket(place.bucket, &bytes).unwrap().find(&place)
}

/// Every edition of the ledger is the list of the leaves before it.
async fn all_are_true(vendor: &TestIssuer) -> usize {
    let (_, all) = leaves(vendor).await;
    let manifest = vendor.issuer.manifest();
    let mut editions = 0;
    for leaf in &all {
        let Leaf::Voided(commitment) = leaf else { continue };
        editions += 1;
        let salt = all.iter().find_map(|leaf| match leaf {
            Leaf::VoidedSalt(salt)
                if (salt.epoch, salt.edition) == (commitment.epoch, commitment.edition) =>
            {
                Some(salt.salt)
            }
            _ => None,
        });
        let edition = scrip_protocol::voided::Edition {
            vendor_id: vendor.issuer.vendor_id(),
            epoch: commitment.epoch,
            number: commitment.edition,
            day: commitment.day,
            covered: commitment.covered,
            salt: salt.unwrap(),
        };
        let before = all.iter().take(commitment.covered as usize);
        let voided = before.filter_map(|leaf| match leaf {
            Leaf::Redemption(one) => Some((&one.item.token, Voided::Redeemed)),
            Leaf::Renewal(one) => Some((&one.token, Voided::Renewed)),
            _ => None,
        });
        let of_epoch = voided
            .filter(|(token, _)| manifest.key(&token.key_id).unwrap().epoch() == commitment.epoch);
        let list = edition.list(of_epoch.map(|(token, what)| (token.nonce, what))).unwrap();
        assert_eq!(list.index.commitment(), *commitment);
    }
    editions
}

#[tokio::test]
async fn a_list_a_day_has_all_from_before_the_day() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let holder = renewal::Holder::new(1, issuer).await;
    let key = |position: usize| holder.certificates[position].token().nonce;
    let mut operator = Operator::new(&vendor, 1).await;
    let spent = operator.item(&vendor, &holder.certificates[0], 1);
    operator.redeem(&vendor, vec![spent]).await;
    assert_eq!(issuer.publish_voided().await.unwrap(), 0, "on its first day an epoch has none");
    assert_eq!(newest(&vendor).await, None);

    vendor.clock.set(vendor.clock.today().start().plus(86_400 + 3_599));
    assert_eq!(issuer.publish_voided().await.unwrap(), 0, "what was recorded may be on its way");
    vendor.clock.advance(1);
    assert_eq!(issuer.publish_voided().await.unwrap(), 1);
    assert_eq!(issuer.publish_voided().await.unwrap(), 0, "once a day");
    let first = newest(&vendor).await.unwrap();
    assert_eq!((first.epoch, first.edition, first.day), (1, 1, vendor.clock.today()));
    assert_eq!(look(&vendor, &key(0)).await, Some(Voided::Redeemed));
    assert_eq!(look(&vendor, &key(1)).await, None);

    // Of the renewals of a day the next one tells.
    renewal::open_the_window(&vendor).await;
    let (_, item) = holder.item(&vendor, 1);
    renewal::ask(issuer, &item).await;
    later(&vendor, 1);
    issuer.publish_voided().await.unwrap();
    assert_eq!(look(&vendor, &key(1)).await, Some(Voided::Renewed));
    assert_eq!(look(&vendor, &key(2)).await, None);
    let second = newest(&vendor).await.unwrap();
    assert_eq!(second.edition, 2, "an issuer that was away makes one, not one for each day");
    assert!(issuer.ledger_file("voided/1/1/0").await.unwrap().is_some());
    later(&vendor, 1);
    issuer.publish_voided().await.unwrap();
    assert!(issuer.ledger_file("voided/1/1/0").await.unwrap().is_none(), "two are kept");
    assert!(issuer.ledger_file("voided/1/2/0").await.unwrap().is_some());

    // Over HTTP, to everybody.
    for path in ["/ledger/voided/1/newest", "/ledger/voided/1/3/0"] {
        assert_eq!(get(issuer, path, None).await.status, 200, "{path}");
    }
    for path in ["/ledger/voided/01/newest", "/ledger/voided/1/3/1", "/ledger/voided/1/9/0"] {
        assert_eq!(get(issuer, path, None).await.status, 404, "{path}");
    }
    assert!(all_are_true(&vendor).await >= 3);
    // When nothing can be redeemed any more there is none.
    vendor.clock.set(first_windows(issuer).redeem_until.plus(KEPT + 7_200));
    issuer.publish_voided().await.unwrap();
    assert_eq!(newest(&vendor).await.unwrap().edition, 3);
}

/// A certificate was redeemed; the list of the next day is due.
async fn due(setup: Setup) -> [u8; 32] {
    let vendor = setup.init().await.unwrap();
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let item = operator.item(&vendor, &certificates[0], 1);
    operator.redeem(&vendor, vec![item]).await;
    vendor.issuer.store().close().await;
    certificates[0].token().nonce
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_a_publication_leaves_two_lists_or_none() {
    for step in VOIDED_STEPS {
        let directory = tempfile::tempdir().unwrap();
        let key = due(Setup::sqlite(directory.path()).unwrap()).await;
        let mut setup = Setup::sqlite(directory.path()).unwrap();
        let armed = Arc::new(AtomicBool::new(true));
        let trigger = armed.clone();
        setup.steps = Steps::observe(move |name| {
            assert!(name != step || !trigger.swap(false, Ordering::SeqCst), "killed here");
        });
        let vendor = setup.open().await.unwrap();
        later(&vendor, 1);
        vendor.issuer.tend_clock().await.unwrap();
        let dying = vendor.issuer.clone();
        let died = tokio::spawn(async move { dying.publish_voided().await }).await;
        assert!(died.is_err() && !armed.load(Ordering::SeqCst), "{step} was not reached");
        drop(vendor);
        let vendor = setup.open().await.unwrap();
        vendor.issuer.publish_voided().await.unwrap();
        assert_eq!(look(&vendor, &key).await, Some(Voided::Redeemed), "{step}");
        assert_eq!(newest(&vendor).await.unwrap().edition, 1, "{step}");
        assert_eq!(all_are_true(&vendor).await, 1, "{step}: one edition");
    }
}

/// A store that takes a file and says that it did not, or does not take it, at each write.
#[tokio::test]
async fn a_list_is_published_when_its_storage_works_again() {
    let s3 = FakeS3::start().await.unwrap();
    for works in 0..8 {
        for fault in [Fault::Lost, Fault::Kept] {
            let directory = tempfile::tempdir().unwrap();
            let mut setup = Setup::sqlite(directory.path()).unwrap();
            let store = Some(format!("s3://ledgers/{works}-{fault:?}"));
            setup.config.ledger = LedgerConfig { store, ..s3.config() };
            let vendor = setup.init().await.unwrap();
            let certificates = Wallet::new(1).buy(&vendor.issuer).await;
            let mut operator = Operator::new(&vendor, 1).await;
            let item = operator.item(&vendor, &certificates[0], 1);
            operator.redeem(&vendor, vec![item]).await;
            later(&vendor, 1);
            vendor.issuer.ledger_storage().fail_after(works, fault);
            let _ = vendor.issuer.publish_voided().await;
            vendor.issuer.ledger_storage().works_again();
            vendor.issuer.publish_voided().await.unwrap();
            let key = certificates[0].token().nonce;
            assert_eq!(look(&vendor, &key).await, Some(Voided::Redeemed), "{works} {fault:?}");
            assert_eq!(all_are_true(&vendor).await, 1, "{works} {fault:?}");
        }
    }
}
