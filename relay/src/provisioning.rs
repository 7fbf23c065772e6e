//! From a payment to a lease (verification.md, check 13), once, however often it is asked for.

use scrip_protocol::{
    id::{PaymentId, ResourceId},
    receipt::ReceiptEvent,
};
use scrip_verifier::Paid;

use crate::{
    core::{Core, Statement, paid_until},
    requests::{NewResource, RequestError, Route, Wanted},
    store::{Extended, Extension, NewLease, Provision, Provisioned},
};

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
        let provision = Provision {
            payment_id: paid.payment_id,
            credits: u32::try_from(paid.credits.0).map_err(|_| RequestError::TooMuch)?,
            seconds_per_credit: paid.seconds_per_credit,
        };
        let (wanted, _days) = self.parse(route, request)?;
        self.steps.at("relay.provision.before");
        let receipt = match wanted {
            Wanted::Extension { lease_id } => self.extend(provision, lease_id).await,
            Wanted::New(resource) => self.create(provision, resource).await,
        }?;
        self.steps.at("relay.provision.after");
        Ok(receipt)
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
        let Provision { payment_id, credits, seconds_per_credit } = provision;
        let lease_until = paid_until(self.now(), credits, seconds_per_credit);
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
        loop {
            let lease = self.extensible(lease_id).await?;
            let Provision { payment_id, credits, seconds_per_credit } = provision;
            let lease_until = paid_until(lease.lease_until, credits, seconds_per_credit);
            let receipt = self.sign(Statement {
                payment_id,
                event: ReceiptEvent::Extended,
                lease_id,
                lease_until,
                credits,
                detail: Vec::new(),
            });
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
    }
}
