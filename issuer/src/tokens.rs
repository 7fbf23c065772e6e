//! One token at a time (issuance.md, "One token at a time"; RFC 9578, section 6).

use scrip_protocol::{
    id::GrantId, limits::RSA, manifest::DenominationKey, seed::GrantSecret, token::TokenRequest,
};
use sha2::{Digest, Sha256};

use crate::{
    issuer::Issuer,
    pack::Pack,
    ring::Ring,
    signer::{Job, SignError, in_range},
    store::{Minted, StoreError, TokenTaken},
};

/// Why no token was signed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenIssueError {
    /// There is no grant of this secret, or no secret was sent.
    #[error("no grant belongs to this secret")]
    GrantUnknown,
    /// The grant has none of this denomination left, or was minted as a pack.
    #[error("the grant has none of this denomination left")]
    GrantUsed,
    /// Single tokens are of production keys only, which do not sign a test purchase.
    #[error("single tokens are not of test keys")]
    TestGrant,
    /// No issuing key has this last byte.
    #[error("no key that issues now has this truncated id")]
    KeyUnknown,
    /// The blinded message is not below the key's modulus.
    #[error("the blinded message is out of range")]
    OutOfRange,
    /// Its purchase was refunded before anything was signed.
    #[error("the grant was cancelled")]
    GrantCancelled,
    /// The signer has too much to do.
    #[error("too many signatures are waiting")]
    Overloaded,
    /// The signature was computed wrongly.
    #[error("the signer failed: {0}")]
    Signer(SignError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SignError> for TokenIssueError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::OutOfRange => Self::OutOfRange,
            SignError::Overloaded | SignError::Closed => Self::Overloaded,
            SignError::Fault => Self::Signer(error),
        }
    }
}

impl Issuer {
    /// `POST /v1/token-request`, from the third check on: the `TokenResponse`, which is the blind signature.
    ///
    /// # Errors
    /// [`TokenIssueError`].
    pub async fn issue_token(
        &self,
        secret: Option<&GrantSecret>,
        request: &TokenRequest,
    ) -> Result<Vec<u8>, TokenIssueError> {
        let grant_id = secret.ok_or(TokenIssueError::GrantUnknown)?.grant_id();
        let request_digest: [u8; 32] = Sha256::digest(request.encode()).into();
        let pack = match self.stored_or_rest(&grant_id, &request_digest).await? {
            Ok(answer) => return Ok(answer),
            Err(pack) => pack,
        };
        let (last_byte, now) = (request.truncated_key_id, self.inner.clock.now());
        let ring = self.ring_that(|ring| ring.truncated(last_byte, now).is_some()).await;
        let key = ring.truncated(last_byte, now).ok_or(TokenIssueError::KeyUnknown)?;
        let limit = pack.count(key.exponent());
        if self.inner.store.tokens_taken(&grant_id, key.exponent()).await? >= limit {
            return Err(TokenIssueError::GrantUsed);
        }
        let answer = self.sign_one(&ring, key, &request.blinded_message).await?;
        self.inner.steps.at("issuer.token.before_store");
        let denomination = (key.epoch(), key.exponent());
        let taken = self
            .inner
            .store
            .take_token(&grant_id, &request_digest, denomination, limit, &answer, now.day())
            .await?;
        self.inner.steps.at("issuer.token.after_store");
        match taken {
            TokenTaken::Stored => Ok(answer.to_vec()),
            TokenTaken::Before(before) => Ok(before),
            TokenTaken::GrantUsed => Err(TokenIssueError::GrantUsed),
        }
    }

    /// The stored answer to this very request, or else the grant's pack.
    async fn stored_or_rest(
        &self,
        grant_id: &GrantId,
        request_digest: &[u8; 32],
    ) -> Result<Result<Vec<u8>, Pack>, TokenIssueError> {
        let Some((grant, stored)) =
            self.inner.store.grant_with_token(grant_id, request_digest).await?
        else {
            return Err(TokenIssueError::GrantUnknown);
        };
        match (stored, grant.minted) {
            (Some(answer), _) => Ok(Ok(answer)),
            (None, _) if grant.cancelled => Err(TokenIssueError::GrantCancelled),
            (None, _) if grant.test => Err(TokenIssueError::TestGrant),
            (None, Minted::Nothing | Minted::Tokens) => Ok(Err(grant.pack)),
            (None, Minted::Pack) => Err(TokenIssueError::GrantUsed),
        }
    }

    async fn sign_one(
        &self,
        ring: &Ring,
        key: &DenominationKey,
        message: &[u8; RSA],
    ) -> Result<[u8; RSA], TokenIssueError> {
        if !in_range(message, key.public().modulus()) {
            return Err(TokenIssueError::OutOfRange);
        }
        let private = ring.private(&key.id()).ok_or(TokenIssueError::KeyUnknown)?.clone();
        let signatures =
            self.inner.signer.sign(vec![Job { key: private, message: *message }]).await?;
        signatures.first().copied().ok_or(TokenIssueError::Overloaded)
    }
}
