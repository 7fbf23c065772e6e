//! The vendor's records: what was redeemed and renewed, and what it says of that.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use scrip_protocol::{
    check::{Spend, check_inquiry, check_one},
    inquiry::{Inquiry, InquiryAnswer, InquiryResult},
    keys::{PublicKey, Signature, SigningKey},
    manifest::Manifest,
    media,
    problem::ProblemType,
    redemption::ConflictProof,
    renewal::{Renewal, RenewalAnswer, RenewalItem, RenewalRequest, RenewalResult},
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

    /// How many certificates the largest request held.
    pub(crate) fn largest_renewal(&self) -> usize {
        self.books.lock().unwrap().largest_renewal
    }

    /// The connections over which renewals and inquiries came, and those of all else, each as often as it was used.
    pub(crate) fn connections(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let books = self.books.lock().unwrap();
        let of = |kind| {
            let some = books.connections.iter().filter(move |(is, _)| *is == kind);
            some.map(|(_, address)| *address).collect()
        };
        (of(true), of(false))
    }

    /// How many inquiries came.
    pub(crate) fn inquiries(&self) -> usize {
        self.books.lock().unwrap().inquiries
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
            day: now.day(),
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
    let of_old = ["/v1/renewals", "/v1/inquiries"].contains(&request.uri().path());
    vendor.books.lock().unwrap().connections.push((of_old, client));
    next.run(request).await
}

fn proof(key: [u8; 32], other_binding: Binding, other_signature: Signature) -> ConflictProof {
    let certificate_key = PublicKey::from_bytes(key).expect("a key");
    ConflictProof { certificate_key, kind: SpendKind::Spend, other_binding, other_signature }
}

pub(super) async fn renewals(State(vendor): State<Arc<FakeVendor>>, body: Bytes) -> Response {
    let Ok(request) = RenewalRequest::decode(&body) else {
        return problem(ProblemType::Malformed);
    };
    {
        let mut books = vendor.books.lock().unwrap();
        books.largest_renewal = books.largest_renewal.max(request.items.len());
    }
    let manifest = vendor.manifest();
    // What was renewed before a refusal stays so here; a wallet must be able to live with that.
    let results = request.items.iter().map(|item| vendor.renew(&manifest, item)).collect();
    match results {
        Ok(results) => {
            (typed(media::RENEWAL_ANSWER), RenewalAnswer { results }.encode()).into_response()
        }
        Err(found) => problem(found),
    }
}

pub(super) async fn inquiries(State(vendor): State<Arc<FakeVendor>>, body: Bytes) -> Response {
    let Ok(inquiry) = Inquiry::decode(&body) else { return problem(ProblemType::Malformed) };
    vendor.books.lock().unwrap().inquiries += 1;
    let manifest = vendor.manifest();
    let Some(key) = manifest.key(&inquiry.token.key_id) else {
        return problem(ProblemType::KeyUnknown);
    };
    if check_inquiry(&inquiry, key).is_err() {
        return problem(ProblemType::SpendSignatureInvalid);
    }
    let nonce = inquiry.token.nonce;
    let result = match vendor.recorded(&nonce) {
        Some(Record::Renewed(renewal)) => InquiryResult::Renewed(renewal),
        Some(Record::Redeemed(binding, signature)) => {
            InquiryResult::Spent(proof(nonce, binding, signature))
        }
        None if key.windows().redeems_at(vendor.clock.now()) => InquiryResult::Unrecorded,
        None => InquiryResult::Expired,
    };
    let answer = InquiryAnswer {
        vendor_id: vendor.id(),
        inquiry_digest: inquiry.digest(),
        time: vendor.clock.now(),
        result,
    };
    (typed(media::INQUIRY_ANSWER), answer.sign(&SigningKey::from_seed(&[2; 32]))).into_response()
}
