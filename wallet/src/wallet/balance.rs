//! What the wallet is worth.

use std::collections::BTreeMap;

use scrip_protocol::{
    credits::{Credits, Exponent},
    id::OperatorId,
    purchase::GrantRequest,
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use serde::Serialize;

use super::{Wallet, buy::is_open};
use crate::{
    error::WalletError,
    privacy::Privacy,
    records::{CertificateRecord, CertificateState, PaymentRecord, Purchase, PurchaseState},
};

/// Certificates that expire within this many days are named.
pub(super) const WARN_DAYS: u64 = 30;

/// Certificates of one denomination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Denomination {
    /// The denomination is 2^exponent credits.
    pub exponent: Exponent,
    /// How many there are.
    pub count: u32,
    /// What they are worth together.
    pub credits: Credits,
}

/// Certificates that expire at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Expiring {
    /// When.
    pub at: UnixSeconds,
    /// What they are worth together.
    pub credits: Credits,
}

/// Certificates that one relay saw in a payment that it refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The relay's host and port, or the operator's id where the relay is not known any more.
    pub relay: String,
    /// What they are worth together.
    pub credits: Credits,
}

/// What the wallet is worth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Can be spent now.
    pub spendable: Credits,
    /// The same by denomination, ascending.
    pub denominations: Vec<Denomination>,
    /// Can be spent at one relay alone, which saw them in a payment that it refused; elsewhere after their renewal.
    pub seen: Vec<Seen>,
    /// Will be able to be spent: certificates ripen, each for a time of its own.
    pub ripening: Credits,
    /// When the last of them is ripe.
    pub ripe: Option<UnixSeconds>,
    /// Bought, and not yet here: `scrip resume` fetches it.
    pub pending: Credits,
    /// How many purchases the vendor has not confirmed, so that their worth is not known: `scrip resume` goes on with them.
    pub unconfirmed: usize,
    /// In payments without a definite answer: `scrip resume` finishes them.
    pub in_flight: Credits,
    /// Being exchanged for certificates that expire later: `scrip renew` finishes that.
    pub renewing: Credits,
    /// Restored from the seed: spent before, or not.
    pub in_doubt: Credits,
    /// Gone: spent before a restore, or by a copy of this wallet.
    pub spent_elsewhere: Credits,
    /// A part of what can be spent or ripens that expires within 30 days.
    pub expiring: Vec<Expiring>,
    /// Lost, because it was not spent in time.
    pub expired: Credits,
    /// Second parts of purchases, which the vendor issues from then on.
    pub later: Vec<Expiring>,
    /// Of test purchases: worth nothing, in none of the sums above, and spent only where that is asked for.
    pub test: Credits,
}

impl Wallet {
    /// What the wallet is worth now.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn balance(&self) -> Result<Balance, WalletError> {
        let purchases = self.store.all::<Purchase>().await?;
        let now = self.now();
        let names = self.names_of_operators().await?;
        let mut seen: BTreeMap<String, Credits> = BTreeMap::new();
        let all_ripe = self.privacy().await == Privacy::Off;
        let purse = self.purse.lock().await;
        let mut balance = Balance {
            pending: Credits::total(purchases.iter().filter(|p| is_open(p)).filter_map(promised)),
            later: later(&purchases),
            unconfirmed: purchases.iter().filter(|one| is_unconfirmed(one)).count(),
            ..Balance::default()
        };
        let (mut spendable, mut held) = (Vec::new(), Vec::new());
        for one in purse.all() {
            let sum = match one.state {
                CertificateState::Held | CertificateState::InDoubt if one.test => {
                    if one.spend_until <= now {
                        continue;
                    }
                    &mut balance.test
                }
                CertificateState::InFlight { .. }
                | CertificateState::Renewing { .. }
                | CertificateState::SpentElsewhere
                    if one.test =>
                {
                    continue;
                }
                CertificateState::Held | CertificateState::InDoubt if one.spend_until <= now => {
                    &mut balance.expired
                }
                CertificateState::Held if !one.seen_by.is_empty() => {
                    seen.entry(relays_of(one, &names)).or_default()
                }
                CertificateState::Held => {
                    held.push(one);
                    if all_ripe || one.ripe <= now {
                        spendable.push(one);
                        &mut balance.spendable
                    } else {
                        balance.ripe = balance.ripe.max(Some(one.ripe));
                        &mut balance.ripening
                    }
                }
                CertificateState::InDoubt => &mut balance.in_doubt,
                CertificateState::InFlight { .. } => &mut balance.in_flight,
                CertificateState::Renewing { .. } => &mut balance.renewing,
                CertificateState::SpentElsewhere => &mut balance.spent_elsewhere,
                CertificateState::Spent { .. } | CertificateState::Renewed { .. } => continue,
            };
            *sum = Credits::total([*sum, one.value()]);
        }
        balance.denominations = by_denomination(&spendable);
        balance.seen = seen.into_iter().map(|(relay, credits)| Seen { relay, credits }).collect();
        balance.expiring = expiring(&held, now);
        Ok(balance)
    }

    /// Host and port of each operator that was ever paid.
    pub(super) async fn names_of_operators(
        &self,
    ) -> Result<BTreeMap<OperatorId, String>, WalletError> {
        let payments = self.store.all::<PaymentRecord>().await?;
        Ok(payments.into_iter().map(|one| (one.relay.id, one.relay.authority)).collect())
    }
}

/// Who saw a certificate.
fn relays_of(one: &CertificateRecord, names: &BTreeMap<OperatorId, String>) -> String {
    let name = |operator: &OperatorId| {
        names.get(operator).cloned().unwrap_or_else(|| operator.to_string())
    };
    one.seen_by.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Second parts that were not asked for yet.
fn later(purchases: &[Purchase]) -> Vec<Expiring> {
    let rest = |one: &Purchase| match &one.state {
        PurchaseState::Issued { answer, .. } => answer.rest,
        _ => None,
    };
    let begun = purchases.iter().filter(|one| matches!(one.proof, Some(GrantRequest::Rest { .. })));
    // Each is asked for when it is due, the earliest first.
    let mut later: Vec<Expiring> = purchases
        .iter()
        .filter_map(rest)
        .map(|rest| Expiring { at: rest.from, credits: rest.credits })
        .collect();
    later.sort_by_key(|one| one.at);
    later.split_off(begun.count().min(later.len()))
}

const fn is_unconfirmed(purchase: &Purchase) -> bool {
    matches!(purchase.state, PurchaseState::Ordering { .. } | PurchaseState::Asked)
}

const fn promised(purchase: &Purchase) -> Option<Credits> {
    match &purchase.state {
        PurchaseState::Granted { answer } | PurchaseState::Requested { answer, .. }
            if !answer.test =>
        {
            Some(answer.credits)
        }
        _ => None,
    }
}

fn by_denomination(certificates: &[&CertificateRecord]) -> Vec<Denomination> {
    let mut counts: BTreeMap<Exponent, u32> = BTreeMap::new();
    certificates.iter().for_each(|one| *counts.entry(one.exponent).or_default() += 1);
    counts
        .into_iter()
        .map(|(exponent, count)| Denomination {
            exponent,
            count,
            credits: Credits(exponent.value().0.saturating_mul(count.into())),
        })
        .collect()
}

fn expiring(certificates: &[&CertificateRecord], now: UnixSeconds) -> Vec<Expiring> {
    let soon = now.plus(WARN_DAYS * SECONDS_PER_DAY);
    let mut sums: BTreeMap<UnixSeconds, u64> = BTreeMap::new();
    for one in certificates.iter().filter(|one| one.spend_until <= soon) {
        *sums.entry(one.spend_until).or_default() += one.value().0;
    }
    sums.into_iter().map(|(at, credits)| Expiring { at, credits: Credits(credits) }).collect()
}
