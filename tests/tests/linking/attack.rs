//! The attacks: for each use of certificates the purchase that fits best, by what fits in months in which the attacker knows.

use std::collections::BTreeSet;

use crate::events::{Event, Seen};

const DAY: u64 = 86_400;

/// What a purchase and a use have to do with each other, in one respect: one of a few cases.
type Feature = fn(&Event, &Event) -> usize;

/// More than any feature has.
const CASES: usize = 16;

const FEATURES: [Feature; 9] =
    [epochs, time, hour_of_day, beside, within_an_hour, added, composition, rows, leaves];

/// What each attack looks at. The first is what certificates say by themselves, and the measure for the others.
pub(crate) const ATTACKS: [(&str, &[usize]); 6] = [
    ("epochs", &[0]),
    ("times", &[0, 1, 2]),
    ("relays", &[0, 3, 4, 5]),
    ("composition", &[0, 6]),
    ("rows and leaves", &[0, 7, 8]),
    ("everything", &[0, 1, 2, 3, 4, 5, 6, 7, 8]),
];

fn epochs(purchase: &Event, used: &Event) -> usize {
    let same = used.epochs.iter().filter(|epoch| purchase.epochs.contains(epoch)).count();
    match same {
        0 => 0,
        _ if same < used.epochs.len() => 1,
        _ => 2,
    }
}

/// By the time between them: who wants to pay and cannot buys, and new certificates ripen.
fn time(purchase: &Event, used: &Event) -> usize {
    let bounds = [60, 3_600, DAY, 3 * DAY, 5 * DAY, 8 * DAY, 12 * DAY, 16 * DAY, 20 * DAY];
    bounds.partition_point(|bound| *bound <= used.time - purchase.time)
}

fn hour_of_day(purchase: &Event, used: &Event) -> usize {
    let [one, other] = [purchase.time % DAY, used.time % DAY];
    let apart = one.abs_diff(other);
    usize::try_from(apart.min(DAY - apart) / (2 * 3_600)).unwrap()
}

/// How the relays that a purchase shows, if any, go with those that the use shows: how many of these are among them, and whether
/// they are all among these.
fn fits(of_purchase: &BTreeSet<String>, used: &Event) -> usize {
    let relays: BTreeSet<&String> = used.relay.iter().chain(&used.beside).collect();
    if relays.is_empty() || of_purchase.is_empty() {
        return 0;
    }
    let common = of_purchase.iter().filter(|relay| relays.contains(relay)).count();
    let whole = usize::from(common == of_purchase.len());
    1 + common.min(2) + 3 * whole
}

fn beside(purchase: &Event, used: &Event) -> usize {
    fits(&purchase.beside, used) + if purchase.connection == used.connection { 8 } else { 0 }
}

fn within_an_hour(purchase: &Event, used: &Event) -> usize {
    fits(&purchase.within_an_hour, used)
}

fn added(purchase: &Event, used: &Event) -> usize {
    fits(&purchase.added_before, used)
}

/// What was paid above the price shows an old purse, and many small certificates a new one.
fn composition(purchase: &Event, used: &Event) -> usize {
    let kind = match (used.excess, used.certificates) {
        (0, 1) => 0,
        (0, _) => 1,
        (1..=2, _) => 2,
        _ => 3,
    };
    let age = [4 * DAY, 10 * DAY, 16 * DAY].partition_point(|at| *at <= used.time - purchase.time);
    4 * kind + age
}

fn apart(purchase: &Event, used: &Event, table: usize) -> usize {
    let apart = used.rows[table] - purchase.rows[table];
    (((apart + 1.0) * 4.0) as usize).min(7)
}

fn rows(purchase: &Event, used: &Event) -> usize {
    apart(purchase, used, 0)
}

fn leaves(purchase: &Event, used: &Event) -> usize {
    apart(purchase, used, 1)
}

/// How often each case of each feature was seen: with purchases of somebody else, and of the same wallet.
#[derive(Clone)]
struct Counts([[[f64; 2]; CASES]; FEATURES.len()]);

impl Counts {
    fn none() -> Self {
        Self([[[0.0; 2]; CASES]; FEATURES.len()])
    }

    fn of(month: &Seen) -> Self {
        let mut counts = Self::none();
        for used in &month.uses {
            for purchase in before(month, used) {
                let same = usize::from(purchase.owner == used.owner);
                for (feature, counts) in FEATURES.iter().zip(&mut counts.0) {
                    counts[feature(purchase, used)][same] += 1.0;
                }
            }
        }
        counts
    }

    fn add(&mut self, other: &Self, times: f64) {
        let cells = self.0.iter_mut().flatten().flatten();
        cells
            .zip(other.0.iter().flatten().flatten())
            .for_each(|(one, other)| *one += times * other);
    }

    /// How much more likely this case is with a purchase of the same wallet, as a logarithm.
    fn weight(&self, feature: usize, case: usize) -> f64 {
        let total = |same: usize| self.0[feature].iter().map(|case| case[same]).sum::<f64>();
        let share =
            |same: usize| (self.0[feature][case][same] + 1.0) / (total(same) + CASES as f64);
        (share(1) / share(0)).ln()
    }
}

fn before<'s>(month: &'s Seen, used: &Event) -> impl Iterator<Item = &'s Event> {
    let time = used.time;
    month.purchases.iter().filter(move |purchase| purchase.time <= time)
}

/// For each attack, what share of a month's payments and renewals it ties to a purchase of the right wallet; what it knows it learned
/// in the other months.
pub(crate) fn scores(months: &[Seen]) -> Vec<Vec<f64>> {
    let of_months: Vec<Counts> = months.iter().map(Counts::of).collect();
    let mut all = Counts::none();
    of_months.iter().for_each(|counts| all.add(counts, 1.0));
    let learned: Vec<Counts> = of_months
        .iter()
        .map(|own| {
            let mut others = all.clone();
            others.add(own, -1.0);
            others
        })
        .collect();
    let score = |attack: &[usize]| {
        let months = months.iter().zip(&learned);
        months.map(|(month, learned)| score(month, learned, attack)).collect()
    };
    ATTACKS.iter().map(|(_, attack)| score(attack)).collect()
}

fn score(month: &Seen, learned: &Counts, attack: &[usize]) -> f64 {
    let mut right = 0.0;
    for used in &month.uses {
        let candidates: Vec<&Event> = before(month, used).collect();
        let fit = |purchase: &&Event| -> f64 {
            let weight =
                |feature: &usize| learned.weight(*feature, FEATURES[*feature](purchase, used));
            attack.iter().map(weight).sum()
        };
        let fits: Vec<f64> = candidates.iter().map(fit).collect();
        let best = fits.iter().copied().fold(f64::MIN, f64::max);
        let top: Vec<_> =
            candidates.iter().zip(&fits).filter(|(_, fit)| **fit > best - 1e-9).collect();
        let own = top.iter().filter(|(purchase, _)| purchase.owner == used.owner).count();
        right += own as f64 / top.len().max(1) as f64;
    }
    right / month.uses.len().max(1) as f64
}
