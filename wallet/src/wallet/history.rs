//! What was bought and spent.

use scrip_protocol::{
    address::RelayAddress, credits::Credits, id::PaymentId, issuance::GrantAnswer,
    problem::ProblemType, time::UnixSeconds,
};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    records::{PaymentRecord, PaymentState, Purchase, PurchaseState, Subject},
};

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryEntry {
    /// When it began.
    pub at: UnixSeconds,
    /// How much it was about; nothing for a purchase that the vendor has not confirmed yet.
    pub credits: Credits,
    /// What it was.
    #[serde(flatten)]
    pub kind: HistoryKind,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HistoryKind {
    /// Certificates were bought.
    Purchase {
        /// What the vendor calls it.
        product: Option<String>,
        /// `open`, `issued` or `unusable`.
        state: &'static str,
    },
    /// Certificates were spent, or were about to be.
    Payment {
        /// The payment.
        payment: PaymentId,
        /// Whom.
        relay: RelayAddress,
        /// What for.
        subject: Subject,
        /// `open`, `settled` or `returned`.
        state: &'static str,
        /// Why it was returned, where the relay named a problem.
        problem: Option<ProblemType>,
    },
}

impl Wallet {
    /// Purchases and payments, the oldest first.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn history(&self) -> Result<Vec<HistoryEntry>, WalletError> {
        let purchases = self.store.all::<Purchase>().await?.into_iter().map(purchase);
        let payments = self.store.all::<PaymentRecord>().await?.into_iter().map(payment);
        let mut entries: Vec<HistoryEntry> = purchases.chain(payments).collect();
        entries.sort_by_key(|entry| entry.at);
        Ok(entries)
    }
}

fn purchase(purchase: Purchase) -> HistoryEntry {
    let (state, answer): (_, Option<GrantAnswer>) = match purchase.state {
        PurchaseState::Ordering { .. } | PurchaseState::Asked => ("open", None),
        PurchaseState::Granted { answer } | PurchaseState::Requested { answer, .. } => {
            ("open", Some(answer))
        }
        PurchaseState::Issued { answer, .. } => ("issued", Some(answer)),
        PurchaseState::Unusable { answer } => ("unusable", Some(answer)),
    };
    HistoryEntry {
        at: purchase.at,
        credits: answer.as_ref().map_or(Credits::ZERO, |answer| answer.credits),
        kind: HistoryKind::Purchase { product: answer.map(|answer| answer.product), state },
    }
}

fn payment(payment: PaymentRecord) -> HistoryEntry {
    let (state, problem) = match payment.state {
        PaymentState::InFlight { .. } => ("open", None),
        PaymentState::Settled { .. } => ("settled", None),
        PaymentState::Returned { problem, .. } => ("returned", problem),
    };
    let PaymentRecord { id: payment, relay, subject, at, credits, .. } = payment;
    HistoryEntry {
        at,
        credits,
        kind: HistoryKind::Payment { payment, relay, subject, state, problem },
    }
}
