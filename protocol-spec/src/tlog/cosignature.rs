//! Cosignatures of witnesses (C2SP `tlog-cosignature`, v1): "at this time, this was the largest tree of this log that I had seen, and
//! it began with all that I had seen before".

use crate::keys::{PublicKey, Signature, SigningKey};
use crate::time::UnixSeconds;
use crate::tlog::MAX_SIZE;
use crate::tlog::note::{Algorithm, KeyName, Note, NoteSignature, VerifierKey};

/// How every text that is cosigned begins.
pub(crate) const HEADER: &str = "cosignature/v1\n";

/// Cosigns a checkpoint. The caller has verified its log's signature and that the log only grew.
///
/// `None` for a time that the format does not know, above 2^63 - 1.
pub fn cosign(
    checkpoint: &Note,
    name: &KeyName,
    key: &SigningKey,
    time: UnixSeconds,
) -> Option<NoteSignature> {
    if time.0 > MAX_SIZE {
        return None;
    }
    let signature = key.sign_cosignature(&message(checkpoint.text(), time));
    let bytes = [&time.0.to_be_bytes()[..], signature.as_bytes()].concat();
    let id = VerifierKey::new(name.clone(), Algorithm::CosignatureV1, key.public()).id();
    Some(NoteSignature::new(name.clone(), id, bytes))
}

/// The time of a cosignature (`uint64 timestamp; opaque signature[64]`) where it verifies.
pub(crate) fn verify(key: &PublicKey, text: &str, bytes: &[u8]) -> Option<UnixSeconds> {
    let (time, signature) = bytes.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    if time > MAX_SIZE {
        return None;
    }
    let time = UnixSeconds(time);
    let signature = Signature::from_bytes(signature.try_into().ok()?);
    key.verify_text(&message(text, time), &signature).ok()?;
    Some(time)
}

fn message(text: &str, time: UnixSeconds) -> String {
    format!("{HEADER}time {}\n{text}", time.0)
}
