//! The relays that the wallet knows, and which of them to use.

use futures_util::future::join_all;
use rand_core::RngCore;
use scrip_protocol::{
    address::RelayAddress,
    resource::{PriceList, RelayInfo},
    time::UnixSeconds,
};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    net::{Network, RelayClient, Statement},
    records::{Blob, RelayRecord, SignedWord},
    store::Changes,
    watch::Event,
};

/// A relay as the wallet knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelayReport {
    /// Its address.
    pub address: RelayAddress,
    /// What it calls itself.
    pub name: Option<String>,
    /// Its prices in credits per 30 days, as last heard.
    pub prices: Option<PriceList>,
    /// The longest lease that it gives, in days.
    pub max_days: Option<u16>,
    /// When it was added.
    pub added: UnixSeconds,
    /// When it was found out that it redeemed what it had refused. It is not paid before [`Wallet::forgive_relay`].
    pub caught: Option<UnixSeconds>,
}

/// A relay that can be used now.
pub(super) struct Candidate {
    pub(super) client: RelayClient,
    pub(super) info: RelayInfo,
}

impl Wallet {
    /// Asks a relay about itself, checks that, and remembers the relay.
    ///
    /// # Errors
    /// [`WalletError`]; then it is not remembered.
    pub async fn add_relay(&self, address: &RelayAddress) -> Result<RelayReport, WalletError> {
        let client = self.network().await.relay(address, self.environment.clock.clone())?;
        let said = client.statement().await.map_err(WalletError::call(&address.authority))?;
        let record = self.remember(address, &said).await?;
        self.check_relay(&record).await?;
        self.store.commit(Changes::default().put(&record)).await?;
        self.at("wallet.relay.stored");
        let caught = self.when_caught(&address.id).await?;
        Ok(report(record, caught))
    }

    /// The relays that were added, the oldest first.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn relays(&self) -> Result<Vec<RelayReport>, WalletError> {
        let mut relays = self.store.all::<RelayRecord>().await?;
        relays.sort_by(|a, b| (a.added, &a.address).cmp(&(b.added, &b.address)));
        let mut reports = Vec::with_capacity(relays.len());
        for relay in relays {
            let caught = self.when_caught(&relay.address.id).await?;
            reports.push(report(relay, caught));
        }
        Ok(reports)
    }

    /// Forgets a relay. Leases and payments there stay.
    ///
    /// # Errors
    /// [`WalletError::UnknownRelay`].
    pub async fn remove_relay(&self, text: &str) -> Result<RelayAddress, WalletError> {
        let address = self.find_relay(text).await?;
        let name = address.to_string().into_bytes();
        self.store.commit(Changes::default().delete::<RelayRecord>(&name)).await?;
        Ok(address)
    }

    /// The relay that `text` means: its address, its host, its name, or the beginning of its id.
    ///
    /// # Errors
    /// [`WalletError::UnknownRelay`], [`WalletError::Ambiguous`].
    pub async fn find_relay(&self, text: &str) -> Result<RelayAddress, WalletError> {
        let relays = self.relays().await?;
        let means = |relay: &&RelayReport| {
            relay.address.to_string() == text
                || relay.address.authority == text
                || relay.name.as_deref() == Some(text)
                || (text.len() >= 4 && relay.address.id.to_string().starts_with(text))
        };
        let mut found = relays.iter().filter(means);
        match (found.next(), found.next()) {
            (Some(relay), None) => Ok(relay.address.clone()),
            (Some(_), Some(_)) => Err(WalletError::Ambiguous { name: text.to_owned() }),
            (None, _) => Err(WalletError::UnknownRelay(text.to_owned())),
        }
    }

    /// At least `needed` relays for leases of `days` days: those that are `wanted`, in that order; or, where none is
    /// named, all that can be used, the cheapest first.
    pub(super) async fn candidates(
        &self,
        wanted: &[RelayAddress],
        needed: usize,
        days: u16,
        price: impl Fn(&PriceList) -> u64,
    ) -> Result<Vec<Candidate>, WalletError> {
        let named = !wanted.is_empty();
        let addresses: Vec<RelayAddress> = match named {
            true => wanted.to_vec(),
            false => self.relays().await?.into_iter().map(|relay| relay.address).collect(),
        };
        let network = self.network().await;
        let met = join_all(addresses.iter().map(|address| self.meet(&network, address))).await;
        let (mut usable, mut errors) = (Vec::new(), Vec::new());
        for (address, met) in addresses.iter().zip(met) {
            let fits = |candidate: Candidate| {
                self.check_use(address, &candidate.info)?;
                for_days(candidate, days)
            };
            match met.and_then(fits) {
                Ok(candidate) => usable.push(candidate),
                Err(error) if named => return Err(error),
                Err(error) => {
                    let (relay, reason) = (address.clone(), error.to_string());
                    self.watch().tell(Event::RelaySkipped { relay, reason });
                    errors.push(error);
                }
            }
        }
        match (usable.len() < needed, errors.pop()) {
            // The only relay's reason is the reason.
            (true, Some(error)) if addresses.len() == 1 => return Err(error),
            (true, _) => return Err(WalletError::TooFewRelays { needed, usable: usable.len() }),
            (false, _) => {}
        }
        if !named {
            self.sort_by_price(&mut usable, price);
        }
        Ok(usable)
    }

    /// Asks a relay about itself and checks what it says. The client serves one resource or file.
    pub(super) async fn meet(
        &self,
        network: &Network,
        address: &RelayAddress,
    ) -> Result<Candidate, WalletError> {
        self.check_honest(address).await?;
        let client = network.relay(address, self.environment.clock.clone())?;
        let said = client.statement().await.map_err(WalletError::call(&address.authority))?;
        let record = self.remember(address, &said).await?;
        self.check_relay(&record).await?;
        Ok(Candidate { client, info: said.info })
    }

    /// Keeps what a known relay says: the vendor's next manifest is compared with it. Returns the relay with it, also one
    /// that is not known and not kept.
    pub(super) async fn remember(
        &self,
        address: &RelayAddress,
        said: &Statement,
    ) -> Result<RelayRecord, WalletError> {
        let known = self.store.get::<RelayRecord>(address.to_string().as_bytes()).await?;
        let is_new = known.as_ref().is_some_and(|known| known.info.as_ref() != Some(&said.info));
        let record = RelayRecord {
            address: address.clone(),
            added: known.map_or(self.now(), |known| known.added),
            info: Some(said.info.clone()),
            said: Some(SignedWord {
                body: Blob(said.body.clone()),
                signature: said.signature.clone(),
            }),
        };
        if is_new {
            self.store.commit(Changes::default().put(&record)).await?;
        }
        Ok(record)
    }

    /// The cheapest first; chance decides between equals, so that no relay is favoured.
    fn sort_by_price(&self, relays: &mut [Candidate], price: impl Fn(&PriceList) -> u64) {
        let mut entropy = self.environment.entropy.clone();
        relays.sort_by_cached_key(|relay| (price(&relay.info.prices), entropy.next_u64()));
    }
}

fn for_days(candidate: Candidate, days: u16) -> Result<Candidate, WalletError> {
    let most = candidate.info.max_days;
    if (1..=most).contains(&days) {
        return Ok(candidate);
    }
    Err(WalletError::Days { relay: candidate.client.address().clone().into(), most })
}

fn report(record: RelayRecord, caught: Option<UnixSeconds>) -> RelayReport {
    let info = record.info.as_ref();
    RelayReport {
        name: info.map(|info| info.name.clone()),
        prices: info.map(|info| info.prices),
        max_days: info.map(|info| info.max_days),
        address: record.address,
        added: record.added,
        caught,
    }
}
