//! The end of doubt (renewal.md): what the vendor has recorded about certificates that this seed may have spent before.
//!
//! One certificate at a time, over connections of its own, in random order.

use std::{collections::BTreeSet, sync::Arc};

use scrip_protocol::{
    credits::Credits,
    inquiry::{InquiryAnswer, InquiryResult},
    keys::PublicKey,
    limits::REDEEM_WITHIN,
    manifest::Manifest,
    redemption::ConflictProof,
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use serde::{Serialize, Serializer};

use super::{Wallet, adopt::Heir};
use crate::{
    error::WalletError,
    net::CallError,
    records::{Blob, CertificateRecord, CertificateState},
    store::Changes,
};

/// Seconds between two answers that know nothing of a certificate, after which it counts as unspent.
pub(super) const SETTLES_AFTER: u64 = REDEEM_WITHIN + SECONDS_PER_DAY;

/// What the vendor said about certificates in doubt.
#[derive(Debug, Default, Serialize)]
pub struct Inquired {
    /// How many certificates were asked about.
    pub asked: usize,
    /// No longer in doubt: these can be spent.
    pub settled: Credits,
    /// Were spent before the restore, or by a copy of this wallet. Each loss has its proof.
    pub spent: Credits,
    /// Had been renewed; what they became was found.
    pub found: Credits,
    /// Still in doubt.
    pub in_doubt: Credits,
    /// When it makes sense to ask again.
    pub again_at: Option<UnixSeconds>,
    /// What failed, each with its reason.
    #[serde(serialize_with = "messages")]
    pub errors: Vec<WalletError>,
    /// Of which the vendor said just now that it knows nothing.
    #[serde(skip)]
    pub(super) unrecorded: BTreeSet<PublicKey>,
}

fn messages<S: Serializer>(errors: &[WalletError], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(errors.iter().map(ToString::to_string))
}

impl Wallet {
    /// Asks about every certificate that is in doubt. The vendor learns that somebody is in doubt about them.
    ///
    /// # Errors
    /// [`WalletError`] where nothing could be asked; what failed after that is in the answer.
    pub async fn inquire(&self) -> Result<Inquired, WalletError> {
        self.inquire_where(|_, _| true).await
    }

    /// Asks about the certificates in doubt of which `wanted` holds at this time.
    pub(super) async fn inquire_where(
        &self,
        wanted: impl Fn(&CertificateRecord, UnixSeconds) -> bool,
    ) -> Result<Inquired, WalletError> {
        let _one_at_a_time = self.renewing.lock().await;
        let asked_about = self.in_doubt(wanted).await;
        if asked_about.is_empty() {
            return Ok(Inquired::default());
        }
        let manifest = Arc::new(self.known_manifest().await?);
        self.ask_about(asked_about, &manifest).await
    }

    pub(super) async fn in_doubt(
        &self,
        wanted: impl Fn(&CertificateRecord, UnixSeconds) -> bool,
    ) -> Vec<CertificateRecord> {
        let now = self.now();
        let purse = self.purse.lock().await;
        let doubtful = purse.all().filter(|one| one.state == CertificateState::InDoubt);
        doubtful.filter(|one| wanted(one, now)).cloned().collect()
    }

    /// Asks about these, and about what they were renewed into. The caller holds `renewing`.
    pub(super) async fn ask_about(
        &self,
        certificates: Vec<CertificateRecord>,
        manifest: &Arc<Manifest>,
    ) -> Result<Inquired, WalletError> {
        let mut inquired = Inquired::default();
        let mut round = certificates;
        while !round.is_empty() {
            let mut next = Vec::new();
            for one in self.shuffled(round) {
                match self.inquire_about(manifest, &one, &mut inquired).await {
                    Ok(heir) => next.extend(heir),
                    Err(error) if ends_it(&error) => return Err(error),
                    Err(error) => {
                        inquired.errors.push(error);
                        let rest = Credits::total([inquired.in_doubt, one.value()]);
                        inquired.in_doubt = rest;
                    }
                }
            }
            round = next;
        }
        Ok(inquired)
    }

    /// Asks about one certificate and records the answer. Returns what it was renewed into, to be asked about in its turn.
    async fn inquire_about(
        &self,
        manifest: &Arc<Manifest>,
        one: &CertificateRecord,
        inquired: &mut Inquired,
    ) -> Result<Option<CertificateRecord>, WalletError> {
        let inquiry =
            self.certificate(one)?.inquire(&self.vendor.id, self.environment.entropy.bytes());
        let client = self.network().await.vendor(&self.vendor)?;
        self.at("wallet.inquiry.before_send");
        let answer = client.inquire(&inquiry, manifest.receipt_keys()).await;
        self.at("wallet.inquiry.after_answer");
        let answer = answer.map_err(WalletError::call(&self.vendor.authority))?;
        inquired.asked += 1;
        let value = one.value();
        let add = |sum: &mut Credits| *sum = Credits::total([*sum, value]);
        let InquiryAnswer { time, result, .. } = answer;
        let heir = match result {
            InquiryResult::Unrecorded if settles(one, time) => {
                self.end_doubt(one).await?;
                add(&mut inquired.settled);
                None
            }
            InquiryResult::Unrecorded => {
                let first = self.note_unrecorded(one, time).await?;
                inquired.unrecorded.insert(one.key);
                add(&mut inquired.in_doubt);
                let again = first.plus(SETTLES_AFTER);
                inquired.again_at = Some(inquired.again_at.map_or(again, |at| at.max(again)));
                None
            }
            InquiryResult::Expired => {
                self.note_unrecorded(one, time).await?;
                None
            }
            InquiryResult::Spent(proof) => {
                let proven = proof.verify_spend(one.key.as_bytes());
                proven.map_err(|_| WalletError::OtherAnswer)?;
                self.name_redeemer(&proof).await?;
                self.write_off(one, Some(Blob(proof.encode()))).await?;
                add(&mut inquired.spent);
                None
            }
            InquiryResult::Renewed(renewal) => {
                let doubtful = CertificateState::InDoubt;
                match self.derive_heir(manifest, one, renewal, doubtful).await? {
                    Heir::Own(new) => {
                        let is_new = self.hand_over(one, (*new).clone()).await?;
                        add(&mut inquired.found);
                        is_new.then_some(*new)
                    }
                    Heir::Foreign => {
                        self.write_off(one, None).await?;
                        add(&mut inquired.spent);
                        None
                    }
                }
            }
        };
        self.at("wallet.inquiry.stored");
        Ok(heir)
    }

    /// In doubt → held.
    async fn end_doubt(&self, one: &CertificateRecord) -> Result<(), WalletError> {
        self.change_doubtful(one, |one| CertificateRecord {
            state: CertificateState::Held,
            unrecorded: None,
            ..one
        })
        .await
    }

    /// Remembers when the vendor first knew nothing of it, and returns that.
    async fn note_unrecorded(
        &self,
        one: &CertificateRecord,
        time: UnixSeconds,
    ) -> Result<UnixSeconds, WalletError> {
        let first = one.unrecorded.unwrap_or(time);
        if one.unrecorded.is_none() {
            let unrecorded = Some(first);
            self.change_doubtful(one, |one| CertificateRecord { unrecorded, ..one }).await?;
        }
        Ok(first)
    }

    /// Changes the record, unless the certificate was bound to a payment meanwhile.
    async fn change_doubtful(
        &self,
        one: &CertificateRecord,
        change: impl FnOnce(CertificateRecord) -> CertificateRecord,
    ) -> Result<(), WalletError> {
        let purse = self.lock_purse().await;
        let found = purse.get(&one.key).filter(|one| one.state == CertificateState::InDoubt);
        let Some(changed) = found.cloned().map(change) else { return Ok(()) };
        let changes = Changes::default().put(&changed);
        self.commit_purse(purse, changes, vec![changed]).await
    }

    /// A relay that redeemed what this very wallet had paid it, after it had refused the payment, is to blame, and no copy.
    async fn name_redeemer(&self, proof: &ConflictProof) -> Result<(), WalletError> {
        self.catch(proof).await.map(drop)
    }

    /// In random order, so that the vendor learns nothing from the order of the wallet's file.
    pub(super) fn shuffled(&self, certificates: Vec<CertificateRecord>) -> Vec<CertificateRecord> {
        let tag = |one| (self.environment.entropy.bytes::<16>(), one);
        let mut tagged: Vec<([u8; 16], CertificateRecord)> =
            certificates.into_iter().map(tag).collect();
        tagged.sort_by_key(|(tag, _)| *tag);
        tagged.into_iter().map(|(_, one)| one).collect()
    }
}

/// Whether the vendor has known nothing of it for long enough, by its own times.
fn settles(one: &CertificateRecord, time: UnixSeconds) -> bool {
    one.unrecorded.is_some_and(|first| first.plus(SETTLES_AFTER) <= time)
}

/// Whether it makes no sense to go on.
fn ends_it(error: &WalletError) -> bool {
    matches!(
        error,
        WalletError::Store(_)
            | WalletError::Client(_)
            | WalletError::ShuttingDown
            | WalletError::Call { error: CallError::Transport(_), .. }
    )
}
