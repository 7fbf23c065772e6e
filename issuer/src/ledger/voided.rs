//! Publishing lists of voided certificates (voided.md). What is durable, in which order, for each edition:
//!
//! 1. nothing: the list is made of what the ledger has (`issuer.voided.listed`). A crash leaves nothing.
//! 2. *recorded*, one transaction: which edition it is, and its two leaves in line (`issuer.voided.in_transaction`,
//!    `issuer.voided.recorded`). From here on every byte of it follows from the database.
//! 3. an integration gives the leaves their places, as it does with all others.
//! 4. the buckets (`issuer.voided.buckets`). Nobody asks for them yet; a crash leaves some, and they are written again.
//! 5. the file `newest`, with the proof that the ledger has the commitment (`issuer.voided.newest`): it is published.
//! 6. the row says so (`issuer.voided.published`). A crash before leaves steps 4 and 5 to be done again, with the same list.
//!
//! Then the buckets of the edition before the last are removed; what a crash leaves of these costs a little space.

use scrip_protocol::{
    ledger::Leaf,
    time::Day,
    tlog::{
        checkpoint::Checkpoint,
        note::Note,
        proof::LogProof,
        tile::Tiles,
        tree::{InclusionProof, inclusion_proof, inclusion_tiles},
    },
    voided::{Edition, ProvenIndex, VoidedList},
};
use sha2::{Digest, Sha256};

use super::{Integrated, LedgerError, Scope};
use crate::{
    issuer::Issuer,
    store::{EditionRow, LedgerState},
};

/// What the hash of a salt begins with, so that it equals no other hash.
const SALT_LABEL: &[u8] = b"scrip-issuer voided salt\0";
/// Seconds after midnight until the lists of a day are made: all that was recorded before is in line then.
const DAY_MARGIN: u64 = 3_600;

impl Issuer {
    /// Makes the lists of today that are due, and publishes those that are recorded. Only the process that sequences does. Returns how
    /// many were published.
    ///
    /// # Errors
    /// [`LedgerError`]: what was not published is published the next time.
    pub async fn publish_voided(&self) -> Result<usize, LedgerError> {
        let on = self.inner.config.ledger.is_on();
        // A list of another month would be the last one until then.
        if !on
            || self.inner.believed.is_in_doubt()
            || self.integrate(Scope::Due).await? == Integrated::Elsewhere
        {
            return Ok(0);
        }
        let mut published = 0;
        for epoch in self.listed_epochs() {
            let newest = self.inner.store.newest_edition(epoch).await?;
            if let Some(edition) = newest.as_ref().filter(|edition| !edition.published) {
                published += usize::from(self.publish_edition(edition).await?);
                continue;
            }
            if let Some(edition) = self.make_edition(epoch, newest).await? {
                self.integrate(Scope::Due).await?;
                published += usize::from(self.publish_edition(&edition).await?);
            }
        }
        Ok(published)
    }

    /// The epochs of which there is to be an edition each day.
    fn listed_epochs(&self) -> Vec<u32> {
        let (manifest, today) = (self.manifest(), self.inner.believed.earlier().day());
        let live = manifest.epochs().iter().filter(|epoch| {
            let windows = &epoch.windows;
            windows.issue_from.day() < today && today <= windows.redeem_until.day()
        });
        live.map(|epoch| epoch.number).collect()
    }

    /// Steps 1 and 2, if an edition is due. It has all that was recorded before today.
    async fn make_edition(
        &self,
        epoch: u32,
        before: Option<EditionRow>,
    ) -> Result<Option<EditionRow>, LedgerError> {
        let (store, today) = (&self.inner.store, self.inner.believed.earlier().day());
        let closed = self.inner.believed.earlier().minus(DAY_MARGIN).day();
        let is_due = before.as_ref().is_none_or(|before| before.day < today);
        if closed < today || !is_due || store.waits_from_before(today).await? {
            return Ok(None);
        }
        let state = store.ledger_state().await?;
        let number = before.map_or(1, |before| before.number.saturating_add(1));
        let edition = self.edition(&state, epoch, number, today, state.size);
        let list = self.list(&edition).await?;
        self.inner.steps.at("issuer.voided.listed");
        let commitment = Leaf::Voided(list.index.commitment()).encode();
        let row = EditionRow {
            epoch,
            number,
            day: today,
            covered: state.size,
            commitment,
            published: false,
        };
        let salt = Leaf::VoidedSalt(edition.salt_leaf()).encode();
        let in_transaction = || self.inner.steps.at("issuer.voided.in_transaction");
        let is_new = store.record_edition(&row, &salt, today, in_transaction).await?;
        self.inner.steps.at("issuer.voided.recorded");
        Ok(is_new.then_some(row))
    }

    /// Its salt follows from the ledger's secret and from what the list is of.
    fn edition(
        &self,
        state: &LedgerState,
        epoch: u32,
        number: u32,
        day: Day,
        covered: u64,
    ) -> Edition {
        let salt = Sha256::new()
            .chain_update(SALT_LABEL)
            .chain_update(state.secret)
            .chain_update(epoch.to_be_bytes())
            .chain_update(number.to_be_bytes())
            .chain_update(day.0.to_be_bytes())
            .chain_update(covered.to_be_bytes());
        let salt = salt.finalize().into();
        Edition { vendor_id: self.vendor_id(), epoch, number, day, covered, salt }
    }

    async fn list(&self, edition: &Edition) -> Result<VoidedList, LedgerError> {
        let voided = self.inner.store.voided_before(edition.epoch, edition.covered).await?;
        let edition = *edition;
        let list = tokio::task::spawn_blocking(move || edition.list(voided)).await;
        list.map_err(|_| LedgerError::Interrupted)?.map_err(|_| LedgerError::Damaged("spent"))
    }

    /// Steps 4 to 6, where the ledger has the edition's commitment.
    async fn publish_edition(&self, row: &EditionRow) -> Result<bool, LedgerError> {
        let (store, steps) = (&self.inner.store, &self.inner.steps);
        let Some(index) = store.place_of_leaf(&row.commitment, row.covered).await? else {
            return Ok(false);
        };
        let Some(checkpoint) = self.shown_checkpoint().await? else { return Ok(false) };
        let damaged = || LedgerError::Damaged("ledger_checkpoints");
        let note = Note::parse(&checkpoint).map_err(|_| damaged())?;
        let size = Checkpoint::parse(note.text()).map_err(|_| damaged())?.size;
        if size <= index {
            return Ok(false);
        }
        let state = store.ledger_state().await?;
        let edition = self.edition(&state, row.epoch, row.number, row.day, row.covered);
        let VoidedList { index: signed, buckets } = self.list(&edition).await?;
        // What is made again must be what the ledger commits to: nothing else is ever published.
        if Leaf::Voided(signed.commitment()).encode() != row.commitment {
            return Err(LedgerError::Damaged("voided_editions"));
        }
        let storage = &self.inner.ledger.storage;
        let directory = format!("voided/{}/{}", row.epoch, row.number);
        let buckets = (0..)
            .zip(buckets)
            .map(|(number, bucket): (u32, _)| (format!("{directory}/{number}"), bucket));
        storage.put_all(buckets.collect()).await?;
        steps.at("issuer.voided.buckets");
        let inclusion = self.inclusion(index, size).await?;
        let proof = LogProof { extra: None, index, inclusion, checkpoint: note }.encode();
        self.compare_now().await?;
        let index = signed.sign(&self.newest_ring().await.receipt.newest);
        let proven = ProvenIndex { index, proof: proof.into_bytes() };
        storage.put(&format!("voided/{}/newest", row.epoch), proven.encode()).await?;
        steps.at("issuer.voided.newest");
        store.mark_edition_published(row).await?;
        steps.at("issuer.voided.published");
        if let Some(old) = row.number.checked_sub(2).filter(|old| *old > 0) {
            let old = format!("voided/{}/{old}/", row.epoch);
            if let Err(error) = storage.delete_under(&old).await {
                tracing::warn!(%error, "an old list of voided certificates was not removed");
            }
        }
        Ok(true)
    }

    /// That the tree of `size` leaves has the one at `index`, from the stored tiles.
    async fn inclusion(&self, index: u64, size: u64) -> Result<InclusionProof, LedgerError> {
        let mut tiles = Tiles::new();
        for path in inclusion_tiles(index, size) {
            // A partial tile goes when the full one is there.
            for path in [path, path.full()] {
                if let Some(bytes) = self.inner.ledger.storage.get(&path.to_string()).await? {
                    tiles.insert(&path, &bytes).map_err(|_| LedgerError::Lost { index })?;
                    break;
                }
            }
        }
        inclusion_proof(&tiles, index, size).map_err(|_| LedgerError::Lost { index })
    }
}
