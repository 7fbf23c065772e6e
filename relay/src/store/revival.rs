//! Leases that go on after their end, because the vendor had credited their extension already.

use sqlx::{Row, SqliteConnection};

use scrip_protocol::time::UnixSeconds;

use super::{
    Capacity, LeaseKind, LeaseNumber, Provision, Store, StoreError, TxError,
    provisions::{has_room, insert_provision, promise, receipt_of},
    rows,
};

/// New time for a lease that has ended, with the receipt that says so.
#[derive(Clone, Debug)]
pub(crate) struct Revival {
    pub(crate) provision: Provision,
    pub(crate) lease: LeaseNumber,
    pub(crate) kind: LeaseKind,
    pub(crate) now: UnixSeconds,
    pub(crate) lease_until: UnixSeconds,
    pub(crate) receipt: Vec<u8>,
}

/// What became of a revival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revived {
    /// The lease lives.
    Done,
    /// The payment had bought something before: its receipt.
    Before(Vec<u8>),
    /// The lease has not ended, or ended early and still has content, which must not come back.
    NotNow,
    /// What it was promised has been promised to others.
    NoSpace,
}

impl Store {
    /// Revives a lease. What it holds still stays, unless it was ended early; what was collected does not come back.
    pub(crate) async fn revive(
        &self,
        revival: Revival,
        capacity: Capacity,
    ) -> Result<Revived, StoreError> {
        self.write("revive", move |connection| {
            Box::pin(async move {
                let Revival { provision, lease, kind, now, lease_until, receipt } = revival;
                if let Some(receipt) = receipt_of(connection, &provision.payment_id).await? {
                    return Ok(Revived::Before(receipt));
                }
                match is_collected(connection, lease, now).await? {
                    None => return Ok(Revived::NotNow),
                    Some(false) => {}
                    Some(true) if !has_room(connection, &kind, &capacity).await? => {
                        return Ok(Revived::NoSpace);
                    }
                    Some(true) => promise(connection, &kind).await?,
                }
                let sql = "-- revive()
                    UPDATE leases SET lease_until = $2, ended_at = NULL, collected = 0,
                        uploaded = CASE collected WHEN 1 THEN 0 ELSE uploaded END
                    WHERE number = $1";
                let query = sqlx::query(sql).bind(lease.0).bind(rows::stored(lease_until));
                query.execute(&mut *connection).await?;
                insert_provision(connection, &provision, lease, &receipt).await?;
                Ok(Revived::Done)
            })
        })
        .await
    }
}

/// Whether a lease that can be revived was collected; `None` where it cannot.
async fn is_collected(
    connection: &mut SqliteConnection,
    lease: LeaseNumber,
    now: UnixSeconds,
) -> Result<Option<bool>, TxError> {
    let sql = "-- is_collected()
        SELECT collected FROM leases
        WHERE number = $1 AND (ended_at IS NOT NULL OR lease_until <= $2)
            AND (collected = 1 OR ended_at IS NULL OR ended_at = lease_until)";
    let query = sqlx::query(sql).bind(lease.0).bind(rows::stored(now));
    let row = query.fetch_optional(connection).await?;
    Ok(row
        .map(|row| row.try_get::<i64, _>("collected"))
        .transpose()?
        .map(|collected| collected == 1))
}
