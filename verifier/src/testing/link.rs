//! The way to vendors in process, with everything that can happen on it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use scrip_protocol::{
    address::VendorAddress,
    id::{BatchDigest, VendorId},
    keys::{PublicKey, Signature},
    problem::ProblemType,
    redemption::{DoubleSpend, ItemResult, SignedBatch, Winner},
    spend::Binding,
};
use scrip_runtime::client::TransportError;

use super::{TestVendor, operator_key};
use crate::link::{NoAnswer, VendorLink};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It is answered.
    Answers,
    /// No connection comes about.
    Down,
    /// The vendor acts on it, and the answer is lost.
    LosesAnswer,
    /// The vendor acts on it, and only half of the answer arrives.
    CutsAnswer,
    /// The vendor acts on it, and one bit of the answer is flipped.
    FlipsBit,
    /// The vendor refuses the whole of it with this problem, and does nothing.
    Refuses(ProblemType),
    /// The outcome is for another batch.
    AnswersOtherBatch,
    /// The outcome is one result short.
    DropsResult,
    /// The outcome claims double spends, with signatures that do not verify.
    ClaimsWithoutProof,
    /// The outcome shows our own bindings as conflicts.
    ClaimsWithOwnBinding,
}

/// The way to the vendors that were added.
pub struct TestLink {
    vendors: BTreeMap<VendorId, Arc<TestVendor>>,
    operator_key: PublicKey,
    behaviour: Mutex<Behaviour>,
    batches: Mutex<Vec<Bytes>>,
    indigestible: Mutex<Option<Bytes>>,
    silent: Mutex<Option<VendorId>>,
}

impl TestLink {
    /// The way to `vendors`, for the operator of [`operator_key`].
    pub fn to<'a>(vendors: impl IntoIterator<Item = &'a Arc<TestVendor>>) -> Arc<Self> {
        let vendors = vendors.into_iter().map(|vendor| (vendor.id(), Arc::clone(vendor)));
        Arc::new(Self {
            vendors: vendors.collect(),
            operator_key: operator_key().public(),
            behaviour: Mutex::new(Behaviour::Answers),
            batches: Mutex::default(),
            indigestible: Mutex::default(),
            silent: Mutex::default(),
        })
    }

    /// From now on requests fare like this.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.behaviour) = behaviour;
    }

    /// From now on requests are answered, but for this one.
    pub fn refuse_only(&self, batch: &Bytes) {
        *lock(&self.indigestible) = Some(batch.clone());
        self.behave(Behaviour::Answers);
    }

    /// From now on batches for this vendor, which need not be one of those that were added, get no answer and no error.
    pub fn silence(&self, vendor: VendorId) {
        *lock(&self.silent) = Some(vendor);
    }

    /// The batches that were sent, in order, repetitions included, whatever came of them.
    pub fn batches(&self) -> Vec<Bytes> {
        lock(&self.batches).clone()
    }

    fn vendor(&self, address: &VendorAddress) -> Result<&TestVendor, NoAnswer> {
        self.vendors.get(&address.id).map(|vendor| &**vendor).ok_or_else(down)
    }

    fn answer(&self, vendor: &TestVendor, batch: &[u8]) -> Result<Bytes, NoAnswer> {
        let refused = || refuse(ProblemType::OperatorSignatureInvalid);
        let behaviour = *lock(&self.behaviour);
        if lock(&self.indigestible).as_ref().is_some_and(|one| one == batch) {
            return Err(refuse(ProblemType::Internal));
        }
        match behaviour {
            Behaviour::Down => return Err(down()),
            Behaviour::Refuses(problem) => return Err(refuse(problem)),
            Behaviour::ClaimsWithoutProof => return Ok(self.claim(vendor, batch, false)),
            Behaviour::ClaimsWithOwnBinding => return Ok(self.claim(vendor, batch, true)),
            Behaviour::AnswersOtherBatch | Behaviour::DropsResult => {
                return self.misfit(vendor, batch, behaviour).ok_or_else(refused);
            }
            _ => {}
        }
        let mut outcome = vendor.redeem(batch, &self.operator_key).ok_or_else(refused)?;
        match behaviour {
            Behaviour::LosesAnswer => return Err(interrupted()),
            Behaviour::CutsAnswer => outcome.truncate(outcome.len() / 2),
            Behaviour::FlipsBit => outcome[100] ^= 1,
            _ => {}
        }
        Ok(outcome.into())
    }

    fn misfit(&self, vendor: &TestVendor, bytes: &[u8], behaviour: Behaviour) -> Option<Bytes> {
        let signed = SignedBatch::decode(bytes).ok()?;
        let mut digest = signed.digest();
        let batch = signed.verify(&self.operator_key).ok()?;
        let mut results = vec![ItemResult::Accepted; batch.items.len()];
        if behaviour == Behaviour::DropsResult {
            results.pop();
        } else {
            digest = BatchDigest::from_bytes([9; 32]);
        }
        Some(vendor.outcome(&batch, digest, results).into())
    }

    fn claim(&self, vendor: &TestVendor, bytes: &[u8], own: bool) -> Bytes {
        let Ok(signed) = SignedBatch::decode(bytes) else { return Bytes::new() };
        let digest = signed.digest();
        let Ok(batch) = signed.verify(&self.operator_key) else { return Bytes::new() };
        let claims = batch.items.iter().filter_map(|item| {
            let binding = item.binding(&batch.vendor_id, &batch.operator_id);
            Some(ItemResult::DoubleSpent(DoubleSpend {
                certificate_key: item.token.certificate_key().ok()?,
                other_binding: if own { binding } else { Binding::from_bytes([7; 32]) },
                other_signature: if own { item.signature } else { Signature::from_bytes([7; 64]) },
                winner: Winner::Leaf(0),
            }))
        });
        vendor.outcome(&batch, digest, claims.collect()).into()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn down() -> NoAnswer {
    let (host, reason) = ("127.0.0.1:9".to_owned(), "refused".to_owned());
    TransportError::NotConnected { host, reason }.into()
}

fn interrupted() -> NoAnswer {
    let (host, reason) = ("127.0.0.1:9".to_owned(), "reset".to_owned());
    TransportError::Interrupted { host, reason }.into()
}

fn refuse(problem: ProblemType) -> NoAnswer {
    NoAnswer::Status { status: problem.status(), problem: Some(problem) }
}

impl VendorLink for TestLink {
    fn manifest<'a>(&'a self, vendor: &'a VendorAddress) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        Box::pin(async move {
            match *lock(&self.behaviour) {
                Behaviour::Down => Err(down()),
                _ => Ok(self.vendor(vendor)?.published().into()),
            }
        })
    }

    fn redeem<'a>(
        &'a self,
        vendor: &'a VendorAddress,
        batch: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        Box::pin(async move {
            lock(&self.batches).push(batch.clone());
            if *lock(&self.silent) == Some(vendor.id) {
                std::future::pending::<()>().await;
            }
            self.answer(self.vendor(vendor)?, &batch)
        })
    }
}
