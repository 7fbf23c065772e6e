//! The keys that a vendor signs evidence with, each but the first endorsed by the one before (keys.md, "Receipt keys").
//!
//! What one of them signed stays provable for ever: a later manifest has all earlier ones, and none without the word of the
//! key before.

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Label;
use crate::id::VendorId;
use crate::keys::{PublicKey, Signature, SigningKey};
use crate::limits::MAX_RECEIPT_KEYS;

use super::ManifestError;

/// A key that signs outcomes, statements and checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceiptKey {
    /// The first version of the manifest that has it.
    pub since_version: u64,
    /// The key.
    pub key: PublicKey,
    /// The signature of the key before; none of the first.
    pub endorsement: Option<Signature>,
}

/// All receipt keys that a vendor ever had, in their order. There is one at least.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptKeys {
    earlier: Vec<ReceiptKey>,
    newest: ReceiptKey,
}

impl ReceiptKeys {
    /// Those of a new vendor, whose manifest has version 1.
    pub const fn first(key: PublicKey) -> Self {
        let newest = ReceiptKey { since_version: 1, key, endorsement: None };
        Self { earlier: Vec::new(), newest }
    }

    /// Adds `key`, which takes the place of the newest from `since_version` on. `by` is the newest key's private half.
    pub fn change(
        &mut self,
        vendor: &VendorId,
        since_version: u64,
        key: PublicKey,
        by: &SigningKey,
    ) {
        let message = endorsed(vendor, since_version, &key);
        let endorsement = Some(by.sign(Label::ReceiptKey, &message));
        let next = ReceiptKey { since_version, key, endorsement };
        self.earlier.push(std::mem::replace(&mut self.newest, next));
    }

    /// The one that signs.
    pub const fn newest(&self) -> &ReceiptKey {
        &self.newest
    }

    /// The one before the newest, which signs checkpoints too.
    pub fn before(&self) -> Option<&ReceiptKey> {
        self.earlier.last()
    }

    /// All, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &ReceiptKey> {
        self.earlier.iter().chain(std::iter::once(&self.newest))
    }

    /// Whether these are `held`, and perhaps more after them.
    pub fn begin_with(&self, held: &Self) -> bool {
        let mut all = self.all();
        held.all().all(|key| all.next() == Some(key))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.nested(2, |writer| {
            for one in self.all() {
                let endorsement = one.endorsement.as_ref().map(Signature::as_bytes);
                writer
                    .u64(one.since_version)
                    .put(one.key.as_bytes())
                    .vec8(endorsement.map(<[u8; 64]>::as_slice).unwrap_or_default());
            }
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut all = Reader::elements(reader.vec16()?, |reader| {
            let (since_version, key) = (reader.u64()?, reader.key("receipt_key")?);
            let endorsement = match reader.vec8()? {
                [] => None,
                bytes => Some(bytes.try_into().map_err(|_| DecodeError::BadLength)?),
            };
            let endorsement = endorsement.map(Signature::from_bytes);
            Ok(ReceiptKey { since_version, key, endorsement })
        })?;
        match all.pop() {
            Some(newest) if all.len() < MAX_RECEIPT_KEYS => Ok(Self { earlier: all, newest }),
            _ => Err(DecodeError::BadLength),
        }
    }

    /// That they ascend up to `version`, that none is there twice, and that each is endorsed by the one before.
    pub(super) fn check(&self, vendor: &VendorId, version: u64) -> Result<(), ManifestError> {
        let mut before: Option<&ReceiptKey> = None;
        for (at, one) in self.all().enumerate() {
            let ReceiptKey { since_version, key, endorsement } = one;
            let ascends = before.is_none_or(|before| before.since_version < *since_version);
            let is_new = self.all().take(at).all(|other| other.key != *key);
            let endorsed = match (before, endorsement) {
                (None, None) => true,
                (Some(before), Some(signature)) => {
                    let message = endorsed(vendor, *since_version, key);
                    before.key.verify(Label::ReceiptKey, &message, signature).is_ok()
                }
                _ => false,
            };
            if !ascends || *since_version > version || !is_new || !endorsed {
                return Err(ManifestError::ReceiptKey { since_version: *since_version });
            }
            before = Some(one);
        }
        Ok(())
    }
}

/// The newest first.
impl<'k> IntoIterator for &'k ReceiptKeys {
    type Item = &'k PublicKey;
    type IntoIter = std::vec::IntoIter<&'k PublicKey>;

    fn into_iter(self) -> Self::IntoIter {
        let keys: Vec<&PublicKey> = self.all().rev().map(|one| &one.key).collect();
        keys.into_iter()
    }
}

/// What the key before signs.
fn endorsed(vendor: &VendorId, since_version: u64, key: &PublicKey) -> Vec<u8> {
    let since = since_version.to_be_bytes();
    [vendor.as_bytes().as_slice(), &since, key.as_bytes()].concat()
}
