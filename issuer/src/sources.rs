//! Sources: the places where money is taken (purchases.md). One file each, all with the same contract, which
//! [`crate::purchases`] keeps: verified, recorded once, granted, and then told that it was delivered.

mod apple;
pub mod btcpay;
mod free;
pub mod google;
pub mod orders;
mod rest;
pub mod secret;
pub mod stripe;
mod voucher;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use http::HeaderMap;
use scrip_protocol::{
    id::{GrantId, VendorId},
    purchase::{GrantRequest, OrderId},
    time::UnixSeconds,
};
use scrip_runtime::clock::SharedClock;
use serde::Deserialize;
use sha2::{Digest, Sha256};

pub use self::{
    apple::{AppleConfig, AppleSource},
    free::{FreeConfig, FreeSource},
};
use self::{
    btcpay::{BtcpayConfig, BtcpaySource},
    google::{GoogleConfig, GoogleSource},
    stripe::{StripeConfig, StripeSource},
};
pub(crate) use self::{rest::RestSource, voucher::VoucherSource};
use crate::{
    pack::Pack,
    store::{Store, StoreError},
};

/// A place where money is taken.
pub trait Source: Send + Sync {
    /// As in requests, in the table `purchases`, in the paths of notifications and in the configuration.
    fn name(&self) -> &'static str;

    /// The products that are sold here, by our names; `None` where that is no matter of configuration.
    fn products(&self) -> Option<Vec<&str>> {
        None
    }

    /// Verifies what a wallet sent, and changes nothing.
    fn verify<'a>(&'a self, asked: &'a Asked<'a>) -> BoxFuture<'a, Result<Verified, SourceError>>;

    /// Tells the place that the purchase was delivered. Called when the grant is on disk, and again until it succeeds.
    fn settle<'a>(&'a self, _purchase: &'a Settling) -> BoxFuture<'a, Result<(), SourceError>> {
        Box::pin(async { Ok(()) })
    }

    /// What the raw body of a notification says.
    fn notification<'a>(
        &'a self,
        _headers: &'a HeaderMap,
        _body: &'a [u8],
        _now: UnixSeconds,
    ) -> BoxFuture<'a, Result<Notification, SourceError>> {
        Box::pin(async { Err(SourceError::Unknown) })
    }

    /// What happened since the place was last asked, where it does not tell by itself.
    fn poll(&self, _now: UnixSeconds) -> BoxFuture<'_, Result<Vec<Notification>, SourceError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// What became of an order that nobody told us was paid, where the place can be asked: its notification may be lost.
    /// The answer has the same id each time, which no notification of the place has.
    fn recheck<'a>(
        &'a self,
        _order: &'a OrderId,
    ) -> BoxFuture<'a, Result<Option<Notification>, SourceError>> {
        Box::pin(async { Ok(None) })
    }

    /// Whether its purchases are made for orders of this product.
    fn takes_orders_for(&self, product: &str) -> bool {
        self.products().is_some_and(|products| products.contains(&product))
    }

    /// Whether wallets are told that things can be bought here.
    fn is_offered(&self) -> bool {
        true
    }

    /// A page where an order can be paid, if the place has one.
    fn checkout<'a>(
        &'a self,
        _order: &'a OrderId,
        _product: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, SourceError>> {
        Box::pin(async { Ok(None) })
    }
}

/// What a wallet asks for.
pub struct Asked<'a> {
    /// The request.
    pub request: &'a GrantRequest,
    /// The grant that the purchase is to become.
    pub grant_id: GrantId,
    /// The time.
    pub now: UnixSeconds,
}

/// What identifies a purchase within its source.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(Vec<u8>);

impl TransactionId {
    /// The purchase with these bytes as its name.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For logs: as the source names it, or the beginning of its hash where the name is a secret or says which grant it is.
    pub fn shown(&self, source: &str) -> String {
        if matches!(source, "google" | voucher::NAME | rest::NAME | free::NAME) {
            let hash: [u8; 32] = Sha256::digest(&self.0).into();
            return hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        }
        self.to_string()
    }
}

/// As text where the source names it so, else in hexadecimal digits.
impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => f.write_str(text),
            _ => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionId({self})")
    }
}

/// A buyer, as the source tells buyers apart: a hash, so that the database does not hold the source's own name. It groups
/// the losses of refunds, and is used for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId([u8; 32]);

impl AccountId {
    /// The buyer that `source` calls `account`.
    pub fn of(source: &str, account: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"scrip-issuer account\0");
        hash.update(source.as_bytes());
        hash.update([0]);
        hash.update(account.as_bytes());
        Self(hash.finalize().into())
    }

    /// As it is stored.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A purchase that its source has verified.
#[derive(Debug)]
pub struct Verified {
    /// Unique within the source.
    pub transaction: TransactionId,
    /// What was bought, by our name.
    pub product: String,
    /// The pack of a second part, as the first part's purchase promised it.
    pub sold: Option<Pack>,
    /// How many of it.
    pub quantity: u16,
    /// Whether no money was taken because this is the source's test environment.
    pub test: bool,
    /// Who bought.
    pub account: Option<AccountId>,
    /// The order that it was made for: it must have been made with the secret of the grant.
    pub order: Option<OrderId>,
    /// Whether the source is to be told of the delivery.
    pub settles: bool,
    /// A grant that must not be cancelled.
    pub parent: Option<GrantId>,
    /// How many credits the source may give away in a day.
    pub budget: Option<u64>,
    /// The number of the operator that sold it on the vendor's behalf.
    pub reseller: Option<i64>,
    /// Why it is too late to turn this into a grant. One that it was turned into before is shown all the same.
    pub lapsed: Option<SourceError>,
}

impl Verified {
    /// One of a product, paid for.
    pub fn new(transaction: TransactionId, product: impl Into<String>) -> Self {
        Self {
            transaction,
            product: product.into(),
            sold: None,
            quantity: 1,
            test: false,
            account: None,
            order: None,
            settles: false,
            parent: None,
            budget: None,
            reseller: None,
            lapsed: None,
        }
    }
}

/// A recorded purchase whose source is to be told of the delivery.
#[derive(Clone, Debug)]
pub struct Settling {
    /// The purchase.
    pub transaction: TransactionId,
    /// What was bought, by our name.
    pub product: String,
}

/// What a source says happened.
#[derive(Debug)]
pub struct Notification {
    /// Unique within the source: each has its effects once.
    pub id: String,
    /// What happened.
    pub events: Vec<Event>,
}

/// Something that happened at a source.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few at a time")]
pub enum Event {
    /// An order was paid.
    Paid {
        /// The order.
        order: OrderId,
        /// The purchase.
        purchase: Verified,
    },
    /// A purchase was refunded, or taken back.
    Refunded {
        /// The purchase.
        transaction: TransactionId,
    },
    /// Money came in for which nothing can be given: somebody has to look at it. The text says what, and why.
    Complaint(String),
    /// It was not, after all.
    RefundReversed {
        /// The purchase.
        transaction: TransactionId,
    },
}

/// Why a source does not verify a purchase, or take a notification.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The source takes nothing of this kind.
    #[error("the source takes nothing of this kind")]
    Unknown,
    /// What was sent proves nothing; the buyer's fault.
    #[error("the purchase does not verify: {0}")]
    Unverified(&'static str),
    /// It is not paid yet.
    #[error("the purchase is not paid yet")]
    Pending,
    /// It was refunded.
    #[error("the purchase was refunded")]
    Refunded,
    /// What was bought is none of our products.
    #[error("what was bought is none of the vendor's products")]
    ProductUnknown,
    /// There is no such voucher.
    #[error("there is no such voucher")]
    VoucherUnknown,
    /// The code has a typing error.
    #[error("the voucher's code has a typing error")]
    VoucherMistyped,
    /// Its last day has passed.
    #[error("the voucher has expired")]
    VoucherExpired,
    /// The proof of work is too little.
    #[error("the proof of work is for something else, or too little")]
    WorkInsufficient,
    /// The second part of a purchase is not due yet.
    #[error("this part of the purchase is not issued yet")]
    RestNotDue,
    /// The first part was cancelled.
    #[error("the first part of the purchase was cancelled")]
    Cancelled,
    /// The source cannot be asked now. What it says is for the log.
    #[error("the source cannot be asked: {0}")]
    Unavailable(String),
    /// A notification is not the source's.
    #[error("the notification does not verify: {0}")]
    NotificationUnverified(&'static str),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// `[sources]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesConfig {
    /// Apple's App Store.
    pub apple: Option<AppleConfig>,
    /// BTCPay Server.
    pub btcpay: Option<BtcpayConfig>,
    /// A free allowance.
    pub free: Option<FreeConfig>,
    /// Google Play.
    pub google: Option<GoogleConfig>,
    /// Stripe.
    pub stripe: Option<StripeConfig>,
}

/// Why a source cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("`[sources.{name}]`: {reason}; correct the configuration")]
pub struct SetupError {
    /// The source.
    pub name: &'static str,
    /// What is wrong. No secret is in it.
    pub reason: String,
}

impl SetupError {
    pub(crate) fn new(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, reason: reason.into() }
    }
}

/// Which sources fail at this process, so that those that work cost no query.
#[derive(Default)]
pub(crate) struct Failing(Mutex<BTreeSet<&'static str>>);

impl Failing {
    pub(crate) fn mark(&self, source: &'static str) {
        self.names().insert(source);
    }

    /// Whether it failed until now.
    pub(crate) fn clear(&self, source: &'static str) -> bool {
        self.names().remove(source)
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        // A set of names is as good after a panic as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sources of an issuer, by name.
#[derive(Clone, Default)]
pub struct Sources(BTreeMap<&'static str, Arc<dyn Source>>);

impl Sources {
    /// Those of the configuration, besides vouchers and second parts, which every issuer takes.
    ///
    /// # Errors
    /// [`SetupError`] where one cannot be used as it is configured.
    pub fn new(
        config: &SourcesConfig,
        vendor_id: VendorId,
        store: &Store,
        clock: &SharedClock,
    ) -> Result<Self, SetupError> {
        let mut sources = Self::default();
        if let Some(apple) = &config.apple {
            sources.add(AppleSource::new(apple.clone()));
        }
        let orders = || Arc::new(store.clone());
        if let Some(btcpay) = &config.btcpay {
            sources.add(BtcpaySource::new(btcpay.clone(), orders())?);
        }
        if let Some(google) = &config.google {
            sources.add(GoogleSource::new(google.clone(), clock.clone())?);
        }
        if let Some(stripe) = &config.stripe {
            sources.add(StripeSource::new(stripe.clone(), orders())?);
        }
        if let Some(free) = &config.free {
            sources.add(FreeSource::new(free.clone(), vendor_id));
        }
        Ok(sources)
    }

    /// Adds or replaces a source.
    pub fn add(&mut self, source: impl Source + 'static) {
        self.0.insert(source.name(), Arc::new(source));
    }

    /// Adds or replaces several.
    pub fn add_all(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(|(name, source)| (*name, Arc::clone(source))));
    }

    /// Adds what needs nothing but the database.
    pub(crate) fn add_own(&mut self, store: &Store) {
        self.add(VoucherSource::new(store.clone()));
        self.add(RestSource::new(store.clone()));
    }

    /// The source of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Source>> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Source>> {
        self.0.values()
    }
}

/// The name of the source that a request is for; `None` for orders, which any payment service may have confirmed.
pub(crate) const fn source_of(request: &GrantRequest) -> Option<&'static str> {
    match request {
        GrantRequest::Voucher { .. } => Some(voucher::NAME),
        GrantRequest::Apple { .. } => Some(apple::NAME),
        GrantRequest::Google { .. } => Some("google"),
        GrantRequest::Free(_) => Some(free::NAME),
        GrantRequest::Rest { .. } => Some(rest::NAME),
        GrantRequest::Order { .. } => None,
    }
}
