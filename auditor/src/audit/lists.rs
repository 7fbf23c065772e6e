//! Lists of voided certificates (voided.md): whether each edition that the ledger commits to is complete and true.
//!
//! What is remembered is proportional to epochs and days, but for the certificates of one epoch at a time, while its editions are made again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use scrip_protocol::{
    id::VendorId,
    ledger::{Tally, TallyKind, VoidedCommitment, VoidedSalt},
    time::Day,
    voided::{Edition, MAX_PROVEN_INDEX, ProvenIndex, SignedVoidedIndex},
};
use serde::{Deserialize, Serialize};

use super::{
    pairs,
    spent::{SpentKeys, VoidedKey},
    unit::What,
};
use crate::{
    finding::{Finding, FindingKind, Findings},
    keyring::Keyring,
    source::{Ledger, SourceError},
};

/// Editions of which the digest is remembered: those that are served, and one that was read when another was on its way.
const REMEMBERED: usize = 3;

/// What the ledger says of lists.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Lists {
    #[serde(with = "pairs")]
    epochs: BTreeMap<u32, Epoch>,
    /// Editions that were not made again yet.
    pending: Vec<Pending>,
    /// How many there were.
    pub(super) editions: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Epoch {
    /// The last one.
    edition: u32,
    day: u32,
    covered: u64,
    /// Where tallies of what was voided lie, and the day of each: the smallest day of all from there on.
    tallies: Vec<(u64, u32)>,
    /// The newest editions, and their digests.
    digests: Vec<(u32, [u8; 32])>,
}

#[derive(Serialize, Deserialize)]
struct Pending {
    index: u64,
    epoch: u32,
    edition: u32,
    day: u32,
    covered: u64,
    digest: [u8; 32],
    salt: Option<[u8; 32]>,
}

impl Lists {
    /// Accounts for one leaf.
    pub(super) fn see(
        &mut self,
        index: u64,
        what: &What,
        is_over: impl Fn(u32) -> bool,
        findings: &mut Findings,
    ) {
        match what {
            What::Voided(voided) => self.see_edition(index, voided, is_over, findings),
            What::VoidedSalt(salt) => self.see_salt(index, salt, findings),
            What::Tally(tally, _) => self.see_tally(index, tally, findings),
            _ => {}
        }
    }

    fn see_edition(
        &mut self,
        index: u64,
        voided: &VoidedCommitment,
        is_over: impl Fn(u32) -> bool,
        findings: &mut Findings,
    ) {
        let VoidedCommitment { epoch, edition, day, covered, digest } = *voided;
        self.editions += 1;
        let before = self.epochs.entry(epoch).or_default();
        let expected = before.edition.saturating_add(1);
        if edition != expected || day.0 <= before.day || covered < before.covered {
            let detail = format!(
                "epoch {epoch}: edition {edition} of day {day} up to leaf {covered} follows edition {} of day {} up to leaf {}",
                before.edition,
                Day(before.day),
                before.covered
            );
            findings.add(Finding::new(FindingKind::ListOrder, detail).at(index));
        }
        if covered > index || is_over(epoch) {
            let detail = format!(
                "epoch {epoch}: edition {edition} speaks of leaf {covered}, or of an epoch that was written off"
            );
            findings.add(Finding::new(FindingKind::ListOrder, detail).at(index));
        }
        let later = before.tallies.iter().find(|(at, _)| *at >= covered);
        if let Some((at, old)) = later.filter(|(_, old)| *old < day.0) {
            let detail = format!(
                "epoch {epoch}: edition {edition} of day {day} ends before leaf {covered}, and the tally at leaf {at} is of {}",
                Day(*old)
            );
            findings.add(Finding::new(FindingKind::ListLate, detail).at(index));
        }
        (before.edition, before.day, before.covered) = (edition, day.0, covered);
        before.tallies.retain(|(at, _)| *at >= covered);
        before.digests.push((edition, digest));
        if before.digests.len() > REMEMBERED {
            before.digests.remove(0);
        }
        let day = day.0;
        self.pending.push(Pending { index, epoch, edition, day, covered, digest, salt: None });
    }

    fn see_salt(&mut self, index: u64, salt: &VoidedSalt, findings: &mut Findings) {
        let waits = self.pending.iter_mut().rev().find(|pending| {
            (pending.epoch, pending.edition, pending.salt) == (salt.epoch, salt.edition, None)
        });
        match waits {
            Some(pending) => pending.salt = Some(salt.salt),
            None => {
                let detail = format!(
                    "epoch {}: no commitment before it is to edition {}",
                    salt.epoch, salt.edition
                );
                findings.add(Finding::new(FindingKind::ListSalt, detail).at(index));
            }
        }
    }

    fn see_tally(&mut self, index: u64, tally: &Tally, findings: &mut Findings) {
        if !matches!(tally.kind, TallyKind::Redeemed | TallyKind::Renewed) {
            return;
        }
        let epoch = self.epochs.entry(tally.epoch).or_default();
        let day = tally.day.0;
        if day < epoch.day {
            let detail = format!(
                "epoch {}: this tally is of {}, and edition {} says that it has all from before {}",
                tally.epoch,
                tally.day,
                epoch.edition,
                Day(epoch.day)
            );
            findings.add(Finding::new(FindingKind::ListLate, detail).at(index));
        }
        while epoch.tallies.last().is_some_and(|(_, old)| *old >= day) {
            epoch.tallies.pop();
        }
        epoch.tallies.push((index, day));
    }

    /// Makes every edition again that was not made yet.
    pub(super) fn check(
        &mut self,
        vendor: VendorId,
        spent: &mut SpentKeys,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let epochs: BTreeSet<u32> = pending.iter().map(|pending| pending.epoch).collect();
        for epoch in epochs {
            let voided = spent.of_epoch(epoch)?;
            for pending in pending.iter().filter(|pending| pending.epoch == epoch) {
                if let Some(finding) = pending.check(vendor, &voided) {
                    findings.add(finding);
                }
            }
        }
        Ok(())
    }

    /// Looks at the lists that are published, as far as there are files.
    ///
    /// # Errors
    /// [`SourceError`].
    pub(super) async fn check_files(
        &self,
        ledger: &dyn Ledger,
        keyring: &Keyring,
        findings: &mut Findings,
    ) -> Result<(), SourceError> {
        for (number, epoch) in &self.epochs {
            let name = format!("voided/{number}/newest");
            if epoch.edition > 0
                && let Some(bytes) = ledger.get(&name, MAX_PROVEN_INDEX).await?
                && let Some(wrong) = epoch.wrong_file(&bytes, keyring)
            {
                let detail = format!("{name}: {wrong}");
                findings.add(Finding::new(FindingKind::ListFile, detail));
            }
        }
        Ok(())
    }
}

impl Pending {
    fn check(&self, vendor_id: VendorId, voided: &[VoidedKey]) -> Option<Finding> {
        let Self { index, epoch, edition, .. } = *self;
        let finding = |kind, detail: String| Some(Finding::new(kind, detail).at(index));
        let Some(salt) = self.salt else {
            let detail =
                format!("epoch {epoch}: the salt of edition {edition} is not in the ledger");
            return finding(FindingKind::ListSalt, detail);
        };
        let of = Edition {
            vendor_id,
            epoch,
            number: edition,
            day: Day(self.day),
            covered: self.covered,
            salt,
        };
        let inside = voided.iter().filter(|one| one.index < self.covered);
        let count = inside.clone().count();
        let list = of.list(inside.map(|one| (one.key, one.what)));
        if list.is_ok_and(|list| list.index.commitment().digest == self.digest) {
            return None;
        }
        let detail = format!(
            "epoch {epoch}: edition {edition} is not the list of the {count} certificates that were voided before leaf {}: an entry is \
             left out, or there is one too many, or its padding is not what follows from its salt",
            self.covered
        );
        finding(FindingKind::ListWrong, detail)
    }
}

impl Epoch {
    fn wrong_file(&self, bytes: &[u8], keyring: &Keyring) -> Option<&'static str> {
        let proven = ProvenIndex::decode(bytes).ok();
        let Some(index) = proven.and_then(|proven| SignedVoidedIndex::decode(&proven.index).ok())
        else {
            return Some("it cannot be read");
        };
        if !keyring.receipt_keys().iter().any(|key| index.verify(key).is_ok()) {
            return Some("no receipt key of the ledger has signed it");
        }
        let shown = index.unverified().commitment();
        // A newer one than the ledger had when it was read is for the next audit.
        if shown.edition > self.edition {
            return None;
        }
        let known = self.digests.iter().find(|(edition, _)| *edition == shown.edition);
        match known {
            Some((_, digest)) if *digest == shown.digest => None,
            Some(_) => Some("it is not the edition that the ledger commits to"),
            None => Some("it is an old edition"),
        }
    }
}
