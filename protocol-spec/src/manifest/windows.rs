//! What the keys of an epoch are for, and when they may be used (keys.md, "The manifest").

use serde::Serialize;

use crate::limits::ISSUE_GRACE;
use crate::time::UnixSeconds;

/// What the keys of an epoch sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyUse {
    /// Certificates that were paid for.
    Production,
    /// Certificates of sandbox and test purchases, which no relay takes unless its operator says so.
    Test,
}

impl KeyUse {
    /// As in the manifest.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Production => 1,
            Self::Test => 2,
        }
    }

    /// What this byte of a manifest means.
    pub const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Production),
            2 => Some(Self::Test),
            _ => None,
        }
    }
}

/// When the keys of an epoch may be used. Each window contains its first second and not its last. That of issuing is empty
/// where the epoch was revoked before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Blind signatures are made from here …
    pub issue_from: UnixSeconds,
    /// … until here.
    pub issue_until: UnixSeconds,
    /// Certificates are exchanged for new ones from here until `spend_until`.
    pub renew_from: UnixSeconds,
    /// Relays accept payments until here.
    pub spend_until: UnixSeconds,
    /// The vendor accepts redemptions until here.
    pub redeem_until: UnixSeconds,
}

impl Windows {
    /// Whether blind signatures are made at `now`.
    pub fn issues_at(&self, now: UnixSeconds) -> bool {
        self.issue_from <= now && now < self.issue_until
    }

    /// Whether the vendor still answers requests for signatures at `now`: within [`ISSUE_GRACE`] of the issue window,
    /// for clocks that differ and requests that were made before it ended, and never when nothing could be spent.
    pub fn signs_at(&self, now: UnixSeconds) -> bool {
        self.issue_from <= now.plus(ISSUE_GRACE)
            && now < self.issue_until.plus(ISSUE_GRACE)
            && now < self.spend_until
    }

    /// Whether relays accept payments at `now`.
    pub fn spends_at(&self, now: UnixSeconds) -> bool {
        self.issue_from <= now && now < self.spend_until
    }

    /// Whether certificates are exchanged for new ones at `now`.
    pub fn renews_at(&self, now: UnixSeconds) -> bool {
        self.renew_from <= now && now < self.spend_until
    }

    /// Whether the vendor accepts redemptions at `now`.
    pub fn redeems_at(&self, now: UnixSeconds) -> bool {
        now < self.redeem_until
    }

    pub(super) fn are_in_order(&self) -> bool {
        self.issue_from <= self.issue_until
            && self.issue_until <= self.renew_from
            && self.renew_from <= self.spend_until
            && self.spend_until <= self.redeem_until
    }

    pub(super) fn issuing_overlaps(&self, other: &Self) -> bool {
        let begins = self.issue_from.max(other.issue_from);
        begins < self.issue_until.min(other.issue_until)
    }

    /// Whether the keys never issue.
    pub fn never_issues(&self) -> bool {
        self.issue_from == self.issue_until
    }
}
