//! Contracts, resale and statements, from the voucher to the signed leaf.

use std::sync::Arc;

use futures_util::future::join_all;
use scrip_protocol::{
    ledger::{
        Leaf, LedgerQuery, Money, OwnLeaves, Share, SignedLedgerQuery, SignedStatement,
        settlement::Account,
    },
    media,
};
use scrip_runtime::{clock::Clock, steps::Steps};

use super::support::*;
use crate::{
    contracts::{self, ContractError, Terms},
    ledger::{Integrated, Scope},
    statements::{self, StatementError},
    store::{Act, OperatorRow},
    testing::{Setup, TestIssuer},
    vouchers::CreateVouchersError,
};

/// 0.002 a credit, of which 70 %, and 0.0015 for each that is resold; `price` in millionths.
async fn contract(vendor: &TestIssuer, price: i64) -> (u32, bool) {
    let terms = Terms {
        operator: "operator 1",
        currency: Some("EUR".parse().unwrap()),
        price: Money(price),
        share: "70%".parse::<Share>().unwrap(),
        resale_price: Money(1_500),
    };
    let (store, clock) = (vendor.issuer.store(), &*vendor.issuer.inner.clock);
    let done = contracts::conclude(store, terms, "ada", clock, &mut rng(9)).await.unwrap();
    (done.0.number, done.1)
}

async fn integrate(vendor: &TestIssuer) {
    let done = vendor.issuer.integrate(Scope::Everything).await.unwrap();
    assert_eq!(done, Integrated::Everything);
}

async fn row(vendor: &TestIssuer, operator: &Operator) -> OperatorRow {
    vendor.issuer.store().operator(&operator.id).await.unwrap().unwrap()
}

async fn make(vendor: &TestIssuer, operator: &Operator) -> Option<SignedStatement> {
    let row = row(vendor, operator).await;
    vendor.issuer.make_statement(&row).await.unwrap()
}

/// Replays what the operator is shown, as its relay does, and returns the account.
async fn replayed(vendor: &TestIssuer, operator: &Operator) -> Account {
    let query = LedgerQuery {
        vendor_id: vendor.issuer.vendor_id(),
        operator_id: operator.id,
        time: vendor.clock.now(),
        from: 0,
    };
    let signed = SignedLedgerQuery::decode(&query.sign(&operator.key)).unwrap();
    let own = OwnLeaves::decode(&vendor.issuer.own_leaves(signed).await.unwrap()).unwrap();
    assert_eq!(own.next, own.size);
    let mut account = Account::new(query.vendor_id, query.operator_id);
    let manifest = vendor.issuer.manifest();
    for own in own.leaves {
        let leaf = Leaf::decode(&own.leaf).unwrap();
        assert_eq!(account.add(own.index, &leaf, &*manifest).unwrap(), []);
    }
    account
}

/// A wallet that uses a voucher which the operator sold.
async fn resold(vendor: &TestIssuer, wallet: &Wallet, index: u32) {
    let name = Some("operator 1");
    let made = vendor.issuer.create_resold_vouchers("starter", 1, 30, name).await.unwrap();
    let secret = wallet.secret(&vendor.issuer, index);
    use_voucher(&vendor.issuer, Some(&secret), &made.codes[0].to_string())
        .await
        .success(media::JSON);
}

#[tokio::test]
async fn a_statement_says_what_the_ledger_says() {
    let vendor = TestIssuer::start().await.unwrap();
    let mut wallet = Wallet::new(1);
    let certificates = wallet.buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    let without = vendor.issuer.make_statement(&row(&vendor, &operator).await).await;
    assert!(matches!(without, Err(StatementError::NoContract { .. })));
    assert_eq!(contract(&vendor, 2_000).await, (1, true));
    assert_eq!(contract(&vendor, 2_000).await, (1, false), "it says so already");
    integrate(&vendor).await;
    assert!(make(&vendor, &operator).await.is_none(), "nothing has happened");

    let items: Vec<_> = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    operator.redeem(&vendor, items[..4].to_vec()).await; // four of one credit
    resold(&vendor, &wallet, 7).await; // a pack of 4 × 1 + 2 × 2 + 4
    integrate(&vendor).await;
    assert_eq!(contract(&vendor, 1_000).await, (2, true));
    integrate(&vendor).await;
    operator.redeem(&vendor, items[4..].to_vec()).await; // 2 × 2 + 4
    let signed = make(&vendor, &operator).await.unwrap();
    let statement = signed.verify(vendor.issuer.manifest().receipt_keys()).unwrap();
    assert_eq!(statement.earned.len(), 3);
    assert_eq!((statement.resold[0].purchases, statement.resold[0].credits.0), (1, 12));
    assert_eq!(statement.total, 4 * 2_000 * 7 / 10 - 12 * 1_500 + 8 * 1_000 * 7 / 10);
    assert!(statement.total < 0, "the operator pays");
    assert!(make(&vendor, &operator).await.is_none(), "everything is stated");

    integrate(&vendor).await;
    let account = replayed(&vendor, &operator).await;
    assert_eq!((account.statements(), account.contracts().len()), (1, 2));
    assert!(account.lines(u64::MAX).unwrap().is_empty());

    let (store, clock) = (vendor.issuer.store(), &*vendor.issuer.inner.clock);
    let adjust = async |amount, reason| {
        statements::adjust(store, "operator 1", Money(amount), reason, "ada", clock).await
    };
    assert_eq!(adjust(-3_500_000, "a broken disk").await.unwrap(), 1);
    assert!(matches!(adjust(1, " ").await, Err(StatementError::Reason)));
    let second = make(&vendor, &operator).await.unwrap();
    let second = second.unverified();
    assert_eq!((second.number, second.from), (2, statement.until));
    assert_eq!((second.total, second.adjustments.len()), (-3_500_000, 1));
    assert!(make(&vendor, &operator).await.is_none(), "an adjustment counts once");
    integrate(&vendor).await;
    assert_eq!(replayed(&vendor, &operator).await.statements(), 2);

    let shown = statements::of(store, &row(&vendor, &operator).await).await.unwrap();
    assert_eq!((shown[0].report.pays, shown[1].report.total.as_str()), ("operator", "-3.50"));
    let log = store.admin_log(None, 100).await.unwrap();
    for (action, actor) in [
        ("operator contract", "ada"),
        ("statement adjust", "ada"),
        ("statement make", Act::BY_ITSELF),
    ] {
        let found = log.iter().any(|entry| entry.action == action && entry.actor == actor);
        assert!(found, "{action} by {actor}");
    }
}

#[tokio::test]
async fn terms_that_cannot_be_are_refused() {
    let vendor = TestIssuer::start().await.unwrap();
    let _operator = Operator::new(&vendor, 1).await;
    let (store, clock) = (vendor.issuer.store(), &*vendor.issuer.inner.clock);
    let terms = Terms {
        operator: "operator 1",
        currency: None,
        price: Money(1),
        share: "70%".parse().unwrap(),
        resale_price: Money(0),
    };
    let conclude = async |terms: Terms<'static>| {
        contracts::conclude(store, terms, "ada", clock, &mut rng(1)).await.unwrap_err()
    };
    assert!(matches!(conclude(terms).await, ContractError::NoCurrency));
    let unknown = Terms { operator: "nobody", ..terms };
    assert!(matches!(conclude(unknown).await, ContractError::UnknownOperator { .. }));
    let negative = Terms { price: Money(-1), ..terms };
    assert!(matches!(conclude(negative).await, ContractError::Negative));
    let resold = vendor.issuer.create_resold_vouchers("starter", 1, 30, Some("operator 1")).await;
    assert!(matches!(resold, Err(CreateVouchersError::NoOperator { .. })), "without a contract");
    contract(&vendor, 2_000).await;
    let dollars = Terms { currency: Some("USD".parse().unwrap()), ..terms };
    assert!(matches!(conclude(dollars).await, ContractError::OtherCurrency { .. }));
}

/// An operator with something to state.
async fn in_business(vendor: &TestIssuer) -> Operator {
    let certificates = Wallet::new(1).buy(&vendor.issuer).await;
    let mut operator = Operator::new(vendor, 1).await;
    contract(vendor, 2_000).await;
    integrate(vendor).await;
    let items = certificates.iter().map(|c| operator.item(vendor, c, 1)).collect();
    operator.redeem(vendor, items).await;
    operator
}

#[tokio::test]
async fn of_many_that_make_one_at_once_one_does() {
    let vendor = TestIssuer::start().await.unwrap();
    let operator = in_business(&vendor).await;
    let row = row(&vendor, &operator).await;
    let made = join_all((0..6).map(|_| vendor.issuer.make_statement(&row))).await;
    let won = made.iter().filter(|one| matches!(one, Ok(Some(_)))).count();
    assert_eq!(won, 1, "{:?}", made.iter().map(Result::is_ok).collect::<Vec<_>>());
    let lost = |one: &Result<Option<SignedStatement>, _>| {
        matches!(one, Ok(None) | Err(StatementError::Overtaken { .. }))
    };
    assert_eq!(made.iter().filter(|one| lost(one)).count(), 5);
    integrate(&vendor).await;
    assert_eq!(replayed(&vendor, &operator).await.statements(), 1);
}

/// A crash before the transaction leaves nothing, one after it leaves a statement; either way the next attempt makes what is missing.
#[tokio::test]
async fn a_crash_makes_no_second_statement() {
    for (step, stands) in [("issuer.statement.before", 0), ("issuer.statement.after", 1)] {
        let directory = tempfile::tempdir().unwrap();
        let mut setup = Setup::sqlite(directory.path()).unwrap();
        let operator = in_business(&setup.init().await.unwrap()).await;
        setup.steps = Steps::observe(move |at| assert_ne!(at, step, "the crash"));
        let vendor = Arc::new(setup.open().await.unwrap());
        let (dies, row) = (Arc::clone(&vendor), row(&vendor, &operator).await);
        let died = tokio::spawn(async move { dies.issuer.make_statement(&row).await });
        assert!(died.await.unwrap_err().is_panic());
        drop(vendor);

        setup.steps = Steps::none();
        let vendor = setup.open().await.unwrap();
        assert_eq!(make(&vendor, &operator).await.is_some(), stands == 0, "{step}");
        integrate(&vendor).await;
        let account = replayed(&vendor, &operator).await;
        assert_eq!(account.statements(), 1, "{step}");
        assert!(account.lines(u64::MAX).unwrap().is_empty(), "{step}");
    }
}

#[tokio::test]
async fn a_month_that_is_over_is_stated_by_itself() {
    let vendor = TestIssuer::start().await.unwrap();
    let operator = in_business(&vendor).await;
    let count = async || {
        let row = row(&vendor, &operator).await;
        vendor.issuer.store().statements(&row).await.unwrap().len()
    };
    vendor.issuer.tend_statements().await.unwrap();
    assert_eq!(count().await, 0, "the month is not over");
    let month = |day: scrip_protocol::time::Day| day.to_string()[..7].to_owned();
    let before = month(vendor.clock.today());
    while month(vendor.clock.today()) == before {
        vendor.clock.advance(86_400);
    }
    vendor.issuer.tend_statements().await.unwrap();
    vendor.issuer.tend_statements().await.unwrap();
    assert_eq!(count().await, 1);
}

/// Evidence is dropped when its epoch is past, and what is in the ledger is owed all the same.
#[tokio::test]
async fn what_the_database_dropped_is_stated_from_the_ledger() {
    let vendor = TestIssuer::start().await.unwrap();
    let mut wallet = Wallet::new(1);
    let certificates = wallet.buy(&vendor.issuer).await;
    let mut operator = Operator::new(&vendor, 1).await;
    contract(&vendor, 2_000).await;
    integrate(&vendor).await;
    let items: Vec<_> = certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    operator.redeem(&vendor, items).await;
    let epoch = vendor.issuer.manifest().key(&certificates[0].token().key_id).unwrap().epoch();
    let store = vendor.issuer.store();
    let dropped = store.drop_spent(epoch, 1_000).await.unwrap();
    assert_eq!(dropped, certificates.len());
    let signed = make(&vendor, &operator).await.unwrap();
    assert_eq!(signed.unverified().total, 12 * 2_000 * 7 / 10);
    integrate(&vendor).await;
    assert!(replayed(&vendor, &operator).await.lines(u64::MAX).unwrap().is_empty());
}
