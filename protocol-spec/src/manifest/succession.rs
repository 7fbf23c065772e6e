//! What a newer manifest may change of an older one (keys.md, "From one version to the next").

use super::{Epoch, KeyUse, Manifest, Windows, products};
use crate::time::{SECONDS_PER_DAY, UnixSeconds};

/// Why a manifest may not take the place of the one that is held. The vendor's fault: it broke what it had signed before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// They are of two vendors.
    #[error("the two manifests are of different vendors")]
    OtherVendor,
    /// Its version is not above that of the held one.
    #[error("version {offered} is not above version {held}")]
    Version {
        /// The version that is held.
        held: u64,
        /// The version that was offered.
        offered: u64,
    },
    /// The issuer name is another one, so that no certificate would answer the challenge any more.
    #[error("the issuer name has changed")]
    IssuerName,
    /// A product is gone, or what it promises is another thing.
    #[error("the product `{name}` is gone, or its content has changed")]
    Product {
        /// Its name.
        name: String,
    },
    /// A receipt key is gone, or one is there since an earlier version that did not have it.
    #[error(
        "a receipt key is gone, or new without being endorsed for a version after the held one"
    )]
    ReceiptKeys,
    /// An epoch is gone, or its keys or their use are others.
    #[error("epoch {epoch} is gone, or its keys or their use have changed")]
    Keys {
        /// The epoch's number.
        epoch: u32,
    },
    /// A new epoch has a number that does not come after all known ones.
    #[error("epoch {epoch} is new and does not come after the epochs before")]
    Inserted {
        /// The epoch's number.
        epoch: u32,
    },
    /// An epoch that had begun begins at another time, or one begins before it was published.
    #[error(
        "epoch {epoch} begins before it was published, or had begun and begins at another time now"
    )]
    Rewritten {
        /// The epoch's number.
        epoch: u32,
    },
    /// A window of a known epoch ends, or its renewal opens, at another time now, which had passed while the held version was still
    /// the newest: what was good on those days would not be any more.
    #[error(
        "a window of epoch {epoch} moved to a time that had passed while the held version was still the newest"
    )]
    Backdated {
        /// The epoch's number.
        epoch: u32,
    },
    /// A window of a known epoch became longer or ends later, or the end of redemption moved.
    #[error("a window of epoch {epoch} became longer, or the end of its redemption moved")]
    Lengthened {
        /// The epoch's number.
        epoch: u32,
    },
}

impl Windows {
    /// Whether these may take the place of `held` for the same keys: nothing begins or ends later, the issue window is
    /// not longer, and operators have as long to redeem as before.
    fn may_follow(&self, held: &Self) -> bool {
        let issuing = |windows: &Self| windows.issue_until.0.saturating_sub(windows.issue_from.0);
        self.issue_from <= held.issue_from
            && self.issue_until <= held.issue_until
            && issuing(self) <= issuing(held)
            && self.renew_from <= held.renew_from
            && self.spend_until <= held.spend_until
            && self.redeem_until == held.redeem_until
    }

    /// Whether the end of issuing or of spending, or the beginning of renewal, is another one than in `held`, and was long ago at
    /// `held_at`. What was issued, spent or not yet renewed on a day before that stays so.
    fn takes_back(&self, held: &Self, held_at: UnixSeconds) -> bool {
        let moments =
            |windows: &Self| [windows.issue_until, windows.renew_from, windows.spend_until];
        let pairs = moments(self).into_iter().zip(moments(held));
        pairs.into_iter().any(|(is, was)| is != was && is_long_before(is, held_at))
    }
}

/// Whether `at` is more than a day before `held_at`: clocks differ, and epochs may begin with the day.
fn is_long_before(at: UnixSeconds, held_at: UnixSeconds) -> bool {
    at.plus(SECONDS_PER_DAY) < held_at
}

impl Manifest {
    /// Whether a reader that holds `held` may take this manifest in its place. `held_at` is when the reader last saw that
    /// `held` was the vendor's newest, and 0 where it does not know: what had begun then does not move, nothing new begins before, and
    /// nothing ends before. Versions between the two may have been missed: what may follow what may follow may follow.
    ///
    /// # Errors
    /// [`SuccessionError`] names the first rule that it breaks.
    pub fn may_follow(&self, held: &Self, held_at: UnixSeconds) -> Result<(), SuccessionError> {
        if self.vendor != held.vendor {
            return Err(SuccessionError::OtherVendor);
        }
        if self.version <= held.version {
            return Err(SuccessionError::Version { held: held.version, offered: self.version });
        }
        if self.challenge_digest != held.challenge_digest {
            return Err(SuccessionError::IssuerName);
        }
        let mut new = self.receipt_keys.all().skip(held.receipt_keys.all().count());
        let are_later = new.all(|key| key.since_version > held.version);
        if !self.receipt_keys.begin_with(&held.receipt_keys) || !are_later {
            return Err(SuccessionError::ReceiptKeys);
        }
        products::may_follow(&self.products, &held.products)?;
        for known in &held.epochs {
            let epoch = known.number;
            let found = self.epochs.iter().find(|offered| offered.number == epoch);
            let offered = found.ok_or(SuccessionError::Keys { epoch })?;
            let same_keys = self.keys_of(epoch).eq(held.keys_of(epoch));
            if !same_keys || offered.key_use != known.key_use {
                return Err(SuccessionError::Keys { epoch });
            }
            if !offered.windows.may_follow(&known.windows) {
                return Err(SuccessionError::Lengthened { epoch });
            }
            let (was, is) = (known.windows.issue_from, offered.windows.issue_from);
            if is != was && is_long_before(is, held_at) {
                return Err(SuccessionError::Rewritten { epoch });
            }
        }
        let last = held.epochs.last().map(|known| known.number);
        let is_known = |epoch: &u32| held.epochs.iter().any(|known| known.number == *epoch);
        for new in self.epochs.iter().filter(|epoch| !is_known(&epoch.number)) {
            let epoch = new.number;
            if Some(epoch) < last {
                return Err(SuccessionError::Inserted { epoch });
            }
            if new.key_use == KeyUse::Production && is_long_before(new.windows.issue_from, held_at)
            {
                return Err(SuccessionError::Rewritten { epoch });
            }
        }
        let backdated = |known: &&Epoch| {
            let offered = self.epochs.iter().find(|offered| offered.number == known.number);
            offered.is_some_and(|offered| offered.windows.takes_back(&known.windows, held_at))
        };
        match held.epochs.iter().find(backdated) {
            Some(epoch) => Err(SuccessionError::Backdated { epoch: epoch.number }),
            None => Ok(()),
        }
    }

    /// Id and exponent of each key of an epoch, by id.
    fn keys_of(&self, epoch: u32) -> impl Iterator<Item = (crate::id::KeyId, u8)> + '_ {
        let of_epoch = self.keys.iter().filter(move |(_, key)| key.epoch() == epoch);
        of_epoch.map(|(id, key)| (*id, key.exponent.get()))
    }
}
