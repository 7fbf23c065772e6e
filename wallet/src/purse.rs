//! The certificates in memory, as they are on disk.

use std::collections::BTreeMap;

use scrip_protocol::{credits::Credits, keys::PublicKey, time::UnixSeconds};

use crate::{
    choice::{ChoiceError, Coin, choose},
    records::{CertificateRecord, CertificateState},
};

/// A certificate that is about to expire is left alone: its payment could still be on the way when it does.
const SPEND_MARGIN: u64 = 300;

/// So many credits above the price are always paid: small change is scarce, and what is paid too much makes a lease longer.
const EXCESS_SLACK: u64 = 4;

/// Whether a payment is so far above its price that nobody would make it without being asked.
pub(crate) const fn is_excessive(paid: Credits, price: Credits) -> bool {
    paid.0 > price.0.saturating_add(price.0 / 2).saturating_add(EXCESS_SLACK)
}

/// Which certificates may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choosable {
    /// Also those that are in doubt, where the others do not do.
    pub(crate) doubtful: bool,
    /// Those of test keys, and no others; else no such.
    pub(crate) test: bool,
}

/// All certificates. Changes go to disk first and are entered here afterwards.
pub(crate) struct Purse(BTreeMap<PublicKey, CertificateRecord>);

impl Purse {
    pub(crate) fn new(certificates: Vec<CertificateRecord>) -> Self {
        Self(certificates.into_iter().map(|one| (one.key, one)).collect())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &CertificateRecord> {
        self.0.values()
    }

    pub(crate) fn get(&self, key: &PublicKey) -> Option<&CertificateRecord> {
        self.0.get(key)
    }

    /// What is on disk now.
    pub(crate) fn enter(&mut self, changed: Vec<CertificateRecord>) {
        self.0.extend(changed.into_iter().map(|one| (one.key, one)));
    }

    /// Certificates that pay `price`. Doubtful ones only where they may be chosen and the others do not do.
    pub(crate) fn choose(
        &self,
        price: Credits,
        now: UnixSeconds,
        from: Choosable,
    ) -> Result<Vec<&CertificateRecord>, Shortage> {
        let held = self.pick(price, now, from, |state| matches!(state, CertificateState::Held));
        let error = match held {
            Ok(chosen) => return Ok(chosen),
            Err(error) => error,
        };
        let with_doubtful = self.pick(price, now, from, |state| {
            matches!(state, CertificateState::Held | CertificateState::InDoubt)
        });
        match with_doubtful {
            Ok(chosen) if from.doubtful => Ok(chosen),
            Ok(_) => Err(Shortage::OnlyDoubtful { price }),
            Err(_) => Err(Shortage::Choice(error)),
        }
    }

    /// What would be paid for several things, one after the other: before the first is paid, it should be known that
    /// there is enough for the last.
    pub(crate) fn rehearse(
        &self,
        prices: impl IntoIterator<Item = Credits>,
        now: UnixSeconds,
        from: Choosable,
    ) -> Result<Credits, Shortage> {
        let usable = |state: &CertificateState| match state {
            CertificateState::Held => true,
            CertificateState::InDoubt => from.doubtful,
            _ => false,
        };
        let mut coins: Vec<Coin> =
            self.usable(now, from, usable).iter().map(|one| coin(one)).collect();
        let available = Credits::total(coins.iter().map(|coin| coin.exponent.value()));
        let prices: Vec<Credits> = prices.into_iter().collect();
        let price = Credits::total(prices.iter().copied());
        let short = if available < price {
            Shortage::Choice(ChoiceError::NotEnough { price, available })
        } else {
            Shortage::TooCoarse { price, available }
        };
        let mut paid = Credits::ZERO;
        for price in prices {
            let mut chosen = choose(&coins, price).map_err(|error| match error {
                ChoiceError::NotEnough { .. } => short,
                other => other.into(),
            })?;
            // From the back, so that the positions in front stay what they are.
            chosen.sort_unstable();
            for at in chosen.into_iter().rev() {
                paid = Credits::total([paid, coins.swap_remove(at).exponent.value()]);
            }
        }
        Ok(paid)
    }

    fn pick(
        &self,
        price: Credits,
        now: UnixSeconds,
        from: Choosable,
        usable: impl Fn(&CertificateState) -> bool,
    ) -> Result<Vec<&CertificateRecord>, ChoiceError> {
        let candidates = self.usable(now, from, usable);
        let coins: Vec<Coin> = candidates.iter().map(|one| coin(one)).collect();
        let chosen = choose(&coins, price)?;
        Ok(chosen.into_iter().filter_map(|at| candidates.get(at).copied()).collect())
    }

    fn usable(
        &self,
        now: UnixSeconds,
        from: Choosable,
        usable: impl Fn(&CertificateState) -> bool,
    ) -> Vec<&CertificateRecord> {
        let alive = |one: &&CertificateRecord| now.plus(SPEND_MARGIN) < one.spend_until;
        let of_use = self.all().filter(|one| one.test == from.test);
        of_use.filter(|one| usable(&one.state)).filter(alive).collect()
    }
}

const fn coin(certificate: &CertificateRecord) -> Coin {
    Coin { exponent: certificate.exponent, spend_until: certificate.spend_until }
}

/// Why the purse does not pay a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The certificates do not suffice.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// They are worth enough, but each part is paid for on its own, there is no change, and they are too large for that.
    #[error(
        "the parts cost {price}, each on its own, and the {available} to spend are in certificates too large for that"
    )]
    TooCoarse {
        /// What all parts cost together.
        price: Credits,
        /// What the certificates are worth together.
        available: Credits,
    },
    /// They would, for far more than the price, as there is no change.
    #[error(
        "the price is {price}, there is no change, and the smallest payment that this wallet can make is {paid}"
    )]
    Excess {
        /// What is asked for.
        price: Credits,
        /// What would be paid.
        paid: Credits,
    },
    /// They would, with those that are in doubt since a restore.
    #[error("the price is {price}, and only certificates that are in doubt would pay it")]
    OnlyDoubtful {
        /// What is asked for.
        price: Credits,
    },
}
