//! The vendor's records: what was redeemed and renewed, and what it says of that.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use scrip_protocol::{
    check::{Spend, check_one},
    keys::{PublicKey, Signature},
    manifest::Manifest,
    media,
    problem::ProblemType,
    redemption::ConflictProof,
    renewal::{Renewal, RenewalItem, RenewalResult},
    spend::{Binding, SpendKind},
};
use scrip_runtime::clock::Clock;

use super::{
    FakeVendor,
    faults::{problem, typed},
};

/// What a certificate was voided by.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a test keeps few")]
pub(super) enum Record {
    Redeemed(Binding, Signature),
    Renewed(Renewal),
}

impl FakeVendor {
    /// Records a spend; `false` where the certificate was voided by something else before.
    pub(crate) fn redeem(&self, key: [u8; 32], binding: Binding, signature: Signature) -> bool {
        let mut books = self.books.lock().unwrap();
        match books.voided.entry(key).or_insert(Record::Redeemed(binding, signature)) {
            Record::Redeemed(first, _) => *first == binding,
            Record::Renewed(_) => false,
        }
    }

    /// How many certificates were renewed.
    pub(crate) fn renewed(&self) -> usize {
        let books = self.books.lock().unwrap();
        books.voided.values().filter(|record| matches!(record, Record::Renewed(_))).count()
    }

    /// The connections over which renewals came, and those of all else, each as often as it was used.
    pub(crate) fn connections(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let books = self.books.lock().unwrap();
        let of = |kind| {
            let some = books.connections.iter().filter(move |(is, _)| *is == kind);
            some.map(|(_, address)| *address).collect()
        };
        (of(true), of(false))
    }

    /// From now on everything is said to be spent.
    pub(crate) fn lie(&self, lies: bool) {
        self.books.lock().unwrap().lies = lies;
    }

    fn recorded(&self, key: &[u8; 32]) -> Option<Record> {
        let books = self.books.lock().unwrap();
        if books.lies {
            let invented = Signature::from_bytes([7; 64]);
            return Some(Record::Redeemed(Binding::from_bytes([7; 32]), invented));
        }
        books.voided.get(key).cloned()
    }

    fn renew(&self, manifest: &Manifest, item: &RenewalItem) -> Result<RenewalResult, ProblemType> {
        let old = manifest.key(&item.token.key_id).ok_or(ProblemType::KeyUnknown)?;
        let binding = item.binding(&self.id());
        let (token, signature) = (&item.token, &item.signature);
        let spend = Spend { token, key: old, kind: SpendKind::Renewal, binding, signature };
        check_one(&spend).map_err(|_| ProblemType::SpendSignatureInvalid)?;
        let key = item.token.nonce;
        if let Some(record) = self.recorded(&key) {
            return Ok(match record {
                Record::Renewed(renewal) => RenewalResult::Renewed(renewal),
                Record::Redeemed(binding, signature) => {
                    RenewalResult::Spent(proof(key, binding, signature))
                }
            });
        }
        let now = self.clock.now();
        if !old.windows().renews_at(now) {
            return Err(ProblemType::RenewalClosed);
        }
        let new = manifest.key(&item.blinded.key_id).ok_or(ProblemType::KeyUnknown)?;
        if !new.windows().issues_at(now) {
            return Err(ProblemType::KeyOutsideWindow);
        }
        assert_eq!(new.exponent(), old.exponent(), "one to one");
        let message = &item.blinded.blinded_message;
        let renewal = Renewal {
            key_id: new.id(),
            blinded_message: *message,
            blind_signature: self.sign(&new.id(), manifest, message).unwrap(),
            signature: item.signature,
        };
        let record = Record::Renewed(renewal.clone());
        self.books.lock().unwrap().voided.insert(key, record);
        Ok(RenewalResult::Renewed(renewal))
    }
}

pub(super) async fn note_connection(
    State(vendor): State<Arc<FakeVendor>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let of_old = request.uri().path() == "/v1/renewals";
    vendor.books.lock().unwrap().connections.push((of_old, client));
    next.run(request).await
}

fn proof(key: [u8; 32], other_binding: Binding, other_signature: Signature) -> ConflictProof {
    let certificate_key = PublicKey::from_bytes(key).expect("a key");
    ConflictProof { certificate_key, kind: SpendKind::Spend, other_binding, other_signature }
}

pub(super) async fn renewals(State(vendor): State<Arc<FakeVendor>>, body: Bytes) -> Response {
    let Ok(item) = RenewalItem::decode(&body) else {
        return problem(ProblemType::Malformed);
    };
    match vendor.renew(&vendor.manifest(), &item) {
        Ok(result) => (typed(media::RENEWAL_ANSWER), result.encode()).into_response(),
        Err(found) => problem(found),
    }
}
