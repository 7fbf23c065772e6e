//! An App Store of one's own: a root, an intermediate and a signer as Apple has them, and what they sign.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair},
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, date_time_ymd,
};
use scrip_protocol::time::UnixSeconds;
use serde_json::{Value, json};

/// The app that test purchases are made in.
pub const BUNDLE_ID: &str = "example.scrip.app";
/// What Apple marks a certificate with that signs for its App Store.
pub const STORE_MARKER: &[u64] = &[1, 2, 840, 113_635, 100, 6, 11, 1];
/// What Apple marks the intermediate certificate with.
pub const DEVELOPER_RELATIONS_MARKER: &[u64] = &[1, 2, 840, 113_635, 100, 6, 2, 1];
const DER_NULL: [u8; 2] = [5, 0];

/// How the certificates are made. The default is as Apple makes them.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The extension of the signer's certificate.
    pub leaf_marker: Option<&'static [u64]>,
    /// The extension of the intermediate certificate.
    pub intermediate_marker: Option<&'static [u64]>,
    /// Whether the intermediate may issue certificates.
    pub intermediate_issues: bool,
    /// First and last year of the signer's certificate: from its first day up to the first day of the last one.
    pub leaf_years: (i32, i32),
    /// The same of the intermediate.
    pub intermediate_years: (i32, i32),
    /// Whether the root issued the signer's certificate itself.
    pub leaf_from_root: bool,
    /// Whether the signer's key is on P-384, so that it signs with ES384.
    pub leaf_p384: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            leaf_marker: Some(STORE_MARKER),
            intermediate_marker: Some(DEVELOPER_RELATIONS_MARKER),
            intermediate_issues: true,
            leaf_years: (2025, 2028),
            intermediate_years: (2021, 2036),
            leaf_from_root: false,
            leaf_p384: false,
        }
    }
}

/// The store.
pub struct AppleStore {
    /// The certificates in DER: the signer's, the intermediate and the root.
    pub certificates: [Vec<u8>; 3],
    key: EcdsaKeyPair,
}

/// A purchase. [`Transaction::of`] has what a customer's purchase has.
#[derive(Clone, Debug)]
pub struct Transaction(pub Value);

impl Transaction {
    /// Transaction `id`, one piece of `product`, bought for `order` and signed at `now`.
    pub fn of(id: u64, product: &str, order: &str, now: UnixSeconds) -> Self {
        let now = now.0.saturating_mul(1_000);
        let id = id.to_string();
        Self(json!({
            "transactionId": id,
            "originalTransactionId": id,
            "bundleId": BUNDLE_ID,
            "productId": product,
            "purchaseDate": now,
            "originalPurchaseDate": now,
            "quantity": 1,
            "type": "Consumable",
            "appAccountToken": order,
            "inAppOwnershipType": "PURCHASED",
            "signedDate": now,
            "environment": "Production",
            "transactionReason": "PURCHASE",
            "storefront": "USA",
            "storefrontId": "143441",
            "price": 990,
            "currency": "USD",
            "appTransactionId": "704289572311513293",
        }))
    }

    /// The same with this field, or without it where `value` is null.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        set(&mut self.0, field, value.into());
        self
    }
}

impl AppleStore {
    /// A new one.
    pub fn new() -> Self {
        Self::shaped(Shape::default())
    }

    /// With certificates of this shape.
    ///
    /// # Panics
    /// Where the library makes no certificate of it.
    #[allow(clippy::expect_used, reason = "test support: a failure must fail the test")]
    pub fn shaped(shape: Shape) -> Self {
        let (curve, signs) = if shape.leaf_p384 {
            (&PKCS_ECDSA_P384_SHA384, &ECDSA_P384_SHA384_FIXED_SIGNING)
        } else {
            (&PKCS_ECDSA_P256_SHA256, &ECDSA_P256_SHA256_FIXED_SIGNING)
        };
        let key = KeyPair::generate_for(curve).expect("a key");
        let certificates = chain(shape, &key).expect("three certificates");
        let key = EcdsaKeyPair::from_pkcs8(signs, &key.serialize_der()).expect("the same key");
        Self { certificates, key }
    }

    /// The certificate to trust.
    pub fn root(&self) -> Vec<u8> {
        self.certificates[2].clone()
    }

    /// A signed transaction, as a wallet sends it.
    pub fn transaction(&self, transaction: &Transaction) -> String {
        self.sign(&self.header(), &transaction.0)
    }

    /// The body of a notification of this type about a transaction, signed at the same time.
    pub fn notification(&self, kind: &str, uuid: &str, about: &Transaction) -> String {
        let payload = json!({
            "notificationType": kind,
            "notificationUUID": uuid,
            "version": "2.0",
            "signedDate": about.0["signedDate"],
            "data": {
                "appAppleId": 1_234_567_890,
                "bundleId": about.0["bundleId"],
                "bundleVersion": "1",
                "environment": about.0["environment"],
                "signedTransactionInfo": self.transaction(about),
            },
        });
        self.told(&payload)
    }

    /// The body of a notification with this payload.
    pub fn told(&self, payload: &Value) -> String {
        json!({ "signedPayload": self.sign(&self.header(), payload) }).to_string()
    }

    /// The header that Apple writes.
    pub fn header(&self) -> Value {
        json!({ "alg": "ES256", "x5c": self.certificates.each_ref().map(|der| BASE64.encode(der)) })
    }

    /// Signs anything, whatever the header says, and puts it together.
    pub fn sign(&self, header: &Value, payload: &Value) -> String {
        self.sign_text(&header.to_string(), &payload.to_string())
    }

    /// The same, of exactly these bytes.
    ///
    /// # Panics
    /// Where the library does not sign.
    #[allow(clippy::expect_used, reason = "test support: a failure must fail the test")]
    pub fn sign_text(&self, header: &str, payload: &str) -> String {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let signed = format!("{}.{}", part(header), part(payload));
        let signature =
            self.key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

impl Default for AppleStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Sets a field of a JSON object, or removes it.
pub fn set(object: &mut Value, field: &str, value: Value) {
    let Some(object) = object.as_object_mut() else { return };
    match value {
        Value::Null => object.remove(field),
        value => object.insert(field.to_owned(), value),
    };
}

fn chain(shape: Shape, leaf_key: &KeyPair) -> Result<[Vec<u8>; 3], rcgen::Error> {
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    let mut root = params("Root", (2014, 2039), None);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root_certificate = root.self_signed(&root_key)?;
    let root = Issuer::new(root, root_key);

    let between_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    let mut between =
        params("Developer Relations", shape.intermediate_years, shape.intermediate_marker);
    between.is_ca = if shape.intermediate_issues {
        IsCa::Ca(BasicConstraints::Constrained(0))
    } else {
        IsCa::ExplicitNoCa
    };
    between.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let between_certificate = between.signed_by(&between_key, &root)?;
    let between = Issuer::new(between, between_key);

    let mut leaf = params("Store", shape.leaf_years, shape.leaf_marker);
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let leaf = leaf.signed_by(leaf_key, if shape.leaf_from_root { &root } else { &between })?;

    let der = |certificate: &Certificate| certificate.der().to_vec();
    Ok([der(&leaf), der(&between_certificate), der(&root_certificate)])
}

fn params(name: &str, years: (i32, i32), marker: Option<&[u64]>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params.use_authority_key_identifier_extension = true;
    let extension = |oid: &[u64]| CustomExtension::from_oid_content(oid, DER_NULL.to_vec());
    params.custom_extensions = marker.map(extension).into_iter().collect();
    params
}
