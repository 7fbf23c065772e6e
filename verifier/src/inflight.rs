//! Payments that are being worked on in this process: one request of a payment proceeds, its twins wait for the outcome.
//!
//! This is about courtesy and load alone. That a payment is provisioned once follows from the store, and from
//! provisioning being keyed by the payment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use scrip_protocol::id::PaymentId;
use tokio::{sync::watch, time::timeout};

use crate::provisions::StoredAnswer;

type Watched = watch::Receiver<Option<StoredAnswer>>;

/// The payments that somebody works on.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<HashMap<PaymentId, Watched>>);

/// What a request of a payment finds.
pub(crate) enum Entry {
    /// Nobody works on this payment: go ahead.
    Lead(Lead),
    /// Somebody does.
    Follow(Follow),
}

/// The right to work on a payment. Dropping it lets the next request in.
pub(crate) struct Lead {
    inflight: Arc<InFlight>,
    payment: PaymentId,
    outcome: watch::Sender<Option<StoredAnswer>>,
}

/// A request that waits for its twin.
pub(crate) struct Follow(Watched);

impl InFlight {
    pub(crate) fn enter(self: &Arc<Self>, payment: PaymentId) -> Entry {
        // Nothing panics while the map is locked, so that a poisoned one is as good as any.
        let mut payments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = payments.get(&payment) {
            return Entry::Follow(Follow(watched.clone()));
        }
        let (outcome, watched) = watch::channel(None);
        payments.insert(payment, watched);
        Entry::Lead(Lead { inflight: Arc::clone(self), payment, outcome })
    }
}

impl Lead {
    /// Gives the twins their answer.
    pub(crate) fn finish(self, answer: &StoredAnswer) {
        self.outcome.send_replace(Some(answer.clone()));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.inflight.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.payment);
    }
}

impl Follow {
    /// The answer that the twin got, or `None` where it has none within `patience`.
    pub(crate) async fn answer(mut self, patience: Duration) -> Option<StoredAnswer> {
        let answered = timeout(patience, self.0.wait_for(Option::is_some)).await;
        answered.ok()?.ok()?.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn lead(inflight: &Arc<InFlight>, payment: PaymentId) -> Lead {
        match inflight.enter(payment) {
            Entry::Lead(lead) => lead,
            Entry::Follow(_) => panic!("somebody works on it"),
        }
    }

    fn follow(inflight: &Arc<InFlight>, payment: PaymentId) -> Follow {
        match inflight.enter(payment) {
            Entry::Follow(follow) => follow,
            Entry::Lead(_) => panic!("nobody works on it"),
        }
    }

    #[tokio::test]
    async fn twins_get_the_answer_of_the_first() {
        let inflight = Arc::new(InFlight::default());
        let payment = PaymentId::from_bytes([1; 32]);
        let first = lead(&inflight, payment);
        let other = lead(&inflight, PaymentId::from_bytes([2; 32]));
        let twin = tokio::spawn(follow(&inflight, payment).answer(PATIENCE));
        let answer = StoredAnswer { status: 201, content_type: "x".into(), body: vec![7] };
        first.finish(&answer);
        assert_eq!(twin.await.unwrap(), Some(answer));
        drop(lead(&inflight, payment));
        drop(other);
        assert!(inflight.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_twin_does_not_wait_for_one_that_died_or_takes_too_long() {
        let inflight = Arc::new(InFlight::default());
        let payment = PaymentId::from_bytes([1; 32]);
        let first = lead(&inflight, payment);
        let twin = follow(&inflight, payment);
        assert_eq!(twin.answer(Duration::from_millis(5)).await, None);
        let twin = follow(&inflight, payment);
        drop(first);
        assert_eq!(twin.answer(PATIENCE).await, None);
    }
}
