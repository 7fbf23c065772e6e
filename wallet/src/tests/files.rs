use std::path::{Path, PathBuf};

use scrip_protocol::problem::ProblemType;
use scrip_runtime::steps::Steps;

use crate::{
    Doubtful, FetchOptions, Fetched, PutOptions, Shortage, WalletError, When, fetch_file,
    link::FileLink,
    net::Network,
    testing::{Fault, World},
};

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 % 251) as u8).collect()
}

fn make(world: &World, name: &str, size: usize) -> PathBuf {
    let path = world.path(name);
    std::fs::write(&path, content(size)).unwrap();
    path
}

fn copies(copies: u8) -> PutOptions {
    PutOptions { copies, ..PutOptions::default() }
}

async fn fetch(world: &World, link: &str, output: &Path) -> Result<Fetched, WalletError> {
    let link: FileLink = link.parse().unwrap();
    let environment = world.environment(Steps::none());
    let network = Network::new(environment.network.clone(), environment.entropy.clone());
    let options = FetchOptions { output: output.to_owned(), overwrite: false };
    fetch_file(&link, &options, &network, &environment).await
}

#[tokio::test]
async fn files_of_all_sizes_come_back() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    for size in [0, 1, 64_000, 64_001, 300_000, 1_500_000, 5_000_000] {
        wallet.buy(&format!("GOOD-{size}")).await.unwrap();
        let path = make(&world, &format!("file-{size}"), size);
        let stored = wallet.put_file(&path, copies(1)).await.unwrap();
        assert!(stored.link.len() < 300, "{}", stored.link.len());
        let out = world.path(&format!("out-{size}"));
        let fetched = fetch(&world, &stored.link, &out).await.unwrap();
        assert_eq!(std::fs::read(&out).unwrap(), content(size), "{size}");
        assert_eq!(fetched.name, format!("file-{size}"));
    }
}

#[tokio::test]
async fn any_copy_will_do() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 400_000);
    let stored = wallet.put_file(&path, copies(2)).await.unwrap();
    assert_eq!(stored.relays.len(), 2);
    // One relay gives changed bytes; the other one's are used.
    world.relays[0].corrupt();
    fetch(&world, &stored.link, &world.path("out")).await.unwrap();
    world.relays[1].corrupt();
    let error = fetch(&world, &stored.link, &world.path("none")).await.unwrap_err();
    assert!(matches!(error, WalletError::NoCopyLeft { .. }), "{error}");
    assert!(!world.path("none").exists());
}

#[tokio::test]
async fn the_only_copy_is_asked_for_again() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 400_000);
    let stored = wallet.put_file(&path, copies(1)).await.unwrap();
    for _ in 0..2 {
        world.relays[0].faults.add("GET /v1/chunks", Fault::NotDone);
    }
    fetch(&world, &stored.link, &world.path("out")).await.unwrap();
    for _ in 0..3 {
        world.relays[0].faults.add("GET /v1/chunks", Fault::NotDone);
    }
    let error = fetch(&world, &stored.link, &world.path("none")).await.unwrap_err();
    assert!(matches!(error, WalletError::NoCopyLeft { .. }), "{error}");
}

#[tokio::test]
async fn copies_have_no_digest_in_common() {
    let world = World::new(2).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 400_000);
    wallet.put_file(&path, copies(2)).await.unwrap();
    let (one, two) = (world.relays[0].chunk_digests(), world.relays[1].chunk_digests());
    assert!(!one.is_empty() && one.len() == two.len());
    assert!(one.iter().all(|digest| !two.contains(digest)));
}

#[tokio::test]
async fn more_copies_than_relays_are_refused_before_anything_is_paid() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 10);
    let error = wallet.put_file(&path, copies(2)).await.unwrap_err();
    assert!(matches!(error, WalletError::TooFewRelays { needed: 2, usable: 1 }), "{error}");
    assert!(matches!(wallet.put_file(&path, copies(0)).await, Err(WalletError::Copies)));
    assert_eq!(world.taken(), 0);
}

#[tokio::test]
async fn what_cannot_be_paid_to_its_end_is_not_begun() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    // 50 credits, but in certificates of 8 and less, of which each of 10 chunks for 4 takes one or more.
    let path = make(&world, "file", 40 << 20);
    let error = wallet.put_file(&path, copies(1)).await.unwrap_err();
    assert!(matches!(error, WalletError::Shortage(Shortage::TooCoarse { .. })), "{error}");
    let path = make(&world, "larger", 60 << 20);
    let error = wallet.put_file(&path, copies(1)).await.unwrap_err();
    assert!(matches!(error, WalletError::Shortage(Shortage::Choice(_))), "{error}");
    assert_eq!((world.taken(), world.leases()), (0, 0));
    assert!(wallet.files().await.unwrap().is_empty(), "and is not gone on with");
}

#[tokio::test]
async fn an_interrupted_upload_goes_on_where_it_was() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 400_000);
    world.relays[0].faults.add("PUT /v1/chunks", Fault::DoneAndLost);
    let refused = Fault::Problem(ProblemType::Malformed.into());
    world.relays[0].faults.add("PUT /v1/chunks", refused);
    assert!(wallet.put_file(&path, copies(1)).await.is_err());
    let stored = wallet.put_file(&path, copies(1)).await.unwrap();
    assert_eq!(world.leases(), stored.chunks, "each chunk was paid for once");
    assert_eq!(wallet.files().await.unwrap().len(), 1);
    fetch(&world, &stored.link, &world.path("out")).await.unwrap();
}

#[tokio::test]
async fn a_file_that_changed_is_not_sent_under_the_same_keys() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 400_000);
    for _ in 0..40 {
        world.relays[0].faults.add("PUT /v1/chunks", Fault::NotDone);
    }
    assert!(wallet.put_file(&path, copies(1)).await.is_err());
    std::fs::write(&path, content(399_999)).unwrap();
    let resumed = wallet.resume(Doubtful::Keep).await.unwrap();
    assert!(matches!(resumed.errors[0], WalletError::FileChanged(_)));
}

#[tokio::test]
async fn a_stored_file_is_extended_whole() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 100_000);
    let stored = wallet.put_file(&path, copies(1)).await.unwrap();
    let extended = wallet.extend("file", 30, Doubtful::Keep, false, When::InTime).await.unwrap();
    assert_eq!(extended.len(), stored.chunks);
    assert!(extended.iter().all(|lease| lease.until > stored.until));
}

#[tokio::test]
async fn existing_files_stay() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    let path = make(&world, "file", 10);
    let stored = wallet.put_file(&path, copies(1)).await.unwrap();
    let error = fetch(&world, &stored.link, &path).await.unwrap_err();
    assert!(matches!(error, WalletError::FileExists(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), content(10));
}
