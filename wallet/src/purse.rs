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
    /// Also those that are not ripe.
    pub(crate) unripe: bool,
    /// Also where they are worth far more than the price.
    pub(crate) excess: bool,
}

impl Choosable {
    /// Whether `operator` may be paid with it.
    fn takes(self, one: &CertificateRecord, at: UnixSeconds, operator: &OperatorId) -> bool {
        let held = match one.state {
            CertificateState::Held => true,
            CertificateState::InDoubt => self.doubtful,
            _ => false,
        };
        let alive = at.plus(SPEND_MARGIN) < one.spend_until;
        let ripe = self.unripe || one.ripe <= at;
        // Nobody else saw it before, or the user does not mind.
        let may_see = self.seen || one.seen_by.is_empty() || one.seen_by.contains(operator);
        held && alive && ripe && may_see && one.test == self.test
    }
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
        let certain = Choosable { doubtful: false, ..from };
        let error = match self.pick(price, now, certain, operator) {
            Ok(chosen) => return Ok(chosen),
            Err(error) => error,
        };
        let enough = |at| self.pick(price, at, certain, operator).is_ok();
        if let Some(at) = self.ripe_enough(now, certain, &[*operator], enough) {
            return Err(Shortage::Unripe { price, at });
        }
        let is_excess = matches!(error, Shortage::Excess { .. });
        match self.pick(price, now, Choosable { doubtful: true, ..from }, operator) {
            with_doubtful if from.doubtful => return with_doubtful,
            Ok(_) if !is_excess => return Err(Shortage::OnlyDoubtful { price }),
            _ => {}
        }
        match self.pick(price, now, Choosable { seen: true, ..certain }, operator) {
            Ok(_) if !is_excess => Err(Shortage::OnlySeen { price }),
            _ => Err(error),
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
        let prices: Vec<(OperatorId, Credits)> = prices.into_iter().collect();
        let price = Credits::total(prices.iter().map(|(_, price)| *price));
        let rehearsed = self.rehearse_at(&prices, now, from);
        let fits = |paid: &Result<Credits, Shortage>| {
            paid.as_ref().is_ok_and(|paid| from.excess || !is_excessive(*paid, price))
        };
        if !fits(&rehearsed) {
            let operators: Vec<OperatorId> = prices.iter().map(|(operator, _)| *operator).collect();
            let enough = |at| fits(&self.rehearse_at(&prices, at, from));
            if let Some(at) = self.ripe_enough(now, from, &operators, enough) {
                return Err(Shortage::Unripe { price, at });
            }
        }
        rehearsed
    }

    fn rehearse_at(
        &self,
        prices: &[(OperatorId, Credits)],
        at: UnixSeconds,
        from: Choosable,
    ) -> Result<Credits, Shortage> {
        let payable = |one: &&CertificateRecord| {
            prices.iter().any(|(operator, _)| from.takes(one, at, operator))
        };
        let mut left: Vec<&CertificateRecord> = self.all().filter(payable).collect();
        let available = Credits::total(left.iter().map(|one| one.value()));
        let price = Credits::total(prices.iter().map(|(_, price)| *price));
        let short = if available < price {
            Shortage::Choice(ChoiceError::NotEnough { price, available })
        } else {
            Shortage::TooCoarse { price, available }
        };
        let mut paid = Credits::ZERO;
        for (operator, price) in prices {
            let (mut here, rest): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|one| from.takes(one, at, operator));
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

    /// The first time after `now` at which so many certificates are ripe that `enough` holds, if it does once all are.
    fn ripe_enough(
        &self,
        now: UnixSeconds,
        from: Choosable,
        operators: &[OperatorId],
        enough: impl Fn(UnixSeconds) -> bool,
    ) -> Option<UnixSeconds> {
        let late = |one: &&CertificateRecord| {
            let mut payable = operators.iter().map(|operator| from.takes(one, one.ripe, operator));
            !from.unripe && one.ripe > now && payable.any(|payable| payable)
        };
        let mut times: Vec<UnixSeconds> = self.all().filter(late).map(|one| one.ripe).collect();
        times.sort_unstable();
        times.dedup();
        // More certificates pay whatever fewer pay, and for no more; only what expires meanwhile can be missing.
        let first = times.partition_point(|at| !enough(*at));
        times.split_off(first.min(times.len())).into_iter().find(|at| enough(*at))
    }

    fn pick(
        &self,
        price: Credits,
        now: UnixSeconds,
        from: Choosable,
        operator: &OperatorId,
    ) -> Result<Vec<&CertificateRecord>, Shortage> {
        let candidates: Vec<&CertificateRecord> =
            self.all().filter(|one| from.takes(one, now, operator)).collect();
        let coins: Vec<Coin> = candidates.iter().map(|one| coin(one, operator)).collect();
        let chosen = choose(&coins, price)?;
        let chosen: Vec<_> =
            chosen.into_iter().filter_map(|at| candidates.get(at).copied()).collect();
        let paid = Credits::total(chosen.iter().map(|one| one.value()));
        if !from.excess && is_excessive(paid, price) {
            return Err(Shortage::Excess { price, paid });
        }
        Ok(chosen)
    }
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
    /// They would, once more of them are ripe.
    #[error(
        "the price is {price}, and the certificates that would pay it are not ripe: enough of them are on {at}"
    )]
    Unripe {
        /// What is asked for, all parts together.
        price: Credits,
        /// When enough are ripe.
        at: UnixSeconds,
    },
    /// They would, with those that are in doubt since a restore.
    #[error("the price is {price}, and only certificates that are in doubt would pay it")]
    OnlyDoubtful {
        /// What is asked for.
        price: Credits,
    },
}

#[cfg(test)]
#[path = "purse_tests.rs"]
mod tests;
