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
    id::VendorId,
    keys::{PublicKey, Signature, SigningKey},
    manifest::Manifest,
    media,
    problem::{Problem, ProblemType},
    redemption::ConflictProof,
    renewal::{Renewal, RenewalItem, RenewalRefusal, RenewalResult, RenewalSpent},
    spend::{Binding, SpendKind},
    tlog::{checkpoint::Checkpoint, hash::TreeHash, note::KeyName},
};
use scrip_runtime::clock::Clock;

use super::{
    FakeVendor,
    faults::{answer_problem, problem, typed},
};

/// Makes another answer of one that a certificate was spent.
pub(crate) type Rewriting =
    Box<dyn Fn(&FakeVendor, &RenewalItem, RenewalResult) -> RenewalResult + Send>;

/// How a renewal is refused by a vendor that may be lying. Nothing of it is remembered.
#[derive(Clone, Copy)]
pub(crate) enum Refusing {
    /// As it should be.
    Signed(ProblemType),
    /// With another reason in the document than in the signature.
    OtherReason(ProblemType),
    /// By a key that is not the vendor's.
    OtherKey(ProblemType),
    /// With the refusal of another renewal of the same certificate.
    OtherRenewal(ProblemType),
    /// In another vendor's name.
    OtherVendor(ProblemType),
}

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

    /// The next renewals are refused in these ways.
    pub(crate) fn refuse_renewals(&self, ways: impl IntoIterator<Item = Refusing>) {
        self.books.lock().unwrap().refusing.extend(ways);
    }

    /// From now on answers that a certificate was spent are rewritten so.
    pub(crate) fn rewrite_spent(&self, how: Option<Rewriting>) {
        *self.rewriting.lock().unwrap() = how;
    }

    /// The renewals that came so far.
    pub(crate) fn renewals_asked(&self) -> Vec<RenewalItem> {
        self.books.lock().unwrap().asked.clone()
    }

    /// Says under its signature that the certificate of a renewal was spent, in leaf 4 of a ledger of `size`.
    pub(crate) fn spent(
        &self,
        item: &RenewalItem,
        proof: ConflictProof,
        size: u64,
    ) -> RenewalResult {
        let origin = KeyName::of_ledger(&self.id());
        let checkpoint = Checkpoint { origin, size, root: TreeHash::from_bytes([7; 32]) };
        let spent = RenewalSpent {
            vendor_id: self.id(),
            key_id: item.token.key_id,
            binding: item.binding(&self.id()),
            proof,
            leaf: 4,
            checkpoint: checkpoint.sign(&receipt_key()).unwrap().encode().into_bytes(),
        };
        RenewalResult::Spent(spent.sign(&receipt_key()))
    }

    fn refusal(&self, item: &RenewalItem, problem: ProblemType) -> RenewalRefusal {
        RenewalRefusal {
            vendor_id: self.id(),
            certificate_key: item.token.certificate_key().unwrap(),
            binding: item.binding(&self.id()),
            day: self.clock.now().day(),
            manifest_version: self.manifest().version(),
            problem,
        }
    }

    fn lying_refusal(&self, item: &RenewalItem, how: Refusing) -> Problem {
        let truth = |problem| self.refusal(item, problem);
        match how {
            Refusing::Signed(problem) => truth(problem).problem(&receipt_key()),
            Refusing::OtherReason(problem) => {
                let document = truth(problem).problem(&receipt_key());
                Problem { refusal: document.refusal, ..Problem::new(ProblemType::NotFound) }
            }
            Refusing::OtherKey(problem) => {
                truth(problem).problem(&SigningKey::from_seed(&[66; 32]))
            }
            Refusing::OtherRenewal(problem) => {
                let binding = Binding::from_bytes([66; 32]);
                RenewalRefusal { binding, ..truth(problem) }.problem(&receipt_key())
            }
            Refusing::OtherVendor(problem) => {
                let vendor_id = VendorId::from_bytes([66; 32]);
                RenewalRefusal { vendor_id, ..truth(problem) }.problem(&receipt_key())
            }
        }
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

    fn renew(
        &self,
        manifest: &Manifest,
        item: &RenewalItem,
    ) -> Result<RenewalResult, Box<Problem>> {
        let refusing = {
            let mut books = self.books.lock().unwrap();
            books.asked.push(item.clone());
            books.refusing.pop_front()
        };
        if let Some(how) = refusing {
            return Err(self.lying_refusal(item, how).into());
        }
        let old = manifest
            .key(&item.token.key_id)
            .ok_or_else(|| Problem::new(ProblemType::KeyUnknown))?;
        let binding = item.binding(&self.id());
        let (token, signature) = (&item.token, &item.signature);
        let spend = Spend { token, key: old, kind: SpendKind::Renewal, binding, signature };
        check_one(&spend).map_err(|_| Problem::new(ProblemType::SpendSignatureInvalid))?;
        let key = item.token.nonce;
        if let Some(record) = self.recorded(&key) {
            return Ok(match record {
                Record::Renewed(renewal) => RenewalResult::Renewed(renewal),
                Record::Redeemed(binding, signature) => {
                    let truth = self.spent(item, proof(key, binding, signature), 9);
                    match &*self.rewriting.lock().unwrap() {
                        Some(rewrite) => rewrite(self, item, truth),
                        None => truth,
                    }
                }
            });
        }
        let now = self.clock.now();
        let name = (key, *binding.as_bytes());
        let before = self.books.lock().unwrap().refused.get(&name).copied();
        let refused = |problem, for_ever: bool| {
            if for_ever {
                self.books.lock().unwrap().refused.insert(name, problem);
                return Box::new(self.refusal(item, problem).problem(&receipt_key()));
            }
            Box::new(Problem::new(problem))
        };
        if let Some(problem) = before {
            return Err(refused(problem, true));
        }
        if !old.windows().renews_at(now) {
            return Err(refused(ProblemType::RenewalClosed, now >= old.windows().spend_until));
        }
        let new = manifest
            .key(&item.blinded.key_id)
            .ok_or_else(|| Problem::new(ProblemType::KeyUnknown))?;
        if !new.windows().issues_at(now) {
            return Err(refused(ProblemType::KeyOutsideWindow, now >= new.windows().issue_until));
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
        Err(document) => answer_problem(&document),
    }
}

/// As it is in the manifest.
fn receipt_key() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}
