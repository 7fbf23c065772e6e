//! Every decoder, chosen by the first byte. What decodes must encode to the same bytes; nothing may panic.
//!
//! The fuzz target and `tests/fuzzed.rs` include this file: one draws inputs for as long as one likes, the other feeds
//! it the vectors.

use std::str::FromStr;

use scrip_protocol::id::VendorId;
use scrip_protocol::issuance::{IssuanceAnswer, IssuanceRequest};
use scrip_protocol::keys::{PublicKey, Signature, SigningKey};
use scrip_protocol::ledger::{BatchReceipt, Leaf, OwnLeaves, SignedLedgerQuery};
use scrip_protocol::manifest::{Manifest, ProvenManifest};
use scrip_protocol::pack::Pack;
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::problem::Problem;
use scrip_protocol::receipt::Receipt;
use scrip_protocol::redemption::{ConflictProof, RedemptionOutcome, SignedBatch};
use scrip_protocol::refusal::{Accusation, Refusal};
use scrip_protocol::renewal::{
    Complaint, RenewalItem, RenewalRefusal, RenewalResult, SignedRenewalSpent,
};
use scrip_protocol::resource::{CommandAuth, LeaseStatus, RelayInfo, ResourceRequest};
#[cfg(feature = "solvency")]
use scrip_protocol::solvency::Solvency;
use scrip_protocol::tlog::checkpoint::Checkpoint;
use scrip_protocol::tlog::hash::TreeHash;
use scrip_protocol::tlog::note::{Note, NoteSignature, VerifierKey};
use scrip_protocol::tlog::proof::LogProof;
use scrip_protocol::tlog::tile::{EntryBundle, PublicBundle, TilePath};
use scrip_protocol::tlog::tree::Frontier;
use scrip_protocol::tlog::witness::AddCheckpoint;
use scrip_protocol::token::{Token, TokenRequest};
use scrip_protocol::voided::{ProvenIndex, SignedVoidedIndex};

fn same(decoded: Option<Vec<u8>>, bytes: &[u8]) {
    if let Some(encoded) = decoded {
        assert_eq!(encoded, bytes);
    }
}

fn key() -> PublicKey {
    SigningKey::from_seed(&[3; 32]).public()
}

/// How many kinds the first byte chooses from.
pub const KINDS: u8 = 26;

/// Decodes what follows the first byte, as what that byte chooses.
pub fn decode(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    match which % KINDS {
        0 => same(Token::decode(bytes).ok().map(|t| t.encode().to_vec()), bytes),
        1 => same(TokenRequest::decode(bytes).ok().map(|t| t.encode()), bytes),
        2 => same(PaidRequest::decode(bytes).ok().map(|p| p.encode()), bytes),
        3 => same(IssuanceRequest::decode(bytes).ok().map(|r| r.encode()), bytes),
        4 => same(IssuanceAnswer::decode(bytes).ok().map(|r| r.encode()), bytes),
        5 => same(ResourceRequest::decode(bytes).ok().map(|r| r.encode()), bytes),
        6 => same(ConflictProof::decode(bytes).ok().map(|p| p.encode()), bytes),
        7 => same(LeaseStatus::decode(bytes).ok().map(|l| l.encode()), bytes),
        8 => drop(SignedBatch::decode(bytes).map(|b| b.verify(&key()))),
        9 => drop(RedemptionOutcome::open(bytes, &key())),
        10 => {
            drop(Receipt::open(bytes, &key()));
            let _ = Refusal::open(bytes, &key());
            drop(Accusation::from_json(bytes).map(|accusation| accusation.open()));
        }
        11 => drop(Manifest::open(bytes, &VendorId::from_bytes([1; 32]))),
        13 => same(RenewalItem::decode(bytes).ok().map(|r| r.encode()), bytes),
        14 => {
            same(RenewalResult::decode(bytes).ok().map(|r| r.encode()), bytes);
            same(SignedRenewalSpent::decode(bytes).ok().map(|s| s.encode()), bytes);
            let _ = RenewalRefusal::open(bytes, &key());
            drop(Complaint::from_json(bytes).map(|complaint| complaint.open(&[key()]).is_ok()));
        }
        15 => {
            same(SignedVoidedIndex::decode(bytes).ok().map(|i| i.encode()), bytes);
            same(ProvenIndex::decode(bytes).ok().map(|p| p.encode()), bytes);
        }
        24 => {
            let vendor = VendorId::from_bytes([1; 32]);
            same(ProvenManifest::open(bytes, &vendor).ok().map(|p| p.encode()), bytes);
        }
        12 => drop(CommandAuth::from_header(text).map(|auth| assert_eq!(auth.to_header(), text))),
        16 => same(Leaf::decode(bytes).ok().map(|l| l.encode()), bytes),
        17 => same(OwnLeaves::decode(bytes).ok().map(|o| o.encode()), bytes),
        18 => same(BatchReceipt::decode(bytes).ok().map(|r| r.encode()), bytes),
        19 => same(Note::parse(bytes).ok().map(|n| n.encode().into()), bytes),
        20 => same(AddCheckpoint::parse(bytes).ok().map(|a| a.encode().into()), bytes),
        21 => same(LogProof::parse(bytes).ok().map(|p| p.encode().into()), bytes),
        22 => {
            same(TilePath::from_str(text).ok().map(|p| p.to_string().into()), text.as_bytes());
            same(VerifierKey::from_str(text).ok().map(|k| k.to_string().into()), text.as_bytes());
            drop(Checkpoint::parse(text));
            same(TreeHash::from_str(text).ok().map(|h| h.to_string().into()), text.as_bytes());
            same(NoteSignature::from_str(text).ok().map(|s| s.to_string().into()), text.as_bytes());
            same(PublicKey::from_str(text).ok().map(|k| k.to_string().into()), text.as_bytes());
            same(Signature::from_str(text).ok().map(|s| s.to_string().into()), text.as_bytes());
            same(Pack::from_str(text).ok().map(|p| p.to_string().into()), text.as_bytes());
        }
        23 => {
            same(EntryBundle::decode(bytes, 3).ok().map(|b| b.encode()), bytes);
            same(PublicBundle::decode(bytes, 3).ok().map(|b| b.encode()), bytes);
            same(Frontier::decode(bytes).ok().map(|f| f.encode()), bytes);
        }
        _ => {
            #[cfg(feature = "solvency")]
            drop(Solvency::decode(bytes));
            let _ = SignedLedgerQuery::decode(bytes).map(|q| q.verify(&key()));
            drop(Problem::from_json(bytes));
            drop(RelayInfo::open(bytes, "", &scrip_protocol::id::OperatorId::from_bytes([0; 32])));
        }
    }
}
