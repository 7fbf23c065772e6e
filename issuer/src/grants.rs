//! What a wallet can see of a grant (issuance.md, "Grants").

use scrip_protocol::{
    issuance::{GrantAnswer, Rest},
    seed::GrantSecret,
};

use crate::{
    issuer::Issuer,
    store::{GrantRow, Minted, StoreError},
};

/// Why no grant is shown.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// There is no grant of this secret, or no secret was sent.
    #[error("no grant belongs to this secret")]
    Unknown,
    /// There is an order, which is not paid yet.
    #[error("the order of this secret is not paid yet")]
    Pending,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Issuer {
    /// `GET /v1/grants`.
    ///
    /// # Errors
    /// [`GrantError`].
    pub async fn show_grant(&self, secret: &GrantSecret) -> Result<GrantAnswer, GrantError> {
        let grant_id = secret.grant_id();
        if let Some(grant) = self.inner.store.grant(&grant_id).await? {
            return Ok(answer(&grant));
        }
        let order = self.inner.store.order_of(&grant_id).await?;
        Err(if order.is_some() { GrantError::Pending } else { GrantError::Unknown })
    }
}

pub(crate) fn answer(grant: &GrantRow) -> GrantAnswer {
    GrantAnswer {
        product: grant.product.clone(),
        pack: grant.pack.clone(),
        credits: grant.pack.credits(),
        minted: grant.minted != Minted::Nothing,
        test: grant.test,
        rest: grant
            .rest
            .as_ref()
            .filter(|_| !grant.cancelled)
            .map(|(pack, from)| Rest { credits: pack.credits(), from: *from }),
    }
}
