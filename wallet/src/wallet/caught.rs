//! Operators that redeemed what they had signed that they refused (spending.md, "Refusals").
//!
//! A conflict proof over a binding that this wallet gave to one operator alone, in a payment that this operator refused under its
//! signature, shows the wallet that the promise was broken. What it shows to others is the refusal; the redemption is in the
//! vendor's ledger.

use scrip_protocol::{
    address::RelayAddress,
    id::OperatorId,
    redemption::ConflictProof,
    refusal::{Accusation, RefusedCertificate},
    spend::SpendKind,
    time::UnixSeconds,
};
use serde::Serialize;

use super::Wallet;
use crate::{
    error::WalletError,
    records::{CaughtRecord, PaidWith, PaymentRecord, PaymentState},
    store::Changes,
};

/// Who broke a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Culprit {
    /// The relay with this address redeemed what its operator had refused.
    Relay(RelayAddress),
    /// The vendor used a renewal that it had refused.
    Vendor,
}

/// An operator that broke its promise.
#[derive(Clone, Debug, Serialize)]
pub struct CaughtReport {
    /// Its relay, as it was paid.
    pub relay: RelayAddress,
    /// When the wallet found out.
    pub at: UnixSeconds,
    /// When the user decided to use it all the same.
    pub forgiven: Option<UnixSeconds>,
    /// What can be shown to others, one for each payment.
    pub accusations: Vec<Accusation>,
}

impl Wallet {
    /// The operators that redeemed what they had refused, the first that was caught at the front.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn caught(&self) -> Result<Vec<CaughtReport>, WalletError> {
        let mut caught = self.store.all::<CaughtRecord>().await?;
        caught.sort_by_key(|one| (one.at, one.operator_id));
        let report = |CaughtRecord { relay, at, forgiven, accusations, .. }| CaughtReport {
            relay,
            at,
            forgiven,
            accusations,
        };
        Ok(caught.into_iter().map(report).collect())
    }

    /// Uses a relay again that was caught; `text` names it as in [`Wallet::find_relay`]. What shows its fault is kept.
    ///
    /// # Errors
    /// [`WalletError::UnknownRelay`] where none such was caught.
    pub async fn forgive_relay(&self, text: &str) -> Result<RelayAddress, WalletError> {
        let mut record = self.find_caught(text).await?;
        record.forgiven = Some(self.now());
        self.store.commit(Changes::default().put(&record)).await?;
        self.at("wallet.relay.forgiven");
        Ok(record.relay)
    }

    /// What can be shown to others about a relay that was caught.
    ///
    /// # Errors
    /// [`WalletError::UnknownRelay`] where none such was caught.
    pub async fn accusations(&self, text: &str) -> Result<Vec<Accusation>, WalletError> {
        Ok(self.find_caught(text).await?.accusations)
    }

    async fn find_caught(&self, text: &str) -> Result<CaughtRecord, WalletError> {
        let named = self.find_relay(text).await.ok();
        let means = |one: &CaughtRecord| {
            named.as_ref().is_some_and(|named| named.id == one.operator_id)
                || one.relay.to_string() == text
                || one.relay.authority == text
                || (text.len() >= 4 && one.operator_id.to_string().starts_with(text))
        };
        let caught = self.store.all::<CaughtRecord>().await?;
        let unknown = || WalletError::UnknownRelay(text.to_owned());
        caught.into_iter().find(means).ok_or_else(unknown)
    }

    /// Refuses to pay an operator that was caught and not forgiven.
    pub(super) async fn check_honest(&self, relay: &RelayAddress) -> Result<(), WalletError> {
        let record = self.store.get::<CaughtRecord>(relay.id.as_bytes()).await?;
        match record.is_some_and(|record| record.forgiven.is_none()) {
            true => Err(WalletError::RelayCaught(relay.clone().into())),
            false => Ok(()),
        }
    }

    pub(super) async fn when_caught(
        &self,
        operator: &OperatorId,
    ) -> Result<Option<UnixSeconds>, WalletError> {
        let record = self.store.get::<CaughtRecord>(operator.as_bytes()).await?;
        Ok(record.filter(|record| record.forgiven.is_none()).map(|record| record.at))
    }

    /// What a conflict proof of one of this wallet's certificates, which was verified, says about who refused what it shows, and took
    /// it all the same: a payment, or a renewal. The relay of a payment is not chosen any more.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub(super) async fn catch(
        &self,
        proof: &ConflictProof,
    ) -> Result<Option<Culprit>, WalletError> {
        if self.catch_vendor(proof).await? {
            return Ok(Some(Culprit::Vendor));
        }
        let Some(payment) = self.refused_with(proof).await? else { return Ok(None) };
        let PaymentState::Returned { refusal: Some(refusal), .. } = &payment.state else {
            return Ok(None);
        };
        let certificates = payment
            .certificates
            .iter()
            .map(|one| RefusedCertificate { certificate_key: one.key, binding: one.binding });
        let accusation = Accusation::new(
            self.vendor.id,
            payment.operator_key,
            &refusal.0,
            certificates.collect(),
            Some(proof),
        );
        let known = self.store.get::<CaughtRecord>(payment.relay.id.as_bytes()).await?;
        let mut record = known.unwrap_or_else(|| CaughtRecord {
            operator_id: payment.relay.id,
            relay: payment.relay.clone(),
            at: self.now(),
            forgiven: None,
            accusations: Vec::new(),
        });
        // What was forgiven stays so, however often it is looked at.
        let is_new = record.accusations.iter().all(|one| one.refusal != accusation.refusal);
        if is_new {
            record.accusations.push(accusation);
            record.forgiven = None;
            self.store.commit(Changes::default().put(&record)).await?;
            self.at("wallet.relay.caught");
            self.watch().warn(format!(
                "{} redeemed a certificate of a payment that it had refused under its signature; it is not paid any more: \
                 see `scrip relay list`",
                payment.relay.authority
            ));
        }
        Ok(Some(Culprit::Relay(payment.relay)))
    }

    /// The refused payment that a proof says the certificate was spent in.
    async fn refused_with(
        &self,
        proof: &ConflictProof,
    ) -> Result<Option<PaymentRecord>, WalletError> {
        let same =
            |one: &PaidWith| one.key == proof.certificate_key && one.binding == proof.other_binding;
        if proof.kind != SpendKind::Spend {
            return Ok(None);
        }
        let payments = self.store.all::<PaymentRecord>().await?;
        let mut refused = payments.into_iter().filter(|payment| {
            matches!(payment.state, PaymentState::Returned { refusal: Some(_), .. })
        });
        Ok(refused.find(|payment| payment.certificates.iter().any(same)))
    }
}
