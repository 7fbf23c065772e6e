//! Everything in the database, for tests that compare it before and after, or search it.

use std::collections::BTreeMap;

use sqlx::{Any, AssertSqlSafe, Column, Database, Row, TypeInfo, ValueRef, any::AnyTypeInfoKind};

use super::Store;

/// Tables that what is bought lies in.
pub(crate) const ISSUANCE: [&str; 13] = [
    "grants",
    "vouchers",
    "voucher_batches",
    "packs",
    "tokens",
    "issued",
    "purchases",
    "orders",
    "budgets",
    "notifications",
    "source_failures",
    "ledger_issued",
    "ledger_sales",
];
/// Tables that what is redeemed lies in.
pub(crate) const REDEMPTION: [&str; 16] = [
    "operators",
    "batches",
    "spent",
    "evidence",
    "redeemed",
    "renewals",
    "renewed",
    "renewal_requests",
    "outcomes",
    "ledger_queue",
    "ledger_ranges",
    "ledger_checkpoints",
    "voided_editions",
    "contracts",
    "statements",
    "adjustments",
];

/// A value as bytes; `None` is NULL.
pub(crate) type Cell = Option<Vec<u8>>;
/// The rows of each table, sorted.
pub(crate) type Dump = BTreeMap<&'static str, Vec<Vec<(String, Cell)>>>;

/// Reads these tables.
pub(crate) async fn dump(store: &Store, tables: &[&'static str]) -> Dump {
    let mut dump = Dump::new();
    for table in tables {
        let rows = store.read("dump", |tx| {
            Box::pin(async move {
                let sql = format!("SELECT * FROM {table}");
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(tx.connection()).await?;
                let row = |row: &sqlx::any::AnyRow| {
                    let cell = |column: &<Any as Database>::Column| {
                        (column.name().to_owned(), cell(row, column.ordinal()))
                    };
                    row.columns().iter().map(cell).collect::<Vec<_>>()
                };
                Ok(rows.iter().map(row).collect::<Vec<_>>())
            })
        });
        let mut rows = rows.await.unwrap();
        rows.sort();
        dump.insert(table, rows);
    }
    dump
}

/// All tables of both sides.
pub(crate) async fn everything(store: &Store) -> Dump {
    dump(store, &[ISSUANCE.as_slice(), REDEMPTION.as_slice()].concat()).await
}

fn cell(row: &sqlx::any::AnyRow, column: usize) -> Cell {
    let value = row.try_get_raw(column).unwrap();
    if value.is_null() {
        return None;
    }
    let kind = value.type_info().kind();
    Some(match kind {
        AnyTypeInfoKind::Blob => row.try_get::<Vec<u8>, _>(column).unwrap(),
        AnyTypeInfoKind::Text => row.try_get::<String, _>(column).unwrap().into_bytes(),
        AnyTypeInfoKind::BigInt => row.try_get::<i64, _>(column).unwrap().to_be_bytes().to_vec(),
        other => panic!("a column of type {}: {other:?}", value.type_info().name()),
    })
}
