//! The arguments.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use scrip_protocol::{
    keys::PublicKey,
    ledger::{Currency, Money, Share},
    manifest::Classes,
};

use crate::{
    admin::access::DEFAULT_VALID_DAYS as DEFAULT_VALID_DAYS_OF_TOKENS,
    ledger::auditors::DEFAULT_VALID_DAYS as DEFAULT_VALID_DAYS_OF_AUDITORS,
    vouchers::DEFAULT_VALID_DAYS,
};

/// Sells packs of certificates, signs them blindly, accepts redemptions and detects double spends.
#[derive(Debug, Parser)]
#[command(
    name = "scrip-issuer",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration."
)]
pub(super) struct Arguments {
    /// The data directory, with issuer.toml in it.
    #[arg(long, global = true, value_name = "DIR", default_value = "issuer-data")]
    pub(super) dir: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a vendor: its keys, its database and its configuration.
    Init(InitArguments),
    /// Serve wallets and relays until SIGTERM or Ctrl-C.
    Start,
    /// Make, list and cancel vouchers.
    #[command(subcommand)]
    Voucher(VoucherCommand),
    /// Mark a purchase as refunded: what was not signed yet is not signed any more. The money is given back where it was
    /// taken; places that tell of refunds by themselves need no command.
    Refund(RefundArguments),
    /// Add and list operators, and conclude contracts with them.
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Make, show and export what operators earned and owe.
    #[command(subcommand)]
    Statement(StatementCommand),
    /// Show, rotate and revoke the denomination keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show what was issued and redeemed.
    Status,
    /// Show the vendor's address.
    Address,
    /// Show what is believed of the time, and say that the clock is right.
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Let people in to the page /admin, and out.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Let auditors read the whole ledger.
    #[command(subcommand)]
    Auditor(AuditorCommand),
    /// Show how far the ledger is, and check it.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Say that a database that was moved or restored has everything.
    #[command(subcommand)]
    Database(DatabaseCommand),
    /// Show what was done by whom.
    Log {
        /// How many of the newest entries.
        #[arg(long, value_name = "N", default_value_t = 50)]
        last: u16,
    },
}

#[derive(Args, Debug)]
pub(super) struct InitArguments {
    /// Where to listen [default: 127.0.0.1:7400].
    #[arg(long, value_name = "IP:PORT")]
    pub(super) listen: Option<SocketAddr>,
    /// sqlite://PATH or postgres://… [default: issuer.db in the data directory].
    #[arg(long, value_name = "URL")]
    pub(super) database: Option<String>,
    /// The issuer name in every certificate's challenge; can never be changed [default: the public host and port].
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Where wallets and relays reach the issuer [default: where it listens].
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(super) public_authority: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum VoucherCommand {
    /// Make vouchers and print their codes, which are stored nowhere.
    Create {
        /// What they buy.
        #[arg(long, value_name = "NAME")]
        product: String,
        /// How many.
        #[arg(long, value_name = "N")]
        count: u32,
        /// For how many days they can be used.
        #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_VALID_DAYS)]
        valid_days: u32,
        /// The operator that sells them on the vendor's behalf, and pays its contract's resale price for each credit.
        #[arg(long, value_name = "NAME")]
        operator: Option<String>,
        /// How the codes are written; `--json` is `--format json`.
        #[arg(long, value_enum, default_value_t = VoucherFormat::Text)]
        format: VoucherFormat,
        /// Write the codes to a new file that nobody else can read, and not to the output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the batches, with how many of each were used.
    List,
    /// Cancel the vouchers of a batch that were not used.
    Cancel {
        /// The batch's number.
        #[arg(long, value_name = "N")]
        batch: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum VoucherFormat {
    /// One code on a line.
    Text,
    /// Comma-separated values, with a head.
    Csv,
    /// One object.
    Json,
}

#[derive(Args, Debug)]
pub(super) struct RefundArguments {
    /// Where it was bought: apple, google, voucher and so on.
    #[arg(long, value_name = "NAME")]
    pub(super) source: String,
    /// The purchase, as the place calls it; for a voucher its code.
    #[arg(long, value_name = "ID")]
    pub(super) transaction: String,
    /// Take a refund back.
    #[arg(long)]
    pub(super) reverse: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum OperatorCommand {
    /// Accept redemptions from an operator.
    Add {
        /// What to call it.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Its public key, as `scrip-relay init` prints it.
        #[arg(long, value_name = "KEY")]
        key: PublicKey,
        #[command(flatten)]
        listed: ListedArguments,
    },
    /// Set where an operator's relay is: wallets learn it from the manifest. Without an address it is listed no more, and can redeem
    /// all the same.
    Address {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        listed: ListedArguments,
    },
    /// List the operators.
    List,
    /// Conclude terms with an operator, in force for everything of it that comes after them in the ledger. The passphrase is not needed.
    Contract {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// What amounts are in, such as EUR; needed for the first contract, and never changed.
        #[arg(long, value_name = "CURRENCY")]
        currency: Option<Currency>,
        /// The price of a credit, such as 0.002; at most six digits after the point.
        #[arg(long, value_name = "AMOUNT")]
        price: Money,
        /// The operator's part of the price for each credit that it redeems.
        #[arg(long, value_name = "PERCENT%")]
        share: Share,
        /// What the operator pays for a credit that it sold by vouchers.
        #[arg(long, value_name = "AMOUNT", default_value = "0")]
        resale_price: Money,
    },
    /// List the contracts.
    Contracts {
        /// Of this operator alone.
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
}

/// What the manifest says of an operator besides its name and key.
#[derive(Args, Debug)]
pub(super) struct ListedArguments {
    /// Where its relay is; may be repeated, the best address first.
    #[arg(long = "address", value_name = "HOST[:PORT]")]
    pub(super) addresses: Vec<String>,
    /// What its relay serves.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Served::Queues, Served::Chunks])]
    pub(super) serves: Vec<Served>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Served {
    Queues,
    Chunks,
}

impl ListedArguments {
    pub(super) fn classes(&self) -> Classes {
        Classes {
            queues: self.serves.contains(&Served::Queues),
            chunks: self.serves.contains(&Served::Chunks),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum StatementCommand {
    /// Make the next statement: everything of an operator that is in the ledger and in no statement yet. Needs the passphrase.
    Make {
        /// Of this operator.
        #[arg(long, value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
        operator: Option<String>,
        /// Of every operator with a contract.
        #[arg(long)]
        all: bool,
    },
    /// List the statements.
    List {
        /// Of this operator alone.
        #[arg(long, value_name = "NAME")]
        operator: Option<String>,
    },
    /// Show a statement.
    Show {
        /// The operator.
        #[arg(long, value_name = "NAME")]
        operator: String,
        /// The statement's number [default: the last one].
        #[arg(long, value_name = "N")]
        number: Option<u32>,
    },
    /// Write statements for other programs.
    Export {
        /// Of this operator alone.
        #[arg(long, value_name = "NAME")]
        operator: Option<String>,
        /// How; `--json` is `--format json`.
        #[arg(long, value_enum, default_value_t = StatementFormat::Csv)]
        format: StatementFormat,
        /// Write to this file, and not to the output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Agree an amount that the next statement has besides: above nothing in favour of the operator.
    Adjust {
        /// The operator.
        #[arg(value_name = "NAME")]
        operator: String,
        /// Such as -3.50.
        #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
        amount: Money,
        /// Why; the operator reads it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StatementFormat {
    /// Comma-separated values, with a head.
    Csv,
    /// One object.
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum AdminCommand {
    /// Make, list and revoke the tokens that one logs in with.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print it; it is stored nowhere. While there is none, /admin is off.
    Create {
        /// Whose it is: the name under which the log has what is done with it.
        #[arg(long, value_name = "NAME", default_value = "admin")]
        name: String,
        /// For how many days one can log in with it.
        #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_VALID_DAYS_OF_TOKENS)]
        valid_days: u32,
    },
    /// List the tokens.
    List,
    /// Revoke a token and end its sessions.
    Revoke {
        /// Its name.
        #[arg(long, value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditorCommand {
    /// Add an auditor and print its token; it is stored nowhere.
    Add {
        /// Who it is: the name under which the log has it.
        #[arg(value_name = "NAME")]
        name: String,
        /// For how many days the token is good.
        #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_VALID_DAYS_OF_AUDITORS)]
        valid_days: u32,
    },
    /// List the auditors.
    List,
    /// Revoke an auditor's token.
    Revoke {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Print the verifier key of the ledger, which a witness and a mirror must be given.
    Key,
    /// Show how many leaves there are, how many can be read, and what is in line.
    Status,
    /// Hash every leaf again, from the files alone, and compare every tile and the root with the checkpoint.
    Verify,
    /// Publish a proof that the books add up, which everybody can check without learning how much was sold. An issuer that runs does so
    /// once a day.
    Prove,
}

#[derive(Debug, Subcommand)]
pub(super) enum DatabaseCommand {
    /// Say that the database, on a server that was promoted or restored, has everything that the one before had committed. Issuers go
    /// on then. It is refused where the ledger's storage shows that something is missing.
    Accept {
        /// Accept that sales, vouchers and renewals of the last moments are lost, where nothing is lost of the ledger: what was bought
        /// then may be bought again with the same payment, which is your loss. Stop all issuers before it.
        #[arg(long)]
        with_losses: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ClockCommand {
    /// Show what the clock shows, and which time is believed.
    Show,
    /// Say that the clock of this machine is right. What waited because it was in doubt goes on within a minute.
    Confirm {
        /// Today in UTC, such as 2026-01-31: what the clock has to show as well.
        #[arg(value_name = "DATE")]
        day: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the epochs with their windows, and what comes next.
    List,
    /// Let the next epoch issue from now on, and the present one no longer. Running issuers follow within seconds.
    Rotate,
    /// Let a new receipt key sign outcomes, statements and checkpoints from now on. The one before endorses it and stays in the
    /// manifest, so that what it signed stays proven. Relays and wallets show the change. Running issuers follow within seconds.
    Receipt,
    /// End the issuing and the spending of an epoch at once, as after a theft of its keys: the certificates that users
    /// hold of it become worthless. What operators took before can still be redeemed.
    Revoke {
        /// The epoch's number.
        #[arg(long, value_name = "N")]
        epoch: u32,
    },
}
