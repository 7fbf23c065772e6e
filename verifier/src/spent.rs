//! The spent store: which certificates were spent here, for which payment, and what became of them.
//!
//! What the verifier relies on, and every implementation promises (`spent::conformance` checks it):
//!
//! - what a method answered with `Ok` is on the disk, also where the power fails;
//! - after `Err` it happened wholly or not at all, and the same call again is harmless;
//! - [`SpentStore::reserve`] decides atomically: of any number of reservations that share a certificate, in any order
//!   and at the same time, exactly one succeeds, and no more than the limit is unredeemed at any time;
//! - a reservation stores the evidence of every certificate before it succeeds;
//! - `reserved → committed`, `reserved → released` or `reserved → refused`, nothing else, and the first answer that is
//!   committed or refused stays;
//! - a binding is taken or refused, never both: what was refused is never reserved, under whatever payment, for as long as
//!   the day of the payment could let it pass.

mod error;
mod records;
pub mod sqlite;

#[cfg(any(test, feature = "testing"))]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests, for other crates too")]
pub mod conformance;

use futures_util::future::BoxFuture;
use scrip_protocol::{
    id::{PaymentId, VendorId},
    time::UnixSeconds,
};

pub use self::{
    error::StoreError,
    records::{
        AnsweredBatch, BatchNumber, Conflict, ConflictNumber, EarningsRow, EvidenceNumber,
        EvidenceState, KnownPayment, MOST_REFUSALS, NewBatch, NewRefusal, OutcomeRecord,
        PendingBatch, RedeemableItem, RefuseOutcome, Reservation, ReserveOutcome,
        ReservedCertificate, ReservedItem, ReservedPayment, VendorTotals, Waiting,
    },
    sqlite::{Books, SqliteStore},
};
use crate::provisions::StoredAnswer;

/// What a method of a store gives.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A spent store. The module says what is promised.
pub trait SpentStore: Send + Sync + 'static {
    /// What is known of a payment; `None` where nothing is.
    fn find(&self, payment: PaymentId) -> StoreFuture<'_, Option<KnownPayment>>;

    /// Reserves the certificates of a payment, with their evidence, or says why not, and then changed nothing.
    fn reserve(&self, reservation: Reservation) -> StoreFuture<'_, ReserveOutcome>;

    /// Stores the answer to a reserved payment, which makes its evidence redeemable. Gives the answer that counts: the one
    /// that was committed first.
    fn commit(&self, payment: PaymentId, answer: StoredAnswer) -> StoreFuture<'_, StoredAnswer>;

    /// Refuses a payment for good, in one transaction with the release of its reservation where there is one.
    ///
    /// Fails with [`StoreError::NotReleasable`] for a reservation that was shown to the vendor.
    fn refuse(&self, refusal: NewRefusal) -> StoreFuture<'_, RefuseOutcome>;

    /// Forgets a reservation: its certificates are free again. A payment that is not known is released already.
    ///
    /// Fails with [`StoreError::NotReleasable`] for a payment that was committed, or was shown to the vendor.
    fn release(&self, payment: PaymentId) -> StoreFuture<'_, ()>;

    /// Every reservation that is neither committed nor released and was made at or before `until`.
    fn reserved(&self, until: UnixSeconds) -> StoreFuture<'_, Vec<ReservedPayment>>;

    /// How much evidence of a vendor waits to be redeemed, and since when.
    fn waiting(&self, vendor: VendorId) -> StoreFuture<'_, Waiting>;

    /// The evidence of a vendor that waits to be redeemed, the oldest first, at most `most` items.
    fn redeemable(&self, vendor: VendorId, most: usize) -> StoreFuture<'_, Vec<RedeemableItem>>;

    /// The evidence of one payment that is reserved and was not yet shown to the vendor.
    fn unshown(&self, payment: PaymentId) -> StoreFuture<'_, Vec<RedeemableItem>>;

    /// Stores batches with their bytes, before they are sent; their items wait no longer. All of them or none.
    ///
    /// Fails with [`StoreError::AlreadyInBatch`] where an item is in a batch, or its payment is gone.
    fn put_batches(&self, batches: Vec<NewBatch>) -> StoreFuture<'_, ()>;

    /// The batches that were not answered yet, the oldest first.
    fn pending_batches(&self) -> StoreFuture<'_, Vec<PendingBatch>>;

    /// The signed bytes of a batch.
    fn batch_bytes(&self, batch: BatchNumber) -> StoreFuture<'_, Vec<u8>>;

    /// The batches that hold items of this payment and were not answered yet.
    fn pending_batches_of(&self, payment: PaymentId) -> StoreFuture<'_, Vec<PendingBatch>>;

    /// Stores a vendor's verified answer to a batch: the result of each item, the conflicts that the server has to react
    /// to, and the bytes of the answer. A batch that was answered before is left as it is.
    fn record_outcome(&self, outcome: OutcomeRecord) -> StoreFuture<'_, ()>;

    /// The conflicts that the server has not been told of, as far as their payments are committed.
    fn unreported(&self) -> StoreFuture<'_, Vec<Conflict>>;

    /// The conflicts that were found among the certificates of one payment.
    fn conflicts_of(&self, payment: PaymentId) -> StoreFuture<'_, Vec<Conflict>>;

    /// Marks a conflict as told to the server.
    fn reported(&self, conflict: ConflictNumber) -> StoreFuture<'_, ()>;

    /// Drops certificates of epochs whose `redeem_until` lies at or before `now`, and what belongs to them, as far as the vendor
    /// has decided about them; and refusals of payments whose day is long past. Gives how many were dropped; call it again until there are none, for it takes a slice at a
    /// time, not to hold up payments.
    fn prune(&self, now: UnixSeconds) -> StoreFuture<'_, u64>;

    /// What is owed by, and was earned from, each vendor.
    fn totals(&self) -> StoreFuture<'_, Vec<VendorTotals>>;

    /// All conflicts that were ever found, the newest first, at most `most`.
    fn conflicts(&self, most: usize) -> StoreFuture<'_, Vec<Conflict>>;

    /// What vendors decided, per day and kind of result, the newest day first.
    fn earnings(&self) -> StoreFuture<'_, Vec<EarningsRow>>;

    /// Waits until everything that was asked for is written, and closes the store. Whatever is asked for later fails with
    /// [`StoreError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}
