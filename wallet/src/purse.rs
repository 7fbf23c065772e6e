//! The certificates in memory, as they are on disk.

use std::collections::BTreeMap;

use scrip_protocol::{credits::Credits, id::OperatorId, keys::PublicKey, time::UnixSeconds};

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
    /// Also those that another operator saw in a payment that it refused.
    pub(crate) seen: bool,
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

    /// Certificates that pay `price` to `operator`: those that it saw before go first. Doubtful ones only where they may be chosen
    /// and the others do not do.
    pub(crate) fn choose(
        &self,
        price: Credits,
        now: UnixSeconds,
        from: Choosable,
        operator: &OperatorId,
    ) -> Result<Vec<&CertificateRecord>, Shortage> {
        let is_held = |state: &CertificateState| matches!(state, CertificateState::Held);
        let held = self.pick(price, now, from, operator, is_held);
        let error = match held {
            Ok(chosen) => return Ok(chosen),
            Err(error) => error,
        };
        let with_doubtful = self.pick(price, now, from, operator, |state| {
            matches!(state, CertificateState::Held | CertificateState::InDoubt)
        });
        match with_doubtful {
            Ok(chosen) if from.doubtful => return Ok(chosen),
            Ok(_) => return Err(Shortage::OnlyDoubtful { price }),
            Err(_) => {}
        }
        let with_seen = Choosable { seen: true, ..from };
        match self.pick(price, now, with_seen, operator, is_held) {
            Ok(_) => Err(Shortage::OnlySeen { price }),
            Err(_) => Err(Shortage::Choice(error)),
        }
    }

    /// What would be paid to several operators, one after the other: before the first is paid, it should be known that
    /// there is enough for the last.
    pub(crate) fn rehearse(
        &self,
        prices: impl IntoIterator<Item = (OperatorId, Credits)>,
        now: UnixSeconds,
        from: Choosable,
    ) -> Result<Credits, Shortage> {
        let usable = |state: &CertificateState| match state {
            CertificateState::Held => true,
            CertificateState::InDoubt => from.doubtful,
            _ => false,
        };
        let prices: Vec<(OperatorId, Credits)> = prices.into_iter().collect();
        let payable = |one: &&CertificateRecord| {
            prices.iter().any(|(operator, _)| may_see(one, from, operator))
        };
        let mut left = self.usable(now, from, usable);
        left.retain(payable);
        let available = Credits::total(left.iter().map(|one| one.value()));
        let price = Credits::total(prices.iter().map(|(_, price)| *price));
        let short = if available < price {
            Shortage::Choice(ChoiceError::NotEnough { price, available })
        } else {
            Shortage::TooCoarse { price, available }
        };
        let mut paid = Credits::ZERO;
        for (operator, price) in &prices {
            let (mut here, rest): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|one| may_see(one, from, operator));
            let coins: Vec<Coin> = here.iter().map(|one| coin(one, operator)).collect();
            let mut chosen = choose(&coins, *price).map_err(|error| match error {
                ChoiceError::NotEnough { .. } => short,
                other => other.into(),
            })?;
            // From the back, so that the positions in front stay what they are.
            chosen.sort_unstable();
            for at in chosen.into_iter().rev() {
                paid = Credits::total([paid, here.swap_remove(at).value()]);
            }
            here.extend(rest);
            left = here;
        }
        Ok(paid)
    }

    fn pick(
        &self,
        price: Credits,
        now: UnixSeconds,
        from: Choosable,
        operator: &OperatorId,
        usable: impl Fn(&CertificateState) -> bool,
    ) -> Result<Vec<&CertificateRecord>, ChoiceError> {
        let mut candidates = self.usable(now, from, usable);
        candidates.retain(|one| may_see(one, from, operator));
        let coins: Vec<Coin> = candidates.iter().map(|one| coin(one, operator)).collect();
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

/// Whether `operator` may be shown the certificate: nobody else saw it before, or the user does not mind.
fn may_see(certificate: &CertificateRecord, from: Choosable, operator: &OperatorId) -> bool {
    from.seen || certificate.seen_by.is_empty() || certificate.seen_by.contains(operator)
}

/// What `operator` saw before goes first, as if it expired now: it is of use nowhere else.
fn coin(certificate: &CertificateRecord, operator: &OperatorId) -> Coin {
    let spend_until = match certificate.seen_by.contains(operator) {
        true => UnixSeconds(0),
        false => certificate.spend_until,
    };
    Coin { exponent: certificate.exponent, spend_until }
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
    /// They would, with those that another relay saw in a payment that it refused.
    #[error(
        "the price is {price}, and only certificates that another relay saw and refused would pay it"
    )]
    OnlySeen {
        /// What is asked for.
        price: Credits,
    },
    /// They would, with those that are in doubt since a restore.
    #[error("the price is {price}, and only certificates that are in doubt would pay it")]
    OnlyDoubtful {
        /// What is asked for.
        price: Credits,
    },
}
