//! Making a wallet, and what it works with.

use std::io::Read;

use scrip_protocol::{
    address::RelayAddress, seed::WalletSeed, time::SECONDS_PER_DAY, tlog::policy::WitnessPolicy,
};
use scrip_runtime::{files::write_new_private, sealed::SealParams};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    arguments::{InitArguments, RestoreArguments, SettingsArguments},
    care::restored_lines,
    error::CliError,
    manifest,
    output::{counted, note, printable, table},
    session::Session,
    ways,
};
use crate::{NewWallet, Privacy, RelayReport, StoreError, Wallet, WalletError, words};

#[derive(Serialize)]
struct Made<'a> {
    wallet: String,
    vendor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words_file: Option<String>,
}

pub(super) async fn init(session: &Session, arguments: InitArguments) -> Result<(), CliError> {
    refuse_existing(session)?;
    let mut entropy = session.environment.entropy.clone();
    let seed = WalletSeed::generate(&mut entropy);
    let words = words::of_seed(&seed)?;
    let witnesses = manifest::given(arguments.witnesses)?;
    let passphrase = session.new_passphrase()?;
    let vendor = arguments.vendor;
    let mut made = Made {
        wallet: session.directory.display().to_string(),
        vendor: vendor.to_string(),
        words: None,
        words_file: None,
    };
    // The words are written before there is a wallet that they are needed for.
    match &arguments.words_file {
        Some(path) => {
            write_new_private(path, format!("{}\n", *words).as_bytes())?;
            made.words_file = Some(path.display().to_string());
        }
        None => made.words = Some(&words),
    }
    let privacy = arguments.privacy;
    let new = NewWallet { privacy, witnesses, ..new_wallet(session, vendor, seed) };
    let environment = session.environment.clone();
    let wallet = Wallet::create(&session.directory, passphrase, new, environment).await?;
    // The one time that the vendor itself is asked for it: nothing is bought yet.
    if let Err(error) = wallet.meet_vendor().await {
        note(&format!("warning: the vendor's manifest is not here yet: {error}"));
        note(&format!("  {}", error.remedy()));
    }
    wallet.close().await?;
    let network = &session.environment.network;
    ways::say(network.proxy_buy.as_ref(), network.proxy_spend.as_ref());
    let shown = session.output.show(&made, |made| {
        let words = match (&made.words, &made.words_file) {
            (Some(words), _) => format!(
                "These 24 words are the wallet. Write them down; they are not shown again:\n\n  {}\n",
                numbered(words)
            ),
            (_, file) => format!(
                "Its 24 words are in {}: keep that file apart from the wallet.",
                file.as_deref().unwrap_or_default()
            ),
        };
        format!("The wallet is in {}.\n{words}", made.wallet)
    });
    if shown.is_err() && made.words.is_some() {
        // Nobody has its words, and nothing is in it.
        Wallet::discard(&session.directory)?;
    }
    shown
}

pub(super) async fn restore(
    session: &Session,
    arguments: RestoreArguments,
) -> Result<(), CliError> {
    refuse_existing(session)?;
    let vendor = match (arguments.backup, arguments.vendor) {
        (Some(file), _) => return super::backup::restore(session, &file).await,
        (None, vendor) => vendor.ok_or(CliError::NoVendor)?,
    };
    let text = match &arguments.words_file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|source| CliError::Read { path: path.clone(), source })?,
        None => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|source| CliError::Read { path: "standard input".into(), source })?;
            text
        }
    };
    let seed = words::to_seed(&Zeroizing::new(text))?;
    let witnesses = manifest::given(arguments.witnesses)?;
    let passphrase = session.new_passphrase()?;
    let privacy = arguments.privacy;
    let new = NewWallet { privacy, witnesses, ..new_wallet(session, vendor, seed) };
    let environment = session.environment.clone();
    let wallet = Wallet::create(&session.directory, passphrase, new, environment).await?;
    let network = &session.environment.network;
    ways::say(network.proxy_buy.as_ref(), network.proxy_spend.as_ref());
    let restored = match arguments.fast {
        true => wallet.restore(arguments.gap_limit).await,
        false => wallet.restore_slowly(arguments.gap_limit).await,
    };
    let restored = match restored {
        Ok(restored) => restored,
        Err(error) => {
            note("note: the wallet was made, and `scrip resume` goes on with its restore");
            return Err(error.into());
        }
    };
    wallet.close().await?;
    session.output.show(&restored, |restored| {
        let mut lines = restored_lines(restored);
        lines.push(
            "What is in doubt may have been spent before, and is not used without --spend-doubtful. `scrip check` looks for it in the \
             vendor's lists, as `scrip balance` and the like do by themselves."
                .to_owned(),
        );
        lines.join("\n")
    })
}

#[derive(Serialize)]
struct Shown {
    proxy_buy: Option<String>,
    proxy_spend: Option<String>,
    agreement: u8,
}

pub(super) async fn settings(
    session: &Session,
    arguments: SettingsArguments,
) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let (mut buy, mut spend) = wallet.proxies().await;
    let given = &session.environment.network;
    if arguments.direct {
        (buy, spend) = (None, None);
    }
    buy = given.proxy_buy.clone().or(buy);
    spend = given.proxy_spend.clone().or(spend);
    wallet.set_proxies(buy.clone(), spend.clone()).await?;
    if arguments.direct || given.proxy_buy.is_some() || given.proxy_spend.is_some() {
        ways::say(buy.as_ref(), spend.as_ref());
    }
    if let Some(operators) = arguments.agreement {
        wallet.set_agreement(operators).await?;
        warn_of_agreement(operators);
    }
    let agreement = wallet.agreement().await;
    wallet.close().await?;
    let shown = Shown {
        proxy_buy: buy.map(|proxy| proxy.to_string()),
        proxy_spend: spend.map(|proxy| proxy.to_string()),
        agreement,
    };
    session.output.show(&shown, |shown| {
        let direct = "none";
        format!(
            "proxy for buying:   {}\nproxy for spending: {}\nagreement:          {} before buying",
            shown.proxy_buy.as_deref().unwrap_or(direct),
            shown.proxy_spend.as_deref().unwrap_or(direct),
            counted(shown.agreement, "operator"),
        )
    })
}

pub(super) async fn privacy(session: &Session, level: Option<Privacy>) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Level {
        privacy: Privacy,
    }
    let wallet = session.open().await?;
    if let Some(level) = level {
        wallet.set_privacy(level).await?;
    }
    let privacy = wallet.privacy().await;
    wallet.close().await?;
    session.output.show(&Level { privacy }, |_| match privacy {
        Privacy::Off => "off: everything is done at once, so that the vendor and the relays together can tie what this \
                         wallet buys to what it pays for by the time"
            .to_owned(),
        level => format!(
            "{level}: new certificates ripen for {} days on average, and what can wait waits for its own time; \
             `scrip tend` on a timer does what is due",
            level.mean_ripening() / SECONDS_PER_DAY
        ),
    })
}

/// Says what less than the default gives up.
fn warn_of_agreement(operators: u8) {
    let who = match operators {
        0 => "the vendor alone",
        1 => "the vendor together with one operator",
        _ => return,
    };
    note(&format!(
        "warning: {who} can now give this wallet keys of its own, and trace its payments by them"
    ));
}

pub(super) async fn add_relay(session: &Session, address: &RelayAddress) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let relay = wallet.add_relay(address).await?;
    wallet.close().await?;
    session.output.show(&relay, |relay| {
        let shows = match &relay.listed {
            Some(_) => "",
            None => {
                " It is not on the vendor's list: whoever sees that this wallet uses it can tell the wallet from others."
            }
        };
        let name = relay.name.as_deref().unwrap_or("a relay");
        format!(
            "Added {name} ({}).{shows} It was called just now: leave a day before you buy, or it and the vendor see both at one time.",
            relay.address
        )
    })
}

pub(super) async fn list_relays(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let relays = wallet.relays().await?;
    wallet.close().await?;
    session.output.show(&relays, |relays| {
        if relays.is_empty() {
            return "No relays. The vendor's manifest lists them: it comes with the first purchase. `scrip relay add \
                    ADDRESS` adds one of your own."
                .to_owned();
        }
        let rows: Vec<Vec<String>> = relays.iter().map(relay_row).collect();
        let header = ["name", "queue", "64 KiB", "256 KiB", "1 MiB", "4 MiB", "days", "address"];
        let mut text = format!(
            "{}Prices are credits for 30 days. A relay with * is your own addition, and not on the vendor's list.",
            table(&header, &rows)
        );
        for relay in relays {
            if let Some(at) = relay.caught {
                text += &format!(
                    "\n{}: redeemed what it had refused, found on {at}; not paid before `scrip relay forgive`",
                    relay.name.as_deref().unwrap_or(&relay.address.authority)
                );
            }
        }
        text
    })
}

pub(super) async fn remove_relay(session: &Session, relay: &str) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let address = wallet.remove_relay(relay).await?;
    wallet.close().await?;
    #[derive(Serialize)]
    struct Removed {
        removed: RelayAddress,
    }
    session.output.show(&Removed { removed: address }, |gone| format!("Removed {}.", gone.removed))
}

pub(super) async fn forgive_relay(session: &Session, relay: &str) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let address = wallet.forgive_relay(relay).await?;
    wallet.close().await?;
    #[derive(Serialize)]
    struct Forgiven {
        forgiven: RelayAddress,
    }
    session.output.show(&Forgiven { forgiven: address }, |one| {
        format!("{} is paid again. What shows its fault is kept.", one.forgiven)
    })
}

fn relay_row(relay: &RelayReport) -> Vec<String> {
    let price = |price: Option<u32>| price.map_or("?".to_owned(), |price| price.to_string());
    let prices = relay.prices.as_ref();
    vec![
        match &relay.listed {
            Some(listed) => listed.clone(),
            None => format!("{} *", printable(relay.name.as_deref().unwrap_or_default())),
        },
        price(prices.map(|prices| prices.queue)),
        price(prices.map(|prices| prices.chunk_64k)),
        price(prices.map(|prices| prices.chunk_256k)),
        price(prices.map(|prices| prices.chunk_1m)),
        price(prices.map(|prices| prices.chunk_4m)),
        price(relay.max_days.map(u32::from)),
        relay.address.to_string(),
    ]
}

/// Before anything is asked of the user.
fn refuse_existing(session: &Session) -> Result<(), CliError> {
    if Wallet::exists(&session.directory) {
        return Err(WalletError::Store(StoreError::Exists(session.directory.clone())).into());
    }
    Ok(())
}

fn new_wallet(
    session: &Session,
    vendor: scrip_protocol::address::VendorAddress,
    seed: WalletSeed,
) -> NewWallet {
    let network = &session.environment.network;
    NewWallet {
        vendor,
        seed,
        seal: SealParams::interactive(),
        proxy_buy: network.proxy_buy.clone(),
        proxy_spend: network.proxy_spend.clone(),
        privacy: Privacy::default(),
        witnesses: WitnessPolicy::none(),
    }
}

/// Six words in each line.
fn numbered(words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    words.chunks(6).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n  ")
}
