#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::keys::{Signature, SigningKey};
use crate::ledger::SourceName;
use crate::redemption::RedemptionItem;
use crate::spend::Commitment;
use crate::token::Token;

const DAY: Day = Day(20_000);

fn vendor() -> VendorId {
    VendorId::from_bytes([1; 32])
}

fn operator_key() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

fn operator() -> OperatorId {
    OperatorId::of(&operator_key().public())
}

fn exponent(k: u8) -> Exponent {
    Exponent::new(k).unwrap()
}

/// Key ids say what they are: epoch, exponent, and 1 where they are test keys.
struct Keys;

impl KeyBook for Keys {
    fn facts(&self, id: &KeyId) -> Option<KeyFacts> {
        let [epoch, k, test, ..] = *id.as_bytes();
        let exponent = Exponent::new(k)?;
        Some(KeyFacts { epoch: epoch.into(), exponent, is_production: test == 0 })
    }
}

fn contract(number: u32, price: u64, share: u16, resale_price: u64) -> Contract {
    Contract {
        operator_key: operator_key().public(),
        number,
        day: DAY,
        currency: "EUR".parse().unwrap(),
        price,
        share,
        resale_price,
        salt: [9; 32],
    }
}

fn redeemed(epoch: u8, k: u8, test: u8) -> Leaf {
    let mut key_id = [0; 32];
    key_id[..3].copy_from_slice(&[epoch, k, test]);
    let token = Token {
        nonce: [1; 32],
        challenge_digest: [2; 32],
        key_id: KeyId::from_bytes(key_id),
        authenticator: [4; 256],
    };
    let (commitment, signature) = (Commitment::from_bytes([5; 32]), Signature::from_bytes([6; 64]));
    let item = RedemptionItem { token, day: DAY, commitment, signature };
    Leaf::Redemption(Box::new(Redemption { operator_id: operator(), item }))
}

fn resold(purchases: u64, credits: u64, test: bool) -> Leaf {
    Leaf::Sales(Sales {
        day: DAY,
        source: SourceName::new("voucher").unwrap(),
        test,
        operator_id: Some(operator()),
        purchases,
        credits: Credits(credits),
        salt: [3; 32],
    })
}

fn account(leaves: &[(u64, Leaf)]) -> Account {
    let mut account = Account::new(vendor(), operator());
    for (index, leaf) in leaves {
        assert_eq!(account.add(*index, leaf, &Keys), Ok(Vec::new()));
    }
    account
}

fn next(account: &Account, until: u64) -> Statement {
    account.next_statement(DAY, until, Vec::new(), |_| [7; 32]).unwrap().unwrap()
}

fn signed(statement: Statement) -> Leaf {
    Leaf::Statement(statement.sign(&SigningKey::from_seed(&[8; 32])).unwrap())
}

/// Two contracts, redemptions before and under both, resold credits, test certificates that count nothing.
fn history() -> Vec<(u64, Leaf)> {
    vec![
        (3, redeemed(1, 0, 0)),
        (10, Leaf::Contract(contract(1, 2_000, 7_000, 1_500))),
        (11, redeemed(1, 3, 0)),
        (12, redeemed(1, 3, 0)),
        (13, redeemed(3, 3, 1)),
        (20, resold(2, 10, false)),
        (21, resold(1, 1_000, true)),
        (30, Leaf::Contract(contract(2, 1_000, 5_000, 1_000))),
        (31, redeemed(1, 3, 0)),
        (40, redeemed(2, 4, 0)),
    ]
}

#[test]
fn a_statement_follows_from_the_leaves() {
    let account = account(&history());
    let statement = next(&account, 40);
    assert_eq!((statement.number, statement.from, statement.until), (1, 0, 40));
    let line = |contract, k, certificates| EarnedLine {
        contract,
        epoch: 1,
        exponent: exponent(k),
        certificates,
    };
    assert_eq!(statement.earned, [line(0, 0, 1), line(1, 3, 2), line(2, 3, 1)]);
    let sold = ResoldLine { contract: 1, purchases: 2, credits: Credits(10) };
    assert_eq!(statement.resold, [sold]);
    // 16 × 2,000 × 70 % − 10 × 1,500, and 8 × 1,000 × 50 %
    assert_eq!(statement.total, 22_400 - 15_000 + 4_000);
    assert_eq!(statement.settled.len(), 1);
    assert_eq!(statement.settled[0].credits, Credits(1 + 16 + 8));
    assert_eq!(account.faults(50, &statement), []);
}

#[test]
fn what_came_while_a_statement_was_made_is_in_the_next() {
    let mut account = account(&history());
    let first = next(&account, 31);
    assert_eq!(account.add(50, &signed(first), &Keys), Ok(Vec::new()));
    assert_eq!((account.statements(), account.settled_until()), (1, 31));
    let second = next(&account, 51);
    assert_eq!((second.number, second.from, second.until), (2, 31, 51));
    assert_eq!(second.earned.len(), 2, "{second:?}");
    assert_eq!(account.add(60, &signed(second), &Keys), Ok(Vec::new()));
    assert_eq!(account.next_statement(DAY, 61, Vec::new(), |_| [0; 32]), Ok(None));
}

#[test]
fn an_account_goes_on_from_its_last_statement() {
    let mut whole = account(&history());
    let first = next(&whole, 31);
    let terms = whole.contracts().to_vec();
    let mut resumed = Account::resumed(vendor(), operator(), terms, 1, 31);
    assert_eq!(whole.add(50, &signed(first), &Keys), Ok(Vec::new()));
    for (index, leaf) in history().into_iter().filter(|(index, _)| *index >= 31) {
        assert_eq!(resumed.add(index, &leaf, &Keys), Ok(Vec::new()));
    }
    assert_eq!(next(&resumed, 51), next(&whole, 51));
}

#[test]
fn every_lie_has_a_name() {
    let account = account(&history());
    let honest = next(&account, 40);
    type Lie = fn(&mut Statement);
    let lies: [(&str, Lie); 10] = [
        ("Earned", |statement| statement.earned[1].certificates -= 1),
        ("Earned", |statement| statement.earned.truncate(2)),
        ("Resold", |statement| statement.resold[0].credits.0 += 1),
        ("Total", |statement| statement.total -= 1),
        ("Settled", |statement| statement.settled[0].credits.0 -= 1),
        ("Number", |statement| statement.number = 2),
        ("Range", |statement| statement.from = 4),
        ("Range", |statement| statement.until = 51),
        ("Currency", |statement| statement.currency = "USD".parse().unwrap()),
        ("OtherParty", |statement| statement.vendor_id = VendorId::from_bytes([9; 32])),
    ];
    for (name, lie) in lies {
        let mut statement = honest.clone();
        lie(&mut statement);
        let faults = account.faults(50, &statement);
        assert!(
            faults.iter().any(|fault| format!("{fault:?}").starts_with(name)),
            "{name}: {faults:?}"
        );
    }
    let mut statement = honest;
    statement.earned[2].contract = 3;
    let faults = account.faults(50, &statement);
    let unknown = StatementFault::Settlement(SettlementError::NoContract { contract: 3 });
    assert!(faults.contains(&unknown), "{faults:?}");
}

#[test]
fn leaves_that_cannot_be_are_refused_and_change_nothing() {
    let mut account = account(&history());
    let before = next(&account, 41);
    let key = Leaf::Cover([0; 32]);
    assert_eq!(
        account.add(40, &redeemed(1, 0, 0), &Keys),
        Err(SettlementError::Order { index: 40 })
    );
    assert_eq!(account.add(41, &key, &Keys), Err(SettlementError::Foreign { index: 41 }));
    assert_eq!(
        account.add(41, &redeemed(1, 99, 0), &Keys),
        Err(SettlementError::UnknownKey { index: 41 })
    );
    for odd in [contract(2, 1, 1, 1), contract(4, 1, 1, 1)] {
        let number = odd.number;
        let refused = Err(SettlementError::Contract { index: 41, number });
        assert_eq!(account.add(41, &Leaf::Contract(odd), &Keys), refused);
    }
    let mut dollars = contract(3, 1, 1, 1);
    dollars.currency = "USD".parse().unwrap();
    let refused = Err(SettlementError::Contract { index: 41, number: 3 });
    assert_eq!(account.add(41, &Leaf::Contract(dollars), &Keys), refused);
    assert_eq!(next(&account, 41), before);
}

#[test]
fn amounts_beyond_all_bounds_are_errors() {
    let dear = contract(1, u64::MAX, 10_000, u64::MAX);
    let most = Credits(u64::MAX);
    let overflow = Err(SettlementError::Overflow { contract: 1 });
    assert_eq!(amount(Some(&dear), most, Credits::ZERO), overflow);
    assert_eq!(amount(Some(&dear), Credits::ZERO, most), overflow);
    assert_eq!(amount(None, most, most), Ok(0));
    let line = EarnedLine { contract: 1, epoch: 1, exponent: exponent(31), certificates: u64::MAX };
    assert_eq!(by_epoch(&[line]), Err(SettlementError::Overflow { contract: 1 }));
    let half = contract(1, 1, 1, 0);
    assert_eq!(amount(Some(&half), Credits(9_999), Credits::ZERO), Ok(0), "rounded down");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Wherever statements cut a history, they add up to the same lines, each leaf in one of them.
    #[test]
    fn statements_cover_everything_once(kinds in prop::collection::vec(0_u8..5, 1..60), cut in 0_usize..60) {
        let leaf = |kind: &u8| match kind {
            0 => resold(1, 4, false),
            1 => redeemed(3, 1, 1),
            kind => redeemed(1, *kind, 0),
        };
        let mut whole = Account::new(vendor(), operator());
        let mut parts = whole.clone();
        let terms = Leaf::Contract(contract(1, 3, 10_000, 1));
        whole.add(0, &terms, &Keys).unwrap();
        parts.add(0, &terms, &Keys).unwrap();
        let cut = cut % kinds.len();
        let mut totals = 0;
        for (at, kind) in kinds.iter().enumerate() {
            let index = 2 * at as u64 + 1;
            whole.add(index, &leaf(kind), &Keys).unwrap();
            parts.add(index, &leaf(kind), &Keys).unwrap();
            if at == cut
                && let Some(statement) = parts.next_statement(DAY, index, Vec::new(), |_| [0; 32]).unwrap()
            {
                totals += statement.total;
                prop_assert_eq!(parts.add(index + 1, &signed(statement), &Keys), Ok(Vec::new()));
            }
        }
        let end = 2 * kinds.len() as u64 + 1;
        let rest = parts.next_statement(DAY, end, Vec::new(), |_| [0; 32]).unwrap();
        let all = whole.next_statement(DAY, end, Vec::new(), |_| [0; 32]).unwrap();
        // One contract with the whole share: nothing is rounded away.
        prop_assert_eq!(totals + rest.map_or(0, |one| one.total), all.map_or(0, |one| one.total));
    }

    #[test]
    fn amounts_never_panic(price: u64, share in 0_u16..=10_000, resale: u64, earned: u64, sold: u64) {
        let terms = contract(1, price, share, resale);
        let exact = i128::try_from(u128::from(earned) * u128::from(price)).ok()
            .and_then(|value| value.checked_mul(share.into()))
            .map(|value| value / 10_000 - i128::from(sold) * i128::from(resale));
        if let (Ok(amount), Some(exact)) = (amount(Some(&terms), Credits(earned), Credits(sold)), exact) {
            prop_assert_eq!(amount, exact);
        }
    }
}
