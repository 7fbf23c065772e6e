//! Judging what a vendor answered to a batch by what it signed itself (redemption.md, "Judging an outcome"). Relays, auditors and
//! whoever reads a dispute file judge by this alone, so that they convict the same.

use std::collections::BTreeMap;

use crate::check::{Rejection, Spend, check_one};
use crate::id::{OperatorId, VendorId};
use crate::ledger::Leaf;
use crate::manifest::{DenominationKey, Manifest, Windows};
use crate::redemption::{
    ConflictProofError, DoubleSpend, ItemResult, RedemptionItem, RedemptionOutcome,
};
use crate::spend::SpendKind;
use crate::time::Day;

/// Why a refusal is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Justified {
    /// It answers another challenge.
    #[error("the certificate answers another challenge than the vendor's")]
    Challenge,
    /// No manifest has its key.
    #[error("no manifest has the certificate's key")]
    Key,
    /// The day on which it was decided does not end before the redemption window does.
    #[error("it was decided on {decided}, and the redemption window ended by the end of that day")]
    Late {
        /// The day that the outcome says.
        decided: Day,
    },
    /// The day of the payment is outside of the key's windows.
    #[error("the payment's day {day} is outside of the key's windows")]
    Day {
        /// The day that the item says.
        day: Day,
    },
    /// It does not verify.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// What a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The item could not be credited.
    True(Justified),
    /// Everything that the refusal could rest on verifies: the vendor signed an untruth.
    False,
    /// It rests on the windows of a manifest that is not at hand.
    ByManifest(u64),
}

/// Why a double spend that a vendor signed is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDoubleSpend {
    /// The proof in it is none.
    #[error(transparent)]
    Proof(#[from] ConflictProofError),
    /// The leaf that it names is about something else.
    #[error("the leaf that it names is not the use that it shows")]
    OtherLeaf,
    /// The leaf that it names is of another epoch, in which the same key is another certificate.
    #[error("the leaf that it names is of another epoch")]
    OtherEpoch,
}

/// What shows that a payment may bear its day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// A version of the manifest by which it may.
    pub manifest: u64,
    /// The version that the vendor still went by on that day or later, where the one that it names for its refusal says otherwise.
    pub stood: Option<u64>,
}

/// When the certificates of each epoch could be spent, by each version of the manifest that is known, and how long each is known to
/// have been the vendor's newest.
#[derive(Clone, Debug, Default)]
pub struct WindowHistory {
    versions: BTreeMap<u64, BTreeMap<u32, Windows>>,
    stood: BTreeMap<u64, Day>,
}

impl WindowHistory {
    /// Adds what a version says.
    pub fn add(&mut self, manifest: &Manifest) {
        let windows = manifest.epochs().iter().map(|epoch| (epoch.number, epoch.windows));
        self.versions.insert(manifest.version(), windows.collect());
    }

    /// Adds that a version was still the vendor's newest on a day: as an outcome says by which the vendor decided then
    /// ([`RedemptionOutcome::manifest_version`]), or as a reader saw for itself. No later version takes anything back of that day or
    /// of those before.
    pub fn stood(&mut self, version: u64, day: Day) {
        let until = self.stood.entry(version).or_insert(day);
        *until = day.max(*until);
    }

    /// Whether a payment may bear this day, by the version that the vendor says it judged by. Spend windows only ever get shorter
    /// (keys.md, "From one version to the next"): what a later version allows, an earlier one did. What an earlier one allowed is
    /// allowed on the days on which it still stood. The first day follows the earliest
    /// beginning that any version gives: no certificate is older than the first version that let it be issued.
    fn allows(&self, version: u64, epoch: u32, day: Day) -> Result<Shown, Refusal> {
        let of_epoch = |(version, epochs): (&u64, &BTreeMap<u32, Windows>)| {
            epochs.get(&epoch).map(|windows| (*version, *windows))
        };
        let known: Vec<(u64, Windows)> = self.versions.iter().filter_map(of_epoch).collect();
        let outside = Refusal::True(Justified::Day { day });
        let first = known.iter().map(|(_, windows)| windows.issue_from.day()).min();
        if first.is_none_or(|first| day < Day(first.0.saturating_sub(1))) {
            return Err(outside);
        }
        let by_then = |windows: &Windows| day.0 <= windows.spend_until.day().0.saturating_add(1);
        let from = |version: u64| {
            let found = known.iter().find(|(at, windows)| *at >= version && by_then(windows));
            found.map(|(at, _)| *at)
        };
        if let Some(manifest) = from(version) {
            return Ok(Shown { manifest, stood: None });
        }
        let mut stood = self.stood.iter().filter(|(_, until)| day <= **until);
        let shown = stood.find_map(|(stood, _)| {
            from(*stood).map(|manifest| Shown { manifest, stood: Some(*stood) })
        });
        match (shown, self.versions.contains_key(&version)) {
            (Some(shown), _) => Ok(shown),
            (None, true) => Err(outside),
            (None, false) => Err(Refusal::ByManifest(version)),
        }
    }
}

/// A vendor, by what it signed.
#[derive(Clone, Copy)]
pub struct Judge<'m> {
    newest: &'m Manifest,
    history: &'m WindowHistory,
}

impl<'m> Judge<'m> {
    /// Judges by the newest known manifest, which has every key that the vendor ever had, and the windows of all that are known.
    pub const fn new(newest: &'m Manifest, history: &'m WindowHistory) -> Self {
        Self { newest, history }
    }

    fn vendor(&self) -> VendorId {
        self.newest.vendor_id()
    }

    /// What the refusal of an item is; `None` where the result is none. Costs an RSA verification.
    pub fn refusal(
        &self,
        operator: &OperatorId,
        item: &RedemptionItem,
        result: &ItemResult,
        outcome: &RedemptionOutcome,
    ) -> Option<Refusal> {
        let is_late = match result {
            ItemResult::Expired => true,
            ItemResult::Invalid(_) => false,
            ItemResult::Accepted | ItemResult::AlreadyAccepted | ItemResult::DoubleSpent(_) => {
                return None;
            }
        };
        let key = match self.key(item) {
            Ok(key) => key,
            Err(justified) => return Some(Refusal::True(justified)),
        };
        let ends = Day(outcome.day.0.saturating_add(1)).start();
        if is_late && ends > key.windows().redeem_until {
            return Some(Refusal::True(Justified::Late { decided: outcome.day }));
        }
        let allowed = self.history.allows(outcome.manifest_version, key.epoch(), item.day);
        // What does not verify is refused rightly, whatever else could be said of it.
        let binding = item.binding(&self.vendor(), operator);
        let (token, signature) = (&item.token, &item.signature);
        let verified = check_one(&Spend { token, key, kind: SpendKind::Spend, binding, signature });
        Some(match (verified, allowed) {
            (Err(rejection), _) => Refusal::True(rejection.into()),
            (Ok(()), Err(refusal)) => refusal,
            (Ok(()), Ok(_)) => Refusal::False,
        })
    }

    /// What shows that the item may bear its day, where its refusal in `outcome` is [`Refusal::False`].
    pub fn shown(&self, item: &RedemptionItem, outcome: &RedemptionOutcome) -> Option<Shown> {
        let key = self.key(item).ok()?;
        self.history.allows(outcome.manifest_version, key.epoch(), item.day).ok()
    }

    fn key(&self, item: &RedemptionItem) -> Result<&'m DenominationKey, Justified> {
        if item.token.challenge_digest != *self.newest.challenge_digest() {
            return Err(Justified::Challenge);
        }
        self.newest.key(&item.token.key_id).ok_or(Justified::Key)
    }

    /// Whether the part of a double spend that anybody can check holds.
    ///
    /// # Errors
    /// [`NoDoubleSpend::Proof`].
    pub fn proof(
        &self,
        operator: &OperatorId,
        item: &RedemptionItem,
        spend: &DoubleSpend,
    ) -> Result<(), NoDoubleSpend> {
        let own = item.binding(&self.vendor(), operator);
        Ok(spend.proof().verify(&item.token.nonce, &own)?)
    }

    /// Whether a leaf is the use of the item's certificate that the double spend shows.
    ///
    /// # Errors
    /// [`NoDoubleSpend`]: the vendor signed that it is.
    pub fn winner(
        &self,
        item: &RedemptionItem,
        spend: &DoubleSpend,
        leaf: &Leaf,
    ) -> Result<(), NoDoubleSpend> {
        let (kind, identity) = match leaf {
            Leaf::Redemption(redemption) => (SpendKind::Spend, redemption.identity(&self.vendor())),
            Leaf::Renewal(renewal) => (SpendKind::Renewal, renewal.identity()),
            _ => return Err(NoDoubleSpend::OtherLeaf),
        };
        if !spend.is_won_by(kind, &identity) {
            return Err(NoDoubleSpend::OtherLeaf);
        }
        let epoch = |id| self.newest.key(id).map(DenominationKey::epoch);
        match epoch(&identity.key_id) == epoch(&item.token.key_id) {
            true => Ok(()),
            false => Err(NoDoubleSpend::OtherEpoch),
        }
    }
}
