//! The relays that the wallet knows, and which of them to use.

use rand_core::RngCore;
use scrip_protocol::{
    address::RelayAddress,
    credits::Credits,
    manifest::{Manifest, Operator},
    resource::{PriceList, RelayInfo},
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    net::{CallError, RelayClient, Statement},
    purse::Choosable,
    records::{Blob, ManifestRecord, RelayRecord, SignedWord},
    store::Changes,
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
    /// When it was added, or first heard of.
    pub added: UnixSeconds,
    /// When it was found out that it redeemed what it had refused. It is not paid before [`Wallet::forgive_relay`].
    pub caught: Option<UnixSeconds>,
    /// What the vendor's list calls it; `None` where the list does not have it.
    pub listed: Option<String>,
    /// Whether the user added it: then this wallet's list is not everybody's.
    pub own: bool,
}

/// A relay that the wallet knows.
pub(super) struct KnownRelay {
    /// Where it is, and what it last said.
    pub(super) record: RelayRecord,
    /// The operator as the manifest lists it, where it does.
    pub(super) listed: Option<Operator>,
}

/// For so many seconds, a relay that gave no answer is chosen only where no other is left.
const MISSED_FOR: u64 = SECONDS_PER_DAY;

/// How often a relay is chosen for one thing: where the first could not be reached or has become dearer.
pub(super) const CHOICES: usize = 3;

/// A relay that can be used, with its offer.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) address: RelayAddress,
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
        let record = RelayRecord { own: true, ..self.remember(address, &said).await? };
        self.check_relay(&record)?;
        self.store.commit(Changes::default().put(&record)).await?;
        self.at("wallet.relay.stored");
        let caught = self.when_caught(&address.id).await?;
        let listed = self.listed().await?.into_iter().find(|one| one.id() == address.id);
        Ok(report(KnownRelay { record, listed }, caught))
    }

    /// The relays that the wallet knows: those that the manifest lists, in its order, and those that were added, the oldest
    /// first.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn relays(&self) -> Result<Vec<RelayReport>, WalletError> {
        let mut reports = Vec::new();
        for relay in self.known_relays().await? {
            let caught = self.when_caught(&relay.record.address.id).await?;
            reports.push(report(relay, caught));
        }
        Ok(reports)
    }

    /// One relay for each operator that the manifest lists, in its order, so that wallets which add nothing know the same; and
    /// those that were added, the oldest first. Where the user added a relay of a listed operator, it is that one.
    pub(super) async fn known_relays(&self) -> Result<Vec<KnownRelay>, WalletError> {
        let mut records = self.store.all::<RelayRecord>().await?;
        records.sort_by(|a, b| (a.added, &a.address).cmp(&(b.added, &b.address)));
        let mut known = Vec::new();
        for operator in self.listed().await? {
            let id = operator.id();
            let own = records.iter().find(|record| record.own && record.address.id == id);
            let address = match (own, operator.relays().next()) {
                (Some(own), _) => own.address.clone(),
                (None, Some(address)) => address,
                (None, None) => continue,
            };
            let record = records.iter().find(|record| record.address == address).cloned();
            let new = RelayRecord {
                address,
                added: self.now(),
                own: false,
                info: None,
                heard: None,
                missed: None,
                said: None,
            };
            known.push(KnownRelay { record: record.unwrap_or(new), listed: Some(operator) });
        }
        let is_listed =
            |record: &RelayRecord| known.iter().any(|one| one.record.address == record.address);
        let own: Vec<_> =
            records.into_iter().filter(|record| record.own && !is_listed(record)).collect();
        known.extend(own.into_iter().map(|record| KnownRelay { record, listed: None }));
        Ok(known)
    }

    /// What is known of the relay at this address; `None` where it is neither listed nor added.
    async fn known(&self, address: &RelayAddress) -> Result<Option<RelayRecord>, WalletError> {
        let mut known = self.known_relays().await?.into_iter().map(|one| one.record);
        Ok(known.find(|record| record.address == *address))
    }

    /// The operators of the manifest that the wallet has.
    async fn listed(&self) -> Result<Vec<Operator>, WalletError> {
        let held = self.store.get::<ManifestRecord>(&[]).await?;
        let Some(held) = held else { return Ok(Vec::new()) };
        Ok(Manifest::open(&held.manifest.0, &self.vendor.id)?.operators().to_vec())
    }

    /// Forgets a relay that was added. Leases and payments there stay.
    ///
    /// # Errors
    /// [`WalletError::UnknownRelay`], [`WalletError::ListedRelay`].
    pub async fn remove_relay(&self, text: &str) -> Result<RelayAddress, WalletError> {
        let address = self.find_relay(text).await?;
        let own = |relay: &RelayReport| relay.own && relay.address == address;
        if !self.relays().await?.iter().any(own) {
            return Err(WalletError::ListedRelay(address.into()));
        }
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
                || relay.listed.as_deref() == Some(text)
                || (text.len() >= 4 && relay.address.id.to_string().starts_with(text))
        };
        let mut found = relays.iter().filter(means);
        match (found.next(), found.next()) {
            (Some(relay), None) => Ok(relay.address.clone()),
            (Some(_), Some(_)) => Err(WalletError::Ambiguous { name: text.to_owned() }),
            (None, _) => Err(WalletError::UnknownRelay(text.to_owned())),
        }
    }

    /// `needed` relays for leases of `days` days: those that are `wanted`, in that order; or, where none is named, those of the
    /// stored offers, the cheapest first. Nobody is asked whose offer is stored; where too few are, as many others as are missing,
    /// taken by chance.
    pub(super) async fn candidates(
        &self,
        wanted: &[RelayAddress],
        needed: usize,
        days: u16,
        from: Choosable,
        price: impl Fn(&PriceList) -> u64,
    ) -> Result<Vec<Candidate>, WalletError> {
        let known = self.known_relays().await?;
        let mut known: Vec<RelayRecord> = known.into_iter().map(|one| one.record).collect();
        if !wanted.is_empty() {
            let mut named = Vec::new();
            for address in wanted {
                let record = known.iter().find(|one| one.address == *address).cloned();
                if record.as_ref().is_none_or(|known| known.info.is_none()) {
                    self.rehearse(Credits(1), from, &address.id).await?;
                }
                named.push(self.offer_of(address, record, days).await?);
            }
            return Ok(named);
        }
        let mut entropy = self.environment.entropy.clone();
        known.sort_by_cached_key(|_| entropy.next_u64());
        let (heard, unheard): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|one| one.info.is_some());
        let (mut usable, mut errors) = (Vec::new(), Vec::new());
        let relays = heard.len() + unheard.len();
        if relays == 0 {
            // With a manifest the wallet would know its relays.
            self.known_manifest().await?;
        }
        let alone = relays == 1;
        for record in heard {
            let late = record.missed.is_some_and(|at| self.now().0.abs_diff(at.0) < MISSED_FOR);
            match self.check_offer(record, days).await {
                Ok(candidate) => usable.push((late, candidate)),
                Err(error) => errors.push(error),
            }
        }
        // Chance has decided between equals, so that no relay is favoured.
        usable.sort_by_key(|(late, one)| (*late, price(&one.info.prices)));
        let mut usable: Vec<Candidate> = usable.into_iter().map(|(_, one)| one).collect();
        for record in unheard.into_iter().take(needed.saturating_sub(usable.len())) {
            // Whatever it asks for: an empty purse calls nobody.
            self.rehearse(Credits(1), from, &record.address.id).await?;
            usable.push(self.offer_of(&record.address.clone(), Some(record), days).await?);
        }
        match (usable.len() < needed, errors.pop()) {
            // The only relay's reason is the reason.
            (true, Some(error)) if alone => Err(error),
            (true, _) => Err(WalletError::TooFewRelays { needed, usable: usable.len() }),
            (false, _) => Ok(usable),
        }
    }

    /// The offer of one relay: the stored one, or what it says now, asked alone.
    pub(super) async fn offer_of(
        &self,
        address: &RelayAddress,
        known: Option<RelayRecord>,
        days: u16,
    ) -> Result<Candidate, WalletError> {
        self.check_honest(address).await?;
        let record = match known.filter(|known| known.info.is_some()) {
            Some(known) => known,
            None => {
                let clock = self.environment.clock.clone();
                let client = self.network().await.relay(address, clock)?;
                self.hear_offer(&client).await?
            }
        };
        self.check_offer(record, days).await
    }

    /// Asks a relay for its offer and keeps it.
    pub(super) async fn hear_offer(
        &self,
        client: &RelayClient,
    ) -> Result<RelayRecord, WalletError> {
        let address = client.address();
        let said = client.statement().await.map_err(WalletError::call(&address.authority));
        match said {
            Ok(said) => self.remember(address, &said).await,
            Err(error) => {
                self.missed(address).await?;
                Err(error)
            }
        }
    }

    /// Whether a relay can be used for this, by its offer.
    async fn check_offer(&self, record: RelayRecord, days: u16) -> Result<Candidate, WalletError> {
        self.check_honest(&record.address).await?;
        self.check_relay(&record)?;
        let RelayRecord { address, info, .. } = record;
        let info = info.ok_or_else(|| WalletError::NotAccepted(address.clone().into()))?;
        self.check_use(&address, &info)?;
        if !(1..=info.max_days).contains(&days) {
            return Err(WalletError::Days { relay: address.into(), most: info.max_days });
        }
        Ok(Candidate { address, info })
    }

    /// After a failure at the chosen relay: whether the stored offers may give another choice. Where it asked for more than its
    /// stored offer says, its new offer is stored, so that it may be chosen again or not; where it could not be reached, it has
    /// seen nothing, and others come before it.
    pub(super) async fn may_choose_again(
        &self,
        wanted: &[RelayAddress],
        error: &WalletError,
    ) -> Result<bool, WalletError> {
        match error {
            WalletError::PriceAboveAnnounced { relay, .. } => {
                let name = relay.to_string();
                let before = self.store.get::<RelayRecord>(name.as_bytes()).await?;
                let before = before.and_then(|record| record.info);
                let clock = self.environment.clock.clone();
                let client = self.network().await.relay(relay, clock)?;
                let heard = self.hear_offer(&client).await?;
                if heard.info == before {
                    // It signs one price and asks for another.
                    self.missed(relay).await?;
                }
                Ok(true)
            }
            WalletError::Call { error: CallError::Transport(error), .. } => {
                Ok(wanted.is_empty() && error.certainly_not_sent())
            }
            _ => Ok(false),
        }
    }

    /// Notes that a relay gave no answer: for a day, others are chosen before it.
    pub(super) async fn missed(&self, address: &RelayAddress) -> Result<(), WalletError> {
        if let Some(known) = self.known(address).await? {
            let record = RelayRecord { missed: Some(self.now()), ..known };
            self.store.commit(Changes::default().put(&record)).await?;
        }
        Ok(())
    }

    /// Keeps what a known relay says. Returns the relay with it, also one that is not known and not kept.
    pub(super) async fn remember(
        &self,
        address: &RelayAddress,
        said: &Statement,
    ) -> Result<RelayRecord, WalletError> {
        let known = self.known(address).await?;
        let record = RelayRecord {
            address: address.clone(),
            added: known.as_ref().map_or(self.now(), |known| known.added),
            own: known.as_ref().is_some_and(|known| known.own),
            heard: Some(self.now()),
            missed: None,
            info: Some(said.info.clone()),
            said: Some(SignedWord {
                body: Blob(said.body.clone()),
                signature: said.signature.clone(),
            }),
        };
        if known.is_some() {
            self.store.commit(Changes::default().put(&record)).await?;
        }
        Ok(record)
    }
}

fn report(relay: KnownRelay, caught: Option<UnixSeconds>) -> RelayReport {
    let KnownRelay { record, listed } = relay;
    let info = record.info.as_ref();
    RelayReport {
        listed: listed.map(|operator| operator.name),
        own: record.own,
        name: info.map(|info| info.name.clone()),
        prices: info.map(|info| info.prices),
        max_days: info.map(|info| info.max_days),
        address: record.address,
        added: record.added,
        caught,
    }
}
