//! For tests and benches, of this crate and of others: a vendor in process, the way to it, and a store that fails on
//! demand. Behind the feature `testing`; none of it belongs into a program.

mod faults;
mod ledger;
mod link;
mod vendor;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use rand_core::RngCore;
use scrip_protocol::{keys::SigningKey, time::UnixSeconds};
use scrip_runtime::random::RngFactory;
use scrip_runtime::{clock::ManualClock, steps::Steps};

pub use self::{
    faults::{Fault, FaultyStore},
    ledger::TestLedger,
    link::{Behaviour, TestLink},
    vendor::{TEST_EPOCH, TestVendor},
};
use crate::{
    policy::{Risk, VendorPolicy},
    verifier::{Environment, VerifierConfig},
};

/// A time in the windows of every [`TestVendor`].
pub const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// The operator key that tests share.
pub fn operator_key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed(&[0x0b; 32]))
}

/// Generators that follow from `seed`, each different from the ones before.
pub fn rng_factory(seed: u64) -> RngFactory {
    let source = Mutex::new(ChaCha20Rng::seed_from_u64(seed));
    Arc::new(move || {
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seed = [0; 32];
        source.fill_bytes(&mut seed);
        Box::new(ChaCha20Rng::from_seed(seed))
    })
}

/// Surroundings on a clock that stands at [`NOW`], with `link` as the way to the vendors.
pub fn environment(link: &Arc<TestLink>) -> (Environment, ManualClock) {
    let clock = ManualClock::new(NOW);
    let environment = Environment {
        clock: Arc::new(clock.clone()),
        rng: rng_factory(1),
        steps: Steps::none(),
        link: Arc::<TestLink>::clone(link),
    };
    (environment, clock)
}

/// A configuration that accepts these vendors offline and without limit.
pub fn config<'a>(
    data_dir: &Path,
    vendors: impl IntoIterator<Item = &'a Arc<TestVendor>>,
) -> VerifierConfig {
    let policy = |vendor: &Arc<TestVendor>| VendorPolicy {
        address: vendor.address(),
        accept_test: false,
        risk: Risk::Offline,
        stop_above: None,
        witnesses: scrip_protocol::tlog::policy::WitnessPolicy::none(),
    };
    VerifierConfig {
        operator_key: operator_key(),
        vendors: vendors.into_iter().map(policy).collect(),
        data_dir: data_dir.to_owned(),
        patience: Duration::from_secs(5),
    }
}
