//! Settling reservations that nobody works on: after a crash, and of clients that never came back.

use scrip_protocol::{id::PaymentId, time::UnixSeconds};

use super::Verifier;
use crate::{
    inflight::Entry,
    provisions::{Provisions, ProvisionsError},
    spent::{KnownPayment, StoreError},
};

/// What became of the reservations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Had been provisioned: their answers are stored now.
    pub committed: u64,
    /// Had not been provisioned: their certificates are free again.
    pub released: u64,
    /// Were shown to the vendor, which may have recorded them, and wait for their client to repeat its request.
    pub kept: u64,
}

/// Why a reservation could not be settled. Nothing is lost by it; try again.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The spent store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server could not say whether it had provisioned.
    #[error(transparent)]
    Provisions(#[from] ProvisionsError),
}

enum Settled {
    Committed,
    Released,
    Kept,
    /// Somebody works on it, or has meanwhile.
    Busy,
}

impl Verifier {
    /// Asks the server about every payment that is reserved, and commits those that were provisioned and releases the
    /// others (verification.md, "The spent store"). To be called after every start, before payments are taken.
    ///
    /// # Errors
    /// [`RecoverError`]: do not take payments before it succeeded.
    pub async fn recover(&self, provisions: &impl Provisions) -> Result<Recovered, RecoverError> {
        // All of them: the clock may have been set back since they were made.
        self.settle_reserved_until(UnixSeconds(u64::MAX), provisions).await
    }

    /// The same for reservations that were made at or before `until`. Payments that are being worked on are left alone, so
    /// that this may run at any time.
    pub(crate) async fn settle_reserved_until(
        &self,
        until: UnixSeconds,
        provisions: &impl Provisions,
    ) -> Result<Recovered, RecoverError> {
        let mut recovered = Recovered::default();
        for reserved in self.store.reserved(until).await? {
            match self.settle_one(reserved.payment_id, provisions).await? {
                Settled::Committed => recovered.committed += 1,
                Settled::Released => recovered.released += 1,
                Settled::Kept => recovered.kept += 1,
                Settled::Busy => {}
            }
        }
        Ok(recovered)
    }

    async fn settle_one(
        &self,
        payment: PaymentId,
        provisions: &impl Provisions,
    ) -> Result<Settled, RecoverError> {
        let Entry::Lead(_lead) = self.inflight.enter(payment) else { return Ok(Settled::Busy) };
        // Again, now that nobody else works on it.
        let Some(KnownPayment::Reserved(_)) = self.store.find(payment).await? else {
            return Ok(Settled::Busy);
        };
        if let Some(answer) = provisions.answer(&payment).await? {
            self.commit(payment, answer).await?;
            return Ok(Settled::Committed);
        }
        match self.release(payment).await {
            Ok(()) => Ok(Settled::Released),
            Err(StoreError::NotReleasable) => Ok(Settled::Kept),
            Err(error) => Err(error.into()),
        }
    }
}
