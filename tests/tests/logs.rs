//! Standard error is a full disk, or a pipe that nobody reads any more, and the programs do all their work; a task that dies takes its
//! program with it, to be started again.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use scrip_runtime::clock::{Clock, SystemClock};
use scrip_tests::network::{Network, Plan};
use scrip_tests::process::{Launcher, Process};
use scrip_wallet::NewQueue;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

async fn network() -> Network {
    Network::planned(Plan { start: SystemClock.now(), ..Plan::default() }).await.unwrap()
}

fn launcher(network: &Network) -> Launcher {
    Launcher::new(env!("CARGO_BIN_EXE_scrip-crash-node"), network.dir())
}

fn start_in(directory: PathBuf) -> [std::ffi::OsString; 3] {
    ["--dir".into(), directory.into_os_string(), "start".into()]
}

fn full_disk() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn pipe_without_reader() -> File {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    File::from(OwnedFd::from(writer))
}

async fn relay_logging_to(network: &mut Network, log: File) -> Process {
    network.relays[0].stop().await.unwrap();
    let launcher = launcher(network).with_standard_error(log);
    let arguments = start_in(network.relay_dir("relay-0"));
    let mut process = launcher.start("relay", arguments, None).unwrap();
    process.listening().await.unwrap();
    process
}

fn queue(network: &Network, name: &str) -> NewQueue {
    let relay = Some(network.relays[0].address().clone());
    NewQueue { name: Some(name.into()), relay, days: 30, ..NewQueue::default() }
}

/// Stands where the vendor was until a batch comes, and hangs up on it.
async fn hang_up_on_a_batch(vendor: SocketAddr) {
    let listener = TcpListener::bind(vendor).await.unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 20];
        if stream.read_exact(&mut head).await.is_ok() && head.starts_with(b"POST /v1/redemptions") {
            return;
        }
    }
}

async fn until_redeemed(network: &Network) {
    let issuer = network.vendor.issuer().unwrap();
    let redeemed = async {
        while issuer.status().await.unwrap().credits_redeemed.0 == 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, redeemed).await.expect("what was paid is redeemed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_log_takes_nothing_takes_payments_and_redeems_them() {
    // A batch that was hung up on is sent again within half a minute: both at once.
    tokio::join!(pays_and_redeems(full_disk()), pays_and_redeems(pipe_without_reader()));
}

async fn pays_and_redeems(log: File) {
    let mut network = network().await;
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let _relay = relay_logging_to(&mut network, log).await;
    let vendor = network.vendor.listens_at();
    network.vendor.stop().await.unwrap();
    let asked = tokio::spawn(hang_up_on_a_batch(vendor));
    wallet.create_queue(queue(&network, "before")).await.unwrap();
    timeout(PATIENCE, asked).await.expect("the redeemer sends").unwrap();
    // The relay warns of it, in vain.
    wallet.create_queue(queue(&network, "after")).await.unwrap();
    network.vendor.start().await.unwrap();
    until_redeemed(&network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_whose_log_takes_nothing_goes_on_when_its_ledger_does() {
    for log in [full_disk(), pipe_without_reader()] {
        let mut network = network().await;
        let wallet = network.funded_wallet("alice", 1).await.unwrap();
        wallet.create_queue(queue(&network, "paid")).await.unwrap();
        network.vendor.stop().await.unwrap();
        let directory = network.issuer_dir();
        let launcher = launcher(&network).with_standard_error(log);
        let mut issuer = launcher.start("issuer", start_in(directory.clone()), None).unwrap();
        issuer.listening().await.unwrap();
        let (ledger, aside) = (directory.join("ledger"), directory.join("aside"));
        std::fs::rename(&ledger, &aside).unwrap();
        std::fs::write(&ledger, "the disk of the ledger is gone").unwrap();
        let relay = network.relays[0].relay().unwrap();
        // No batch is answered as long as the ledger does not grow; the issuer says so, in vain.
        for _ in 0..4 {
            assert_eq!(relay.redeem_now().await.unwrap().unanswered.len(), 1);
            sleep(Duration::from_millis(500)).await;
        }
        std::fs::remove_file(&ledger).unwrap();
        std::fs::rename(&aside, &ledger).unwrap();
        let credited = async {
            while relay.redeem_now().await.unwrap().accepted == 0 {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, credited).await.expect("the issuer lives");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redeemer_that_dies_ends_its_relay_and_the_next_start_redeems() {
    let mut network = network().await;
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    network.relays[0].stop().await.unwrap();
    let (mut log, writer) = std::io::pipe().unwrap();
    let launcher = launcher(&network).with_standard_error(File::from(OwnedFd::from(writer)));
    let arguments = start_in(network.relay_dir("relay-0"));
    let mut relay = launcher.start_faulty("relay", arguments, "redeemer.batch.before").unwrap();
    drop(launcher); // and with it the end of the pipe that is written to
    relay.listening().await.unwrap();
    wallet.create_queue(queue(&network, "paid")).await.unwrap();
    assert_eq!(relay.finish().await.unwrap().code(), Some(1), "for its supervisor to start again");
    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    assert!(said.contains("error: the redeemer ended before the program did"), "{said}");
    assert!(said.contains("a fault of a test"), "the reason is in the log: {said}");
    network.relays[0].start().await.unwrap();
    network.redeem_all().await.unwrap();
    until_redeemed(&network).await;
}
