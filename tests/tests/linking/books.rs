//! The vendor's tables and ledger: in which order things lie there.

use std::collections::BTreeMap;

use scrip_issuer::Issuer;
use scrip_protocol::id::GrantId;

/// Where each thing lies, from 0 for the first to 1 for the last of its table.
pub(crate) struct Books {
    packs: BTreeMap<Vec<u8>, f64>,
    voided: BTreeMap<Vec<u8>, f64>,
    leaves: BTreeMap<Vec<u8>, f64>,
    /// What the relays are called that the manifest lists.
    pub(crate) listed: Vec<String>,
}

impl Books {
    pub(crate) fn place_of_grant(&self, grant: &GrantId) -> f64 {
        self.packs[&grant.as_bytes()[..]]
    }

    /// Among what is spent or renewed, and in the ledger.
    pub(crate) fn places_of_certificate(&self, key: &[u8; 32]) -> [f64; 2] {
        [&self.voided, &self.leaves].map(|table| table.get(&key[..]).copied().unwrap_or(0.5))
    }
}

fn places(keys: Vec<Vec<u8>>) -> BTreeMap<Vec<u8>, f64> {
    let last = keys.len().saturating_sub(1).max(1) as f64;
    keys.into_iter().enumerate().map(|(at, key)| (key, at as f64 / last)).collect()
}

/// Reads them as whoever has the disk would.
pub(crate) async fn read(issuer: &Issuer) -> Books {
    let database = format!("{}?mode=ro", issuer.config().database);
    let pool = sqlx::sqlite::SqlitePool::connect(&database).await.unwrap();
    let column = async |sql: &'static str| -> Vec<Vec<u8>> {
        sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap()
    };
    // In whatever order the rows come.
    let mut voided = places(column("SELECT certificate_key FROM spent").await);
    voided.extend(places(column("SELECT certificate_key FROM renewals").await));
    let mut leaves = places(
        column(
            "SELECT certificate_key FROM spent JOIN ledger_ranges USING (batch)
             ORDER BY first + position",
        )
        .await,
    );
    leaves.extend(places(column("SELECT certificate_key FROM renewals ORDER BY logged").await));
    let listed = issuer.manifest().operators().iter().map(|one| one.name.clone()).collect();
    Books { packs: places(column("SELECT grant_id FROM packs").await), voided, leaves, listed }
}
