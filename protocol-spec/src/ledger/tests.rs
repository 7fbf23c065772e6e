#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::credits::{Credits, Exponent};
use crate::id::{ManifestDigest, OperatorId, VendorId};
use crate::keys::{PublicKey, Signature, SigningKey};
use crate::redemption::RedemptionItem;
use crate::spend::{Binding, Commitment};
use crate::time::{Day, UnixSeconds};
use crate::token::Token;

fn token() -> Token {
    Token {
        nonce: [1; 32],
        challenge_digest: [2; 32],
        key_id: crate::id::KeyId::from_bytes([3; 32]),
        authenticator: [4; 256],
    }
}

fn exponent(k: u8) -> Exponent {
    Exponent::new(k).unwrap()
}

fn tally(kind: TallyKind) -> Tally {
    Tally {
        kind,
        day: Day(20_000),
        operator_id: (kind == TallyKind::Redeemed).then(|| OperatorId::from_bytes([5; 32])),
        epoch: 9,
        counts: vec![
            Count { exponent: exponent(0), certificates: 3 },
            Count { exponent: exponent(31), certificates: 1 },
        ],
        blinding: [6; 32],
    }
}

fn statement() -> Statement {
    Statement {
        vendor_id: VendorId::from_bytes([1; 32]),
        operator_id: OperatorId::from_bytes([2; 32]),
        number: 3,
        day: Day(20_000),
        from: 256,
        until: 1_024,
        currency: "EUR".parse().unwrap(),
        earned: vec![EarnedLine { contract: 1, epoch: 2, exponent: exponent(3), certificates: 4 }],
        resold: vec![ResoldLine { contract: 1, purchases: 2, credits: Credits(536) }],
        adjustments: vec![Adjustment { amount: -3_500_000, reason: "a broken disk".into() }],
        settled: vec![Settled { epoch: 2, credits: Credits(32), blinding: [7; 32] }],
        total: -1,
    }
}

fn contract() -> Contract {
    Contract {
        operator_key: PublicKey::from_bytes([8; 32]).unwrap(),
        number: 1,
        day: Day(20_000),
        currency: "XMR".parse().unwrap(),
        price: 2_000,
        share: 7_000,
        resale_price: 1_500,
        salt: [9; 32],
    }
}

fn leaves() -> Vec<Leaf> {
    let item = RedemptionItem {
        token: token(),
        day: Day(20_000),
        commitment: Commitment::from_bytes([5; 32]),
        signature: Signature::from_bytes([6; 64]),
    };
    let mut leaves = vec![
        Leaf::Cover([7; 32]),
        Leaf::Redemption(Box::new(Redemption {
            operator_id: OperatorId::from_bytes([8; 32]),
            item,
        })),
        Leaf::Renewal(Box::new(RenewalEvidence {
            token: token(),
            day: Day(20_001),
            binding: Binding::from_bytes([9; 32]),
            signature: Signature::from_bytes([10; 64]),
        })),
        Leaf::Sales(Sales {
            day: Day(20_000),
            source: SourceName::new("google").unwrap(),
            test: true,
            operator_id: None,
            purchases: 2,
            credits: Credits(1_072),
            salt: [11; 32],
        }),
        Leaf::Manifest(ManifestVersion {
            version: 4,
            digest: ManifestDigest::from_bytes([12; 32]),
        }),
        Leaf::Contract(contract()),
        Leaf::Statement(statement().sign(&SigningKey::from_seed(&[1; 32])).unwrap()),
    ];
    leaves.extend(TallyKind::ALL.map(|kind| Leaf::Tally(tally(kind))));
    let kinds = TallyKind::ALL.map(CommitmentKind::Tally).into_iter();
    leaves.extend(kinds.chain([CommitmentKind::Settled]).map(|kind| {
        Leaf::Commitment(ValueCommitment {
            kind,
            epoch: 9,
            commitment: [13; 32],
            leaf_hash: Leaf::Tally(tally(TallyKind::Sold)).hash(),
        })
    }));
    leaves
}

#[test]
fn every_leaf_comes_back_and_no_prefix_of_one_does() {
    for leaf in leaves() {
        let bytes = leaf.encode();
        assert_eq!(Leaf::decode(&bytes), Ok(leaf.clone()));
        for end in 0..bytes.len() {
            assert!(Leaf::decode(&bytes[..end]).is_err(), "{leaf:?} cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Leaf::decode(&longer).is_err(), "{leaf:?} and a byte more");
    }
    let public = leaves().into_iter().filter(Leaf::is_public).count();
    assert_eq!(public, 7, "manifests and commitments");
}

#[test]
fn what_no_vendor_may_write_does_not_parse() {
    let spoiled = |spoil: fn(&mut Tally)| {
        let mut tally = tally(TallyKind::Redeemed);
        spoil(&mut tally);
        Leaf::decode(&Leaf::Tally(tally).encode())
    };
    assert!(spoiled(|_| ()).is_ok());
    assert!(spoiled(|tally| tally.counts.clear()).is_err());
    assert!(spoiled(|tally| tally.counts.reverse()).is_err());
    assert!(spoiled(|tally| tally.counts[1].exponent = tally.counts[0].exponent).is_err());
    assert!(spoiled(|tally| tally.counts[0].certificates = 0).is_err());
    assert!(spoiled(|tally| tally.operator_id = None).is_err());
    assert!(spoiled(|tally| tally.kind = TallyKind::Sold).is_err());
    let share = Contract { share: Contract::WHOLE + 1, ..contract() };
    assert!(Leaf::decode(&Leaf::Contract(share).encode()).is_err());
    for kind in [11, 255] {
        assert_eq!(Leaf::decode(&[kind]), Err(DecodeError::BadValue("kind")));
    }
    for text in ["", "EU", "eur", "EURO€", "NINELONGS"] {
        assert!(text.parse::<Currency>().is_err(), "{text}");
    }
    for name in ["", "Apple", "a b", "é"] {
        assert!(SourceName::new(name).is_none(), "{name}");
    }
}

#[test]
fn a_tally_that_is_worth_too_much_has_no_worth() {
    let mut tally = tally(TallyKind::Sold);
    assert_eq!(tally.credits(), Some(Credits(3 + (1 << 31))));
    tally.counts[1].certificates = 1 << 33;
    assert_eq!(tally.credits(), None);
    tally.counts[1].certificates = (1 << 33) - 1;
    tally.counts[0].certificates = 1 << 31;
    assert_eq!(tally.credits(), None);
}

#[test]
fn a_statement_is_the_vendors_or_it_is_nothing() {
    let key = SigningKey::from_seed(&[1; 32]);
    let signed = statement().sign(&key).unwrap();
    assert_eq!(signed.verify(&key.public()), Ok(&statement()));
    assert!(signed.verify(&SigningKey::from_seed(&[2; 32]).public()).is_err());
    let mut bytes = signed.bytes().to_vec();
    bytes[70] ^= 1;
    assert!(SignedStatement::decode(&bytes).unwrap().verify(&key.public()).is_err());
    let unordered = |spoil: fn(&mut Statement)| {
        let mut statement = statement();
        spoil(&mut statement);
        SignedStatement::decode(statement.sign(&SigningKey::from_seed(&[1; 32])).unwrap().bytes())
    };
    assert!(unordered(|statement| statement.earned.push(statement.earned[0])).is_err());
    assert!(unordered(|statement| statement.settled.push(statement.settled[0])).is_err());
    assert!(unordered(|statement| statement.resold.push(statement.resold[0])).is_err());
    assert!(unordered(|statement| statement.until = statement.from - 1).is_err());
    assert!(unordered(|statement| statement.adjustments[0].reason.clear()).is_err());
    let mut large = statement();
    for count in [310, 400] {
        large.adjustments = vec![Adjustment { amount: 1, reason: "r".repeat(200) }; count];
        let bytes = 209 * count;
        assert!(
            matches!(large.clone().sign(&key), Err(StatementError::TooLarge { bytes: b }) if b >= bytes)
        );
    }
}

#[test]
fn an_operators_query_and_its_answer() {
    let key = SigningKey::from_seed(&[1; 32]);
    let query = LedgerQuery {
        vendor_id: VendorId::from_bytes([1; 32]),
        operator_id: OperatorId::of(&key.public()),
        time: UnixSeconds(1_800_000_000),
        from: 256,
    };
    let bytes = query.sign(&key);
    let signed = SignedLedgerQuery::decode(&bytes).unwrap();
    assert_eq!(signed.unverified(), &query);
    assert_eq!(signed.verify(&key.public()), Ok(query));
    let mut later = bytes.clone();
    later[71] ^= 1;
    assert!(SignedLedgerQuery::decode(&later).unwrap().verify(&key.public()).is_err());
    let other = SigningKey::from_seed(&[2; 32]);
    let foreign = SignedLedgerQuery::decode(&query.sign(&other)).unwrap();
    assert!(foreign.verify(&other.public()).is_err(), "the id is not the hash of the key");

    let own = |index| OwnLeaf { index, leaf: vec![0; 33] };
    let answer = OwnLeaves { size: 512, next: 300, leaves: vec![own(256), own(299)] };
    assert_eq!(OwnLeaves::decode(&answer.encode()).as_ref(), Ok(&answer));
    for bad in [
        OwnLeaves { next: 299, ..answer.clone() },
        OwnLeaves { next: 513, ..answer.clone() },
        OwnLeaves { leaves: vec![own(299), own(256)], ..answer.clone() },
        OwnLeaves { leaves: vec![own(299), own(299)], ..answer },
    ] {
        assert!(OwnLeaves::decode(&bad.encode()).is_err(), "{bad:?}");
    }
}
