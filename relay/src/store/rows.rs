//! From rows to the types of the protocol.

use scrip_protocol::{
    keys::{BadKey, PublicKey},
    time::UnixSeconds,
};
use sqlx::{Row, sqlite::SqliteRow};

use super::TxError;

/// A column of exactly `N` bytes.
pub(super) fn bytes<const N: usize>(
    row: &SqliteRow,
    column: &str,
    table: &'static str,
) -> Result<[u8; N], TxError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| TxError::Damaged { table })
}

/// A public key's column.
pub(super) fn key(
    row: &SqliteRow,
    column: &str,
    table: &'static str,
) -> Result<PublicKey, TxError> {
    let key = PublicKey::from_bytes(bytes(row, column, table)?);
    key.map_err(|BadKey| TxError::Damaged { table })
}

/// An integer column that fits `T`.
pub(super) fn integer<T: TryFrom<i64>>(
    row: &SqliteRow,
    column: &str,
    table: &'static str,
) -> Result<T, TxError> {
    let value: i64 = row.try_get(column)?;
    T::try_from(value).map_err(|_| TxError::Damaged { table })
}

/// A point in time, as it is stored. Times past the end of SQLite's integers lie 292 billion years ahead; they
/// saturate.
pub(super) fn stored(time: UnixSeconds) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// An amount, as it is stored; see [`stored`].
pub(super) fn amount(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
