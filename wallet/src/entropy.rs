//! The one generator of randomness of a wallet, handed in from outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_core::{CryptoRng, CryptoRngCore, RngCore};

/// A generator that concurrent tasks share. Clones draw from the same one.
#[derive(Clone)]
pub struct Entropy(Arc<Mutex<Box<dyn CryptoRngCore + Send>>>);

impl Entropy {
    /// Shares `generator`.
    pub fn new(generator: impl RngCore + CryptoRng + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(generator))))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.lock().fill_bytes(&mut bytes);
        bytes
    }

    /// A generator that panicked while it was locked has at worst lost some of its output.
    fn lock(&self) -> MutexGuard<'_, Box<dyn CryptoRngCore + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RngCore for Entropy {
    fn next_u32(&mut self) -> u32 {
        self.lock().next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.lock().next_u64()
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.lock().fill_bytes(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.lock().try_fill_bytes(dest)
    }
}

impl CryptoRng for Entropy {}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}
