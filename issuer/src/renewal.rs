//! Renewal (renewal.md): a certificate that expires soon for a new one.

use std::sync::Arc;

use scrip_protocol::{
    check::{Rejection, Spend, check_one},
    keys::PublicKey,
    limits::{ISSUE_GRACE, MAX_RENEWAL_REFUSALS},
    manifest::{DenominationKey, Manifest},
    problem::{Problem, ProblemType},
    redemption::ItemResult,
    renewal::{Renewal, RenewalItem, RenewalRefusal, RenewalResult, RenewalSpent},
    spend::{Binding, SpendKind},
    time::{Day, UnixSeconds},
    token::Token,
};
use scrip_runtime::plausible::Reading;

use crate::{
    issuer::Issuer,
    ledger::NotPlaced,
    random::random_number,
    ring::Ring,
    signer::{Job, SignError, raw},
    store::{NewRenewal, Recorded, RecordedSpend, RefusedRenewal, StoreError},
};

/// Why nothing was renewed, or not answered. Nothing was changed, but for what [`RenewalError::Refused`] says.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// A certificate answers another challenge.
    #[error("a certificate answers another challenge than the vendor's")]
    Challenge,
    /// The manifest does not have a key that is named.
    #[error("the manifest has no such key")]
    KeyUnknown,
    /// A certificate or its holder's signature is not valid.
    #[error(transparent)]
    Certificate(#[from] Rejection),
    /// Whether it can be renewed, now or ever, depends on which clock is right.
    #[error("the clock is in doubt, and with it whether a certificate can be renewed")]
    ClockInDoubt,
    /// It is refused for ever, in a document that the vendor signed.
    #[error("it is refused for ever: {}", .0.title)]
    Refused(Box<Problem>),
    /// A window that it needs is not open yet, or its epoch has just ended. The same request may be taken later.
    #[error("it cannot be renewed now: {}", .0.title())]
    NotNow(ProblemType),
    /// It is refused, and nobody promises that it will always be.
    #[error("more than {MAX_RENEWAL_REFUSALS} renewals of the certificate were refused")]
    TooMany(ProblemType),
    /// The signer has too much to do, or the server is shutting down.
    #[error("too many signatures are waiting")]
    Overloaded,
    /// A signature was computed wrongly.
    #[error("the signer failed: {0}")]
    Signer(SignError),
    /// The certificate was spent, and where that lies in the ledger is not known yet. The same request gets the answer later.
    #[error(transparent)]
    NotPlaced(#[from] NotPlaced),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SignError> for RenewalError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::OutOfRange => Self::NotNow(ProblemType::BlindedMessageOutOfRange),
            SignError::Overloaded | SignError::Closed => Self::Overloaded,
            SignError::Fault => Self::Signer(error),
        }
    }
}

/// An unrecorded item that passed its checks.
struct Checked<'a> {
    item: &'a RenewalItem,
    old: &'a DenominationKey,
    new: &'a DenominationKey,
    private: Arc<raw::PrivateKey>,
}

/// What is recorded of an item's certificate, and under which name.
type Name = (u32, [u8; 32]);

/// Why an item whose certificate is not recorded is not taken.
enum Unfit {
    /// The same bytes may be taken later.
    NotNow(RenewalError),
    /// They never will be.
    Never(ProblemType),
}

impl Issuer {
    /// `POST /v1/renewals`, from the third check on: the encoded answer.
    ///
    /// # Errors
    /// [`RenewalError`].
    pub async fn renew(&self, item: RenewalItem) -> Result<Vec<u8>, RenewalError> {
        let reading = self.inner.believed.read();
        let now = reading.wall;
        let knows = |ring: &Ring| {
            let old = ring.manifest.key(&item.token.key_id).is_some();
            old && ring.signs(&item.blinded.key_id, now)
        };
        let ring = self.ring_that(knows).await;
        let item = Arc::new(item);
        self.check_signatures(&ring, &item).await?;
        let name = (old_key(&ring.manifest, &item.token)?.epoch(), item.token.nonce);
        let binding = item.binding(&self.vendor_id());
        let recorded = match self.inner.store.recorded(&name, &binding).await? {
            Some(recorded) => recorded,
            None => match check_by_both(&ring, &item, &reading) {
                Ok(checked) => {
                    let recorded = self.sign_and_record(checked).await?;
                    // What was recorded a moment ago was dropped: its epoch ended meanwhile.
                    recorded.ok_or(RenewalError::NotNow(ProblemType::RenewalClosed))?
                }
                Err(Unfit::Never(problem)) => {
                    let day = reading.believed.day();
                    self.refuse(&ring, &name, &binding, problem, day).await?
                }
                Err(Unfit::NotNow(error)) => return Err(error),
            },
        };
        let result = match recorded {
            Recorded::Renewed(renewal) => RenewalResult::Renewed(renewal),
            Recorded::Spent(spend) => self.was_spent(&ring, &item, name, &spend).await?,
            Recorded::Refused(refused) => {
                let refusal = RenewalRefusal {
                    vendor_id: self.vendor_id(),
                    certificate_key: certificate_key(&item.token)?,
                    binding,
                    day: refused.day,
                    manifest_version: refused.manifest_version,
                    problem: refused.problem,
                };
                let document = refusal.problem(&ring.receipt.newest);
                return Err(RenewalError::Refused(Box::new(document)));
            }
        };
        Ok(result.encode())
    }

    /// Puts on disk that this renewal is never taken, before anybody signs that. What is recorded by then.
    async fn refuse(
        &self,
        ring: &Ring,
        name: &Name,
        binding: &Binding,
        problem: ProblemType,
        day: Day,
    ) -> Result<Recorded, RenewalError> {
        let manifest_version = ring.manifest.version();
        let refused = RefusedRenewal { day, manifest_version, problem };
        let (store, steps) = (&self.inner.store, &self.inner.steps);
        steps.at("issuer.renewal.before_refusal");
        let recorded = store.refuse_renewal(name, binding, refused, steps).await?;
        steps.at("issuer.renewal.after_refusal");
        recorded.ok_or(RenewalError::TooMany(problem))
    }

    /// That the certificate was spent, and where in the ledger that is: waits until it can be read there.
    async fn was_spent(
        &self,
        ring: &Ring,
        item: &RenewalItem,
        name: Name,
        spend: &RecordedSpend,
    ) -> Result<RenewalResult, RenewalError> {
        let won = spend.won(certificate_key(&item.token)?);
        let asked = [(ItemResult::DoubleSpent(won), Some(name))];
        let places = self.placed_before(&asked).await?;
        let Some((_, leaf)) = places.winners.first() else {
            // Its record was dropped meanwhile, because its epoch has ended.
            return Err(RenewalError::NotNow(ProblemType::RenewalClosed));
        };
        self.vouch(&places.checkpoint).await.map_err(NotPlaced::Ledger)?;
        let spent = RenewalSpent {
            vendor_id: self.vendor_id(),
            key_id: item.token.key_id,
            binding: item.binding(&self.vendor_id()),
            proof: won.proof(),
            leaf: *leaf,
            checkpoint: places.checkpoint,
        };
        Ok(RenewalResult::Spent(spent.sign(&ring.receipt.newest)))
    }

    /// Checks 3 and 4, away from the async runtime.
    async fn check_signatures(
        &self,
        ring: &Ring,
        item: &Arc<RenewalItem>,
    ) -> Result<(), RenewalError> {
        let permit = self.inner.checks.acquire().await;
        let _permit = permit.map_err(|_| RenewalError::Overloaded)?;
        let (manifest, item) = (ring.manifest.clone(), item.clone());
        tokio::task::spawn_blocking(move || {
            let key = old_key(&manifest, &item.token)?;
            let binding = item.binding(&manifest.vendor_id());
            let (token, signature) = (&item.token, &item.signature);
            let kind = SpendKind::Renewal;
            Ok(check_one(&Spend { token, key, kind, binding, signature })?)
        })
        .await
        .map_err(|_| RenewalError::Overloaded)?
    }

    /// Signs what passed all checks, records it unless something else was recorded meanwhile, and returns what is recorded then.
    async fn sign_and_record(
        &self,
        checked: Checked<'_>,
    ) -> Result<Option<Recorded>, RenewalError> {
        let Checked { item, old, new, private } = checked;
        let job = Job { key: private, message: item.blinded.blinded_message };
        let signatures = self.inner.signer.sign(vec![job]).await?;
        let blind_signature = *signatures.first().ok_or(RenewalError::Overloaded)?;
        let renewal = NewRenewal {
            number: random_number(&self.inner.rng),
            day: self.inner.believed.read().believed.day(),
            token: item.token.clone(),
            epoch: old.epoch(),
            new_epoch: new.epoch(),
            exponent: old.exponent(),
            binding: item.binding(&self.vendor_id()),
            renewal: Renewal {
                key_id: item.blinded.key_id,
                blinded_message: item.blinded.blinded_message,
                blind_signature,
                signature: item.signature,
            },
        };
        self.inner.steps.at("issuer.renewal.before_commit");
        let recorded = self.inner.store.record_renewal(&renewal, &self.inner.steps).await?;
        self.inner.steps.at("issuer.renewal.after_commit");
        Ok(recorded)
    }
}

/// Check 3: the key of a certificate that answers the vendor's challenge.
fn old_key<'a>(manifest: &'a Manifest, token: &Token) -> Result<&'a DenominationKey, RenewalError> {
    if token.challenge_digest != *manifest.challenge_digest() {
        return Err(RenewalError::Challenge);
    }
    manifest.key(&token.key_id).ok_or(RenewalError::KeyUnknown)
}

/// Check 5, by the wall clock and by the believed time: what is signed and final needs both.
fn check_by_both<'a>(
    ring: &'a Ring,
    item: &'a RenewalItem,
    reading: &Reading,
) -> Result<Checked<'a>, Unfit> {
    let (by_wall, by_belief) = (
        check_unrecorded(ring, item, reading.wall),
        check_unrecorded(ring, item, reading.believed),
    );
    match (by_wall, by_belief) {
        (Ok(checked), Ok(_)) => Ok(checked),
        (Err(Unfit::NotNow(error)), Err(Unfit::NotNow(_))) => Err(Unfit::NotNow(error)),
        (Err(Unfit::Never(problem)), Err(Unfit::Never(also))) if problem == also => {
            Err(Unfit::Never(problem))
        }
        _ => Err(Unfit::NotNow(RenewalError::ClockInDoubt)),
    }
}

/// Check 5, of an item whose certificate is not recorded. What a window is still to come for is not refused: nothing would be gained by
/// a promise, and the certificate could not be renewed under that key any more.
fn check_unrecorded<'a>(
    ring: &'a Ring,
    item: &'a RenewalItem,
    now: UnixSeconds,
) -> Result<Checked<'a>, Unfit> {
    let not_now = |problem| Unfit::NotNow(RenewalError::NotNow(problem));
    let old = old_key(&ring.manifest, &item.token).map_err(Unfit::NotNow)?;
    if now >= old.windows().spend_until {
        return Err(Unfit::Never(ProblemType::RenewalClosed));
    }
    if !old.windows().renews_at(now) {
        return Err(not_now(ProblemType::RenewalClosed));
    }
    let new_id = &item.blinded.key_id;
    let unknown = || Unfit::NotNow(RenewalError::KeyUnknown);
    let new = ring.manifest.key(new_id).ok_or_else(unknown)?;
    let windows = new.windows();
    if now >= windows.issue_until.plus(ISSUE_GRACE) || now >= windows.spend_until {
        return Err(Unfit::Never(ProblemType::KeyOutsideWindow));
    }
    if !windows.signs_at(now) {
        return Err(not_now(ProblemType::KeyOutsideWindow));
    }
    let private = ring.private(new_id).ok_or_else(unknown)?.clone();
    let same = new.exponent() == old.exponent() && new.key_use() == old.key_use();
    if !same || new.epoch() <= old.epoch() {
        return Err(Unfit::Never(ProblemType::Malformed));
    }
    if !new.public().contains(&item.blinded.blinded_message) {
        return Err(Unfit::Never(ProblemType::BlindedMessageOutOfRange));
    }
    Ok(Checked { item, old, new, private })
}

fn certificate_key(token: &Token) -> Result<PublicKey, Rejection> {
    Ok(token.certificate_key()?)
}
