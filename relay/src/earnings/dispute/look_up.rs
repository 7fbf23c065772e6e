//! Looking into the ledger for whoever may read all of it: the leaves that decide claims, and that the operator could not read.

use std::collections::{BTreeMap, BTreeSet};

use scrip_protocol::{
    address::VendorAddress,
    id::{decode_base64url, encode_base64url},
    ledger::BatchReceipt,
    manifest::Manifest,
    redemption::{ItemResult, RedemptionOutcome},
    tlog::{
        hash::leaf_hash,
        policy::WitnessPolicy,
        proof::LogProof,
        tile::{EntryBundle, TILE_WIDTH, TileKind, TilePath},
        tree::{Nodes as _, inclusion_proof, inclusion_tiles},
    },
};
use scrip_verifier::link::NoAnswer;

use super::{Claim, Dispute, ProvenLeaf};
use crate::earnings::{
    Known,
    fetch::{self, FetchError, LedgerLink},
    keys::VendorKeys,
};

impl Dispute {
    /// Adds the leaves that claims lack, as the vendor's ledger has them now. `link` has to be an auditor's. What is not there is
    /// left out, and whatever is added counts only as far as the proof with it goes.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn look_up(
        &mut self,
        address: &VendorAddress,
        link: &dyn LedgerLink,
    ) -> Result<(), FetchError> {
        let open = |manifest: &String| {
            let bytes = decode_base64url(manifest)?;
            Manifest::open(&bytes, &self.vendor_id).ok()
        };
        let manifests: Option<Vec<Manifest>> = self.manifests.iter().map(open).collect();
        // What cannot be read is found when the file is judged.
        let Some(keys) = manifests.and_then(VendorKeys::new) else { return Ok(()) };
        let wanted: Vec<Option<u64>> =
            self.claims.iter().map(|claim| self.wanted(claim, &keys)).collect();
        let (operator_key, policy) = (self.operator_key, WitnessPolicy::none());
        let known = Known { address, keys: &keys, operator_key, policy: &policy };
        let indexes = wanted.iter().flatten().copied().collect();
        let leaves = proven_leaves(link, &known, indexes).await?;
        for (claim, index) in self.claims.iter_mut().zip(wanted) {
            let Some(found) = index.and_then(|index| leaves.get(&index)) else { continue };
            match claim {
                Claim::Leaf { leaf, proof, .. } => {
                    *leaf = Some(found.leaf.clone());
                    proof.clone_from(&found.proof);
                }
                Claim::DoubleSpent { winner, .. } => *winner = Some(found.clone()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The index of the leaf that decides a claim and is not in the file.
    fn wanted(&self, claim: &Claim, keys: &VendorKeys) -> Option<u64> {
        match claim {
            Claim::Leaf { leaf: None, proof, .. } => {
                LogProof::parse(proof.as_bytes()).ok().map(|proof| proof.index)
            }
            Claim::DoubleSpent { receipt, position, winner: None, .. } => {
                let bytes = decode_base64url(self.receipts.get(*receipt)?)?;
                let outcome = BatchReceipt::decode(&bytes).ok()?.outcome;
                let outcome = RedemptionOutcome::open(&outcome, keys.receipt_keys()).ok()?;
                match outcome.results.get(*position)? {
                    ItemResult::DoubleSpent(spend) => spend.leaf(),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// These leaves with their proofs, of those that there are.
async fn proven_leaves(
    link: &dyn LedgerLink,
    known: &Known<'_>,
    mut indexes: BTreeSet<u64>,
) -> Result<BTreeMap<u64, ProvenLeaf>, FetchError> {
    let newest = fetch::checkpoint(link, known).await?;
    let size = newest.checkpoint().size;
    indexes.retain(|index| *index < size);
    let paths = indexes.iter().flat_map(|index| inclusion_tiles(*index, size)).collect();
    let tiles = fetch::tiles(link, known, paths).await?;
    let mut leaves = BTreeMap::new();
    let mut held: Option<(u64, Vec<Vec<u8>>)> = None;
    for index in indexes {
        let number = index / TILE_WIDTH;
        if held.as_ref().is_none_or(|(at, _)| *at != number) {
            held = Some((number, entries(link, known, number, size).await?));
        }
        let at = usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX);
        let Some(leaf) = held.as_ref().and_then(|(_, entries)| entries.get(at)) else { continue };
        if tiles.node(0, index) != Some(leaf_hash(leaf)) {
            continue; // not the leaf that was signed
        }
        let Ok(inclusion) = inclusion_proof(&tiles, index, size) else { continue };
        let checkpoint = newest.note().clone();
        let proof = LogProof { extra: None, index, inclusion, checkpoint }.encode();
        leaves.insert(index, ProvenLeaf { leaf: encode_base64url(leaf), proof });
    }
    Ok(leaves)
}

/// The leaves of a bundle, unverified.
async fn entries(
    link: &dyn LedgerLink,
    known: &Known<'_>,
    number: u64,
    size: u64,
) -> Result<Vec<Vec<u8>>, FetchError> {
    let Some(path) = TilePath::at(TileKind::Entries, number, size) else { return Ok(Vec::new()) };
    let (path, bytes) = match link.tile(known.address, path).await {
        Err(NoAnswer::Status { status: 404, .. }) if !path.is_full() => {
            (path.full(), link.tile(known.address, path.full()).await?)
        }
        answer => (path, answer?),
    };
    let bundle = EntryBundle::decode(&bytes, path.width());
    bundle.map(EntryBundle::into_entries).map_err(|source| FetchError::Tile { path, source })
}
