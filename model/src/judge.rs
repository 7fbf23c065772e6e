//! Who is convicted by which documents: what an auditor or an arbiter makes of them, together with the ledger, which it can read.

use std::collections::BTreeSet;

use crate::act::Model;
use crate::document::{
    Day, Document, Item, Keys, Leaf, Message, Operator, Signed, Use, Verdict, Winner,
};
use crate::honest::fits;
use crate::state::{Holding, Stage, State};

/// The property that nobody honest is convicted.
pub(crate) const NOBODY_HONEST_IS_CONVICTED: &str = "nobody honest is convicted";
/// The property that nobody honest loses anything without documents that convict somebody.
pub(crate) const NO_LOSS_WITHOUT_PROOF: &str = "nobody honest loses without proof";
/// The property that an honest vendor's ledger credits or renews a certificate once.
pub(crate) const NOTHING_TWICE: &str = "nothing is credited twice";

/// Somebody who can be convicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The holder of the certificate.
    Wallet,
    /// An operator.
    Operator(Operator),
    /// The vendor.
    Vendor,
    /// The vendor or this operator: one of the two has lied.
    OneOf(Operator),
}

/// Whether somebody honest has lost a certificate, a lease, or the pay for one.
pub(crate) fn lost(model: &Model, state: &State) -> bool {
    let wallet = &state.wallet;
    let wallet_lost = wallet.holding == Holding::Elsewhere || wallet.ended.is_some();
    let unpaid = |stage: &Stage| matches!(stage, Stage::Ended(_) | Stage::Disputed);
    let relay_lost = (0..).zip(&state.relays).any(|(operator, relay)| {
        model.is_honest(Party::Operator(operator))
            && relay.payments.values().any(|(_, stage)| unpaid(stage))
    });
    (wallet_lost && model.is_honest(Party::Wallet)) || relay_lost
}

/// Who is convicted by all documents that there are.
pub(crate) fn convicted_by_everything(model: &Model, state: &State) -> BTreeSet<Party> {
    let all = state.net.iter().filter_map(|message| message.document(&model.rules)).collect();
    let mut parties = convicted(model, state, &all);
    let paid = state.net.iter().filter_map(|message| match *message {
        Message::Pay(item, _) | Message::Redeem(item) => Some(item.signed()),
        Message::Renew(request) => Some(crate::honest::renewal(request)),
        _ => None,
    });
    // An honest wallet defends itself with what it has, whatever else there is.
    let defence = if model.coalition.wallet { &all } else { &state.held };
    if double_spent(model, paid.collect(), defence) {
        parties.insert(Party::Wallet);
    }
    parties
}

/// Who is convicted by these documents and the ledger, whatever the others bring forward in their defence.
pub fn convicted(model: &Model, state: &State, documents: &BTreeSet<Document>) -> BTreeSet<Party> {
    let mut parties = BTreeSet::new();
    let everything = || state.net.iter().filter_map(|message| message.document(&model.rules));
    let valid = |document: &&Document| match document {
        Document::Outcome { key, .. } => counts(state, *key),
        _ => true,
    };
    let mut valid: Vec<Document> = documents.iter().filter(valid).copied().collect();
    let everybodys: BTreeSet<Document> = everything().collect();
    let signatures = || {
        let in_documents = documents.iter().flat_map(|document| signatures(*document));
        in_documents.chain(state.ledger.iter().map(|leaf| leaf.signed())).collect::<BTreeSet<_>>()
    };
    if double_spent(model, signatures(), &everybodys) {
        parties.insert(Party::Wallet);
    }
    // Whoever brings a refusal forward in its defence has brought it before the judge.
    valid.extend(signatures().iter().filter_map(|signed| {
        let defence = refusal_of(signed.over);
        everybodys.contains(&defence).then_some(defence)
    }));
    let vendor_lied = valid.iter().any(|document| untrue(model, state, *document, &valid));
    // Whoever audits the ledger sees a certificate in it twice.
    if vendor_lied || state.ledger.len() > 1 {
        parties.insert(Party::Vendor);
    }
    for document in &valid {
        let Document::Refusal(operator, payment) = *document else { continue };
        let is_it = |item: &Item| (item.operator, item.payment) == (operator, payment);
        let batch = |document: &Document| matches!(document, Document::Batch(item) if is_it(item));
        let credited = state.ledger.iter().any(|leaf| match leaf {
            Leaf::Redemption(item) => is_it(item),
            Leaf::Renewal(_) => false,
        });
        let signed = valid.iter().any(batch);
        if signed || (credited && !model.rules.batch_demanded) {
            parties.insert(Party::Operator(operator));
        } else if credited {
            // Without the batch the vendor may have written the leaf by itself.
            parties.insert(Party::OneOf(operator));
        }
    }
    parties
}

/// Whether the vendor's signature under this receipt key counts for others, by the manifests that the first operator kept.
fn counts(state: &State, key: u8) -> bool {
    match (key, state.relays[0].keys) {
        (0, Keys::Replaced) => false,
        (0, _) => true,
        (_, Keys::Endorsed) => true,
        // Anybody can make a key and call it the vendor's.
        (_, _) => false,
    }
}

/// The signatures of the certificate key in a document.
fn signatures(document: Document) -> Vec<Signed> {
    match document {
        Document::Batch(item) => vec![item.signed()],
        Document::Outcome { item, verdict: Verdict::DoubleSpent(proof, _), .. } => {
            vec![item.signed(), proof]
        }
        Document::Outcome { item, .. } => vec![item.signed()],
        Document::RenewalSpent { proof, .. } => vec![proof],
        Document::Receipt(..) | Document::Refusal(..) | Document::RenewalRefused(_) => vec![],
    }
}

/// The refusal that takes a use of the certificate back.
fn refusal_of(over: Use) -> Document {
    match over {
        Use::Spend { operator, payment, .. } => Document::Refusal(operator, payment),
        Use::Renewal { request } => Document::RenewalRefused(request),
    }
}

/// Whether the holder used the certificate twice: two bindings of which neither was refused.
fn double_spent(model: &Model, signatures: BTreeSet<Signed>, defence: &BTreeSet<Document>) -> bool {
    let refused = |over: Use| defence.contains(&refusal_of(over));
    let mut used = signatures.into_iter().map(|signed| signed.over).filter(|over| !refused(*over));
    match used.next() {
        Some(first) => used.any(|over| !over.same(first, &model.rules)),
        None => false,
    }
}

/// Whether this document of the vendor's is a lie, by itself, beside the ledger, or beside another one.
fn untrue(model: &Model, state: &State, document: Document, others: &[Document]) -> bool {
    match document {
        Document::Outcome { item, verdict: Verdict::Credited(leaf), .. } => {
            !is_credited(model, state, item, leaf)
        }
        Document::Outcome { item, verdict: Verdict::DoubleSpent(proof, winner), day, .. } => {
            proof.over.same(item.signed().over, &model.rules)
                || !won(model, state, proof, winner, day)
        }
        Document::Outcome { verdict: Verdict::Refused, .. } => model.rules.refusals_judged,
        Document::RenewalSpent { request, proof, winner, day } => {
            proof.over == (Use::Renewal { request }) || !won(model, state, proof, winner, day)
        }
        Document::RenewalRefused(request) => {
            let over = Use::Renewal { request };
            state.ledger.iter().any(|leaf| leaf.signed().over == over)
                || others.iter().any(|other| shows(*other, over))
        }
        Document::Receipt(..) | Document::Refusal(..) | Document::Batch(_) => false,
    }
}

/// Whether a leaf is what the vendor said that it credited.
fn is_credited(model: &Model, state: &State, item: Item, leaf: u8) -> bool {
    match state.ledger.get(usize::from(leaf)) {
        Some(Leaf::Redemption(there)) => {
            there.signed().over == item.signed().over
                && (model.rules.identity_judged || there.nonce == item.nonce)
        }
        _ => false,
    }
}

/// Whether the use that a double spend names is in the ledger, as far as it is due.
fn won(model: &Model, state: &State, proof: Signed, winner: Winner, said: Day) -> bool {
    if !fits(model, proof, winner) {
        return false;
    }
    if !model.rules.winner_checked {
        return true;
    }
    match winner {
        Winner::Leaf(at) => match state.ledger.get(usize::from(at)) {
            Some(Leaf::Redemption(there)) => there.signed().over == proof.over,
            _ => false,
        },
        Winner::Day(day) => {
            let is_it =
                |leaf: &Leaf| matches!(leaf, Leaf::Renewal(signed) if signed.over == proof.over);
            day <= said && (day >= state.day || state.ledger.iter().any(is_it))
        }
    }
}

/// Whether the vendor signed here that this use was recorded.
fn shows(document: Document, over: Use) -> bool {
    match document {
        Document::Outcome { verdict: Verdict::DoubleSpent(proof, _), .. }
        | Document::RenewalSpent { proof, .. } => proof.over == over,
        _ => false,
    }
}
