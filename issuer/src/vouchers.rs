//! Making vouchers, and cancelling those that were not used.

mod code;

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    manifest::{Manifest, ManifestError, Product},
    time::Day,
};
use scrip_runtime::clock::Clock;
use serde::Serialize;

pub use self::code::{ParseVoucherError, VoucherCode};
use crate::{
    issuer::Issuer,
    store::{Act, Action, AddedBatch, NewVoucher, NewVoucherBatch, OperatorRow, Store, StoreError},
};

/// The most vouchers that are made at once.
pub const MAX_VOUCHERS: u32 = 100_000;
/// The longest time that a voucher is valid: a hundred years.
pub const MAX_VALID_DAYS: u32 = 36_525;
/// For how many days a voucher is valid where nothing else is said.
pub const DEFAULT_VALID_DAYS: u32 = 365;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Making<'a> {
    /// The product that they buy.
    pub product: &'a str,
    /// How many.
    pub count: u32,
    /// For how many days from today they can be used.
    pub valid_days: u32,
    /// The operator that sells them on the vendor's behalf.
    pub operator: Option<&'a str>,
    /// Who makes them, for the log.
    pub actor: &'a str,
    /// A random name of the batch, drawn before by whoever may ask twice.
    pub nonce: Option<[u8; 16]>,
}

/// Vouchers that were made just now. Their codes exist nowhere else.
#[derive(Serialize)]
pub struct NewVouchers {
    /// The number of their batch.
    pub batch: u64,
    /// The product that they buy.
    pub product: String,
    /// What each is worth.
    pub credits: u64,
    /// The last UTC day on which they can be used.
    pub last_day: Day,
    /// The codes.
    pub codes: Vec<VoucherCode>,
}

/// Why no vouchers were made.
#[derive(Debug, thiserror::Error)]
pub enum CreateVouchersError {
    /// There is no such product.
    #[error(
        "no product `{product}` is on sale; these are: {known}. One that was added to issuer.toml is, when an issuer has started with it"
    )]
    UnknownProduct {
        /// What was asked for.
        product: String,
        /// The products that there are.
        known: String,
    },
    /// None, or too many.
    #[error("from 1 to {MAX_VOUCHERS} vouchers can be made at once")]
    Count,
    /// They could not be used on any day.
    #[error("vouchers are valid for at least a day, and for at most {MAX_VALID_DAYS}")]
    ValidDays,
    /// They cannot be sold by this operator.
    #[error(
        "there is no operator `{name}` with a contract that could sell vouchers; see `scrip-issuer operator contracts`"
    )]
    NoOperator {
        /// Its name.
        name: String,
    },
    /// What an operator sells is paid for by what is granted at once.
    #[error(
        "operators cannot sell vouchers for a product in two parts; make them for one in one part"
    )]
    TwoParts,
    /// The stored manifest breaks a rule.
    #[error("the stored manifest is not valid: {0}; restore the database from a backup")]
    Manifest(#[from] ManifestError),
    /// The same batch was asked for before. Its codes were shown then.
    #[error("these vouchers were made before, as batch {batch}; their codes were shown then")]
    MadeBefore {
        /// Its number.
        batch: u64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a batch of vouchers.
///
/// # Errors
/// [`CreateVouchersError`]; no voucher was made then.
pub async fn create(
    store: &Store,
    making: Making<'_>,
    clock: &dyn Clock,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<NewVouchers, CreateVouchersError> {
    let Making { product, count, valid_days, operator, actor, nonce } = making;
    let (vendor_id, manifest) = store.manifest().await?;
    let manifest = Manifest::open(&manifest, &vendor_id)?;
    let found = manifest.product(product).filter(|found| found.on_sale);
    let Some(found) = found else {
        let known: Vec<&str> = on_sale(&manifest).map(|one| one.name.as_str()).collect();
        let known = known.join(", ");
        return Err(CreateVouchersError::UnknownProduct { product: product.to_owned(), known });
    };
    if operator.is_some() && found.rest.is_some() {
        return Err(CreateVouchersError::TwoParts);
    }
    if !(1..=MAX_VOUCHERS).contains(&count) {
        return Err(CreateVouchersError::Count);
    }
    if !(1..=MAX_VALID_DAYS).contains(&valid_days) {
        return Err(CreateVouchersError::ValidDays);
    }
    let operator = match operator {
        Some(name) => Some(reseller(store, name).await?),
        None => None,
    };
    let (now, credits) = (clock.now(), found.credits());
    let last_day = Day(now.day().0.saturating_add(valid_days));
    let mut drawn = [0; 16];
    rng.fill_bytes(&mut drawn);
    let codes: Vec<VoucherCode> = (0..count).map(|_| VoucherCode::generate(rng)).collect();
    let row = |code: &VoucherCode| NewVoucher {
        code_hash: code.hash(),
        product: product.to_owned(),
        last_day,
    };
    let rows: Vec<NewVoucher> = codes.iter().map(row).collect();
    let product = product.to_owned();
    let act = Act::by(actor, now, Action::VoucherCreate, "").detail(match &operator {
        Some(operator) => {
            format!("{count} × {product}, until {last_day}, for {} to sell", operator.name)
        }
        None => format!("{count} × {product}, until {last_day}"),
    });
    let new = NewVoucherBatch {
        nonce: nonce.unwrap_or(drawn),
        product: product.clone(),
        credits,
        operator: operator.map(|operator| operator.number),
        made: now.day(),
        last_day,
    };
    match store.add_vouchers(&new, &rows, &act).await? {
        AddedBatch::Added(batch) => {
            Ok(NewVouchers { batch, product, credits: credits.0, last_day, codes })
        }
        AddedBatch::Before(batch) => Err(CreateVouchersError::MadeBefore { batch }),
    }
}

/// What can be bought now.
pub(crate) fn on_sale(manifest: &Manifest) -> impl Iterator<Item = &Product> {
    manifest.products().iter().filter(|product| product.on_sale)
}

/// The operator with this name, under a contract: without one nothing would be owed for what it sells.
async fn reseller(store: &Store, name: &str) -> Result<OperatorRow, CreateVouchersError> {
    let found = store.operators().await?.into_iter().find(|one| one.name == name.trim());
    let no_operator = || CreateVouchersError::NoOperator { name: name.to_owned() };
    let operator = found.ok_or_else(no_operator)?;
    match store.contracts(&operator).await?.is_empty() {
        true => Err(no_operator()),
        false => Ok(operator),
    }
}

/// Cancels the vouchers of a batch that were not used, and returns how many; `None` where there is no such batch.
///
/// # Errors
/// [`StoreError`].
pub async fn cancel(
    store: &Store,
    batch: u64,
    actor: &str,
    clock: &dyn Clock,
) -> Result<Option<u64>, StoreError> {
    let now = clock.now();
    let act = Act::by(actor, now, Action::VoucherCancel, format!("batch {batch}"));
    store.cancel_vouchers(batch, now.day(), &act).await
}

impl NewVouchers {
    /// What is given to buyers: `product:code`.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.codes.iter().map(|code| format!("{}:{code}", self.product))
    }

    /// Comma-separated values (RFC 4180), with a head.
    pub fn to_csv(&self) -> String {
        let product = format!("\"{}\"", self.product.replace('"', "\"\""));
        let mut text = String::from("code,product,credits,last_day\r\n");
        for code in self.texts() {
            text.push_str(&format!("{code},{product},{},{}\r\n", self.credits, self.last_day));
        }
        text
    }

    /// The codes, one on a line.
    pub fn to_lines(&self) -> String {
        self.texts().map(|text| format!("{text}\n")).collect()
    }
}

impl Issuer {
    /// Makes vouchers; see [`create`].
    ///
    /// # Errors
    /// [`CreateVouchersError`].
    pub async fn create_vouchers(
        &self,
        product: &str,
        count: u32,
        valid_days: u32,
    ) -> Result<NewVouchers, CreateVouchersError> {
        self.create_resold_vouchers(product, count, valid_days, None).await
    }

    /// The same for an operator to sell.
    ///
    /// # Errors
    /// [`CreateVouchersError`].
    pub async fn create_resold_vouchers(
        &self,
        product: &str,
        count: u32,
        valid_days: u32,
        operator: Option<&str>,
    ) -> Result<NewVouchers, CreateVouchersError> {
        let actor = Act::BY_ITSELF;
        let making = Making { product, count, valid_days, operator, actor, nonce: None };
        let mut rng = (self.inner.rng)();
        let (inner, rng) = (&self.inner, &mut &mut *rng);
        create(&inner.store, making, &*inner.clock, rng).await
    }
}
