//! Issuance (issuance.md): the messages, and the wallet's side as states that consume themselves.

use serde::{Deserialize, Serialize};

use crate::blind::{BlindError, Blinded};
use crate::codec::{DecodeError, Reader, Writer};
use crate::credits::Credits;
use crate::hash::{Label, hash};
use crate::id::{KeyId, OperatorId, VendorId};
use crate::keys::{PublicKey, Signature, SigningKey};
use crate::limits::{ISSUANCE_ITEM, MAX_ISSUANCE, MAX_PACK, RSA, TOKEN};
use crate::manifest::{DenominationKey, Manifest};
use crate::pack::Pack;
use crate::seed::{Counter, WalletSeed};
use crate::spend::{Binding, Commitment, binding};
use crate::time::{Day, SECONDS_PER_DAY, UnixSeconds};
use crate::token::{Token, token_input};

/// The answer about a grant.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct GrantAnswer {
    /// The product that was bought.
    pub product: String,
    /// What may be issued.
    pub pack: Pack,
    /// The pack's worth.
    pub credits: Credits,
    /// Whether anything of it was issued.
    pub minted: bool,
    /// Whether it was bought in a test environment: then only test keys sign it.
    #[serde(default)]
    pub test: bool,
    /// The second part of the purchase, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
}

/// What a wallet ordered, and what the vendor grants for it, by the manifest and nothing else.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Wanted {
    /// The product.
    pub product: String,
    /// How many of it.
    pub quantity: u16,
    /// Whether it is the second part of a product that was bought before.
    #[serde(default)]
    pub rest: bool,
}

/// A grant that is not what was ordered. The vendor's fault: it may be marking the buyer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtherGrant {
    /// The manifest lists no such product, or the product has no second part.
    #[error("the manifest has no such product")]
    NotListed,
    /// It is for another product.
    #[error("it is for `{granted}`")]
    Product {
        /// What it is for.
        granted: String,
    },
    /// Its pack is not the product's, so many times.
    #[error("its pack is {granted}, and {ordered} was ordered")]
    Pack {
        /// What may be issued.
        granted: Pack,
        /// What the manifest promises.
        ordered: Pack,
    },
    /// So many of the product are more than one request may ask for.
    #[error("so many at once are more than one request may ask for")]
    Quantity,
    /// What it says that it is worth is not what its pack is worth.
    #[error("it names another amount than its pack is worth")]
    Credits,
    /// The second part is missing, is not the product's, or comes too late.
    #[error("its second part is not the product's")]
    Rest,
}

impl Wanted {
    /// One of this product.
    pub fn one(product: impl Into<String>) -> Self {
        Self { product: product.into(), quantity: 1, rest: false }
    }

    /// What is granted for it: the pack, and where it has one, the pack of the second part and the seconds to it.
    ///
    /// # Errors
    /// [`OtherGrant::NotListed`], [`OtherGrant::Quantity`].
    pub fn granted(&self, manifest: &Manifest) -> Result<(Pack, Option<(Pack, u64)>), OtherGrant> {
        let product = manifest.product(&self.product).ok_or(OtherGrant::NotListed)?;
        let times = |pack: &Pack| pack.times(self.quantity).map_err(|_| OtherGrant::Quantity);
        let rest = product.rest.as_ref();
        let rest = rest.map(|rest| Ok((times(&rest.pack)?, rest.after))).transpose()?;
        match (self.rest, rest) {
            (false, rest) => Ok((times(&product.pack)?, rest)),
            (true, Some((pack, _))) => Ok((pack, None)),
            (true, None) => Err(OtherGrant::NotListed),
        }
    }
}

impl GrantAnswer {
    /// Whether this is what was ordered, at a purchase no later than `now`. Nothing may be blinded for a grant that is not.
    ///
    /// # Errors
    /// [`OtherGrant`] names the first difference.
    pub fn check(
        &self,
        manifest: &Manifest,
        wanted: &Wanted,
        now: UnixSeconds,
    ) -> Result<(), OtherGrant> {
        if self.product != wanted.product {
            return Err(OtherGrant::Product { granted: self.product.clone() });
        }
        let (pack, rest) = wanted.granted(manifest)?;
        if self.pack != pack {
            return Err(OtherGrant::Pack { granted: self.pack.clone(), ordered: pack });
        }
        if self.credits != pack.credits() {
            return Err(OtherGrant::Credits);
        }
        let latest = |after: u64| now.plus(after).plus(SECONDS_PER_DAY);
        let same = match (&self.rest, &rest) {
            (None, None) => true,
            (Some(said), Some((pack, after))) => {
                said.credits == pack.credits() && said.from <= latest(*after)
            }
            _ => false,
        };
        if same { Ok(()) } else { Err(OtherGrant::Rest) }
    }

    /// What this is a grant of, if it is so many of a product's first or second part: for a wallet that does not know any more
    /// what it ordered.
    pub fn of(&self, manifest: &Manifest, now: UnixSeconds) -> Option<Wanted> {
        let product = manifest.product(&self.product)?;
        let fits = |(rest, pack): (bool, &Pack)| {
            let quantity = u16::try_from(self.pack.size() / pack.size()).ok()?;
            let wanted = Wanted { product: self.product.clone(), quantity, rest };
            self.check(manifest, &wanted, now).is_ok().then_some(wanted)
        };
        [false, true].into_iter().zip(product.packs()).find_map(fits)
    }
}

/// The second part of a purchase (purchases.md, "In two parts").
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Rest {
    /// Its worth.
    pub credits: Credits,
    /// The first second in which it can be asked for.
    pub from: UnixSeconds,
}

/// One blinded message under one key.
#[derive(Clone, PartialEq, Eq)]
pub struct BlindedItem {
    /// The key that is to sign.
    pub key_id: KeyId,
    /// The blinded message, big-endian.
    pub blinded_message: [u8; RSA],
}

/// A request for a whole pack.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuanceRequest {
    /// One item per certificate; 1 to `MAX_PACK`.
    pub items: Vec<BlindedItem>,
}

/// One blind signature.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedItem {
    /// The key that signed.
    pub key_id: KeyId,
    /// The blind signature, big-endian.
    pub blind_signature: [u8; RSA],
}

/// The answer to a request for a pack, in its order.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuanceAnswer {
    /// One item per certificate.
    pub items: Vec<SignedItem>,
}

fn encode_pairs<'a>(items: impl ExactSizeIterator<Item = (&'a KeyId, &'a [u8; RSA])>) -> Vec<u8> {
    let mut writer = Writer::with_capacity(3 + items.len() * ISSUANCE_ITEM);
    writer.nested(3, |writer| {
        for (key_id, number) in items {
            writer.put(key_id.as_bytes()).put(number);
        }
    });
    writer.into_bytes()
}

fn decode_pairs<T>(
    bytes: &[u8],
    item: impl Fn(KeyId, [u8; RSA]) -> T,
) -> Result<Vec<T>, DecodeError> {
    let mut reader = Reader::capped(bytes, MAX_ISSUANCE)?;
    let content = reader.vec24()?;
    reader.finish()?;
    Reader::fixed_elements(content, ISSUANCE_ITEM, MAX_PACK, |reader| {
        Ok(item(KeyId::from_bytes(reader.array()?), reader.array()?))
    })
}

impl IssuanceRequest {
    /// The encoded request.
    pub fn encode(&self) -> Vec<u8> {
        encode_pairs(self.items.iter().map(|item| (&item.key_id, &item.blinded_message)))
    }

    /// Parses a request.
    ///
    /// # Errors
    /// [`DecodeError`]; of the length of a vector too, where it is empty or above `MAX_PACK`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let items =
            decode_pairs(bytes, |key_id, blinded_message| BlindedItem { key_id, blinded_message })?;
        Ok(Self { items })
    }

    /// What a retry is recognised by.
    pub fn digest(&self) -> [u8; 32] {
        hash(Label::IssuanceRequest, &[&self.encode()])
    }
}

impl IssuanceAnswer {
    /// The encoded answer.
    pub fn encode(&self) -> Vec<u8> {
        encode_pairs(self.items.iter().map(|item| (&item.key_id, &item.blind_signature)))
    }

    /// Parses an answer.
    ///
    /// # Errors
    /// [`DecodeError`], as for the request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let items =
            decode_pairs(bytes, |key_id, blind_signature| SignedItem { key_id, blind_signature })?;
        Ok(Self { items })
    }
}

/// Why an answer gives no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// The vendor answered for another key than it was asked for.
    #[error("the vendor answered for another key than it was asked for")]
    OtherKey,
    /// The vendor's blind signature does not become a signature.
    #[error("the vendor's blind signature is no signature of the certificate")]
    BadSignature,
}

/// A certificate between request and answer: blinded, waiting for its signature.
pub struct Blinding {
    token_input: [u8; 98],
    nonce: [u8; 32],
    challenge_digest: [u8; 32],
    key: SigningKey,
    blinded: Blinded,
    item: BlindedItem,
}

impl Blinding {
    /// Derives the certificate number `counter` under `denomination` and blinds it.
    ///
    /// # Errors
    /// [`BlindError`] where the denomination key is malformed.
    pub fn start(
        seed: &WalletSeed,
        manifest: &Manifest,
        denomination: &DenominationKey,
        counter: Counter,
    ) -> Result<Self, BlindError> {
        let key_id = denomination.id();
        let secrets = seed.certificate_secrets(&key_id, counter);
        let nonce = *secrets.key.public().as_bytes();
        let challenge_digest = *manifest.challenge_digest();
        let token_input = token_input(&nonce, &challenge_digest, &key_id);
        let blinded =
            denomination.public().blind(&token_input, &*secrets.pss_salt, &*secrets.blind)?;
        let blinded_message =
            blinded.message().try_into().map_err(|_| BlindError::ModulusTooShort)?;
        let item = BlindedItem { key_id, blinded_message };
        Ok(Self { token_input, nonce, challenge_digest, key: secrets.key, blinded, item })
    }

    /// What the vendor is sent.
    pub fn item(&self) -> &BlindedItem {
        &self.item
    }

    /// Unblinds and verifies the vendor's signature.
    ///
    /// # Errors
    /// [`FinishError`]: the vendor's answer is not what it was asked for. The money is not lost: the same request gets the same answer.
    pub fn finish(
        self,
        denomination: &DenominationKey,
        answer: &SignedItem,
    ) -> Result<Certificate, FinishError> {
        if answer.key_id != self.item.key_id || denomination.id() != self.item.key_id {
            return Err(FinishError::OtherKey);
        }
        let authenticator: [u8; RSA] = denomination
            .public()
            .unblind(&answer.blind_signature, &self.blinded)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(FinishError::BadSignature)?;
        denomination
            .public()
            .verify(&self.token_input, &authenticator)
            .map_err(|_| FinishError::BadSignature)?;
        let token = Token {
            nonce: self.nonce,
            challenge_digest: self.challenge_digest,
            key_id: self.item.key_id,
            authenticator,
        };
        Ok(Certificate { token, key: self.key })
    }
}

/// A certificate with the private key that spends it.
pub struct Certificate {
    token: Token,
    key: SigningKey,
}

/// The private key is not that of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key is not that of the certificate")]
pub struct OtherCertificateKey;

impl Certificate {
    /// Puts a stored token and its key together again.
    ///
    /// # Errors
    /// [`OtherCertificateKey`] where they do not belong together.
    pub fn from_parts(token: Token, key: SigningKey) -> Result<Self, OtherCertificateKey> {
        let belongs = key.public().as_bytes() == &token.nonce;
        if belongs { Ok(Self { token, key }) } else { Err(OtherCertificateKey) }
    }

    /// The key that it is spent with, and known by.
    pub fn key(&self) -> PublicKey {
        self.key.public()
    }

    /// The public part.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The 354 bytes to be stored.
    pub fn token_bytes(&self) -> [u8; TOKEN] {
        self.token.encode()
    }

    /// Signs with the certificate's key.
    pub(crate) fn sign(&self, label: Label, data: &[u8]) -> Signature {
        self.key.sign(label, data)
    }

    /// Signs the spend of this certificate at one operator for what `commitment` hides.
    pub fn spend(
        &self,
        vendor: &VendorId,
        operator: &OperatorId,
        day: Day,
        commitment: &Commitment,
    ) -> (Binding, Signature) {
        let binding = binding(vendor, operator, day, &self.token.key_id, commitment);
        let signature = self.sign(Label::Spend, binding.as_bytes());
        (binding, signature)
    }
}
