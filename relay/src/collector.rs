//! Expiry: what has ended is taken away, what a crash left behind too.

use scrip_protocol::time::{Day, UnixSeconds};

use crate::{
    chunk_files::{ChunkFileError, PER_DIRECTORY},
    core::{Core, REMEMBERED},
    store::{LeaseNumber, StoreError},
};

/// Days for which a file that no lease has is kept aside: the database may be the wrong one.
pub(crate) const DAYS_ASIDE: u32 = 30;

/// Why a collection was not finished. The next one goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be removed.
    #[error(transparent)]
    File(#[from] ChunkFileError),
}

/// What the start found on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Files that no lease has, put aside.
    pub(crate) orphans: u64,
    /// Files that were put aside before, and that a lease has all the same: the database was the wrong one then.
    pub(crate) returned: u64,
    /// Uploaded chunks without their file; their owners may upload them again.
    pub(crate) lost: u64,
}

impl Core {
    /// Ends what has expired, takes away what ended leases held, and forgets leases that ended long ago. It goes by the believed time,
    /// and by that three days late: a lease that only a wrong clock says has ended lives again when it is right.
    pub(crate) async fn collect(&self) -> Result<(), CollectError> {
        let believed = self.believed.read();
        let now = believed.deletable();
        while self.store.end_expired(now).await? > 0 {}
        self.take_away_content().await?;
        while self.store.drop_expired_messages(now).await? > 0 {}
        let long_ago = UnixSeconds(now.0.saturating_sub(REMEMBERED));
        while self.store.forget_leases(long_ago).await? > 0 {}
        let today = believed.earlier().day();
        Ok(self.files.drop_aside(Day(today.0.saturating_sub(DAYS_ASIDE))).await?)
    }

    /// Takes away what leases held that have ended already, whatever the time is.
    ///
    /// The file goes first: as long as it may be there, the row says that there is something to collect.
    pub(crate) async fn take_away_content(&self) -> Result<(), CollectError> {
        loop {
            let ended = self.store.reader().uncollected().await?;
            if ended.is_empty() {
                return Ok(());
            }
            for lease in ended.iter().filter(|lease| lease.is_chunk) {
                self.files.remove(lease.number).await?;
            }
            self.steps.at("relay.collect.files_gone");
            self.store.collect(ended.iter().map(|lease| lease.number).collect()).await?;
        }
    }

    /// Compares files and rows, before anything is served: a file that no row knows is put aside, and comes back where a row
    /// knows it; a row whose file is gone is open for uploads again.
    pub(crate) async fn reconcile(&self) -> Result<Found, CollectError> {
        let reader = self.store.reader();
        // The clock may be wrong before it is first set: what is put aside must not look old to one that is right.
        let newest = reader.newest_provisions(0, 1).await?;
        let now = newest.first().map_or(self.now(), |newest| newest.made_at.max(self.now()));
        let today = now.day();
        let mut found = Found { returned: self.bring_back(today).await?, ..Found::default() };
        let last = reader.last_lease().await?.0 / PER_DIRECTORY;
        let mut directories = self.files.directories().await?;
        directories.extend(0..=last);
        directories.sort_unstable();
        directories.dedup();
        for directory in directories {
            let first = directory.saturating_mul(PER_DIRECTORY);
            let numbers =
                (LeaseNumber(first), LeaseNumber(first.saturating_add(PER_DIRECTORY - 1)));
            let known = reader.uploaded_between(numbers.0, numbers.1).await?;
            let files = self.files.numbers_in(directory).await?;
            for orphan in files.iter().filter(|number| known.binary_search(number).is_err()) {
                self.files.put_aside(*orphan, today).await?;
                found.orphans += 1;
            }
            let lost = known.into_iter().filter(|number| files.binary_search(number).is_err());
            let lost: Vec<LeaseNumber> = lost.collect();
            found.lost += lost.len() as u64;
            if !lost.is_empty() {
                self.store.mark_lost(lost).await?;
            }
            self.files.remove_if_empty(directory).await?;
        }
        Ok(found)
    }

    /// Gives back the files that were put aside and are what a row describes, whose own file is gone or another: a relay that ran on
    /// an older database gave the same number to another chunk.
    async fn bring_back(&self, today: Day) -> Result<u64, CollectError> {
        let mut returned = 0;
        for aside in self.files.aside().await? {
            let number = aside.lease;
            let Some(digest) = self.store.reader().uploaded_digest(number).await? else { continue };
            if self.files.digest(number).await? != Some(digest)
                && self.files.take_back(aside, digest, today).await?
            {
                returned += 1;
            }
        }
        Ok(returned)
    }
}
