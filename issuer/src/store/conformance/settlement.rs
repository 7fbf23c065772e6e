//! Contracts, statements and adjustments: numbered without gaps, recorded once, and each in line for the ledger exactly once.

use futures_util::future::join_all;
use scrip_protocol::{
    id::{OperatorId, VendorId},
    keys::SigningKey,
    ledger::{Adjustment, Leaf, SignedStatement, Statement},
    manifest::Classes,
    time::Day,
};

use crate::store::{
    Act, Action, NewContract, NewOperator, NewStatement, OperatorRow, RecordedContract, Store, What,
};

const TODAY: Day = Day(20_500);

/// The suite. `stores` are open on one empty database.
pub(super) async fn conform(stores: &[Store]) {
    stores[0].begin_ledger(&[7; 32], &[]).await.unwrap();
    let operator = operator(&stores[0]).await;
    contracts_are_numbered(stores, &operator).await;
    one_of_many_statements_is_recorded(stores, &operator).await;
    an_adjustment_is_in_one_statement(&stores[0], &operator).await;
}

fn act() -> Act {
    Act::by_command(TODAY.start(), Action::StatementMake, "aurora")
}

async fn operator(store: &Store) -> OperatorRow {
    let key = SigningKey::from_seed(&[1; 32]).public();
    let id = OperatorId::of(&key);
    let new = NewOperator { key: &key, name: "aurora", addresses: &[], classes: Classes::ALL };
    store.add_operator(&new, TODAY, &act()).await.unwrap();
    store.operator(&id).await.unwrap().unwrap()
}

fn terms(price: u64, currency: Option<&str>) -> NewContract {
    NewContract {
        currency: currency.map(|text| text.parse().unwrap()),
        price,
        share: 7_000,
        resale_price: 3,
        day: TODAY,
        salt: [price as u8; 32],
    }
}

/// The leaves in line, in their order.
async fn line(store: &Store) -> Vec<Leaf> {
    let queue = store.ledger_queue(100).await.unwrap();
    let leaves = queue.into_iter().filter(|row| row.what == What::Leaf);
    leaves.map(|row| Leaf::decode(&row.body.unwrap()).unwrap()).collect()
}

async fn contracts_are_numbered(stores: &[Store], operator: &OperatorRow) {
    let store = &stores[0];
    let add = async |new| store.add_contract(operator, &new, &act()).await.unwrap();
    assert_eq!(add(terms(9, None)).await, RecordedContract::NoCurrency);
    assert!(line(store).await.is_empty());
    let attempts = (1..6).map(|price| {
        let (store, new) = (&stores[price as usize % stores.len()], terms(price, Some("EUR")));
        async move { store.add_contract(operator, &new, &act()).await.unwrap() }
    });
    let recorded = join_all(attempts).await;
    assert!(recorded.iter().all(|one| matches!(one, RecordedContract::Recorded(_))));
    let contracts = stores[stores.len() - 1].contracts(operator).await.unwrap();
    let numbers: Vec<u32> = contracts.iter().map(|one| one.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let last = contracts[4].clone();
    assert_eq!(add(terms(last.price, None)).await, RecordedContract::Before(last));
    let other = add(terms(77, Some("USD"))).await;
    assert_eq!(other, RecordedContract::OtherCurrency("EUR".parse().unwrap()));
    let leaves: Vec<Leaf> = contracts.into_iter().map(Leaf::Contract).collect();
    assert_eq!(line(store).await, leaves, "each once, in the order of their numbers");
}

fn statement(operator: &OperatorRow, number: u32, until: u64) -> SignedStatement {
    let statement = Statement {
        vendor_id: VendorId::from_bytes([1; 32]),
        operator_id: operator.id,
        number,
        day: TODAY,
        from: 0,
        until,
        currency: "EUR".parse().unwrap(),
        earned: Vec::new(),
        resold: Vec::new(),
        adjustments: Vec::new(),
        settled: Vec::new(),
        total: 0,
    };
    statement.sign(&SigningKey::from_seed(&[2; 32])).unwrap()
}

async fn record(
    store: &Store,
    operator: &OperatorRow,
    signed: &SignedStatement,
    adjustments: &[u32],
) -> bool {
    let statement = signed.unverified();
    let new = NewStatement {
        number: statement.number,
        until: statement.until,
        contract: 2,
        day: TODAY,
        signed,
        commitments: &[],
        adjustments,
    };
    store.add_statement(operator, &new, &act()).await.unwrap()
}

async fn one_of_many_statements_is_recorded(stores: &[Store], operator: &OperatorRow) {
    let before = line(&stores[0]).await.len();
    let candidates: Vec<_> = (10..18).map(|until| statement(operator, 1, until)).collect();
    let attempts = candidates.iter().enumerate().map(|(n, signed)| {
        let store = &stores[n % stores.len()];
        record(store, operator, signed, &[])
    });
    let won = join_all(attempts).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = &candidates[won.iter().position(|won| *won).unwrap()];
    for store in stores {
        assert_eq!(store.statements(operator).await.unwrap(), std::slice::from_ref(winner));
        let unstated = store.unstated(operator).await.unwrap();
        assert_eq!((unstated.statements, unstated.from), (1, winner.unverified().until));
        assert_eq!(unstated.contracts.len(), 2, "those that were in force there");
        assert_eq!(unstated.last_day, Some(TODAY));
    }
    let line = line(&stores[0]).await;
    assert_eq!(line[before..], [Leaf::Statement(winner.clone())]);
    assert!(!record(&stores[0], operator, &statement(operator, 3, 99), &[]).await, "a gap");
}

async fn an_adjustment_is_in_one_statement(store: &Store, operator: &OperatorRow) {
    let adjustment = |amount| Adjustment { amount, reason: "a broken disk".into() };
    for (amount, number) in [(-3_500_000, 1), (5, 2)] {
        let added = store.add_adjustment(operator, &adjustment(amount), TODAY, &act()).await;
        assert_eq!(added.unwrap(), number);
    }
    let waiting = store.unstated(operator).await.unwrap().adjustments;
    assert_eq!(waiting.iter().map(|one| one.amount).collect::<Vec<_>>(), [-3_500_000, 5]);
    assert!(record(store, operator, &statement(operator, 2, 20), &[1]).await);
    let waiting = store.unstated(operator).await.unwrap().adjustments;
    assert_eq!(waiting.iter().map(|one| one.number).collect::<Vec<_>>(), [2]);
    let all = store.adjustments(operator).await.unwrap();
    assert_eq!((all[0].statement, all[1].statement), (Some(2), None));
}
