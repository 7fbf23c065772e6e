//! Spent certificates, ready to be checked. The RSA keys are those that RFC 9578 publishes.

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PSS_2048_8192_SHA384};
use blind_rsa_signatures::{Deterministic, PSS, SecretKey, Sha384};
use ed25519_zebra as zebra;
use scrip_issuer::signer::raw::PrivateKey;
use scrip_protocol::check::Spend;
use scrip_protocol::credits::Exponent;
use scrip_protocol::id::{OperatorId, VendorId};
use scrip_protocol::issuance::{Blinding, SignedItem};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::{
    EpochBody, KeyUse, Manifest, ManifestBody, Product, ReceiptKeys, Windows,
};
use scrip_protocol::pack::Pack;
use scrip_protocol::payment::{Evidence, Payment};
use scrip_protocol::seed::{Counter, WalletSeed};
use scrip_protocol::spend::{Salt, SpendKind};
use scrip_protocol::time::UnixSeconds;

/// The clock of the fixture.
pub const NOW: UnixSeconds = UnixSeconds(20_000 * 86_400);

/// A manifest with one key, and certificates spent under it.
pub struct Fixture {
    /// The manifest.
    pub manifest: Manifest,
    /// What a relay would keep of each.
    pub evidence: Vec<Evidence>,
}

/// The same certificates as the raw primitives want them.
pub struct Raw {
    /// The RSA key, parsed.
    pub rsa: ParsedPublicKey,
    /// Message and signature for RSA; key, signature and message for Ed25519.
    pub items: Vec<RawItem>,
}

/// One certificate for the raw primitives.
pub struct RawItem {
    /// What RSA signed.
    pub token_input: [u8; 98],
    /// The RSA signature.
    pub authenticator: [u8; 256],
    /// The Ed25519 key.
    pub key: [u8; 32],
    /// The Ed25519 signature.
    pub signature: [u8; 64],
    /// What Ed25519 signed.
    pub message: Vec<u8>,
}

fn published_key() -> SecretKey<Sha384, PSS, Deterministic> {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol-spec/vectors/rfc9578-type2.rust.json");
    let vectors: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let pem = data_encoding::HEXLOWER.decode(vectors[0]["skS"].as_str().unwrap().as_bytes());
    SecretKey::from_pem(&String::from_utf8(pem.unwrap()).unwrap()).unwrap()
}

impl Fixture {
    /// `n` certificates, spent in one payment.
    pub fn new(n: u16) -> Self {
        let secret = published_key();
        let root = SigningKey::from_seed(&[1; 32]);
        let modulus = secret.public_key().unwrap().components().n().try_into().unwrap();
        let windows = Windows {
            issue_from: NOW,
            issue_until: NOW.plus(1_000_000),
            renew_from: NOW.plus(1_500_000),
            spend_until: NOW.plus(2_000_000),
            redeem_until: NOW.plus(3_000_000),
        };
        let body = ManifestBody {
            root_key: root.public(),
            version: 1,
            issuer_name: "vendor.example".into(),
            receipt_keys: ReceiptKeys::first(root.public()),
            products: vec![Product::new(
                "one",
                Pack::new([(Exponent::new(0).unwrap(), 1)]).unwrap(),
            )],
            operators: Vec::new(),
            epochs: vec![EpochBody {
                number: 1,
                key_use: KeyUse::Production,
                windows,
                keys: vec![(Exponent::new(0).unwrap(), modulus)],
            }],
        };
        let manifest = Manifest::open(&body.sign(&root), &VendorId::of(&root.public())).unwrap();
        let key = manifest.keys().next().unwrap();
        let seed = WalletSeed::from_bytes([4; 32]);
        let certificates: Vec<_> = (0..n)
            .map(|position| {
                let blinding =
                    Blinding::start(&seed, &manifest, key, Counter::new(0, position)).unwrap();
                let blind_signature = secret.blind_sign(blinding.item().blinded_message).unwrap().0;
                let answer = SignedItem {
                    key_id: key.id(),
                    blind_signature: blind_signature.try_into().unwrap(),
                };
                blinding.finish(key, &answer).unwrap()
            })
            .collect();
        let operator = OperatorId::from_bytes([7; 32]);
        let payment = Payment::make(
            &certificates,
            manifest.vendor_id(),
            operator,
            NOW.day(),
            Salt([9; 32]),
            b"request",
        );
        let evidence = payment.evidence(b"request");
        Self { manifest, evidence }
    }

    /// The certificates as the shared check takes them.
    pub fn spends(&self) -> Vec<Spend<'_>> {
        self.evidence
            .iter()
            .map(|evidence| Spend {
                token: &evidence.item.token,
                key: self.manifest.key(&evidence.item.token.key_id).unwrap(),
                kind: SpendKind::Spend,
                binding: evidence.binding,
                signature: &evidence.item.signature,
            })
            .collect()
    }

    /// The certificates as the raw primitives take them.
    pub fn raw(&self) -> Raw {
        let spki = self.manifest.keys().next().unwrap().public().spki();
        let rsa = ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, &spki[72..]).unwrap();
        let label = b"scrip/v1 spend";
        let items = self
            .evidence
            .iter()
            .map(|evidence| RawItem {
                token_input: evidence.item.token.signed_part(),
                authenticator: evidence.item.token.authenticator,
                key: evidence.item.token.nonce,
                signature: *evidence.item.signature.as_bytes(),
                message: [&[label.len() as u8], &label[..], evidence.binding.as_bytes()].concat(),
            })
            .collect();
        Raw { rsa, items }
    }
}

impl Raw {
    /// RSA verify and Ed25519 verify of one certificate, and nothing else.
    pub fn check_one(&self, at: usize) -> bool {
        let item = &self.items[at];
        let key = zebra::VerificationKey::try_from(item.key).unwrap();
        self.rsa.verify_sig(&item.token_input, &item.authenticator).is_ok()
            && key.verify(&zebra::Signature::from_bytes(&item.signature), &item.message).is_ok()
    }

    /// RSA verify of each certificate, and one batch of Ed25519.
    pub fn check_batch(&self, rng: &mut (impl rand_core::RngCore + rand_core::CryptoRng)) -> bool {
        let mut batch = zebra::batch::Verifier::new();
        for item in &self.items {
            let key = zebra::VerificationKeyBytes::from(item.key);
            batch.queue((key, zebra::Signature::from_bytes(&item.signature), &item.message));
        }
        self.items
            .iter()
            .all(|item| self.rsa.verify_sig(&item.token_input, &item.authenticator).is_ok())
            && batch.verify(rng).is_ok()
    }
}

/// The private half of the published key, as the issuer's signer holds it.
pub fn private_key() -> PrivateKey {
    let pkcs8 = published_key().to_der().unwrap();
    // The PKCS#1 key is the content of the OCTET STRING that ends a PKCS#8 key (RFC 5208, section 5).
    let octets = pkcs8.windows(2).position(|pair| pair == [0x04, 0x82]).unwrap();
    PrivateKey::from_pkcs1(&pkcs8[octets + 4..]).unwrap()
}
