//! The life of keys: epochs that follow each other under load, rotation and revocation, crashes, and what is dropped.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use scrip_protocol::{
    issuance::Certificate,
    keys::PublicKey,
    limits::ISSUE_GRACE,
    manifest::{Epoch, KeyUse, Manifest, ProvenManifest, Windows},
    media,
    problem::ProblemType,
    redemption::{ItemResult, RedemptionOutcome},
    time::UnixSeconds,
    tlog::note::{Note, VerifierKey},
};
use scrip_runtime::{clock::Clock, passphrase::Passphrase, plausible::KEPT, steps::Steps};

use super::support::*;
use crate::{
    Change, ChangeError, Issuer, RotateError, Rotation, StartError, alerts,
    past::Dropped,
    testing::{Setup, TestIssuer, rng_factory},
};

const DAY: u64 = 86_400;

fn windows(issuer: &Issuer, epoch: usize) -> Windows {
    of_use(&issuer.manifest(), KeyUse::Production)[epoch].windows
}

fn of_use(manifest: &Manifest, key_use: KeyUse) -> Vec<Epoch> {
    let of_use = |epoch: &&Epoch| epoch.key_use == key_use;
    manifest.epochs().iter().filter(of_use).copied().collect()
}

/// What `GET /v1/manifest` answers.
async fn served(issuer: &Issuer) -> Manifest {
    let answer = get(issuer, "/v1/manifest", None).await.success(media::MANIFEST);
    ProvenManifest::open(&answer, &issuer.vendor_id()).unwrap().into_manifest()
}

/// Wallets buy and an operator redeems without pause, each at either process, while the clock passes the ends of two
/// epochs. No request fails, no wallet sees a manifest go back, and each epoch is made once.
pub(crate) async fn under_load(one: &Arc<TestIssuer>, two: &Arc<TestIssuer>) {
    let stop = Arc::new(AtomicBool::new(false));
    let bought = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for issuer in [one, two] {
        let (issuer, stop) = (issuer.clone(), stop.clone());
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                issuer.issuer.tend_keys().await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    for number in 0..3_u8 {
        let both = [one.clone(), two.clone()];
        let (stop, bought) = (stop.clone(), bought.clone());
        tasks.spawn(async move {
            let mut wallet = Wallet::new(10 + number);
            let mut operator = Operator::new(&both[0], 10 + number).await;
            let mut version = 0;
            for turn in usize::from(number).. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let at = |index: usize| &both[(turn + index) % 2];
                let manifest = served(&at(0).issuer).await;
                assert!(manifest.version() >= version, "the manifest went back");
                version = manifest.version();
                let certificates = buy_with(&mut wallet, &manifest, &at(1).issuer).await;
                let vendor = at(turn / 2);
                let items = certificates.iter().map(|c| operator.item(vendor, c, 1)).collect();
                let results = operator.redeem(vendor, items).await;
                assert_eq!(results, [ItemResult::Accepted; STARTER.len()]);
                bought.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for epoch in 0..2 {
        pass_the_end_of(epoch, one).await;
        assert!(tasks.try_join_next().is_none(), "a request failed");
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let manifest = served(&one.issuer).await;
    let production = of_use(&manifest, KeyUse::Production);
    assert_eq!((manifest.version(), production.len()), (3, 3));
    for pair in production.windows(2) {
        assert_eq!(
            pair[0].windows.issue_until, pair[1].windows.issue_from,
            "neither a gap nor an overlap"
        );
    }
    let status = two.issuer.status().await.unwrap();
    let credits = 12 * bought.load(Ordering::Relaxed) as u64;
    assert_eq!((status.credits_issued.0, status.credits_redeemed.0), (credits, credits));
    let by_epoch = |epoch| status.denominations.iter().any(|d| d.epoch == epoch && d.redeemed > 0);
    let bought_of = production.iter().all(|epoch| by_epoch(epoch.number));
    assert!(bought_of, "every epoch was bought of: {:?}", status.denominations);
    if one.issuer.config().epoch.test_keys {
        let windows = |epochs: &[Epoch]| epochs.iter().map(|e| e.windows).collect::<Vec<_>>();
        assert_eq!(windows(&of_use(&manifest, KeyUse::Test)), windows(&production));
        assert!(!of_use(&manifest, KeyUse::Test).iter().any(|epoch| by_epoch(epoch.number)));
    }
}

/// As a real wallet does it: the keys are chosen from a manifest that it fetched, and asked for wherever it gets to.
async fn buy_with(wallet: &mut Wallet, manifest: &Manifest, issuer: &Issuer) -> Vec<Certificate> {
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let now = issuer.inner.clock.now();
    let (blindings, request) = wallet.blind_with(manifest, now, index, &STARTER);
    let answer =
        post(issuer, "/v1/issuance", media::ISSUANCE_REQUEST, Some(&secret), request.encode());
    finish(issuer, blindings, &answer.await.success(media::ISSUANCE_ANSWER))
}

/// Days pass quickly, but not before the next epoch is there; the minutes around the end pass slowly.
async fn pass_the_end_of(epoch: usize, vendor: &TestIssuer) {
    let end = windows(&vendor.issuer, epoch).issue_until;
    let (slow_from, slow_until) = (end.minus(ISSUE_GRACE / 3), end.plus(ISSUE_GRACE / 3));
    loop {
        let now = vendor.clock.now();
        if now >= slow_until {
            return;
        }
        let made = of_use(&vendor.issuer.manifest(), KeyUse::Production).len() > epoch + 1;
        let wait = now >= end.minus(3 * DAY) && !made;
        let step = if wait { 0 } else { slow_from.0.saturating_sub(now.0).clamp(15, DAY) };
        vendor.clock.advance(step);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_rotations_under_load_with_two_processes_on_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    setup.config.epoch.test_keys = true;
    let (one, two) = (setup.init().await.unwrap(), setup.open().await.unwrap());
    under_load(&Arc::new(one), &Arc::new(two)).await;
}

#[tokio::test]
async fn a_process_that_has_not_heard_of_new_keys_looks_before_it_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::sqlite(directory.path()).unwrap();
    let (one, two) = (setup.init().await.unwrap(), setup.open().await.unwrap());
    let (mut wallet, mut operator) = (Wallet::new(1), Operator::new(&one, 1).await);
    let old = wallet.buy(&one.issuer).await;
    assert!(one.issuer.change_epochs(Change::Rotate).await.unwrap());
    let held = two.issuer.manifest();
    assert_eq!(held.version(), 1);
    let certificates = buy_with(&mut wallet, &one.issuer.manifest(), &two.issuer).await;
    assert_eq!(two.issuer.manifest().version(), 2);
    assert_eq!(held.epochs().len(), 1, "who began with the old ring ends with it");

    one.clock.advance(1);
    assert!(one.issuer.change_epochs(Change::Rotate).await.unwrap());
    let newest = buy_with(&mut wallet, &one.issuer.manifest(), &one.issuer).await;
    assert_eq!(two.issuer.manifest().version(), 2);
    let items = [&old[0], &certificates[0], &newest[0]].map(|c| operator.item(&one, c, 1));
    assert_eq!(operator.redeem(&two, items.into()).await, [ItemResult::Accepted; 3]);

    // The end of a window is looked up too: a rotation may have called the next epoch forward.
    assert!(one.issuer.change_epochs(Change::Next).await.is_ok_and(|changed| !changed));
    one.clock.set(windows(&one.issuer, 2).issue_until.minus(3 * DAY));
    assert!(one.issuer.change_epochs(Change::Next).await.unwrap());
    assert!(two.issuer.reload().await.unwrap());
    assert!(one.issuer.change_epochs(Change::Rotate).await.unwrap());
    assert_eq!(windows(&one.issuer, 3).issue_from, one.clock.now());
    buy_with(&mut wallet, &one.issuer.manifest(), &two.issuer).await;
}

#[tokio::test]
async fn what_was_begun_before_the_end_is_signed_after_it() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut wallet = Wallet::new(1);
    let old = issuer.manifest();
    issuer.change_epochs(Change::Rotate).await.unwrap();
    let now = vendor.clock.now();
    assert_eq!(issuer.manifest().epochs()[0].windows.issue_until, now);
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (_, late) = wallet.blind_with(&old, now, index, &STARTER);
    let (_, new) = wallet.blind(issuer, index, &STARTER);
    assert_ne!(late.items[0].key_id, new.items[0].key_id);
    let send = async || {
        let (path, body) = ("/v1/issuance", late.encode());
        post(issuer, path, media::ISSUANCE_REQUEST, Some(&secret), body).await
    };
    vendor.clock.advance(ISSUE_GRACE);
    assert_eq!(send().await.problem(), ProblemType::KeyOutsideWindow);
    vendor.clock.set(now.plus(ISSUE_GRACE - 1));
    assert_eq!(send().await.status, 200);
}

#[tokio::test]
async fn a_revoked_epoch_neither_issues_nor_is_spent_but_is_redeemed() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let (mut wallet, mut operator) = (Wallet::new(1), Operator::new(&vendor, 1).await);
    let before = issuer.manifest();
    let certificates = wallet.buy(issuer).await;
    assert!(issuer.change_epochs(Change::Revoke { epoch: 1 }).await.unwrap());
    let after = issuer.manifest();
    after.may_follow(&before, vendor.clock.now()).unwrap();
    let now = vendor.clock.now();
    assert!(!after.epochs()[0].windows.spends_at(now) && after.epochs()[1].windows.issues_at(now));
    let (index, secret) = wallet.grant(issuer, "starter").await;
    let (_, request) = wallet.blind_with(&before, now, index, &STARTER);
    let path = "/v1/issuance";
    let refused =
        post(issuer, path, media::ISSUANCE_REQUEST, Some(&secret), request.encode()).await;
    assert_eq!(refused.problem(), ProblemType::KeyOutsideWindow);
    let items = vec![operator.item(&vendor, &certificates[0], 1)];
    assert_eq!(operator.redeem(&vendor, items).await, [ItemResult::Accepted]);
    wallet.buy(issuer).await;

    let again = issuer.change_epochs(Change::Revoke { epoch: 1 }).await;
    assert!(matches!(again, Err(RotateError::Change(ChangeError::Ended { epoch: 1 }))));
    let unknown = issuer.change_epochs(Change::Revoke { epoch: 9 }).await;
    assert!(matches!(unknown, Err(RotateError::Change(ChangeError::Unknown { epoch: 9 }))));
    assert_eq!(issuer.manifest().version(), 2);
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_the_old_version_or_the_new_one() {
    for (step, version) in
        [("issuer.manifest.before_publish", 1), ("issuer.manifest.after_publish", 2)]
    {
        let directory = tempfile::tempdir().unwrap();
        let mut setup = Setup::sqlite(directory.path()).unwrap();
        setup.steps = Steps::observe(move |at| assert_ne!(at, step, "dies here"));
        let vendor = setup.init().await.unwrap();
        let issuer = vendor.issuer.clone();
        let died = tokio::spawn(async move { issuer.change_epochs(Change::Rotate).await }).await;
        assert!(died.unwrap_err().is_panic());
        drop(vendor);

        setup.steps = Steps::none();
        let vendor = setup.open().await.unwrap();
        assert_eq!(vendor.issuer.manifest().version(), version, "{step}");
        Wallet::new(1).buy(&vendor.issuer).await;
        vendor.clock.advance(1);
        assert!(vendor.issuer.change_epochs(Change::Rotate).await.unwrap());
        assert_eq!(vendor.issuer.manifest().version(), version + 1, "{step}");
        Wallet::new(2).buy(&vendor.issuer).await;
    }
}

/// Everything that is signed after a change is signed by the new key; what the one before signed stays the vendor's word, and
/// checkpoints are signed by both until the next change.
#[tokio::test]
async fn a_new_receipt_key_signs_and_the_ones_before_stay_in_the_manifest() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    let mut operator = Operator::new(&vendor, 1).await;
    let mut answers = Vec::new();
    for round in 0..3_u64 {
        if round > 0 {
            issuer.change_receipt_key().await.unwrap();
        }
        let bought = Wallet::new(round as u8 + 1).buy(issuer).await;
        let item = operator.item(&vendor, &bought[0], 1);
        let batch = operator.batch(&vendor, vec![item]);
        answers.push(send_batch(issuer, batch).await.success(media::REDEMPTION_OUTCOME));
        let manifest = issuer.manifest();
        let keys: Vec<_> = manifest.receipt_keys().all().map(|one| one.key).collect();
        assert_eq!((manifest.version(), keys.len() as u64), (round + 1, round + 1));
        for (signer, answer) in keys.iter().zip(&answers) {
            assert!(RedemptionOutcome::open(answer, signer).is_ok());
            assert!(RedemptionOutcome::open(answer, manifest.receipt_keys()).is_ok());
        }
        let newest = RedemptionOutcome::open(&answers[round as usize], &keys[round as usize]);
        let note = Note::parse(&newest.unwrap().checkpoint).unwrap();
        let signs = |key: &PublicKey| {
            note.open(&[VerifierKey::of_ledger(&issuer.vendor_id(), *key)]).is_ok()
        };
        let signed: Vec<bool> = keys.iter().map(signs).collect();
        let expected: Vec<bool> = (0..=round).map(|at| at + 1 >= round).collect();
        assert_eq!(signed, expected, "the newest and the one before, round {round}");
    }
    let log = issuer.store().admin_log(None, 10).await.unwrap();
    let changes: Vec<_> = log.iter().filter(|entry| entry.action == "keys receipt").collect();
    assert_eq!((changes.len(), changes[0].detail.as_str()), (2, "manifest version 3"));
    let alert = async || {
        let now = vendor.clock.now();
        let all = alerts::read(issuer.store(), issuer.config(), now, None).await.unwrap();
        all.iter().any(|alert| alert.what.contains("The receipt key was changed"))
    };
    assert!(alert().await);
    vendor.clock.advance(31 * DAY);
    assert!(!alert().await);
}

#[tokio::test]
async fn a_crash_while_the_receipt_key_is_changed_leaves_the_old_one_or_the_new_one() {
    for (step, keys) in
        [("issuer.manifest.before_publish", 1), ("issuer.manifest.after_publish", 2)]
    {
        let directory = tempfile::tempdir().unwrap();
        let mut setup = Setup::sqlite(directory.path()).unwrap();
        setup.steps = Steps::observe(move |at| assert_ne!(at, step, "dies here"));
        let vendor = setup.init().await.unwrap();
        let issuer = vendor.issuer.clone();
        let died = tokio::spawn(async move { issuer.change_receipt_key().await }).await;
        assert!(died.unwrap_err().is_panic());
        drop(vendor);

        setup.steps = Steps::none();
        let vendor = setup.open().await.unwrap();
        let held = |issuer: &Issuer| issuer.manifest().receipt_keys().all().count();
        assert_eq!(held(&vendor.issuer), keys, "{step}");
        let mut operator = Operator::new(&vendor, 1).await;
        for extra in 0..2_u8 {
            let bought = Wallet::new(extra + 1).buy(&vendor.issuer).await;
            let item = operator.item(&vendor, &bought[0], 1);
            assert_eq!(
                operator.redeem(&vendor, vec![item]).await,
                [ItemResult::Accepted],
                "{step}"
            );
            vendor.issuer.change_receipt_key().await.unwrap();
            assert_eq!(held(&vendor.issuer), keys + 1 + usize::from(extra), "{step}");
        }
    }
}

#[tokio::test]
async fn an_issuer_that_slept_makes_an_epoch_when_it_wakes() {
    let vendor = TestIssuer::start().await.unwrap();
    let issuer = &vendor.issuer;
    issuer.tend_keys().await.unwrap();
    assert_eq!(issuer.manifest().version(), 1);
    vendor.clock.advance(100 * DAY);
    issuer.tend_keys().await.unwrap();
    assert_eq!(windows(issuer, 1).issue_from, vendor.clock.now().day().start());
    issuer.tend_keys().await.unwrap();
    assert_eq!(issuer.manifest().version(), 2);
    Wallet::new(1).buy(issuer).await;
}

#[tokio::test]
async fn a_wrong_passphrase_changes_nothing() {
    let vendor = TestIssuer::start().await.unwrap();
    let (steps, rng, now) = (Steps::none(), rng_factory(), vendor.clock.now());
    let (store, config) = (vendor.issuer.store(), vendor.issuer.config());
    let passphrase = |text: &str| Passphrase::new(text.into());
    let rotation = Rotation::unlock(store, config, passphrase("wrong"), &steps, &rng);
    let wrong = rotation.await.unwrap().change(Change::Rotate, now).await;
    assert!(matches!(wrong, Err(RotateError::Keys(StartError::Sealed(_)))));
    assert!(!vendor.issuer.reload().await.unwrap());
}

#[tokio::test]
async fn what_is_past_is_dropped_and_the_sums_stay() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let directory = tempfile::tempdir().unwrap();
    let mut setup = Setup::sqlite(directory.path()).unwrap();
    setup.steps = Steps::observe(move |step| sink.lock().unwrap().push(step));
    let vendor = setup.init().await.unwrap();
    let issuer = &vendor.issuer;
    let mut operator = Operator::new(&vendor, 1).await;
    let old = Wallet::new(1).buy(issuer).await;
    let items: Vec<_> = old.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    let batch = operator.batch(&vendor, items.clone());
    send_batch(issuer, batch.clone()).await;
    let sums = issuer.status().await.unwrap();

    let first = windows(issuer, 0);
    let keep_for = issuer.config().epoch.keep_for.0;
    assert_eq!(issuer.drop_past().await.unwrap(), Dropped::default());
    vendor.clock.set(first.issue_until.plus(ISSUE_GRACE + KEPT));
    issuer.tend_keys().await.unwrap();
    let dropped = Dropped { keys: 3, ..Dropped::default() };
    assert_eq!(issuer.drop_past().await.unwrap(), dropped, "keys that sign no more");
    let new = Wallet::new(2).buy(issuer).await;
    let item = operator.item(&vendor, &new[0], 1);
    operator.redeem(&vendor, vec![item]).await;

    vendor.clock.set(UnixSeconds(first.redeem_until.0 + keep_for + KEPT - 1));
    issuer.tend_keys().await.unwrap();
    let before = issuer.drop_past().await.unwrap();
    assert_eq!((before.spends, before.batches), (0, 0), "not yet");
    vendor.clock.advance(1);
    seen.lock().unwrap().clear();
    let past = issuer.drop_past().await.unwrap();
    assert_eq!((past.spends, past.batches), (items.len(), 1));
    let steps = ["issuer.drop.before", "issuer.drop.between", "issuer.drop.after"];
    let seen = seen.lock().unwrap().clone();
    let seen: Vec<_> = seen.into_iter().filter(|step| step.starts_with("issuer.drop")).collect();
    assert_eq!(seen, steps);
    let left = database(issuer).await;
    assert_eq!((left["spent"].len(), left["evidence"].len(), left["batches"].len()), (1, 1, 1));
    let of_epoch_1 = |status: &crate::status::Status| {
        let first = status.denominations.iter().filter(|row| row.epoch == 1);
        first.map(|row| (row.issued, row.redeemed)).collect::<Vec<_>>()
    };
    assert_eq!(of_epoch_1(&issuer.status().await.unwrap()), of_epoch_1(&sums));
    let answer = send_batch(issuer, batch.clone()).await;
    let results = outcome(&vendor, &batch, answer).results;
    assert_eq!(results, [ItemResult::Expired; STARTER.len()], "nothing is redeemed twice");
    setup.open().await.unwrap();
}
