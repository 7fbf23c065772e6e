//! The choice against examples, and against trying every subset.

use proptest::prelude::*;

use super::*;

fn coin(exponent: u8, spend_until: u64) -> Coin {
    Coin { exponent: Exponent::new(exponent).unwrap(), spend_until: UnixSeconds(spend_until) }
}

fn coins(list: &[(u8, u64)]) -> Vec<Coin> {
    list.iter().map(|&(exponent, until)| coin(exponent, until)).collect()
}

fn sum(coins: &[Coin], chosen: &[usize]) -> u64 {
    chosen.iter().map(|&at| coins[at].exponent.value().0).sum()
}

#[test]
fn exact_sums_are_preferred_to_short_payments() {
    let stock = coins(&[(3, 1), (0, 1), (1, 1)]);
    assert_eq!(choose(&stock, Credits(3)).unwrap(), [2, 1]);
    assert_eq!(choose(&stock, Credits(8)).unwrap(), [0]);
}

#[test]
fn the_oldest_are_spent_first() {
    let stock = coins(&[(2, 9), (1, 5), (1, 5), (2, 1)]);
    assert_eq!(choose(&stock, Credits(4)).unwrap(), [3]);
    let stock = coins(&[(2, 9), (1, 5), (1, 5)]);
    assert_eq!(choose(&stock, Credits(4)).unwrap(), [1, 2]);
}

#[test]
fn without_an_exact_sum_the_excess_is_the_smallest() {
    let stock = coins(&[(4, 1), (2, 2), (2, 2)]);
    assert_eq!(choose(&stock, Credits(5)).unwrap(), [1, 2], "8, not 16");
    assert_eq!(choose(&stock, Credits(9)).unwrap(), [0], "16, not 16 + 4");
    assert_eq!(choose(&stock, Credits(24)).unwrap().len(), 3);
}

#[test]
fn too_little_and_too_many_are_told_apart() {
    let stock = coins(&[(0, 1), (1, 1)]);
    assert_eq!(
        choose(&stock, Credits(4)),
        Err(ChoiceError::NotEnough { price: Credits(4), available: Credits(3) })
    );
    let stock = vec![coin(0, 1); MAX_PAYMENT_ITEMS + 1];
    assert_eq!(choose(&stock, Credits(64)).unwrap().len(), MAX_PAYMENT_ITEMS);
    assert_eq!(
        choose(&stock, Credits(65)),
        Err(ChoiceError::TooManyItems { price: Credits(65), largest: Credits(64) })
    );
}

#[test]
fn many_small_old_ones_do_not_crowd_out_the_rest_of_the_price() {
    let mut stock = vec![coin(0, 1); 100];
    stock.extend(coins(&[(6, 9), (6, 9)]));
    let chosen = choose(&stock, Credits(128)).unwrap();
    assert_eq!(sum(&stock, &chosen), 128);
    assert!(chosen.len() <= MAX_PAYMENT_ITEMS);
}

#[test]
fn prices_at_the_edges() {
    assert_eq!(choose(&[], Credits(0)).unwrap(), Vec::<usize>::new());
    assert!(choose(&[], Credits(1)).is_err());
    let stock = vec![coin(31, 1); 3];
    assert!(choose(&stock, Credits(u64::MAX)).is_err());
    assert_eq!(choose(&stock, Credits(1)).unwrap().len(), 1);
}

fn some_coins(most: usize) -> impl Strategy<Value = Vec<Coin>> {
    proptest::collection::vec((0_u8..6, 0_u64..4), 0..most)
        .prop_map(|list| list.into_iter().map(|(exponent, until)| coin(exponent, until)).collect())
}

proptest! {
    #[test]
    fn the_sum_is_the_least_that_any_subset_reaches(stock in some_coins(11), price in 0_u64..90) {
        let least = (0_u32..1 << stock.len())
            .map(|subset| (0..stock.len()).filter(|at| subset >> at & 1 == 1).collect::<Vec<_>>())
            .map(|subset| sum(&stock, &subset))
            .filter(|total| *total >= price)
            .min();
        match choose(&stock, Credits(price)) {
            Ok(chosen) => prop_assert_eq!(Some(sum(&stock, &chosen)), least),
            Err(_) => prop_assert_eq!(None, least),
        }
    }

    #[test]
    fn a_choice_is_a_set_that_pays_within_the_limit(stock in some_coins(300), price in 1_u64..3_000) {
        if let Ok(mut chosen) = choose(&stock, Credits(price)) {
            prop_assert!(sum(&stock, &chosen) >= price);
            prop_assert!(chosen.len() <= MAX_PAYMENT_ITEMS);
            let length = chosen.len();
            chosen.sort_unstable();
            chosen.dedup();
            prop_assert_eq!(chosen.len(), length);
        }
    }

    #[test]
    fn nothing_older_could_replace_a_chosen_one(stock in some_coins(40), price in 1_u64..200) {
        if let Ok(chosen) = choose(&stock, Credits(price)) {
            for &at in &chosen {
                let older_twin = (0..stock.len()).find(|other| {
                    !chosen.contains(other)
                        && stock[*other].exponent == stock[at].exponent
                        && stock[*other].spend_until < stock[at].spend_until
                });
                prop_assert_eq!(older_twin, None);
            }
        }
    }

    #[test]
    fn of_all_sets_that_pay_as_well_the_oldest_is_taken(stock in some_coins(10), price in 1_u64..60) {
        let Ok(chosen) = choose(&stock, Credits(price)) else { return Ok(()) };
        let paid = sum(&stock, &chosen);
        // The oldest first; of one age the largest.
        let mut ages: Vec<usize> = (0..stock.len()).collect();
        ages.sort_by_key(|&at| (stock[at].spend_until, std::cmp::Reverse(stock[at].exponent)));
        let taken = |set: &[usize]| ages.iter().map(|at| set.contains(at)).collect::<Vec<bool>>();
        let best = (0_u32..1 << stock.len())
            .map(|subset| (0..stock.len()).filter(|at| subset >> at & 1 == 1).collect::<Vec<_>>())
            .filter(|subset| sum(&stock, subset) == paid)
            .map(|subset| taken(&subset))
            .max();
        prop_assert_eq!(Some(taken(&chosen)), best);
    }
}
