//! Privacy Pass tokens of type 0x0002 (RFC 9577, RFC 9578), unchanged.

use sha2::{Digest, Sha256};

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::KeyId;
use crate::keys::{BadKey, PublicKey};
use crate::limits::{RSA, TOKEN};

/// Blind RSA (2048-bit), RFC 9578, section 8.2.1.
pub const TOKEN_TYPE: u16 = 0x0002;

/// A token (RFC 9578, section 6.3). In scrip its nonce is a certificate key, and it is called a certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The Ed25519 public key whose holder may spend it, if it is one: [`Token::certificate_key`].
    pub nonce: [u8; 32],
    /// SHA-256 of the vendor's challenge.
    pub challenge_digest: [u8; 32],
    /// The denomination key that signed it.
    pub key_id: KeyId,
    /// The RSA signature over everything before.
    pub authenticator: [u8; RSA],
}

/// Names the key that signed it and nothing else: tokens do not belong into logs.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Token {
    /// The 354 bytes of the token.
    pub fn encode(&self) -> [u8; TOKEN] {
        let mut bytes = [0; TOKEN];
        bytes[..98].copy_from_slice(&self.signed_part());
        bytes[98..].copy_from_slice(&self.authenticator);
        bytes
    }

    /// Parses 354 bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for another length or token type.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, TOKEN)?;
        let token = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(token)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if reader.u16()? != TOKEN_TYPE {
            return Err(DecodeError::BadValue("token_type"));
        }
        Ok(Self {
            nonce: reader.array()?,
            challenge_digest: reader.array()?,
            key_id: KeyId::from_bytes(reader.array()?),
            authenticator: reader.array()?,
        })
    }

    /// The key whose holder may spend it.
    ///
    /// # Errors
    /// [`BadKey`]: nobody can.
    pub fn certificate_key(&self) -> Result<PublicKey, BadKey> {
        PublicKey::from_bytes(self.nonce)
    }

    /// `token_input` of RFC 9578, section 6.1: what the vendor signs blindly.
    pub fn signed_part(&self) -> [u8; 98] {
        token_input(&self.nonce, &self.challenge_digest, &self.key_id)
    }
}

pub(crate) fn token_input(
    nonce: &[u8; 32],
    challenge_digest: &[u8; 32],
    key_id: &KeyId,
) -> [u8; 98] {
    let mut input = [0; 98];
    input[..2].copy_from_slice(&TOKEN_TYPE.to_be_bytes());
    input[2..34].copy_from_slice(nonce);
    input[34..66].copy_from_slice(challenge_digest);
    input[66..].copy_from_slice(key_id.as_bytes());
    input
}

/// The challenge that all tokens of a vendor answer: its issuer name, no origin, no redemption context (RFC 9577, section 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenChallenge {
    /// The vendor's issuer name.
    pub issuer_name: String,
}

impl TokenChallenge {
    /// The encoded challenge, as in a `WWW-Authenticate` header.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u16(TOKEN_TYPE).vec16(self.issuer_name.as_bytes()).vec8(&[]).vec16(&[]);
        writer.into_bytes()
    }

    /// `challenge_digest` of the tokens.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }
}

/// RFC 9578, section 6.1: asks for one token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The last byte of the key id.
    pub truncated_key_id: u8,
    /// The blinded message, big-endian.
    pub blinded_message: [u8; RSA],
}

impl TokenRequest {
    /// Bytes of the encoding.
    pub const SIZE: usize = 3 + RSA;

    /// The encoded request.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(Self::SIZE);
        writer.u16(TOKEN_TYPE).u8(self.truncated_key_id).put(&self.blinded_message);
        writer.into_bytes()
    }

    /// Parses a request.
    ///
    /// # Errors
    /// [`DecodeError`] for another length or token type.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, Self::SIZE)?;
        if reader.u16()? != TOKEN_TYPE {
            return Err(DecodeError::BadValue("token_type"));
        }
        let request = Self { truncated_key_id: reader.u8()?, blinded_message: reader.array()? };
        reader.finish()?;
        Ok(request)
    }
}
