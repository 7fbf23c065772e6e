//! What can go wrong with the database.

use super::Doubt;

/// Why the database did not do what it should. Never the fault of a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL names no database that this program knows.
    #[error(
        "the database URL must begin with `sqlite://` or `postgres://`; correct the key `database`"
    )]
    UnknownScheme,
    /// The database cannot be reached or opened.
    #[error(
        "cannot open the database: {0}; check the key `database`, and that the server runs or the file is yours. \
         If the database is lost, restore it from a backup: `init` makes another vendor"
    )]
    Open(#[source] sqlx::Error),
    /// The SQLite file is damaged.
    #[error(
        "the database is damaged ({damage}); keep it aside, and restore the newest backup of it, as docs/operating.md says"
    )]
    Corrupt {
        /// What SQLite says of it first.
        damage: String,
    },
    /// A statement failed, or the connection did.
    #[error(
        "the transaction `{transaction}` failed: {source}; check the database's log and its free space"
    )]
    Failed {
        /// The transaction's name.
        transaction: &'static str,
        /// What the driver says.
        source: sqlx::Error,
    },
    /// No connection became free in time.
    #[error(
        "the transaction `{transaction}` got no connection in time; the database is overloaded, or `database_connections` is too low"
    )]
    Busy {
        /// The transaction's name.
        transaction: &'static str,
    },
    /// Other transactions won every time.
    #[error(
        "the transaction `{transaction}` was overtaken {attempts} times; the database is overloaded"
    )]
    Contention {
        /// The transaction's name.
        transaction: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
    /// A row holds what this program never writes.
    #[error("`{table}` holds a damaged row; restore the database from a backup")]
    Damaged {
        /// The table.
        table: &'static str,
    },
    /// A migration failed; it was rolled back.
    #[error("migration {number} failed: {source}; nothing was changed, see the database's log")]
    Migration {
        /// Its number.
        number: i64,
        /// What the driver says.
        source: sqlx::Error,
    },
    /// A newer release wrote this database.
    #[error(
        "the database is at version {found}, this program knows {known}; use the newer release"
    )]
    TooNew {
        /// The version of the database.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// It is not to be believed, so that nothing is written to it.
    #[error("the database is not to be believed: {0}. Everything but reading is refused. {remedy}", remedy = .0.remedy())]
    Doubted(Doubt),
    /// Its commits may be lost.
    #[error(
        "the PostgreSQL server runs with `{setting} = {value}`: what it has committed can be lost, and so be sold or credited twice; \
         set `{setting} = on`"
    )]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// What it is.
        value: String,
    },
    /// `init` was not run.
    #[error("the database has no issuer in it; run `scrip-issuer init` first")]
    NotInitialised,
}

impl StoreError {
    /// Whether the same request may succeed soon.
    pub fn is_overload(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Contention { .. })
    }
}

/// Why an attempt of a transaction ended. Only [`super::Store`] sees the difference.
#[derive(Debug)]
pub(crate) enum TxError {
    /// The driver's answer, which may be worth another attempt.
    Sql(sqlx::Error),
    /// Another transaction changed a row in between: worth another attempt.
    Overtaken,
    /// Another attempt would end the same way.
    Final(StoreError),
}

impl From<sqlx::Error> for TxError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for TxError {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

impl TxError {
    /// Whether the transaction lost to another one and can be tried again: PostgreSQL's serialization failure and
    /// deadlock, a uniqueness constraint (the next attempt sees the row that was there first), SQLite's busy and
    /// locked.
    pub(crate) fn is_retryable(&self) -> bool {
        let error = match self {
            Self::Sql(sqlx::Error::Database(error)) => error,
            Self::Overtaken => return true,
            Self::Sql(_) | Self::Final(_) => return false,
        };
        let code = error.code().unwrap_or_default();
        let sqlite_primary = code.parse::<u32>().ok().filter(|_| code.len() < 5).map(|c| c & 0xff);
        error.is_unique_violation()
            || matches!(code.as_ref(), "40001" | "40P01" | "55P03")
            || matches!(sqlite_primary, Some(5 | 6))
    }
}

impl StoreError {
    /// Whether a server may be there in a moment that is not there now: it starts, ends, or has no connection left.
    pub(crate) fn may_pass(&self) -> bool {
        let Self::Open(source) = self else { return false };
        match source {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
            // admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections
            sqlx::Error::Database(error) => error
                .code()
                .is_some_and(|code| ["57P01", "57P02", "57P03", "53300"].contains(&&*code)),
            _ => false,
        }
    }
}
