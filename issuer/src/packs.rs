//! Issuing a pack (issuance.md, "A pack"): check, sign, store, and only then answer.

use std::{collections::BTreeMap, sync::Arc};

use scrip_protocol::{
    id::GrantId,
    issuance::{BlindedItem, IssuanceAnswer, IssuanceRequest, SignedItem},
    manifest::DenominationKey,
    seed::GrantSecret,
    time::UnixSeconds,
};

use crate::{
    issuer::Issuer,
    ring::Ring,
    signer::{Job, SignError, in_range, raw},
    store::{GrantRow, Minted, StoreError, StoredPack},
};

/// Why no pack was issued. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PackIssueError {
    /// There is no grant of this secret, or no secret was sent.
    #[error("no grant belongs to this secret")]
    GrantUnknown,
    /// The grant was minted with another request, or token by token.
    #[error("the grant was used for another request")]
    GrantUsed,
    /// Nothing was minted as a pack.
    #[error("nothing was issued under this grant as a pack")]
    GrantUnused,
    /// An item names a key that the manifest does not have.
    #[error("the manifest has no such key")]
    KeyUnknown,
    /// A key does not issue now.
    #[error("a key does not issue now")]
    KeyOutsideWindow,
    /// The counts by exponent are not the grant's pack, or test keys are asked for under a grant that is not, or the reverse.
    #[error("the request is not exactly the grant's pack")]
    PackMismatch,
    /// A blinded message is not below the key's modulus.
    #[error("a blinded message is out of range")]
    OutOfRange,
    /// Its purchase was refunded before anything was signed.
    #[error("the grant was cancelled")]
    GrantCancelled,
    /// The signer has too much to do.
    #[error("too many signatures are waiting")]
    Overloaded,
    /// A signature was computed wrongly.
    #[error("the signer failed: {0}")]
    Signer(SignError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SignError> for PackIssueError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::OutOfRange => Self::OutOfRange,
            SignError::Overloaded | SignError::Closed => Self::Overloaded,
            SignError::Fault => Self::Signer(error),
        }
    }
}

/// An item that passed its checks.
struct Checked<'a> {
    item: &'a BlindedItem,
    key: &'a DenominationKey,
    private: Arc<raw::PrivateKey>,
}

impl Issuer {
    /// `POST /v1/issuance`, from the third check on: the encoded answer.
    ///
    /// # Errors
    /// [`PackIssueError`].
    pub async fn issue_pack(
        &self,
        secret: Option<&GrantSecret>,
        request: &IssuanceRequest,
    ) -> Result<Vec<u8>, PackIssueError> {
        let grant_id = secret.ok_or(PackIssueError::GrantUnknown)?.grant_id();
        let request_digest = request.digest();
        let grant = match self.stored_or_pack(&grant_id, &request_digest).await? {
            Ok(answer) => return Ok(answer),
            Err(grant) => grant,
        };
        let now = self.inner.clock.now();
        let signs = |ring: &Ring| request.items.iter().all(|item| ring.signs(&item.key_id, now));
        let ring = self.ring_that(signs).await;
        let checked = check_items(&ring, &grant, request, now)?;
        let answer = self.sign_items(&checked).await?;
        let stored = StoredPack { request_digest, answer };
        self.inner.steps.at("issuer.answer.before_store");
        let counts = counts(&checked);
        let first = self.inner.store.store_pack(&grant_id, &stored, &counts, now.day()).await?;
        self.inner.steps.at("issuer.answer.after_store");
        if first {
            return Ok(stored.answer);
        }
        // A racing request won: what it stored is the answer to both, or this one comes too late.
        self.stored_or_pack(&grant_id, &request_digest).await?.or(Err(PackIssueError::GrantUsed))
    }

    /// `GET /v1/issuance`: the stored answer.
    ///
    /// # Errors
    /// [`PackIssueError`].
    pub async fn issued_pack(&self, secret: &GrantSecret) -> Result<Vec<u8>, PackIssueError> {
        match self.inner.store.grant_with_pack(&secret.grant_id()).await? {
            Some((_, Some(stored))) => Ok(stored.answer),
            Some((_, None)) => Err(PackIssueError::GrantUnused),
            None => Err(PackIssueError::GrantUnknown),
        }
    }

    /// Checks 3 to 5: the stored answer to this very request, or else the grant whose pack may be signed.
    async fn stored_or_pack(
        &self,
        grant_id: &GrantId,
        request_digest: &[u8; 32],
    ) -> Result<Result<Vec<u8>, GrantRow>, PackIssueError> {
        let Some((grant, stored)) = self.inner.store.grant_with_pack(grant_id).await? else {
            return Err(PackIssueError::GrantUnknown);
        };
        match (stored, grant.minted) {
            (Some(stored), _) if stored.request_digest == *request_digest => Ok(Ok(stored.answer)),
            (None, _) if grant.cancelled => Err(PackIssueError::GrantCancelled),
            (None, Minted::Nothing) => Ok(Err(grant)),
            (Some(_), _) | (None, Minted::Pack | Minted::Tokens) => Err(PackIssueError::GrantUsed),
        }
    }

    /// The encoded answer, every signature checked.
    async fn sign_items(&self, checked: &[Checked<'_>]) -> Result<Vec<u8>, PackIssueError> {
        let job = |checked: &Checked<'_>| Job {
            key: checked.private.clone(),
            message: checked.item.blinded_message,
        };
        let signatures = self.inner.signer.sign(checked.iter().map(job).collect()).await?;
        let signed = checked.iter().zip(signatures).map(|(checked, blind_signature)| SignedItem {
            key_id: checked.item.key_id,
            blind_signature,
        });
        Ok(IssuanceAnswer { items: signed.collect() }.encode())
    }
}

/// Checks 6 to 8.
fn check_items<'a>(
    ring: &'a Ring,
    grant: &GrantRow,
    request: &'a IssuanceRequest,
    now: UnixSeconds,
) -> Result<Vec<Checked<'a>>, PackIssueError> {
    let check = |item: &'a BlindedItem| {
        let key = ring.manifest.key(&item.key_id).ok_or(PackIssueError::KeyUnknown)?;
        if !key.windows().signs_at(now) {
            return Err(PackIssueError::KeyOutsideWindow);
        }
        let private = ring.private(&item.key_id).ok_or(PackIssueError::KeyUnknown)?.clone();
        Ok(Checked { item, key, private })
    };
    let checked = request.items.iter().map(check).collect::<Result<Vec<_>, _>>()?;
    let of_use = checked.iter().all(|checked| checked.key.key_use() == grant.key_use());
    if !of_use || !grant.pack.matches(checked.iter().map(|checked| checked.key.exponent())) {
        return Err(PackIssueError::PackMismatch);
    }
    let all_in_range = checked
        .iter()
        .all(|checked| in_range(&checked.item.blinded_message, checked.key.public().modulus()));
    if all_in_range { Ok(checked) } else { Err(PackIssueError::OutOfRange) }
}

/// How many certificates by epoch and exponent, for the books.
fn counts(checked: &[Checked<'_>]) -> Vec<((u32, u8), i64)> {
    let mut counts: BTreeMap<(u32, u8), i64> = BTreeMap::new();
    for checked in checked {
        *counts.entry((checked.key.epoch(), checked.key.exponent().get())).or_default() += 1;
    }
    counts.into_iter().collect()
}
