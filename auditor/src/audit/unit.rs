//! One bundle on its way through an audit: read, checked by a worker, and accounted for in its turn.

use std::sync::Arc;

use bytes::Bytes;
use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    check::{Rejection, Spend, check_batch},
    credits::Exponent,
    id::{OperatorId, VendorId},
    keys::Signature,
    ledger::{
        Contract, Leaf, ManifestVersion, Sales, SignedStatement, Tally, ValueCommitment,
        VoidedCommitment, VoidedSalt,
    },
    manifest::{DenominationKey, KeyUse},
    spend::{Binding, SpendIdentity, SpendKind},
    time::Day,
    tlog::{
        hash::{TreeHash, leaf_hash},
        tile::{PublicBundle, TILE_WIDTH, TilePath, decode_hashes},
    },
    token::Token,
};

use super::opening::open_commitment;
use crate::{
    finding::{Finding, FindingKind},
    keyring::Keyring,
};

/// A bundle as it was read, with what was published beside it.
pub(super) struct Unit {
    /// The place of the bundle in its row; its first leaf is 256 times as much.
    pub(super) number: u64,
    /// How many leaves the checkpoint says it has.
    pub(super) width: u16,
    pub(super) entries: Bytes,
    /// The hash tile over these leaves, if there is one; it may be wider.
    pub(super) tile: Option<Bytes>,
    /// The public bundle, if there is one; it may be wider.
    pub(super) public: Option<Bytes>,
    /// Tiles of the levels above that end with this bundle.
    pub(super) upper: Vec<(TilePath, Option<Bytes>)>,
    /// The keys that the ledger has shown up to the end of this bundle.
    pub(super) keyring: Arc<Keyring>,
    /// What was wrong with the manifests that it names.
    pub(super) findings: Vec<Finding>,
}

/// A bundle that a worker has checked, as far as it can be by itself.
pub(super) struct Checked {
    pub(super) number: u64,
    pub(super) leaves: Vec<CheckedLeaf>,
    pub(super) tile: TileCheck,
    pub(super) public: PublicCheck,
    pub(super) upper: Vec<(TilePath, Option<Bytes>)>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) findings: Vec<Finding>,
}

pub(super) struct CheckedLeaf {
    pub(super) hash: TreeHash,
    pub(super) what: What,
}

/// What a leaf says, without what was verified already.
pub(super) enum What {
    Unreadable(String),
    Cover,
    Spent(Spent),
    Tally(Tally, Option<[u8; 32]>),
    Commitment(ValueCommitment),
    Sales(Sales),
    Manifest(ManifestVersion),
    Contract(Contract),
    /// With the commitments that its settled lines open to.
    Statement(Box<SignedStatement>, Vec<Option<[u8; 32]>>),
    Voided(VoidedCommitment),
    VoidedSalt(VoidedSalt),
}

/// A certificate that came back.
pub(super) struct Spent {
    /// Who redeemed it; `None` where it was renewed.
    pub(super) operator: Option<OperatorId>,
    /// Which certificate, and what its holder signed.
    pub(super) identity: SpendIdentity,
    /// Of its denomination key, if that is in the ledger.
    pub(super) key: Option<SpentKey>,
    /// What is wrong with it.
    pub(super) fault: Option<Fault>,
}

pub(super) type Fault = (FindingKind, String);

#[derive(Clone, Copy)]
pub(super) struct SpentKey {
    pub(super) epoch: u32,
    pub(super) exponent: Exponent,
    pub(super) key_use: KeyUse,
}

/// How the published hash tile compares with the leaves.
pub(super) enum TileCheck {
    Missing,
    Same,
    /// What the published one has.
    Differs(Vec<TreeHash>),
    Unreadable,
}

/// How the public bundle compares with the leaves.
pub(super) enum PublicCheck {
    Missing,
    Same,
    /// The first leaf in which it differs, and how.
    Differs(u64, &'static str),
}

type Decoded = (TreeHash, Result<Leaf, String>);

impl Unit {
    fn start(&self) -> u64 {
        self.number * TILE_WIDTH
    }

    /// Does all the work that needs no other bundle.
    pub(super) fn check(self, vendor: &VendorId, rng: &mut (impl RngCore + CryptoRng)) -> Checked {
        let entries = split_entries(&self.entries);
        let leaves: Vec<Decoded> = entries.iter().map(|entry| decode(*entry)).collect();
        let tile = compare_tile(self.tile.as_deref(), self.width, &leaves);
        let public = compare_public(self.public.as_deref(), self.start(), self.width, &entries);
        let mut faults = self.spent_faults(vendor, &leaves, rng);
        let checked = leaves.into_iter().zip(self.start()..).zip(&mut faults);
        let leaves = checked
            .map(|(((hash, leaf), index), fault)| {
                let what = match leaf {
                    Ok(leaf) => self.what(vendor, index, leaf, fault.take()),
                    Err(error) => What::Unreadable(error),
                };
                CheckedLeaf { hash, what }
            })
            .collect();
        let Self { number, upper, keyring, findings, .. } = self;
        Checked { number, leaves, tile, public, upper, keyring, findings }
    }

    fn what(&self, vendor: &VendorId, index: u64, leaf: Leaf, fault: Option<Fault>) -> What {
        match leaf {
            Leaf::Cover(_) => What::Cover,
            Leaf::Redemption(redemption) => {
                let operator = Some(redemption.operator_id);
                What::Spent(self.spent(index, operator, redemption.identity(vendor), fault))
            }
            Leaf::Renewal(renewal) => {
                What::Spent(self.spent(index, None, renewal.identity(), fault))
            }
            Leaf::Tally(tally) => {
                let credits = tally.credits();
                let opened = credits.and_then(|credits| open_commitment(credits, &tally.blinding));
                What::Tally(tally, opened)
            }
            Leaf::Commitment(commitment) => What::Commitment(commitment),
            Leaf::Sales(sales) => What::Sales(sales),
            Leaf::Manifest(manifest) => What::Manifest(manifest),
            Leaf::Contract(contract) => What::Contract(contract),
            Leaf::Statement(statement) => {
                let settled = statement.unverified().settled.iter();
                let opened = settled.map(|line| open_commitment(line.credits, &line.blinding));
                let opened = opened.collect();
                What::Statement(Box::new(statement), opened)
            }
            Leaf::Voided(voided) => What::Voided(voided),
            Leaf::VoidedSalt(salt) => What::VoidedSalt(salt),
        }
    }

    fn spent(
        &self,
        index: u64,
        operator: Option<OperatorId>,
        identity: SpendIdentity,
        fault: Option<Fault>,
    ) -> Spent {
        let key = self.keyring.key(&identity.key_id, index).map(|key| SpentKey {
            epoch: key.epoch(),
            exponent: key.exponent(),
            key_use: key.key_use(),
        });
        Spent { operator, identity, key, fault }
    }

    /// Of each leaf, what is wrong with the certificate in it: the checks of redemption.md, in their order, the signatures of
    /// all together.
    fn spent_faults(
        &self,
        vendor: &VendorId,
        leaves: &[Decoded],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Vec<Option<Fault>> {
        let mut faults = vec![None; leaves.len()];
        let mut places = Vec::with_capacity(leaves.len());
        let mut spends = Vec::with_capacity(leaves.len());
        for (at, (_, leaf)) in leaves.iter().enumerate() {
            let Some(evidence) = leaf.as_ref().ok().and_then(|leaf| evidence(leaf, vendor)) else {
                continue;
            };
            match evidence.key_in_window(&self.keyring, self.start() + at as u64) {
                Ok(key) => {
                    let Evidence { token, kind, binding, signature, .. } = evidence;
                    places.push(at);
                    spends.push(Spend { token, key, kind, binding, signature });
                }
                Err(fault) => faults[at] = Some(fault),
            }
        }
        for (at, result) in places.into_iter().zip(check_batch(&spends, rng)) {
            faults[at] = result.err().map(|rejection| (kind_of(rejection), rejection.to_string()));
        }
        faults
    }
}

fn decode(entry: Option<&[u8]>) -> Decoded {
    let Some(bytes) = entry else {
        return (leaf_hash(&[]), Err("the bundle ends within it".to_owned()));
    };
    (leaf_hash(bytes), Leaf::decode(bytes).map_err(|error| error.to_string()))
}

/// What voided a certificate.
struct Evidence<'a> {
    token: &'a Token,
    binding: Binding,
    signature: &'a Signature,
    day: Day,
    kind: SpendKind,
}

fn evidence<'a>(leaf: &'a Leaf, vendor: &VendorId) -> Option<Evidence<'a>> {
    match leaf {
        Leaf::Redemption(redemption) => Some(Evidence {
            token: &redemption.item.token,
            binding: redemption.binding(vendor),
            signature: &redemption.item.signature,
            day: redemption.item.day,
            kind: SpendKind::Spend,
        }),
        Leaf::Renewal(renewal) => Some(Evidence {
            token: &renewal.token,
            binding: renewal.binding,
            signature: &renewal.signature,
            day: renewal.day,
            kind: SpendKind::Renewal,
        }),
        _ => None,
    }
}

impl Evidence<'_> {
    fn key_in_window<'k>(
        &self,
        keyring: &'k Keyring,
        index: u64,
    ) -> Result<&'k DenominationKey, Fault> {
        let key = keyring.key(&self.token.key_id, index).ok_or_else(|| {
            let detail = format!("no manifest before this leaf has the key {}", self.token.key_id);
            (FindingKind::KeyUnlogged, detail)
        })?;
        let challenge = keyring.newest().map(|newest| newest.challenge_digest());
        if challenge != Some(&self.token.challenge_digest) {
            let detail = "the certificate answers another challenge than the vendor's";
            return Err((FindingKind::Challenge, detail.to_owned()));
        }
        let windows = key.windows();
        let (first, last, did) = if self.kind == SpendKind::Renewal {
            (windows.renew_from.day().0, windows.spend_until.day().0, "renewed")
        } else {
            let first = windows.issue_from.day().0.saturating_sub(1);
            (first, windows.spend_until.day().0.saturating_add(1), "spent")
        };
        if (first..=last).contains(&self.day.0) {
            return Ok(key);
        }
        let (first, last) = (Day(first), Day(last));
        let detail = format!(
            "it was {did} on {}, and certificates of epoch {} can be from {first} to {last}",
            self.day,
            key.epoch()
        );
        Err((FindingKind::DayOutside, detail))
    }
}

const fn kind_of(rejection: Rejection) -> FindingKind {
    match rejection {
        Rejection::CertificateKey => FindingKind::CertificateKey,
        Rejection::CertificateSignature => FindingKind::CertificateSignature,
        Rejection::SpendSignature => FindingKind::SpendSignature,
    }
}

/// The entries of a bundle; a last one that is cut short is `None`. More lenient than the codec, which knows how many there
/// should be: an auditor wants to say which one is missing. There are at most twice as many as there should be.
pub(super) fn split_entries(bundle: &[u8]) -> Vec<Option<&[u8]>> {
    let mut entries = Vec::with_capacity(256);
    let mut rest = bundle;
    while !rest.is_empty() && entries.len() < 2 * TILE_WIDTH as usize {
        let split = rest
            .split_first_chunk::<2>()
            .and_then(|(length, rest)| rest.split_at_checked(u16::from_be_bytes(*length).into()));
        let Some((entry, after)) = split else {
            entries.push(None);
            break;
        };
        entries.push(Some(entry));
        rest = after;
    }
    entries
}

fn compare_tile(tile: Option<&[u8]>, width: u16, leaves: &[Decoded]) -> TileCheck {
    let Some(bytes) = tile else { return TileCheck::Missing };
    let published = u16::try_from(bytes.len() / 32).ok();
    let published = published.and_then(|count| decode_hashes(bytes, count).ok());
    let Some(mut published) = published.filter(|hashes| hashes.len() >= width.into()) else {
        return TileCheck::Unreadable;
    };
    published.truncate(width.into());
    if published.iter().eq(leaves.iter().map(|(hash, _)| hash)) {
        TileCheck::Same
    } else {
        TileCheck::Differs(published)
    }
}

/// Whether these bytes are a leaf that everybody may read, by its kind.
fn is_public(entry: &[u8]) -> bool {
    matches!(entry.first(), Some(4 | 6 | 9))
}

pub(super) fn compare_public(
    public: Option<&[u8]>,
    start: u64,
    width: u16,
    entries: &[Option<&[u8]>],
) -> PublicCheck {
    let Some(bytes) = public else { return PublicCheck::Missing };
    // Read as a full one: a bundle that has grown since may have more.
    let Ok(published) = PublicBundle::decode(bytes, TILE_WIDTH as u16) else {
        return PublicCheck::Differs(start, "the public bundle cannot be read");
    };
    let published = published.entries();
    for (offset, entry) in (0..=u8::MAX).zip(entries.iter().take(width.into())) {
        let entry = entry.unwrap_or_default();
        let what = match (published.get(&offset), is_public(entry)) {
            (None, false) => continue,
            (Some(shown), true) if shown == entry => continue,
            (Some(_), true) => "the public is shown another leaf",
            (None, true) => "the public is not shown this leaf",
            (Some(_), false) => "the public is shown a leaf in the place of a private one",
        };
        return PublicCheck::Differs(start + u64::from(offset), what);
    }
    PublicCheck::Same
}
