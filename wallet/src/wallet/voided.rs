//! The end of doubt (voided.md): the wallet looks through the vendor's lists of voided certificates for those that its seed had before.
//! Nobody is asked about a certificate.

use std::collections::{BTreeMap, BTreeSet};

use scrip_protocol::{
    credits::Credits,
    keys::PublicKey,
    ledger::Leaf,
    limits::REDEEM_WITHIN,
    manifest::{DenominationKey, KeyUse, Manifest},
    time::{Day, SECONDS_PER_DAY, UnixSeconds},
    tlog::{
        note::{KeyName, VerifierKey},
        policy::WitnessPolicy,
        proof::{LogProof, LogProofError},
    },
    voided::{Bucket, MAX_PROVEN_INDEX, ProvenIndex, SignedVoidedIndex, Voided, VoidedIndex},
};
use serde::{Serialize, Serializer};

use super::{Wallet, renew::successor};
use crate::{
    error::WalletError,
    net::{CallError, ListReader, ListSource},
    records::{CertificateRecord, CertificateState},
    store::Changes,
};

/// Seconds after which all that the earlier life of a wallet had spent is redeemed.
pub(super) const SETTLES_AFTER: u64 = REDEEM_WITHIN + SECONDS_PER_DAY;
/// The same in days.
const SETTLES_AFTER_DAYS: u32 = (SETTLES_AFTER / SECONDS_PER_DAY) as u32;
/// Days that an edition may be old where a doubt is first counted from.
const FRESH: u32 = 2;
/// Bytes of a list that is got whole.
const WHOLE: usize = 64 << 20;
/// Buckets that are got beside each that is needed, of a larger list.
const DECOYS: usize = 7;

/// What the lists said about certificates in doubt.
#[derive(Debug, Default, Serialize)]
pub struct Looked {
    /// How many certificates were looked for.
    pub looked_for: usize,
    /// No longer in doubt: these can be spent.
    pub settled: Credits,
    /// Were redeemed: spent before the restore, or by a copy of this wallet.
    pub spent: Credits,
    /// Had been renewed. What became of them is asked for one by one, as a renewal is.
    pub renewed: Credits,
    /// Still in doubt.
    pub in_doubt: Credits,
    /// The day of the edition that may end the doubt of these.
    pub again_on: Option<Day>,
    /// What failed, each with its reason.
    #[serde(serialize_with = "messages")]
    pub errors: Vec<WalletError>,
}

fn messages<S: Serializer>(errors: &[WalletError], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(errors.iter().map(ToString::to_string))
}

/// A list as far as the wallet got it.
struct List {
    index: VoidedIndex,
    buckets: BTreeMap<u32, Bucket>,
}

impl List {
    fn find(&self, certificate: &PublicKey) -> Option<Voided> {
        let place = self.index.place(certificate.as_bytes());
        self.buckets.get(&place.bucket).and_then(|bucket| bucket.find(&place))
    }
}

impl Wallet {
    /// Looks for every certificate that is in doubt. Lists are got whole where they are small, or where `whole` says so.
    ///
    /// # Errors
    /// [`WalletError`] where nothing could be looked up; what failed after that is in the answer.
    pub async fn look_up(&self, source: &ListSource, whole: bool) -> Result<Looked, WalletError> {
        let _one_at_a_time = self.renewing.lock().await;
        let mut looked = Looked::default();
        let Some(manifest) = self.held_manifest().await? else { return Ok(looked) };
        let mut epochs: BTreeMap<u32, Vec<CertificateRecord>> = BTreeMap::new();
        for one in self.in_doubt().await {
            if let Some(key) = manifest.key(&one.key_id) {
                epochs.entry(key.epoch()).or_default().push(one);
            }
        }
        for (epoch, certificates) in self.shuffled(epochs.into_iter().collect::<Vec<_>>()) {
            let found = self.list(source, &manifest, epoch, &certificates, whole).await;
            self.at("wallet.voided.read");
            let settled = match found {
                Ok(list) => self.settle_doubts(&manifest, &list, certificates, &mut looked).await,
                Err(error) => {
                    let values = certificates.iter().map(CertificateRecord::value);
                    looked.in_doubt = Credits::total(values.chain([looked.in_doubt]));
                    Err(error)
                }
            };
            match settled {
                Ok(()) => {}
                Err(error @ (WalletError::Store(_) | WalletError::ShuttingDown)) => {
                    return Err(error);
                }
                Err(error) => looked.errors.push(error),
            }
        }
        Ok(looked)
    }

    /// Whether a list could tell something new about a certificate: it was never looked for, or long enough ago.
    pub(super) async fn lookups_are_due(&self) -> bool {
        let today = self.now().day();
        self.in_doubt().await.iter().any(|one| match one.looked {
            None => true,
            Some(first) => first.0.saturating_add(SETTLES_AFTER_DAYS) <= today.0,
        })
    }

    /// Those of which a list may still say something. One that has expired may have been renewed, and is looked for once.
    async fn in_doubt(&self) -> Vec<CertificateRecord> {
        let now = self.now();
        let purse = self.purse.lock().await;
        let open = |one: &&CertificateRecord| {
            let useful = now < one.spend_until || one.looked.is_none();
            one.state == CertificateState::InDoubt && !one.listed && useful
        };
        purse.all().filter(open).cloned().collect()
    }

    async fn held_manifest(&self) -> Result<Option<Manifest>, WalletError> {
        match self.known_manifest().await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(WalletError::NoManifest) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest edition of an epoch's list, with the buckets of these certificates.
    async fn list(
        &self,
        source: &ListSource,
        manifest: &Manifest,
        epoch: u32,
        certificates: &[CertificateRecord],
        whole: bool,
    ) -> Result<List, WalletError> {
        let bad = |reason| WalletError::BadList { epoch, reason };
        let reader = self.network().await.lists(source, &self.vendor)?;
        let name = format!("{epoch}/newest");
        let proven = get(&reader, &name, MAX_PROVEN_INDEX).await?;
        let proven = proven.ok_or_else(|| bad("there is none"))?;
        let policy = self.witness_policy().await;
        let index = self.open_index(manifest, epoch, &proven, &policy).map_err(bad)?;
        let size = index.bucket_size();
        let all = index.buckets.len();
        let mut wanted: BTreeSet<u32> =
            certificates.iter().map(|one| index.place(one.key.as_bytes()).bucket).collect();
        if whole || all * size <= WHOLE {
            wanted = (0..).take(all).collect();
        } else {
            let enough = (wanted.len() * (1 + DECOYS)).min(all);
            while wanted.len() < enough {
                // Fewer than 2^32 buckets.
                wanted.insert(self.random_below(all as u64) as u32);
            }
        }
        let mut buckets = BTreeMap::new();
        for number in self.shuffled(wanted.into_iter().collect()) {
            let name = format!("{epoch}/{}/{number}", index.edition);
            let bytes = get(&reader, &name, size).await?;
            let bytes = bytes.ok_or_else(|| bad("a part of it is missing"))?;
            let bucket = index.open_bucket(number, &bytes);
            buckets.insert(number, bucket.map_err(|_| bad("a part is not what was signed"))?);
        }
        Ok(List { index, buckets })
    }

    /// What the vendor signed for, and has in its ledger for everybody.
    fn open_index(
        &self,
        manifest: &Manifest,
        epoch: u32,
        proven: &[u8],
        policy: &WitnessPolicy,
    ) -> Result<VoidedIndex, &'static str> {
        let vendor = &self.vendor.id;
        let unreadable = "it cannot be read";
        let proven = ProvenIndex::decode(proven).map_err(|_| unreadable)?;
        let signed = SignedVoidedIndex::decode(&proven.index).map_err(|_| unreadable)?;
        let receipt_keys = || manifest.receipt_keys().all().map(|one| one.key);
        let index = receipt_keys()
            .find_map(|key| signed.verify(&key).ok())
            .ok_or("the vendor's signature does not verify")?;
        if index.vendor_id != *vendor || index.epoch != epoch {
            return Err("it is another one");
        }
        let proof = LogProof::parse(&proven.proof).map_err(|_| unreadable)?;
        let leaf = Leaf::Voided(index.commitment()).hash();
        let keys: Vec<VerifierKey> =
            receipt_keys().map(|key| VerifierKey::of_ledger(vendor, key)).collect();
        let checked = proof.verify(&leaf, &KeyName::of_ledger(vendor), &keys, policy);
        checked.map_err(|error| match error {
            LogProofError::Inclusion(_) => "the vendor's ledger does not have it",
            LogProofError::Checkpoint(_) => {
                "its checkpoint is not signed by the vendor and as many witnesses as the wallet demands"
            }
        })?;
        Ok(index.clone())
    }

    /// Records what a list says of these certificates.
    async fn settle_doubts(
        &self,
        manifest: &Manifest,
        list: &List,
        certificates: Vec<CertificateRecord>,
        looked: &mut Looked,
    ) -> Result<(), WalletError> {
        let (now, day) = (self.now(), list.index.day);
        let is_fresh = day.0.saturating_add(FRESH) >= now.day().0;
        let purse = self.lock_purse().await;
        let mut changed = Vec::new();
        for one in certificates {
            // What was bound to a payment or a renewal meanwhile is left alone.
            let still = purse.get(&one.key).filter(|now| now.state == CertificateState::InDoubt);
            let Some(one) = still.cloned() else { continue };
            let add = |sum: &mut Credits| *sum = Credits::total([*sum, one.value()]);
            looked.looked_for += 1;
            let found = list.find(&one.key);
            match found {
                Some(Voided::Redeemed) => add(&mut looked.spent),
                Some(Voided::Renewed) => add(&mut looked.renewed),
                None if settles(&one, day) => add(&mut looked.settled),
                None => add(&mut looked.in_doubt),
            }
            let after = match found {
                Some(Voided::Redeemed) => {
                    Some(CertificateRecord { state: CertificateState::SpentElsewhere, ..one })
                }
                Some(Voided::Renewed) => {
                    let Some(key) = later_key(manifest, &one, now) else { continue };
                    let state =
                        CertificateState::Renewing { key_id: key.id(), since: now, doubtful: true };
                    Some(CertificateRecord { state, listed: true, ..one })
                }
                None if settles(&one, day) => {
                    let state = CertificateState::Held;
                    Some(CertificateRecord { state, looked: None, ..one })
                }
                None if one.looked.is_none() && is_fresh => {
                    Some(CertificateRecord { looked: Some(day.max(now.day())), ..one })
                }
                None => None,
            };
            if let Some(first) = after.as_ref().and_then(|after| after.looked) {
                let again = Day(first.0.saturating_add(SETTLES_AFTER_DAYS));
                looked.again_on = looked.again_on.max(Some(again));
            }
            changed.extend(after);
        }
        if !is_fresh && looked.in_doubt.0 > 0 {
            looked.errors.push(WalletError::OldList { epoch: list.index.epoch, day });
        }
        if changed.is_empty() {
            return Ok(());
        }
        let mut changes = Changes::default();
        changed.iter().for_each(|one| changes.add(one));
        self.commit_purse(purse, changes, changed).await?;
        self.at("wallet.voided.stored");
        Ok(())
    }
}

/// Whether an edition of this day, which does not have the certificate, ends its doubt.
fn settles(one: &CertificateRecord, day: Day) -> bool {
    one.looked.is_some_and(|first| first.0.saturating_add(SETTLES_AFTER_DAYS) <= day.0)
}

/// A key to ask with for what a certificate was renewed into: the answer shows what was recorded, whatever is asked for.
fn later_key<'a>(
    manifest: &'a Manifest,
    one: &CertificateRecord,
    now: UnixSeconds,
) -> Option<&'a DenominationKey> {
    let old = manifest.key(&one.key_id)?;
    let same = |key: &&DenominationKey| {
        let fits = key.exponent() == old.exponent() && key.epoch() > old.epoch();
        fits && (key.key_use() == KeyUse::Test) == one.test
    };
    successor(manifest, one, now).or_else(|| manifest.keys().filter(same).last())
}

async fn get(
    reader: &ListReader,
    name: &str,
    limit: usize,
) -> Result<Option<Vec<u8>>, WalletError> {
    reader.get(name, limit).await.map_err(|error: CallError| WalletError::List { error })
}
