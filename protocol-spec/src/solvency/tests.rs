#![allow(clippy::unwrap_used, clippy::panic)]

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::id::VendorId;
use crate::tlog::hash::TreeHash;

const TEXT: &str = "scrip.ledger/v1/x\n512\nroot\n";
const VENDOR: VendorId = VendorId::from_bytes([7; 32]);
const CLAIM: Claim<'static> =
    Claim { vendor_id: &VENDOR, checkpoint_text: TEXT, checkpoint: b"a note" };

const SOLD: CommitmentKind = CommitmentKind::Tally(TallyKind::Sold);
const REDEEMED: CommitmentKind = CommitmentKind::Tally(TallyKind::Redeemed);
const SETTLED: CommitmentKind = CommitmentKind::Settled;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([1; 32])
}

/// What happened, in order: each has its place as its index.
fn books(
    settled_until: u64,
    entries: &[(CommitmentKind, u32, u64)],
) -> (PrivateBooks, PublicBooks) {
    let (mut private, mut public) =
        (PrivateBooks::new(settled_until), PublicBooks::new(settled_until));
    for (index, (kind, epoch, credits)) in (0_u64..).zip(entries) {
        let blinding = Blinding::from_seed(&[3; 32], &index.to_be_bytes());
        private.add(index, *kind, *epoch, Credits(*credits), &blinding);
        let commitment = ValueCommitment {
            kind: *kind,
            epoch: *epoch,
            commitment: commit(Credits(*credits), &blinding),
            leaf_hash: TreeHash::EMPTY,
        };
        public.add(index, &commitment).unwrap();
    }
    (private, public)
}

#[test]
fn books_that_add_up_have_a_proof() {
    let tally = CommitmentKind::Tally;
    let (private, public) = books(
        3,
        &[
            (SOLD, 1, 1_000),
            (REDEEMED, 1, 300),
            (REDEEMED, 1, 200),
            (SETTLED, 1, 500),
            (REDEEMED, 1, 100),
            (tally(TallyKind::Renewed), 1, 40),
            (tally(TallyKind::Reissued), 2, 40),
            (tally(TallyKind::Expired), 1, 360),
            (SOLD, 2, u64::MAX - 40),
        ],
    );
    let proof = private.prove(&CLAIM, &mut rng()).unwrap();
    assert_eq!(proof.epochs, [1, 2]);
    assert_eq!(Solvency::decode(&proof.encode()).as_ref(), Ok(&proof));
    assert_eq!(proof.verify(&CLAIM, &public, &mut rng()), Ok(()));

    // It is about this vendor, this tree and these commitments.
    let other = VendorId::from_bytes([8; 32]);
    let claim = Claim { vendor_id: &other, ..CLAIM };
    assert_eq!(proof.verify(&claim, &public, &mut rng()), Err(SolvencyError::OtherVendor));
    let renamed = Solvency { vendor_id: other, ..proof.clone() };
    let range = Err(SolvencyError::Range { first: 1, last: 2 });
    assert_eq!(renamed.verify(&claim, &public, &mut rng()), range);
    let later = Claim { checkpoint_text: "scrip.ledger/v1/x\n768\nroot\n", ..CLAIM };
    assert_eq!(proof.verify(&later, &public, &mut rng()), range);
    let mut more = public.clone();
    let blinding = Blinding::from_seed(&[4; 32], b"hidden");
    let hidden = ValueCommitment {
        kind: REDEEMED,
        epoch: 1,
        commitment: commit(Credits(1), &blinding),
        leaf_hash: TreeHash::EMPTY,
    };
    more.add(9, &hidden).unwrap();
    assert_eq!(proof.verify(&CLAIM, &more, &mut rng()), range);
    more.add(10, &ValueCommitment { epoch: 3, ..hidden }).unwrap();
    assert_eq!(proof.verify(&CLAIM, &more, &mut rng()), Err(SolvencyError::Epochs));
    let spoiled = |spoil: fn(&mut Solvency)| {
        let mut proof = proof.clone();
        spoil(&mut proof);
        proof.verify(&CLAIM, &public, &mut rng())
    };
    assert_eq!(spoiled(|proof| proof.ranges[0][40] ^= 1), range);
    assert_eq!(spoiled(|proof| proof.ranges.clear()), Err(SolvencyError::Epochs));
    let exact = Err(SolvencyError::Exact);
    assert_eq!(spoiled(|proof| proof.exact = proof.exact.map(|(r, _)| (r, [2; 32]))), exact);
    assert_eq!(spoiled(|proof| proof.exact = None), exact);
    assert_eq!(spoiled(|proof| proof.settled_until = 0), Err(SolvencyError::Epochs));
}

#[test]
fn books_that_do_not_add_up_have_none() {
    let refused = |settled_until, entries: &[_]| {
        books(settled_until, entries).0.prove(&CLAIM, &mut rng()).unwrap_err()
    };
    let insolvent = refused(0, &[(SOLD, 4, 10), (REDEEMED, 4, 12)]);
    assert_eq!(insolvent, ProveError::Insolvent { epoch: 4, by: 2 });
    let overpaid = refused(0, &[(SOLD, 4, 10), (REDEEMED, 4, 8), (SETTLED, 4, 9)]);
    assert_eq!(overpaid, ProveError::Overpaid { epoch: 4, by: 1 });
    let unsettled = refused(2, &[(SOLD, 4, 10), (REDEEMED, 4, 8), (SETTLED, 4, 7)]);
    assert_eq!(unsettled, ProveError::NotSettled { epoch: 4 });
    let large = refused(0, &[(SOLD, 4, u64::MAX), (SOLD, 4, 1)]);
    assert_eq!(large, ProveError::TooLarge { epoch: 4 });
}

/// A vendor that proves what its books do not say: with openings that differ from the commitments that everybody sees.
#[test]
fn a_proof_from_other_books_does_not_verify() {
    let (_, public) = books(0, &[(SOLD, 4, 10), (REDEEMED, 4, 12)]);
    let (invented, _) = books(0, &[(SOLD, 4, 12), (REDEEMED, 4, 12)]);
    let proof = invented.prove(&CLAIM, &mut rng()).unwrap();
    let range = SolvencyError::Range { first: 4, last: 4 };
    assert_eq!(proof.verify(&CLAIM, &public, &mut rng()), Err(range));

    // Paid too little, and the difference hidden behind a settlement that is said to be exact.
    let (_, public) = books(2, &[(SOLD, 4, 10), (REDEEMED, 4, 9), (SETTLED, 4, 7)]);
    let (invented, _) = books(2, &[(SOLD, 4, 10), (REDEEMED, 4, 7), (SETTLED, 4, 7)]);
    let proof = invented.prove(&CLAIM, &mut rng()).unwrap();
    assert!(proof.verify(&CLAIM, &public, &mut rng()).is_err());
}

#[test]
fn more_epochs_than_one_range_proof_has_room_for() {
    let entries: Vec<_> = (0..37).map(|epoch| (SOLD, epoch, u64::from(epoch))).collect();
    let (private, public) = books(0, &entries);
    let proof = private.prove(&CLAIM, &mut rng()).unwrap();
    assert_eq!(proof.ranges.len(), 3);
    assert_eq!(proof.verify(&CLAIM, &public, &mut rng()), Ok(()));
    let mut swapped = proof.clone();
    swapped.ranges.swap(0, 1);
    let range = SolvencyError::Range { first: 0, last: 15 };
    assert_eq!(swapped.verify(&CLAIM, &public, &mut rng()), Err(range));

    let none = PrivateBooks::new(0).prove(&CLAIM, &mut rng()).unwrap();
    assert_eq!(none.verify(&CLAIM, &PublicBooks::new(0), &mut rng()), Ok(()), "nothing adds up");
}

#[test]
fn only_canonical_scalars_and_points_count() {
    assert!(Blinding::from_bytes(&[0xff; 32]).is_none());
    let blinding = Blinding::from_seed(&[3; 32], b"one");
    assert_eq!(Blinding::from_bytes(&blinding.to_bytes()).unwrap().to_bytes(), blinding.to_bytes());
    let other = Blinding::from_seed(&[3; 32], b"two");
    assert_ne!(commit(Credits(1), &blinding), commit(Credits(1), &other));
    let commitment = ValueCommitment {
        kind: SOLD,
        epoch: 0,
        commitment: [0xff; 32],
        leaf_hash: TreeHash::EMPTY,
    };
    assert_eq!(PublicBooks::new(0).add(0, &commitment), Err(NoPoint));
}
