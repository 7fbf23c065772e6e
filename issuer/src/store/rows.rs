//! From rows to the types of the protocol.

use scrip_protocol::keys::{BadKey, PublicKey};
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

/// A public key's column.
pub(super) fn key(row: &AnyRow, column: &str, table: &'static str) -> Result<PublicKey, TxError> {
    let key = PublicKey::from_bytes(bytes(row, column, table)?);
    key.map_err(|BadKey| StoreError::Damaged { table }.into())
}

/// The integer in `column`, if it is not null.
pub(super) fn optional<T: TryFrom<i64>>(
    row: &AnyRow,
    column: &str,
    table: &'static str,
) -> Result<Option<T>, TxError> {
    let value: Option<i64> = row.try_get(column)?;
    let value = value.map(T::try_from).transpose();
    value.map_err(|_| StoreError::Damaged { table }.into())
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
