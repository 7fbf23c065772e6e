//! Purchases: from what was paid to a grant to certificates (purchases.md, issuance.md).

use scrip_protocol::{
    credits::Credits,
    id::decode_base64url,
    issuance::{GrantAnswer, OtherGrant, Wanted},
    manifest::Manifest,
    problem::{Fault, ProblemType},
    purchase::{Allowance, FREE, GrantRequest, OrderId, VoucherText},
    seed::GrantSecret,
    time::UnixSeconds,
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
    /// Whether nobody paid, so that it is worth nothing: a purchase in a store's test environment.
    pub test: bool,
    /// When the purchase began.
    pub at: UnixSeconds,
}

impl Wallet {
    /// Buys with a voucher: asks for the grant and has its pack signed.
    ///
    /// # Errors
    /// [`WalletError`]. After all but a definite refusal of the voucher, [`Wallet::resume`] finishes the purchase.
    pub async fn buy(&self, code: &str) -> Result<Bought, WalletError> {
        self.buy_with(GrantRequest::Voucher { code: code.to_owned() }, None).await
    }

    /// Buys with what proves a purchase. Purchases in app stores are made for an order of this wallet: `order`, or where it is
    /// not given the one that the purchase names, or the only one that is open.
    ///
    /// # Errors
    /// [`WalletError`], as for [`Wallet::buy`].
    pub async fn buy_with(
        &self,
        proof: GrantRequest,
        order: Option<OrderId>,
    ) -> Result<Bought, WalletError> {
        self.buy_times(proof, order, None).await
    }

    /// The same where so many of the product were paid for at once; `None` for what Apple's transaction says, and else one.
    ///
    /// # Errors
    /// [`WalletError`], as for [`Wallet::buy`].
    pub async fn buy_times(
        &self,
        proof: GrantRequest,
        order: Option<OrderId>,
        quantity: Option<u16>,
    ) -> Result<Bought, WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        let purchases = self.store.all::<Purchase>().await?;
        let same = purchases.iter().find(|purchase| purchase.proof.as_ref() == Some(&proof));
        let quantity = quantity.or_else(|| quantity_of(&proof));
        let mut purchase = match same.cloned() {
            Some(purchase) if is_issued(&purchase) => return Err(WalletError::VoucherUsedHere),
            Some(purchase) => once_more(purchase),
            None => {
                if let GrantRequest::Voucher { code } = &proof {
                    check_voucher(code)?;
                }
                self.refuse_hopeless().await?;
                match proof {
                    GrantRequest::Order { order } => ordered(&purchases, Some(order))?,
                    GrantRequest::Apple { ref transaction } => {
                        let order = order.or_else(|| order_of_transaction(transaction));
                        self.paid_with(ordered(&purchases, order)?, proof).await?
                    }
                    GrantRequest::Google { .. } => {
                        self.paid_with(ordered(&purchases, order)?, proof).await?
                    }
                    _ => self.begin(&purchases, Some(proof), None, PurchaseState::Asked).await?,
                }
            }
        };
        if let (Some(quantity), Some(wanted)) = (quantity, &mut purchase.wanted) {
            wanted.quantity = quantity;
            self.store.commit(Changes::default().put(&purchase)).await?;
        }
        self.finish_purchase(purchase).await
    }

    /// Finishes every purchase that was begun. What is still open is an item of the second list.
    pub(super) async fn resume_purchases(
        &self,
    ) -> Result<(Vec<Bought>, Vec<WalletError>), WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        let (mut finished, mut open) = (Vec::new(), Vec::new());
        self.begin_rests().await?;
        for purchase in self.store.all::<Purchase>().await?.into_iter().filter(is_open) {
            match self.finish_purchase(purchase).await {
                Ok(bought) => finished.push(bought),
                Err(error) => open.push(error),
            }
        }
        Ok((finished, open))
    }

    /// Goes on with one open purchase; `None` where it came to an end meanwhile.
    pub(super) async fn go_on_with_purchase(
        &self,
        grant: u32,
    ) -> Result<Option<Bought>, WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        match self.store.get::<Purchase>(&grant.to_be_bytes()).await?.filter(is_open) {
            Some(purchase) => self.finish_purchase(purchase).await.map(Some),
            None => Ok(None),
        }
    }

    /// A new purchase, under the next index.
    pub(super) async fn begin(
        &self,
        purchases: &[Purchase],
        proof: Option<GrantRequest>,
        wanted: Option<Wanted>,
        state: PurchaseState,
    ) -> Result<Purchase, WalletError> {
        let last = purchases.iter().map(|purchase| purchase.grant).max();
        let purchase = Purchase {
            grant: last.map_or(0, |last| last.saturating_add(1)),
            proof,
            order: None,
            wanted,
            at: self.now(),
            state,
        };
        self.store.commit(Changes::default().put(&purchase)).await?;
        self.at("wallet.grant.recorded");
        Ok(purchase)
    }

    /// What an order was paid with.
    async fn paid_with(
        &self,
        mut purchase: Purchase,
        proof: GrantRequest,
    ) -> Result<Purchase, WalletError> {
        purchase.proof = Some(proof);
        self.store.commit(Changes::default().put(&purchase)).await?;
        self.at("wallet.grant.paid");
        Ok(purchase)
    }

    /// Takes a purchase from where it stands to its end. The caller holds `buying`.
    pub(super) async fn finish_purchase(
        &self,
        mut purchase: Purchase,
    ) -> Result<Bought, WalletError> {
        let client = self.network().await.vendor(&self.vendor)?;
        if matches!(purchase.state, PurchaseState::Ordering { .. }) {
            self.ask_for_order(&client, &mut purchase).await?;
        }
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
        // The code is worth money: it is shown to nobody before what it buys can be signed under keys that everybody has.
        let manifest = self.manifest_to_buy_under().await?;
        match wanted(purchase, &manifest) {
            Ok(wanted) => purchase.wanted = wanted,
            Err(error) => {
                // Nothing was shown to anybody yet, so that nothing has to be finished.
                if purchase.order.is_none() {
                    let name = purchase.grant.to_be_bytes();
                    self.store.commit(Changes::default().delete::<Purchase>(&name)).await?;
                }
                return Err(error);
            }
        }
        for _ in 0..MAX_SKIPPED {
            let secret = self.secret_of(purchase);
            let request = self.request_of(purchase);
            self.at("wallet.grant.before_send");
            let answer = match &request {
                Some(request) => client.create_grant(&secret, request).await,
                None => client.grant(&secret).await,
            };
            self.at("wallet.grant.after_answer");
            match answer {
                Ok(answer) => {
                    // Whatever else is granted stays where it is: asked for again, it may be what was ordered.
                    check_grant(purchase, &manifest, &answer, self.now())?;
                    purchase.state = PurchaseState::Granted { answer };
                    self.store.commit(Changes::default().put(&*purchase)).await?;
                    self.at("wallet.grant.stored");
                    return Ok(());
                }
                Err(error) if is(&error, ProblemType::GrantUsed) && purchase.order.is_none() => {
                    self.skip(purchase).await?;
                }
                Err(error) => return Err(self.refused(purchase, error).await?),
            }
        }
        Err(WalletError::OtherAnswer)
    }

    /// Another wallet with the same seed has used this index: the purchase goes on under the next one that no purchase of
    /// this wallet has.
    pub(super) async fn skip(&self, purchase: &mut Purchase) -> Result<(), WalletError> {
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
            ProblemType::PurchaseUnverified,
            ProblemType::PurchaseUsed,
            ProblemType::PurchaseRefunded,
            ProblemType::ProductUnknown,
            ProblemType::SourceUnknown,
            ProblemType::WorkInsufficient,
            ProblemType::AllowanceUsed,
            ProblemType::AllowanceExhausted,
            ProblemType::Malformed,
            ProblemType::TooLarge,
        ];
        if let Some(order) = purchase.order.as_ref().map(|ordered| ordered.id) {
            // The order stays, whatever was shown for it: it may yet be paid with something else. And so does what was shown,
            // unless it was refused: no answer, or one of a vendor in trouble, says nothing of it.
            if error.problem().is_some_and(|found| found.problem.fault() == Fault::Client) {
                let mut unpaid = purchase.clone();
                unpaid.proof = Some(GrantRequest::Order { order });
                self.store.commit(Changes::default().put(&unpaid)).await?;
                self.at("wallet.grant.refused");
            }
            return Ok(still_open(WalletError::call(&self.vendor.authority)(error)));
        }
        if for_good.iter().any(|problem| is(&error, *problem)) {
            let name = purchase.grant.to_be_bytes();
            self.store.commit(Changes::default().delete::<Purchase>(&name)).await?;
            self.at("wallet.grant.refused");
            return Ok(WalletError::call(&self.vendor.authority)(error));
        }
        Ok(still_open(WalletError::call(&self.vendor.authority)(error)))
    }

    /// What is sent for a purchase; `None` where the vendor is only asked what became of it.
    fn request_of(&self, purchase: &Purchase) -> Option<GrantRequest> {
        let proof = purchase.proof.clone()?;
        let GrantRequest::Free(Allowance { period, nonce, .. }) = proof else { return Some(proof) };
        // Signed for the grant, whose index may have changed since.
        let (key, grant) = (self.seed.installation_key(&self.vendor.id), self.secret_of(purchase));
        let id = grant.grant_id();
        Some(GrantRequest::Free(Allowance::sign(&key, &self.vendor.id, &id, period, nonce)))
    }

    pub(super) fn secret_of(&self, purchase: &Purchase) -> GrantSecret {
        self.seed.grant_secret(&self.vendor.id, purchase.grant)
    }
}

/// Refuses what can be no voucher, whoever the vendor is, before anything is said of it.
pub(super) fn check_voucher(code: &str) -> Result<(), WalletError> {
    let text = VoucherText::split(code);
    match text.code.is_empty() || text.product == Some("") {
        true => Err(WalletError::NotAVoucher),
        false => Ok(()),
    }
}

/// The purchase of this order that is to be finished; without one, the only one that is open.
fn ordered(purchases: &[Purchase], order: Option<OrderId>) -> Result<Purchase, WalletError> {
    let open = || purchases.iter().filter(|one| one.order.is_some() && is_open(one));
    let found = match order {
        Some(order) => purchases.iter().find(|one| one.is_for(&order) && !is_issued(one)),
        None => open().next().filter(|_| open().count() == 1),
    };
    let name = || order.map_or_else(String::new, |order| format!(": {order}"));
    found.cloned().map(once_more).ok_or_else(|| WalletError::OrderNotHere(name()))
}

/// What was ordered, by the manifest's name; `None` for what a restore found.
fn wanted(purchase: &Purchase, manifest: &Manifest) -> Result<Option<Wanted>, WalletError> {
    let listed = || manifest.products().iter().map(|product| product.name.clone()).collect();
    let not_listed = |product: &str| WalletError::ProductNotListed {
        product: product.to_owned(),
        listed: listed(),
    };
    let wanted = match (&purchase.wanted, &purchase.proof) {
        (Some(wanted), _) => wanted.clone(),
        (None, Some(GrantRequest::Free(_))) => Wanted::one(FREE),
        (None, Some(GrantRequest::Voucher { code })) => {
            let text = VoucherText::split(code);
            match (text.product, manifest.products()) {
                // The only product there is is what every voucher buys.
                (None, [only]) => Wanted::one(&*only.name),
                (None, _) => return Err(WalletError::VoucherWithoutProduct { listed: listed() }),
                (Some(named), all) => {
                    let found = all.iter().find(|product| text.may_be(&product.name));
                    Wanted::one(&*found.ok_or_else(|| not_listed(named))?.name)
                }
            }
        }
        (None, _) => return Ok(None),
    };
    match manifest.product(&wanted.product) {
        Some(_) => Ok(Some(wanted)),
        None => Err(not_listed(&wanted.product)),
    }
}

/// Nothing is blinded for a grant that is not what was ordered: its pack would be known again wherever it is spent.
pub(super) fn check_grant(
    purchase: &Purchase,
    manifest: &Manifest,
    answer: &GrantAnswer,
    now: UnixSeconds,
) -> Result<(), WalletError> {
    let checked = match &purchase.wanted {
        Some(wanted) => answer.check(manifest, wanted, now),
        None => answer.of(manifest, now).map(drop).ok_or(OtherGrant::NotListed),
    };
    let ordered = purchase.wanted.as_ref().map_or(&answer.product, |wanted| &wanted.product);
    checked.map_err(|reason| WalletError::OtherGrant { product: ordered.clone(), reason })
}

/// It may have been refunded, which may have been reversed since: whoever asks again is told.
fn once_more(mut purchase: Purchase) -> Purchase {
    if let PurchaseState::Unusable { answer } = purchase.state {
        purchase.state = PurchaseState::Granted { answer };
    }
    purchase
}

/// What a wallet reads of a JWSTransaction. Nothing is verified here: it says which order the vendor is asked about, and how
/// many the user paid for.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransactionPayload {
    app_account_token: Option<String>,
    quantity: Option<u16>,
}

fn payload_of(transaction: &str) -> Option<TransactionPayload> {
    let payload = decode_base64url(transaction.split('.').nth(1)?)?;
    serde_json::from_slice(&payload).ok()
}

fn order_of_transaction(transaction: &str) -> Option<OrderId> {
    payload_of(transaction)?.app_account_token?.parse().ok()
}

fn quantity_of(proof: &GrantRequest) -> Option<u16> {
    match proof {
        GrantRequest::Apple { transaction } => payload_of(transaction)?.quantity,
        _ => None,
    }
}

/// A call that failed in the middle of a purchase.
pub(super) fn still_open(error: WalletError) -> WalletError {
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

const fn is_issued(purchase: &Purchase) -> bool {
    matches!(purchase.state, PurchaseState::Issued { .. })
}

pub(super) fn bought(purchase: &Purchase, answer: &GrantAnswer) -> Bought {
    Bought {
        product: answer.product.clone(),
        credits: answer.credits,
        certificates: answer.pack.size(),
        test: answer.test,
        at: purchase.at,
    }
}
