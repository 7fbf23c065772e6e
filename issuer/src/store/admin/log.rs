//! The admin log: what was done, when, and by whom. Rows are appended and never changed.

use scrip_protocol::time::UnixSeconds;
use sqlx::Row;

use crate::store::{Store, StoreError, Tx, TxError, rows};

/// Something that is done and has to be logged. Written in the transaction that does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: UnixSeconds,
    /// The name of the admin token; or [`Act::COMMAND_LINE`] or [`Act::BY_ITSELF`].
    pub actor: String,
    /// What.
    pub action: Action,
    /// To what: a name, an id or a number that the vendor or a source gave. Never a grant, a code or a key of a certificate.
    pub subject: String,
    /// What else a reader wants to know, in a few words.
    pub detail: String,
}

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody logged in to the page.
    Login,
    /// An admin token was made.
    TokenCreate,
    /// An admin token was revoked.
    TokenRevoke,
    /// An auditor was added.
    AuditorAdd,
    /// An auditor's token was revoked.
    AuditorRevoke,
    /// An operator was added.
    OperatorAdd,
    /// The addresses of an operator's relay were set.
    OperatorList,
    /// Terms were concluded with an operator.
    OperatorContract,
    /// A statement was made.
    StatementMake,
    /// An adjustment was agreed.
    StatementAdjust,
    /// Vouchers were made.
    VoucherCreate,
    /// The unused vouchers of a batch were cancelled.
    VoucherCancel,
    /// A person said that the clock is right.
    ClockConfirm,
    /// The keys of the next epoch were made.
    KeysMake,
    /// The products or operators of the manifest changed.
    ManifestList,
    /// The next epoch was made to issue.
    KeysRotate,
    /// An epoch was revoked.
    KeysRevoke,
    /// A new receipt key signs.
    KeysReceipt,
    /// A purchase was marked as refunded.
    Refund,
    /// A refund was taken back.
    RefundReverse,
    /// Money was taken for nothing that can be delivered.
    PaymentUnmatched,
}

impl Action {
    /// As it is stored and shown: the command's words, where there is one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::TokenCreate => "admin token create",
            Self::TokenRevoke => "admin token revoke",
            Self::AuditorAdd => "auditor add",
            Self::AuditorRevoke => "auditor revoke",
            Self::OperatorAdd => "operator add",
            Self::OperatorList => "operator list",
            Self::OperatorContract => "operator contract",
            Self::StatementMake => "statement make",
            Self::StatementAdjust => "statement adjust",
            Self::VoucherCreate => "voucher create",
            Self::VoucherCancel => "voucher cancel",
            Self::ClockConfirm => "clock confirm",
            Self::KeysMake => "keys make",
            Self::ManifestList => "manifest list",
            Self::KeysRotate => "keys rotate",
            Self::KeysRevoke => "keys revoke",
            Self::KeysReceipt => "keys receipt",
            Self::Refund => "refund",
            Self::RefundReverse => "refund reverse",
            Self::PaymentUnmatched => "payment unmatched",
        }
    }
}

impl Act {
    /// The actor of a command.
    pub const COMMAND_LINE: &str = "command line";
    /// The actor of what the program does by itself.
    pub const BY_ITSELF: &str = "issuer";

    /// Something that a command did.
    pub fn by_command(at: UnixSeconds, action: Action, subject: impl Into<String>) -> Self {
        Self::by(Self::COMMAND_LINE, at, action, subject)
    }

    /// Something that `actor` did.
    pub fn by(
        actor: impl Into<String>,
        at: UnixSeconds,
        action: Action,
        subject: impl Into<String>,
    ) -> Self {
        let (actor, subject) = (actor.into(), subject.into());
        Self { at, actor, action, subject, detail: String::new() }
    }

    /// The same with a detail.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LogEntry {
    /// From 1 on, without gaps.
    pub number: u64,
    /// When.
    pub at: UnixSeconds,
    /// Who.
    pub actor: String,
    /// What, as [`Action::as_str`] says it.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What else.
    pub detail: String,
}

impl Store {
    /// Logs something whose doing is no transaction of its own.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn log_admin(&self, act: &Act) -> Result<(), StoreError> {
        self.run_tx("log_admin", |tx| Box::pin(async move { tx.log_admin(act).await })).await
    }

    /// The newest entries with numbers below `before`, newest first; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn admin_log(
        &self,
        before: Option<u64>,
        limit: u16,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let before = before.and_then(|number| i64::try_from(number).ok()).unwrap_or(i64::MAX);
        self.read("admin_log", |tx| {
            Box::pin(async move {
                let sql = "-- admin_log()
                    SELECT number, at, actor, action, subject, detail FROM admin_log
                    WHERE number < $1 ORDER BY number DESC LIMIT $2";
                let found = sqlx::query(sql)
                    .bind(before)
                    .bind(i64::from(limit))
                    .fetch_all(tx.connection())
                    .await?;
                let entry = |row: &sqlx::any::AnyRow| {
                    Ok(LogEntry {
                        number: rows::integer(row, "number", "admin_log")?,
                        at: UnixSeconds(rows::integer(row, "at", "admin_log")?),
                        actor: row.try_get("actor")?,
                        action: row.try_get("action")?,
                        subject: row.try_get("subject")?,
                        detail: row.try_get("detail")?,
                    })
                };
                found.iter().map(entry).collect()
            })
        })
        .await
    }
}

impl Store {
    /// When something was last done, and what the log says of it besides.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_done(
        &self,
        action: Action,
    ) -> Result<Option<(UnixSeconds, String)>, StoreError> {
        self.read("last_done", |tx| {
            Box::pin(async move {
                let sql = "-- last_done()
                    SELECT at, detail FROM admin_log WHERE action = $1
                    ORDER BY number DESC LIMIT 1";
                let query = sqlx::query(sql).bind(action.as_str());
                let found = query.fetch_optional(tx.connection()).await?;
                let one = |row: sqlx::any::AnyRow| {
                    let at = UnixSeconds(rows::integer(&row, "at", "admin_log")?);
                    Ok((at, row.try_get("detail")?))
                };
                found.map(one).transpose()
            })
        })
        .await
    }
}

impl Tx<'_> {
    /// Logs what the rest of the transaction does. Two processes that take one number are told apart by the primary
    /// key, and the later one runs its transaction again.
    pub(crate) async fn log_admin(&mut self, act: &Act) -> Result<(), TxError> {
        let sql = "-- next_log_number()
            SELECT COALESCE(MAX(number), 0) + 1 AS number FROM admin_log";
        let row = sqlx::query(sql).fetch_one(self.connection()).await?;
        let number: i64 = row.try_get("number")?;
        let sql = "-- log_admin()
            INSERT INTO admin_log (number, at, actor, action, subject, detail)
            VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(sql)
            .bind(number)
            .bind(i64::try_from(act.at.0).unwrap_or(i64::MAX))
            .bind(act.actor.as_str())
            .bind(act.action.as_str())
            .bind(act.subject.as_str())
            .bind(act.detail.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
