//! From rows to the types of the protocol.

use sqlx::{Row, any::AnyRow};

use super::{StoreError, TxError};

/// A column of exactly `N` bytes.
pub(super) fn bytes<const N: usize>(
    row: &AnyRow,
    column: &str,
    table: &'static str,
) -> Result<[u8; N], TxError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| StoreError::Damaged { table }.into())
}

/// An integer column that fits `T`.
pub(super) fn integer<T: TryFrom<i64>>(
    row: &AnyRow,
    column: &str,
    table: &'static str,
) -> Result<T, TxError> {
    let value: i64 = row.try_get(column)?;
    T::try_from(value).map_err(|_| StoreError::Damaged { table }.into())
}

/// `($1, $2, $3), ($4, $5, $6), …` for `rows` rows of `columns` columns, the first placeholder being `$first`.
pub(super) fn placeholders(rows: usize, columns: usize, first: usize) -> String {
    let mut text = String::with_capacity(rows * (columns * 7 + 4));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let comma = if column == 0 { "" } else { ", " };
            text.push_str(&format!("{comma}${}", first + row * columns + column));
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::placeholders;

    #[test]
    fn placeholders_count_on() {
        assert_eq!(placeholders(2, 3, 1), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(placeholders(1, 1, 4), "($4)");
        assert_eq!(placeholders(0, 2, 1), "");
    }
}
