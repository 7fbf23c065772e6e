//! The results of a batch as they are stored: the items of the outcome (redemption.md) one after the other, but without the leaf of
//! the spend that won: it may have none yet when the batch is decided.

use scrip_protocol::{
    limits::CONFLICT_PROOF,
    redemption::{ConflictProof, DoubleSpend, InvalidReason, ItemResult, Winner},
    spend::SpendKind,
    time::Day,
};

use super::NO_LEAF;
use crate::store::{StoreError, TxError};

const ACCEPTED: u8 = 1;
const ALREADY_ACCEPTED: u8 = 2;
const DOUBLE_SPENT: u8 = 3;
const EXPIRED: u8 = 4;
const INVALID: u8 = 5;

pub(super) fn encode(results: &[ItemResult]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(results.len());
    for result in results {
        match result {
            ItemResult::Accepted => bytes.push(ACCEPTED),
            ItemResult::AlreadyAccepted => bytes.push(ALREADY_ACCEPTED),
            ItemResult::DoubleSpent(spend) => {
                bytes.push(DOUBLE_SPENT);
                bytes.extend(spend.proof().encode());
                if let Winner::Renewed(day) = spend.winner {
                    bytes.extend(day.0.to_be_bytes());
                }
            }
            ItemResult::Expired => bytes.push(EXPIRED),
            ItemResult::Invalid(reason) => bytes.extend([INVALID, reason.code()]),
        }
    }
    bytes
}

pub(in crate::store) fn decode(mut bytes: &[u8]) -> Result<Vec<ItemResult>, TxError> {
    let mut results = Vec::new();
    while !bytes.is_empty() {
        let (result, rest) = decode_one(bytes).ok_or(StoreError::Damaged { table: "batches" })?;
        results.push(result);
        bytes = rest;
    }
    Ok(results)
}

fn decode_one(bytes: &[u8]) -> Option<(ItemResult, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    Some(match *kind {
        ACCEPTED => (ItemResult::Accepted, rest),
        ALREADY_ACCEPTED => (ItemResult::AlreadyAccepted, rest),
        DOUBLE_SPENT => {
            let (proof, rest) = rest.split_at_checked(CONFLICT_PROOF)?;
            let proof = ConflictProof::decode(proof).ok()?;
            let (winner, rest) = match proof.kind {
                SpendKind::Spend => (Winner::Leaf(NO_LEAF), rest),
                SpendKind::Renewal => {
                    let (day, rest) = rest.split_first_chunk::<4>()?;
                    (Winner::Renewed(Day(u32::from_be_bytes(*day))), rest)
                }
            };
            (ItemResult::DoubleSpent(DoubleSpend::new(proof, winner)), rest)
        }
        EXPIRED => (ItemResult::Expired, rest),
        INVALID => {
            let (reason, rest) = rest.split_first()?;
            (ItemResult::Invalid(InvalidReason::from_code(*reason)?), rest)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use scrip_protocol::{
        keys::{PublicKey, Signature},
        spend::Binding,
    };

    use super::*;

    #[test]
    fn every_result_comes_back() {
        let spend = DoubleSpend {
            certificate_key: PublicKey::from_bytes([1; 32]).unwrap(),
            other_binding: Binding::from_bytes([2; 32]),
            other_signature: Signature::from_bytes([3; 64]),
            winner: Winner::Leaf(NO_LEAF),
        };
        let renewed = DoubleSpend { winner: Winner::Renewed(Day(20_000)), ..spend };
        let results = vec![
            ItemResult::Accepted,
            ItemResult::DoubleSpent(spend),
            ItemResult::DoubleSpent(renewed),
            ItemResult::AlreadyAccepted,
            ItemResult::Invalid(InvalidReason::SpendSignature),
            ItemResult::Expired,
        ];
        let bytes = encode(&results);
        assert_eq!(decode(&bytes).unwrap(), results);
        for bad in [&[0][..], &[6], &[5], &[5, 7], &[3, 1, 2], &bytes[..5]] {
            assert!(decode(bad).is_err(), "{bad:?}");
        }
    }
}
