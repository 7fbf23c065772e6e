//! Redemption (redemption.md): checks a batch, lets the database decide, and signs what it decided.

use std::sync::Arc;

use scrip_protocol::{
    check::{Rejection, Spend, check_batch},
    id::{OperatorId, VendorId},
    manifest::{DenominationKey, Manifest},
    redemption::{
        InvalidReason, ItemResult, RedemptionBatch, RedemptionItem, RedemptionOutcome, SignedBatch,
        Winner,
    },
    spend::SpendKind,
    time::{Day, UnixSeconds},
};
use scrip_runtime::{plausible::Reading, random::RngFactory};

use crate::{
    issuer::Issuer,
    ledger::NotPlaced,
    random::random_number,
    ring::Ring,
    store::{BatchRecord, DecidedItem, Decision, EvidenceRow, SpendRecord, StoreError},
};

/// Why a batch as a whole was refused. Nothing was changed, and it says nothing about any certificate.
#[derive(Debug, thiserror::Error)]
pub enum RedemptionError {
    /// It is for another vendor.
    #[error("the batch is for another vendor")]
    WrongVendor,
    /// The operator is not under contract.
    #[error("the operator is not under contract")]
    OperatorUnknown,
    /// It is not signed by its operator.
    #[error("the batch is not signed by its operator")]
    SignatureInvalid,
    /// The check was interrupted by the shutdown.
    #[error("the server is shutting down")]
    Interrupted,
    /// Whether a certificate is past depends on which clock is right. Nothing final is signed then: it is decided later.
    #[error("the clock is in doubt, and with it whether a certificate can still be redeemed")]
    ClockInDoubt,
    /// It was decided, and is not in the ledger yet. The same batch gets the answer later.
    #[error(transparent)]
    NotPlaced(#[from] NotPlaced),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Issuer {
    /// `POST /v1/redemptions`, from the third check on: the signed outcome.
    ///
    /// # Errors
    /// [`RedemptionError`].
    pub async fn redeem(&self, signed: SignedBatch) -> Result<Vec<u8>, RedemptionError> {
        if signed.vendor_id() != self.vendor_id() {
            return Err(RedemptionError::WrongVendor);
        }
        let operator = self.inner.store.operator(&signed.operator_id()).await?;
        let operator = operator.ok_or(RedemptionError::OperatorUnknown)?;
        let digest = signed.digest();
        let batch = signed.verify(&operator.key).map_err(|_| RedemptionError::SignatureInvalid)?;
        // One moment for all. What is signed and recorded for good is dated by the believed time.
        let reading = self.inner.believed.read();
        let (now, today) = (reading.wall, reading.believed.day());
        // Also for a day that is not in the key's windows: a newer manifest may let them begin earlier.
        let knows = |ring: &Ring| {
            let known = |item: &RedemptionItem| {
                let key = ring.manifest.key(&item.token.key_id);
                key.is_some_and(|key| day_is_possible(key, item.day))
            };
            batch.items.iter().all(known)
        };
        let ring = self.ring_that(knows).await;
        if batch.items.iter().any(|item| is_undecided(&ring.manifest, item, &reading)) {
            return Err(RedemptionError::ClockInDoubt);
        }
        let items = self.check_batch_items(&ring, batch, now).await?;
        let record = BatchRecord {
            number: random_number(&self.inner.rng),
            digest,
            operator: operator.number,
            day: today,
            manifest_version: ring.manifest.version(),
            items,
            in_line: self.inner.config.ledger.is_on(),
        };
        self.inner.steps.at("issuer.redemption.before_commit");
        let decided = self.inner.store.record_batch(&record, &self.inner.steps).await?;
        self.inner.steps.at("issuer.redemption.after_commit");
        let fresh = decided.number == record.number;
        let mut results: Vec<_> =
            decided.results.into_iter().zip(record.items.iter().map(name)).collect();
        let ready = (fresh && record.in_line)
            .then(|| self.inner.ledger.fresh.lay(record.number, evidence(&record, &results)));
        let places = self.placed(decided.number, fresh, &results).await?;
        drop(ready);
        for (at, leaf) in &places.winners {
            if let ItemResult::DoubleSpent(spend) = &mut results[*at].0 {
                spend.winner = Winner::Leaf(*leaf);
            }
        }
        // Their records are not kept any more, so that they are answered like others of their epoch. They were credited in a batch
        // that was answered. That holds today, and did not when the batch was decided.
        for at in &places.gone {
            results[*at].0 = ItemResult::Expired;
        }
        // The version goes with the day: that an older one still stood today would be untrue.
        let (day, manifest_version) = match places.gone.is_empty() {
            true => (decided.day, decided.manifest_version),
            false => (today, decided.manifest_version.max(ring.manifest.version())),
        };
        self.vouch(&places.checkpoint).await.map_err(NotPlaced::Ledger)?;
        // Ed25519 is deterministic: a repeated batch gets the same results, leaves and checkpoint, and so the same bytes.
        let outcome = RedemptionOutcome {
            vendor_id: self.vendor_id(),
            operator_id: operator.id,
            batch_digest: digest,
            day,
            manifest_version,
            results: results.into_iter().map(|(result, _)| result).collect(),
            leaves: places.leaves,
            checkpoint: places.checkpoint,
        };
        Ok(outcome.sign(&ring.receipt.newest))
    }

    /// The checks of each item that need no database, away from the async runtime: a full batch takes some 35 ms.
    async fn check_batch_items(
        &self,
        ring: &Ring,
        batch: RedemptionBatch,
        now: UnixSeconds,
    ) -> Result<Vec<Decision>, RedemptionError> {
        let _permit =
            self.inner.checks.acquire().await.map_err(|_| RedemptionError::Interrupted)?;
        let (manifest, rng) = (ring.manifest.clone(), self.inner.rng.clone());
        tokio::task::spawn_blocking(move || check(&manifest, batch, now, &rng))
            .await
            .map_err(|_| RedemptionError::Interrupted)
    }
}

/// What was recorded of the accepted items, as the database has it.
pub(crate) fn evidence(record: &BatchRecord, results: &[DecidedItem]) -> Vec<EvidenceRow> {
    let items = (0_u16..).zip(&record.items).zip(results);
    let accepted = items.filter_map(|((position, decision), (result, _))| match decision {
        Decision::Spend(spend) if *result == ItemResult::Accepted => {
            Some(EvidenceRow { position, item: spend.item.clone() })
        }
        Decision::Spend(_) | Decision::Unknown(_) => None,
    });
    accepted.collect()
}

/// What an item is recorded under.
fn name(decision: &Decision) -> Option<(u32, [u8; 32])> {
    match decision {
        Decision::Spend(spend) => Some((spend.epoch, spend.item.token.nonce)),
        Decision::Unknown(_) => None,
    }
}

fn check(
    manifest: &Arc<Manifest>,
    batch: RedemptionBatch,
    now: UnixSeconds,
    rng: &RngFactory,
) -> Vec<Decision> {
    let (vendor, operator) = (batch.vendor_id, batch.operator_id);
    let mut decisions: Vec<Decision> = batch
        .items
        .into_iter()
        .map(|item| check_against_manifest(manifest, item, &vendor, &operator, now))
        .collect();
    check_signatures(manifest, &mut decisions, rng);
    decisions
}

/// Challenge, key, window and day.
fn check_against_manifest(
    manifest: &Manifest,
    item: RedemptionItem,
    vendor: &VendorId,
    operator: &OperatorId,
    now: UnixSeconds,
) -> Decision {
    if item.token.challenge_digest != *manifest.challenge_digest() {
        return Decision::Unknown(InvalidReason::Challenge);
    }
    let Some(key) = manifest.key(&item.token.key_id) else {
        return Decision::Unknown(InvalidReason::Key);
    };
    Decision::Spend(SpendRecord {
        epoch: key.epoch(),
        exponent: key.exponent(),
        binding: item.binding(vendor, operator),
        expired: !key.windows().redeems_at(now),
        invalid: (!day_is_possible(key, item.day)).then_some(InvalidReason::Day),
        item,
    })
}

/// Whether a certificate is past by the clock and not by the believed time, or the reverse. `expired` is signed and final, and a
/// credit after the end of an epoch would be a flaw of the ledger for ever.
fn is_undecided(manifest: &Manifest, item: &RedemptionItem, now: &Reading) -> bool {
    let key = manifest.key(&item.token.key_id);
    key.is_some_and(|key| {
        key.windows().redeems_at(now.wall) != key.windows().redeems_at(now.believed)
    })
}

/// From the day before the key first issued to the day after its certificates could last be spent: wallets' clocks
/// may be a day off.
fn day_is_possible(key: &DenominationKey, day: Day) -> bool {
    let first = key.windows().issue_from.day().0.saturating_sub(1);
    let last = key.windows().spend_until.day().0.saturating_add(1);
    (first..=last).contains(&day.0)
}

/// The certificate key, the RSA signature and the Ed25519 signature of every spend that no earlier check refused.
fn check_signatures(manifest: &Manifest, decisions: &mut [Decision], rng: &RngFactory) {
    let mut open: Vec<&mut SpendRecord> = decisions
        .iter_mut()
        .filter_map(|decision| match decision {
            Decision::Spend(spend) if spend.invalid.is_none() => Some(spend),
            Decision::Spend(_) | Decision::Unknown(_) => None,
        })
        .collect();
    let spends: Vec<Spend<'_>> = open
        .iter()
        .filter_map(|spend| {
            Some(Spend {
                token: &spend.item.token,
                key: manifest.key(&spend.item.token.key_id)?,
                kind: SpendKind::Spend,
                binding: spend.binding,
                signature: &spend.item.signature,
            })
        })
        .collect();
    let mut rng = rng();
    let rejections: Vec<Option<InvalidReason>> = check_batch(&spends, &mut &mut *rng)
        .into_iter()
        .map(|checked| checked.err().map(reason))
        .collect();
    // Every open spend has its key in the manifest, so that the two lists are of one length.
    for (spend, rejection) in open.iter_mut().zip(rejections) {
        spend.invalid = rejection;
    }
}

fn reason(rejection: Rejection) -> InvalidReason {
    match rejection {
        Rejection::CertificateKey => InvalidReason::CertificateKey,
        Rejection::CertificateSignature => InvalidReason::CertificateSignature,
        Rejection::SpendSignature => InvalidReason::SpendSignature,
    }
}
