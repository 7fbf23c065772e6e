//! What follows from a double spend (redemption.md, "What may end a lease"), and the relay as the verifier sees it.

use scrip_protocol::{
    credits::Credits, id::PaymentId, media, receipt::ReceiptEvent, redemption::ConflictProof,
};
use scrip_verifier::{Provisions, ProvisionsError, StoredAnswer};

use crate::{
    core::{Core, Statement},
    store::{ConflictDecision, ConflictSubject, LeaseRow, StoreError},
};

/// The status of an answer to a paid request (spending.md, "Receipts").
pub(crate) const CREATED: u16 = 201;

impl Core {
    /// Takes back what a certificate of a payment paid for, once, and keeps the proof.
    pub(crate) async fn take_back(&self, subject: ConflictSubject) -> Result<(), StoreError> {
        let ConflictSubject { payment_id, certificate, .. } = subject;
        let reader = self.store.reader();
        loop {
            if reader.conflict_is_recorded(payment_id, certificate).await? {
                return Ok(());
            }
            let lease = reader.lease_of_payment(payment_id).await?;
            let price = reader.seconds_per_credit(payment_id).await?;
            let decision = self.decide(&subject, lease, price);
            let what = describe(&decision);
            self.steps.at("relay.conflict.before");
            if self.store.record_conflict(subject, decision).await? {
                self.steps.at("relay.conflict.after");
                tracing::warn!(credits = subject.value.0, "double spend: {what}");
                self.ended.notify_one();
                return Ok(());
            }
        }
    }

    /// Shortens by what the certificate's value bought at the payment's own price; where that leaves nothing, ends.
    fn decide(
        &self,
        subject: &ConflictSubject,
        lease: Option<LeaseRow>,
        seconds_per_credit: Option<u64>,
    ) -> ConflictDecision {
        let (lease, price) = match (lease, seconds_per_credit) {
            (Some(lease), Some(price)) if lease.is_live(subject.now) => (lease, price),
            (lease, _) => {
                let lease = lease.map(|lease| (lease.lease_id, lease.end()));
                return ConflictDecision::HadEnded { lease };
            }
        };
        let (number, lease_id, from) = (lease.number, lease.lease_id, lease.lease_until);
        let to = from.minus(subject.value.0.saturating_mul(price));
        let ends = to <= subject.now;
        let receipt = self.sign(Statement {
            payment_id: subject.payment_id,
            event: if ends { ReceiptEvent::Ended } else { ReceiptEvent::Shortened },
            lease_id,
            lease_until: if ends { subject.now } else { to },
            // No certificate is worth more than 2^31 credits.
            credits: u32::try_from(subject.value.0).unwrap_or(u32::MAX),
            detail: subject.proof.encode(),
        });
        if ends {
            ConflictDecision::End { lease: number, lease_id, from, receipt }
        } else {
            ConflictDecision::Shorten { lease: number, lease_id, from, to, receipt }
        }
    }
}

fn describe(decision: &ConflictDecision) -> &'static str {
    match decision {
        ConflictDecision::HadEnded { .. } => "its lease had ended before",
        ConflictDecision::Shorten { .. } => "its lease was shortened",
        ConflictDecision::End { .. } => "its lease was ended",
    }
}

/// What the verifier asks.
impl Provisions for Core {
    async fn answer(&self, payment: &PaymentId) -> Result<Option<StoredAnswer>, ProvisionsError> {
        let receipt = self.store.settled_receipt(*payment).await;
        let receipt = receipt.map_err(ProvisionsError::new)?;
        Ok(receipt.map(|body| StoredAnswer {
            status: CREATED,
            content_type: media::RECEIPT.to_owned(),
            body,
        }))
    }

    async fn double_spent(
        &self,
        payment: &PaymentId,
        certificate: &[u8; 32],
        value: Credits,
        proof: &ConflictProof,
    ) -> Result<(), ProvisionsError> {
        let subject = ConflictSubject {
            payment_id: *payment,
            certificate: *certificate,
            value,
            proof: *proof,
            now: self.believed.earlier(),
        };
        self.take_back(subject).await.map_err(ProvisionsError::new)
    }
}
