//! From a payment to a lease (verification.md, check 13), once, however often it is asked for.

use scrip_protocol::{
    id::{PaymentId, ResourceId},
    receipt::ReceiptEvent,
    time::UnixSeconds,
};
use scrip_verifier::Paid;

use crate::{
    access::Role,
    core::{Core, Statement, paid_until},
    requests::{NewResource, RequestError, Route, Wanted},
    store::{Extended, Extension, NewLease, Provision, Provisioned, Revival, Revived},
};

/// How often the receipt of an extension is made anew before its client is told to come again. Each time another payment
/// of the same lease got through.
const EXTENSION_ATTEMPTS: usize = 64;

impl Core {
    /// Provisions what `request` asks for and returns the signed receipt. A payment that has bought something already
    /// gets the same receipt.
    pub(crate) async fn provision(
        &self,
        route: Route,
        request: &[u8],
        paid: &Paid,
    ) -> Result<Vec<u8>, RequestError> {
        if let Some(receipt) = self.receipt_of(&paid.payment_id).await? {
            return Ok(receipt);
        }
        let provision = self.provision_of(paid)?;
        let (wanted, _days) = self.parse(route, request)?;
        self.steps.at("relay.provision.before");
        let receipt = match wanted {
            Wanted::Extension { lease_id } => self.extend(provision, lease_id).await,
            Wanted::New(resource) => self.create(provision, resource).await,
        }?;
        self.steps.at("relay.provision.after");
        Ok(receipt)
    }

    /// Provisions an extension whose lease ended while the vendor was asked about its payment. The vendor has credited it,
    /// so that it cannot be given back: the lease goes on from now. What was collected in the meantime is lost.
    pub(crate) async fn revive(
        &self,
        route: Route,
        request: &[u8],
        paid: &Paid,
    ) -> Result<Vec<u8>, RequestError> {
        let provision = self.provision_of(paid)?;
        let (Wanted::Extension { lease_id }, _days) = self.parse(route, request)? else {
            return Err(RequestError::WrongRoute);
        };
        let lease = self.find(lease_id, Role::Holder).await?.ok_or(RequestError::UnknownLease)?;
        let now = self.believed.earlier();
        let (receipt, lease_until) = self.extension(provision, lease_id, self.counts_from());
        self.steps.at("relay.revive.before");
        let revival = Revival {
            provision,
            lease: lease.number,
            kind: lease.kind,
            now,
            lease_until,
            receipt: receipt.clone(),
        };
        let revived = self.store.revive(revival, self.capacity).await?;
        self.steps.at("relay.revive.after");
        match revived {
            Revived::Done => Ok(receipt),
            Revived::Before(receipt) => Ok(receipt),
            Revived::NotNow => Err(RequestError::Overtaken),
            Revived::NoSpace => Err(RequestError::NoSpace),
        }
    }

    /// The receipt of a payment, if it bought something.
    pub(crate) async fn receipt_of(
        &self,
        payment: &PaymentId,
    ) -> Result<Option<Vec<u8>>, RequestError> {
        Ok(self.store.reader().receipt_of_payment(*payment).await?)
    }

    async fn create(
        &self,
        provision: Provision,
        resource: NewResource,
    ) -> Result<Vec<u8>, RequestError> {
        // Drawn independently, so that nobody who knows one address knows the other.
        let lease_id = ResourceId::from_bytes(self.random());
        let peer_id = ResourceId::from_bytes(self.random());
        let Provision { payment_id, credits, seconds_per_credit, .. } = provision;
        let lease_until = paid_until(self.counts_from(), credits, seconds_per_credit);
        let receipt = self.sign(Statement {
            payment_id,
            event: ReceiptEvent::Provisioned,
            lease_id,
            lease_until,
            credits,
            detail: peer_id.as_bytes().to_vec(),
        });
        let new = NewLease {
            provision,
            lease_id,
            peer_id,
            owner_key: resource.owner_key,
            peer_key: resource.peer_key,
            kind: resource.kind,
            lease_until,
            receipt: receipt.clone(),
        };
        match self.store.provision(new, self.capacity).await? {
            Provisioned::Done => Ok(receipt),
            Provisioned::Before(receipt) => Ok(receipt),
            Provisioned::NoSpace => Err(RequestError::NoSpace),
        }
    }

    /// Extends a live lease from its present end. Where somebody else moves that end in the meantime, the receipt is
    /// made anew: every pass means that another payment got through.
    async fn extend(
        &self,
        provision: Provision,
        lease_id: ResourceId,
    ) -> Result<Vec<u8>, RequestError> {
        for _ in 0..EXTENSION_ATTEMPTS {
            let lease = self.extensible(lease_id).await?;
            let (receipt, lease_until) = self.extension(provision, lease_id, lease.lease_until);
            let extension = Extension {
                provision,
                lease: lease.number,
                expected_until: lease.lease_until,
                lease_until,
                receipt: receipt.clone(),
            };
            match self.store.extend(extension).await? {
                Extended::Done => return Ok(receipt),
                Extended::Before(receipt) => return Ok(receipt),
                Extended::Overtaken => {}
            }
        }
        Err(RequestError::Overtaken)
    }

    /// The receipt of an extension that counts from `from`, and the end of the lease in it.
    fn extension(
        &self,
        provision: Provision,
        lease_id: ResourceId,
        from: UnixSeconds,
    ) -> (Vec<u8>, UnixSeconds) {
        let Provision { payment_id, credits, seconds_per_credit, .. } = provision;
        let lease_until = paid_until(from, credits, seconds_per_credit);
        let receipt = self.sign(Statement {
            payment_id,
            event: ReceiptEvent::Extended,
            lease_id,
            lease_until,
            credits,
            detail: Vec::new(),
        });
        (receipt, lease_until)
    }

    fn provision_of(&self, paid: &Paid) -> Result<Provision, RequestError> {
        Ok(Provision {
            payment_id: paid.payment_id,
            made_at: self.now(),
            credits: u32::try_from(paid.credits.0).map_err(|_| RequestError::TooMuch)?,
            seconds_per_credit: paid.seconds_per_credit,
        })
    }
}
