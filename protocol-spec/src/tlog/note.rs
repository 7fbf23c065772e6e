//! Signed notes (C2SP `signed-note`): text that one or more keys signed, with Ed25519 (RFC 8032), verified by the rules of ZIP 215.
//!
//! A note's text is signed as it is, without one of our labels before it, so that everyone else's programs verify it. What keeps the
//! two apart: what is signed under a label begins with the label's length, which is below 0x40, and a text that is
//! signed here begins with a byte of 0x41 or more.

mod key;

pub use key::{Algorithm, KeyName, KeyNameError, ParseVerifierKeyError, VerifierKey};

use crate::encoding::{decode_base64, encode_base64};
use crate::keys::{Signature, SigningKey};
use crate::time::UnixSeconds;
use crate::tlog::cosignature;

/// Bytes of a note, with its signatures.
pub const MAX_NOTE: usize = 1 << 18;
/// Signatures of a note.
pub const MAX_NOTE_SIGNATURES: usize = 100;

/// A text and its signatures. Nothing of it has been verified: that is what [`Note::open`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A signature line: who says to have signed, and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    key_id: u32,
    bytes: Vec<u8>,
}

/// Why bytes are not a note, or a text cannot be one. The fault of whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More than [`MAX_NOTE`] bytes or [`MAX_NOTE_SIGNATURES`] signatures.
    #[error("the note is too large")]
    TooLarge,
    /// No UTF-8, or a control character other than the newline.
    #[error("the note is not plain text")]
    Characters,
    /// The text does not end with a newline, or no blank line is before the signatures.
    #[error("the note has no text that ends before a blank line and its signatures")]
    Text,
    /// A signature line that is none.
    #[error("a signature line of the note cannot be read")]
    SignatureLine,
    /// The text begins so that it could be confused with something else that is signed.
    #[error("a text that begins like this must not be signed")]
    NotToBeSigned,
}

/// Why a note does not count as signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A signature by a known key does not verify. Whoever passed the note on changed it, or the key's owner is at fault.
    #[error("the signature of {0} does not verify")]
    BadSignature(KeyName),
    /// None of the known keys signed.
    #[error("the note has no signature by a known key")]
    Unsigned,
}

/// A signature that verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'k> {
    /// The key that made it.
    pub key: &'k VerifierKey,
    /// For a cosignature, the time that the witness put into it.
    pub time: Option<UnixSeconds>,
}

impl Note {
    /// A note without signatures yet. `text` ends with a newline.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn new(text: String) -> Result<Self, NoteError> {
        if text.len() > MAX_NOTE {
            return Err(NoteError::TooLarge);
        }
        if !is_plain(&text) {
            return Err(NoteError::Characters);
        }
        if !text.ends_with('\n') {
            return Err(NoteError::Text);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// The text, up to and with its last newline: what is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in their order, none of them verified.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Signs the note (Ed25519, algorithm 0x01), in the place of an earlier signature by the same key and name.
    ///
    /// # Errors
    /// [`NoteError::NotToBeSigned`], and [`NoteError::TooLarge`] where there are too many signatures already.
    pub fn sign(&mut self, name: &KeyName, key: &SigningKey) -> Result<(), NoteError> {
        let signature = key.sign_text(&self.text).ok_or(NoteError::NotToBeSigned)?;
        let id = VerifierKey::new(name.clone(), Algorithm::Ed25519, key.public()).id();
        self.add(NoteSignature::new(name.clone(), id, signature.as_bytes().to_vec()))
    }

    /// Adds a signature, in the place of earlier ones by the same key and name.
    ///
    /// # Errors
    /// [`NoteError::TooLarge`] where there are too many signatures already.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        let same = |s: &NoteSignature| s.name == signature.name && s.key_id == signature.key_id;
        self.signatures.retain(|held| !same(held));
        if self.signatures.len() >= MAX_NOTE_SIGNATURES {
            return Err(NoteError::TooLarge);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Keeps the signatures of which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&NoteSignature) -> bool) {
        self.signatures.retain(keep);
    }

    /// Reads a note. It has at least one signature.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLarge);
        }
        let all = std::str::from_utf8(bytes).map_err(|_| NoteError::Characters)?;
        if !is_plain(all) {
            return Err(NoteError::Characters);
        }
        let text_end = all.rfind("\n\n").ok_or(NoteError::Text)? + 1;
        let (text, lines) = (&all[..text_end], &all[text_end + 1..]);
        let signatures = parse_signatures(lines)?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The note as text.
    pub fn encode(&self) -> String {
        let mut all = format!("{}\n", self.text);
        for signature in &self.signatures {
            all.push_str(&signature.to_string());
            all.push('\n');
        }
        all
    }

    /// Which of `keys` signed the note: each at most once, in the order of the signatures. Signatures by other keys are ignored; of
    /// several by one key every one must verify, and the last counts.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<Vec<Verified<'k>>, OpenError> {
        let keys: Vec<&VerifierKey> = keys.into_iter().collect();
        let mut all: Vec<Verified<'k>> = Vec::new();
        for signature in &self.signatures {
            let Some(key) = keys.iter().find(|key| signature.is_by(key)) else { continue };
            let time = signature
                .verify(key, &self.text)
                .ok_or_else(|| OpenError::BadSignature(signature.name.clone()))?;
            all.retain(|held| held.key != *key);
            all.push(Verified { key, time });
        }
        if all.is_empty() { Err(OpenError::Unsigned) } else { Ok(all) }
    }
}

impl NoteSignature {
    pub(crate) fn new(name: KeyName, key_id: u32, bytes: Vec<u8>) -> Self {
        Self { name, key_id, bytes }
    }

    /// Who says to have signed.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The short identifier of the key ([`VerifierKey::id`]).
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// What follows the key's identifier: for Ed25519 the signature, for a cosignature a time before it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it says to be by this key.
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == *key.name() && self.key_id == key.id()
    }

    /// Reads the lines that follow a note's text, or that a witness answers with: one to [`MAX_NOTE_SIGNATURES`].
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn parse_lines(bytes: &[u8]) -> Result<Vec<Self>, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLarge);
        }
        let lines = std::str::from_utf8(bytes).map_err(|_| NoteError::Characters)?;
        if !is_plain(lines) {
            return Err(NoteError::Characters);
        }
        parse_signatures(lines)
    }

    /// Verifies the signature over `text`: the time of a cosignature, or nothing, or `None` outside where it does not verify.
    fn verify(&self, key: &VerifierKey, text: &str) -> Option<Option<UnixSeconds>> {
        match key.algorithm() {
            Algorithm::Ed25519 => {
                let signature = Signature::from_bytes(self.bytes.as_slice().try_into().ok()?);
                key.key().verify_text(text, &signature).ok()?;
                Some(None)
            }
            Algorithm::CosignatureV1 => cosignature::verify(key.key(), text, &self.bytes).map(Some),
        }
    }
}

/// `— <name> <base64 of the key's identifier and the signature>`, without a newline.
impl std::fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = [&self.key_id.to_be_bytes(), self.bytes.as_slice()].concat();
        write!(f, "\u{2014} {} {}", self.name, encode_base64(&bytes))
    }
}

impl std::str::FromStr for NoteSignature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let parse = || {
            let (name, text) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let bytes = decode_base64(text)?;
            let (key_id, rest) = bytes.split_first_chunk::<4>()?;
            let name = name.parse().ok()?;
            (!rest.is_empty()).then(|| Self::new(name, u32::from_be_bytes(*key_id), rest.to_vec()))
        };
        parse().ok_or(NoteError::SignatureLine)
    }
}

fn parse_signatures(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let lines = lines.strip_suffix('\n').ok_or(NoteError::SignatureLine)?;
    if lines.split('\n').nth(MAX_NOTE_SIGNATURES).is_some() {
        return Err(NoteError::TooLarge);
    }
    lines.split('\n').map(str::parse).collect()
}

/// Whether there are no control characters but newlines.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| byte < 0x20 && byte != b'\n')
}

/// Whether a key of ours may sign this text as it is: nothing that is signed under a label begins with its first byte, and it does
/// not begin as a cosignature does.
pub(crate) fn may_be_signed(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte > 0x40) && !text.starts_with(cosignature::HEADER)
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
