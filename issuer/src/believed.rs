//! What is believed of the time, by all issuers on one database: see [`scrip_runtime::plausible`].

use scrip_runtime::{
    clock::{Clock, SharedClock},
    plausible::{ClockInDoubt, OtherDay, PlausibleClock, check_stated},
};

use crate::{
    issuer::Issuer,
    store::{Act, Action, Store, StoreError},
};

/// Why the clock was not confirmed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfirmError {
    /// The clock shows another day.
    #[error(transparent)]
    OtherDay(#[from] OtherDay),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A clock that goes on from what the database remembers.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn of(store: &Store, clock: &SharedClock) -> Result<PlausibleClock, StoreError> {
    let believed = PlausibleClock::new(clock.clone(), store.remembered_time().await?);
    if let Some(shown) = store.server_time().await? {
        believed.compare(shown);
    }
    Ok(believed)
}

/// What keeps a command from believing the clock, if anything does.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn doubt(
    store: &Store,
    clock: &SharedClock,
) -> Result<Option<ClockInDoubt>, StoreError> {
    Ok(of(store, clock).await?.certain().err())
}

/// A person says that the clock is right, and which day it is. Running issuers take it over within a minute.
///
/// # Errors
/// [`ConfirmError`].
pub async fn confirm(store: &Store, day: &str, clock: &dyn Clock) -> Result<(), ConfirmError> {
    let now = clock.now();
    check_stated(day, now)?;
    let act = Act::by_command(now, Action::ClockConfirm, day);
    Ok(store.confirm_time(now, &act).await?)
}

impl Issuer {
    /// Compares the clock with the database server's, takes over what a person confirmed, and remembers what is believed.
    ///
    /// # Errors
    /// [`StoreError`]; the time is remembered the next time.
    pub async fn tend_clock(&self) -> Result<(), StoreError> {
        let (store, believed) = (&self.inner.store, &self.inner.believed);
        if let Some(shown) = store.server_time().await? {
            believed.compare(shown);
        }
        if let Some(next) = believed.remember(store.remembered_time().await?) {
            store.remember_time(next).await?;
        }
        // Says where it comes into doubt.
        believed.read();
        Ok(())
    }

    /// What keeps the clock from being believed, if anything does.
    pub fn clock_in_doubt(&self) -> Option<ClockInDoubt> {
        self.inner.believed.certain().err()
    }
}
