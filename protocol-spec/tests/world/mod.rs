//! A small world that every integration test builds in the same way: fixed keys, a manifest, certificates.
//! The RSA keys are those that RFC 9578 publishes, so that the vectors need no secret of ours.
#![allow(dead_code)]

use blind_rsa_signatures::{Deterministic, PSS, SecretKey, Sha384};
use scrip_protocol::credits::Exponent;
use scrip_protocol::id::{OperatorId, VendorId};
use scrip_protocol::issuance::{Blinding, Certificate, SignedItem};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::manifest::{
    Classes, EpochBody, KeyUse, Manifest, ManifestBody, Operator, Product, ProductRest,
    ReceiptKeys, Windows,
};
use scrip_protocol::pack::Pack;
use scrip_protocol::payment::{PaidRequest, Payment};
use scrip_protocol::problem::ProblemType;
use scrip_protocol::redemption::ConflictProof;
use scrip_protocol::renewal::{
    Renewal, RenewalItem, RenewalRefusal, RenewalSpent, SignedRenewalSpent,
};
use scrip_protocol::resource::{ResourceKind, ResourceRequest};
use scrip_protocol::seed::{Counter, WalletSeed};
use scrip_protocol::spend::{Salt, SpendKind};
use scrip_protocol::time::{Day, UnixSeconds};
use scrip_protocol::tlog::checkpoint::Checkpoint;
use scrip_protocol::tlog::hash::TreeHash;
use scrip_protocol::tlog::note::KeyName;

pub const TODAY: Day = Day(20_000);

pub struct World {
    pub root: SigningKey,
    pub receipt: SigningKey,
    pub operator: SigningKey,
    pub seed: WalletSeed,
    pub body: ManifestBody,
    pub manifest: Manifest,
    secrets: Vec<SecretKey<Sha384, PSS, Deterministic>>,
}

pub fn published(file: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    data_encoding::HEXLOWER.encode(bytes.as_ref())
}

pub fn windows(from: Day) -> Windows {
    Windows {
        issue_from: from.start(),
        issue_until: from.start().plus(30 * 86_400),
        renew_from: from.start().plus(365 * 86_400),
        spend_until: from.start().plus(395 * 86_400),
        redeem_until: from.start().plus(403 * 86_400),
    }
}

/// A product with one certificate of each of the first `n` denominations.
pub fn product(n: u8) -> Product {
    let one_of_each = (0..n).map(|k| (Exponent::new(k).unwrap(), 1));
    Product::new("starter", Pack::new(one_of_each).unwrap())
}

/// A second part of two certificates of one credit.
pub fn rest(after: u64) -> ProductRest {
    ProductRest { after, pack: Pack::new([(Exponent::new(0).unwrap(), 2)]).unwrap() }
}

/// The operator with this key, in a manifest.
pub fn listed(operator: &SigningKey) -> Operator {
    Operator {
        name: "Relay One".into(),
        key: operator.public(),
        classes: Classes::ALL,
        addresses: vec!["relay.example:7000".into()],
    }
}

impl World {
    pub fn new() -> Self {
        let secrets: Vec<_> = published("rfc9578-type2.rust.json")
            .iter()
            .take(3)
            .map(|vector| {
                let pem = unhex(vector["skS"].as_str().unwrap());
                SecretKey::from_pem(std::str::from_utf8(&pem).unwrap()).unwrap()
            })
            .collect();
        let root = SigningKey::from_seed(&[1; 32]);
        let receipt = SigningKey::from_seed(&[2; 32]);
        let keys = secrets
            .iter()
            .enumerate()
            .map(|(k, secret)| {
                let modulus = secret.public_key().unwrap().components().n();
                (Exponent::new(k as u8).unwrap(), modulus.try_into().unwrap())
            })
            .collect();
        let body = ManifestBody {
            root_key: root.public(),
            version: 1,
            issuer_name: "vendor.example".into(),
            receipt_keys: ReceiptKeys::first(receipt.public()),
            products: vec![product(3)],
            operators: vec![listed(&SigningKey::from_seed(&[3; 32]))],
            epochs: vec![EpochBody {
                number: 7,
                key_use: KeyUse::Production,
                windows: windows(Day(TODAY.0 - 10)),
                keys,
            }],
        };
        let manifest = Manifest::open(&body.sign(&root), &VendorId::of(&root.public())).unwrap();
        Self {
            root,
            receipt,
            operator: SigningKey::from_seed(&[3; 32]),
            seed: WalletSeed::from_bytes([4; 32]),
            body,
            manifest,
            secrets,
        }
    }

    pub fn vendor_id(&self) -> VendorId {
        self.manifest.vendor_id()
    }

    pub fn operator_id(&self) -> OperatorId {
        OperatorId::of(&self.operator.public())
    }

    pub fn now(&self) -> UnixSeconds {
        TODAY.start().plus(3_600)
    }

    pub fn sign_blindly(&self, blinding: &Blinding) -> SignedItem {
        let item = blinding.item();
        let exponent = self.manifest.key(&item.key_id).unwrap().exponent().get();
        let signature =
            self.secrets[usize::from(exponent)].blind_sign(item.blinded_message).unwrap();
        SignedItem { key_id: item.key_id, blind_signature: signature.0.try_into().unwrap() }
    }

    /// The manifest a year later, with an epoch 8 of one key for single credits, and that key's private half.
    pub fn next_epoch(&self) -> (Manifest, SecretKey<Sha384, PSS, Deterministic>) {
        let pem = unhex(published("rfc9578-type2.rust.json")[3]["skS"].as_str().unwrap());
        let secret = SecretKey::from_pem(std::str::from_utf8(&pem).unwrap()).unwrap();
        let modulus = secret.public_key().unwrap().components().n().try_into().unwrap();
        let body = self.next_epoch_body(modulus);
        let manifest = Manifest::open(&body.sign(&self.root), &self.vendor_id()).unwrap();
        (manifest, secret)
    }

    /// What version 2 of the manifest says, with this key in its new epoch.
    pub fn next_epoch_body(&self, modulus: [u8; 256]) -> ManifestBody {
        let mut body = self.body.clone();
        let mut epoch = body.epochs[0].clone();
        epoch.number = 8;
        epoch.windows = windows(Day(TODAY.0 + 365));
        epoch.keys = vec![(Exponent::new(0).unwrap(), modulus)];
        body.version = 2;
        body.epochs.push(epoch);
        body
    }

    /// A certificate of one credit, what asks for its renewal into epoch 8, what the vendor records of that, and the new certificate.
    pub fn renewal(&self) -> (Certificate, RenewalItem, Renewal, Certificate) {
        let (manifest, secret) = self.next_epoch();
        let key = manifest.keys().find(|key| key.epoch() == 8).unwrap();
        let old = self.certificate(0, 0);
        let blinding = Blinding::start(&self.seed, &manifest, key, Counter::new(0, 0)).unwrap();
        let item = old.renew(&self.vendor_id(), blinding.item());
        let renewal = Renewal {
            key_id: key.id(),
            blinded_message: item.blinded.blinded_message,
            blind_signature: secret
                .blind_sign(item.blinded.blinded_message)
                .unwrap()
                .0
                .try_into()
                .unwrap(),
            signature: item.signature,
        };
        let new = blinding.finish(key, &renewal.signed_item()).unwrap();
        (old, item, renewal, new)
    }

    /// The vendor's refusal of [`World::renewal`], for a reason that is not so.
    pub fn renewal_refusal(&self) -> RenewalRefusal {
        let (old, item, ..) = self.renewal();
        RenewalRefusal {
            vendor_id: self.vendor_id(),
            certificate_key: old.key(),
            binding: item.binding(&self.vendor_id()),
            day: TODAY,
            manifest_version: self.manifest.version(),
            problem: ProblemType::RenewalClosed,
        }
    }

    /// What the vendor answers to [`World::renewal`] where the certificate was spent, in leaf 3 of a ledger of 5.
    pub fn renewal_spent(&self) -> SignedRenewalSpent {
        let (old, item, ..) = self.renewal();
        let paid = self.paid_request(std::slice::from_ref(&old), 1);
        let evidence = paid.payment.evidence(&paid.resource_request).remove(0);
        let checkpoint = Checkpoint {
            origin: KeyName::of_ledger(&self.vendor_id()),
            size: 5,
            root: TreeHash::from_bytes([9; 32]),
        };
        RenewalSpent {
            vendor_id: self.vendor_id(),
            key_id: old.token().key_id,
            binding: item.binding(&self.vendor_id()),
            proof: ConflictProof {
                certificate_key: old.key(),
                kind: SpendKind::Spend,
                other_binding: evidence.binding,
                other_signature: evidence.item.signature,
            },
            leaf: 3,
            checkpoint: checkpoint.sign(&self.receipt).unwrap().encode().into_bytes(),
        }
        .sign(&self.receipt)
    }

    /// The certificate of 2^`exponent` credits at `position` of the wallet's first grant.
    pub fn certificate(&self, exponent: u8, position: u16) -> Certificate {
        let exponent = Exponent::new(exponent).unwrap();
        let key = self.manifest.issuing(KeyUse::Production, exponent, self.now()).unwrap();
        let counter = Counter::new(0, position);
        let blinding = Blinding::start(&self.seed, &self.manifest, key, counter).unwrap();
        let answer = self.sign_blindly(&blinding);
        blinding.finish(key, &answer).unwrap()
    }

    pub fn request(&self) -> ResourceRequest {
        ResourceRequest {
            days: 30,
            kind: ResourceKind::Queue {
                recipient_key: SigningKey::from_seed(&[5; 32]).public(),
                sender_key: SigningKey::from_seed(&[6; 32]).public(),
            },
        }
    }

    pub fn paid_request(&self, certificates: &[Certificate], salt: u8) -> PaidRequest {
        let resource_request = self.request().encode();
        let payment = Payment::make(
            certificates,
            self.vendor_id(),
            self.operator_id(),
            TODAY,
            Salt([salt; 32]),
            &resource_request,
        );
        PaidRequest { resource_request, payment }
    }
}

/// Compares with the stored vectors, or writes them where that was asked for.
#[allow(dead_code, reason = "not every suite has vectors")]
pub fn check(name: &str, computed: serde_json::Value) {
    let path = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("SCRIP_WRITE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&computed).unwrap() + "\n").unwrap();
    }
    let stored: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(stored, computed, "{name}");
}
