//! Vouchers: codes that the vendor gave out, and knows by their hashes.

use futures_util::future::BoxFuture;
use scrip_protocol::purchase::{GrantRequest, VoucherText};

use super::{Asked, Source, SourceError, TransactionId, Verified};
use crate::{store::Store, vouchers::VoucherCode};

pub(super) const NAME: &str = "voucher";

/// Vouchers.
pub(crate) struct VoucherSource {
    store: Store,
}

impl VoucherSource {
    pub(crate) const fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Source for VoucherSource {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify<'a>(&'a self, asked: &'a Asked<'a>) -> BoxFuture<'a, Result<Verified, SourceError>> {
        Box::pin(async move {
            let GrantRequest::Voucher { code } = asked.request else {
                return Err(SourceError::Unknown);
            };
            let typed = VoucherText::split(code);
            let code: VoucherCode = typed.code.parse().map_err(|_| SourceError::VoucherMistyped)?;
            let hash = code.hash();
            let found = self.store.voucher(&hash).await?.ok_or(SourceError::VoucherUnknown)?;
            let (voucher, reseller) = (found.voucher, found.operator);
            if !typed.may_be(&voucher.product) {
                return Err(SourceError::VoucherUnknown);
            }
            // A voucher that was used stays what it was: whoever used it may ask again.
            let lapsed =
                (voucher.last_day < asked.now.day()).then_some(SourceError::VoucherExpired);
            let verified = Verified::new(TransactionId::new(hash), voucher.product);
            Ok(Verified { lapsed, reseller, ..verified })
        })
    }
}
