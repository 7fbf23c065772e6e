//! Who cheats, and which rules of the protocol are in force.

/// Who cheats. They share what they know, and sign for one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coalition {
    /// The holder of the certificate.
    pub wallet: bool,
    /// The second operator. The first is always honest.
    pub operator: bool,
    /// The vendor.
    pub vendor: bool,
}

/// Rules whose absence lets somebody get away with something. All are in force unless a mutant switches one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Payments and renewals are signed under labels of their own, so that a signature says which it is (renewal.md).
    pub labels_apart: bool,
    /// The binding holds the denomination's key (spending.md).
    pub key_in_binding: bool,
    /// A leaf is judged by certificate, key and binding, and not by the bytes of signatures (redemption.md).
    pub identity_judged: bool,
    /// A relay stores a refusal before it signs it (spending.md).
    pub refusal_stored_first: bool,
    /// A relay keeps what it refused until the day of the payment cannot be accepted any more (spending.md).
    pub refusal_kept_for_window: bool,
    /// Only a signed refusal frees a certificate (spending.md).
    pub only_signed_refusals_free: bool,
    /// An operator is convicted of redeeming what it refused by its own signed batch, not by a leaf that the vendor wrote.
    pub batch_demanded: bool,
    /// A vendor stores the refusal of a renewal before it signs it, and refuses the same request for ever (renewal.md).
    pub renewal_refusal_stored: bool,
    /// The refusal of a renewal is signed, and kept by the wallet (renewal.md).
    pub renewal_refusal_signed: bool,
    /// A vendor's answer that a certificate to be renewed was spent is signed and names the winner (renewal.md).
    pub renewal_conflict_signed: bool,
    /// A signed refusal of what verifies convicts the vendor (redemption.md).
    pub refusals_judged: bool,
    /// The leaf that a double spend names must be there, and be that use (redemption.md).
    pub winner_checked: bool,
    /// Readers keep every receipt key that they ever held (keys.md).
    pub keys_kept: bool,
    /// Readers take a new receipt key only with the endorsement of the one before (keys.md).
    pub endorsement_demanded: bool,
    /// The wallet records a payment before it sends it (spending.md).
    pub payment_recorded_first: bool,
    /// The vendor records a redemption before it answers it (redemption.md).
    pub redemption_recorded_first: bool,
}

impl Rules {
    /// Everything in force.
    pub const ALL: Self = Self {
        labels_apart: true,
        key_in_binding: true,
        identity_judged: true,
        refusal_stored_first: true,
        refusal_kept_for_window: true,
        only_signed_refusals_free: true,
        batch_demanded: true,
        renewal_refusal_stored: true,
        renewal_refusal_signed: true,
        renewal_conflict_signed: true,
        refusals_judged: true,
        winner_checked: true,
        keys_kept: true,
        endorsement_demanded: true,
        payment_recorded_first: true,
        redemption_recorded_first: true,
    };
}
