//! What the purse pays with while a part of it is not ripe, against trying every subset.

use proptest::prelude::*;
use scrip_protocol::{
    credits::Exponent,
    id::{KeyId, OperatorId, PaymentId},
    keys::SigningKey,
};

use super::*;
use crate::records::Blob;

const NOW: UnixSeconds = UnixSeconds(1_000_000);
const LIFE: u64 = 1_000_000;

fn certificate(n: u8, exponent: u8, ripe: u64, state: CertificateState) -> CertificateRecord {
    CertificateRecord {
        key: SigningKey::from_seed(&[n; 32]).public(),
        token: Blob(Vec::new()),
        key_id: KeyId::from_bytes([0; 32]),
        exponent: Exponent::new(exponent).unwrap(),
        spend_until: NOW.plus(LIFE),
        ripe: NOW.plus(ripe).minus(3),
        grant: 0,
        position: u16::from(n),
        test: false,
        state,
        looked: None,
        listed: false,
        proof: None,
        seen_by: Default::default(),
    }
}

/// Exponent, when it is ripe, state. Ripe are those of 0 to 3; the others ripen at one of the next seconds.
fn some_certificates() -> impl Strategy<Value = Vec<(u8, u64, CertificateState)>> {
    let payment = PaymentId::from_bytes([9; 32]);
    let state = prop_oneof![
        8 => Just(CertificateState::Held),
        1 => Just(CertificateState::InDoubt),
        1 => Just(CertificateState::Spent { payment }),
    ];
    proptest::collection::vec((0_u8..6, 0_u64..9, state), 0..10)
}

fn made(list: Vec<(u8, u64, CertificateState)>) -> Vec<CertificateRecord> {
    let numbered = (0_u8..).zip(list);
    numbered.map(|(n, (exponent, ripe, state))| certificate(n, exponent, ripe, state)).collect()
}

fn total(chosen: &[&CertificateRecord]) -> Credits {
    Credits::total(chosen.iter().map(|one| one.value()))
}

/// The least that any subset of these pays for at least `price`.
fn least(of: &[&CertificateRecord], price: Credits) -> Option<Credits> {
    let sums = (0_u32..1 << of.len()).map(|subset| {
        let chosen = of.iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1);
        Credits::total(chosen.map(|(_, one)| one.value()))
    });
    sums.filter(|sum| *sum >= price).min()
}

fn held_and(all: &[CertificateRecord], ripe_at: Option<UnixSeconds>) -> Vec<&CertificateRecord> {
    let held = all.iter().filter(|one| one.state == CertificateState::Held);
    held.filter(|one| ripe_at.is_none_or(|at| one.ripe <= at)).collect()
}

const RIPE: Choosable =
    Choosable { doubtful: false, test: false, seen: false, unripe: false, excess: false };
const OPERATOR: OperatorId = OperatorId::from_bytes([1; 32]);

proptest! {
    #[test]
    fn what_is_not_ripe_never_pays_and_never_makes_a_payment_dearer_than_it_may_be(
        all in some_certificates(),
        price in 1_u64..70,
    ) {
        let all = made(all);
        let (purse, price) = (Purse::new(all.clone()), Credits(price));
        let ripe = least(&held_and(&all, Some(NOW)), price);
        let allowed = ripe.filter(|paid| !is_excessive(*paid, price));
        match purse.choose(price, NOW, RIPE, &OPERATOR) {
            Ok(chosen) => {
                prop_assert!(chosen.iter().all(|one| one.ripe <= NOW));
                prop_assert!(chosen.iter().all(|one| one.state == CertificateState::Held));
                prop_assert_eq!(Some(total(&chosen)), allowed);
            }
            Err(Shortage::Unripe { price: asked, at }) => {
                prop_assert_eq!((asked, allowed), (price, None));
                prop_assert!(at > NOW);
                // Then it is enough, and a second before it was not.
                prop_assert!(purse.choose(price, at, RIPE, &OPERATOR).is_ok());
                prop_assert!(purse.choose(price, at.minus(1), RIPE, &OPERATOR).is_err());
            }
            Err(_) => {
                prop_assert_eq!(allowed, None);
                let all = least(&held_and(&all, None), price);
                prop_assert!(all.is_none_or(|paid| is_excessive(paid, price)), "it only ripens");
            }
        }
    }

    #[test]
    fn whoever_does_not_wait_pays_no_more(all in some_certificates(), price in 1_u64..70) {
        let all = made(all);
        let (purse, price) = (Purse::new(all.clone()), Credits(price));
        let now = Choosable { unripe: true, ..RIPE };
        let paid = purse.choose(price, NOW, now, &OPERATOR).map(|chosen| total(&chosen)).ok();
        let expected = least(&held_and(&all, None), price);
        prop_assert_eq!(paid, expected.filter(|paid| !is_excessive(*paid, price)));
        if let Ok(waited) = purse.choose(price, NOW, RIPE, &OPERATOR) {
            prop_assert!(paid.is_some_and(|paid| paid <= total(&waited)));
        }
    }

    #[test]
    fn several_payments_are_rehearsed_with_what_is_ripe(
        all in some_certificates(),
        prices in proptest::collection::vec(1_u64..12, 1..4),
    ) {
        let all = made(all);
        let prices: Vec<(OperatorId, Credits)> =
            prices.into_iter().map(|price| (OPERATOR, Credits(price))).collect();
        let ripe = held_and(&all, Some(NOW)).into_iter().cloned().collect();
        let (purse, ripe) = (Purse::new(all), Purse::new(ripe));
        let rehearsed = purse.rehearse(prices.clone(), NOW, RIPE);
        match rehearsed {
            Err(Shortage::Unripe { at, .. }) => {
                let price = Credits::total(prices.iter().map(|(_, price)| *price));
                let alone = ripe.rehearse(prices.clone(), NOW, RIPE);
                prop_assert!(alone.is_err() || is_excessive(alone.unwrap(), price));
                let paid = purse.rehearse(prices, at, RIPE);
                prop_assert!(paid.is_ok_and(|paid| !is_excessive(paid, price)));
            }
            other => prop_assert_eq!(other, ripe.rehearse(prices, NOW, RIPE)),
        }
    }
}
