//! Renewals that the vendor refuses, and vendors that lie about that, or use what they refused.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use scrip_protocol::{
    keys::{PublicKey, SigningKey},
    problem::ProblemType,
    redemption::ConflictProof,
    renewal::{Complained, RenewalItem, RenewalResult},
    spend::SpendKind,
    time::SECONDS_PER_DAY,
};
use scrip_runtime::steps::Steps;

use super::renewing::{in_the_window, renewing};
use crate::{
    Culprit, Doubtful, NewQueue, Wallet, WalletError,
    testing::{FakeVendor, Refusing, World},
};

const CERTIFICATES: usize = 13;

fn queue() -> NewQueue {
    NewQueue { days: 30, ..NewQueue::default() }
}

fn signed() -> [Refusing; CERTIFICATES] {
    [Refusing::Signed(ProblemType::RenewalClosed); CERTIFICATES]
}

async fn ready(relays: u8) -> (World, Wallet) {
    let world = renewing(relays).await;
    let wallet = world.funded("wallet").await;
    in_the_window(&world).await;
    (world, wallet)
}

/// What the vendor was given for the renewal of this certificate, shown as what it was used for.
fn shown(world: &World, key: PublicKey) -> ConflictProof {
    let is_it = |item: &RenewalItem| item.token.nonce == *key.as_bytes();
    let item = world.vendor.renewals_asked().into_iter().find(is_it).unwrap();
    ConflictProof {
        certificate_key: key,
        kind: SpendKind::Renewal,
        other_binding: item.binding(&world.vendor.id()),
        other_signature: item.signature,
    }
}

#[tokio::test]
async fn a_refusal_frees_only_where_the_vendor_signed_it_for_that_very_renewal() {
    let (world, wallet) = ready(1).await;
    let closed = ProblemType::RenewalClosed;
    for how in [
        Refusing::OtherReason(closed),
        Refusing::OtherKey(closed),
        Refusing::OtherRenewal(closed),
        Refusing::OtherVendor(closed),
        Refusing::Signed(ProblemType::StorageFull),
    ] {
        world.vendor.refuse_renewals([how; CERTIFICATES]);
        let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
        assert_eq!(renewed.errors.len(), CERTIFICATES);
        let open = |error: &WalletError| matches!(error, WalletError::RenewalOpen { .. });
        assert!(renewed.errors.iter().all(open), "{:?}", renewed.errors);
        assert_eq!(wallet.balance().await.unwrap().renewing, FakeVendor::pack_value());
        assert!(wallet.complaints().await.unwrap().is_empty());
    }
    // Whatever was said, each certificate's key signed once.
    let asked = world.vendor.renewals_asked();
    let different: BTreeSet<Vec<u8>> = asked.iter().map(RenewalItem::encode).collect();
    assert_eq!((asked.len(), different.len()), (5 * CERTIFICATES, CERTIFICATES));

    world.vendor.refuse_renewals(signed());
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!((renewed.certificates, renewed.errors.len()), (0, CERTIFICATES));
    assert!(matches!(renewed.errors[0], WalletError::RenewalRefused { .. }));
    let balance = wallet.balance().await.unwrap();
    assert_eq!((balance.spendable, balance.renewing.0), (FakeVendor::pack_value(), 0));
}

#[tokio::test]
async fn what_was_refused_is_as_it_was_and_is_not_asked_for_again_under_that_key() {
    let (world, wallet) = ready(1).await;
    world.vendor.refuse_renewals(signed());
    wallet.renew(Doubtful::Keep).await.unwrap();
    let asked = world.vendor.renewals_asked().len();
    wallet.close().await.unwrap();
    let wallet = world.open("wallet").await;
    for _ in 0..3 {
        assert_eq!(wallet.renew(Doubtful::Keep).await.unwrap().certificates, 0);
        assert!(wallet.tend().await.unwrap().renewed.is_none());
        world.clock.advance(SECONDS_PER_DAY);
    }
    assert_eq!(world.vendor.renewals_asked().len(), asked, "the vendor would say the same");
    // It pays as before, and nobody is accused of anything.
    wallet.create_queue(queue()).await.unwrap();
    assert_eq!(world.relays[0].redeem(), 0);
    let complaints = wallet.complaints().await.unwrap();
    assert_eq!(complaints.len(), CERTIFICATES);
    assert!(complaints.iter().all(|one| !one.is_grave()));
    assert!(wallet.diagnose().await.unwrap().complaints.is_empty());
}

/// The refusal that the wallet shows to others, opened as they do.
fn complained(one: &crate::ComplaintReport) -> (RenewalItem, ConflictProof) {
    let keys = [SigningKey::from_seed(&[2; 32]).public()];
    let Ok(Complained::Refused(item, refusal)) = one.complaint.open(&keys) else { panic!() };
    let proof = scrip_protocol::id::decode_base64url(one.complaint.conflict.as_ref().unwrap());
    let proof = ConflictProof::decode(&proof.unwrap()).unwrap();
    assert!(refusal.is_shown_by(&proof));
    (item, proof)
}

#[tokio::test]
async fn a_vendor_that_uses_what_it_refused_is_caught_when_a_lease_ends() {
    let (world, wallet) = ready(1).await;
    world.vendor.refuse_renewals(signed());
    wallet.renew(Doubtful::Keep).await.unwrap();
    let made = wallet.create_queue(queue()).await.unwrap();
    let mut proof = None;
    world.relays[0].end(&made.lease, |key| *proof.insert(shown(&world, key)));
    for _ in 0..2 {
        let leases = wallet.check_leases(None).await.unwrap();
        let conflict = &leases[0].conflicts[0];
        assert_eq!((conflict.proven, &conflict.culprit), (true, &Some(Culprit::Vendor)));
    }
    wallet.close().await.unwrap();
    let wallet = world.open("wallet").await;
    let diagnosis = wallet.diagnose().await.unwrap();
    assert!(diagnosis.findings.iter().any(|finding| finding.name == "vendor.caught"));
    assert!(diagnosis.caught.is_empty(), "the relay is not to blame");
    let [one] = &diagnosis.complaints[..] else { panic!("one") };
    assert_eq!(complained(one).1, proof.unwrap());
}

#[tokio::test]
async fn a_vendor_that_uses_what_it_refused_is_caught_when_a_payment_is_refused() {
    let (world, wallet) = ready(1).await;
    world.vendor.refuse_renewals(signed());
    wallet.renew(Doubtful::Keep).await.unwrap();
    for item in world.vendor.renewals_asked() {
        world.relays[0].accuse(shown(&world, item.token.certificate_key().unwrap()));
    }
    let error = wallet.create_queue(queue()).await.unwrap_err();
    assert!(matches!(error, WalletError::RenewedAfterRefusal { .. }), "{error}");
    assert_eq!(error.problem(), Some(ProblemType::CertificateSpent));
    assert!(error.remedy().contains("scrip evidence"));
    let complaints = wallet.complaints().await.unwrap();
    assert_eq!(complaints.iter().filter(|one| one.is_grave()).count(), 1);
    assert!(wallet.caught().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_renewal_that_was_not_refused_is_nobodys_lie() {
    let (world, wallet) = ready(1).await;
    // All open: the vendor has what was signed, and promised nothing.
    world.vendor.refuse_renewals([Refusing::OtherKey(ProblemType::RenewalClosed); CERTIFICATES]);
    wallet.renew(Doubtful::Keep).await.unwrap();
    wallet.close().await.unwrap();
    crate::testing::copy_directory(&world.path("wallet"), &world.path("copy"));
    let copy = world.open("copy").await;
    assert!(copy.complaints().await.unwrap().is_empty());
    assert_eq!(copy.renew(Doubtful::Keep).await.unwrap().certificates, CERTIFICATES);
    assert!(copy.complaints().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_spend_is_believed_only_where_the_vendor_signed_where_it_lies() {
    let world = renewing(1).await;
    world.funded("wallet").await.close().await.unwrap();
    crate::testing::copy_directory(&world.path("wallet"), &world.path("copy"));
    let copy = world.open("copy").await;
    copy.create_queue(queue()).await.unwrap();
    assert_eq!(world.relays[0].redeem(), 0);
    let wallet = world.open("wallet").await;
    in_the_window(&world).await;
    // In a tree that does not reach the leaf, about another renewal, under another key.
    for how in 0..3 {
        world.vendor.rewrite_spent(Some(Box::new(move |vendor, item, answer| {
            let RenewalResult::Spent(signed) = answer else { panic!() };
            let receipt_key = SigningKey::from_seed(&[2; 32]);
            let mut spent = signed.verify(&receipt_key.public()).unwrap().clone();
            match how {
                0 => vendor.spent(item, spent.proof, 4),
                1 => {
                    spent.binding = scrip_protocol::spend::Binding::from_bytes([1; 32]);
                    RenewalResult::Spent(spent.sign(&receipt_key))
                }
                _ => RenewalResult::Spent(spent.sign(&SigningKey::from_seed(&[66; 32]))),
            }
        })));
        let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
        assert_eq!(renewed.spent_elsewhere.0, 0, "{how}");
        let other = |error: &WalletError| matches!(error, WalletError::OtherAnswer);
        assert!(renewed.errors.len() == 1 && renewed.errors.iter().all(other), "{how}");
        assert_eq!(wallet.balance().await.unwrap().renewing.0, 2);
    }
    world.vendor.rewrite_spent(None);
    let renewed = wallet.renew(Doubtful::Keep).await.unwrap();
    assert_eq!((renewed.spent_elsewhere.0, renewed.errors.len()), (2, 0));
    // What the vendor signed of that is kept, for others to look.
    let complaints = wallet.complaints().await.unwrap();
    let [one] = &complaints[..] else { panic!("one") };
    let keys = [SigningKey::from_seed(&[2; 32]).public()];
    let Ok(Complained::Spent(spent)) = one.complaint.open(&keys) else { panic!() };
    assert_eq!((spent.leaf, one.is_grave()), (4, true));
}

#[tokio::test]
async fn a_refusal_is_kept_wherever_the_wallet_dies() {
    let steps =
        ["wallet.renewal.recorded", "wallet.renewal.after_answer", "wallet.renewal.taken_back"];
    for name in steps {
        let world = Arc::new(renewing(1).await);
        world.funded("wallet").await.close().await.unwrap();
        in_the_window(&world).await;
        // Half a lie: the vendor signs refusals, and takes what comes again.
        world.vendor.refuse_renewals(signed());
        let died = Mutex::new(false);
        let steps = Steps::observe(move |step| {
            if step == name && !std::mem::replace(&mut *died.lock().unwrap(), true) {
                panic!("killed here");
            }
        });
        let shared = world.clone();
        let dying = async move {
            let wallet = shared.open_observed("wallet", steps).await;
            wallet.renew(Doubtful::Keep).await
        };
        assert!(tokio::spawn(dying).await.is_err(), "{name}");
        let wallet = world.open("wallet").await;
        wallet.renew(Doubtful::Keep).await.unwrap();
        let balance = wallet.balance().await.unwrap();
        assert_eq!(
            (balance.spendable, balance.renewing.0),
            (FakeVendor::pack_value(), 0),
            "{name}"
        );
        // What was freed is what a refusal on disk freed, and the rest was renewed.
        let complaints = wallet.complaints().await.unwrap();
        assert_eq!(complaints.len() + world.vendor.renewed(), CERTIFICATES, "{name}");
    }
}
