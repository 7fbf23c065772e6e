//! Making vouchers.

mod code;

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::time::Day;
use scrip_runtime::clock::Clock;
use serde::Serialize;

pub use self::code::{ParseVoucherError, VoucherCode};
use crate::{
    config::Config,
    issuer::Issuer,
    store::{NewVoucher, Store, StoreError},
};

/// The most vouchers that are made at once.
pub const MAX_VOUCHERS: u32 = 100_000;
/// For how many days a voucher is valid where nothing else is said.
pub const DEFAULT_VALID_DAYS: u32 = 365;

/// Vouchers that were made just now. Their codes exist nowhere else.
#[derive(Serialize)]
pub struct NewVouchers {
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
    #[error("there is no product `{product}`; the configuration has: {known}")]
    UnknownProduct {
        /// What was asked for.
        product: String,
        /// The products that there are.
        known: String,
    },
    /// None, or too many.
    #[error("from 1 to {MAX_VOUCHERS} vouchers can be made at once")]
    Count,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes `count` vouchers for a product, usable through the day `valid_days` from today.
///
/// # Errors
/// [`CreateVouchersError`]; no voucher was made then.
pub async fn create(
    store: &Store,
    config: &Config,
    product: &str,
    count: u32,
    valid_days: u32,
    clock: &dyn Clock,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<NewVouchers, CreateVouchersError> {
    let Some(found) = config.products.get(product) else {
        let known: Vec<&str> = config.products.keys().map(String::as_str).collect();
        let known = known.join(", ");
        return Err(CreateVouchersError::UnknownProduct { product: product.to_owned(), known });
    };
    if !(1..=MAX_VOUCHERS).contains(&count) {
        return Err(CreateVouchersError::Count);
    }
    let last_day = Day(clock.today().0.saturating_add(valid_days));
    let codes: Vec<VoucherCode> = (0..count).map(|_| VoucherCode::generate(rng)).collect();
    let row = |code: &VoucherCode| NewVoucher {
        code_hash: code.hash(),
        product: product.to_owned(),
        pack: found.pack.clone(),
        last_day,
    };
    let rows: Vec<NewVoucher> = codes.iter().map(row).collect();
    store.add_vouchers(&rows).await?;
    let credits = found.pack.credits().0;
    Ok(NewVouchers { product: product.to_owned(), credits, last_day, codes })
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
        let mut rng = (self.inner.rng)();
        let rng = &mut &mut *rng;
        create(
            &self.inner.store,
            &self.inner.config,
            product,
            count,
            valid_days,
            &*self.inner.clock,
            rng,
        )
        .await
    }
}
