//! Grants (issuance.md, "Grants"): a purchase becomes the right to have one pack signed.

use scrip_protocol::{
    issuance::{GrantAnswer, GrantRequest, PackEntry},
    seed::GrantSecret,
};

use crate::{
    issuer::Issuer,
    store::{GrantRow, Minted, StoreError, VoucherUse},
    vouchers::VoucherCode,
};

/// Why there is no grant. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// There is no grant of this secret, or no secret was sent.
    #[error("no grant belongs to this secret")]
    GrantUnknown,
    /// There is no such voucher.
    #[error("there is no such voucher")]
    VoucherUnknown,
    /// The code has a typing error.
    #[error("the voucher's code has a typing error")]
    VoucherMistyped,
    /// It was used for another grant.
    #[error("the voucher was used for another grant")]
    VoucherUsed,
    /// Its last day has passed.
    #[error("the voucher has expired")]
    VoucherExpired,
    /// The grant secret belongs to another purchase.
    #[error("the grant secret belongs to another purchase")]
    GrantUsed,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Issuer {
    /// `POST /v1/grants`: the checks from the fourth on.
    ///
    /// # Errors
    /// [`GrantError`].
    pub async fn grant(
        &self,
        secret: &GrantSecret,
        request: &GrantRequest,
    ) -> Result<GrantAnswer, GrantError> {
        let GrantRequest::Voucher { code } = request;
        let code: VoucherCode = code.parse().map_err(|_| GrantError::VoucherMistyped)?;
        let (code_hash, grant_id) = (code.hash(), secret.grant_id());
        self.inner.steps.at("issuer.grant.before");
        let used =
            self.inner.store.use_voucher(&code_hash, &grant_id, self.inner.clock.today()).await?;
        self.inner.steps.at("issuer.grant.after");
        match used {
            VoucherUse::Granted(grant) => Ok(answer(&grant)),
            VoucherUse::Unknown => Err(GrantError::VoucherUnknown),
            VoucherUse::Used => Err(GrantError::VoucherUsed),
            VoucherUse::Expired => Err(GrantError::VoucherExpired),
            VoucherUse::GrantUsed => Err(GrantError::GrantUsed),
        }
    }

    /// `GET /v1/grants`.
    ///
    /// # Errors
    /// [`GrantError`].
    pub async fn show_grant(&self, secret: &GrantSecret) -> Result<GrantAnswer, GrantError> {
        let grant = self.inner.store.grant(&secret.grant_id()).await?;
        grant.as_ref().map(answer).ok_or(GrantError::GrantUnknown)
    }
}

fn answer(grant: &GrantRow) -> GrantAnswer {
    let entry = |(exponent, count)| PackEntry { exponent, count };
    GrantAnswer {
        product: grant.product.clone(),
        pack: grant.pack.entries().map(entry).collect(),
        credits: grant.pack.credits(),
        minted: grant.minted != Minted::Nothing,
    }
}
