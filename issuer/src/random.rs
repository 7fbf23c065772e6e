//! Numbers that name rows: random, so that their order tells nothing and no two processes wait for one sequence.

use scrip_runtime::random::RngFactory;

/// A number that no other row has; not negative. Drawn before the transaction that uses it.
pub(crate) fn random_number(rng: &RngFactory) -> i64 {
    let mut bytes = [0; 8];
    rng().fill_bytes(&mut bytes);
    i64::from_be_bytes(bytes) & i64::MAX
}
