//! Why a database is not to be believed (ledger.md, "A database that went back").

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// The history that a PostgreSQL server writes: it is another one in another cluster, and since each promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The cluster's identifier, which its replicas share.
    pub system: String,
    /// The timeline: a promotion, and a restore from an archive, begin a new one.
    pub timeline: String,
}

impl Server {
    /// Whether it may have been promoted after `other`.
    pub(crate) fn follows(&self, other: &Self) -> bool {
        // Eight hexadecimal digits, which order as numbers do.
        self.system == other.system && self.timeline > other.timeline
    }

    /// The timeline as a number.
    pub(crate) fn timeline_number(&self) -> i64 {
        i64::from_str_radix(&self.timeline, 16).unwrap_or(-1)
    }
}

impl Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, timeline {}", self.system, self.timeline)
    }
}

/// Why the database is not to be believed: everything but reads is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// This process could not compare it with the ledger yet.
    #[error("it was not compared with the ledger yet, because the ledger's storage cannot be read")]
    Unread,
    /// The ledger has leaves that it does not know.
    #[error("the ledger in {place} has {stored} leaves, and the database knows of {known}")]
    Behind {
        /// The ledger's storage.
        place: String,
        /// Leaves in the ledger.
        stored: u64,
        /// Leaves that the database knows of.
        known: u64,
    },
    /// It has another tree than the ledger.
    #[error("its tree of {size} leaves has another root than the ledger's in {place}")]
    Differs {
        /// The ledger's storage.
        place: String,
        /// The size of both trees.
        size: u64,
    },
    /// What was committed is gone.
    #[error("transactions that it had committed are gone")]
    Lost,
    /// Its server was promoted a moment ago, and other issuers may not have said yet what they had committed.
    #[error("its server was promoted a moment ago (now {now})")]
    Promoted {
        /// Where it is.
        now: String,
    },
    /// It is on another server, or on a promoted one, and no running issuer knows that it has everything.
    #[error(
        "it is on another server, or on one that was promoted, since issuers last wrote to it ({before}; now {now}), and no issuer \
         that ran all the time knows whether it has everything"
    )]
    OtherServer {
        /// Where it was.
        before: Server,
        /// Where it is.
        now: Server,
    },
    /// What issuers left beside the ledger cannot be read.
    #[error(
        "the file `database` in the ledger's storage {place} is damaged, so that nothing can be compared"
    )]
    Damaged {
        /// The ledger's storage.
        place: String,
    },
}

impl Doubt {
    /// What to do about it. Commands are between backticks.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Unread => {
                "Make the ledger's storage readable, `[ledger]` in issuer.toml. Selling and redeeming go on by themselves then."
            }
            Self::Behind { .. } | Self::Differs { .. } | Self::Lost => {
                "Put back a database that is at least as new: the server from before the failover, a replica that has everything (a \
                 synchronous one), or the newest backup. The ledger is right; leave it as it is. What is written to this database \
                 now is lost. Issuers go on by themselves when the right database is there."
            }
            Self::OtherServer { .. } => {
                "If it was promoted from a synchronous replica, or from one that had received everything, say so with `scrip-issuer \
                 database accept`; a restored backup has everything only if nothing was written after it. Otherwise go back to the \
                 server from before."
            }
            Self::Promoted { .. } => {
                "Nothing: issuers compare it with what they know, and go on within seconds where it has everything."
            }
            Self::Damaged { .. } => {
                "If the database is the newest one, `scrip-issuer database accept` writes the file anew."
            }
        }
    }
}
