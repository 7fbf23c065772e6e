//! Payments from the moment when they are on disk to their definite answer (spending.md, "The retry rule").
//!
//! The recorded bytes are sent until there is a receipt (the certificates are spent) or the operator's signed refusal (they are free
//! again, for payments there). Nothing else changes anything: what a relay says without its signature, it could unsay.

use std::time::Duration;

use scrip_protocol::{
    id::{PaymentId, ResourceId, decode_base64url},
    problem::Problem,
    receipt::{Receipt, ReceiptEvent},
    redemption::ConflictProof,
    refusal::Refusal,
};

use super::{Culprit, Wallet};
use crate::{
    error::WalletError,
    net::{CallError, RelayClient},
    purse::Purse,
    records::{
        Blob, CertificateRecord, CertificateState, LeaseRecord, PaymentRecord, PaymentState,
        Purpose, Resource,
    },
    store::Changes,
};

/// How often the same bytes are sent before the caller is told.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

impl Wallet {
    /// Sends a recorded payment until there is a definite answer, a few times. `fresh` says that it was recorded just now
    /// and never sent.
    pub(super) async fn finish_payment(
        &self,
        client: &RelayClient,
        payment: PaymentRecord,
        fresh: bool,
    ) -> Result<LeaseRecord, WalletError> {
        let PaymentState::InFlight { request } = &payment.state else {
            return self.lease_of(&payment).await;
        };
        let mut attempt = 0;
        loop {
            self.at("wallet.payment.before_send");
            let answer = client.pay(payment.route, &request.0).await;
            self.at("wallet.payment.after_answer");
            attempt += 1;
            let error = match answer {
                Ok(receipt) => return self.settle(payment.id, receipt).await,
                Err(error) => error,
            };
            if fresh && attempt == 1 && certainly_not_sent(&error) {
                self.release(payment.id, None, None).await?;
                return Err(WalletError::call(&payment.relay.authority)(error));
            }
            let promise =
                |problem| Refusal::of(problem, &payment.operator_key, &payment.id).map(Blob);
            if let Some(refusal) = error.problem().and_then(promise) {
                let (id, problem) = (payment.id, error.problem().cloned());
                // Who is caught by the proof is on disk before the payment ends: the relay repeats its answer until then.
                let refused = self.refused_payment(payment, error).await?;
                self.release(id, problem.as_ref(), Some(refusal)).await?;
                return Err(refused);
            }
            if attempt == ATTEMPTS || certainly_not_sent(&error) {
                let PaymentRecord { id: payment, relay, .. } = payment;
                return Err(WalletError::PaymentOpen { payment, relay: relay.into(), error });
            }
            tokio::time::sleep(FIRST_PAUSE * attempt).await;
        }
    }

    /// Sends every open payment again. What still has no definite answer is an item of the second list. Payments from a
    /// backup wait where they are not `asked_for`: their certificates may have been spent since, somewhere else.
    pub(super) async fn resume_payments(
        &self,
        asked_for: bool,
    ) -> Result<(Vec<LeaseRecord>, Vec<WalletError>), WalletError> {
        let network = self.network().await;
        let (mut settled, mut open) = (Vec::new(), Vec::new());
        let old = self.copied().await?.map(|copy| copy.payments).unwrap_or_default();
        for payment in self.store.all::<PaymentRecord>().await? {
            if !matches!(payment.state, PaymentState::InFlight { .. }) {
                continue;
            }
            if !asked_for && old.contains(&payment.id) {
                self.watch().warn(format!(
                    "a payment of {} to {} was under way when the backup was made, and waits: see `scrip doctor`",
                    payment.credits, payment.relay.authority
                ));
                continue;
            }
            let client = network.relay(&payment.relay, self.environment.clock.clone())?;
            match self.finish_payment(&client, payment, false).await {
                Ok(lease) => settled.push(lease),
                Err(error) => open.push(error),
            }
        }
        Ok((settled, open))
    }

    /// Sends one open payment again; `None` where it came to an end meanwhile.
    pub(super) async fn repeat_payment(
        &self,
        id: PaymentId,
    ) -> Result<Option<LeaseRecord>, WalletError> {
        let payment = self.payment(id).await?;
        if !matches!(payment.state, PaymentState::InFlight { .. }) {
            return Ok(None);
        }
        let clock = self.environment.clock.clone();
        let client = self.network().await.relay(&payment.relay, clock)?;
        self.finish_payment(&client, payment, false).await.map(Some)
    }

    /// As [`Wallet::finish_payment`], for a payment that was recorded before. `None` where it was refused, so that another
    /// can be made.
    pub(super) async fn finish_recorded(
        &self,
        id: PaymentId,
        client: &RelayClient,
    ) -> Result<Option<LeaseRecord>, WalletError> {
        let payment = self.payment(id).await?;
        if matches!(payment.state, PaymentState::Returned { .. }) {
            return Ok(None);
        }
        match self.finish_payment(client, payment, false).await {
            Ok(lease) => Ok(Some(lease)),
            Err(
                WalletError::PaymentRefused { .. }
                | WalletError::RedeemedAfterRefusal { .. }
                | WalletError::RenewedAfterRefusal { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// In flight → spent; the receipt, the certificates and the lease in one transaction.
    async fn settle(&self, id: PaymentId, bytes: Vec<u8>) -> Result<LeaseRecord, WalletError> {
        let purse = self.lock_purse().await;
        let mut payment = self.payment(id).await?;
        if !matches!(payment.state, PaymentState::InFlight { .. }) {
            drop(purse);
            return self.lease_of(&payment).await;
        }
        let receipt = check_receipt(&payment, &bytes)?;
        let lease = self.lease_after(&mut payment, &receipt, &bytes).await?;
        payment.state = PaymentState::Settled { receipt: Blob(bytes), at: self.now() };
        let changed =
            certificates_of(&purse, &payment, |_| CertificateState::Spent { payment: id });
        let mut changes = Changes::default().put(&payment).put(&lease);
        changed.iter().for_each(|one| changes.add(one));
        self.commit_purse(purse, changes, changed).await?;
        self.at("wallet.payment.settled");
        Ok(lease)
    }

    /// In flight → free again: for payments to the operator that refused, or, where nothing was sent, for all.
    async fn release(
        &self,
        id: PaymentId,
        problem: Option<&Problem>,
        refusal: Option<Blob>,
    ) -> Result<(), WalletError> {
        let purse = self.lock_purse().await;
        let mut payment = self.payment(id).await?;
        if !matches!(payment.state, PaymentState::InFlight { .. }) {
            return Ok(());
        }
        let seen = refusal.is_some();
        let problem_type = problem.map(|problem| problem.problem);
        payment.state = PaymentState::Returned { problem: problem_type, refusal, at: self.now() };
        payment.purpose = None;
        let proof = problem.and_then(|problem| valid_proof(problem, &payment));
        let proven = proof.map(|proof| proof.certificate_key);
        let mut changed = certificates_of(&purse, &payment, |one| match one.state {
            _ if proven == Some(one.key) => CertificateState::SpentElsewhere,
            CertificateState::InFlight { doubtful: true, .. } => CertificateState::InDoubt,
            _ => CertificateState::Held,
        });
        for one in changed.iter_mut().filter(|_| seen) {
            one.seen_by.insert(payment.relay.id);
            if let Some(proof) = proof.filter(|proof| proof.certificate_key == one.key) {
                one.proof = Some(Blob(proof.encode()));
            }
        }
        let mut changes = Changes::default().put(&payment);
        changed.iter().for_each(|one| changes.add(one));
        self.commit_purse(purse, changes, changed).await?;
        self.at("wallet.payment.released");
        Ok(())
    }

    /// What is said of a refusal: where its proof is about another payment of this wallet, or a renewal, which was refused, who took
    /// that one is named.
    async fn refused_payment(
        &self,
        payment: PaymentRecord,
        error: CallError,
    ) -> Result<WalletError, WalletError> {
        let proof = error.problem().and_then(|problem| valid_proof(problem, &payment));
        let culprit = match proof {
            Some(proof) => self.catch(&proof).await?,
            None => None,
        };
        let relay = payment.relay.into();
        Ok(match culprit {
            Some(Culprit::Relay(redeemer)) => {
                WalletError::RedeemedAfterRefusal { relay, redeemer: redeemer.into(), error }
            }
            Some(Culprit::Vendor) => WalletError::RenewedAfterRefusal { relay, error },
            None => WalletError::PaymentRefused { relay, error },
        })
    }

    async fn payment(&self, id: PaymentId) -> Result<PaymentRecord, WalletError> {
        let unknown = || WalletError::Unknown { what: "payment", name: id.to_string() };
        self.store.get(id.as_bytes()).await?.ok_or_else(unknown)
    }

    /// The lease that a settled payment made or extended.
    async fn lease_of(&self, payment: &PaymentRecord) -> Result<LeaseRecord, WalletError> {
        let unknown = || WalletError::Unknown { what: "lease", name: payment.id.to_string() };
        let PaymentState::Settled { receipt, .. } = &payment.state else {
            return Err(unknown());
        };
        let id = check_receipt(payment, &receipt.0)?.lease_id;
        self.lease(&id).await?.ok_or_else(unknown)
    }

    pub(super) async fn lease(&self, id: &ResourceId) -> Result<Option<LeaseRecord>, WalletError> {
        Ok(self.store.get(id.as_bytes()).await?)
    }

    /// The lease as the receipt leaves it. Takes the secrets out of the payment.
    async fn lease_after(
        &self,
        payment: &mut PaymentRecord,
        receipt: &Receipt,
        bytes: &[u8],
    ) -> Result<LeaseRecord, WalletError> {
        let bad = |reason| WalletError::BadReceipt { relay: payment.relay.clone().into(), reason };
        let resource = match payment.purpose.take() {
            Some(Purpose::Queue { queue }) => Resource::Queue { queue },
            Some(Purpose::Chunk { chunk }) => Resource::Chunk { chunk },
            Some(Purpose::Extension { lease }) => {
                let mut lease =
                    self.lease(&lease).await?.ok_or_else(|| bad("the lease is gone"))?;
                lease.until = receipt.lease_until;
                lease.wanted = None;
                lease.receipts.push(Blob(bytes.to_vec()));
                return Ok(lease);
            }
            None => return Err(bad("the payment has no purpose")),
        };
        let other_id = <[u8; 24]>::try_from(receipt.detail.as_slice())
            .map_err(|_| bad("it does not name the resource's other address"))?;
        Ok(LeaseRecord {
            id: receipt.lease_id,
            relay: payment.relay.clone(),
            operator_key: payment.operator_key,
            other_id: ResourceId::from_bytes(other_id),
            resource,
            created: self.now(),
            until: receipt.lease_until,
            live: true,
            wanted: None,
            asked: None,
            receipts: vec![Blob(bytes.to_vec())],
        })
    }
}

/// Whether the receipt is signed by the relay's operator and is one for this payment.
fn check_receipt(payment: &PaymentRecord, bytes: &[u8]) -> Result<Receipt, WalletError> {
    let bad = |reason| WalletError::BadReceipt { relay: payment.relay.clone().into(), reason };
    let receipt = Receipt::open(bytes, &payment.operator_key)
        .map_err(|_| bad("it is not signed by the relay's operator"))?;
    if receipt.payment_id != payment.id {
        return Err(bad("it is for another payment"));
    }
    if u64::from(receipt.credits) != payment.credits.0 {
        return Err(bad("it names another amount"));
    }
    let fits = match (&payment.subject, receipt.event) {
        (crate::records::Subject::Extension { lease }, ReceiptEvent::Extended) => {
            *lease == receipt.lease_id
        }
        (crate::records::Subject::Extension { .. }, _) => false,
        (_, event) => event == ReceiptEvent::Provisioned,
    };
    if fits { Ok(receipt) } else { Err(bad("it is about something else")) }
}

/// The proof of a relay that a certificate of the payment was spent for something else, if it holds.
fn valid_proof(problem: &Problem, payment: &PaymentRecord) -> Option<ConflictProof> {
    let proof = decode_base64url(problem.conflict.as_deref()?)?;
    let proof = ConflictProof::decode(&proof).ok()?;
    let own = payment.certificates.iter().find(|one| one.key == proof.certificate_key)?;
    proof.verify(own.key.as_bytes(), &own.binding).ok()?;
    Some(proof)
}

fn certificates_of(
    purse: &Purse,
    payment: &PaymentRecord,
    state: impl Fn(&CertificateRecord) -> CertificateState,
) -> Vec<CertificateRecord> {
    let found = payment.certificates.iter().filter_map(|one| purse.get(&one.key));
    found.map(|one| CertificateRecord { state: state(one), ..one.clone() }).collect()
}

const fn certainly_not_sent(error: &CallError) -> bool {
    match error {
        CallError::Transport(error) => error.certainly_not_sent(),
        _ => false,
    }
}
