//! The certificates in memory, as they are on disk.

use std::collections::BTreeMap;

use scrip_protocol::{credits::Credits, keys::PublicKey, time::UnixSeconds};

use crate::{
    choice::{ChoiceError, Coin, choose},
    records::{CertificateRecord, CertificateState},
};

/// A certificate that is about to expire is left alone: its payment could still be on the way when it does.
const SPEND_MARGIN: u64 = 300;

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

    /// Certificates that pay `price`. Doubtful ones only where `doubtful` is set and the others do not do.
    pub(crate) fn choose(
        &self,
        price: Credits,
        now: UnixSeconds,
        doubtful: bool,
    ) -> Result<Vec<&CertificateRecord>, Shortage> {
        let held = self.pick(price, now, |state| matches!(state, CertificateState::Held));
        let error = match held {
            Ok(chosen) => return Ok(chosen),
            Err(error) => error,
        };
        let with_doubtful = self.pick(price, now, |state| {
            matches!(state, CertificateState::Held | CertificateState::InDoubt)
        });
        match with_doubtful {
            Ok(chosen) if doubtful => Ok(chosen),
            Ok(_) => Err(Shortage::OnlyDoubtful { price }),
            Err(_) => Err(Shortage::Choice(error)),
        }
    }

    fn pick(
        &self,
        price: Credits,
        now: UnixSeconds,
        usable: impl Fn(&CertificateState) -> bool,
    ) -> Result<Vec<&CertificateRecord>, ChoiceError> {
        let candidates: Vec<&CertificateRecord> = self
            .all()
            .filter(|one| usable(&one.state) && now.plus(SPEND_MARGIN) < one.spend_until)
            .collect();
        let coins: Vec<Coin> = candidates
            .iter()
            .map(|one| Coin { exponent: one.exponent, spend_until: one.spend_until })
            .collect();
        let chosen = choose(&coins, price)?;
        Ok(chosen.into_iter().filter_map(|at| candidates.get(at).copied()).collect())
    }
}

/// Why the purse does not pay a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The certificates do not suffice.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// They would, with those that are in doubt since a restore.
    #[error("the price is {price}, and only certificates that are in doubt would pay it")]
    OnlyDoubtful {
        /// What is asked for.
        price: Credits,
    },
}
