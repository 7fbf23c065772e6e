//! How many of which witnesses must have cosigned a checkpoint before it counts.

use std::collections::BTreeSet;

use crate::time::UnixSeconds;
use crate::tlog::note::{Algorithm, KeyName, Note, OpenError, VerifierKey};

/// `quorum` of `witnesses`. A log that shows two histories needs so many witnesses to help it, or to be deceived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessPolicy {
    witnesses: Vec<VerifierKey>,
    quorum: usize,
}

/// Why witnesses and a quorum are no policy. The fault of whoever wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// More are asked for than there are.
    #[error("the quorum is {quorum}, and there are only {witnesses} witnesses")]
    Quorum {
        /// How many must cosign.
        quorum: usize,
        /// How many there are.
        witnesses: usize,
    },
    /// A key that does not cosign: a log's, as a rule.
    #[error("the key of {0} is not one of a witness (algorithm 4)")]
    NotAWitness(KeyName),
    /// Two witnesses with one key would be counted twice.
    #[error("the witness {0} has a key that is listed twice")]
    Twice(KeyName),
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A cosignature by a known witness does not verify.
    #[error("the cosignature of the witness {0} does not verify")]
    BadCosignature(KeyName),
    /// Too few have cosigned. Wait and ask again; where it stays so, the log may be showing a history that its witnesses do not see.
    #[error("{found} of the {quorum} cosignatures that are demanded; missing: {}", names(.missing))]
    TooFew {
        /// How many have.
        found: usize,
        /// How many must.
        quorum: usize,
        /// Who has not.
        missing: Vec<KeyName>,
    },
}

impl WitnessPolicy {
    /// `quorum` of `witnesses`, all with different keys.
    ///
    /// # Errors
    /// [`BadPolicy`].
    pub fn new(witnesses: Vec<VerifierKey>, quorum: usize) -> Result<Self, BadPolicy> {
        if quorum > witnesses.len() {
            return Err(BadPolicy::Quorum { quorum, witnesses: witnesses.len() });
        }
        let mut keys = BTreeSet::new();
        for witness in &witnesses {
            if witness.algorithm() != Algorithm::CosignatureV1 {
                return Err(BadPolicy::NotAWitness(witness.name().clone()));
            }
            if !keys.insert(*witness.key()) {
                return Err(BadPolicy::Twice(witness.name().clone()));
            }
        }
        Ok(Self { witnesses, quorum })
    }

    /// Content with every checkpoint.
    pub const fn none() -> Self {
        Self { witnesses: Vec::new(), quorum: 0 }
    }

    /// How many must cosign.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// The witnesses that count.
    pub fn witnesses(&self) -> &[VerifierKey] {
        &self.witnesses
    }

    /// Which of the witnesses cosigned `checkpoint`, and when, if enough did.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn check(&self, checkpoint: &Note) -> Result<Vec<(KeyName, UnixSeconds)>, PolicyError> {
        let cosigned: Vec<_> = match checkpoint.open(&self.witnesses) {
            Ok(all) => all
                .into_iter()
                .filter_map(|verified| Some((verified.key.name().clone(), verified.time?)))
                .collect(),
            Err(OpenError::Unsigned) => Vec::new(),
            Err(OpenError::BadSignature(name)) => return Err(PolicyError::BadCosignature(name)),
        };
        if cosigned.len() < self.quorum {
            let has = |name: &KeyName| cosigned.iter().any(|(held, _)| held == name);
            let missing = self.witnesses.iter().map(VerifierKey::name).filter(|name| !has(name));
            return Err(PolicyError::TooFew {
                found: cosigned.len(),
                quorum: self.quorum,
                missing: missing.cloned().collect(),
            });
        }
        Ok(cosigned)
    }
}

impl Default for WitnessPolicy {
    fn default() -> Self {
        Self::none()
    }
}

fn names(all: &[KeyName]) -> String {
    all.iter().map(KeyName::as_str).collect::<Vec<_>>().join(", ")
}
