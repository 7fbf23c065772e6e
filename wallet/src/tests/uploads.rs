//! Uploads that are disturbed: files that change, leases that end, two tasks at once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use scrip_protocol::{problem::ProblemType, time::SECONDS_PER_DAY};
use scrip_runtime::steps::Steps;

use crate::{
    Doubtful, FetchOptions, PutOptions, Wallet, WalletError, fetch_file,
    link::FileLink,
    net::Network,
    testing::{Fault, World},
};

fn make(world: &World, name: &str, byte: u8, size: usize) -> PathBuf {
    let path = world.path(name);
    std::fs::write(&path, vec![byte; size]).unwrap();
    path
}

async fn fetch(world: &World, link: &str, output: &Path) {
    let link: FileLink = link.parse().unwrap();
    let environment = world.environment(Steps::none());
    let network = Network::new(environment.network.clone(), environment.entropy.clone());
    let options = FetchOptions { output: output.to_owned(), overwrite: false };
    fetch_file(&link, &options, &network, &environment).await.unwrap();
}

/// An upload of 400,000 bytes, of which a part was paid and none was sent.
async fn interrupted(world: &World, wallet: &Wallet) -> PathBuf {
    let path = make(world, "file", 1, 400_000);
    let refused = Fault::Problem(ProblemType::Malformed.into());
    world.relays[0].faults.add("PUT /v1/chunks", refused);
    assert!(wallet.put_file(&path, PutOptions::default()).await.is_err());
    assert!(world.leases() > 0);
    path
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_stored_is_given_up() {
    for size in [1_000, 400_000] {
        for new_size in [size, size - 1, size + 1] {
            let world = World::new(1).await;
            let path = make(&world, "file", 1, size);
            let changing = path.clone();
            let steps = Steps::observe(move |step| {
                if step == "wallet.upload.recorded" {
                    std::fs::write(&changing, vec![2; new_size]).unwrap();
                }
            });
            let wallet = world.create_observed("wallet", steps).await;
            world.fund(&wallet).await;
            let error = wallet.put_file(&path, PutOptions::default()).await.unwrap_err();
            assert!(matches!(error, WalletError::FileChanged(_)), "{error}");
            assert!(wallet.files().await.unwrap().is_empty());
            assert!(wallet.resume(Doubtful::Keep).await.unwrap().errors.is_empty());
        }
    }
}

#[tokio::test]
async fn an_upload_whose_lease_ended_begins_anew_under_a_new_key() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let path = interrupted(&world, &wallet).await;
    let (old, paid) = (wallet.files().await.unwrap()[0].upload, world.leases());
    wallet.buy("GOOD-MORE").await.unwrap();
    world.clock.advance(31 * SECONDS_PER_DAY);
    let stored = wallet.put_file(&path, PutOptions::default()).await.unwrap();
    assert_ne!(stored.upload, old);
    assert_eq!(world.leases(), paid + stored.chunks, "every chunk is paid under the new key");
    let files = wallet.files().await.unwrap();
    assert_eq!(files.iter().map(|file| file.upload).collect::<Vec<_>>(), [stored.upload]);
    fetch(&world, &stored.link, &world.path("out")).await;
}

#[tokio::test]
async fn resume_gives_up_once_what_cannot_go_on() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    interrupted(&world, &wallet).await;
    for lease in wallet.leases(None).await.unwrap() {
        world.relays[0].slander(&lease.lease);
    }
    let errors = wallet.resume(Doubtful::Keep).await.unwrap().errors;
    assert!(matches!(errors[..], [WalletError::UploadGivenUp(_)]), "{errors:?}");
    assert!(wallet.resume(Doubtful::Keep).await.unwrap().errors.is_empty());
    assert!(wallet.files().await.unwrap().is_empty());
}

#[tokio::test]
async fn two_tasks_do_not_pay_twice() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let path = interrupted(&world, &wallet).await;
    wallet.buy("GOOD-MORE").await.unwrap();
    let (put, again, resumed) = tokio::join!(
        wallet.put_file(&path, PutOptions::default()),
        wallet.put_file(&path, PutOptions::default()),
        wallet.resume(Doubtful::Keep),
    );
    let digests = world.relays[0].chunk_digests();
    assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), digests.len());
    let resumed = resumed.unwrap();
    assert!(resumed.errors.is_empty());
    // The first goes on with what was begun; a `put` after its end is a file of its own.
    let mut uploads: BTreeSet<_> = [put.unwrap(), again.unwrap()].map(|one| one.upload).into();
    uploads.extend(resumed.files.iter().map(|one| one.upload));
    assert_eq!(wallet.files().await.unwrap().len(), uploads.len());
    assert_eq!(world.leases(), wallet.leases(None).await.unwrap().len());
    assert_eq!(world.leases(), digests.len(), "each chunk was bought once");
}

#[tokio::test]
async fn other_relays_are_another_upload() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 1, 400_000);
    let at = |relay: usize| PutOptions {
        relays: vec![world.relays[relay].address()],
        ..PutOptions::default()
    };
    let refused = Fault::Problem(ProblemType::Malformed.into());
    world.relays[0].faults.add("PUT /v1/chunks", refused);
    assert!(wallet.put_file(&path, at(0)).await.is_err());
    let stored = wallet.put_file(&path, at(1)).await.unwrap();
    assert_eq!(stored.relays, [world.relays[1].address()]);
    let stored = wallet.put_file(&path, at(0)).await.unwrap();
    assert_eq!(stored.relays, [world.relays[0].address()]);
    assert_eq!(wallet.files().await.unwrap().len(), 2);
    let paid: u64 = wallet.leases(None).await.unwrap().iter().map(|one| one.paid.0).sum();
    assert_eq!(paid, world.taken());
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_regular_file_is_refused() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    for path in ["/dev/zero", "/dev"] {
        let error = wallet.put_file(path.as_ref(), PutOptions::default()).await.unwrap_err();
        assert!(matches!(error, WalletError::NoRegularFile(_)), "{error}");
    }
    assert_eq!(world.taken(), 0);
}

/// A file at two relays, the first of which has lost its copy, as the wallet has been told.
async fn lost_at_the_first(world: &World, wallet: &Wallet, path: &Path) -> (String, Vec<[u8; 32]>) {
    let options = PutOptions { copies: 2, ..PutOptions::default() };
    let stored = wallet.put_file(path, options).await.unwrap();
    let before = world.relays[0].chunk_digests();
    assert!(before.len() > 1);
    world.relays[0].lose_chunks();
    assert!(wallet.diagnose().await.unwrap().healthy, "nobody has said it yet");
    wallet.check_leases(None).await.unwrap();
    let found = wallet.diagnose().await.unwrap();
    let lost = found.findings.iter().find(|one| one.name == "upload.lost").unwrap();
    assert!(lost.open && lost.what.contains(&world.relays[0].address().authority), "{}", lost.what);
    (stored.link, before)
}

fn sorted(mut digests: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
    digests.sort_unstable();
    digests
}

#[tokio::test]
async fn what_a_relay_lost_is_uploaded_again_and_costs_nothing() {
    // The file itself is there, or it is not, or it is another one by now.
    for left in [Some(1), None, Some(2)] {
        let world = World::new(2).await;
        let wallet = world.funded("wallet").await;
        let path = make(&world, "file", 1, 400_000);
        let (link, before) = lost_at_the_first(&world, &wallet, &path).await;
        match left {
            Some(byte) => std::fs::write(&path, vec![byte; 400_000]).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let paid = wallet.balance().await.unwrap();
        let repaired = wallet.repair(Doubtful::Keep).await.unwrap();
        assert!(repaired.errors.is_empty(), "{:?}", repaired.errors);
        assert_eq!(wallet.balance().await.unwrap(), paid, "its leases are paid for");
        assert_eq!(sorted(world.relays[0].chunk_digests()), sorted(before));
        assert!(wallet.diagnose().await.unwrap().healthy);
        assert!(!world.path("wallet").join("again").exists());
        assert_eq!(wallet.files().await.unwrap()[0].link.as_deref(), Some(&*link));
        world.relays[1].lose_chunks();
        let output = world.path("fetched");
        fetch(&world, &link, &output).await;
        assert_eq!(std::fs::read(&output).unwrap(), vec![1; 400_000]);
    }
}

#[tokio::test]
async fn a_file_that_is_nowhere_any_more_is_not_forgotten() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 1, 400_000);
    let (link, _) = lost_at_the_first(&world, &wallet, &path).await;
    std::fs::write(&path, vec![2; 400_000]).unwrap();
    world.relays[1].lose_chunks();
    let repaired = wallet.repair(Doubtful::Keep).await.unwrap();
    assert!(
        matches!(repaired.errors[..], [WalletError::NoCopyLeft { .. }]),
        "{:?}",
        repaired.errors
    );
    assert_eq!(wallet.files().await.unwrap()[0].link.as_deref(), Some(&*link));
    assert!(!wallet.diagnose().await.unwrap().healthy);
    assert!(
        world.relays[0].chunk_digests().is_empty(),
        "other content is sent under no key of this file"
    );
    // The file is found again.
    std::fs::write(&path, vec![1; 400_000]).unwrap();
    assert!(wallet.repair(Doubtful::Keep).await.unwrap().errors.is_empty());
    assert!(!world.relays[0].chunk_digests().is_empty());
}
