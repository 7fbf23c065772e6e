//! What the wallet file keeps, and the states that it goes through.

mod answered;

use std::collections::{BTreeMap, BTreeSet};

use scrip_protocol::{
    address::{RelayAddress, VendorAddress},
    credits::{Credits, Exponent},
    id::{
        KeyId, ManifestDigest, OperatorId, PaymentId, ResourceId, decode_base64url,
        encode_base64url,
    },
    issuance::{GrantAnswer, Wanted},
    keys::{PublicKey, SigningKey},
    problem::ProblemType,
    purchase::{GrantRequest, OrderId},
    refusal::Accusation,
    resource::{RelayInfo, SizeClass},
    seed::Counter,
    spend::Binding,
    time::{Day, UnixSeconds},
    tlog::policy::WitnessPolicy,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(crate) use self::answered::{Answer, AnsweredRecord, Used};
use crate::{
    net::{ProxySetting, Route},
    privacy::{Pace, Privacy},
    secret::Secret,
    store::{Kind, Record},
};

/// Bytes of an encoded protocol object, as base64url in JSON.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64url(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode_base64url(&text).map(Self).ok_or_else(|| de::Error::custom("not base64url"))
    }
}

/// A size class by its number.
mod size_class {
    use super::{Deserialize, Deserializer, Serializer, SizeClass, de};

    pub(super) fn serialize<S: Serializer>(class: &SizeClass, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(class.code())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SizeClass, D::Error> {
        let code = u8::deserialize(from)?;
        SizeClass::from_code(code).ok_or_else(|| de::Error::custom("no size class"))
    }
}

/// Whose wallet this is.
#[derive(Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) seed: Secret,
    pub(crate) vendor: VendorAddress,
    pub(crate) created: UnixSeconds,
}

/// What the user chose.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) proxy_buy: Option<ProxySetting>,
    pub(crate) proxy_spend: Option<ProxySetting>,
    /// How many operators must hand out a manifest before anything is bought under it, where no witnesses are named.
    #[serde(default = "default_agreement")]
    pub(crate) agreement: u8,
    /// How far apart things are kept.
    #[serde(default)]
    pub(crate) privacy: Privacy,
    /// Who must have cosigned a checkpoint with it.
    #[serde(default, with = "witness_policy")]
    pub(crate) witnesses: WitnessPolicy,
}

/// Witnesses and their quorum.
mod witness_policy {
    use scrip_protocol::tlog::{note::VerifierKey, policy::WitnessPolicy};

    use super::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[derive(Serialize, Deserialize)]
    struct Stored {
        keys: Vec<VerifierKey>,
        quorum: usize,
    }

    pub(super) fn serialize<S: Serializer>(
        policy: &WitnessPolicy,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        Stored { keys: policy.witnesses().to_vec(), quorum: policy.quorum() }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<WitnessPolicy, D::Error> {
        let Stored { keys, quorum } = Stored::deserialize(from)?;
        WitnessPolicy::new(keys, quorum).map_err(de::Error::custom)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            proxy_buy: None,
            proxy_spend: None,
            agreement: default_agreement(),
            privacy: Privacy::default(),
            witnesses: WitnessPolicy::none(),
        }
    }
}

/// keys.md, "What a wallet asks for before it buys".
const fn default_agreement() -> u8 {
    2
}

/// The newest manifest that was everybody's when it came, and the digest of every version that was ever held.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ManifestRecord {
    pub(crate) manifest: Blob,
    /// The text of the proof that the vendor's ledger has it.
    pub(crate) proof: Option<Blob>,
    /// Whose relays handed it out.
    pub(crate) operators: BTreeSet<OperatorId>,
    /// Since when it is held.
    pub(crate) since: UnixSeconds,
    /// The one before, as long as that is bought under.
    pub(crate) before: Option<AgreedManifest>,
    pub(crate) digests: BTreeMap<u64, ManifestDigest>,
    /// When it was last seen to be the newest.
    pub(crate) seen: Option<UnixSeconds>,
    /// The checkpoint of the largest tree that came with a proof.
    pub(crate) checkpoint: Option<Blob>,
}

/// A version of the manifest that was held once.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct HeldRecord {
    pub(crate) version: u64,
    pub(crate) manifest: Blob,
    /// Since when it was held.
    pub(crate) since: UnixSeconds,
}

/// A manifest with what shows that it is everybody's.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AgreedManifest {
    pub(crate) manifest: Blob,
    /// The text of the proof that the vendor's ledger has it.
    pub(crate) proof: Option<Blob>,
    /// Whose relays handed it out.
    pub(crate) operators: BTreeSet<OperatorId>,
}

/// A manifest that is newer than the one that is held, and not known to be everybody's yet.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OfferedRecord {
    pub(crate) version: u64,
    pub(crate) digest: ManifestDigest,
    #[serde(flatten)]
    pub(crate) manifest: AgreedManifest,
    /// Whether the vendor showed it.
    pub(crate) vendor: bool,
    pub(crate) at: UnixSeconds,
}

impl OfferedRecord {
    /// Forgets that this operator, or the vendor, showed it; whether it had.
    pub(crate) fn take_back(&mut self, by: Option<OperatorId>) -> bool {
        match by {
            Some(operator) => self.manifest.operators.remove(&operator),
            None => std::mem::take(&mut self.vendor),
        }
    }

    pub(crate) fn is_nobodys(&self) -> bool {
        self.manifest.operators.is_empty() && !self.vendor
    }
}

/// What shows that somebody signed what must not be.
#[derive(Serialize, Deserialize)]
pub(crate) struct EvidenceRecord {
    pub(crate) at: UnixSeconds,
    /// The manifest's version.
    pub(crate) version: u64,
    #[serde(flatten)]
    pub(crate) what: Evidence,
}

/// Who signed what.
#[derive(Serialize, Deserialize)]
#[serde(tag = "evidence", rename_all = "snake_case")]
pub(crate) enum Evidence {
    /// Two manifests that must not both be; the second came from this relay, whose operator signed that it holds it, or from the
    /// vendor.
    Manifests { held: Blob, offered: Blob, relay: Option<RelayAddress>, said: Option<String> },
    /// Two checkpoints of one size with different roots.
    Checkpoints { held: Blob, offered: Blob },
}

impl EvidenceRecord {
    /// The same again is the same evidence.
    fn title(&self) -> String {
        match &self.what {
            Evidence::Manifests { .. } => format!("manifests {}", self.version),
            Evidence::Checkpoints { .. } => format!("checkpoints {}", self.version),
        }
    }
}

/// What a relay said about itself, as its operator signed it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SignedWord {
    pub(crate) body: Blob,
    /// As it was in the header.
    pub(crate) signature: String,
}

/// A relay that the user added or the manifest lists, with what it last said about itself.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RelayRecord {
    pub(crate) address: RelayAddress,
    /// When it was added, or first heard of.
    pub(crate) added: UnixSeconds,
    /// Whether the user added it.
    #[serde(default)]
    pub(crate) own: bool,
    pub(crate) info: Option<RelayInfo>,
    /// When it said so.
    #[serde(default)]
    pub(crate) heard: Option<UnixSeconds>,
    /// When it last gave no answer, if it gave none since.
    #[serde(default)]
    pub(crate) missed: Option<UnixSeconds>,
    #[serde(default)]
    pub(crate) said: Option<SignedWord>,
}

/// An order that is paid elsewhere.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ordered {
    pub(crate) id: OrderId,
    pub(crate) product: String,
}

/// A purchase, by the index of its grant.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Purchase {
    pub(crate) grant: u32,
    /// What it is paid with; none for a purchase that was found by a restore.
    pub(crate) proof: Option<GrantRequest>,
    /// The order that it was made for, if it was.
    pub(crate) order: Option<Ordered>,
    /// What was ordered, as far as that is known: nothing else is signed.
    #[serde(default)]
    pub(crate) wanted: Option<Wanted>,
    pub(crate) at: UnixSeconds,
    pub(crate) state: PurchaseState,
}

impl Purchase {
    /// Whether it was made for this order.
    pub(crate) fn is_for(&self, order: &OrderId) -> bool {
        self.order.as_ref().is_some_and(|ordered| ordered.id == *order)
    }
}

/// Where a purchase stands. Each state is on disk before the request that leads out of it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum PurchaseState {
    /// About to ask for an order of this product.
    Ordering { product: String },
    /// About to ask for the grant.
    Asked,
    /// The grant exists.
    Granted { answer: GrantAnswer },
    /// About to ask for the pack, under exactly these keys: with the seed and the grant's index they are the request.
    Requested { answer: GrantAnswer, keys: Vec<KeyId> },
    /// The certificates are here.
    Issued { answer: GrantAnswer, at: UnixSeconds },
    /// Single tokens were taken from the grant by another program, so that it gives no pack.
    Unusable { answer: GrantAnswer },
}

/// What a certificate's life has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum CertificateState {
    /// To be spent.
    Held,
    /// Restored from the seed: whether it was spent before is not known.
    InDoubt,
    /// Part of a recorded payment without a definite answer.
    InFlight { payment: PaymentId, doubtful: bool },
    /// A relay gave a receipt for it.
    Spent { payment: PaymentId },
    /// It was proved that it was spent by a copy of this wallet, or before a restore.
    SpentElsewhere,
    /// About to be exchanged for a certificate under this key; first asked for at `since`. No definite answer yet.
    Renewing { key_id: KeyId, since: UnixSeconds, doubtful: bool },
    /// Exchanged for the certificate with this key.
    Renewed { by: PublicKey },
}

/// A certificate. Its private key follows from the seed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct CertificateRecord {
    pub(crate) key: PublicKey,
    pub(crate) token: Blob,
    pub(crate) key_id: KeyId,
    pub(crate) exponent: Exponent,
    pub(crate) spend_until: UnixSeconds,
    /// From when on it is chosen without being asked for: a time of its own, drawn when it was issued.
    pub(crate) ripe: UnixSeconds,
    pub(crate) grant: u32,
    pub(crate) position: u16,
    /// Whether a test key signed it, so that it is worth nothing (keys.md, "Test keys").
    #[serde(default)]
    pub(crate) test: bool,
    pub(crate) state: CertificateState,
    /// Of one in doubt: the day from which its doubt is counted, when a list of voided certificates first did not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) looked: Option<Day>,
    /// Of one in doubt: whether a list says that it was renewed, so that what it became is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) listed: bool,
    /// The operators that saw it in a payment that they refused. It pays them and nobody else, so that no two of them can tell that
    /// one wallet paid both; what it is renewed for was seen by nobody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) seen_by: BTreeSet<OperatorId>,
    /// Of one that was spent elsewhere: the conflict proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<Blob>,
}

impl CertificateRecord {
    pub(crate) const fn counter(&self) -> Counter {
        Counter::new(self.grant, self.position)
    }

    pub(crate) const fn value(&self) -> Credits {
        self.exponent.value()
    }
}

/// One certificate of a payment, with what a conflict proof is checked against.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PaidWith {
    pub(crate) key: PublicKey,
    pub(crate) binding: Binding,
}

/// A payment.
#[derive(Serialize, Deserialize)]
pub(crate) struct PaymentRecord {
    pub(crate) id: PaymentId,
    pub(crate) relay: RelayAddress,
    pub(crate) operator_key: PublicKey,
    pub(crate) route: Route,
    pub(crate) credits: Credits,
    pub(crate) certificates: Vec<PaidWith>,
    pub(crate) at: UnixSeconds,
    pub(crate) subject: Subject,
    /// The secrets of what is paid for, until the lease has them.
    pub(crate) purpose: Option<Purpose>,
    pub(crate) state: PaymentState,
}

/// What a payment is for, in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Subject {
    /// A new queue.
    Queue {
        /// Its name in this wallet.
        name: String,
    },
    /// A part of a stored file.
    File {
        /// The stored file.
        upload: UploadId,
    },
    /// More time.
    Extension {
        /// The lease.
        lease: ResourceId,
    },
}

/// Where a payment stands.
#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum PaymentState {
    /// Recorded, perhaps sent, no definite answer: these bytes are repeated until there is one.
    InFlight { request: Blob },
    /// The relay gave this receipt.
    Settled { receipt: Blob, at: UnixSeconds },
    /// The relay promised under its signature that nothing was taken and nothing ever will be; `None` where the request certainly
    /// never left.
    Returned {
        problem: Option<ProblemType>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<Blob>,
        at: UnixSeconds,
    },
}

/// What becomes of the receipt.
#[derive(Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub(crate) enum Purpose {
    Queue { queue: QueueKeys },
    Chunk { chunk: ChunkKeys },
    Extension { lease: ResourceId },
}

/// The secrets of a queue.
#[derive(Serialize, Deserialize)]
pub(crate) struct QueueKeys {
    pub(crate) name: String,
    pub(crate) recipient: Secret,
    pub(crate) sender: Secret,
    pub(crate) message: Secret,
}

/// Which part of a stored file a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Chunk(u32),
    Descriptor,
}

/// The secrets and the place of a chunk.
#[derive(Serialize, Deserialize)]
pub(crate) struct ChunkKeys {
    pub(crate) upload: UploadId,
    pub(crate) part: Part,
    pub(crate) copy: u8,
    pub(crate) owner: Secret,
    #[serde(with = "size_class")]
    pub(crate) class: SizeClass,
    /// SHA-256 of the sealed chunk: nothing else is ever sent under its key and nonce.
    pub(crate) digest: Blob,
    pub(crate) uploaded: bool,
}

/// A resource that was paid for.
#[derive(Serialize, Deserialize)]
pub(crate) struct LeaseRecord {
    pub(crate) id: ResourceId,
    pub(crate) relay: RelayAddress,
    pub(crate) operator_key: PublicKey,
    /// The sender's or reader's address.
    pub(crate) other_id: ResourceId,
    pub(crate) resource: Resource,
    pub(crate) created: UnixSeconds,
    pub(crate) until: UnixSeconds,
    pub(crate) live: bool,
    /// An extension that is to be paid at a time of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wanted: Option<WantedTime>,
    /// When its relay was last asked about it.
    #[serde(default)]
    pub(crate) asked: Option<UnixSeconds>,
    /// Signed, oldest first.
    pub(crate) receipts: Vec<Blob>,
}

/// More time that the user asked for.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WantedTime {
    pub(crate) days: u16,
    /// Whether certificates far above the price may pay it.
    pub(crate) excess: bool,
}

impl LeaseRecord {
    /// Whether it has not ended, as far as the wallet knows.
    pub(crate) fn is_live(&self, now: UnixSeconds) -> bool {
        self.live && self.until > now
    }

    /// The key that asks about the lease, extends and ends it.
    pub(crate) fn owner_key(&self) -> SigningKey {
        SigningKey::from_seed(match &self.resource {
            Resource::Queue { queue } => queue.recipient.as_bytes(),
            Resource::Chunk { chunk } => chunk.owner.as_bytes(),
        })
    }
}

/// What a lease is of.
#[derive(Serialize, Deserialize)]
#[serde(tag = "resource", rename_all = "snake_case")]
pub(crate) enum Resource {
    Queue { queue: QueueKeys },
    Chunk { chunk: ChunkKeys },
}

/// A file that is being stored, or was.
#[derive(Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub(crate) id: UploadId,
    pub(crate) path: std::path::PathBuf,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) digest: Blob,
    pub(crate) days: u16,
    /// The relay of each copy.
    pub(crate) relays: Vec<RelayAddress>,
    pub(crate) pace: Pace,
    pub(crate) key: Secret,
    pub(crate) at: UnixSeconds,
    /// The link, once everything is stored.
    pub(crate) link: Option<String>,
}

/// How far a restore has come. It stays when that is over: the wallet knows then that its seed had an earlier life.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct RestoreRecord {
    pub(crate) next: u32,
    pub(crate) misses: u32,
    pub(crate) gap_limit: u32,
    /// Whether grants are asked for in a row.
    pub(crate) fast: bool,
}

impl RestoreRecord {
    /// Whether so many grants in a row were unknown that no more can be expected.
    pub(crate) const fn is_over(&self) -> bool {
        self.misses >= self.gap_limit
    }
}

/// Something that the wallet does by itself ([`crate::Wallet::tend`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Chore {
    /// The next grant of a restore is asked for.
    Restore,
    /// Certificates in doubt are looked for in the vendor's lists.
    Lists,
    /// A certificate is renewed.
    Renewal(PublicKey),
    /// A payment without a definite answer is sent again.
    Payment(PaymentId),
    /// A purchase that was begun goes on; by the index of its grant.
    Purchase(u32),
    /// The next part of a file goes to its relay.
    Upload(UploadId),
    /// What waits of a stored file at one relay is extended.
    Extension { upload: UploadId, relay: RelayAddress },
    /// The stock is low, and there is something to buy with.
    Restock,
    /// A relay is asked for the vendor's manifest.
    Manifest,
    /// A relay is asked about its offer.
    Offer(RelayAddress),
}

/// When a chore is done.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) chore: Chore,
    pub(crate) at: UnixSeconds,
}

/// What the wallet does by itself.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct TendingRecord {
    /// What there is to do, each at its own time.
    pub(crate) moments: Vec<Moment>,
    /// When anybody was last called.
    pub(crate) called: Option<UnixSeconds>,
}

/// That this wallet was made from a backup. Whatever was open then may have come to an end in the wallet that the backup was
/// made of, and what came of that is not known here.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct CopyRecord {
    /// Which backup it was.
    pub(crate) backup: Blob,
    /// When that was made.
    pub(crate) made: UnixSeconds,
    /// When this wallet was made of it.
    pub(crate) restored: UnixSeconds,
    /// The purchases that were open.
    pub(crate) purchases: BTreeSet<u32>,
    /// The payments that were open.
    pub(crate) payments: BTreeSet<PaymentId>,
}

/// An operator that redeemed what it had refused, with what shows it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct CaughtRecord {
    pub(crate) operator_id: OperatorId,
    /// Where it was paid.
    pub(crate) relay: RelayAddress,
    pub(crate) at: UnixSeconds,
    /// When the user chose to use it again.
    pub(crate) forgiven: Option<UnixSeconds>,
    /// One for each payment.
    pub(crate) accusations: Vec<Accusation>,
}

/// What the wallet buys with by itself when its stock is low.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct RestockRecord {
    /// What it keeps at least; what a month used where this is not said.
    pub(crate) below: Option<Credits>,
    /// Whether the free allowance is taken.
    pub(crate) free: bool,
    /// Codes that were not used yet, in their order.
    pub(crate) vouchers: Vec<String>,
}

/// What the user was told, so that it is not repeated with every command.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct NoticesRecord {
    /// When it was last said that certificates expire.
    pub(crate) expiry: Option<UnixSeconds>,
    /// When it was last said that the stock is low.
    #[serde(default)]
    pub(crate) stock: Option<UnixSeconds>,
    /// The version of the manifest with the latest receipt key that was spoken of.
    #[serde(default)]
    pub(crate) receipt_key: Option<u64>,
}

/// A stored file within this wallet; known to nobody else. 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub(crate) u64);

impl std::fmt::Display for UploadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for UploadId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UploadId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(de::Error::custom)
    }
}

macro_rules! record {
    ($($type:ident, $kind:ident, |$record:ident| $name:expr;)*) => {$(
        impl Record for $type {
            const KIND: Kind = Kind::$kind;
            fn name(&self) -> Vec<u8> {
                let $record = self;
                $name
            }
        }
    )*};
}

record! {
    Identity, Identity, |_one| Vec::new();
    Settings, Settings, |_one| Vec::new();
    ManifestRecord, Manifest, |_one| Vec::new();
    RestoreRecord, Restore, |_one| Vec::new();
    CopyRecord, Copy, |_one| Vec::new();
    NoticesRecord, Notices, |_one| Vec::new();
    HeldRecord, Held, |held| held.version.to_be_bytes().to_vec();
    OfferedRecord, Offered, |offered| offered.digest.as_bytes().to_vec();
    EvidenceRecord, Evidence, |evidence| evidence.title().into_bytes();
    TendingRecord, Tending, |_one| Vec::new();
    CaughtRecord, Caught, |caught| caught.operator_id.as_bytes().to_vec();
    RestockRecord, Restock, |_one| Vec::new();
    RelayRecord, Relay, |relay| relay.address.to_string().into_bytes();
    Purchase, Purchase, |purchase| purchase.grant.to_be_bytes().to_vec();
    CertificateRecord, Certificate, |certificate| certificate.key.as_bytes().to_vec();
    PaymentRecord, Payment, |payment| payment.id.as_bytes().to_vec();
    LeaseRecord, Lease, |lease| lease.id.as_bytes().to_vec();
    UploadRecord, Upload, |upload| upload.id.0.to_be_bytes().to_vec();
}
