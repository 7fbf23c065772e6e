//! How long the stock lasts, and what is bought ahead.
//!
//! Whoever buys when the purse is empty pays a minute later, and the two times name each other. So the wallet says in time that
//! its stock runs low, by what the last month used, and buys by itself where it has something to buy with.

use scrip_protocol::{
    credits::Credits,
    problem::ProblemType,
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use serde::Serialize;

use super::{
    Bought, Wallet,
    buy::{check_voucher, is_open},
};
use crate::{
    error::WalletError,
    records::{
        CertificateState, NoticesRecord, PaymentRecord, PaymentState, Purchase, PurchaseState,
        RestockRecord,
    },
    store::Changes,
};

/// What was used in so many days is what the next so many are expected to use.
const MONTH: u64 = 30 * SECONDS_PER_DAY;

/// What the wallet holds is less than what it used in 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LowStock {
    /// What it holds, ripe or not, with what is bought and not here yet.
    pub left: Credits,
    /// In how many certificates, those not here yet left out.
    pub certificates: usize,
    /// What the last 30 days used.
    pub used: Credits,
    /// In how many certificates: there is no change, so that they run out on their own.
    pub certificates_used: usize,
}

/// What the wallet buys with by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restocking {
    /// What it keeps at least; what a month used where this is not said.
    pub below: Option<Credits>,
    /// Whether it takes the vendor's free allowance.
    pub free: bool,
    /// How many vouchers it has for that.
    pub vouchers: usize,
}

impl Wallet {
    /// Whether the stock is less than what a month used.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn low_stock(&self) -> Result<Option<LowStock>, WalletError> {
        let stock = self.stock().await?;
        let few = stock.left < stock.used || stock.certificates < stock.certificates_used;
        Ok((stock.used > Credits::ZERO && few).then_some(stock))
    }

    /// The same, at most once a day, which is remembered.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn stock_notice(&self) -> Result<Option<LowStock>, WalletError> {
        let now = self.now();
        let notices = self.store.get::<NoticesRecord>(&[]).await?.unwrap_or_default();
        let told = |at: UnixSeconds| at <= now && now < at.plus(SECONDS_PER_DAY);
        if notices.stock.is_some_and(told) {
            return Ok(None);
        }
        let notice = self.low_stock().await?;
        if notice.is_some() {
            let notices = NoticesRecord { stock: Some(now), ..notices };
            self.store.commit(Changes::default().put(&notices)).await?;
        }
        Ok(notice)
    }

    async fn stock(&self) -> Result<LowStock, WalletError> {
        let now = self.now();
        let (mut used, mut certificates_used) = (Vec::new(), 0);
        for payment in self.store.all::<PaymentRecord>().await? {
            let returned = matches!(payment.state, PaymentState::Returned { .. });
            if !returned && payment.at <= now && now.0 - payment.at.0 < MONTH {
                used.push(payment.credits);
                certificates_used += payment.certificates.len();
            }
        }
        let promised = |one: &Purchase| match &one.state {
            PurchaseState::Granted { answer } | PurchaseState::Requested { answer, .. } => {
                Some(answer.credits)
            }
            _ => None,
        };
        let purchases = self.store.all::<Purchase>().await?;
        let pending = Credits::total(purchases.iter().filter(|p| is_open(p)).filter_map(promised));
        let purse = self.purse.lock().await;
        let held = |state: &CertificateState| {
            matches!(state, CertificateState::Held | CertificateState::Renewing { .. })
        };
        let ours: Vec<Credits> = purse
            .all()
            .filter(|one| held(&one.state) && !one.test && now < one.spend_until)
            .map(|one| one.value())
            .collect();
        Ok(LowStock {
            certificates: ours.len(),
            left: Credits::total([Credits::total(ours), pending]),
            used: Credits::total(used),
            certificates_used,
        })
    }

    /// What the wallet buys with by itself when its stock is low; `None` where nothing is set.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn restocking(&self) -> Result<Option<Restocking>, WalletError> {
        let record = self.store.get::<RestockRecord>(&[]).await?;
        Ok(record.map(|RestockRecord { below, free, vouchers }| Restocking {
            below,
            free,
            vouchers: vouchers.len(),
        }))
    }

    /// Sets what the wallet keeps at least, and with what it buys by itself, at a time of its own: the free allowance, and these
    /// vouchers besides those it has for that. Nothing else pays for anything without its owner.
    ///
    /// # Errors
    /// [`WalletError::NotAVoucher`], which would be found weeks later, or [`WalletError::Store`].
    pub async fn restock(
        &self,
        below: Option<Credits>,
        free: bool,
        vouchers: Vec<String>,
    ) -> Result<(), WalletError> {
        let known = self.store.get::<RestockRecord>(&[]).await?.unwrap_or_default();
        let mut record = RestockRecord { below, free, vouchers: known.vouchers };
        for code in vouchers {
            check_voucher(&code)?;
            if !record.vouchers.contains(&code) {
                record.vouchers.push(code);
            }
        }
        Ok(self.store.commit(Changes::default().put(&record)).await?)
    }

    /// Buys nothing by itself any more, and forgets the vouchers that it had for that.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn stop_restocking(&self) -> Result<(), WalletError> {
        Ok(self.store.commit(Changes::default().delete::<RestockRecord>(&[])).await?)
    }

    pub(super) async fn restock_is_due(&self) -> Result<bool, WalletError> {
        let Some(record) = self.store.get::<RestockRecord>(&[]).await? else { return Ok(false) };
        if !record.free && record.vouchers.is_empty() {
            return Ok(false);
        }
        match record.below {
            Some(below) => Ok(self.stock().await?.left < below),
            None => Ok(self.low_stock().await?.is_some()),
        }
    }

    /// Buys with the first voucher, else takes the free allowance. A code is forgotten once it is spent, or refused for good.
    pub(super) async fn buy_to_restock(&self) -> Result<Option<Bought>, WalletError> {
        let record = self.store.get::<RestockRecord>(&[]).await?.unwrap_or_default();
        let Some(code) = record.vouchers.first().cloned() else {
            return match self.buy_free().await {
                Ok(bought) => Ok(Some(bought)),
                // This period's was taken already.
                Err(WalletError::VoucherUsedHere) => Ok(None),
                Err(error) if error.problem() == Some(ProblemType::AllowanceUsed) => Ok(None),
                Err(error) => Err(error),
            };
        };
        let bought = self.buy(&code).await;
        let over = match &bought {
            Ok(_) | Err(WalletError::VoucherUsedHere) => true,
            Err(error) => matches!(
                error.problem(),
                Some(
                    ProblemType::VoucherUnknown
                        | ProblemType::VoucherUsed
                        | ProblemType::VoucherExpired
                )
            ),
        };
        if over {
            let mut record = self.store.get::<RestockRecord>(&[]).await?.unwrap_or_default();
            record.vouchers.retain(|one| *one != code);
            self.store.commit(Changes::default().put(&record)).await?;
            self.at("wallet.restock.used");
        }
        match bought {
            Err(WalletError::VoucherUsedHere) => Ok(None),
            other => other.map(Some),
        }
    }
}
