//! Judging what a vendor answered to a batch or to a renewal by what it signed itself (redemption.md, "Judging an outcome"; renewal.md,
//! "Judging an answer"). Relays, auditors and whoever reads a dispute file judge by this alone, so that they convict the same.

use std::collections::BTreeMap;

use crate::check::{Rejection, Spend, check_one};
use crate::id::{OperatorId, VendorId};
use crate::ledger::Leaf;
use crate::manifest::{DenominationKey, Manifest, Windows};
use crate::problem::ProblemType;
use crate::redemption::{
    ConflictProofError, DoubleSpend, ItemResult, RedemptionItem, RedemptionOutcome,
};
use crate::renewal::{RenewalItem, RenewalRefusal};
use crate::spend::{SpendIdentity, SpendKind};
use crate::time::{Day, UnixSeconds};
use crate::token::Token;

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
    /// A window was not open during all of the day on which it was decided.
    #[error("it was decided on {decided}, and a window that it needs was not open all that day")]
    Window {
        /// The day that the refusal says.
        decided: Day,
    },
    /// The new key is not the old one's in a later epoch.
    #[error("the new key is not that of the same denomination and use in a later epoch")]
    Pair,
    /// No key signs such a blinded message.
    #[error("the blinded message is out of range")]
    OutOfRange,
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

    /// The windows of an epoch by which the vendor may have decided on a day: those of the version that it names, and those of every
    /// version that was still the newest on a later day.
    fn windows(&self, version: u64, epoch: u32, day: Day) -> impl Iterator<Item = &Windows> {
        let stood = self.stood.iter().filter(move |(_, until)| day < **until);
        let versions = stood.map(|(stood, _)| *stood).chain([version]);
        versions.filter_map(move |version| self.versions.get(&version)?.get(&epoch))
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
        let key = match self.key(&item.token) {
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
        let key = self.key(&item.token).ok()?;
        self.history.allows(outcome.manifest_version, key.epoch(), item.day).ok()
    }

    fn key(&self, token: &Token) -> Result<&'m DenominationKey, Justified> {
        if token.challenge_digest != *self.newest.challenge_digest() {
            return Err(Justified::Challenge);
        }
        self.newest.key(&token.key_id).ok_or(Justified::Key)
    }

    /// What the refusal of this renewal is. Costs an RSA verification.
    pub fn renewal_refusal(&self, item: &RenewalItem, refusal: &RenewalRefusal) -> Refusal {
        let (token, signature) = (&item.token, &item.signature);
        let (binding, kind) = (item.binding(&self.vendor()), SpendKind::Renewal);
        let judged = self.key(token).and_then(|key| {
            check_one(&Spend { token, key, kind, binding, signature })?;
            Ok((key, self.newest.key(&item.blinded.key_id).ok_or(Justified::Key)?))
        });
        let (old, new) = match judged {
            Ok(keys) => keys,
            Err(justified) => return Refusal::True(justified),
        };
        let right = match refusal.problem {
            ProblemType::RenewalClosed => {
                return self.was_open(refusal, old, Windows::renews_at);
            }
            ProblemType::KeyOutsideWindow => {
                return self.was_open(refusal, new, Windows::signs_at);
            }
            ProblemType::BlindedMessageOutOfRange => {
                let fits = new.public().contains(&item.blinded.blinded_message);
                (!fits).then_some(Justified::OutOfRange)
            }
            // `malformed`: no other reason is signed.
            _ => {
                let same = new.exponent() == old.exponent() && new.key_use() == old.key_use();
                (!same || new.epoch() <= old.epoch()).then_some(Justified::Pair)
            }
        };
        right.map_or(Refusal::False, Refusal::True)
    }

    /// A refusal that says that a window of this key was closed: untrue if it was open from the first second of the day to the last, by
    /// the version that the refusal names or by one that still stood when the day was over.
    fn was_open(
        &self,
        refusal: &RenewalRefusal,
        key: &DenominationKey,
        is_open: impl Fn(&Windows, UnixSeconds) -> bool,
    ) -> Refusal {
        let (version, decided) = (refusal.manifest_version, refusal.day);
        let ends = Day(decided.0.saturating_add(1)).start().minus(1);
        let all_day =
            |windows: &Windows| is_open(windows, decided.start()) && is_open(windows, ends);
        if self.history.windows(version, key.epoch(), decided).any(all_day) {
            return Refusal::False;
        }
        match self.history.versions.contains_key(&version) {
            true => Refusal::True(Justified::Window { decided }),
            false => Refusal::ByManifest(version),
        }
    }

    /// Whether the part of a double spend that anybody can check holds. `own` is the use that lost, of a redemption or of a renewal.
    ///
    /// # Errors
    /// [`NoDoubleSpend::Proof`].
    pub fn proof(&self, own: &SpendIdentity, spend: &DoubleSpend) -> Result<(), NoDoubleSpend> {
        Ok(spend.proof().verify(&own.certificate_key, &own.binding)?)
    }

    /// Whether a leaf is the use of `own`'s certificate that the double spend shows.
    ///
    /// # Errors
    /// [`NoDoubleSpend`]: the vendor signed that it is.
    pub fn winner(
        &self,
        own: &SpendIdentity,
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
        match epoch(&identity.key_id) == epoch(&own.key_id) {
            true => Ok(()),
            false => Err(NoDoubleSpend::OtherEpoch),
        }
    }
}
