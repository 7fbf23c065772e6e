//! Inquiries about certificates in doubt (renewal.md): what the vendor has recorded about one.

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Label, hash};
use crate::id::{VendorId, identifier};
use crate::issuance::Certificate;
use crate::keys::{PublicKey, Signature, SigningKey, verify_by_one_of};
use crate::limits::{INQUIRY, MAX_INQUIRY_ANSWER};
use crate::redemption::ConflictProof;
use crate::renewal::Renewal;
use crate::time::UnixSeconds;
use crate::token::Token;

use crate::id::{ParseIdError, encode_base64url, parse};

identifier!(
    /// The hash of a signed inquiry, which its answer repeats.
    InquiryDigest,
    32
);

/// A question about one certificate, by whoever holds its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// The vendor that is asked.
    pub vendor_id: VendorId,
    /// The certificate.
    pub token: Token,
    /// Random, so that no answer serves twice.
    pub nonce: [u8; 32],
    /// The certificate key's signature over all before.
    pub signature: Signature,
}

/// What the vendor has recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time")]
pub enum InquiryResult {
    /// Nothing.
    Unrecorded,
    /// It was renewed.
    Renewed(Renewal),
    /// It was spent at a relay.
    Spent(ConflictProof),
    /// Nothing, and nothing can be any more: its key's redemption window has passed.
    Expired,
}

/// The vendor's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InquiryAnswer {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The inquiry.
    pub inquiry_digest: InquiryDigest,
    /// The vendor's time, at which this holds.
    pub time: UnixSeconds,
    /// What is recorded.
    pub result: InquiryResult,
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InquiryError {
    /// It does not parse.
    #[error("the vendor's answer does not parse: {0}")]
    Decode(#[from] DecodeError),
    /// The receipt key's signature does not verify.
    #[error("the signature on the vendor's answer does not verify")]
    Signature,
    /// It answers something else.
    #[error("the vendor answered another inquiry")]
    OtherInquiry,
}

impl Certificate {
    /// Asks `vendor` about this certificate; `nonce` must be new.
    pub fn inquire(&self, vendor: &VendorId, nonce: [u8; 32]) -> Inquiry {
        let signed = signed_part(vendor, self.token(), &nonce);
        let signature = self.sign(Label::Inquiry, &signed);
        Inquiry { vendor_id: *vendor, token: self.token().clone(), nonce, signature }
    }
}

fn signed_part(vendor: &VendorId, token: &Token, nonce: &[u8; 32]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(INQUIRY);
    writer.put(vendor.as_bytes()).put(&token.encode()).put(nonce);
    writer.into_bytes()
}

impl Inquiry {
    /// What the certificate key signed.
    pub fn signed_part(&self) -> Vec<u8> {
        signed_part(&self.vendor_id, &self.token, &self.nonce)
    }

    /// The encoded inquiry.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.signed_part();
        bytes.extend_from_slice(self.signature.as_bytes());
        bytes
    }

    /// Parses an inquiry. Nothing is verified yet.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::capped(bytes, INQUIRY)?;
        let inquiry = Self {
            vendor_id: VendorId::from_bytes(reader.array()?),
            token: Token::read(&mut reader)?,
            nonce: reader.array()?,
            signature: Signature::from_bytes(reader.array()?),
        };
        reader.finish()?;
        Ok(inquiry)
    }

    /// What the answer repeats.
    pub fn digest(&self) -> InquiryDigest {
        InquiryDigest::from_bytes(hash(Label::InquiryDigest, &[&self.encode()]))
    }
}

impl InquiryAnswer {
    /// The signed answer.
    pub fn sign(&self, receipt_key: &SigningKey) -> Vec<u8> {
        let mut writer = Writer::with_capacity(MAX_INQUIRY_ANSWER);
        writer.put(self.vendor_id.as_bytes()).put(self.inquiry_digest.as_bytes()).u64(self.time.0);
        match &self.result {
            InquiryResult::Unrecorded => drop(writer.u8(1)),
            InquiryResult::Renewed(renewal) => renewal.write(writer.u8(2)),
            InquiryResult::Spent(proof) => proof.write(writer.u8(3)),
            InquiryResult::Expired => drop(writer.u8(4)),
        }
        let signature = receipt_key.sign(Label::InquiryAnswer, writer.as_bytes());
        writer.put(signature.as_bytes());
        writer.into_bytes()
    }

    /// Parses the answer to `inquiry` and checks that one of the vendor's `receipt_keys` signed it. What it shows of a
    /// renewal or of a spend is for the caller to check.
    ///
    /// # Errors
    /// [`InquiryError`].
    pub fn open<'k>(
        bytes: &[u8],
        inquiry: &Inquiry,
        receipt_keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<Self, InquiryError> {
        let mut reader = Reader::capped(bytes, MAX_INQUIRY_ANSWER)?;
        let answer = Self {
            vendor_id: VendorId::from_bytes(reader.array()?),
            inquiry_digest: InquiryDigest::from_bytes(reader.array()?),
            time: UnixSeconds(reader.u64()?),
            result: match reader.u8()? {
                1 => InquiryResult::Unrecorded,
                2 => InquiryResult::Renewed(Renewal::read(&mut reader)?),
                3 => InquiryResult::Spent(ConflictProof::read_spend(&mut reader)?),
                4 => InquiryResult::Expired,
                _ => return Err(DecodeError::BadValue("kind").into()),
            },
        };
        let signed = &bytes[..bytes.len() - reader.remaining()];
        let signature = Signature::from_bytes(reader.array()?);
        reader.finish()?;
        verify_by_one_of(receipt_keys, Label::InquiryAnswer, signed, &signature)
            .map_err(|_| InquiryError::Signature)?;
        let answers = answer.vendor_id == inquiry.vendor_id;
        if !answers || answer.inquiry_digest != inquiry.digest() {
            return Err(InquiryError::OtherInquiry);
        }
        Ok(answer)
    }
}
