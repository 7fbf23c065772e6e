//! What a vendor sells, orders that are paid elsewhere, the free allowance, and second parts (purchases.md).

use scrip_protocol::{
    credits::Credits,
    id::encode_base64url,
    issuance::Wanted,
    limits::MAX_WORK,
    manifest::Product,
    problem::ProblemType,
    purchase::{Allowance, GrantRequest, OfferedAllowance, OrderAnswer, OrderId, PayAt, work},
    time::UnixSeconds,
};
use serde::Serialize;

use super::{
    Bought, Wallet, apart,
    buy::{is, is_open, still_open},
};
use crate::{
    error::WalletError,
    net::VendorClient,
    records::{Ordered, Purchase, PurchaseState},
    store::Changes,
    watch::Event,
};

/// How many indices that somebody else with the same seed has used are skipped.
const MAX_SKIPPED: u32 = 256;

/// What a vendor sells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForSale {
    /// By name.
    pub products: Vec<ProductForSale>,
    /// The allowance that it gives of the product `free`, where there is one.
    pub free: Option<OfferedAllowance>,
}

/// A product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProductForSale {
    /// Its name.
    pub product: String,
    /// What is issued at once is worth.
    pub credits: Credits,
    /// How many certificates that is.
    pub certificates: usize,
    /// The second part, where there is one.
    pub later: Option<Later>,
    /// Where it can be bought, as the vendor says.
    pub sources: Vec<String>,
}

/// The second part of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Later {
    /// Its worth.
    pub credits: Credits,
    /// Seconds from the purchase.
    pub after: u64,
}

/// An order that is not paid, as far as the wallet knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenOrder {
    /// The order: what the place of the purchase is given.
    pub order: OrderId,
    /// What it is for.
    pub product: String,
    /// When it was made.
    pub at: UnixSeconds,
}

impl Wallet {
    /// What the vendor sells, as the manifest lists it, and where it can be bought, which is the vendor's word.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn offer(&self) -> Result<ForSale, WalletError> {
        let client = self.network().await.vendor(&self.vendor)?;
        let offer = client.offer().await.map_err(WalletError::call(&self.vendor.authority))?;
        let manifest = self.known_manifest().await?;
        let on_sale = manifest.products().iter().filter(|product| product.on_sale);
        let products = on_sale.map(|product| {
            let offered = offer.products.iter().find(|one| one.product == product.name);
            ProductForSale {
                product: product.name.clone(),
                credits: product.pack.credits(),
                certificates: product.pack.size(),
                later: product
                    .rest
                    .as_ref()
                    .map(|rest| Later { credits: rest.pack.credits(), after: rest.after }),
                sources: offered.map(|one| one.sources.clone()).unwrap_or_default(),
            }
        });
        Ok(ForSale { products: products.collect(), free: offer.free })
    }

    /// Orders a product that is paid for elsewhere. While an order of this product is open, it is that one.
    ///
    /// # Errors
    /// [`WalletError`]. Where there is no answer, the same order is asked for again next time.
    pub async fn order(&self, product: &str) -> Result<OrderAnswer, WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        let client = self.network().await.vendor(&self.vendor)?;
        let purchases = self.store.all::<Purchase>().await?;
        let open = purchases.iter().filter(|one| is_open(one));
        let same =
            open.clone().find(|one| one.order.as_ref().is_some_and(|of| of.product == product));
        if let Some(purchase) = same {
            match self.finish_purchase(purchase.clone()).await {
                // It is paid meanwhile, and now bought: to pay it again would buy nothing.
                Ok(_) => {}
                Err(WalletError::PurchaseOpen { error, .. })
                    if is(&error, ProblemType::PurchasePending) =>
                {
                    let answer = client.order(&self.secret_of(purchase), product).await;
                    let answer = answer.map_err(WalletError::call(&self.vendor.authority))?;
                    return Ok(OrderAnswer { pay: presentable(answer.pay), ..answer });
                }
                // Whether it is paid is not known, so that nobody is led to pay it.
                Err(error) => return Err(error),
            }
        }
        let ordering = |one: &&Purchase| matches!(&one.state, PurchaseState::Ordering { product: of } if of == product);
        let mut purchase = match open.clone().find(ordering) {
            Some(purchase) => purchase.clone(),
            None => {
                self.refuse_hopeless().await?;
                let state = PurchaseState::Ordering { product: product.to_owned() };
                self.begin(&purchases, None, Some(Wanted::one(product)), state).await?
            }
        };
        self.ask_for_order(&client, &mut purchase).await
    }

    /// Orders that are not paid, the oldest first.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn orders(&self) -> Result<Vec<OpenOrder>, WalletError> {
        let purchases = self.store.all::<Purchase>().await?;
        let open = purchases.iter().filter(|one| is_open(one));
        let mut orders: Vec<OpenOrder> = open
            .filter_map(|one| {
                let ordered = one.order.as_ref()?;
                let product = ordered.product.clone();
                Some(OpenOrder { order: ordered.id, product, at: one.at })
            })
            .collect();
        orders.sort_by_key(|order| order.at);
        Ok(orders)
    }

    /// Forgets an order. What is paid for it after all is found by a restore.
    ///
    /// # Errors
    /// [`WalletError::OrderNotHere`] where there is no such order, or it is paid.
    pub async fn forget_order(&self, order: &OrderId) -> Result<(), WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        let purchases = self.store.all::<Purchase>().await?;
        let open = |one: &&Purchase| one.is_for(order) && matches!(one.state, PurchaseState::Asked);
        let found = purchases.iter().find(open);
        let found = found.ok_or_else(|| WalletError::OrderNotHere(format!(": {order}")))?;
        let name = found.grant.to_be_bytes();
        self.store.commit(Changes::default().delete::<Purchase>(&name)).await?;
        Ok(())
    }

    /// Takes the free allowance of this period.
    ///
    /// # Errors
    /// [`WalletError`], as for [`Wallet::buy`].
    pub async fn buy_free(&self) -> Result<Bought, WalletError> {
        self.refuse_hopeless().await?;
        let client = self.network().await.vendor(&self.vendor)?;
        let offer = client.offer().await.map_err(WalletError::call(&self.vendor.authority))?;
        let free = offer.free.ok_or(WalletError::NothingFree)?;
        let (vendor, period) = (self.vendor.id, self.now().0 / free.period.max(1));
        if free.work > MAX_WORK {
            return Err(WalletError::WorkTooMuch { bits: free.work });
        }
        // What this wallet has worked for already is not worked for again.
        let this_period =
            |proof: &GrantRequest| matches!(proof, GrantRequest::Free(of) if of.period == period);
        let purchases = self.store.all::<Purchase>().await?;
        if let Some(proof) = purchases.into_iter().filter_map(|one| one.proof).find(this_period) {
            return self.buy_with(proof, None).await;
        }
        let key = self.seed.installation_key(&vendor);
        let installation = key.public();
        self.watch().tell(Event::Started { what: "Working for it", total: 1 });
        let nonce = apart(move || {
            (0..u64::MAX).find(|nonce| work(&vendor, &installation, period, *nonce) >= free.work)
        });
        let nonce = nonce.await;
        self.watch().tell(Event::Finished);
        let nonce = nonce?.ok_or(WalletError::NothingFree)?;
        // The signature is made anew for the grant that it is sent with.
        let grant = self.seed.grant_secret(&vendor, 0).grant_id();
        let allowance = Allowance::sign(&key, &vendor, &grant, period, nonce);
        self.buy_with(GrantRequest::Free(allowance), None).await
    }

    /// Ordering → Asked.
    pub(super) async fn ask_for_order(
        &self,
        client: &VendorClient,
        purchase: &mut Purchase,
    ) -> Result<OrderAnswer, WalletError> {
        let PurchaseState::Ordering { product } = &purchase.state else {
            return Err(WalletError::OtherAnswer);
        };
        let product = product.clone();
        // Whoever pays must be able to have what he pays for signed.
        let manifest = self.manifest_to_buy_under().await?;
        let on_sale = |listed: &&Product| listed.on_sale;
        if manifest.product(&product).filter(on_sale).is_none() {
            let name = purchase.grant.to_be_bytes();
            self.store.commit(Changes::default().delete::<Purchase>(&name)).await?;
            let on_sale = manifest.products().iter().filter(on_sale);
            let listed = on_sale.map(|product| product.name.clone()).collect();
            return Err(WalletError::ProductNotListed { product, listed });
        }
        for _ in 0..MAX_SKIPPED {
            self.at("wallet.order.before_send");
            let answer = client.order(&self.secret_of(purchase), &product).await;
            self.at("wallet.order.after_answer");
            match answer {
                Ok(answer) => {
                    purchase.order = Some(Ordered { id: answer.order, product });
                    purchase.proof = Some(GrantRequest::Order { order: answer.order });
                    purchase.state = PurchaseState::Asked;
                    self.store.commit(Changes::default().put(&*purchase)).await?;
                    self.at("wallet.order.stored");
                    return Ok(OrderAnswer { pay: presentable(answer.pay), ..answer });
                }
                Err(error) if is(&error, ProblemType::GrantUsed) => self.skip(purchase).await?,
                Err(error) if is(&error, ProblemType::ProductUnknown) => {
                    let name = purchase.grant.to_be_bytes();
                    self.store.commit(Changes::default().delete::<Purchase>(&name)).await?;
                    return Err(WalletError::call(&self.vendor.authority)(error));
                }
                Err(error) => {
                    return Err(still_open(WalletError::call(&self.vendor.authority)(error)));
                }
            }
        }
        Err(WalletError::OtherAnswer)
    }

    /// Begins the purchases of second parts that are due.
    pub(super) async fn begin_rests(&self) -> Result<(), WalletError> {
        let mut purchases = self.store.all::<Purchase>().await?;
        let due: Vec<(GrantRequest, Option<Wanted>)> = purchases
            .iter()
            .filter(|one| match &one.state {
                PurchaseState::Issued { answer, .. } => {
                    answer.rest.is_some_and(|rest| rest.from <= self.now())
                }
                _ => false,
            })
            .map(|one| {
                let grant = encode_base64url(self.secret_of(one).as_bytes());
                let wanted = one.wanted.clone().map(|first| Wanted { rest: true, ..first });
                (GrantRequest::Rest { grant }, wanted)
            })
            .collect();
        for (proof, wanted) in due {
            if purchases.iter().all(|one| one.proof.as_ref() != Some(&proof)) {
                let state = PurchaseState::Asked;
                let begun = self.begin(&purchases, Some(proof), wanted, state).await?;
                purchases.push(begun);
            }
        }
        Ok(())
    }
}

/// Only what a terminal shows as it is, and a browser opens as a page.
fn presentable(pages: Vec<PayAt>) -> Vec<PayAt> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let page =
        |page: &PayAt| plain(&page.url) && plain(&page.source) && page.url.starts_with("http");
    pages.into_iter().filter(page).collect()
}
