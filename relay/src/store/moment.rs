//! What tells whether this database and `spent.sqlite` are of one moment.

use scrip_protocol::{id::PaymentId, time::UnixSeconds};
use sqlx::Row;

use super::{Reader, Store, StoreError, rows};

/// Up to which payment and which provision a disagreement of the two databases was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AcceptedLoss {
    /// A number of a payment in `spent.sqlite`.
    pub(crate) payments: i64,
    /// A number of a provision here.
    pub(crate) provisions: i64,
}

/// A payment that bought something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProvisionRow {
    pub(crate) number: i64,
    pub(crate) payment_id: PaymentId,
    pub(crate) made_at: UnixSeconds,
}

impl Reader {
    /// The newest payments that bought something, those after `after`, at most `most`, the newest first.
    pub(crate) async fn newest_provisions(
        &self,
        after: i64,
        most: u32,
    ) -> Result<Vec<ProvisionRow>, StoreError> {
        self.read("newest_provisions", move |connection| {
            Box::pin(async move {
                let sql = "-- newest_provisions()
                    SELECT number, payment_id, made_at FROM provisions
                    WHERE number > $1 ORDER BY number DESC LIMIT $2";
                let rows = sqlx::query(sql).bind(after).bind(most).fetch_all(connection).await?;
                rows.iter()
                    .map(|row| {
                        let id = rows::bytes(row, "payment_id", "provisions")?;
                        Ok(ProvisionRow {
                            number: row.try_get("number")?,
                            payment_id: PaymentId::from_bytes(id),
                            made_at: UnixSeconds(rows::integer(row, "made_at", "provisions")?),
                        })
                    })
                    .collect()
            })
        })
        .await
    }

    /// What was accepted.
    pub(crate) async fn accepted_loss(&self) -> Result<AcceptedLoss, StoreError> {
        self.read("accepted_loss", |connection| {
            Box::pin(async move {
                let sql = "-- accepted_loss()
                    SELECT payments, provisions FROM accepted_loss";
                let row = sqlx::query(sql).fetch_one(connection).await?;
                Ok(AcceptedLoss {
                    payments: row.try_get("payments")?,
                    provisions: row.try_get("provisions")?,
                })
            })
        })
        .await
    }
}

impl Store {
    /// Accepts it.
    pub(crate) async fn accept_loss(&self, accepted: AcceptedLoss) -> Result<(), StoreError> {
        self.write("accept_loss", move |connection| {
            Box::pin(async move {
                let sql = "-- accept_loss()
                    UPDATE accepted_loss SET payments = $1, provisions = $2";
                let query = sqlx::query(sql).bind(accepted.payments).bind(accepted.provisions);
                Ok(query.execute(connection).await.map(drop)?)
            })
        })
        .await
    }
}
