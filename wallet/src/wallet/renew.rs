//! Renewals (renewal.md): certificates that expire soon for new ones, one to one.
//!
//! Which certificate is exchanged, and under which key, is on disk before anything is sent; with the seed that is the request. Until
//! there is a definite answer the old one is not spent, and the same bytes are sent again. Definite is the new certificate, and what the
//! vendor signed: that the old one was spent, or that it refuses this renewal for ever, so that it is never asked for again. Each goes in a request of its own, over a
//! connection of its own, at a moment of its own within its window ([`super::tend`]): what comes together is known to belong
//! together, and connections hide nothing from a clock.

use std::{collections::BTreeSet, sync::Arc};

use scrip_protocol::{
    credits::{Credits, Exponent},
    id::{KeyId, VendorId},
    issuance::Blinding,
    keys::PublicKey,
    manifest::{DenominationKey, Manifest},
    problem::ProblemType,
    redemption::ConflictProof,
    renewal::{Renewal, RenewalItem, RenewalRefusal, RenewalResult, SignedRenewalSpent},
    spend::SpendKind,
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use serde::{Serialize, Serializer};

use super::{Doubtful, Wallet, adopt::Heir, apart, voided::SETTLES_AFTER};
use crate::{
    error::WalletError,
    net::CallError,
    records::{Answer, AnsweredRecord, Blob, CertificateRecord, CertificateState},
    store::Changes,
};

/// How often other keys are chosen, where the vendor's windows move meanwhile.
const ROUNDS: usize = 3;
/// Seconds before its end from which on a certificate is not kept waiting for a moment of its own: what is lost then is money.
pub(super) const LAST: u64 = 5 * SECONDS_PER_DAY;

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
    under: KeyId,
    item: RenewalItem,
}

/// Which certificates are exchanged.
#[derive(Clone, Copy)]
enum Which {
    /// All whose window is open.
    All,
    /// This one.
    One(PublicKey),
    /// Those that were begun by this wallet.
    Begun,
}

impl Which {
    fn has(self, one: &CertificateRecord) -> bool {
        match self {
            Self::All => true,
            Self::One(key) => one.key == key,
            Self::Begun => !one.listed,
        }
    }
}

impl Wallet {
    /// Exchanges every certificate whose renewal window is open, now and one after the other, and finishes exchanges that were begun.
    /// The vendor sees that they belong together; [`Wallet::tend`] does it one by one. Certificates in doubt are exchanged only where
    /// `doubtful` says so or they would expire before the doubt ends: a relay that was paid with one and has not redeemed it
    /// would lose.
    ///
    /// # Errors
    /// [`WalletError`] where nothing could be tried; what failed after that is in the answer.
    pub async fn renew(&self, doubtful: Doubtful) -> Result<Renewed, WalletError> {
        let _one_at_a_time = self.renewing.lock().await;
        let manifest = Arc::new(self.known_manifest().await?);
        let mut renewed = Renewed::default();
        self.finish_renewals(&manifest, Which::All, &mut renewed).await?;
        if self.is_any_in_window(&manifest).await {
            self.exchange(Which::All, doubtful, &mut renewed).await?;
        }
        Ok(renewed)
    }

    /// Exchanges one certificate, and with it those that would expire otherwise.
    ///
    /// # Errors
    /// As [`Wallet::renew`].
    pub(super) async fn renew_one(&self, key: PublicKey) -> Result<Renewed, WalletError> {
        let due = self.renewable(Doubtful::Keep).await?;
        let urgent: Vec<PublicKey> =
            due.iter().filter(|one| self.is_urgent(one)).map(|one| one.key).collect();
        let _one_at_a_time = self.renewing.lock().await;
        let manifest = Arc::new(self.known_manifest().await?);
        let mut renewed = Renewed::default();
        for key in std::iter::once(key).chain(urgent.into_iter().filter(|one| *one != key)) {
            let which = Which::One(key);
            self.finish_renewals(&manifest, which, &mut renewed).await?;
            self.exchange(which, Doubtful::Keep, &mut renewed).await?;
        }
        Ok(renewed)
    }

    /// Sends again what was begun and has no definite answer.
    ///
    /// # Errors
    /// As [`Wallet::renew`].
    pub(super) async fn resume_renewals(&self) -> Result<Option<Renewed>, WalletError> {
        let _one_at_a_time = self.renewing.lock().await;
        let begun = |one: &CertificateRecord| request_of(one).is_some() && !one.listed;
        if !self.purse.lock().await.all().any(begun) {
            return Ok(None);
        }
        let manifest = Arc::new(self.known_manifest().await?);
        let mut renewed = Renewed::default();
        self.finish_renewals(&manifest, Which::Begun, &mut renewed).await?;
        Ok(Some(renewed))
    }

    /// What is to be exchanged, by the manifest that the wallet has.
    pub(super) async fn renewable(
        &self,
        doubtful: Doubtful,
    ) -> Result<Vec<CertificateRecord>, WalletError> {
        let manifest = match self.known_manifest().await {
            Ok(manifest) => manifest,
            Err(WalletError::NoManifest) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let now = self.now();
        let refused = self.refused_renewals().await?;
        let purse = self.purse.lock().await;
        let free = |one: &CertificateRecord| {
            renews(&manifest, one, now)
                && successor(&manifest, one, now)
                    .is_none_or(|key| !refused.contains(&(one.key, key.id())))
        };
        let open = |one: &&CertificateRecord| match one.state {
            CertificateState::Renewing { .. } => true,
            CertificateState::Held => free(one),
            CertificateState::InDoubt => free(one) && although_in_doubt(one, doubtful, now),
            _ => false,
        };
        Ok(purse.all().filter(open).cloned().collect())
    }

    /// The certificates that were refused under some key, with that key. Nothing else than what was refused can be asked for under it.
    async fn refused_renewals(&self) -> Result<BTreeSet<(PublicKey, KeyId)>, WalletError> {
        let answered = self.store.all::<AnsweredRecord>().await?;
        let refused = answered.iter().filter(|one| one.is_refused());
        Ok(refused.map(|one| (one.key, one.under)).collect())
    }

    /// Whether a certificate is not kept waiting any more.
    fn is_urgent(&self, one: &CertificateRecord) -> bool {
        let now = self.now();
        one.spend_until.minus(LAST) <= now && now < one.spend_until
    }

    /// Below `bound`, which is not 0.
    pub(super) fn random_below(&self, bound: u64) -> u64 {
        u64::from_be_bytes(self.environment.entropy.bytes()) % bound
    }

    /// Exchanges what can be, under keys of a manifest on which operators agree: keys that only this wallet is given would mark what
    /// is renewed under them, as what is bought.
    async fn exchange(
        &self,
        which: Which,
        doubtful: Doubtful,
        renewed: &mut Renewed,
    ) -> Result<(), WalletError> {
        let manifest = match self.manifest_to_buy_under().await {
            Ok(agreed) => Arc::new(agreed),
            Err(error @ WalletError::Store(_)) => return Err(error),
            Err(error) => {
                renewed.errors.push(error);
                return Ok(());
            }
        };
        let mut without_key = BTreeSet::new();
        for _ in 0..ROUNDS {
            without_key.clear();
            let choice = Choice { which, doubtful };
            if !self.begin_renewals(&manifest, choice, renewed, &mut without_key).await? {
                break;
            }
            self.finish_renewals(&manifest, which, renewed).await?;
        }
        renewed.errors.extend(without_key.into_iter().map(WalletError::NoIssuingKey));
        Ok(())
    }

    async fn is_any_in_window(&self, manifest: &Manifest) -> bool {
        let now = self.now();
        let purse = self.purse.lock().await;
        let free = |one: &&CertificateRecord| {
            matches!(one.state, CertificateState::Held | CertificateState::InDoubt)
        };
        purse.all().filter(free).any(|one| renews(manifest, one, now))
    }

    /// Puts on disk which certificates are to be exchanged; whether there are any.
    async fn begin_renewals(
        &self,
        manifest: &Manifest,
        choice: Choice,
        renewed: &mut Renewed,
        without_key: &mut BTreeSet<Exponent>,
    ) -> Result<bool, WalletError> {
        let now = self.now();
        let refused = self.refused_renewals().await?;
        let purse = self.lock_purse().await;
        let mut changed = Vec::new();
        renewed.waiting = Credits::ZERO;
        let chosen = purse.all().filter(|one| choice.which.has(one) && renews(manifest, one, now));
        for one in chosen {
            let is_doubtful = match one.state {
                CertificateState::Held => false,
                CertificateState::InDoubt if although_in_doubt(one, choice.doubtful, now) => true,
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
            if refused.contains(&(one.key, key.id())) {
                continue;
            }
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

    /// Sends what is recorded, each by itself, in random order.
    async fn finish_renewals(
        &self,
        manifest: &Arc<Manifest>,
        which: Which,
        renewed: &mut Renewed,
    ) -> Result<(), WalletError> {
        let under_way: Vec<CertificateRecord> = {
            let purse = self.purse.lock().await;
            let open = |one: &&CertificateRecord| request_of(one).is_some() && which.has(one);
            purse.all().filter(open).cloned().collect()
        };
        for one in self.shuffled(under_way) {
            self.finish_renewal(manifest, &one, renewed).await?;
        }
        Ok(())
    }

    /// Sends one; where it is refused for ever, its certificate is what it was before.
    async fn finish_renewal(
        &self,
        manifest: &Arc<Manifest>,
        old: &CertificateRecord,
        renewed: &mut Renewed,
    ) -> Result<(), WalletError> {
        match self.send_renewal(manifest, old).await {
            Ok(Some(_)) => {
                renewed.certificates += 1;
                renewed.renewed = Credits::total([renewed.renewed, old.value()]);
            }
            Ok(None) => {
                renewed.spent_elsewhere = Credits::total([renewed.spent_elsewhere, old.value()]);
            }
            Err(error @ (WalletError::Store(_) | WalletError::ShuttingDown)) => return Err(error),
            Err(error) => {
                let is_refused = matches!(error, WalletError::RenewalRefused { .. });
                // The list and the refusal contradict each other. The certificate stays in doubt, and is not asked for again.
                if is_refused && old.listed {
                    renewed.errors.push(WalletError::DeniedRenewal(Box::new(error)));
                    return Ok(());
                }
                // Other keys are chosen in the next round; that is no failure.
                if !is_refused || error.problem() != Some(ProblemType::KeyOutsideWindow) {
                    renewed.errors.push(error);
                }
            }
        }
        Ok(())
    }

    /// Sends a recorded renewal and settles its answer: the new certificate, or `None` where the old one was spent.
    pub(super) async fn send_renewal(
        &self,
        manifest: &Arc<Manifest>,
        old: &CertificateRecord,
    ) -> Result<Option<CertificateRecord>, WalletError> {
        let sent = self.renewal_item(manifest, old).await?;
        let client = self.network().await.vendor(&self.vendor)?;
        self.at("wallet.renewal.before_send");
        let answer = client.renew(&sent.item).await;
        self.at("wallet.renewal.after_answer");
        let settled = match answer {
            Ok(answer) => self.settle_renewal(manifest, sent, answer).await?,
            Err(error) => return Err(self.settle_refusal(manifest, sent, error).await?),
        };
        self.at("wallet.renewal.settled");
        Ok(settled)
    }

    /// The same record gives the same item, to the byte.
    async fn renewal_item(
        &self,
        manifest: &Arc<Manifest>,
        old: &CertificateRecord,
    ) -> Result<Sent, WalletError> {
        let under = request_of(old).ok_or(WalletError::OtherAnswer)?;
        let certificate = self.certificate(old)?;
        let (seed, manifest, counter) = (self.seed.clone(), manifest.clone(), old.counter());
        let blinded = apart(move || {
            let key = manifest.key(&under).ok_or(WalletError::OtherAnswer)?;
            let blinding = Blinding::start(&seed, &manifest, key, counter)?;
            Ok::<_, WalletError>(blinding.item().clone())
        });
        let item = certificate.renew(&self.vendor.id, &blinded.await??);
        Ok(Sent { old: old.clone(), under, item })
    }

    /// What an answer that is none leaves: renewing → as before, where the vendor signed that it refuses this renewal for ever. Anything
    /// else changes nothing, whatever it says: the vendor could still take what it has.
    async fn settle_refusal(
        &self,
        manifest: &Manifest,
        sent: Sent,
        error: CallError,
    ) -> Result<WalletError, WalletError> {
        let asked = sent.item.identity(&self.vendor.id);
        let promise =
            |problem| RenewalRefusal::of(problem, manifest.receipt_keys(), &self.vendor.id, &asked);
        let Some((_, refusal)) = error.problem().and_then(promise) else {
            return Ok(WalletError::RenewalOpen { error });
        };
        let answer = Answer::Refused { refusal: Blob(refusal), used: None };
        self.take_back(&sent.old, self.answered(&sent, answer)).await?;
        Ok(WalletError::RenewalRefused { error })
    }

    fn answered(&self, sent: &Sent, answer: Answer) -> AnsweredRecord {
        AnsweredRecord {
            binding: sent.item.binding(&self.vendor.id),
            key: sent.old.key,
            under: sent.under,
            item: Blob(sent.item.encode()),
            at: self.now(),
            answer,
        }
    }

    /// Renewing → renewed, with the new certificate; or → spent elsewhere, `None`.
    async fn settle_renewal(
        &self,
        manifest: &Arc<Manifest>,
        sent: Sent,
        result: RenewalResult,
    ) -> Result<Option<CertificateRecord>, WalletError> {
        match result {
            RenewalResult::Renewed(renewal) => {
                let old = sent.old;
                let shown = shown_by(&self.vendor.id, &old, &renewal);
                let heir = self.derive_heir(manifest, &old, renewal, state_of_new(&old)).await?;
                // It may be one that was refused before.
                self.catch(&shown).await?;
                match heir {
                    Heir::Own(new) => {
                        self.hand_over(&old, (*new).clone()).await?;
                        Ok(Some(*new))
                    }
                    Heir::Foreign => self.write_off(&old, None, None).await.map(|()| None),
                }
            }
            RenewalResult::Spent(signed) => {
                let proof = self.check_spent(manifest, &sent.item, &signed)?;
                self.catch(&proof).await?;
                let answer = Answer::Spent { spent: Blob(signed.encode()) };
                let answered = self.answered(&sent, answer);
                let proof = Some(Blob(proof.encode()));
                self.write_off(&sent.old, proof, Some(answered)).await.map(|()| None)
            }
        }
    }

    /// The proof that a certificate was spent, if the vendor signed it as the answer to this renewal, with a place in a tree of its own.
    fn check_spent(
        &self,
        manifest: &Manifest,
        item: &RenewalItem,
        signed: &SignedRenewalSpent,
    ) -> Result<ConflictProof, WalletError> {
        let other = |_| WalletError::OtherAnswer;
        let spent = signed.verify(manifest.receipt_keys()).map_err(other)?;
        let asked = item.identity(&self.vendor.id);
        if spent.vendor_id != self.vendor.id || spent.asked() != asked {
            return Err(WalletError::OtherAnswer);
        }
        spent.checkpoint(manifest.receipt_keys()).map_err(other)?;
        let proven = spent.proof.verify(&asked.certificate_key, &asked.binding);
        proven.map_err(|_| WalletError::OtherAnswer)?;
        Ok(spent.proof)
    }

    /// Renewing → as before, with the vendor's promise that it never takes what it was asked for.
    async fn take_back(
        &self,
        one: &CertificateRecord,
        answered: AnsweredRecord,
    ) -> Result<(), WalletError> {
        let purse = self.lock_purse().await;
        let Some(found) = purse.get(&one.key) else { return Ok(()) };
        let state = match found.state {
            CertificateState::Renewing { doubtful: true, .. } => CertificateState::InDoubt,
            CertificateState::Renewing { doubtful: false, .. } => CertificateState::Held,
            _ => return Ok(()),
        };
        let changed = CertificateRecord { state, ..found.clone() };
        let changes = Changes::default().put(&changed).put(&answered);
        self.commit_purse(purse, changes, vec![changed]).await?;
        self.at("wallet.renewal.taken_back");
        Ok(())
    }

    /// In random order, so that the vendor learns nothing from the order of the wallet's file.
    pub(super) fn shuffled<T>(&self, items: Vec<T>) -> Vec<T> {
        let tag = |one| (self.environment.entropy.bytes::<16>(), one);
        let mut tagged: Vec<([u8; 16], T)> = items.into_iter().map(tag).collect();
        tagged.sort_by_key(|(tag, _)| *tag);
        tagged.into_iter().map(|(_, one)| one).collect()
    }
}

/// Which certificates are exchanged, and whether those in doubt are.
#[derive(Clone, Copy)]
struct Choice {
    which: Which,
    doubtful: Doubtful,
}

/// The key that was asked for.
fn request_of(one: &CertificateRecord) -> Option<KeyId> {
    match one.state {
        CertificateState::Renewing { key_id, .. } => Some(key_id),
        _ => None,
    }
}

/// Where the old one was in doubt, an earlier life of this wallet may have had it renewed, and may have spent what came of it. Else
/// this wallet has asked for it, whatever the vendor says: nothing in the answer decides that.
const fn state_of_new(old: &CertificateRecord) -> CertificateState {
    match old.state {
        CertificateState::Renewing { doubtful: true, .. } => CertificateState::InDoubt,
        _ => CertificateState::Held,
    }
}

/// Whether the vendor renews this certificate now.
fn renews(manifest: &Manifest, one: &CertificateRecord, now: UnixSeconds) -> bool {
    manifest.key(&one.key_id).is_some_and(|key| key.windows().renews_at(now))
}

/// The key of the certificate that takes the place of `one`.
pub(super) fn successor<'a>(
    manifest: &'a Manifest,
    one: &CertificateRecord,
    now: UnixSeconds,
) -> Option<&'a DenominationKey> {
    let old = manifest.key(&one.key_id)?;
    let new = manifest.issuing(old.key_use(), one.exponent, now)?;
    (new.epoch() > old.epoch()).then_some(new)
}

/// Whether a certificate in doubt is exchanged all the same: because the user says so, or because it would expire before its doubt can
/// be settled.
fn although_in_doubt(one: &CertificateRecord, doubtful: Doubtful, now: UnixSeconds) -> bool {
    let first = one.looked.map_or(now, scrip_protocol::time::Day::start);
    !one.listed && (doubtful == Doubtful::Spend || first.plus(SETTLES_AFTER) >= one.spend_until)
}

/// The renewal that an answer shows, as a use of the old certificate.
fn shown_by(vendor: &VendorId, old: &CertificateRecord, renewal: &Renewal) -> ConflictProof {
    ConflictProof {
        certificate_key: old.key,
        kind: SpendKind::Renewal,
        other_binding: renewal.binding(vendor, &old.key_id),
        other_signature: renewal.signature,
    }
}
