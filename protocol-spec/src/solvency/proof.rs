//! Proving and checking (solvency.md, "What is proven").

use bulletproofs::{BulletproofGens, PedersenGens, RangeProof};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::{PrivateBooks, PublicBooks, Solvency, Sums};
use crate::id::VendorId;

/// Epochs of one range proof.
const GROUP: usize = 16;
/// Values are below 2^64.
const BITS: usize = 64;

/// What a proof is about, and is bound to.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// The vendor.
    pub vendor_id: &'a VendorId,
    /// The text of the checkpoint: origin, size and root.
    pub checkpoint_text: &'a str,
    /// The whole signed note.
    pub checkpoint: &'a [u8],
}

/// Why there is no proof: the vendor's books do not add up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// More went than came.
    #[error(
        "of epoch {epoch} more was redeemed, renewed and expired than was issued: by {by} credits"
    )]
    Insolvent {
        /// The epoch.
        epoch: u32,
        /// In credits.
        by: u128,
    },
    /// More was settled than was redeemed.
    #[error("of epoch {epoch} more was settled than was redeemed: by {by} credits")]
    Overpaid {
        /// The epoch.
        epoch: u32,
        /// In credits.
        by: u128,
    },
    /// What was redeemed until then and what was settled differ.
    #[error("of epoch {epoch} what was settled is not what was redeemed until then")]
    NotSettled {
        /// The epoch.
        epoch: u32,
    },
    /// Sums beyond 2^64 - 1.
    #[error("the sums of epoch {epoch} are beyond 2^64 - 1 credits")]
    TooLarge {
        /// The epoch.
        epoch: u32,
    },
    /// The library refused; it should not.
    #[error("no range proof could be made: {0}")]
    Range(bulletproofs::ProofError),
}

/// Why a document proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SolvencyError {
    /// It is another vendor's.
    #[error("the proof is another vendor's")]
    OtherVendor,
    /// Its epochs are not those of the ledger's commitments.
    #[error("the proof leaves out epochs that have commitments, or names others")]
    Epochs,
    /// A range proof does not verify.
    #[error(
        "the proof does not show that of epochs {first} to {last} no more was redeemed than issued, and no more settled than redeemed"
    )]
    Range {
        /// The first epoch of its group.
        first: u32,
        /// The last.
        last: u32,
    },
    /// The proof of what was settled does not verify.
    #[error("the proof does not show that what was settled is what was redeemed until then")]
    Exact,
}

/// What all proofs are bound to.
fn transcript(claim: &Claim<'_>, settled_until: u64) -> Transcript {
    let mut transcript = Transcript::new(b"scrip/v1 solvency");
    transcript.append_message(b"vendor_id", claim.vendor_id.as_bytes());
    transcript.append_message(b"checkpoint", claim.checkpoint_text.as_bytes());
    transcript.append_u64(b"settled_until", settled_until);
    transcript
}

fn append_sums<'a>(
    transcript: &mut Transcript,
    sums: impl Iterator<Item = (u32, &'a Sums<RistrettoPoint>)>,
) {
    for (epoch, sums) in sums {
        transcript.append_u64(b"epoch", epoch.into());
        transcript.append_message(b"outstanding", sums.outstanding.compress().as_bytes());
        transcript.append_message(b"unsettled", sums.unsettled.compress().as_bytes());
    }
}

fn challenge(transcript: &mut Transcript, label: &'static [u8]) -> Scalar {
    let mut wide = [0; 64];
    transcript.challenge_bytes(label, &mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// Two values for each epoch, filled up with `nothing` to a power of two.
fn filled<T: Copy>(values: impl Iterator<Item = [T; 2]>, nothing: T) -> Vec<T> {
    let mut values: Vec<T> = values.flatten().collect();
    values.resize(values.len().next_power_of_two(), nothing);
    values
}

fn value(epoch: u32, value: i128, below: fn(u32, u128) -> ProveError) -> Result<u64, ProveError> {
    if value < 0 {
        return Err(below(epoch, value.unsigned_abs()));
    }
    u64::try_from(value).map_err(|_| ProveError::TooLarge { epoch })
}

impl PrivateBooks {
    /// Proves what solvency.md says of these books. `rng` blinds the proof.
    ///
    /// # Errors
    /// [`ProveError`]: there is nothing to prove.
    pub fn prove(
        &self,
        claim: &Claim<'_>,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Solvency, ProveError> {
        let generators = PedersenGens::default();
        let mut values = Vec::with_capacity(self.epochs.len());
        for (epoch, (sums, _)) in &self.epochs {
            let outstanding =
                value(*epoch, sums.outstanding, |epoch, by| ProveError::Insolvent { epoch, by })?;
            let unsettled =
                value(*epoch, sums.unsettled, |epoch, by| ProveError::Overpaid { epoch, by })?;
            if self.settled_until != 0 && sums.exact != 0 {
                return Err(ProveError::NotSettled { epoch: *epoch });
            }
            values.push([outstanding, unsettled]);
        }
        let blindings: Vec<&Sums<Scalar>> = self.epochs.values().map(|(_, sums)| sums).collect();
        let points: Vec<Sums<RistrettoPoint>> = values
            .iter()
            .zip(&blindings)
            .map(|([outstanding, unsettled], blinding)| Sums {
                outstanding: generators.commit(Scalar::from(*outstanding), blinding.outstanding),
                unsettled: generators.commit(Scalar::from(*unsettled), blinding.unsettled),
                exact: generators.B_blinding * blinding.exact,
            })
            .collect();
        let mut transcript = transcript(claim, self.settled_until);
        append_sums(&mut transcript, self.epochs.keys().copied().zip(&points));
        let mut ranges = Vec::new();
        for (group, (values, blindings)) in
            values.chunks(GROUP).zip(blindings.chunks(GROUP)).enumerate()
        {
            transcript.append_u64(b"group", group as u64);
            let values = filled(values.iter().copied(), 0);
            let pairs = blindings.iter().map(|sums| [sums.outstanding, sums.unsettled]);
            let blindings = Zeroizing::new(filled(pairs, Scalar::ZERO));
            let gens = BulletproofGens::new(BITS, values.len());
            let (proof, _) = RangeProof::prove_multiple_with_rng(
                &gens,
                &generators,
                &mut transcript,
                &values,
                &blindings,
                BITS,
                rng,
            )
            .map_err(ProveError::Range)?;
            ranges.push(proof.to_bytes());
        }
        let exact = (self.settled_until != 0).then(|| {
            let differences: Vec<RistrettoPoint> = points.iter().map(|sums| sums.exact).collect();
            let weights = weights(&mut transcript, &differences);
            let secret: Scalar =
                blindings.iter().zip(weights).map(|(sums, weight)| sums.exact * weight).sum();
            let nonce = Zeroizing::new(Scalar::random(rng));
            let point = (generators.B_blinding * *nonce).compress();
            transcript.append_message(b"R", point.as_bytes());
            let c = challenge(&mut transcript, b"challenge");
            (point.to_bytes(), (*nonce + c * secret).to_bytes())
        });
        Ok(Solvency {
            vendor_id: *claim.vendor_id,
            checkpoint: claim.checkpoint.to_vec(),
            settled_until: self.settled_until,
            epochs: self.epochs.keys().copied().collect(),
            ranges,
            exact,
        })
    }
}

/// 1, z, z², … for a challenge z that follows from all differences.
fn weights(
    transcript: &mut Transcript,
    differences: &[RistrettoPoint],
) -> impl Iterator<Item = Scalar> + use<> {
    for difference in differences {
        transcript.append_message(b"settled", difference.compress().as_bytes());
    }
    let z = challenge(transcript, b"weight");
    std::iter::successors(Some(Scalar::ONE), move |weight| Some(weight * z))
}

impl Solvency {
    /// Checks the proofs against the sums of all commitments of the tree that `claim` names. `rng` weighs the equations of a
    /// range proof against each other; whoever made the proof must not be able to guess it.
    ///
    /// # Errors
    /// [`SolvencyError`].
    pub fn verify(
        &self,
        claim: &Claim<'_>,
        books: &PublicBooks,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(), SolvencyError> {
        if self.vendor_id != *claim.vendor_id {
            return Err(SolvencyError::OtherVendor);
        }
        let groups = self.epochs.len().div_ceil(GROUP);
        let same = books.epochs().eq(self.epochs.iter().copied());
        if !same || self.ranges.len() != groups || books.settled_until != self.settled_until {
            return Err(SolvencyError::Epochs);
        }
        let generators = PedersenGens::default();
        let mut transcript = transcript(claim, self.settled_until);
        append_sums(&mut transcript, books.epochs.iter().map(|(epoch, sums)| (*epoch, sums)));
        let sums: Vec<&Sums<RistrettoPoint>> = books.epochs.values().collect();
        for (group, (sums, proof)) in sums.chunks(GROUP).zip(&self.ranges).enumerate() {
            transcript.append_u64(b"group", group as u64);
            let pairs = sums.iter().map(|s| [s.outstanding.compress(), s.unsettled.compress()]);
            let points = filled(pairs, CompressedRistretto::default());
            let gens = BulletproofGens::new(BITS, points.len());
            let verified = RangeProof::from_bytes(proof).and_then(|proof| {
                proof.verify_multiple_with_rng(
                    &gens,
                    &generators,
                    &mut transcript,
                    &points,
                    BITS,
                    rng,
                )
            });
            let epochs = self.epochs.chunks(GROUP).nth(group).unwrap_or_default();
            let (first, last) = (epochs.first().copied(), epochs.last().copied());
            verified.map_err(|_| SolvencyError::Range {
                first: first.unwrap_or_default(),
                last: last.unwrap_or_default(),
            })?;
        }
        match &self.exact {
            Some((point, scalar)) => {
                let differences: Vec<RistrettoPoint> = sums.iter().map(|s| s.exact).collect();
                let weights = weights(&mut transcript, &differences);
                let sum: RistrettoPoint = differences.iter().zip(weights).map(|(d, w)| d * w).sum();
                transcript.append_message(b"R", point);
                let c = challenge(&mut transcript, b"challenge");
                let r = CompressedRistretto(*point).decompress().ok_or(SolvencyError::Exact)?;
                let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(*scalar));
                let s = s.ok_or(SolvencyError::Exact)?;
                if generators.B_blinding * s != r + sum * c {
                    return Err(SolvencyError::Exact);
                }
                Ok(())
            }
            None if self.settled_until == 0 => Ok(()),
            None => Err(SolvencyError::Exact),
        }
    }
}
