//! The free allowance: the product `free`, which each installation gets once a period, within a budget.

use futures_util::future::BoxFuture;
use scrip_protocol::{
    id::VendorId,
    limits::MAX_WORK,
    purchase::{FREE, GrantRequest},
    time::UnixSeconds,
};
use scrip_runtime::config::HumanDuration;
use serde::Deserialize;

use super::{Asked, Source, SourceError, TransactionId, Verified};

pub(super) const NAME: &str = "free";
/// Seconds after a period's end in which its allowance is still given.
const LATE: u64 = 900;

/// `[sources.free]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreeConfig {
    /// How often to one installation.
    #[serde(default = "default_period")]
    pub period: HumanDuration,
    /// Bits of work for each; 0 asks for none.
    #[serde(default = "default_work")]
    pub work: u32,
    /// Credits in a day, to all together.
    pub credits_per_day: u64,
}

const fn default_period() -> HumanDuration {
    HumanDuration(30 * 86_400)
}

const fn default_work() -> u32 {
    20
}

/// The free allowance.
pub struct FreeSource {
    config: FreeConfig,
    vendor_id: VendorId,
}

impl FreeSource {
    /// As configured. More work than can be done is asked for as the most that can.
    pub fn new(mut config: FreeConfig, vendor_id: VendorId) -> Self {
        config.work = config.work.min(MAX_WORK);
        config.period.0 = config.period.0.max(1);
        Self { config, vendor_id }
    }

    /// A request that was made just before a period's end may come just after it.
    fn is_of_this_period(&self, period: u64, now: UnixSeconds) -> bool {
        let length = self.config.period.0;
        period == now.0 / length || period == now.minus(LATE.min(length)).0 / length
    }
}

impl Source for FreeSource {
    fn name(&self) -> &'static str {
        NAME
    }

    fn products(&self) -> Option<Vec<&str>> {
        Some(vec![FREE])
    }

    fn takes_orders_for(&self, _product: &str) -> bool {
        false
    }

    fn verify<'a>(&'a self, asked: &'a Asked<'a>) -> BoxFuture<'a, Result<Verified, SourceError>> {
        Box::pin(async move {
            let GrantRequest::Free(allowance) = asked.request else {
                return Err(SourceError::Unknown);
            };
            if allowance.work(&self.vendor_id) < self.config.work {
                return Err(SourceError::WorkInsufficient);
            }
            allowance
                .verify(&self.vendor_id, &asked.grant_id)
                .map_err(|_| SourceError::Unverified("the installation did not sign this"))?;
            let mut transaction = allowance.installation.as_bytes().to_vec();
            transaction.extend_from_slice(&allowance.period.to_be_bytes());
            let verified = Verified::new(TransactionId::new(transaction), FREE);
            Ok(Verified {
                lapsed: (!self.is_of_this_period(allowance.period, asked.now))
                    .then_some(SourceError::Unverified("the allowance is of another period")),
                budget: Some(self.config.credits_per_day),
                ..verified
            })
        })
    }
}
