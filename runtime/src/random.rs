//! Randomness as a parameter of services that outlive one generator.

use std::sync::Arc;

use rand_core::CryptoRngCore;

/// Makes a generator of randomness for one use. Programs give the system's; only their entry points name it.
pub type RngFactory = Arc<dyn Fn() -> Box<dyn CryptoRngCore + Send> + Send + Sync>;
