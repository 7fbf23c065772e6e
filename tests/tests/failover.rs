//! PostgreSQL fails over under two running issuers: to replicas that have everything, and to replicas that lack what was committed last.
//!
//! `SCRIP_FAILOVERS=N` plays N promotions at random moments instead of a few, with `SCRIP_FAILOVERS_SEED=N` at other ones; how many
//! there were, and how they ended, is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use scrip_issuer::store::Doubt;
use scrip_issuer::testing::postgres::Cluster;
use scrip_runtime::clock::SystemClock;
use scrip_runtime::steps::Steps;
use scrip_tests::failover::{Address, World};
use tokio::sync::watch;
use tokio::time::sleep;

/// Promotions that are played where nothing else is said.
const FAILOVERS: u32 = 2;

/// A primary, the address that leads to it, and two issuers.
struct Play {
    primary: Cluster,
    address: Address,
    world: World,
    folder: tempfile::TempDir,
    url: String,
}

impl Play {
    async fn start(what: &str, seed: u64) -> Option<Self> {
        let primary = Cluster::start(what)?;
        let address = Address::of(&primary).unwrap();
        let url = address.url(&primary.database().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(&url, folder.path(), seed).await.unwrap();
        Some(Self { primary, address, world, folder, url })
    }

    fn holds(&self) {
        assert!(self.world.told.violations.is_empty(), "{:#?}", self.world.told.violations);
    }

    /// The primary dies, and the replica takes its place.
    fn fail_over(&self, replica: &Cluster) {
        self.primary.kill().unwrap();
        replica.promote().unwrap();
        self.address.lead_to(replica);
    }

    /// Everything is refused, the one alert says what to do, and doing it is all that is needed.
    async fn stops_until_the_old_primary_is_back(&mut self) {
        assert!(!self.world.settled().await.unwrap(), "both stop");
        self.holds();
        let remedies = self.world.remedies().await.unwrap();
        assert_eq!(remedies.len(), 2, "one alert at each issuer: {remedies:?}");
        assert!(remedies.iter().all(|one| one.contains("the server from before the failover")));
        self.primary.start_again().unwrap();
        self.address.lead_to(&self.primary);
        assert!(self.world.goes_on().await.unwrap(), "they go on by themselves");
        self.holds();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_the_last_redemptions_stops_both_issuers() {
    let Some(mut play) = Play::start("failover", 1).await else { return };
    assert!(play.world.sell_and_redeem().await);
    let replica = play.primary.replica().unwrap();
    play.primary.replicated().unwrap();
    replica.cut_off().unwrap();
    assert!(play.world.sell_and_redeem().await, "acknowledged, and not replicated");
    play.fail_over(&replica);
    play.stops_until_the_old_primary_is_back().await;
}

/// No leaf is missing, so that the ledger alone would not tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_the_last_sale_stops_both_issuers() {
    let Some(mut play) = Play::start("failover without redemptions", 2).await else { return };
    assert!(play.world.sell_and_redeem().await);
    let code = play.world.voucher_at(0).await.unwrap();
    let replica = play.primary.replica().unwrap();
    play.primary.replicated().unwrap();
    replica.cut_off().unwrap();
    // At one issuer alone: the other one has no memory of it.
    assert!(play.world.buy_at(0, &code).await);
    play.fail_over(&replica);
    play.stops_until_the_old_primary_is_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_synchronous_replica_the_issuers_go_on() {
    let Some(mut play) = Play::start("failover with a synchronous replica", 3).await else {
        return;
    };
    let replica = play.primary.replica().unwrap();
    play.primary.wait_for_replicas().unwrap();
    assert!(play.world.sell_and_redeem().await);
    play.fail_over(&replica);
    assert!(play.world.goes_on().await.unwrap(), "they go on");
    play.holds();
}

/// Nobody who ran all the time is left: an issuer that starts asks whether the promoted server has everything.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_starts_after_a_promotion_waits_for_its_operator() {
    let Some(mut play) = Play::start("a start after a promotion", 4).await else { return };
    assert!(play.world.sell_and_redeem().await);
    // A running issuer leaves within a second where the database is.
    let left = play.folder.path().join("ledger/database");
    while !left.exists() {
        sleep(Duration::from_millis(20)).await;
    }
    for issuer in play.world.issuers() {
        issuer.stop().await.unwrap();
    }
    let replica = play.primary.replica().unwrap();
    play.primary.replicated().unwrap();
    play.fail_over(&replica);
    for issuer in play.world.issuers() {
        issuer.start().await.unwrap();
        let doubt = issuer.issuer().unwrap().doubt();
        assert!(matches!(doubt, Some(Doubt::OtherServer { .. })), "{doubt:?}");
    }
    assert!(!play.world.settled().await.unwrap());
    let remedies = play.world.remedies().await.unwrap();
    assert!(remedies.iter().all(|one| one.contains("`scrip-issuer database accept`")));

    let ledger = play.folder.path().join("ledger");
    let toml = format!("database = \"{}\"\n[ledger]\nstore = \"{}\"\n", play.url, ledger.display());
    std::fs::write(play.folder.path().join("issuer.toml"), toml).unwrap();
    let args: Vec<OsString> = ["scrip-issuer".into(), "--dir".into(), play.folder.path().into()]
        .into_iter()
        .chain(["database", "accept"].map(OsString::from))
        .collect();
    let accept = move || {
        scrip_issuer::cli::main_with(args, Vec::new(), Arc::new(SystemClock), Steps::none())
    };
    assert_eq!(tokio::task::spawn_blocking(accept).await.unwrap(), ExitCode::SUCCESS);
    assert!(play.world.goes_on().await.unwrap(), "they go on by themselves");
    play.holds();
}

/// The server's default would lose what was committed in the last moments.
#[tokio::test(flavor = "multi_thread")]
async fn commits_survive_a_crash_whatever_the_servers_default() {
    let Some(mut play) = Play::start("synchronous_commit = off", 5).await else { return };
    for default in ["synchronous_commit = off", "wal_writer_delay = 10s"] {
        play.primary.configure(default).unwrap();
    }
    for _ in 0..3 {
        assert!(play.world.sell_and_redeem().await);
        play.primary.kill().unwrap();
        play.primary.start_again().unwrap();
        play.address.lead_to(&play.primary);
        assert!(play.world.goes_on().await.unwrap(), "nothing is missing");
        play.holds();
    }
}

/// How promotions ended.
#[derive(Default)]
struct Ended {
    synchronous: u32,
    went_on: u32,
    stopped: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn promotions_at_random_moments_neither_fork_nor_credit_twice() {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse::<u32>().ok());
    let wanted = number("SCRIP_FAILOVERS").unwrap_or(FAILOVERS);
    let seed = u64::from(number("SCRIP_FAILOVERS_SEED").unwrap_or(6));
    let Some(mut play) = Play::start("promotions at random moments", seed).await else { return };
    let (mut rng, mut ended) = (ChaCha20Rng::seed_from_u64(seed), Ended::default());
    for number in 0..wanted {
        play = promote_at_random(play, number, &mut rng, &mut ended).await;
        if number % 20 == 19 {
            eprintln!("{} promotions: {}", number + 1, summary(&play, &ended));
        }
    }
    println!("{wanted} promotions: {}", summary(&play, &ended));
    play.holds();
}

fn summary(play: &Play, ended: &Ended) -> String {
    let (trees, certificates, vouchers) = play.world.told.counts();
    format!(
        "{} to synchronous replicas, which went on; of the others {} had everything and went on, {} lacked something and stopped; \
         {} outcomes, {trees} signed trees, {certificates} certificates credited, {vouchers} vouchers used; no fork, nothing twice",
        ended.synchronous, ended.went_on, ended.stopped, play.world.told.outcomes
    )
}

async fn promote_at_random(
    mut play: Play,
    number: u32,
    rng: &mut ChaCha20Rng,
    ended: &mut Ended,
) -> Play {
    let synchronous = number.is_multiple_of(2);
    let cut = !synchronous && !rng.next_u32().is_multiple_of(3);
    let replica = play.primary.replica().unwrap();
    if synchronous {
        play.primary.wait_for_replicas().unwrap();
    }
    let (stop, stopped) = watch::channel(false);
    let Play { primary, address, world, folder, url } = play;
    let traffic = tokio::spawn(world.traffic(stopped));
    let mut moment = |most: u32| Duration::from_millis(u64::from(100 + rng.next_u32() % most));
    sleep(moment(500)).await;
    if cut {
        replica.cut_off().unwrap();
        sleep(moment(400)).await;
    }
    primary.kill().unwrap();
    replica.promote().unwrap();
    address.lead_to(&replica);
    sleep(moment(300)).await;
    stop.send_replace(true);
    let world = traffic.await.unwrap();
    play = Play { primary, address, world, folder, url };
    let goes_on = play.world.settled().await.unwrap();
    play.holds();
    match (synchronous, goes_on) {
        (true, true) => ended.synchronous += 1,
        (true, false) => panic!("a synchronous replica has everything: {number}"),
        (false, true) => ended.went_on += 1,
        (false, false) => ended.stopped += 1,
    }
    if goes_on {
        play.primary = replica;
    } else {
        play.stops_until_the_old_primary_is_back().await;
        play.primary.wait_for_nobody().unwrap();
    }
    play
}
