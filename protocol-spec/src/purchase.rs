//! Purchases (purchases.md): what a wallet sends to turn money that was paid elsewhere into a grant.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::hash::{Label, hash};
use crate::id::{GrantId, VendorId};
use crate::keys::{BadSignature, PublicKey, Signature, SigningKey};

/// `POST /v1/grants`: turns a purchase into a grant. The JSON field `source` says which.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum GrantRequest {
    /// A voucher that the vendor gave out.
    Voucher {
        /// The voucher, as typed: its product and code ([`VoucherText`]), or its code.
        code: String,
    },
    /// A purchase in Apple's App Store.
    Apple {
        /// The signed transaction, as StoreKit 2 gives it: a compact JWS.
        transaction: String,
    },
    /// A purchase in Google Play.
    Google {
        /// The product's id in Google Play.
        product: String,
        /// The purchase token.
        token: String,
    },
    /// An order that was paid at a payment service.
    Order {
        /// The order.
        order: OrderId,
    },
    /// A free allowance.
    Free(Allowance),
    /// The second part of a purchase.
    Rest {
        /// The secret of the first part's grant, 32 bytes in base64url.
        grant: String,
    },
}

/// What asks for a free allowance (purchases.md, "Free allowance").
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// The installation's key.
    pub installation: PublicKey,
    /// The number of whole periods since 1970.
    pub period: u64,
    /// What makes the hash begin with zeros.
    pub nonce: u64,
    /// The installation's, 64 bytes in base64url.
    #[serde(with = "signature_text")]
    pub signature: Signature,
}

mod signature_text {
    use super::{Cow, Deserialize, Deserializer, Serializer, Signature, de};

    pub(super) fn serialize<S: Serializer>(one: &Signature, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(one)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Signature, D::Error> {
        let text = <Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

fn allowance_message(vendor: &VendorId, grant: &GrantId, period: u64) -> Vec<u8> {
    [vendor.as_bytes().as_slice(), grant.as_bytes(), &period.to_be_bytes()].concat()
}

impl Allowance {
    /// Signs the request for the allowance of `period`, for the grant `grant`.
    pub fn sign(
        key: &SigningKey,
        vendor: &VendorId,
        grant: &GrantId,
        period: u64,
        nonce: u64,
    ) -> Self {
        let message = allowance_message(vendor, grant, period);
        let signature = key.sign(Label::FreeAllowance, &message);
        Self { installation: key.public(), period, nonce, signature }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, vendor: &VendorId, grant: &GrantId) -> Result<(), BadSignature> {
        let message = allowance_message(vendor, grant, self.period);
        self.installation.verify(Label::FreeAllowance, &message, &self.signature)
    }

    /// With how many zero bits the proof of work begins.
    pub fn work(&self, vendor: &VendorId) -> u32 {
        work(vendor, &self.installation, self.period, self.nonce)
    }
}

/// With how many zero bits the hash of `nonce` begins.
pub fn work(vendor: &VendorId, installation: &PublicKey, period: u64, nonce: u64) -> u32 {
    let period = period.to_be_bytes();
    let parts: [&[u8]; 4] =
        [vendor.as_bytes(), installation.as_bytes(), &period, &nonce.to_be_bytes()];
    let hash = hash(Label::FreeWork, &parts);
    let zeros = hash.iter().take_while(|byte| **byte == 0).count();
    let next = hash.get(zeros).map_or(0, |byte| byte.leading_zeros());
    u32::try_from(zeros).unwrap_or(u32::MAX).saturating_mul(8).saturating_add(next)
}

/// An order: a random UUID (RFC 9562), 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId([u8; 16]);

/// Text that is no order's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an order: it is a UUID, such as 123e4567-e89b-42d3-a456-426614174000")]
pub struct ParseOrderError;

impl OrderId {
    /// The order of these random bytes: version 4, variant 1.
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The order with these bytes, as they are stored.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Upper or lower case: Apple returns upper.
/// Upper case is taken as well: payment services hand an order back as they like. In JSON it has the one form that is written.
impl FromStr for OrderId {
    type Err = ParseOrderError;

    fn from_str(text: &str) -> Result<Self, ParseOrderError> {
        let text = text.as_bytes();
        if text.len() != 36 || [8, 13, 18, 23].iter().any(|at| text.get(*at) != Some(&b'-')) {
            return Err(ParseOrderError);
        }
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| digit.try_into().ok());
        let mut digits = text.iter().filter(|byte| **byte != b'-');
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            let mut next = || digits.next().copied().and_then(digit).ok_or(ParseOrderError);
            let (high, low): (u8, u8) = (next()?, next()?);
            *byte = high << 4 | low;
        }
        if digits.next().is_some() { Err(ParseOrderError) } else { Ok(Self(bytes)) }
    }
}

impl Serialize for OrderId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OrderId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        let order: Self = text.parse().map_err(de::Error::custom)?;
        let is_own_form = order.to_string() == text;
        is_own_form.then_some(order).ok_or_else(|| de::Error::custom("not in lower case"))
    }
}

/// `POST /v1/orders`
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// What is to be bought.
    pub product: String,
}

/// The answer about an order.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct OrderAnswer {
    /// The order.
    pub order: OrderId,
    /// What it is for.
    pub product: String,
    /// Where it can be paid, besides the app stores.
    #[serde(default)]
    pub pay: Vec<PayAt>,
}

/// A page where an order can be paid.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct PayAt {
    /// The payment service.
    pub source: String,
    /// The page.
    pub url: String,
}

/// `GET /v1/offer`: where what the manifest lists can be bought. What it is, the manifest alone says.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Offer {
    /// By name, ascending.
    pub products: Vec<OfferedProduct>,
    /// The free allowance, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<OfferedAllowance>,
}

/// A product.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct OfferedProduct {
    /// Its name.
    pub product: String,
    /// Where it can be bought, by the names of the sources.
    pub sources: Vec<String>,
}

/// How often the vendor gives the product [`FREE`] away.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct OfferedAllowance {
    /// Seconds of a period.
    pub period: u64,
    /// Bits of work.
    pub work: u32,
}

/// The product that an allowance is: one name for all, so that nobody is given another.
pub const FREE: &str = "free";

/// A voucher as it is written: `product:code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherText<'a> {
    /// What it buys; `None` where that was not typed.
    pub product: Option<&'a str>,
    /// The code.
    pub code: &'a str,
}

impl<'a> VoucherText<'a> {
    /// The parts of what was typed, without what surrounds them.
    pub fn split(typed: &'a str) -> Self {
        match typed.split_once(':') {
            Some((product, code)) => Self { product: Some(product.trim()), code: code.trim() },
            None => Self { product: None, code: typed.trim() },
        }
    }

    /// Whether it names this product, in upper or lower case, or none.
    pub fn may_be(&self, product: &str) -> bool {
        self.product.is_none_or(|named| named.eq_ignore_ascii_case(product))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENDOR: VendorId = VendorId::from_bytes([1; 32]);
    const GRANT: GrantId = GrantId::from_bytes([2; 32]);

    #[test]
    fn an_order_is_a_uuid() {
        let order = OrderId::from_random([0xff; 16]);
        assert_eq!(order.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(order.to_string().to_uppercase().parse(), Ok(order));
        let json = format!("\"{order}\"");
        assert_eq!(serde_json::from_str::<OrderId>(&json).unwrap(), order);
        assert!(serde_json::from_str::<OrderId>(&json.to_uppercase()).is_err());
        let text = order.to_string();
        let all = [&text[1..], "", &text.replace('-', "f"), &text.replacen('f', "g", 1)];
        for wrong in all
            .map(str::to_owned)
            .into_iter()
            .chain([format!("{text}f"), text.replacen("f-", "-f", 1)])
        {
            assert_eq!(wrong.parse::<OrderId>(), Err(ParseOrderError), "{wrong}");
        }
    }

    #[test]
    fn an_allowance_is_for_one_vendor_grant_and_period() {
        let key = SigningKey::from_seed(&[7; 32]);
        let allowance = Allowance::sign(&key, &VENDOR, &GRANT, 680, 0);
        assert!(allowance.verify(&VENDOR, &GRANT).is_ok());
        assert!(allowance.verify(&VendorId::from_bytes([3; 32]), &GRANT).is_err());
        assert!(allowance.verify(&VENDOR, &GrantId::from_bytes([3; 32])).is_err());
        assert!(Allowance { period: 681, ..allowance.clone() }.verify(&VENDOR, &GRANT).is_err());
        let json = serde_json::to_string(&GrantRequest::Free(allowance.clone())).unwrap();
        assert!(json.starts_with(r#"{"source":"free","installation":""#), "{json}");
        assert!(
            serde_json::from_str::<GrantRequest>(&json).unwrap() == GrantRequest::Free(allowance)
        );
    }

    #[test]
    fn a_voucher_says_what_it_is_for() {
        for (typed, product, code) in [
            ("starter:AB-C", Some("starter"), "AB-C"),
            (" Starter : AB C\n", Some("Starter"), "AB C"),
            ("AB-C ", None, "AB-C"),
            (":AB", Some(""), "AB"),
        ] {
            assert_eq!(VoucherText::split(typed), VoucherText { product, code }, "{typed:?}");
        }
        let named = VoucherText::split("STARTER:x");
        assert!(named.may_be("starter") && !named.may_be("start"));
        assert!(VoucherText::split("x").may_be("starter") && !VoucherText::split(":x").may_be("a"));
    }

    #[test]
    fn work_counts_zero_bits() {
        let key = SigningKey::from_seed(&[7; 32]).public();
        let found = (0..).find(|nonce| work(&VENDOR, &key, 1, *nonce) >= 9).unwrap();
        let parts: [&[u8]; 4] =
            [&[1; 32], key.as_bytes(), &1_u64.to_be_bytes(), &u64::to_be_bytes(found)];
        let hash = hash(Label::FreeWork, &parts);
        assert!(hash[0] == 0 && hash[1] < 128);
        let mean: u32 = (0..1000).map(|nonce| work(&VENDOR, &key, 1, nonce)).sum();
        assert!((800..1200).contains(&mean), "one zero bit on average, not {mean} / 1000");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in [
            r#"{"source":"voucher"}"#,
            r#"{"source":"voucher","code":"x","more":1}"#,
            r#"{"source":"free","installation":"x","period":1,"nonce":1,"signature":"x"}"#,
            r#"{"source":"order","order":"1"}"#,
            r#"{"source":"gold","code":"x"}"#,
        ] {
            assert!(serde_json::from_str::<GrantRequest>(text).is_err(), "{text}");
        }
    }
}
