//! Commitments to values, and proofs about their sums (solvency.md).
//!
//! In scope: the commitments, what is proven of them, and the check, from public data alone. Out of scope: where the
//! commitments come from, and whether they are in the ledger.

mod document;
mod proof;

#[cfg(test)]
mod tests;

use bulletproofs::PedersenGens;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use hkdf::Hkdf;
use sha2::Sha256;
use std::collections::BTreeMap;
use zeroize::Zeroize;

use crate::credits::Credits;
use crate::ledger::{CommitmentKind, TallyKind, ValueCommitment};

pub use self::document::Solvency;
pub use self::proof::{Claim, ProveError, SolvencyError};

/// What hides the value of a commitment: a uniformly random scalar of ristretto255.
#[derive(Clone)]
pub struct Blinding(Scalar);

impl Drop for Blinding {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Blinding {
    /// The blinding of `context` under a random 32-byte seed. Contexts of one seed must differ.
    pub fn from_seed(seed: &[u8; 32], context: &[u8]) -> Self {
        let mut wide = [0; 64];
        let hkdf = Hkdf::<Sha256>::new(Some(b"scrip/v1 blinding"), seed);
        // 64 bytes are far below what HKDF-SHA-256 can give, so that this does not fail.
        let expanded = hkdf.expand(context, &mut wide);
        debug_assert!(expanded.is_ok());
        let scalar = Scalar::from_bytes_mod_order_wide(&wide);
        wide.zeroize();
        Self(scalar)
    }

    /// The blinding with this canonical form, little-endian; `None` for every other.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Option::from(Scalar::from_canonical_bytes(*bytes)).map(Self)
    }

    /// Its canonical form, little-endian.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

/// The commitment to `credits`: a compressed point.
pub fn commit(credits: Credits, blinding: &Blinding) -> [u8; 32] {
    let point = PedersenGens::default().commit(Scalar::from(credits.0), blinding.0);
    point.compress().to_bytes()
}

/// Bytes that are no point of ristretto255, where a commitment should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the commitment is no point of ristretto255")]
pub struct NoPoint;

/// The sign with which a commitment counts: in what is outstanding, and in what is not settled.
const fn signs(kind: CommitmentKind) -> (i8, i8) {
    match kind {
        CommitmentKind::Tally(TallyKind::Sold | TallyKind::Reissued) => (1, 0),
        CommitmentKind::Tally(TallyKind::Redeemed) => (-1, 1),
        CommitmentKind::Tally(TallyKind::Renewed | TallyKind::Expired) => (-1, 0),
        CommitmentKind::Settled => (0, -1),
    }
}

/// The sums of one epoch: of points for the public, of scalars for the vendor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums<T> {
    outstanding: T,
    unsettled: T,
    /// As `unsettled`, of what was redeemed before the settlement alone.
    exact: T,
}

impl<T: Copy + std::ops::AddAssign + std::ops::SubAssign> Sums<T> {
    fn add(&mut self, kind: CommitmentKind, is_before_settlement: bool, amount: T) {
        let (outstanding, unsettled) = signs(kind);
        let counts = is_before_settlement || kind == CommitmentKind::Settled;
        let exact = if counts { unsettled } else { 0 };
        for (sum, sign) in [
            (&mut self.outstanding, outstanding),
            (&mut self.unsettled, unsettled),
            (&mut self.exact, exact),
        ] {
            match sign {
                1 => *sum += amount,
                -1 => *sum -= amount,
                _ => {}
            }
        }
    }
}

/// What everybody can add up: the commitments of each epoch.
#[derive(Clone, Debug)]
pub struct PublicBooks {
    settled_until: u64,
    epochs: BTreeMap<u32, Sums<RistrettoPoint>>,
}

impl PublicBooks {
    /// Books without a commitment. `settled_until` is the document's.
    pub fn new(settled_until: u64) -> Self {
        Self { settled_until, epochs: BTreeMap::new() }
    }

    /// Adds the commitment with this index, each once.
    ///
    /// # Errors
    /// [`NoPoint`].
    pub fn add(&mut self, index: u64, commitment: &ValueCommitment) -> Result<(), NoPoint> {
        let point = CompressedRistretto(commitment.commitment).decompress().ok_or(NoPoint)?;
        let is_before = index < self.settled_until;
        self.epochs.entry(commitment.epoch).or_default().add(commitment.kind, is_before, point);
        Ok(())
    }

    /// The epochs that have commitments.
    pub fn epochs(&self) -> impl Iterator<Item = u32> {
        self.epochs.keys().copied()
    }
}

/// What the vendor knows: the openings of the same commitments.
#[derive(Clone)]
pub struct PrivateBooks {
    settled_until: u64,
    /// Values and blindings. Values may be below zero between.
    epochs: BTreeMap<u32, (Sums<i128>, Sums<Scalar>)>,
}

impl PrivateBooks {
    /// Books without an opening. `settled_until` is 0, or the `until` of statements to all operators.
    pub fn new(settled_until: u64) -> Self {
        Self { settled_until, epochs: BTreeMap::new() }
    }

    /// Adds the opening of the commitment with this index, each once.
    pub fn add(
        &mut self,
        index: u64,
        kind: CommitmentKind,
        epoch: u32,
        credits: Credits,
        blinding: &Blinding,
    ) {
        let is_before = index < self.settled_until;
        let (values, blindings) = self.epochs.entry(epoch).or_default();
        values.add(kind, is_before, i128::from(credits.0));
        blindings.add(kind, is_before, blinding.0);
    }

    /// Whether what was settled is exactly what was redeemed before `settled_until`, in every epoch.
    pub fn is_settled_exactly(&self) -> bool {
        self.epochs.values().all(|(values, _)| values.exact == 0)
    }
}
