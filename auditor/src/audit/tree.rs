//! The tree as it grows: its root, and the published hash tiles held against it.

use scrip_protocol::tlog::{
    hash::TreeHash,
    tile::{TILE_WIDTH, TileKind, TilePath, decode_hashes, full_tile_hash},
    tree::Frontier,
};
use serde::{Deserialize, Serialize};

use super::{
    pairs,
    unit::{Checked, TileCheck},
};
use crate::finding::{Finding, FindingKind, Findings, KEPT_OF_A_KIND};

/// How leaves differ from the published hashes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Difference {
    Changed,
    Removed,
    Added,
}

/// The tree over the leaves that were read.
#[derive(Serialize, Deserialize)]
pub(super) struct Tree {
    #[serde(with = "pairs::frontier")]
    pub(super) frontier: Frontier,
    /// The tree over what the published tiles say the leaves' hashes are, from where the two differ.
    published: Option<Published>,
    /// Of each level from 1 on, the hashes of the tile that is not full yet.
    rows: Vec<Vec<TreeHash>>,
    /// Where leaves and published hashes differ.
    differences: Vec<(u64, Difference)>,
    /// Leaves were shifted: from there on everything differs, and that is said once.
    shifted: bool,
    /// Full hash tiles that are not there.
    missing_tiles: u64,
    /// Those of the last bundles and of the rows above them, which are not full: the next audit reads what they have grown into.
    missing_partial: u64,
}

#[derive(Serialize, Deserialize)]
struct Published {
    #[serde(with = "pairs::frontier")]
    frontier: Frontier,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            frontier: Frontier::empty(),
            published: None,
            rows: Vec::new(),
            differences: Vec::new(),
            shifted: false,
            missing_tiles: 0,
            missing_partial: 0,
        }
    }

    /// Compares the published tiles of a bundle, before its leaves are pushed, of which the first `known` were pushed before.
    pub(super) fn compare(&mut self, bundle: &Checked, known: usize, findings: &mut Findings) {
        let hashes: Vec<TreeHash> = bundle.leaves.iter().map(|leaf| leaf.hash).collect();
        let start = bundle.number * TILE_WIDTH;
        let mut published = &hashes;
        match &bundle.tile {
            TileCheck::Same => {}
            TileCheck::Missing => self.note_missing(hashes.len() == TILE_WIDTH as usize),
            TileCheck::Unreadable => {
                let detail = "the published tile of level 0 over this bundle has not the size that it should";
                findings.add_once(Finding::new(FindingKind::TileWrong, detail).at(start));
            }
            TileCheck::Differs(tile) => {
                self.note_difference(start, &hashes, tile);
                published = tile;
                if self.published.is_none() {
                    self.published = Some(Published { frontier: self.frontier.clone() });
                }
            }
        }
        if let Some(side) = &mut self.published {
            published.iter().skip(known).for_each(|hash| side.frontier.push(*hash));
        }
        if let Ok(full) = <&[TreeHash; TILE_WIDTH as usize]>::try_from(hashes.as_slice()) {
            self.roll_up(0, full_tile_hash(full), bundle, findings);
        }
        // Partial tiles end with the last bundle.
        for (path, bytes) in bundle.upper.iter().filter(|(path, _)| !path.is_full()) {
            self.compare_upper(path, bytes.as_deref(), start, findings);
        }
    }

    /// Bundles are read up to the end: the tiles that are not full are then others, or are looked for again.
    pub(super) fn read_on(&mut self) {
        self.missing_partial = 0;
    }

    /// Hash tiles that are not there.
    pub(super) fn missing_tiles(&self) -> u64 {
        self.missing_tiles.saturating_add(self.missing_partial)
    }

    fn note_missing(&mut self, is_full: bool) {
        let count = if is_full { &mut self.missing_tiles } else { &mut self.missing_partial };
        *count += 1;
    }

    fn note_difference(&mut self, start: u64, hashes: &[TreeHash], tile: &[TreeHash]) {
        if self.shifted || self.differences.len() >= KEPT_OF_A_KIND {
            return;
        }
        for (offset, difference) in differences(hashes, tile) {
            self.shifted |= difference != Difference::Changed;
            let difference = (start + offset as u64, difference);
            // Of a bundle that was read in part before, some were noted then.
            if !self.differences.contains(&difference) {
                self.differences.push(difference);
            }
        }
    }

    /// Adds a hash to the row of level `row + 1`, and to those above as far as tiles become full.
    fn roll_up(&mut self, row: usize, hash: TreeHash, bundle: &Checked, findings: &mut Findings) {
        if self.rows.len() <= row {
            self.rows.push(Vec::new());
        }
        self.rows[row].push(hash);
        let Ok(full) = <&[TreeHash; TILE_WIDTH as usize]>::try_from(self.rows[row].as_slice())
        else {
            return;
        };
        let above = full_tile_hash(full);
        let of_row = |(path, _): &&(TilePath, _)| path.is_full() && level(path) == Some(row + 1);
        if let Some((path, bytes)) = bundle.upper.iter().find(of_row) {
            self.compare_upper(path, bytes.as_deref(), bundle.number * TILE_WIDTH, findings);
        }
        self.rows[row].clear();
        self.roll_up(row + 1, above, bundle, findings);
    }

    fn compare_upper(
        &mut self,
        path: &TilePath,
        bytes: Option<&[u8]>,
        start: u64,
        findings: &mut Findings,
    ) {
        let Some(bytes) = bytes else {
            self.note_missing(path.is_full());
            return;
        };
        if self.published.is_some() {
            return; // what is wrong is wrong below already
        }
        let row = level(path).and_then(|level| self.rows.get(level.checked_sub(1)?));
        let count = u16::try_from(bytes.len() / 32).unwrap_or(u16::MAX);
        let mut hashes = decode_hashes(bytes, count).unwrap_or_default();
        hashes.truncate(path.width().into());
        if row.is_none_or(|row| *row != hashes) {
            let detail = format!("the published tile {path} is not the one over the leaves");
            findings.add(Finding::new(FindingKind::TileWrong, detail).at(start));
        }
    }

    /// Holds the tree against the signed root, to which `notes` belong, and says which side is wrong where the leaves and the tiles differ.
    pub(super) fn finish(
        &self,
        size: u64,
        root: &TreeHash,
        notes: &[String],
        findings: &mut Findings,
    ) {
        let leaves_are_signed = self.frontier.size() == size && self.frontier.root() == *root;
        let tiles_are_signed = self.published.as_ref().is_some_and(|published| {
            published.frontier.size() == size && published.frontier.root() == *root
        });
        for (index, difference) in &self.differences {
            let (kind, detail) = if leaves_are_signed {
                let detail = "the leaf hashes to the signed root, and the published tile of level 0 has another hash";
                (FindingKind::TileWrong, detail)
            } else {
                match difference {
                    Difference::Changed => {
                        (FindingKind::LeafChanged, "its hash is not the one in the published tile")
                    }
                    Difference::Removed => (
                        FindingKind::LeafRemoved,
                        "the published tile has a hash here, and the bundle goes on with the leaf after it",
                    ),
                    Difference::Added => (
                        FindingKind::LeafAdded,
                        "the published tile goes on with the leaf after this one",
                    ),
                }
            };
            findings.add(Finding::new(kind, detail).at(*index));
        }
        if leaves_are_signed {
            return;
        }
        let tiles = if tiles_are_signed {
            "; the published hash tiles lead to the signed root, so that the leaves that differ from them are the wrong ones"
        } else {
            ""
        };
        let detail = format!(
            "{} leaves hash to {}, and the checkpoint says {size} and {root}{tiles}",
            self.frontier.size(),
            self.frontier.root()
        );
        let finding = Finding::new(FindingKind::RootMismatch, detail);
        findings.add(notes.iter().fold(finding, Finding::proved_by));
    }
}

fn level(path: &TilePath) -> Option<usize> {
    match path.kind() {
        TileKind::Hash(level) => Some(level.into()),
        _ => None,
    }
}

/// In which leaves a bundle differs from the published hashes: all that were changed, or the first that was removed or added,
/// after which all are shifted.
fn differences(leaves: &[TreeHash], tile: &[TreeHash]) -> Vec<(usize, Difference)> {
    let same = leaves.iter().zip(tile).take_while(|(leaf, hash)| leaf == hash).count();
    let (leaves_rest, tile_rest) = (&leaves[same..], &tile[same..]);
    let shifted = |longer: &[TreeHash], shorter: &[TreeHash]| {
        let after = longer.get(1..).unwrap_or_default();
        !longer.is_empty()
            && (after.len().min(shorter.len()) > 0 || shorter.is_empty())
            && after.iter().zip(shorter).all(|(a, b)| a == b)
    };
    if shifted(tile_rest, leaves_rest) {
        return vec![(same, Difference::Removed)];
    }
    if shifted(leaves_rest, tile_rest) {
        return vec![(same, Difference::Added)];
    }
    let changed = |(at, (leaf, hash)): (usize, (&TreeHash, &TreeHash))| {
        (leaf != hash).then_some((at, Difference::Changed))
    };
    leaves.iter().zip(tile).enumerate().filter_map(changed).collect()
}

#[cfg(test)]
mod tests {
    use scrip_protocol::tlog::hash::leaf_hash;

    use super::*;

    #[test]
    fn the_first_leaf_that_differs_is_named_with_how() {
        let tile: Vec<TreeHash> = (0..256_u16).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let other = leaf_hash(b"other");
        let mut changed = tile.clone();
        changed[7] = other;
        changed[9] = other;
        let both = vec![(7, Difference::Changed), (9, Difference::Changed)];
        assert_eq!(differences(&changed, &tile), both);
        for at in [0, 100, 254] {
            let mut removed = tile.clone();
            removed.remove(at);
            assert_eq!(differences(&removed, &tile), [(at, Difference::Removed)]);
            removed.push(other); // the next bundle's first
            assert_eq!(differences(&removed, &tile), [(at, Difference::Removed)]);
            let mut added = tile.clone();
            added.insert(at, other);
            assert_eq!(differences(&added, &tile), [(at, Difference::Added)]);
            added.pop();
            assert_eq!(differences(&added, &tile), [(at, Difference::Added)]);
        }
        let mut last = tile.clone();
        last.pop();
        assert_eq!(differences(&last, &tile), [(255, Difference::Removed)]);
        last.push(other);
        assert_eq!(differences(&last, &tile), [(255, Difference::Changed)]);
        last[255] = tile[255];
        last.push(other);
        assert_eq!(differences(&last, &tile), [(256, Difference::Added)]);
    }
}
