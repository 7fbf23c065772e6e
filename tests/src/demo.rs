//! The story that `scrip-demo` tells.

mod cast;
mod keep;
mod knowledge;
mod narrator;

use std::path::{Path, PathBuf};

use scrip_protocol::credits::Credits;
use scrip_wallet::{
    FetchOptions, LeaseReport, NewQueue, PutOptions, Stored, Wallet, When, fetch_file,
    send_to_queue,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use self::cast::Cast;
pub use self::knowledge::Knowledge;
use self::narrator::Narrator;
pub use self::narrator::Step;
use crate::Failure;

/// What the demo is told.
pub struct Options {
    /// The file to store.
    pub file: Option<PathBuf>,
    /// Whether nothing is printed.
    pub quiet: bool,
    /// Whether the network stays up.
    pub keep: bool,
}

/// The demo in figures.
#[derive(Serialize)]
pub struct Summary {
    /// Every step.
    pub steps: Vec<Step>,
    /// Bytes of the file that came back as it was.
    pub file_bytes: u64,
    /// What the vendor sold.
    pub credits_issued: Credits,
    /// What operators redeemed.
    pub credits_redeemed: Credits,
    /// What is left in the wallet.
    pub credits_left: Credits,
    /// Certificates that were spent twice, and found.
    pub double_spends_found: u64,
    /// What each party knew at the end.
    pub knowledge: Vec<Knowledge>,
}

/// Bytes of the file that is made where none is given.
const FILE_SIZE: usize = 6 << 20;

/// Tells the story.
///
/// # Errors
/// The first thing that does not go as it should, in words.
pub async fn run(options: Options) -> Result<Summary, Failure> {
    let file = options.file.as_deref().map(readable).transpose()?;
    let mut narrator = Narrator::new(options.quiet);
    let mut cast = open(&mut narrator).await?;
    let alice = cast.wallet("alice").await?;
    buy(&mut narrator, &cast, &alice).await?;
    pass_messages(&mut narrator, &cast, &alice).await?;
    let file = match file {
        Some(path) => path,
        None => make_file(cast.dir())?,
    };
    let (stored, file_bytes) = store_file(&mut narrator, &cast, &alice, &file).await?;
    fetch(&mut narrator, &cast, &stored, &file).await?;
    pay_without_vendor(&mut narrator, &mut cast, &alice).await?;
    redeem(&mut narrator, &mut cast).await?;
    let (alice, double_spends_found) = spend_twice(&mut narrator, &cast, alice).await?;
    let status = cast.vendor.issuer()?.status().await?;
    let balance = alice.balance().await?;
    let credits_left = Credits::total([balance.spendable, balance.ripening]);
    let knowledge = knowledge::of(&cast).await?;
    narrator.table();
    narrator.line(&format!(
        "\nBooks: {} issued, {} redeemed by operators, {} left in alice's wallet.",
        status.credits_issued, status.credits_redeemed, credits_left
    ));
    knowledge::print(&narrator, &knowledge);
    let summary = Summary {
        steps: narrator.into_steps(),
        file_bytes,
        credits_issued: status.credits_issued,
        credits_redeemed: status.credits_redeemed,
        credits_left,
        double_spends_found,
        knowledge,
    };
    drop(alice);
    if options.keep {
        keep::wait(cast, options.quiet).await?
    } else {
        cast.close().await?
    }
    Ok(summary)
}

fn readable(path: &Path) -> Result<PathBuf, Failure> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(path.to_owned()),
        Ok(_) => Err(format!("{} is no file; give --file a file to store", path.display()).into()),
        Err(error) => {
            Err(format!("{} cannot be read: {error}; give --file another", path.display()).into())
        }
    }
}

fn make_file(dir: &Path) -> Result<PathBuf, Failure> {
    let path = dir.join("holiday.bin");
    let bytes: Vec<u8> =
        (0..FILE_SIZE).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&path, bytes)?;
    Ok(path)
}

async fn open(narrator: &mut Narrator) -> Result<Cast, Failure> {
    let step = narrator.begin("A vendor and two operators open");
    let cast = Cast::assemble().await?;
    narrator.say(&format!("vendor  {}", cast.vendor.address()));
    for relay in &cast.relays {
        narrator.say(&format!("relay   {}", relay.address()));
    }
    let keys = cast.vendor.issuer()?.manifest().keys().count();
    narrator.end(step, format!("{keys} denomination keys, 2 relays under contract"));
    Ok(cast)
}

async fn buy(narrator: &mut Narrator, cast: &Cast, alice: &Wallet) -> Result<(), Failure> {
    let step = narrator.begin("Alice buys a pack with a voucher");
    let bought = alice.buy(&cast.voucher().await?).await?;
    narrator.say("the vendor signs blinded messages; Alice unblinds and verifies each");
    narrator.say(
        "each certificate ripens for days before it pays, so that no payment is known by its time; here she pays at once, \
         as `--now` does, and the times would name her",
    );
    let per = step.elapsed() / u32::try_from(bought.certificates.max(1))?;
    narrator.end(
        step,
        format!("{} certificates worth {}, {per:.1?} each", bought.certificates, bought.credits),
    );
    Ok(())
}

async fn pass_messages(
    narrator: &mut Narrator,
    cast: &Cast,
    alice: &Wallet,
) -> Result<(), Failure> {
    let step = narrator.begin("A queue at the first relay; Bob, who has no wallet, sends to it");
    let queue = alice.create_queue(queue_at(cast, 0, "inbox")).await?;
    let texts = ["hello", "is anybody there?", "nobody knows who pays for this queue"];
    let link = queue.link.parse()?;
    for text in texts {
        send_to_queue(&link, text.as_bytes(), &cast.ways(), &cast.environment()).await?;
    }
    let mailbox = alice.mailbox("inbox").await?;
    for text in texts {
        let message = mailbox.next().await?.ok_or("a message did not arrive")?;
        ensure(message.text? == text.as_bytes(), "a message arrived changed")?;
        mailbox.acknowledge(&message.id).await?;
    }
    narrator.end(
        step,
        format!("{} for 30 days, {} messages of 16 KiB passed", queue.paid, texts.len()),
    );
    Ok(())
}

fn queue_at(cast: &Cast, relay: usize, name: &str) -> NewQueue {
    let relay = cast.relays.get(relay).map(|relay| relay.address().clone());
    NewQueue { name: Some(name.into()), relay, days: 30, when: When::Now, ..NewQueue::default() }
}

async fn store_file(
    narrator: &mut Narrator,
    cast: &Cast,
    alice: &Wallet,
    file: &Path,
) -> Result<(Stored, u64), Failure> {
    let step = narrator.begin("Alice stores a file on both relays, encrypted and cut into chunks");
    let relays = cast.relays.iter().map(|relay| relay.address().clone()).collect();
    let options =
        PutOptions { days: 7, copies: 2, relays, when: When::Now, ..PutOptions::default() };
    let stored = alice.put_file(file, options).await?;
    narrator.say(&format!("{} ({} bytes)", stored.name, stored.size));
    narrator.say(&stored.link);
    narrator.end(step, format!("{} × 2 chunks for {}", stored.chunks, stored.paid));
    let size = stored.size;
    Ok((stored, size))
}

async fn fetch(
    narrator: &mut Narrator,
    cast: &Cast,
    stored: &Stored,
    file: &Path,
) -> Result<(), Failure> {
    let step = narrator.begin("Bob fetches it with the link");
    let output = cast.dir().join("fetched");
    let options = FetchOptions { output: output.clone(), overwrite: true };
    fetch_file(&stored.link.parse()?, &options, &cast.ways(), &cast.environment()).await?;
    let (original, copy) = (digest(file)?, digest(&output)?);
    ensure(original == copy, "the file came back changed")?;
    let digest = data_encoding::HEXLOWER.encode(&copy[..8]);
    narrator.end(step, format!("the same byte for byte, SHA-256 {digest}…"));
    Ok(())
}

fn digest(path: &Path) -> Result<[u8; 32], Failure> {
    let (mut file, mut sha) = (std::fs::File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(sha.finalize().into()),
            n => sha.update(&buffer[..n]),
        }
    }
}

async fn pay_without_vendor(
    narrator: &mut Narrator,
    cast: &mut Cast,
    alice: &Wallet,
) -> Result<(), Failure> {
    let step = narrator.begin("The vendor goes down; Alice pays all the same");
    cast.vendor.stop().await?;
    alice.create_queue(queue_at(cast, 1, "second")).await?;
    let redeemed = cast.relays[1].relay()?.redeem_now().await?;
    ensure(
        !redeemed.unanswered.is_empty() && redeemed.accepted == 0,
        "somebody answered for the vendor",
    )?;
    let leases = alice.check_leases(None).await?;
    ensure(leases.iter().all(|lease| lease.live), "a lease ended because the vendor was down")?;
    narrator.end(
        step,
        format!("a queue at the second relay; {} leases live, nothing redeemed", leases.len()),
    );
    Ok(())
}

async fn redeem(narrator: &mut Narrator, cast: &mut Cast) -> Result<(), Failure> {
    let step = narrator.begin("The vendor is back; the relays redeem in shuffled batches");
    cast.vendor.start().await?;
    let mut certificates = 0;
    for relay in &cast.relays {
        certificates += relay.relay()?.redeem_now().await?.accepted;
    }
    let credits = cast.vendor.issuer()?.status().await?.credits_redeemed;
    narrator.end(step, format!("{certificates} certificates worth {credits} accepted, each once"));
    Ok(())
}

/// Alice's wallet is copied, and both copies spend: certificates are chosen the same way, so that the same ones go to
/// both relays.
async fn spend_twice(
    narrator: &mut Narrator,
    cast: &Cast,
    alice: Wallet,
) -> Result<(Wallet, u64), Failure> {
    let step =
        narrator.begin("A copy of Alice's wallet spends the same certificates at the other relay");
    drop(alice);
    let copy = cast.copy_wallet("alice", "mallory").await?;
    let alice = cast.open_wallet("alice").await?;
    let first = alice.create_queue(queue_at(cast, 0, "mine")).await?;
    let second = copy.create_queue(queue_at(cast, 1, "mine-too")).await?;
    narrator.say("both relays provision: each checks offline, and neither can know");
    let redeemed = cast.relays[0].relay()?.redeem_now().await?;
    ensure(redeemed.double_spent == 0, "the first spend was called a double spend")?;
    let found = cast.relays[1].relay()?.redeem_now().await?.double_spent;
    ensure(found > 0, "the second spend was not found")?;
    let lease = lease_of(alice.check_leases(Some(&first.name)).await?)?;
    ensure(lease.live, "the first lease ended")?;
    let lease = lease_of(copy.check_leases(Some(&second.name)).await?)?;
    ensure(!lease.live, "the second lease did not end")?;
    let proven = lease.conflicts.iter().filter(|conflict| conflict.proven).count();
    ensure(proven > 0, "the second lease ended without proof")?;
    narrator.say(
        "the vendor keeps the first, and proves to the second relay that there was one before",
    );
    narrator.end(step, format!("{found} found; first lease lives, second ended, proof verified"));
    Ok((alice, found))
}

fn lease_of(leases: Vec<LeaseReport>) -> Result<LeaseReport, Failure> {
    leases.into_iter().next().ok_or_else(|| "the wallet has no such lease".into())
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
