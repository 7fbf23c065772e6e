//! From rows to the types of the protocol, and statements with many rows.

use std::sync::Arc;

use scrip_protocol::{credits::Credits, credits::Exponent};
use sqlx::{
    AssertSqlSafe, Row as _, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::spent::StoreError;

/// What ends a transaction.
#[derive(Debug)]
pub(super) enum SqlError {
    /// The driver's answer.
    Sql(sqlx::Error),
    /// A row that this program never writes.
    Damaged(&'static str),
}

impl From<sqlx::Error> for SqlError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl SqlError {
    /// For whoever asked, with the name of the transaction or query.
    pub(super) fn named(self, transaction: &'static str) -> StoreError {
        match self {
            Self::Sql(source) => StoreError::Failed { transaction, source: Arc::new(source) },
            Self::Damaged(table) => StoreError::Damaged { table },
        }
    }
}

pub(super) type SqlResult<T> = Result<T, SqlError>;

/// As many rows as one statement may have with `columns` columns; SQLite takes 32,766 parameters.
pub(super) const fn rows_per_statement(columns: usize) -> usize {
    16_384 / columns
}

/// `(?, ?), (?, ?), …`
pub(super) fn rows(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}

/// `?, ?, …`
pub(super) fn list(values: usize) -> String {
    vec!["?"; values].join(", ")
}

/// A statement whose text depends on how many rows it has, and on nothing else. It is not kept prepared.
pub(super) fn many(sql: String) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(AssertSqlSafe(sql)).persistent(false)
}

/// A column of exactly `N` bytes.
pub(super) fn bytes<const N: usize>(
    row: &SqliteRow,
    column: &str,
    table: &'static str,
) -> SqlResult<[u8; N]> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| SqlError::Damaged(table))
}

/// An integer column that fits `T`.
pub(super) fn integer<T: TryFrom<i64>>(
    row: &SqliteRow,
    column: &str,
    table: &'static str,
) -> SqlResult<T> {
    let value: i64 = row.try_get(column)?;
    T::try_from(value).map_err(|_| SqlError::Damaged(table))
}

/// The worth of a certificate, from the column `exponent`.
pub(super) fn value(row: &SqliteRow, table: &'static str) -> SqlResult<Credits> {
    let exponent = Exponent::new(integer(row, "exponent", table)?);
    exponent.map(Exponent::value).ok_or(SqlError::Damaged(table))
}

/// What the vendor owes for a certificate, from the columns `exponent` and `test`: nothing where a test key signed it.
pub(super) fn owed(row: &SqliteRow, table: &'static str) -> SqlResult<Credits> {
    if row.try_get("test")? { Ok(Credits::ZERO) } else { value(row, table) }
}

/// A number as SQLite keeps it. Times and amounts that do not fit 63 bits are cut to what does: none occurs.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The first of `count` numbers in a row that nothing of this kind ever had. `counter`: a row of `counters`.
pub(super) async fn take_numbers(
    tx: &mut SqliteConnection,
    counter: &'static str,
    count: usize,
) -> SqlResult<i64> {
    let sql = "-- take_numbers()
        UPDATE counters SET next = next + ? WHERE name = ? RETURNING next";
    let count = number(count as u64);
    let row = sqlx::query(sql).bind(count).bind(counter).fetch_optional(tx).await?;
    let next: i64 = row.ok_or(SqlError::Damaged("counters"))?.try_get("next")?;
    Ok(next - count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_have_a_place_for_each_value() {
        assert_eq!(rows(2, 3), "(?, ?, ?), (?, ?, ?)");
        assert_eq!(list(2), "?, ?");
        assert!(rows_per_statement(11) * 11 <= 32_766);
    }
}
