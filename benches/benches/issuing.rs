//! What it costs the issuer to issue a pack of 64 certificates over HTTP, with its database on SQLite: CPU time of its process, against
//! that of 64 raw signatures. Exits with 1 where that is above the limit.
//!
//! The issuer runs as a process of its own (this program again, as `scrip-issuer`), so that nothing of the client is counted. Its CPU
//! time is what the kernel accounts to it, also for writing to the disk.
#![allow(missing_docs, clippy::unwrap_used)]

use std::ffi::OsString;
use std::hint::black_box;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use scrip_benches::fixture::private_key;
use scrip_issuer::signer::Operations;
use scrip_protocol::address::VendorAddress;
use scrip_protocol::credits::Exponent;
use scrip_protocol::issuance::{Blinding, IssuanceRequest};
use scrip_protocol::limits::RSA;
use scrip_protocol::manifest::{KeyUse, Manifest};
use scrip_protocol::purchase::GrantRequest;
use scrip_protocol::seed::{Counter, GrantSecret, WalletSeed};
use scrip_protocol::time::UnixSeconds;
use scrip_runtime::clock::{Clock, SystemClock};
use scrip_runtime::config::environment;
use scrip_runtime::steps::Steps;
use scrip_wallet::Entropy;
use scrip_wallet::net::{Network, NetworkOptions, VendorClient};

const PACK: u16 = 64;
/// Rounds of raw signatures and packs in turn.
const ROUNDS: u32 = 8;
/// Packs of a round: long enough for the kernel's ticks of 10 ms.
const PACKS: u32 = 12;
const LIMIT: f64 = 1.3;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    if args.next().is_some_and(|first| first == "issuer") {
        let args = std::iter::once(program).chain(args).collect();
        let env = environment().collect();
        return scrip_issuer::cli::main_with(args, env, Arc::new(SystemClock), Steps::none());
    }
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::start(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (raw, ours) = runtime.block_on(measure(&issuer));
    let ratio = ours.as_secs_f64() / raw.as_secs_f64();
    let per_pack = |time: Duration| time / (ROUNDS * PACKS);
    println!(
        "pack of 64 over HTTP, SQLite: {:.1?} of CPU, 64 raw signatures {:.1?}, ratio {ratio:.3}, limit {LIMIT}",
        per_pack(ours),
        per_pack(raw)
    );
    if ratio <= LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure(issuer: &Issuer) -> (Duration, Duration) {
    let key = private_key();
    let mut signature = [0; RSA];
    let (mut raw, mut ours) = (Duration::ZERO, Duration::ZERO);
    let address: VendorAddress = issuer.run(&["address"]).trim().parse().unwrap();
    let entropy = Entropy::new(ChaCha8Rng::seed_from_u64(1));
    let vendor = Network::new(NetworkOptions::default(), entropy).vendor(&address).unwrap();
    let manifest = Manifest::open(&vendor.manifest().await.unwrap(), &address.id).unwrap();
    for round in 0..ROUNDS {
        let before = cpu_time("self");
        for _ in 0..PACKS * u32::from(PACK) {
            key.private(black_box(&[0x42; RSA]), &mut signature).unwrap();
        }
        raw += cpu_time("self") - before;

        let codes = issuer.vouchers();
        let mut prepared = Vec::new();
        for (index, code) in (round * PACKS..).zip(codes) {
            prepared.push(prepare(&vendor, &manifest, index, code).await);
        }
        let before = cpu_time(&issuer.child.id().to_string());
        for (secret, request) in prepared {
            let answer = vendor.issue(&secret, request).await.unwrap();
            assert_eq!(answer.items.len(), usize::from(PACK));
        }
        ours += cpu_time(&issuer.child.id().to_string()) - before;
    }
    (raw, ours)
}

/// A grant, and the request for its pack.
async fn prepare(
    vendor: &VendorClient,
    manifest: &Manifest,
    index: u32,
    code: String,
) -> (GrantSecret, Vec<u8>) {
    let seed = WalletSeed::from_bytes([7; 32]);
    let secret = seed.grant_secret(&manifest.vendor_id(), index);
    vendor.create_grant(&secret, &GrantRequest::Voucher { code }).await.unwrap();
    let now: UnixSeconds = SystemClock.now();
    let key = manifest.issuing(KeyUse::Production, Exponent::new(2).unwrap(), now).unwrap();
    let item = |position| {
        let counter = Counter::new(index, position);
        Blinding::start(&seed, manifest, key, counter).unwrap().item().clone()
    };
    (secret, IssuanceRequest { items: (0..PACK).map(item).collect() }.encode())
}

/// CPU time of a process, in user and kernel mode, as the kernel accounts it: in ticks of 10 ms (proc(5)).
fn cpu_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The program's name is in parentheses and may hold anything; the times are the 12th and 13th field after it.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

struct Issuer {
    dir: OsString,
    child: Child,
}

impl Issuer {
    /// A vendor that sells packs of 64, running.
    fn start(dir: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dir = dir.join("issuer").into_os_string();
        let mut init = command(&dir);
        init.args(["init", "--listen", &address.to_string()]);
        assert!(init.stdout(Stdio::null()).status().unwrap().success());
        let file = Path::new(&dir).join(scrip_issuer::config::FILE_NAME);
        let mut text = std::fs::read_to_string(&file).unwrap();
        text += "\n[products.bench]\npack = { 2 = 64 }\n";
        std::fs::write(&file, text).unwrap();
        let child = command(&dir).arg("start").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap();
        for _ in 0..600 {
            if std::net::TcpStream::connect(address).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Self { dir, child }
    }

    fn run(&self, args: &[&str]) -> String {
        let output = command(&self.dir).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn vouchers(&self) -> Vec<String> {
        let count = PACKS.to_string();
        let made =
            self.run(&["--json", "voucher", "create", "--product", "bench", "--count", &count]);
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        let codes = made["codes"].as_array().unwrap().iter();
        codes.map(|code| code.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &OsString) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("issuer").arg("--dir").arg(dir).env("SCRIP_ISSUER_PASSPHRASE", "bench");
    command
}
