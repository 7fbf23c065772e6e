//! Renewals (renewal.md): certificates that expire soon for new ones, one to one.
//!
//! Which certificates are exchanged, and under which keys, is on disk before anything is sent; with the seed that is the request. Until
//! there is a definite answer the old ones are not spent, and the same items are sent again. They go in small requests, each
//! over connections of its own: certificates of one request are linked with each other.

use std::{collections::BTreeSet, sync::Arc};

use scrip_protocol::{
    credits::{Credits, Exponent},
    issuance::Blinding,
    keys::PublicKey,
    limits::MAX_RENEWAL_ITEMS,
    manifest::{DenominationKey, Manifest},
    problem::ProblemType,
    renewal::{Renewal, RenewalItem, RenewalRequest, RenewalResult},
    time::UnixSeconds,
};
use serde::{Serialize, Serializer};

use super::{Doubtful, Wallet, adopt::Heir, apart, buy::is, inquire::SETTLES_AFTER};
use crate::{
    error::WalletError,
    records::{Blob, CertificateRecord, CertificateState},
    store::Changes,
};

/// How often other keys are chosen, where the vendor's windows move meanwhile.
const ROUNDS: usize = 3;

/// What was exchanged.
#[derive(Debug, Default, Serialize)]
pub struct Renewed {
    /// How many certificates are new.
    pub certificates: usize,
    /// What they are worth, as the old ones were.
    pub renewed: Credits,
    /// Cannot be renewed, because it was spent: before a restore, or by a copy of this wallet. Each loss has its proof.
    pub spent_elsewhere: Credits,
    /// In doubt, and waiting until that is settled.
    pub waiting: Credits,
    /// What is still open or failed, each with its reason.
    #[serde(serialize_with = "messages")]
    pub errors: Vec<WalletError>,
}

fn messages<S: Serializer>(errors: &[WalletError], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(errors.iter().map(ToString::to_string))
}

/// An item as it is sent, with what its answer is checked against.
struct Sent {
    old: CertificateRecord,
    item: RenewalItem,
}

impl Wallet {
    /// Exchanges every certificate whose renewal window is open, and finishes exchanges that were begun. Certificates in
    /// doubt are asked about, and exchanged only where `doubtful` says so or they would expire before the doubt ends: a
    /// relay that was paid with one and has not redeemed it would lose.
    ///
    /// # Errors
    /// [`WalletError`] where nothing could be tried; what failed after that is in the answer.
    pub async fn renew(&self, doubtful: Doubtful) -> Result<Renewed, WalletError> {
        let _one_at_a_time = self.renewing.lock().await;
        let manifest = Arc::new(self.known_manifest().await?);
        let mut renewed = Renewed::default();
        self.finish_renewals(&manifest, &mut renewed).await?;
        let in_window = self.doubtful_in_window(&manifest).await;
        let mut unrecorded = BTreeSet::new();
        if !in_window.is_empty() {
            let inquired = self.ask_about(in_window, &manifest).await?;
            renewed.errors.extend(inquired.errors);
            unrecorded = inquired.unrecorded;
        }
        let doubtful = Renewable { doubtful, unrecorded };
        if self.is_any_in_window(&manifest).await {
            // Keys that only this wallet is given would mark what is renewed under them, as what is bought.
            match self.manifest_to_buy_under().await {
                Ok(agreed) => self.exchange(&Arc::new(agreed), &doubtful, &mut renewed).await?,
                Err(error @ WalletError::Store(_)) => return Err(error),
                Err(error) => renewed.errors.push(error),
            }
        }
        Ok(renewed)
    }

    /// Exchanges what can be, under keys of a manifest on which operators agree.
    async fn exchange(
        &self,
        manifest: &Arc<Manifest>,
        renewable: &Renewable,
        renewed: &mut Renewed,
    ) -> Result<(), WalletError> {
        let mut without_key = BTreeSet::new();
        for _ in 0..ROUNDS {
            without_key.clear();
            if !self.begin_renewals(manifest, renewable, renewed, &mut without_key).await? {
                break;
            }
            self.finish_renewals(manifest, renewed).await?;
        }
        renewed.errors.extend(without_key.into_iter().map(WalletError::NoIssuingKey));
        Ok(())
    }

    async fn in_renewal(&self) -> Vec<CertificateRecord> {
        let purse = self.purse.lock().await;
        let under_way = |one: &&CertificateRecord| request_of(one).is_some();
        purse.all().filter(under_way).cloned().collect()
    }

    async fn is_any_in_window(&self, manifest: &Manifest) -> bool {
        let now = self.now();
        let purse = self.purse.lock().await;
        let free = |one: &&CertificateRecord| {
            matches!(one.state, CertificateState::Held | CertificateState::InDoubt)
        };
        purse.all().filter(free).any(|one| renews(manifest, one, now))
    }

    async fn doubtful_in_window(&self, manifest: &Manifest) -> Vec<CertificateRecord> {
        let now = self.now();
        let purse = self.purse.lock().await;
        let doubtful = purse.all().filter(|one| one.state == CertificateState::InDoubt);
        doubtful.filter(|one| renews(manifest, one, now)).cloned().collect()
    }

    /// Puts on disk which certificates are to be exchanged; whether there are any.
    async fn begin_renewals(
        &self,
        manifest: &Manifest,
        renewable: &Renewable,
        renewed: &mut Renewed,
        without_key: &mut BTreeSet<Exponent>,
    ) -> Result<bool, WalletError> {
        let now = self.now();
        let purse = self.lock_purse().await;
        let mut changed = Vec::new();
        renewed.waiting = Credits::ZERO;
        for one in purse.all().filter(|one| renews(manifest, one, now)) {
            let is_doubtful = match one.state {
                CertificateState::Held => false,
                CertificateState::InDoubt if renewable.although_in_doubt(one) => true,
                CertificateState::InDoubt => {
                    renewed.waiting = Credits::total([renewed.waiting, one.value()]);
                    continue;
                }
                _ => continue,
            };
            let Some(key) = successor(manifest, one, now) else {
                without_key.insert(one.exponent);
                continue;
            };
            let (key_id, since) = (key.id(), now);
            let state = CertificateState::Renewing { key_id, since, doubtful: is_doubtful };
            changed.push(CertificateRecord { state, ..one.clone() });
        }
        if changed.is_empty() {
            return Ok(false);
        }
        let mut changes = Changes::default();
        changed.iter().for_each(|one| changes.add(one));
        self.commit_purse(purse, changes, changed).await?;
        self.at("wallet.renewal.recorded");
        Ok(true)
    }

    /// Sends everything that is recorded, in small requests in random order.
    async fn finish_renewals(
        &self,
        manifest: &Arc<Manifest>,
        renewed: &mut Renewed,
    ) -> Result<(), WalletError> {
        let under_way = self.shuffled(self.in_renewal().await);
        for group in under_way.chunks(MAX_RENEWAL_ITEMS) {
            if group.len() == 1 {
                self.send_alone(manifest, group, renewed).await?;
                continue;
            }
            match self.send_renewals(manifest, group, renewed).await {
                Ok(()) => {}
                // A certificate of the group is refused: which one, and whether for certain, is seen one by one.
                Err(error) if refusal(&error).is_some() => {
                    for one in group.chunks(1) {
                        self.send_alone(manifest, one, renewed).await?;
                    }
                }
                Err(error @ (WalletError::Store(_) | WalletError::ShuttingDown)) => {
                    return Err(error);
                }
                Err(error) => renewed.errors.push(error),
            }
        }
        Ok(())
    }

    /// Sends one item; where it is refused for certain, its certificate is what it was before.
    async fn send_alone(
        &self,
        manifest: &Arc<Manifest>,
        one: &[CertificateRecord],
        renewed: &mut Renewed,
    ) -> Result<(), WalletError> {
        match self.send_renewals(manifest, one, renewed).await {
            Ok(()) => Ok(()),
            Err(error @ (WalletError::Store(_) | WalletError::ShuttingDown)) => Err(error),
            Err(error) => {
                let refused = refusal(&error);
                if refused.is_some() {
                    self.take_back(one).await?;
                }
                // Other keys are chosen in the next round; that is no failure.
                if !matches!(refused, Some(ProblemType::KeyUnknown | ProblemType::KeyOutsideWindow))
                {
                    renewed.errors.push(error);
                }
                Ok(())
            }
        }
    }

    async fn send_renewals(
        &self,
        manifest: &Arc<Manifest>,
        group: &[CertificateRecord],
        renewed: &mut Renewed,
    ) -> Result<(), WalletError> {
        let mut sent = Vec::with_capacity(group.len());
        for old in group {
            sent.push(self.renewal_item(manifest, old).await?);
        }
        let client = self.network().await.vendor(&self.vendor)?;
        let items = sent.iter().map(|one| one.item.clone()).collect();
        self.at("wallet.renewal.before_send");
        let answer = client.renew(&RenewalRequest { items }).await;
        self.at("wallet.renewal.after_answer");
        let answer = answer.map_err(WalletError::call(&self.vendor.authority))?;
        for (sent, result) in sent.into_iter().zip(answer.results) {
            let value = sent.old.value();
            match self.settle_renewal(manifest, sent, result).await {
                Ok(true) => {
                    renewed.certificates += 1;
                    renewed.renewed = Credits::total([renewed.renewed, value]);
                }
                Ok(false) => {
                    renewed.spent_elsewhere = Credits::total([renewed.spent_elsewhere, value]);
                }
                Err(error @ (WalletError::Store(_) | WalletError::ShuttingDown)) => {
                    return Err(error);
                }
                Err(error) => renewed.errors.push(error),
            }
        }
        self.at("wallet.renewal.settled");
        Ok(())
    }

    /// The same record gives the same item, to the byte.
    async fn renewal_item(
        &self,
        manifest: &Arc<Manifest>,
        old: &CertificateRecord,
    ) -> Result<Sent, WalletError> {
        let (key_id, _) = request_of(old).ok_or(WalletError::OtherAnswer)?;
        let certificate = self.certificate(old)?;
        let (seed, manifest, counter) = (self.seed.clone(), manifest.clone(), old.counter());
        let blinded = apart(move || {
            let key = manifest.key(&key_id).ok_or(WalletError::OtherAnswer)?;
            let blinding = Blinding::start(&seed, &manifest, key, counter)?;
            Ok::<_, WalletError>(blinding.item().clone())
        });
        let item = certificate.renew(&self.vendor.id, &blinded.await??);
        Ok(Sent { old: old.clone(), item })
    }

    /// Renewing → renewed, with the new certificate; or → spent elsewhere, `false`.
    async fn settle_renewal(
        &self,
        manifest: &Arc<Manifest>,
        sent: Sent,
        result: RenewalResult,
    ) -> Result<bool, WalletError> {
        let Sent { old, item } = sent;
        match result {
            RenewalResult::Renewed(renewal) => {
                let state = state_of_new(&old, &renewal);
                match self.derive_heir(manifest, &old, renewal, state).await? {
                    Heir::Own(new) => self.hand_over(&old, *new).await.map(|_| true),
                    Heir::Foreign => self.write_off(&old, None).await.map(|()| false),
                }
            }
            RenewalResult::Spent(proof) => {
                let own = item.binding(&self.vendor.id);
                proof.verify(&item.token.nonce, &own).map_err(|_| WalletError::OtherAnswer)?;
                self.catch(&proof).await?;
                self.write_off(&old, Some(Blob(proof.encode()))).await.map(|()| false)
            }
        }
    }

    /// Renewing → as before: the vendor said for certain that it has nothing recorded.
    async fn take_back(&self, group: &[CertificateRecord]) -> Result<(), WalletError> {
        let purse = self.lock_purse().await;
        let still = group.iter().filter_map(|one| purse.get(&one.key));
        let changed: Vec<CertificateRecord> = still
            .filter_map(|one| {
                let state = match one.state {
                    CertificateState::Renewing { doubtful: true, .. } => CertificateState::InDoubt,
                    CertificateState::Renewing { doubtful: false, .. } => CertificateState::Held,
                    _ => return None,
                };
                Some(CertificateRecord { state, ..one.clone() })
            })
            .collect();
        let mut changes = Changes::default();
        changed.iter().for_each(|one| changes.add(one));
        self.commit_purse(purse, changes, changed).await?;
        self.at("wallet.renewal.taken_back");
        Ok(())
    }
}

/// The key that was asked for, and when first.
fn request_of(one: &CertificateRecord) -> Option<(scrip_protocol::id::KeyId, UnixSeconds)> {
    match one.state {
        CertificateState::Renewing { key_id, since, .. } => Some((key_id, since)),
        _ => None,
    }
}

/// Where the vendor recorded another key than was asked for, or recorded it before this wallet asked, somebody else with the
/// same seed did that, and may have spent what came of it. Clocks may be a day apart.
fn state_of_new(old: &CertificateRecord, renewal: &Renewal) -> CertificateState {
    let own = request_of(old).is_some_and(|(key_id, since)| {
        key_id == renewal.key_id && renewal.day.0.saturating_add(1) >= since.day().0
    });
    if own { CertificateState::Held } else { CertificateState::InDoubt }
}

/// Whether the vendor renews this certificate now.
pub(super) fn renews(manifest: &Manifest, one: &CertificateRecord, now: UnixSeconds) -> bool {
    manifest.key(&one.key_id).is_some_and(|key| key.windows().renews_at(now))
}

/// The key of the certificate that takes the place of `one`.
fn successor<'a>(
    manifest: &'a Manifest,
    one: &CertificateRecord,
    now: UnixSeconds,
) -> Option<&'a DenominationKey> {
    let old = manifest.key(&one.key_id)?;
    let new = manifest.issuing(old.key_use(), one.exponent, now)?;
    (new.epoch() > old.epoch()).then_some(new)
}

/// Which of the certificates in doubt are renewed.
struct Renewable {
    doubtful: Doubtful,
    /// Those of which the vendor said just now that it knows nothing: what is recorded from here on, this wallet did.
    unrecorded: BTreeSet<PublicKey>,
}

impl Renewable {
    fn although_in_doubt(&self, one: &CertificateRecord) -> bool {
        let wanted = self.doubtful == Doubtful::Spend || cannot_wait(one);
        wanted && self.unrecorded.contains(&one.key)
    }
}

/// Whether it would expire before its doubt can be settled.
fn cannot_wait(one: &CertificateRecord) -> bool {
    one.unrecorded.is_some_and(|first| first.plus(SETTLES_AFTER) >= one.spend_until)
}

/// What the vendor answers only about certificates that are not recorded (renewal.md, "In flight").
fn refusal(error: &WalletError) -> Option<ProblemType> {
    let WalletError::Call { error, .. } = error else { return None };
    let certain = [
        ProblemType::RenewalClosed,
        ProblemType::KeyUnknown,
        ProblemType::KeyOutsideWindow,
        ProblemType::NotFound,
    ];
    certain.into_iter().find(|problem| is(error, *problem))
}
