//! Which certificates pay a price. Pure: no store, no clock.
//!
//! Values are powers of two, each of which divides every larger one. Two things follow that everything here rests on:
//! taking the largest that fits, again and again, finds an exact sum wherever there is one, with the fewest
//! certificates; and a set of smaller values that together reach a larger value has a subset that *is* that value, so
//! that it never helps to leave a larger one that fits.

use scrip_protocol::{
    credits::{Credits, Exponent},
    limits::{MAX_EXPONENT, MAX_PAYMENT_ITEMS},
    time::UnixSeconds,
};

const LEVELS: usize = MAX_EXPONENT as usize + 1;

/// A certificate that could be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coin {
    /// Its denomination.
    pub exponent: Exponent,
    /// When it can no longer be spent: the earlier, the sooner it is used.
    pub spend_until: UnixSeconds,
}

/// Why no set of certificates pays the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// All certificates together are worth less than the price.
    #[error("the price is {price}, and the wallet can spend {available}")]
    NotEnough {
        /// What is asked for.
        price: Credits,
        /// What all certificates are worth.
        available: Credits,
    },
    /// The certificates are worth enough, but a payment takes no more than 64 of them.
    #[error(
        "the price is {price}, and the {MAX_PAYMENT_ITEMS} largest certificates are worth {largest}"
    )]
    TooManyItems {
        /// What is asked for.
        price: Credits,
        /// What the largest certificates that fit in a payment are worth.
        largest: Credits,
    },
}

/// How many certificates there are of each exponent.
#[derive(Clone, Copy)]
struct Stock([usize; LEVELS]);

impl Stock {
    fn of(coins: &[Coin]) -> Self {
        let mut stock = Self([0; LEVELS]);
        coins.iter().for_each(|coin| stock.0[level(coin)] += 1);
        stock
    }

    /// How many certificates it takes at least to pay exactly `sum`; `None` where that cannot be done.
    fn fewest_for(&self, sum: u64) -> Option<usize> {
        let mut rest = sum;
        let mut items = 0;
        for at in (0..LEVELS).rev() {
            let taken = self.fitting(at, rest);
            rest -= (taken as u64) << at;
            items += taken;
        }
        (rest == 0).then_some(items)
    }

    /// How many of the certificates of a level fit into `rest`.
    fn fitting(&self, at: usize, rest: u64) -> usize {
        usize::try_from(rest >> at).map_or(self.0[at], |fits| fits.min(self.0[at]))
    }

    /// The least sum of at most [`MAX_PAYMENT_ITEMS`] certificates that reaches `price`.
    ///
    /// At each level, the largest first, all that fit are taken. Where one more is left it could end the search here, for
    /// an excess below its value; the levels below may do better.
    fn least_sum(&self, price: u64) -> Option<u64> {
        let mut rest = price;
        let mut items = 0;
        let mut best: Option<u64> = None;
        for at in (0..LEVELS).rev() {
            let room = MAX_PAYMENT_ITEMS - items;
            let fitting = self.fitting(at, rest);
            if fitting < self.0[at] && fitting < room {
                let excess = ((fitting as u64 + 1) << at) - rest;
                best = Some(best.map_or(excess, |best| best.min(excess)));
            }
            let taken = fitting.min(room);
            rest -= (taken as u64) << at;
            items += taken;
        }
        if rest == 0 { Some(price) } else { best.map(|excess| price.saturating_add(excess)) }
    }
}

/// The positions in `coins` of the certificates that pay `price`: exactly if that is possible, else with the smallest
/// excess; among those, the ones that expire first; at most [`MAX_PAYMENT_ITEMS`].
///
/// # Errors
/// [`ChoiceError`].
pub fn choose(coins: &[Coin], price: Credits) -> Result<Vec<usize>, ChoiceError> {
    let mut stock = Stock::of(coins);
    let mut rest = stock.least_sum(price.0).ok_or_else(|| unpayable(coins, price))?;
    let mut order: Vec<usize> = (0..coins.len()).collect();
    // The oldest first; of one age the largest, so that a payment stays short.
    order.sort_by_key(|&at| (coins[at].spend_until, std::cmp::Reverse(coins[at].exponent)));
    let mut chosen = Vec::new();
    for at in order {
        if rest == 0 {
            break;
        }
        let value = coins[at].exponent.value().0;
        stock.0[level(&coins[at])] -= 1;
        let room = MAX_PAYMENT_ITEMS - chosen.len() - 1;
        let still_payable = rest
            .checked_sub(value)
            .is_some_and(|left| stock.fewest_for(left).is_some_and(|items| items <= room));
        if still_payable {
            chosen.push(at);
            rest -= value;
            if chosen.len() == MAX_PAYMENT_ITEMS {
                break;
            }
        }
    }
    Ok(chosen)
}

fn unpayable(coins: &[Coin], price: Credits) -> ChoiceError {
    let available = Credits::total(coins.iter().map(|coin| coin.exponent.value()));
    if available < price {
        return ChoiceError::NotEnough { price, available };
    }
    let mut values: Vec<Credits> = coins.iter().map(|coin| coin.exponent.value()).collect();
    values.sort_by(|a, b| b.cmp(a));
    let largest = Credits::total(values.into_iter().take(MAX_PAYMENT_ITEMS));
    ChoiceError::TooManyItems { price, largest }
}

fn level(coin: &Coin) -> usize {
    usize::from(coin.exponent.get())
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
