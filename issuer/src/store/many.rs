//! Statements about many rows.

use std::fmt::Write;

use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::Query};

use super::{Backend, Tx};

/// Rows of one statement: full chunks have the same text, which is prepared once for each connection.
pub(super) const ROWS: usize = 256;

/// Rows of a statement that is seen often.
const SMALL: usize = 4;

/// A statement about `rows` rows: full chunks and small ones stay prepared, others are seldom seen again.
pub(super) fn statement<'q>(sql: String, rows: usize) -> Query<'q, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(sql)).persistent(rows == ROWS || rows <= SMALL)
}

impl Tx<'_> {
    /// Placeholders for `rows` rows of `columns` columns, all that the statement has.
    pub(super) fn placeholders(&self, rows: usize, columns: usize) -> String {
        placeholders(self.backend, rows, columns)
    }
}

/// `($1, $2, $3), ($4, $5, $6), …`; for SQLite `(?, ?, ?), …`: what has a name there, as `$1` has, is looked up among all names
/// before it, at the preparation and whenever the driver binds a value.
fn placeholders(backend: Backend, rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * (columns * 7 + 4));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            text.push_str(if column == 0 { "" } else { ", " });
            match backend {
                Backend::Sqlite => text.push('?'),
                // Writing to a string does not fail.
                Backend::Postgres => drop(write!(text, "${}", 1 + row * columns + column)),
            }
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_count_on() {
        assert_eq!(placeholders(Backend::Postgres, 2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(placeholders(Backend::Postgres, 0, 2), "");
        assert_eq!(placeholders(Backend::Sqlite, 2, 2), "(?, ?), (?, ?)");
    }
}
