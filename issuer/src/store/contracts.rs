//! Contracts with operators: appended, and each a leaf of the ledger from the moment it is recorded.

use scrip_protocol::{
    keys::PublicKey,
    ledger::{Contract, Currency, Leaf},
    time::Day,
};
use sqlx::{Row, any::AnyRow};

use super::{Act, OperatorRow, Store, StoreError, Tx, TxError, rows};

/// What became of the attempt to record terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedContract {
    /// They are in force from the leaf on that was put in line.
    Recorded(Contract),
    /// They are those that are in force already.
    Before(Contract),
    /// The operator's currency is another.
    OtherCurrency(Currency),
    /// There is no contract yet, and so no currency to keep.
    NoCurrency,
}

/// Terms that are to be recorded.
#[derive(Clone, Debug)]
pub struct NewContract {
    /// What amounts are in; none to keep the operator's.
    pub currency: Option<Currency>,
    /// Of one credit, in millionths.
    pub price: u64,
    /// In ten-thousandths.
    pub share: u16,
    /// Of one credit that the operator sold, in millionths.
    pub resale_price: u64,
    /// Today.
    pub day: Day,
    /// Random.
    pub salt: [u8; 32],
}

impl Store {
    /// Records terms of an operator, puts their leaf in line and logs them, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_contract(
        &self,
        operator: &OperatorRow,
        new: &NewContract,
        act: &Act,
    ) -> Result<RecordedContract, StoreError> {
        self.run_tx("add_contract", |tx| {
            Box::pin(async move {
                let all = tx.contracts(operator.number, &operator.key).await?;
                let last = all.last();
                let held = last.map(|last| last.currency);
                let currency = match (new.currency, held) {
                    (Some(new), Some(held)) if new != held => {
                        return Ok(RecordedContract::OtherCurrency(held));
                    }
                    (new, held) => new.or(held),
                };
                let Some(currency) = currency else { return Ok(RecordedContract::NoCurrency) };
                let contract = Contract {
                    operator_key: operator.key,
                    number: last.map_or(1, |last| last.number + 1),
                    day: new.day,
                    currency,
                    price: new.price,
                    share: new.share,
                    resale_price: new.resale_price,
                    salt: new.salt,
                };
                let terms = |one: &Contract| (one.price, one.share, one.resale_price);
                if let Some(last) = last.filter(|last| terms(last) == terms(&contract)) {
                    return Ok(RecordedContract::Before(last.clone()));
                }
                tx.insert_contract(operator.number, &contract).await?;
                let leaf = Leaf::Contract(contract.clone()).encode();
                tx.enqueue_leaf(new.day, Some(operator.number), &[], &leaf).await?;
                tx.log_admin(act).await?;
                Ok(RecordedContract::Recorded(contract))
            })
        })
        .await
    }

    /// The contracts of an operator, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn contracts(&self, operator: &OperatorRow) -> Result<Vec<Contract>, StoreError> {
        self.read("contracts", |tx| {
            Box::pin(async move { tx.contracts(operator.number, &operator.key).await })
        })
        .await
    }
}

impl Tx<'_> {
    pub(super) async fn contracts(
        &mut self,
        operator: i64,
        key: &PublicKey,
    ) -> Result<Vec<Contract>, TxError> {
        let sql = "-- contracts()
            SELECT number, day, currency, price, share, resale_price, salt FROM contracts
            WHERE operator = $1 ORDER BY number";
        let found = sqlx::query(sql).bind(operator).fetch_all(self.connection()).await?;
        found.iter().map(|row| contract(row, key)).collect()
    }

    /// Two processes that take one number are told apart by the primary key, and the later one runs again.
    async fn insert_contract(&mut self, operator: i64, contract: &Contract) -> Result<(), TxError> {
        let sql = "-- insert_contract()
            INSERT INTO contracts
            (operator, number, day, currency, price, share, resale_price, salt)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let column = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        sqlx::query(sql)
            .bind(operator)
            .bind(i64::from(contract.number))
            .bind(i64::from(contract.day.0))
            .bind(contract.currency.as_str())
            .bind(column(contract.price))
            .bind(i64::from(contract.share))
            .bind(column(contract.resale_price))
            .bind(contract.salt.as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn contract(row: &AnyRow, key: &PublicKey) -> Result<Contract, TxError> {
    const TABLE: &str = "contracts";
    let currency: &str = row.try_get("currency")?;
    Ok(Contract {
        operator_key: *key,
        number: rows::integer(row, "number", TABLE)?,
        day: Day(rows::integer(row, "day", TABLE)?),
        currency: currency.parse().map_err(|_| StoreError::Damaged { table: TABLE })?,
        price: rows::integer(row, "price", TABLE)?,
        share: rows::integer(row, "share", TABLE)?,
        resale_price: rows::integer(row, "resale_price", TABLE)?,
        salt: rows::bytes(row, "salt", TABLE)?,
    })
}
