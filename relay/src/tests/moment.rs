//! Databases that are not of one moment: one came back from a backup, the other did not.

use std::{fs, path::PathBuf};

use http::{Method, StatusCode};
use scrip_protocol::{
    id::ResourceId,
    keys::SigningKey,
    resource::{ResourceKind, SizeClass},
};
use sha2::{Digest, Sha256};

use super::{
    payments::{pay, queue_kind, send},
    support::{Answer, Bench, Closed, DAY, noise},
};
use crate::{error::StartError, moment::MomentError};

/// A stored chunk that was paid for with a certificate.
struct Stored {
    reader: SigningKey,
    path: String,
    bytes: Vec<u8>,
}

async fn store(bench: &Bench, seed: u8) -> Stored {
    let (owner, reader) = (bench.key(), bench.key());
    let bytes = noise(SizeClass::K64, seed);
    let kind = ResourceKind::Chunk {
        owner_key: owner.public(),
        reader_key: reader.public(),
        size_class: SizeClass::K64,
        digest: Sha256::digest(&bytes).into(),
    };
    let paid = pay(bench, seed.into(), &[bench.vendor.issue(0)], kind);
    let answer = send(bench, "/v1/chunks", &paid).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
    let receipt = bench.open_receipt(&answer.body);
    let peer: [u8; 24] = receipt.detail.as_slice().try_into().unwrap();
    let upload = format!("/v1/chunks/{}", receipt.lease_id);
    let stored = bench.command(&owner, Method::PUT, &upload, &bytes).await;
    assert_eq!(stored.status, StatusCode::NO_CONTENT);
    Stored { reader, path: format!("/v1/chunks/{}", ResourceId::from_bytes(peer)), bytes }
}

async fn get(bench: &Bench, stored: &Stored) -> Answer {
    bench.command(&stored.reader, Method::GET, &stored.path, &[]).await
}

fn file(closed: &Closed, name: &str) -> PathBuf {
    closed.directory.path().join(name)
}

/// Puts `with` in the place of a database, and gives what was there.
fn exchange(closed: &Closed, name: &str, with: &[u8]) -> Vec<u8> {
    let path = file(closed, name);
    let before = fs::read(&path).unwrap();
    fs::write(&path, with).unwrap();
    before
}

/// A relay with one payment from before the backup of both databases, and a chunk from after it.
async fn backed_up() -> (Closed, [Vec<u8>; 2], Stored) {
    let bench = Bench::new().await;
    let (kind, _) = queue_kind(&bench);
    let paid = pay(&bench, 200, &[bench.vendor.issue(1)], kind);
    assert_eq!(send(&bench, "/v1/queues", &paid).await.status, StatusCode::CREATED);
    let closed = bench.close().await;
    let backup = ["relay.db", "spent.sqlite"].map(|name| fs::read(file(&closed, name)).unwrap());
    let bench = closed.open().await;
    let stored = store(&bench, 1).await;
    (bench.close().await, backup, stored)
}

/// It removed the chunk before: no row of the older database knew it.
#[tokio::test]
async fn a_relay_changes_nothing_on_the_word_of_an_older_database() {
    let (closed, [leases, _], stored) = backed_up().await;
    let newer = exchange(&closed, "relay.db", &leases);
    let refusal = closed.refusal().await;
    assert!(
        matches!(refusal, StartError::Moment(MomentError::OlderLeases { payments: 1 })),
        "{refusal}"
    );
    assert!(file(&closed, "chunks/stored/0/2").exists(), "nothing was changed");
    exchange(&closed, "relay.db", &newer);
    assert!(get(&closed.open().await, &stored).await.body == stored.bytes);
}

/// Its payments were never redeemed, and nobody said so.
#[tokio::test]
async fn a_relay_says_that_it_lacks_payments() {
    let (closed, [_, spent], stored) = backed_up().await;
    exchange(&closed, "spent.sqlite", &spent);
    let refusal = closed.refusal().await;
    assert!(
        matches!(refusal, StartError::Moment(MomentError::OlderPayments { provisions: 1 })),
        "{refusal}"
    );
    assert_eq!(closed.accept_loss().await.provisions.len(), 1);
    let bench = closed.open().await;
    assert!(get(&bench, &stored).await.body == stored.bytes);
    // Said once, and not again for what is taken from then on.
    store(&bench, 2).await;
    assert!(get(&bench.close().await.open().await, &stored).await.body == stored.bytes);
}

/// Whoever goes on with the older database, and finds the newer one later, has lost nothing that was stored before; although the
/// same number was given to another chunk meanwhile.
#[tokio::test]
async fn what_an_older_database_does_not_know_comes_back_with_the_newer_one() {
    let (closed, [leases, _], stored) = backed_up().await;
    let newer = exchange(&closed, "relay.db", &leases);
    assert_eq!(closed.accept_loss().await.payments.len(), 1);
    let bench = closed.open().await;
    assert_eq!(get(&bench, &stored).await.status, StatusCode::NOT_FOUND);
    let other = store(&bench, 2).await;
    assert!(get(&bench, &other).await.body == other.bytes);
    let closed = bench.close().await;
    let older = exchange(&closed, "relay.db", &newer);
    assert!(matches!(closed.refusal().await, StartError::Moment(_)), "it lacks the other chunk");
    closed.accept_loss().await;
    let bench = closed.open().await;
    assert!(get(&bench, &stored).await.body == stored.bytes);
    // And back once more: what is put aside is never written over.
    let closed = bench.close().await;
    exchange(&closed, "relay.db", &older);
    let bench = closed.open().await;
    assert!(get(&bench, &other).await.body == other.bytes);
}

#[tokio::test]
async fn what_was_put_aside_goes_after_30_days() {
    let (closed, [leases, _], _) = backed_up().await;
    exchange(&closed, "relay.db", &leases);
    closed.accept_loss().await;
    let aside = file(&closed, "chunks/aside");
    let bench = closed.open().await;
    let kept = || fs::read_dir(&aside).unwrap().count();
    bench.clock.advance(29 * DAY);
    bench.relay.collect_now().await.unwrap();
    assert_eq!(kept(), 1);
    bench.clock.advance(DAY);
    bench.relay.collect_now().await.unwrap();
    assert_eq!(kept(), 0);
}

/// Payments are forgotten when their epochs are over, and leases when they have ended: that is no loss.
#[tokio::test]
async fn what_was_forgotten_in_time_is_not_missed() {
    let (closed, ..) = backed_up().await;
    let bench = closed.open().await;
    bench.clock.advance(800 * DAY);
    bench.relay.collect_now().await.unwrap();
    let closed = bench.close().await;
    let difference = closed.accept_loss().await;
    assert!(difference.payments.is_empty() && difference.provisions.is_empty());
    closed.open().await;
}
