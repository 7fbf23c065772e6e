//! Purchases: from a voucher to a grant to certificates (issuance.md).

use scrip_protocol::{
    credits::Credits, issuance::GrantAnswer, problem::ProblemType, purchase::GrantRequest,
    seed::GrantSecret, time::UnixSeconds,
};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    net::{CallError, VendorClient},
    records::{Purchase, PurchaseState},
    store::Changes,
};

/// How many indices that somebody else with the same seed has used are skipped.
const MAX_SKIPPED: u32 = 256;

/// A finished purchase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bought {
    /// What the vendor calls the product.
    pub product: String,
    /// What it is worth.
    pub credits: Credits,
    /// How many certificates came of it.
    pub certificates: usize,
    /// When the purchase began.
    pub at: UnixSeconds,
}

impl Wallet {
    /// Buys with a voucher: asks for the grant and has its pack signed.
    ///
    /// # Errors
    /// [`WalletError`]. After all but a definite refusal of the voucher, [`Wallet::resume`] finishes the purchase.
    pub async fn buy(&self, code: &str) -> Result<Bought, WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        let purchases = self.store.all::<Purchase>().await?;
        let same = purchases.iter().find(|purchase| purchase.code.as_deref() == Some(code));
        let purchase = match same.cloned() {
            Some(purchase) if is_open(&purchase) => purchase,
            Some(_) => return Err(WalletError::VoucherUsedHere),
            None => {
                self.refuse_unwitnessed().await?;
                self.begin(&purchases, code).await?
            }
        };
        self.finish_purchase(purchase).await
    }

    /// Finishes every purchase that was begun. What is still open is an item of the second list.
    pub(super) async fn resume_purchases(
        &self,
    ) -> Result<(Vec<Bought>, Vec<WalletError>), WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        let (mut finished, mut open) = (Vec::new(), Vec::new());
        for purchase in self.store.all::<Purchase>().await?.into_iter().filter(is_open) {
            match self.finish_purchase(purchase).await {
                Ok(bought) => finished.push(bought),
                Err(error) => open.push(error),
            }
        }
        Ok((finished, open))
    }

    async fn begin(&self, purchases: &[Purchase], code: &str) -> Result<Purchase, WalletError> {
        let last = purchases.iter().map(|purchase| purchase.grant).max();
        let purchase = Purchase {
            grant: last.map_or(0, |last| last.saturating_add(1)),
            code: Some(code.to_owned()),
            at: self.now(),
            state: PurchaseState::Asked,
        };
        self.store.commit(Changes::default().put(&purchase)).await?;
        self.at("wallet.grant.recorded");
        Ok(purchase)
    }

    /// Takes a purchase from where it stands to its end. The caller holds `buying`.
    pub(super) async fn finish_purchase(
        &self,
        mut purchase: Purchase,
    ) -> Result<Bought, WalletError> {
        let client = self.network().await.vendor(&self.vendor)?;
        if matches!(purchase.state, PurchaseState::Asked) {
            self.ask_for_grant(&client, &mut purchase).await?;
        }
        self.issue(&client, purchase).await.map_err(still_open)
    }

    /// Asked → Granted; or, refused for good, gone.
    async fn ask_for_grant(
        &self,
        client: &VendorClient,
        purchase: &mut Purchase,
    ) -> Result<(), WalletError> {
        // The code is worth money: it goes only to whoever shows a manifest that this vendor signed, and shows everybody.
        self.agreed_manifest(client).await.map_err(still_open)?;
        let code = purchase.code.clone().unwrap_or_default();
        for _ in 0..MAX_SKIPPED {
            let request = GrantRequest::Voucher { code: code.clone() };
            self.at("wallet.grant.before_send");
            let answer = client.create_grant(&self.secret_of(purchase), &request).await;
            self.at("wallet.grant.after_answer");
            match answer {
                Ok(answer) => {
                    purchase.state = PurchaseState::Granted { answer };
                    self.store.commit(Changes::default().put(&*purchase)).await?;
                    self.at("wallet.grant.stored");
                    return Ok(());
                }
                Err(error) if is(&error, ProblemType::GrantUsed) => self.skip(purchase).await?,
                Err(error) => return Err(self.refused(purchase, error).await?),
            }
        }
        Err(WalletError::OtherAnswer)
    }

    /// Another wallet with the same seed has used this index: the purchase goes on under the next one that no purchase of
    /// this wallet has.
    async fn skip(&self, purchase: &mut Purchase) -> Result<(), WalletError> {
        let old = purchase.grant.to_be_bytes();
        let purchases = self.store.all::<Purchase>().await?;
        let last = purchases.iter().map(|one| one.grant).fold(purchase.grant, u32::max);
        purchase.grant = last.saturating_add(1);
        self.store.commit(Changes::default().delete::<Purchase>(&old).put(&*purchase)).await?;
        self.at("wallet.grant.skipped");
        Ok(())
    }

    /// A voucher that the vendor refuses for good leaves nothing behind: its index is free for the next purchase, so that a
    /// restore finds no gap.
    async fn refused(
        &self,
        purchase: &Purchase,
        error: CallError,
    ) -> Result<WalletError, WalletError> {
        let for_good = [
            ProblemType::VoucherUnknown,
            ProblemType::VoucherUsed,
            ProblemType::VoucherExpired,
            ProblemType::Malformed,
            ProblemType::TooLarge,
        ];
        if for_good.iter().any(|problem| is(&error, *problem)) {
            let name = purchase.grant.to_be_bytes();
            self.store.commit(Changes::default().delete::<Purchase>(&name)).await?;
            self.at("wallet.grant.refused");
            return Ok(WalletError::call(&self.vendor.authority)(error));
        }
        Ok(still_open(WalletError::call(&self.vendor.authority)(error)))
    }

    pub(super) fn secret_of(&self, purchase: &Purchase) -> GrantSecret {
        self.seed.grant_secret(&self.vendor.id, purchase.grant)
    }
}

/// A call that failed in the middle of a purchase.
fn still_open(error: WalletError) -> WalletError {
    match error {
        WalletError::Call { server, error } => WalletError::PurchaseOpen { server, error },
        other => other,
    }
}

pub(super) fn is(error: &CallError, problem: ProblemType) -> bool {
    error.problem().is_some_and(|found| found.problem == problem)
}

pub(super) const fn is_open(purchase: &Purchase) -> bool {
    !matches!(purchase.state, PurchaseState::Issued { .. } | PurchaseState::Unusable { .. })
}

pub(super) fn bought(purchase: &Purchase, answer: &GrantAnswer) -> Bought {
    Bought {
        product: answer.product.clone(),
        credits: answer.credits,
        certificates: answer.pack.iter().map(|entry| usize::from(entry.count)).sum(),
        at: purchase.at,
    }
}
