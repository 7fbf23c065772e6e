//! A store whose writes fail on demand, in the two ways in which a write can fail.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use scrip_protocol::{
    id::{PaymentId, VendorId},
    time::UnixSeconds,
};

use crate::{
    provisions::StoredAnswer,
    spent::{
        BatchNumber, Conflict, ConflictNumber, EarningsRow, KnownPayment, NewBatch, NewRefusal,
        OutcomeRecord, PendingBatch, RedeemableItem, RefuseOutcome, Reservation, ReserveOutcome,
        ReservedPayment, SpentStore, StoreError, StoreFuture, VendorTotals, Waiting,
    },
};

/// How a write fails. Its caller cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It did not happen.
    Lost,
    /// It happened.
    Kept,
}

/// A store in which the next call of some methods fails.
pub struct FaultyStore {
    inner: Arc<dyn SpentStore>,
    faults: Mutex<BTreeMap<&'static str, Fault>>,
}

impl FaultyStore {
    /// Does what `inner` does, until it is told to fail.
    pub fn new(inner: Arc<dyn SpentStore>) -> Arc<Self> {
        Arc::new(Self { inner, faults: Mutex::default() })
    }

    /// The next call of `method` fails.
    pub fn fail_next(&self, method: &'static str, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).insert(method, fault);
    }

    fn write<'a, T: Send + 'a>(
        &'a self,
        method: &'static str,
        write: StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(method);
        match fault {
            None => write,
            Some(Fault::Lost) => Box::pin(async { Err(StoreError::Injected) }),
            Some(Fault::Kept) => Box::pin(async {
                write.await?;
                Err(StoreError::Injected)
            }),
        }
    }
}

impl SpentStore for FaultyStore {
    fn find(&self, payment: PaymentId) -> StoreFuture<'_, Option<KnownPayment>> {
        self.inner.find(payment)
    }

    fn reserve(&self, reservation: Reservation) -> StoreFuture<'_, ReserveOutcome> {
        self.write("reserve", self.inner.reserve(reservation))
    }

    fn commit(&self, payment: PaymentId, answer: StoredAnswer) -> StoreFuture<'_, StoredAnswer> {
        self.write("commit", self.inner.commit(payment, answer))
    }

    fn refuse(&self, refusal: NewRefusal) -> StoreFuture<'_, RefuseOutcome> {
        self.write("refuse", self.inner.refuse(refusal))
    }

    fn release(&self, payment: PaymentId) -> StoreFuture<'_, ()> {
        self.write("release", self.inner.release(payment))
    }

    fn reserved(&self, until: UnixSeconds) -> StoreFuture<'_, Vec<ReservedPayment>> {
        self.inner.reserved(until)
    }

    fn waiting(&self, vendor: VendorId) -> StoreFuture<'_, Waiting> {
        self.inner.waiting(vendor)
    }

    fn redeemable(&self, vendor: VendorId, most: usize) -> StoreFuture<'_, Vec<RedeemableItem>> {
        self.inner.redeemable(vendor, most)
    }

    fn unshown(&self, payment: PaymentId) -> StoreFuture<'_, Vec<RedeemableItem>> {
        self.inner.unshown(payment)
    }

    fn put_batches(&self, batches: Vec<NewBatch>) -> StoreFuture<'_, ()> {
        self.write("put_batches", self.inner.put_batches(batches))
    }

    fn pending_batches(&self) -> StoreFuture<'_, Vec<PendingBatch>> {
        self.inner.pending_batches()
    }

    fn batch_bytes(&self, batch: BatchNumber) -> StoreFuture<'_, Vec<u8>> {
        self.inner.batch_bytes(batch)
    }

    fn pending_batches_of(&self, payment: PaymentId) -> StoreFuture<'_, Vec<PendingBatch>> {
        self.inner.pending_batches_of(payment)
    }

    fn record_outcome(&self, outcome: OutcomeRecord) -> StoreFuture<'_, ()> {
        self.write("record_outcome", self.inner.record_outcome(outcome))
    }

    fn unreported(&self) -> StoreFuture<'_, Vec<Conflict>> {
        self.inner.unreported()
    }

    fn conflicts_of(&self, payment: PaymentId) -> StoreFuture<'_, Vec<Conflict>> {
        self.inner.conflicts_of(payment)
    }

    fn reported(&self, conflict: ConflictNumber) -> StoreFuture<'_, ()> {
        self.write("reported", self.inner.reported(conflict))
    }

    fn prune(&self, now: UnixSeconds) -> StoreFuture<'_, u64> {
        self.write("prune", self.inner.prune(now))
    }

    fn totals(&self) -> StoreFuture<'_, Vec<VendorTotals>> {
        self.inner.totals()
    }

    fn conflicts(&self, most: usize) -> StoreFuture<'_, Vec<Conflict>> {
        self.inner.conflicts(most)
    }

    fn earnings(&self) -> StoreFuture<'_, Vec<EarningsRow>> {
        self.inner.earnings()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
