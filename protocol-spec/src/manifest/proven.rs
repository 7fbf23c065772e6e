//! A manifest that travels with its proof (keys.md, "The proven manifest"): that the vendor's ledger has it, in a checkpoint
//! that witnesses cosigned, so that it is everybody's; and an operator's word that it is the one that its relay holds.

use super::{Manifest, ManifestError};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Label;
use crate::id::{OperatorId, VendorId, decode_base64url, encode_base64url};
use crate::keys::{PublicKey, Signature, SigningKey};
use crate::ledger::{Leaf, ManifestVersion};
use crate::limits::{MAX_MANIFEST_PROOF, MAX_PROVEN_MANIFEST};
use crate::tlog::checkpoint::SignedCheckpoint;
use crate::tlog::hash::TreeHash;
use crate::tlog::note::{KeyName, VerifierKey};
use crate::tlog::policy::WitnessPolicy;
use crate::tlog::proof::{LogProof, LogProofError, ParseLogProofError};

/// The header of an operator's word for the manifest that its relay answers with.
pub const HELD_HEADER: &str = "scrip-held";

/// A manifest whose every rule was checked, with a proof that was not.
#[derive(Clone)]
pub struct ProvenManifest {
    manifest: Manifest,
    proof: Option<LogProof>,
}

/// Why bytes are no manifest with its proof. The fault of whoever sent them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvenManifestError {
    /// They do not parse.
    #[error("the manifest and its proof do not parse: {0}")]
    Decode(#[from] DecodeError),
    /// The manifest breaks a rule.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What should be a proof is none.
    #[error("the manifest's proof cannot be read: {0}")]
    Proof(#[from] ParseLogProofError),
    /// The proof has extra data, which nothing vouches for.
    #[error("the manifest's proof has extra data, which it must not have")]
    Extra,
}

/// Why a manifest is not shown to be everybody's. That of whoever sent it, or of a vendor whose ledger does not have it yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// It came without a proof, as before the vendor's ledger has it.
    #[error("it has no proof that the vendor's ledger has it")]
    Missing,
    /// The proof does not hold.
    #[error(transparent)]
    Proof(#[from] LogProofError),
}

impl ProvenManifest {
    /// A manifest with what should prove it.
    pub const fn new(manifest: Manifest, proof: Option<LogProof>) -> Self {
        Self { manifest, proof }
    }

    /// Parses both, and checks the manifest of `vendor` by the rules of keys.md. The proof is only read.
    ///
    /// # Errors
    /// [`ProvenManifestError`].
    pub fn open(bytes: &[u8], vendor: &VendorId) -> Result<Self, ProvenManifestError> {
        let mut reader = Reader::capped(bytes, MAX_PROVEN_MANIFEST)?;
        let (manifest, proof) = (reader.vec24()?, reader.vec24()?);
        reader.finish()?;
        if proof.len() > MAX_MANIFEST_PROOF {
            return Err(DecodeError::TooLarge { limit: MAX_MANIFEST_PROOF }.into());
        }
        let proof = match proof {
            [] => None,
            proof => Some(LogProof::parse(proof)?),
        };
        if proof.as_ref().is_some_and(|proof| proof.extra.is_some()) {
            return Err(ProvenManifestError::Extra);
        }
        Ok(Self { manifest: Manifest::open(manifest, vendor)?, proof })
    }

    /// `application/scrip-manifest`.
    pub fn encode(&self) -> Vec<u8> {
        let proof = self.proof.as_ref().map(LogProof::encode).unwrap_or_default();
        Self::join(self.manifest.bytes(), proof.as_bytes())
    }

    /// The same of a signed manifest and the text of a proof, whatever they are.
    pub fn join(manifest: &[u8], proof: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        for part in [manifest, proof] {
            writer.nested(3, |writer| {
                writer.put(part);
            });
        }
        writer.into_bytes()
    }

    /// The manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest alone.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// The proof, not verified.
    pub const fn proof(&self) -> Option<&LogProof> {
        self.proof.as_ref()
    }

    /// The same manifest without a proof.
    #[must_use]
    pub fn without_proof(self) -> Self {
        Self { proof: None, ..self }
    }

    /// Checks that the vendor's ledger has the manifest, by a checkpoint that a receipt key of this very manifest signed and
    /// `policy` is content with. Gives the checkpoint.
    ///
    /// # Errors
    /// [`NotProven`].
    pub fn verify(&self, policy: &WitnessPolicy) -> Result<SignedCheckpoint, NotProven> {
        let proof = self.proof.as_ref().ok_or(NotProven::Missing)?;
        let origin = KeyName::of_ledger(&self.manifest.vendor_id());
        let keys = self.manifest.ledger_keys();
        Ok(proof.verify(&self.manifest.leaf_hash(), &origin, &keys, policy)?)
    }
}

impl Manifest {
    /// The leaf that the vendor's ledger has of this version (ledger.md, "Leaves").
    pub fn leaf(&self) -> Leaf {
        Leaf::Manifest(ManifestVersion { version: self.version(), digest: self.digest() })
    }

    /// That leaf's hash.
    pub fn leaf_hash(&self) -> TreeHash {
        self.leaf().hash()
    }

    /// The key that the vendor's ledger is signed with now: what a witness is given.
    pub fn ledger_key(&self) -> VerifierKey {
        VerifierKey::of_ledger(&self.vendor_id(), self.receipt_keys().newest().key)
    }

    /// The keys that the vendor's ledger was ever signed with, by this manifest.
    pub fn ledger_keys(&self) -> Vec<VerifierKey> {
        VerifierKey::all_of_ledger(&self.vendor_id(), self.receipt_keys())
    }
}

/// An operator's word that its relay holds exactly this manifest: kept with one that must not be, it shows who handed it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldManifest {
    operator_key: PublicKey,
    signature: Signature,
}

/// The word of another operator, about another manifest, or nobody's. The fault of whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest is not vouched for by the operator that the relay's address names")]
pub struct BadHeldManifest;

impl HeldManifest {
    /// Says that the operator's relay holds `manifest`.
    pub fn sign(operator_key: &SigningKey, manifest: &Manifest) -> Self {
        let signature = operator_key.sign(Label::HeldManifest, &held(manifest));
        Self { operator_key: operator_key.public(), signature }
    }

    /// The value of the header [`HELD_HEADER`].
    pub fn to_header(&self) -> String {
        encode_base64url(&[&self.operator_key.as_bytes()[..], self.signature.as_bytes()].concat())
    }

    /// Reads that value and checks that `operator` said it of `manifest`.
    ///
    /// # Errors
    /// [`BadHeldManifest`].
    pub fn open(
        header: &str,
        operator: &OperatorId,
        manifest: &Manifest,
    ) -> Result<Self, BadHeldManifest> {
        let bytes = decode_base64url(header).ok_or(BadHeldManifest)?;
        let mut reader = Reader::capped(&bytes, 96).map_err(|_| BadHeldManifest)?;
        let mut parts = || Ok::<_, DecodeError>((reader.array()?, reader.array()?));
        let (key, signature) = parts().map_err(|_| BadHeldManifest)?;
        reader.finish().map_err(|_| BadHeldManifest)?;
        let said = Self {
            operator_key: PublicKey::from_bytes(key).map_err(|_| BadHeldManifest)?,
            signature: Signature::from_bytes(signature),
        };
        if OperatorId::of(&said.operator_key) != *operator {
            return Err(BadHeldManifest);
        }
        said.operator_key
            .verify(Label::HeldManifest, &held(manifest), &said.signature)
            .map_err(|_| BadHeldManifest)?;
        Ok(said)
    }
}

/// `vendor_id || manifest_digest`
fn held(manifest: &Manifest) -> [u8; 64] {
    let mut said = [0; 64];
    said[..32].copy_from_slice(manifest.vendor_id().as_bytes());
    said[32..].copy_from_slice(manifest.digest().as_bytes());
    said
}
