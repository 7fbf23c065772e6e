//! How much an operator trusts a vendor (verification.md, "Risk policy").

use scrip_protocol::{address::VendorAddress, credits::Credits, tlog::policy::WitnessPolicy};

/// A vendor whose certificates are accepted, and on which terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorPolicy {
    /// The vendor.
    pub address: VendorAddress,
    /// Whether large payments are shown to the vendor before anything is provisioned.
    pub risk: Risk,
    /// No payment is accepted that would bring what is not redeemed yet above this. With zero nothing is accepted any
    /// more, while what was accepted before is still redeemed: this is how to part from a vendor.
    pub stop_above: Option<Credits>,
    /// Whether certificates of test keys are taken. They are redeemed as the others are, and worth nothing: for relays
    /// that vendors and app developers try their purchases with.
    pub accept_test: bool,
    /// Whose cosignatures a newer manifest of the vendor needs before it is used; nobody's with [`WitnessPolicy::none`].
    pub witnesses: WitnessPolicy,
}

/// When a payment is redeemed before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Never: payments are checked offline, and work while the vendor is down.
    Offline,
    /// For payments of more than this. It shows the vendor the size and the moment of such a payment.
    OnlineAbove(Credits),
}

impl Risk {
    /// Whether a payment of `credits` has to be redeemed first.
    pub fn asks_first(self, credits: Credits) -> bool {
        match self {
            Self::Offline => false,
            Self::OnlineAbove(threshold) => credits > threshold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_payments_above_the_threshold_are_asked_about() {
        assert!(!Risk::Offline.asks_first(Credits(u64::MAX)));
        assert!(!Risk::OnlineAbove(Credits(8)).asks_first(Credits(8)));
        assert!(Risk::OnlineAbove(Credits(8)).asks_first(Credits(9)));
    }
}
