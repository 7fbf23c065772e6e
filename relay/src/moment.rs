//! Whether the two databases are of one moment. Each was on the disk before the other went on, so that every payment that was taken
//! bought something, and everything that was bought was paid for by a payment that is known. Where one of them came back from a
//! backup, or lost its end, that is not so; and whatever is put in order then is put in order by the wrong one.

use scrip_protocol::{
    id::PaymentId,
    limits::REDEEM_WITHIN,
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use scrip_verifier::spent::{SpentStore, SqliteStore, StoreError as SpentError};

use crate::{
    core::REMEMBERED,
    store::{AcceptedLoss, Store, StoreError},
};

/// How many of the newest are looked at: what went back lacks the newest.
const LOOK_AT: u32 = 512;
/// Seconds in which nothing is forgotten of a payment that bought something, and of what it bought.
const BOTH_KNOW: u64 = if REMEMBERED < REDEEM_WITHIN { REMEMBERED } else { REDEEM_WITHIN };

/// The databases could not be compared, or disagree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MomentError {
    /// `relay.db` lacks what payments bought.
    #[error(
        "relay.db is older than spent.sqlite: {payments} of the newest payments in this bought something that is not in that. Nothing \
         was changed. Put back the relay.db that was used last; where it is lost for good, `scrip-relay accept-loss` goes on \
         without it, and what these payments bought is gone"
    )]
    OlderLeases {
        /// How many.
        payments: usize,
    },
    /// `spent.sqlite` lacks payments.
    #[error(
        "spent.sqlite is older than relay.db: {provisions} of the newest leases and extensions in this were paid with payments that \
         are not in that. Nothing was changed. Put back the spent.sqlite that was used last; where it is lost for good, \
         `scrip-relay accept-loss` goes on without it, and what these payments were worth is never claimed"
    )]
    OlderPayments {
        /// How many.
        provisions: usize,
    },
    /// `relay.db` failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `spent.sqlite` failed.
    #[error(transparent)]
    Spent(#[from] SpentError),
}

/// In what the databases differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Payments that bought something which `relay.db` does not have.
    pub payments: Vec<PaymentId>,
    /// Payments that bought something, and that `spent.sqlite` does not have.
    pub provisions: Vec<PaymentId>,
}

/// Compares what is newest in both. To be called before anything is changed in either.
pub(crate) async fn difference(
    store: &Store,
    spent: &SqliteStore,
    now: UnixSeconds,
) -> Result<Difference, MomentError> {
    let reader = store.reader();
    let accepted = reader.accepted_loss().await?;
    let taken = spent.books().newest_taken(accepted.payments, LOOK_AT).await?;
    let bought = reader.newest_provisions(accepted.provisions, LOOK_AT).await?;
    // By whichever is later: a clock that was set back makes nothing old that is new.
    let newest = taken.iter().map(|(_, _, at)| *at).chain(bought.iter().map(|one| one.made_at));
    let now = newest.fold(now, UnixSeconds::max);
    let known_by_both = |at: UnixSeconds| at.plus(BOTH_KNOW - SECONDS_PER_DAY) > now;
    let mut difference = Difference::default();
    for (_, payment, _) in taken.into_iter().filter(|(_, _, at)| known_by_both(*at)) {
        if reader.receipt_of_payment(payment).await?.is_none() {
            difference.payments.push(payment);
        }
    }
    for one in bought.into_iter().filter(|one| known_by_both(one.made_at)) {
        if spent.find(one.payment_id).await?.is_none() {
            difference.provisions.push(one.payment_id);
        }
    }
    Ok(difference)
}

/// Refuses databases that are not of one moment.
pub(crate) async fn check(
    store: &Store,
    spent: &SqliteStore,
    now: UnixSeconds,
) -> Result<(), MomentError> {
    let Difference { payments, provisions } = difference(store, spent, now).await?;
    // Where both lack something, the one that lacks more has lost more: it is named first.
    match (payments.len(), provisions.len()) {
        (0, 0) => Ok(()),
        (payments, provisions) if payments >= provisions => {
            Err(MomentError::OlderLeases { payments })
        }
        (_, provisions) => Err(MomentError::OlderPayments { provisions }),
    }
}

/// Takes it as given from now on that they differ.
pub(crate) async fn accept(
    store: &Store,
    spent: &SqliteStore,
    now: UnixSeconds,
) -> Result<Difference, MomentError> {
    let difference = difference(store, spent, now).await?;
    let taken = spent.books().newest_taken(0, 1).await?;
    let bought = store.reader().newest_provisions(0, 1).await?;
    let accepted = AcceptedLoss {
        payments: taken.first().map_or(0, |(number, ..)| *number),
        provisions: bought.first().map_or(0, |one| one.number),
    };
    store.accept_loss(accepted).await?;
    Ok(difference)
}
