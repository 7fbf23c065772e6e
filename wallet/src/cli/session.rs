//! What every command needs: the place of the wallet, the environment, the output.

use std::path::PathBuf;

#[expect(clippy::disallowed_types, reason = "this is the entry point of the program")]
use rand_core::OsRng;
use scrip_protocol::time::UnixSeconds;
use scrip_runtime::{
    clock::SharedClock,
    passphrase::{Passphrase, new_passphrase, passphrase},
    steps::Steps,
};

use super::{
    arguments::Common,
    error::{CliError, complain},
    output::{Output, counted, note},
    progress,
};
use crate::{
    Doubtful, Entropy, Environment, ExpiryNotice, LowStock, Privacy, Resumed, Wallet, WalletError,
    When,
    net::{Network, NetworkOptions, ProxySetting},
};

const PREFIX: &str = "SCRIP";

/// One run of the program.
pub(super) struct Session {
    pub(super) directory: PathBuf,
    pub(super) output: Output,
    pub(super) environment: Environment,
    pub(super) doubtful: Doubtful,
    /// Whether certificates of test keys pay, and no others.
    pub(super) test: bool,
    /// Whether certificates that another relay saw and refused pay, too.
    pub(super) even_seen: bool,
    pub(super) accept_excess: bool,
    /// Whether the command keeps its distance in time from others.
    pub(super) when: When,
    env: Vec<(String, String)>,
}

impl Session {
    pub(super) fn new(
        common: Common,
        env: Vec<(String, String)>,
        clock: SharedClock,
        steps: Steps,
    ) -> Result<Self, CliError> {
        let directory = common.wallet.clone().or_else(|| default_directory(&env));
        let network = NetworkOptions {
            proxy_buy: proxy(&env, common.proxy_buy, "SCRIP_PROXY_BUY", &common.proxy)?,
            proxy_spend: proxy(&env, common.proxy_spend, "SCRIP_PROXY_SPEND", &common.proxy)?,
            extra_roots_pem: roots(common.ca_file.or_else(|| variable(&env, "SCRIP_CA_FILE")))?,
            ..NetworkOptions::default()
        };
        let watch = progress::watch();
        let environment = Environment { clock, entropy: system_entropy(), steps, watch, network };
        let doubtful = if common.spend_doubtful { Doubtful::Spend } else { Doubtful::Keep };
        Ok(Self {
            directory: directory.ok_or(CliError::NoHome)?,
            output: Output { json: common.json },
            environment,
            doubtful,
            accept_excess: common.accept_excess,
            when: if common.now { When::Now } else { When::InTime },
            test: common.test,
            even_seen: common.even_seen,
            env,
        })
    }

    /// Opens the wallet.
    pub(super) async fn open(&self) -> Result<Wallet, CliError> {
        if !Wallet::exists(&self.directory) {
            let missing = crate::StoreError::Missing(self.directory.clone());
            return Err(WalletError::Store(missing).into());
        }
        let environment = self.environment.clone();
        let wallet = Wallet::open(&self.directory, self.passphrase()?, environment).await?;
        wallet.pay_with_test_certificates(self.test);
        wallet.pay_with_seen_certificates(self.even_seen);
        if let Some(notice) = wallet.expiry_notice().await? {
            warn_of_expiry(&notice, self.environment.clock.now());
        }
        if let Some(change) = wallet.receipt_key_notice().await? {
            let (version, key) = (change.version, change.key);
            note(&format!(
                "warning: since version {version} of its manifest the vendor signs receipts with another key, {key}, which the key \
                 before endorses"
            ));
            note(
                "  ask the vendor whether that was its doing; what it signed before stays its word",
            );
        }
        if let Some(stock) = wallet.stock_notice().await? {
            warn_of_stock(&stock, wallet.restocking().await?.is_some());
        }
        Ok(wallet)
    }

    /// Opens the wallet for a command that calls relays. What is open elsewhere stays: in the same second it would be seen to be the
    /// same wallet's.
    pub(super) async fn open_online(&self) -> Result<Wallet, CliError> {
        let wallet = self.open().await?;
        if self.doubtful == Doubtful::Spend {
            note(
                "warning: certificates in doubt may be spent; where one was spent before, the \
                 relay ends what it pays for",
            );
        }
        if self.even_seen {
            note(
                "note: certificates that another relay saw and refused may pay this one; both together can tell that one \
                 wallet paid them",
            );
        }
        self.warn_of_now(&wallet).await;
        Ok(wallet)
    }

    /// Says what a command shows that keeps no distance in time.
    pub(super) async fn warn_of_now(&self, wallet: &Wallet) {
        if self.when == When::Now && wallet.privacy().await != Privacy::Off {
            note(
                "note: --now keeps no distance in time: whoever sees when the vendor sold and when relays were paid can tie \
                 this payment to the purchase, and the relays that are paid at once to each other",
            );
        }
    }

    /// The network for what needs no wallet: through the proxy that is given here, else through that of the wallet, where
    /// there is one.
    pub(super) async fn network(&self) -> Result<Network, CliError> {
        let mut options = self.environment.network.clone();
        if options.proxy_spend.is_none() && Wallet::exists(&self.directory) {
            let entropy = self.environment.entropy.clone();
            let proxies = Wallet::proxies_of(&self.directory, self.passphrase()?, entropy).await?;
            options.proxy_spend = proxies.1;
        }
        Ok(Network::new(options, self.environment.entropy.clone()))
    }

    pub(super) fn passphrase(&self) -> Result<Passphrase, CliError> {
        Ok(passphrase(PREFIX, self.env.iter().cloned(), true)?)
    }

    pub(super) fn new_passphrase(&self) -> Result<Passphrase, CliError> {
        Ok(new_passphrase(PREFIX, self.env.iter().cloned())?)
    }

    /// Reports what went wrong without ending the command; whether anything did.
    pub(super) fn complain_all<'a>(
        &self,
        errors: impl IntoIterator<Item = &'a WalletError>,
    ) -> Result<(), CliError> {
        let mut count = 0;
        for error in errors {
            complain(&error.to_string(), &error.remedy());
            count += 1;
        }
        if count == 0 { Ok(()) } else { Err(CliError::StillOpen(count)) }
    }
}

fn warn_of_expiry(notice: &ExpiryNotice, now: UnixSeconds) {
    let ExpiryNotice { credits, at, renewed_from } = notice;
    let todo = match renewed_from {
        Some(from) if *from <= now => {
            "`scrip renew` exchanges them for new ones of the same value".to_owned()
        }
        Some(from) if from < at => {
            format!("spend them first, or exchange them with `scrip renew` from {from} on")
        }
        _ => "spend them before".to_owned(),
    };
    note(&format!("warning: {credits} expire soon, the first of them on {at}"));
    note(&format!("  {todo}"));
}

fn warn_of_stock(stock: &LowStock, restocks: bool) {
    let LowStock { left, used, certificates, certificates_used } = stock;
    note(&format!(
        "note: the stock runs low: {left} in {} are left, and the last 30 days used {used} in {}",
        counted(*certificates, "certificate"),
        counted(*certificates_used, "certificate"),
    ));
    note(if restocks {
        "  what `scrip restock` was given is bought with at a time of its own"
    } else {
        "  buy ahead with `scrip buy`, since what is bought ripens for some days; or let `scrip restock` do so"
    });
}

/// Says on standard error what was finished besides the command; what could not be finished is a warning.
pub(super) fn report(resumed: &Resumed) {
    for bought in &resumed.purchases {
        note(&format!("note: finished a purchase: {}, {}", bought.product, bought.credits));
    }
    for lease in &resumed.leases {
        note(&format!("note: finished a payment for {}, until {}", lease.name, lease.until));
    }
    for error in &resumed.errors {
        note(&format!("warning: {error}"));
        note(&format!("  {}", error.remedy()));
    }
}

/// The generator of the operating system.
fn system_entropy() -> Entropy {
    Entropy::new(OsRng)
}

fn variable<T: From<String>>(env: &[(String, String)], name: &str) -> Option<T> {
    let found = env.iter().find(|(key, value)| key == name && !value.is_empty());
    found.map(|(_, value)| value.clone().into())
}

/// The special flag, else `--proxy`, else the special variable, else `SCRIP_PROXY`.
fn proxy(
    env: &[(String, String)],
    special: Option<ProxySetting>,
    special_variable: &'static str,
    general: &Option<ProxySetting>,
) -> Result<Option<ProxySetting>, CliError> {
    if let Some(proxy) = special.or_else(|| general.clone()) {
        return Ok(Some(proxy));
    }
    for name in [special_variable, "SCRIP_PROXY"] {
        if let Some(text) = variable::<String>(env, name) {
            return match text.parse() {
                Ok(proxy) => Ok(Some(proxy)),
                Err(_) => Err(CliError::Variable { variable: name }),
            };
        }
    }
    Ok(None)
}

fn roots(path: Option<PathBuf>) -> Result<Option<Vec<u8>>, CliError> {
    let read =
        |path: PathBuf| std::fs::read(&path).map_err(|source| CliError::Read { path, source });
    path.map(read).transpose()
}

fn default_directory(env: &[(String, String)]) -> Option<PathBuf> {
    let data = variable::<PathBuf>(env, "XDG_DATA_HOME").filter(|path| path.is_absolute());
    let home = variable::<PathBuf>(env, "HOME").map(|home| home.join(".local/share"));
    variable(env, "SCRIP_WALLET").or_else(|| Some(data.or(home)?.join("scrip")))
}
