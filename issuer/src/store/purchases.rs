//! Purchases: recorded once, with the grant that they become (purchases.md), and taken back where they were refunded.

mod sums;

use scrip_protocol::{
    id::GrantId,
    purchase::OrderId,
    time::{Day, UnixSeconds},
};
use sqlx::Row;

pub use self::sums::{Loss, Sale};
use super::{
    Act, Action, GrantRow, Minted, SalesRow, Store, StoreError, Tx, TxError, ledger, rows,
};
use crate::sources::{AccountId, TransactionId};

/// A purchase that is to be recorded.
#[derive(Clone, Debug)]
pub struct NewPurchase {
    /// The source's name.
    pub source: &'static str,
    /// The purchase within the source.
    pub transaction: TransactionId,
    /// The grant that it becomes.
    pub grant_id: GrantId,
    /// That grant.
    pub grant: GrantRow,
    /// Today.
    pub day: Day,
    /// Who bought.
    pub account: Option<AccountId>,
    /// The order that it is for.
    pub order: Option<OrderId>,
    /// Whether the source is still to be told of the delivery.
    pub settles: bool,
    /// A grant that must not be cancelled.
    pub parent: Option<GrantId>,
    /// How much the source may give away today.
    pub budget: Option<u64>,
    /// The number of the operator that sold it on the vendor's behalf.
    pub reseller: Option<i64>,
    /// Whether it is too late for a new grant.
    pub lapsed: bool,
}

/// What became of the attempt to record a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurchaseRecorded {
    /// The grant, made now or before, and whether the source knows of the delivery.
    Granted(GrantRow, bool),
    /// It is too late, and nothing was granted before.
    Lapsed,
    /// The purchase became another grant.
    Used,
    /// It was refunded.
    Refunded,
    /// The order was not made with this grant's secret.
    OrderUnknown,
    /// The grant belongs to another purchase.
    GrantUsed,
    /// The first part was cancelled.
    ParentCancelled,
    /// Nothing more is given away today.
    BudgetSpent,
}

/// A recorded purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseRow {
    /// The grant; none where the refund came first.
    pub grant_id: Option<GrantId>,
    /// The UTC day of the refund.
    pub refunded: Option<Day>,
    /// Whether the source knows of the delivery.
    pub settled: bool,
}

/// What a refund did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refund {
    /// Nothing was signed, and nothing will be.
    Cancelled,
    /// Certificates had been signed: they are a loss.
    Lost,
    /// The purchase was not turned into a grant yet, and will not be.
    Noted,
    /// It was refunded before, or, for a reversal, was not.
    Nothing,
}

/// A purchase whose source is to be told of the delivery.
#[derive(Clone, Debug)]
pub struct Unsettled {
    /// The source's name.
    pub source: String,
    /// The purchase.
    pub transaction: TransactionId,
    /// What was bought.
    pub product: String,
}

impl Store {
    /// Records a purchase and its grant, in one transaction: checks 6 to 10 of purchases.md.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_purchase(&self, new: &NewPurchase) -> Result<PurchaseRecorded, StoreError> {
        self.run_tx("record_purchase", |tx| Box::pin(async move { tx.record_purchase(new).await }))
            .await
    }

    /// A recorded purchase.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purchase(
        &self,
        source: &str,
        transaction: &TransactionId,
    ) -> Result<Option<PurchaseRow>, StoreError> {
        self.read("purchase", |tx| Box::pin(async move { tx.purchase(source, transaction).await }))
            .await
    }

    /// Takes a purchase back, or takes that back, and logs that `actor` did it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn refund(
        &self,
        source: &str,
        transaction: &TransactionId,
        refunded: bool,
        actor: &str,
        now: UnixSeconds,
    ) -> Result<Refund, StoreError> {
        self.run_tx("refund", |tx| {
            Box::pin(
                async move { tx.refund_and_log(source, transaction, refunded, actor, now).await },
            )
        })
        .await
    }

    /// At most `limit` purchases whose sources are to be told, any of them: one that can never be told keeps none from its turn.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unsettled(&self, limit: u16) -> Result<Vec<Unsettled>, StoreError> {
        self.read("unsettled", |tx| {
            Box::pin(async move {
                let sql = "-- unsettled()
                    SELECT source, transaction_id, product FROM purchases
                    JOIN grants ON grants.grant_id = purchases.grant_id
                    WHERE settled = 0 AND refunded_day IS NULL ORDER BY RANDOM() LIMIT $1";
                let found =
                    sqlx::query(sql).bind(i64::from(limit)).fetch_all(tx.connection()).await?;
                let one = |row: &sqlx::any::AnyRow| {
                    Ok(Unsettled {
                        source: row.try_get("source")?,
                        transaction: TransactionId::new(
                            row.try_get::<Vec<u8>, _>("transaction_id")?,
                        ),
                        product: row.try_get("product")?,
                    })
                };
                found.iter().map(one).collect()
            })
        })
        .await
    }

    /// Notes that the source knows of the delivery.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark_settled(
        &self,
        source: &str,
        transaction: &TransactionId,
    ) -> Result<(), StoreError> {
        self.run_tx("mark_settled", |tx| {
            Box::pin(async move {
                let sql = "-- mark_settled()
                    UPDATE purchases SET settled = 1 WHERE source = $1 AND transaction_id = $2";
                sqlx::query(sql)
                    .bind(source)
                    .bind(transaction.as_bytes())
                    .execute(tx.connection())
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Takes a notification with all its effects, in one transaction; `None` where it was taken before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_notification(
        &self,
        source: &str,
        id: &str,
        now: UnixSeconds,
        effects: &[Effect],
    ) -> Result<Option<Vec<Outcome>>, StoreError> {
        self.run_tx("take_notification", |tx| {
            Box::pin(async move {
                if !tx.insert_notification(source, id, now.day()).await? {
                    return Ok(None);
                }
                let mut outcomes = Vec::with_capacity(effects.len());
                for effect in effects {
                    outcomes.push(match effect {
                        Effect::Paid(new) => {
                            let recorded = tx.record_purchase(new).await?;
                            if !matches!(recorded, PurchaseRecorded::Granted(..)) {
                                let payment = &new.transaction;
                                let what = format!(
                                    "payment {payment} gave no grant ({recorded:?}); refund it"
                                );
                                tx.log_unmatched(source, &what, now).await?;
                            }
                            Outcome::Paid(recorded)
                        }
                        Effect::Complaint(what) => {
                            tx.log_unmatched(source, what, now).await?;
                            Outcome::Complaint
                        }
                        Effect::Refund(transaction, refunded) => {
                            let by = Act::BY_ITSELF;
                            let refund = tx.refund_and_log(source, transaction, *refunded, by, now);
                            Outcome::Refund(refund.await?)
                        }
                    });
                }
                Ok(Some(outcomes))
            })
        })
        .await
    }
}

/// What a notification does to the books.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a few at a time")]
pub enum Effect {
    /// An order was paid.
    Paid(NewPurchase),
    /// A refund, or, if it is not `true`, its reversal.
    Refund(TransactionId, bool),
    /// Money came in for nothing that can be delivered.
    Complaint(String),
}

/// What an effect came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of a payment.
    Paid(PurchaseRecorded),
    /// Of a refund or its reversal.
    Refund(Refund),
    /// It is in the log.
    Complaint,
}

impl Tx<'_> {
    /// What somebody has to look at: money was taken and nothing given. What the source does next says nothing of this
    /// payment, so that it is logged, together with what came of the notification.
    async fn log_unmatched(
        &mut self,
        source: &str,
        what: &str,
        now: UnixSeconds,
    ) -> Result<(), TxError> {
        let act = Act::by(Act::BY_ITSELF, now, Action::PaymentUnmatched, source).detail(what);
        self.log_admin(&act).await.map(drop)
    }

    async fn record_purchase(&mut self, new: &NewPurchase) -> Result<PurchaseRecorded, TxError> {
        if let Some(order) = &new.order {
            let made = self.order_by_id(order).await?;
            if made.is_none_or(|made| made.grant_id != new.grant_id) {
                return Ok(PurchaseRecorded::OrderUnknown);
            }
        }
        match self.purchase(new.source, &new.transaction).await? {
            Some(PurchaseRow { grant_id: Some(grant_id), settled, .. }) => {
                if grant_id != new.grant_id {
                    return Ok(PurchaseRecorded::Used);
                }
                let grant = self.grant(&grant_id).await?;
                let grant = grant.ok_or(StoreError::Damaged { table: "purchases" })?;
                return Ok(PurchaseRecorded::Granted(grant, settled));
            }
            Some(_) => return Ok(PurchaseRecorded::Refunded),
            None if new.lapsed => return Ok(PurchaseRecorded::Lapsed),
            None => {}
        }
        // Whoever ordered with this secret and pays later must find its grant free.
        let ordered = self.order_of(&new.grant_id).await?;
        if ordered.is_some_and(|ordered| new.order != Some(ordered.id)) {
            return Ok(PurchaseRecorded::GrantUsed);
        }
        if self.grant(&new.grant_id).await?.is_some() {
            // PostgreSQL shows each statement what was committed before it: this very request, sent twice at one time, may
            // have made the grant since the purchase was looked for above.
            let again = self.purchase(new.source, &new.transaction).await?;
            let mine = again.is_some_and(|again| again.grant_id == Some(new.grant_id));
            return if mine { Err(TxError::Overtaken) } else { Ok(PurchaseRecorded::GrantUsed) };
        }
        if let Some(parent) = &new.parent
            && !self.hold_grant(parent).await?
        {
            return Ok(PurchaseRecorded::ParentCancelled);
        }
        let credits = new.grant.pack.credits().0;
        if let Some(budget) = new.budget
            && !self.take_from_budget(new.source, new.day, credits, budget).await?
        {
            return Ok(PurchaseRecorded::BudgetSpent);
        }
        if !self.insert_grant(&new.grant_id, &new.grant).await? {
            // Somebody made this grant since it was looked for above: look again.
            return Err(TxError::Overtaken);
        }
        // Where another grant got the purchase in between, the primary key refuses, and the next attempt sees which.
        self.insert_purchase(new, credits).await?;
        let entry =
            ledger::entry(&[b"purchase", new.source.as_bytes(), new.transaction.as_bytes()]);
        self.enqueue_sales(&SalesRow {
            entry,
            day: new.day,
            source: new.source.to_owned(),
            test: new.grant.test,
            operator: new.reseller,
            purchases: 1,
            credits,
        })
        .await?;
        Ok(PurchaseRecorded::Granted(new.grant.clone(), !new.settles))
    }

    async fn purchase(
        &mut self,
        source: &str,
        transaction: &TransactionId,
    ) -> Result<Option<PurchaseRow>, TxError> {
        let sql = "-- purchase()
            SELECT grant_id, refunded_day, settled FROM purchases
            WHERE source = $1 AND transaction_id = $2";
        let row = sqlx::query(sql)
            .bind(source)
            .bind(transaction.as_bytes())
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let damaged = || StoreError::Damaged { table: "purchases" };
        let grant_id: Option<Vec<u8>> = row.try_get("grant_id")?;
        let grant_id = grant_id
            .map(|bytes| bytes.try_into().map(GrantId::from_bytes).map_err(|_| damaged()))
            .transpose()?;
        let refunded: Option<i64> = row.try_get("refunded_day")?;
        let refunded =
            refunded.map(|day| day.try_into().map(Day).map_err(|_| damaged())).transpose()?;
        let settled = rows::integer::<u8>(&row, "settled", "purchases")? != 0;
        Ok(Some(PurchaseRow { grant_id, refunded, settled }))
    }

    async fn insert_purchase(&mut self, new: &NewPurchase, credits: u64) -> Result<(), TxError> {
        let sql = "-- insert_purchase()
            INSERT INTO purchases
            (source, transaction_id, grant_id, day, credits, account, refunded_day, settled)
            VALUES ($1, $2, $3, $4, $5, $6, NULL, $7)";
        sqlx::query(sql)
            .bind(new.source)
            .bind(new.transaction.as_bytes())
            .bind(new.grant_id.as_bytes().as_slice())
            .bind(i64::from(new.day.0))
            .bind(i64::try_from(credits).unwrap_or(i64::MAX))
            .bind(new.account.map(|account| account.as_bytes().to_vec()))
            .bind(i64::from(!new.settles))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// A refund that comes before the purchase leaves a row without a grant.
    async fn insert_refunded(
        &mut self,
        source: &str,
        transaction: &TransactionId,
        day: Day,
    ) -> Result<(), TxError> {
        let sql = "-- insert_refunded()
            INSERT INTO purchases (source, transaction_id, day, credits, refunded_day)
            VALUES ($1, $2, $3, 0, $3)";
        sqlx::query(sql)
            .bind(source)
            .bind(transaction.as_bytes())
            .bind(i64::from(day.0))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn refund_and_log(
        &mut self,
        source: &str,
        transaction: &TransactionId,
        refunded: bool,
        actor: &str,
        now: UnixSeconds,
    ) -> Result<Refund, TxError> {
        let refund = self.refund(source, transaction, refunded.then(|| now.day())).await?;
        let what = match refund {
            Refund::Cancelled => "nothing had been signed",
            Refund::Lost => "certificates had been signed",
            Refund::Noted => "it had not come to us",
            Refund::Nothing => return Ok(refund),
        };
        let action = if refunded { Action::Refund } else { Action::RefundReverse };
        let act = Act::by(actor, now, action, format!("{source} {}", transaction.shown(source)))
            .detail(what);
        self.log_admin(&act).await?;
        Ok(refund)
    }

    async fn refund(
        &mut self,
        source: &str,
        transaction: &TransactionId,
        refunded: Option<Day>,
    ) -> Result<Refund, TxError> {
        let Some(purchase) = self.purchase(source, transaction).await? else {
            let Some(day) = refunded else { return Ok(Refund::Nothing) };
            self.insert_refunded(source, transaction, day).await?;
            return Ok(Refund::Noted);
        };
        if purchase.refunded.is_some() == refunded.is_some() {
            return Ok(Refund::Nothing);
        }
        let Some(grant_id) = purchase.grant_id else {
            self.delete_purchase(source, transaction).await?;
            return Ok(Refund::Noted);
        };
        self.mark_refunded(source, transaction, refunded).await?;
        let mut minted = self.cancel(&grant_id, refunded.is_some()).await?;
        // The second part goes the same way as the first.
        let rest = TransactionId::new(*grant_id.as_bytes());
        if let Some(PurchaseRow { grant_id: Some(second), .. }) =
            self.purchase("rest", &rest).await?
        {
            self.mark_refunded("rest", &rest, refunded).await?;
            minted |= self.cancel(&second, refunded.is_some()).await?;
        }
        Ok(if minted { Refund::Lost } else { Refund::Cancelled })
    }

    /// Cancels a grant, or takes that back; whether anything had been signed. The row is held first, so that a signature
    /// that is being stored is either seen here or refused there.
    async fn cancel(&mut self, grant_id: &GrantId, cancelled: bool) -> Result<bool, TxError> {
        self.set_cancelled(grant_id, cancelled).await?;
        let grant = self.grant(grant_id).await?;
        Ok(grant.is_some_and(|grant| grant.minted != Minted::Nothing))
    }

    async fn mark_refunded(
        &mut self,
        source: &str,
        transaction: &TransactionId,
        refunded: Option<Day>,
    ) -> Result<(), TxError> {
        let sql = "-- mark_refunded()
            UPDATE purchases SET refunded_day = $3 WHERE source = $1 AND transaction_id = $2";
        sqlx::query(sql)
            .bind(source)
            .bind(transaction.as_bytes())
            .bind(refunded.map(|day| i64::from(day.0)))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn delete_purchase(
        &mut self,
        source: &str,
        transaction: &TransactionId,
    ) -> Result<(), TxError> {
        let sql = "-- delete_purchase()
            DELETE FROM purchases WHERE source = $1 AND transaction_id = $2 AND grant_id IS NULL";
        sqlx::query(sql)
            .bind(source)
            .bind(transaction.as_bytes())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Takes from what may be given away on a day; `false` where too little is left. The row makes whoever comes at the
    /// same time wait.
    async fn take_from_budget(
        &mut self,
        source: &str,
        day: Day,
        credits: u64,
        budget: u64,
    ) -> Result<bool, TxError> {
        let sql = "-- open_budget()
            INSERT INTO budgets (source, day, credits) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING";
        let day = i64::from(day.0);
        sqlx::query(sql).bind(source).bind(day).execute(self.connection()).await?;
        let sql = "-- take_from_budget()
            UPDATE budgets SET credits = credits + $3
            WHERE source = $1 AND day = $2 AND credits + $3 <= $4";
        let taken = sqlx::query(sql)
            .bind(source)
            .bind(day)
            .bind(i64::try_from(credits).unwrap_or(i64::MAX))
            .bind(i64::try_from(budget).unwrap_or(i64::MAX))
            .execute(self.connection())
            .await?;
        Ok(taken.rows_affected() == 1)
    }

    async fn insert_notification(
        &mut self,
        source: &str,
        id: &str,
        day: Day,
    ) -> Result<bool, TxError> {
        let sql = "-- insert_notification()
            INSERT INTO notifications (source, notification_id, day) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(sql)
            .bind(source)
            .bind(id)
            .bind(i64::from(day.0))
            .execute(self.connection())
            .await?;
        Ok(inserted.rows_affected() == 1)
    }
}
