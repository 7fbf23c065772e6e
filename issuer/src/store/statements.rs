//! Statements as they were signed, and the adjustments that wait for one.

use scrip_protocol::{
    ledger::{Adjustment, Contract, Leaf, SignedStatement, ValueCommitment},
    time::Day,
};
use sqlx::{Row, any::AnyRow};

use super::{Act, OperatorRow, Store, StoreError, Tx, TxError, rows};

/// Adjustments of one statement: a third of what a leaf has room for. The others wait for the next one.
const ADJUSTMENTS: usize = 100;

/// Where the next statement of an operator begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unstated {
    /// How many statements there are.
    pub statements: u32,
    /// The first leaf that none of them covers.
    pub from: u64,
    /// The day of the last one.
    pub last_day: Option<Day>,
    /// The contracts before there, oldest first.
    pub contracts: Vec<Contract>,
    /// The adjustments that wait, oldest first, as many as a statement has room for beside its lines.
    pub adjustments: Vec<AdjustmentRow>,
    /// How many leaves of the ledger are in the storage.
    pub stored: u64,
}

/// An adjustment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AdjustmentRow {
    /// 1, 2, ... of its operator.
    pub number: u32,
    /// When it was agreed.
    pub day: Day,
    /// In millionths; above 0 in favour of the operator.
    pub amount: i64,
    /// Why.
    pub reason: String,
    /// The statement that has it; none while it waits for the next.
    pub statement: Option<u32>,
}

/// A statement that is to be recorded.
pub struct NewStatement<'a> {
    /// Its number.
    pub number: u32,
    /// The first leaf that it does not cover.
    pub until: u64,
    /// The number of the contract in force there.
    pub contract: u32,
    /// Today.
    pub day: Day,
    /// The statement.
    pub signed: &'a SignedStatement,
    /// The commitments in front of it.
    pub commitments: &'a [ValueCommitment],
    /// The numbers of the adjustments in it.
    pub adjustments: &'a [u32],
}

impl Store {
    /// Where the next statement of an operator begins.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unstated(&self, operator: &OperatorRow) -> Result<Unstated, StoreError> {
        self.read("unstated", |tx| {
            Box::pin(async move {
                let sql = "-- last_statement()
                    SELECT number, until, contract, statement FROM statements
                    WHERE operator = $1 ORDER BY number DESC LIMIT 1";
                let last =
                    sqlx::query(sql).bind(operator.number).fetch_optional(tx.connection()).await?;
                let (mut statements, mut from, mut contract, mut last_day) = (0, 0, 0, None);
                if let Some(row) = last {
                    statements = rows::integer(&row, "number", TABLE)?;
                    from = rows::integer(&row, "until", TABLE)?;
                    contract = rows::integer(&row, "contract", TABLE)?;
                    last_day = Some(signed(&row)?.unverified().day);
                }
                let mut contracts = tx.contracts(operator.number, &operator.key).await?;
                contracts.retain(|one| one.number <= contract);
                let mut adjustments = tx.adjustments(operator.number).await?;
                adjustments.retain(|one| one.statement.is_none());
                adjustments.truncate(ADJUSTMENTS);
                let stored = tx.ledger_stored().await?;
                Ok(Unstated { statements, from, last_day, contracts, adjustments, stored })
            })
        })
        .await
    }

    /// Records a statement, puts its leaf in line behind its commitments, marks its adjustments and logs it, in one transaction.
    /// Returns whether it was recorded: not where its number is taken, or an adjustment is in another statement.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_statement(
        &self,
        operator: &OperatorRow,
        new: &NewStatement<'_>,
        act: &Act,
    ) -> Result<bool, StoreError> {
        self.run_tx("add_statement", |tx| {
            Box::pin(async move {
                let sql = "-- statements_before()
                    SELECT COALESCE(MAX(number), 0) AS number FROM statements WHERE operator = $1";
                let row = sqlx::query(sql).bind(operator.number).fetch_one(tx.connection()).await?;
                let before: u32 = rows::integer(&row, "number", TABLE)?;
                if before.checked_add(1) != Some(new.number) {
                    return Ok(false);
                }
                tx.insert_statement(operator.number, new).await?;
                for adjustment in new.adjustments {
                    if !tx.settle_adjustment(operator.number, *adjustment, new.number).await? {
                        // Only another statement takes it, and that has taken the number as well.
                        return Err(TxError::Overtaken);
                    }
                }
                let leaf = Leaf::Statement(new.signed.clone()).encode();
                let number = Some(operator.number);
                tx.enqueue_leaf(new.day, number, new.commitments, &leaf).await?;
                tx.log_admin(act).await?;
                Ok(true)
            })
        })
        .await
    }

    /// The statements of an operator, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn statements(
        &self,
        operator: &OperatorRow,
    ) -> Result<Vec<SignedStatement>, StoreError> {
        self.read("statements", |tx| {
            Box::pin(async move {
                let sql = "-- statements()
                    SELECT statement FROM statements WHERE operator = $1 ORDER BY number";
                let found =
                    sqlx::query(sql).bind(operator.number).fetch_all(tx.connection()).await?;
                found.iter().map(signed).collect()
            })
        })
        .await
    }

    /// Records an adjustment, which waits for the next statement, and logs it. Returns its number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_adjustment(
        &self,
        operator: &OperatorRow,
        adjustment: &Adjustment,
        day: Day,
        act: &Act,
    ) -> Result<u32, StoreError> {
        self.run_tx("add_adjustment", |tx| {
            Box::pin(async move {
                let sql = "-- next_adjustment()
                    SELECT COALESCE(MAX(number), 0) + 1 AS number FROM adjustments
                    WHERE operator = $1";
                let row = sqlx::query(sql).bind(operator.number).fetch_one(tx.connection()).await?;
                let number: u32 = rows::integer(&row, "number", "adjustments")?;
                let sql = "-- insert_adjustment()
                    INSERT INTO adjustments (operator, number, day, amount, reason)
                    VALUES ($1, $2, $3, $4, $5)";
                sqlx::query(sql)
                    .bind(operator.number)
                    .bind(i64::from(number))
                    .bind(i64::from(day.0))
                    .bind(adjustment.amount)
                    .bind(adjustment.reason.as_str())
                    .execute(tx.connection())
                    .await?;
                tx.log_admin(act).await?;
                Ok(number)
            })
        })
        .await
    }

    /// The adjustments of an operator, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn adjustments(
        &self,
        operator: &OperatorRow,
    ) -> Result<Vec<AdjustmentRow>, StoreError> {
        self.read("adjustments", |tx| {
            Box::pin(async move { tx.adjustments(operator.number).await })
        })
        .await
    }
}

const TABLE: &str = "statements";

impl Tx<'_> {
    async fn adjustments(&mut self, operator: i64) -> Result<Vec<AdjustmentRow>, TxError> {
        let sql = "-- adjustments()
            SELECT number, day, amount, reason, statement FROM adjustments
            WHERE operator = $1 ORDER BY number";
        let found = sqlx::query(sql).bind(operator).fetch_all(self.connection()).await?;
        let adjustment = |row: &AnyRow| {
            let table = "adjustments";
            let statement: Option<i64> = row.try_get("statement")?;
            let statement = statement.map(u32::try_from).transpose();
            Ok(AdjustmentRow {
                number: rows::integer(row, "number", table)?,
                day: Day(rows::integer(row, "day", table)?),
                amount: row.try_get("amount")?,
                reason: row.try_get("reason")?,
                statement: statement.map_err(|_| StoreError::Damaged { table })?,
            })
        };
        found.iter().map(adjustment).collect()
    }

    async fn insert_statement(
        &mut self,
        operator: i64,
        new: &NewStatement<'_>,
    ) -> Result<(), TxError> {
        let sql = "-- insert_statement()
            INSERT INTO statements (operator, number, until, contract, statement)
            VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(sql)
            .bind(operator)
            .bind(i64::from(new.number))
            .bind(i64::try_from(new.until).unwrap_or(i64::MAX))
            .bind(i64::from(new.contract))
            .bind(new.signed.bytes())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn settle_adjustment(
        &mut self,
        operator: i64,
        adjustment: u32,
        statement: u32,
    ) -> Result<bool, TxError> {
        let sql = "-- settle_adjustment()
            UPDATE adjustments SET statement = $3
            WHERE operator = $1 AND number = $2 AND statement IS NULL";
        let settled = sqlx::query(sql)
            .bind(operator)
            .bind(i64::from(adjustment))
            .bind(i64::from(statement))
            .execute(self.connection())
            .await?;
        Ok(settled.rows_affected() == 1)
    }
}

fn signed(row: &AnyRow) -> Result<SignedStatement, TxError> {
    let bytes: &[u8] = row.try_get("statement")?;
    SignedStatement::decode(bytes).map_err(|_| StoreError::Damaged { table: TABLE }.into())
}
