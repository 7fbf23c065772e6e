//! The key manifest (keys.md): every denomination key of a vendor with its windows, signed by the root key.

mod operators;
mod products;
mod proven;
mod receipt_keys;
mod schedule;
mod succession;
mod windows;

use std::collections::{BTreeMap, HashSet};

use crate::codec::{DecodeError, Reader, Writer};
use crate::credits::{Credits, Exponent};
use crate::hash::{Label, hash};
use crate::id::{KeyId, ManifestDigest, OperatorId, VendorId};
use crate::keys::{PublicKey, Signature, SigningKey};
use crate::limits::{MAX_MANIFEST, RSA};
use crate::rsa::TokenPublicKey;
use crate::time::UnixSeconds;
use crate::token::TokenChallenge;

pub use self::{
    operators::{Classes, Operator},
    products::{Product, ProductRest, denominations},
    proven::{
        BadHeldManifest, HELD_HEADER, HeldManifest, NotProven, ProvenManifest, ProvenManifestError,
    },
    receipt_keys::{ReceiptKey, ReceiptKeys},
    schedule::OffSchedule,
    succession::SuccessionError,
    windows::{KeyUse, Windows},
};

const FORMAT: u16 = 3;
const KEY: usize = 1 + RSA;

/// An epoch as it stands in a manifest that is being made.
#[derive(Clone)]
pub struct EpochBody {
    /// Its number; epochs ascend.
    pub number: u32,
    /// What its keys sign.
    pub key_use: KeyUse,
    /// The windows of all its keys.
    pub windows: Windows,
    /// Exponent and modulus of each key, ascending by exponent.
    pub keys: Vec<(Exponent, [u8; RSA])>,
}

impl EpochBody {
    /// The epoch without its keys.
    pub fn epoch(&self) -> Epoch {
        Epoch { number: self.number, key_use: self.key_use, windows: self.windows }
    }
}

/// A manifest that is being made.
#[derive(Clone)]
pub struct ManifestBody {
    /// The vendor's root key.
    pub root_key: PublicKey,
    /// Grows with every change.
    pub version: u64,
    /// The `issuer_name` of the challenge; printable ASCII, at most 255 bytes.
    pub issuer_name: String,
    /// The keys that sign outcomes, statements and checkpoints.
    pub receipt_keys: ReceiptKeys,
    /// What is sold and was ever sold, ascending by name.
    pub products: Vec<Product>,
    /// Whose relays take the certificates, ascending by key.
    pub operators: Vec<Operator>,
    /// All epochs, ascending by number.
    pub epochs: Vec<EpochBody>,
}

impl ManifestBody {
    /// The signed manifest. Whoever makes one should [`Manifest::open`] it before publishing: that is where the rules are checked.
    pub fn sign(&self, root_key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .u16(FORMAT)
            .put(self.root_key.as_bytes())
            .u64(self.version)
            .vec8(self.issuer_name.as_bytes());
        self.receipt_keys.write(&mut writer);
        writer
            .nested(3, |writer| self.products.iter().for_each(|product| product.write(writer)))
            .nested(3, |writer| self.operators.iter().for_each(|operator| operator.write(writer)))
            .nested(3, |writer| self.epochs.iter().for_each(|epoch| write_epoch(writer, epoch)));
        let signature = root_key.sign(Label::Manifest, writer.as_bytes());
        writer.put(signature.as_bytes());
        writer.into_bytes()
    }
}

fn write_epoch(writer: &mut Writer, epoch: &EpochBody) {
    writer
        .u32(epoch.number)
        .u8(epoch.key_use.to_wire())
        .u64(epoch.windows.issue_from.0)
        .u64(epoch.windows.issue_until.0)
        .u64(epoch.windows.renew_from.0)
        .u64(epoch.windows.spend_until.0)
        .u64(epoch.windows.redeem_until.0)
        .nested(2, |writer| {
            for (exponent, modulus) in &epoch.keys {
                writer.u8(exponent.get()).put(modulus);
            }
        });
}

fn read_epoch(reader: &mut Reader<'_>) -> Result<EpochBody, DecodeError> {
    let number = reader.u32()?;
    let key_use = KeyUse::from_wire(reader.u8()?).ok_or(DecodeError::BadValue("use"))?;
    let windows = Windows {
        issue_from: UnixSeconds(reader.u64()?),
        issue_until: UnixSeconds(reader.u64()?),
        renew_from: UnixSeconds(reader.u64()?),
        spend_until: UnixSeconds(reader.u64()?),
        redeem_until: UnixSeconds(reader.u64()?),
    };
    let keys = Reader::fixed_elements(reader.vec16()?, KEY, 32, |reader| {
        let exponent = Exponent::new(reader.u8()?).ok_or(DecodeError::BadValue("exponent"))?;
        Ok((exponent, reader.array()?))
    })?;
    Ok(EpochBody { number, key_use, windows, keys })
}

/// Why a manifest is refused. The vendor's fault, or that of whoever stands between.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It does not parse.
    #[error("the manifest does not parse: {0}")]
    Decode(#[from] DecodeError),
    /// It is of another vendor than the address names.
    #[error("the manifest is of another vendor than the address names")]
    OtherVendor,
    /// The root key's signature does not verify.
    #[error("the root key's signature on the manifest does not verify")]
    Signature,
    /// The issuer name is empty or not printable ASCII.
    #[error("the issuer name is not printable ASCII")]
    IssuerName,
    /// There are too many products, or they are not in ascending order.
    #[error("the products are too many or out of order")]
    Products,
    /// A product has a name that cannot be typed.
    #[error("a product has the name {name:?}, which is none")]
    ProductName {
        /// The name.
        name: String,
    },
    /// There are too many operators, or they are not in ascending order.
    #[error("the operators are too many or out of order")]
    Operators,
    /// An operator's name cannot be printed or is another's, or its addresses are none.
    #[error("the operator {id} has a name or addresses that it must not have")]
    Operator {
        /// Whose.
        id: OperatorId,
    },
    /// A key is of a denomination that no product has: it could only mark whoever is given it.
    #[error("epoch {epoch} has a key of {} that no product has", exponent.value())]
    UnusedKey {
        /// The epoch's number.
        epoch: u32,
        /// The key's exponent.
        exponent: Exponent,
    },
    /// A receipt key is not endorsed by the one before, is there twice, or is out of order.
    #[error(
        "the receipt key since version {since_version} is not endorsed by the one before, or out of order"
    )]
    ReceiptKey {
        /// The version that it says to be there since.
        since_version: u64,
    },
    /// The epochs or the keys of an epoch are not in ascending order.
    #[error("epoch {epoch} or its keys are out of order")]
    Order {
        /// The epoch's number.
        epoch: u32,
    },
    /// The windows of an epoch are not in order.
    #[error("the windows of epoch {epoch} are not in order")]
    Windows {
        /// The epoch's number.
        epoch: u32,
    },
    /// An epoch issues before or while one of a lower number and the same use does, so that two keys of one denomination could
    /// be had at one time.
    #[error("epoch {epoch} issues before one of its use with a lower number has ended")]
    Overlap {
        /// The epoch's number.
        epoch: u32,
    },
    /// Something in an epoch is no RSA-2048 modulus.
    #[error("epoch {epoch} has a key that is no RSA-2048 key")]
    Modulus {
        /// The epoch's number.
        epoch: u32,
    },
    /// A key occurs twice, or two keys that issue at one time share their last byte.
    #[error("epoch {epoch} has a key that collides with another")]
    Collision {
        /// The epoch's number.
        epoch: u32,
    },
}

/// One denomination key of a verified manifest.
#[derive(Clone)]
pub struct DenominationKey {
    public: TokenPublicKey,
    epoch: Epoch,
    exponent: Exponent,
}

/// An epoch of a verified manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Its number.
    pub number: u32,
    /// What its keys sign.
    pub key_use: KeyUse,
    /// When they may be used.
    pub windows: Windows,
}

impl DenominationKey {
    /// The `token_key_id`.
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// The number of its epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch.number
    }

    /// What it signs.
    pub fn key_use(&self) -> KeyUse {
        self.epoch.key_use
    }

    /// Its exponent.
    pub fn exponent(&self) -> Exponent {
        self.exponent
    }

    /// What one of its certificates is worth.
    pub fn value(&self) -> Credits {
        self.exponent.value()
    }

    /// When it may be used.
    pub fn windows(&self) -> &Windows {
        &self.epoch.windows
    }

    /// The RSA key.
    pub fn public(&self) -> &TokenPublicKey {
        &self.public
    }
}

/// A manifest whose every rule was checked.
#[derive(Clone)]
pub struct Manifest {
    bytes: Vec<u8>,
    digest: ManifestDigest,
    root_key: PublicKey,
    vendor: VendorId,
    version: u64,
    challenge: TokenChallenge,
    challenge_digest: [u8; 32],
    receipt_keys: ReceiptKeys,
    products: Vec<Product>,
    operators: Vec<Operator>,
    epochs: Vec<Epoch>,
    keys: BTreeMap<KeyId, DenominationKey>,
}

impl Manifest {
    /// Parses and checks a signed manifest of `vendor`, in the order of keys.md.
    ///
    /// # Errors
    /// [`ManifestError`] names the first rule that it breaks.
    pub fn open(bytes: &[u8], vendor: &VendorId) -> Result<Self, ManifestError> {
        let body = read_body(bytes, vendor)?;
        products::check(&body.products)?;
        operators::check(&body.operators)?;
        let mut previous = None;
        for epoch in &body.epochs {
            check_epoch(epoch, previous)?;
            previous = Some(epoch.number);
        }
        schedule::check_order(&body.epochs)?;
        let keys = collect_keys(&body.epochs)?;
        products::check_use(&body.products, &body.epochs)?;
        let challenge = TokenChallenge { issuer_name: body.issuer_name };
        Ok(Self {
            bytes: bytes.to_vec(),
            digest: ManifestDigest::from_bytes(hash(Label::ManifestDigest, &[bytes])),
            root_key: body.root_key,
            vendor: *vendor,
            version: body.version,
            challenge_digest: challenge.digest(),
            challenge,
            receipt_keys: body.receipt_keys,
            epochs: body.epochs.iter().map(EpochBody::epoch).collect(),
            products: body.products,
            operators: body.operators,
            keys,
        })
    }

    /// What was signed, to make the next version of it.
    pub fn body(&self) -> ManifestBody {
        let keys_of = |number: u32| {
            let of_epoch = self.keys.values().filter(|key| key.epoch() == number);
            let mut keys: Vec<_> =
                of_epoch.map(|key| (key.exponent, *key.public.modulus())).collect();
            keys.sort_by_key(|(exponent, _)| *exponent);
            keys
        };
        let epoch = |epoch: &Epoch| EpochBody {
            number: epoch.number,
            key_use: epoch.key_use,
            windows: epoch.windows,
            keys: keys_of(epoch.number),
        };
        ManifestBody {
            root_key: self.root_key,
            version: self.version,
            issuer_name: self.challenge.issuer_name.clone(),
            receipt_keys: self.receipt_keys.clone(),
            products: self.products.clone(),
            operators: self.operators.clone(),
            epochs: self.epochs.iter().map(epoch).collect(),
        }
    }

    /// The signed bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash of the signed bytes.
    pub fn digest(&self) -> ManifestDigest {
        self.digest
    }

    /// Whose it is.
    pub fn vendor_id(&self) -> VendorId {
        self.vendor
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The vendor's challenge.
    pub fn challenge(&self) -> &TokenChallenge {
        &self.challenge
    }

    /// The digest that every certificate of the vendor carries.
    pub fn challenge_digest(&self) -> &[u8; 32] {
        &self.challenge_digest
    }

    /// The keys that signed the vendor's outcomes, statements and checkpoints. What any of them signed is its word.
    pub fn receipt_keys(&self) -> &ReceiptKeys {
        &self.receipt_keys
    }

    /// What is sold and was ever sold, ascending by name.
    pub fn products(&self) -> &[Product] {
        &self.products
    }

    /// The product of this name, on sale or not.
    pub fn product(&self, name: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.name == name)
    }

    /// Whose relays take the vendor's certificates, ascending by key.
    pub fn operators(&self) -> &[Operator] {
        &self.operators
    }

    /// Its epochs, ascending by number.
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// The key with this id.
    pub fn key(&self, id: &KeyId) -> Option<&DenominationKey> {
        self.keys.get(id)
    }

    /// All keys, in no useful order.
    pub fn keys(&self) -> impl Iterator<Item = &DenominationKey> {
        self.keys.values()
    }

    /// The keys of this use that issue at `now`.
    pub fn issuing_at(
        &self,
        key_use: KeyUse,
        now: UnixSeconds,
    ) -> impl Iterator<Item = &DenominationKey> {
        let issues = move |key: &&DenominationKey| key.key_use() == key_use;
        self.keys.values().filter(issues).filter(move |key| key.windows().issues_at(now))
    }

    /// The key of this use that issues certificates of `exponent` at `now`, of which there is one at most.
    pub fn issuing(
        &self,
        key_use: KeyUse,
        exponent: Exponent,
        now: UnixSeconds,
    ) -> Option<&DenominationKey> {
        self.issuing_at(key_use, now).find(|key| key.exponent == exponent)
    }
}

fn read_body(bytes: &[u8], vendor: &VendorId) -> Result<ManifestBody, ManifestError> {
    let mut reader = Reader::capped(bytes, MAX_MANIFEST)?;
    if reader.u16()? != FORMAT {
        return Err(DecodeError::BadValue("format").into());
    }
    let root_key = reader.key("root_key")?;
    let version = reader.u64()?;
    let issuer_name = reader.vec8()?;
    let receipt_keys = ReceiptKeys::read(&mut reader)?;
    let products = Reader::elements(reader.vec24()?, Product::read)?;
    let operators = Reader::elements(reader.vec24()?, Operator::read)?;
    let epochs = Reader::elements(reader.vec24()?, read_epoch)?;
    let body_len = bytes.len() - reader.remaining();
    let signature = Signature::from_bytes(reader.array()?);
    reader.finish()?;
    if VendorId::of(&root_key) != *vendor {
        return Err(ManifestError::OtherVendor);
    }
    root_key
        .verify(Label::Manifest, &bytes[..body_len], &signature)
        .map_err(|_| ManifestError::Signature)?;
    let printable = !issuer_name.is_empty() && issuer_name.iter().all(u8::is_ascii_graphic);
    let issuer_name = match std::str::from_utf8(issuer_name) {
        Ok(name) if printable => name.to_owned(),
        _ => return Err(ManifestError::IssuerName),
    };
    receipt_keys.check(vendor, version)?;
    Ok(ManifestBody { root_key, version, issuer_name, receipt_keys, products, operators, epochs })
}

fn check_epoch(epoch: &EpochBody, previous: Option<u32>) -> Result<(), ManifestError> {
    let number = epoch.number;
    let ascending = epoch.keys.is_sorted_by(|(a, _), (b, _)| a < b);
    if previous.is_some_and(|previous| number <= previous) || !ascending {
        return Err(ManifestError::Order { epoch: number });
    }
    if !epoch.windows.are_in_order() {
        return Err(ManifestError::Windows { epoch: number });
    }
    Ok(())
}

fn collect_keys(epochs: &[EpochBody]) -> Result<BTreeMap<KeyId, DenominationKey>, ManifestError> {
    let mut keys: BTreeMap<KeyId, DenominationKey> = BTreeMap::new();
    for (at, epoch) in epochs.iter().enumerate() {
        let number = epoch.number;
        let mut last_bytes: HashSet<u8> = epochs[..at]
            .iter()
            .filter(|other| other.windows.issuing_overlaps(&epoch.windows))
            .flat_map(|other| keys.values().filter(|key| key.epoch() == other.number))
            .map(|key| key.id().as_bytes()[31])
            .collect();
        for (exponent, modulus) in &epoch.keys {
            let public = TokenPublicKey::from_modulus(*modulus)
                .map_err(|_| ManifestError::Modulus { epoch: number })?;
            let id = public.id();
            let key = DenominationKey { public, epoch: epoch.epoch(), exponent: *exponent };
            let last_byte_is_new = last_bytes.insert(id.as_bytes()[31]);
            if keys.insert(id, key).is_some() || !last_byte_is_new {
                return Err(ManifestError::Collision { epoch: number });
            }
        }
    }
    Ok(keys)
}
