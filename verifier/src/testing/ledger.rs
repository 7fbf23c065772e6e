//! The ledger of a vendor in process: honest unless it is told otherwise.

use std::collections::BTreeSet;

use scrip_protocol::{
    id::{OperatorId, VendorId},
    keys::SigningKey,
    ledger::{Leaf, OwnLeaf, OwnLeaves},
    limits::MAX_OWN_LEAVES,
    tlog::{
        checkpoint::Checkpoint,
        hash::{TreeHash, leaf_hash},
        note::KeyName,
        tile::{EntryBundle, TILE_WIDTH, TileKind, TilePath, Tiles},
        tree::{Frontier, append},
    },
};

/// Leaves, and which of them it keeps from their operator.
#[derive(Clone, Default)]
pub struct TestLedger {
    leaves: Vec<Vec<u8>>,
    hidden: BTreeSet<u64>,
}

impl TestLedger {
    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// Appends a leaf and gives its index.
    pub fn append(&mut self, leaf: &Leaf) -> u64 {
        self.leaves.push(leaf.encode());
        self.size() - 1
    }

    /// Puts other bytes in the place of a leaf.
    ///
    /// # Panics
    /// Where there is none.
    pub fn replace(&mut self, index: u64, leaf: &Leaf) {
        self.leaves[index as usize] = leaf.encode();
    }

    /// Leaves a leaf out of the answers to its operator from now on.
    pub fn hide(&mut self, index: u64) {
        self.hidden.insert(index);
    }

    /// The bytes of a leaf.
    pub fn leaf(&self, index: u64) -> Option<&[u8]> {
        self.leaves.get(usize::try_from(index).ok()?).map(Vec::as_slice)
    }

    fn hashes(&self) -> Vec<TreeHash> {
        self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    /// The signed checkpoint.
    ///
    /// # Panics
    /// Never: the origin is one that may be signed.
    #[expect(clippy::expect_used, reason = "tests are told so")]
    pub fn checkpoint(&self, vendor: &VendorId, key: &SigningKey) -> String {
        let mut frontier = Frontier::empty();
        self.hashes().into_iter().for_each(|hash| frontier.push(hash));
        let (origin, root) = (KeyName::of_ledger(vendor), frontier.root());
        let checkpoint = Checkpoint { origin, size: self.size(), root };
        checkpoint.sign(key).expect("an origin that may be signed").encode()
    }

    /// A hash tile, or a bundle of entries as auditors may read it.
    #[expect(clippy::expect_used, reason = "tests are told so")]
    pub fn tile(&self, path: &TilePath) -> Option<Vec<u8>> {
        if path.kind() == TileKind::Entries {
            let from = (path.index() * TILE_WIDTH) as usize;
            let entries = self.leaves.iter().skip(from).take(usize::from(path.width()));
            return EntryBundle::new(entries.cloned().collect()).map(|bundle| bundle.encode());
        }
        let grown = append(&Tiles::new(), 0, &self.hashes()).expect("all tiles");
        let mut tiles = Tiles::new();
        for (path, bytes) in grown {
            tiles.insert(&path, &bytes).expect("a tile");
        }
        Some(scrip_protocol::tlog::tile::encode_hashes(tiles.hashes(path)?))
    }

    /// The leaves of an operator from an index on, a few at a time, so that whoever reads them has to go on.
    pub fn own(&self, operator: &OperatorId, from: u64) -> OwnLeaves {
        let mut answer = OwnLeaves { size: self.size(), next: self.size(), leaves: Vec::new() };
        for (index, leaf) in (0..).zip(&self.leaves).skip_while(|(index, _)| *index < from) {
            if answer.leaves.len() == MAX_OWN_LEAVES.min(16) {
                answer.next = index;
                break;
            }
            let is_own = Leaf::decode(leaf).is_ok_and(|leaf| is_of(&leaf, operator));
            if is_own && !self.hidden.contains(&index) {
                answer.leaves.push(OwnLeaf { index, leaf: leaf.clone() });
            }
        }
        answer
    }
}

/// Whether a leaf is one of this operator's own (ledger.md, "An operator's own leaves").
fn is_of(leaf: &Leaf, operator: &OperatorId) -> bool {
    match leaf {
        Leaf::Redemption(redemption) => redemption.operator_id == *operator,
        Leaf::Tally(tally) => tally.operator_id == Some(*operator),
        Leaf::Sales(sales) => sales.operator_id == Some(*operator),
        Leaf::Contract(contract) => contract.operator_id() == *operator,
        Leaf::Statement(statement) => statement.unverified().operator_id == *operator,
        Leaf::Cover(_)
        | Leaf::Renewal(_)
        | Leaf::Commitment(_)
        | Leaf::Manifest(_)
        | Leaf::Voided(_)
        | Leaf::VoidedSalt(_) => false,
    }
}
