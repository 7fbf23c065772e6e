//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use scrip_protocol::{
    address::{RelayAddress, VendorAddress},
    purchase::OrderId,
    tlog::note::{KeyName, VerifierKey},
};

use crate::{
    Pace, Privacy,
    net::{ListSource, ProxySetting},
};

/// Buys resource certificates and spends them on queues and files at relays.
#[derive(Parser)]
#[command(
    name = "scrip",
    version,
    after_help = "\
The passphrase is read from the file that SCRIP_PASSPHRASE_FILE names, from SCRIP_PASSPHRASE, or from the terminal.

Exit codes: 0 it worked, 1 it failed, 2 the arguments or the passphrase must be corrected, 3 the wallet cannot pay,
4 something is still open and `scrip resume` finishes it."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Args)]
pub(super) struct Common {
    /// The wallet's directory [default: $SCRIP_WALLET, else scrip in the user's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) wallet: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// The proxy for buying and for spending: tor://host:port or socks5h://host:port, to which every purchase and every
    /// resource comes under a name of its own, so that Tor gives it a circuit of its own; socks5h://@host:port for a proxy
    /// that takes no names
    #[arg(long, global = true, value_name = "URL")]
    pub(super) proxy: Option<ProxySetting>,
    /// The proxy on the way to the vendor
    #[arg(long, global = true, value_name = "URL")]
    pub(super) proxy_buy: Option<ProxySetting>,
    /// The proxy on the way to relays
    #[arg(long, global = true, value_name = "URL")]
    pub(super) proxy_spend: Option<ProxySetting>,
    /// PEM certificates to trust besides the system's [default: $SCRIP_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// Also spend certificates that are in doubt since a restore
    #[arg(long, global = true)]
    pub(super) spend_doubtful: bool,
    /// Also pay with certificates that another relay saw and refused: both relays together can tell that one wallet paid them
    #[arg(long, global = true)]
    pub(super) even_seen: bool,
    /// Pay with certificates of test purchases, and no others: only relays that are run for tests take them
    #[arg(long, global = true)]
    pub(super) test: bool,
    /// Pay far more than the price where the wallet has no smaller certificates
    #[arg(long, global = true)]
    pub(super) accept_excess: bool,
    /// Keep no distance in time: also spend certificates that are not ripe, and let nothing wait; the command says what that shows
    #[arg(long, global = true)]
    pub(super) now: bool,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a wallet and show its 24 words, once
    Init(InitArguments),
    /// Make a wallet from 24 words, or from a backup, and find its certificates again
    Restore(RestoreArguments),
    /// Write everything to one file, sealed under the passphrase
    Backup {
        /// The file
        file: PathBuf,
        /// Replace a file that exists
        #[arg(long)]
        force: bool,
    },
    /// Show the settings, or store those given: --proxy, --proxy-buy, --proxy-spend, --agreement
    Settings(SettingsArguments),
    /// Relays that this wallet uses
    #[command(subcommand)]
    Relay(RelayCommand),
    /// Witnesses of the vendor's ledger: the wallet buys only under a manifest for which enough of them stand
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// The vendor's manifest, as the wallet has it; with --now it asks relays for it
    Manifest,
    /// Buy certificates
    Buy(BuyArguments),
    /// What the vendor sells
    Offer,
    /// Order a product that is paid elsewhere, or list the open orders
    Order(OrderArguments),
    /// What the wallet is worth
    Balance,
    /// Message queues
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Store a file and print the link that fetches it
    Put(PutArguments),
    /// Fetch a file by its link; needs no wallet
    Get(GetArguments),
    /// The files that this wallet stored, with their links
    Files,
    /// What was paid for, and until when
    Leases(LeasesArguments),
    /// Pay for more time
    Extend(ExtendArguments),
    /// What was bought and spent
    History,
    /// Say what is open or broken and what to do; exit code 0 where nothing has to be done, else 1
    Doctor(DoctorArguments),
    /// Go on with what was begun and not finished, one thing after the other; with --now, all of it at once
    Resume,
    /// Show how many certificates are to be exchanged for new ones, which `scrip balance` and the like do one by one; with --now, exchange them at once
    Renew,
    /// Look for certificates that are in doubt since a restore in the vendor's lists of what was spent or renewed
    Check(CheckArguments),
    /// What the vendor signed about renewals that it refused and used, or certificates that it said were spent: `scrip-auditor audit
    /// --refusals` judges it. Whoever gets it sees that these certificates were one wallet's
    Evidence {
        /// Every refusal of a renewal too, whether or not it was kept
        #[arg(long)]
        all: bool,
        /// Write one file for each to this directory, instead of standard output
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Say with what the wallet buys by itself when its stock runs low, or set that
    Restock(RestockArguments),
    /// Do the next thing that is due, if anything is: for a timer, every ten minutes or so
    Tend,
    /// Show how far apart in time the wallet keeps what it does, or set it: off, normal, high
    Privacy {
        /// The level
        level: Option<Privacy>,
    },
}

#[derive(Args)]
pub(super) struct InitArguments {
    /// The vendor to buy from: scrip://…@host
    #[arg(long, value_name = "ADDRESS")]
    pub(super) vendor: VendorAddress,
    /// Write the words to this new file instead of showing them
    #[arg(long, value_name = "FILE")]
    pub(super) words_file: Option<PathBuf>,
    /// How far apart in time the wallet keeps what it does: off, normal, high
    #[arg(long, value_name = "LEVEL", default_value_t)]
    pub(super) privacy: Privacy,
    #[command(flatten)]
    pub(super) witnesses: WitnessArguments,
}

/// Who must stand for a manifest before anything is bought under it.
#[derive(Args)]
pub(super) struct WitnessArguments {
    /// The key of a witness of the vendor's ledger, as its operator publishes it; once for each
    #[arg(long, value_name = "KEY")]
    pub(super) witness: Vec<VerifierKey>,
    /// How many of the witnesses must have cosigned [default: more than half]
    #[arg(long, value_name = "N")]
    pub(super) quorum: Option<usize>,
}

#[derive(Subcommand)]
pub(super) enum WitnessCommand {
    /// Name witnesses
    Add {
        #[command(flatten)]
        witnesses: WitnessArguments,
    },
    /// Those that are named
    List,
    /// Do not demand one any more
    Remove {
        /// Its name
        name: KeyName,
        /// How many of the others must have cosigned [default: more than half]
        #[arg(long, value_name = "N")]
        quorum: Option<usize>,
    },
}

#[derive(Args)]
pub(super) struct RestoreArguments {
    /// The vendor that the lost wallet bought from: scrip://…@host
    #[arg(long, value_name = "ADDRESS", required_unless_present = "backup")]
    pub(super) vendor: Option<VendorAddress>,
    /// Read this backup, which opens with its passphrase; no words are needed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vendor", "words_file", "gap_limit"])]
    pub(super) backup: Option<PathBuf>,
    /// Read the words from this file instead of standard input
    #[arg(long, value_name = "FILE")]
    pub(super) words_file: Option<PathBuf>,
    /// How many unknown purchases in a row end the search
    #[arg(long, value_name = "N", default_value_t = crate::Wallet::GAP_LIMIT)]
    pub(super) gap_limit: u32,
    /// How far apart in time the wallet keeps what it does: off, normal, high
    #[arg(long, value_name = "LEVEL", default_value_t, conflicts_with = "backup")]
    pub(super) privacy: Privacy,
    /// Ask for all purchases in a row: the vendor sees that they are one wallet's
    #[arg(long)]
    pub(super) fast: bool,
    #[command(flatten)]
    pub(super) witnesses: WitnessArguments,
}

#[derive(Args)]
pub(super) struct CheckArguments {
    /// Take the lists from a copy of the vendor's ledger instead of the vendor
    #[arg(long, value_name = "DIR|URL")]
    pub(super) voided: Option<ListSource>,
    /// Get whole lists, also where they are large
    #[arg(long)]
    pub(super) whole: bool,
}

/// What was paid with. One of them; an order can be named beside a purchase in an app store.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(super) struct BuyArguments {
    /// A voucher: what it buys, a colon, and its code; `-` reads it from standard input
    #[arg(long, value_name = "PRODUCT:CODE", conflicts_with_all = ["apple", "google", "order", "free"])]
    pub(super) voucher: Option<String>,
    /// A file with the signed transaction of a purchase in Apple's App Store
    #[arg(long, value_name = "FILE", conflicts_with_all = ["google", "free"])]
    pub(super) apple: Option<PathBuf>,
    /// A purchase in Google Play: the product's id there, a colon, and the purchase token
    #[arg(long, value_name = "PRODUCT:TOKEN", conflicts_with = "free")]
    pub(super) google: Option<String>,
    /// An order that was paid
    #[arg(long, value_name = "ORDER", conflicts_with = "free")]
    pub(super) order: Option<OrderId>,
    /// The vendor's free allowance of this period
    #[arg(long)]
    pub(super) free: bool,
    /// How many of the product were paid for at once, where the place of the purchase let you choose
    #[arg(long, value_name = "N", conflicts_with_all = ["voucher", "free"])]
    pub(super) quantity: Option<u16>,
}

#[derive(Args)]
pub(super) struct RestockArguments {
    /// Credits that the wallet keeps at least [default: what the last 30 days used]
    #[arg(long, value_name = "N")]
    pub(super) below: Option<u64>,
    /// A voucher's code to buy with when that is due; `-` reads it from standard input
    #[arg(long, value_name = "CODE")]
    pub(super) voucher: Vec<String>,
    /// Take the vendor's free allowance
    #[arg(long)]
    pub(super) free: bool,
    /// Buy nothing by itself, and forget the vouchers
    #[arg(long, conflicts_with_all = ["below", "voucher", "free"])]
    pub(super) off: bool,
}

#[derive(Args)]
pub(super) struct OrderArguments {
    /// What to order
    #[arg(long, value_name = "NAME")]
    pub(super) product: Option<String>,
    /// Forget an order that will not be paid
    #[arg(long, value_name = "ORDER", conflicts_with = "product")]
    pub(super) forget: Option<OrderId>,
}

#[derive(Args)]
pub(super) struct DoctorArguments {
    /// Repair what can be repaired: this calls the vendor and the relays, as `scrip resume` does
    #[arg(long)]
    pub(super) repair: bool,
}

#[derive(Args)]
pub(super) struct SettingsArguments {
    /// Use no proxies
    #[arg(long)]
    pub(super) direct: bool,
    /// Relays of how many operators must hand out the vendor's manifest before anything is bought under it, where no witnesses
    /// are named [at first: 2]
    #[arg(long, value_name = "N")]
    pub(super) agreement: Option<u8>,
}

#[derive(Subcommand)]
pub(super) enum RelayCommand {
    /// Add a relay: scrip-relay://…@host
    Add {
        /// The relay's address
        address: RelayAddress,
    },
    /// Relays with their prices
    List,
    /// Forget a relay; leases there stay
    Remove {
        /// Its address, host, name, or the beginning of its id
        #[arg(allow_hyphen_values = true)]
        relay: String,
    },
    /// Pay a relay again that redeemed what it had refused
    Forgive {
        /// Its address, host, name, or the beginning of its id
        #[arg(allow_hyphen_values = true)]
        relay: String,
    },
    /// What shows to others that a relay redeemed what it had refused: `scrip-auditor audit --refusals` judges it
    Evidence {
        /// Its address, host, name, or the beginning of its id
        #[arg(allow_hyphen_values = true)]
        relay: String,
        /// Write one file for each payment to this directory, instead of standard output
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(super) enum QueueCommand {
    /// Pay for a queue and print the link for those who send to it
    Create(QueueCreateArguments),
    /// Send a message; needs no wallet
    Send {
        /// The queue's link
        link: String,
        /// The message; from standard input where it is missing or `-`
        #[arg(allow_hyphen_values = true)]
        text: Option<String>,
    },
    /// Read the oldest message and take it out of the queue
    Receive {
        /// The queue's name, or the beginning of its lease
        #[arg(allow_hyphen_values = true)]
        queue: String,
        /// Read until the queue is empty
        #[arg(long)]
        all: bool,
    },
    /// End a queue's lease
    Delete {
        /// The queue's name, or the beginning of its lease
        #[arg(allow_hyphen_values = true)]
        queue: String,
    },
    /// Queues with their links
    List,
}

#[derive(Args)]
pub(super) struct QueueCreateArguments {
    /// Its name in this wallet
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The relay: its address, host, name, or the beginning of its id [default: the cheapest]
    #[arg(long, allow_hyphen_values = true)]
    pub(super) relay: Option<String>,
    /// For how many days
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(super) days: u16,
}

#[derive(Args)]
pub(super) struct PutArguments {
    /// The file
    pub(super) file: PathBuf,
    /// For how many days
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(super) days: u16,
    /// On how many relays [default: 2, or 1 where the wallet knows one relay]
    #[arg(long, value_name = "K")]
    pub(super) copies: Option<u8>,
    /// A relay to use, once for each copy [default: the cheapest]
    #[arg(long, allow_hyphen_values = true)]
    pub(super) relay: Vec<String>,
    /// How the chunks come to one relay: together, over one connection, or apart, each at a time of its own
    #[arg(long, default_value_t)]
    pub(super) pace: Pace,
}

#[derive(Args)]
pub(super) struct GetArguments {
    /// The file's link
    pub(super) link: String,
    /// Where to write it: a file, or a directory in which it keeps its name
    #[arg(short, long, value_name = "FILE", default_value = ".")]
    pub(super) output: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Args)]
pub(super) struct LeasesArguments {
    /// A queue's name, a file's name or id, or the beginning of a lease [default: all]
    #[arg(allow_hyphen_values = true)]
    pub(super) lease: Option<String>,
    /// Ask one relay of them: the one that was asked the longest ago
    #[arg(long)]
    pub(super) check: bool,
    /// With --check: ask this relay [default: the one that was asked the longest ago]
    #[arg(long, requires = "check", conflicts_with = "all", allow_hyphen_values = true)]
    pub(super) relay: Option<String>,
    /// With --check: ask all relays at once, which shows whoever compares that these leases are one wallet's
    #[arg(long, requires = "check")]
    pub(super) all: bool,
}

#[derive(Args)]
pub(super) struct ExtendArguments {
    /// A queue's name, a file's name or id, or the beginning of a lease
    #[arg(allow_hyphen_values = true)]
    pub(super) lease: String,
    /// How many days more
    #[arg(long, value_name = "N")]
    pub(super) days: u16,
}
