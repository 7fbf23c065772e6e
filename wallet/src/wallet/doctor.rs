//! What is open, broken or worth knowing in a wallet, in words; and its repair.
//!
//! A diagnosis reads what is on disk and calls nobody. Every state that a crash can leave is a record of its own; so the
//! diagnosis goes through the records, and the repair is the normal way on from each of them ([`Wallet::resume`]).

mod files;
mod records;

use std::path::Path;

use scrip_runtime::passphrase::Passphrase;
use serde::Serialize;

use super::{CaughtReport, ComplaintReport, Doubtful, EvidenceReport, Resumed, Wallet};
use crate::{
    entropy::Entropy,
    error::WalletError,
    store::{Kind, Store},
};

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which of the things that can be found; the same in every release.
    pub name: &'static str,
    /// Whether something has to be done.
    pub open: bool,
    /// What it is.
    pub what: String,
    /// What to do, or why nothing has to be done.
    pub todo: String,
}

/// What was found.
#[derive(Clone, Serialize)]
pub struct Diagnosis {
    /// Whether nothing has to be done.
    pub healthy: bool,
    /// What was found; that which has to be dealt with first.
    pub findings: Vec<Finding>,
    /// What shows that a vendor or a relay signed what it must not.
    pub evidence: Vec<EvidenceReport>,
    /// Operators that redeemed what they had refused, with what shows it.
    pub caught: Vec<CaughtReport>,
    /// What the vendor signed about renewals that it refused and used, or about certificates that it said were spent.
    pub complaints: Vec<ComplaintReport>,
}

/// Records that can be had again, so that nothing is lost with a damaged one.
const REPLACEABLE: [Kind; 4] = [Kind::Manifest, Kind::Held, Kind::Relay, Kind::Notices];

const RUN_RESUME: &str = "`scrip doctor --repair` or `scrip resume` goes on with it";

impl Finding {
    fn open(name: &'static str, what: String, todo: impl Into<String>) -> Self {
        Self { name, open: true, what, todo: todo.into() }
    }

    fn note(name: &'static str, what: String, todo: impl Into<String>) -> Self {
        Self { name, open: false, what, todo: todo.into() }
    }
}

impl Wallet {
    /// Looks at everything, changes nothing, and calls nobody.
    ///
    /// # Errors
    /// [`WalletError::Store`] where the file cannot be read at all.
    pub async fn diagnose(&self) -> Result<Diagnosis, WalletError> {
        let mut findings = damage(&self.store).await?;
        findings.extend(files::check(self.directory()));
        let (mut evidence, mut caught, mut complaints) = (Vec::new(), Vec::new(), Vec::new());
        // What follows reads records of every kind.
        if findings.iter().all(|finding| finding.name != DAMAGED) {
            findings.extend(self.check_records().await?);
            evidence = self.evidence().await?;
            caught = self.caught().await?;
            complaints = self.complaints().await?;
            complaints.retain(ComplaintReport::is_grave);
        }
        findings.sort_by_key(|finding| !finding.open);
        let healthy = findings.iter().all(|finding| !finding.open);
        Ok(Diagnosis { healthy, findings, evidence, caught, complaints })
    }

    /// Repairs what can be repaired: files, damaged records that can be had again, bindings without a payment; then
    /// everything that [`Wallet::resume`] does.
    ///
    /// # Errors
    /// [`WalletError::Store`]; all else is in the answer.
    pub async fn repair(&self, doubtful: Doubtful) -> Result<Resumed, WalletError> {
        files::repair(self.directory())?;
        self.store.remove_damaged(&REPLACEABLE).await?;
        self.at("wallet.doctor.cleaned");
        self.free_lost_bindings().await?;
        self.resume(doubtful).await
    }

    /// What is damaged in a wallet that cannot be opened.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn damage_of(
        directory: &Path,
        passphrase: Passphrase,
        entropy: Entropy,
    ) -> Result<Diagnosis, WalletError> {
        let store = Store::open_to_read(directory, passphrase, entropy).await?;
        let findings = damage(&store).await?;
        store.close().await?;
        let healthy = findings.is_empty();
        let (evidence, caught, complaints) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Diagnosis { healthy, findings, evidence, caught, complaints })
    }
}

const DAMAGED: &str = "record.damaged";

async fn damage(store: &Store) -> Result<Vec<Finding>, WalletError> {
    let finding = |(kind, count): (Kind, usize)| {
        let what = format!("{count} of the records of the kind `{}` cannot be read.", kind.name());
        let todo = if REPLACEABLE.contains(&kind) {
            "`scrip doctor --repair` removes them: the vendor and the relays can be asked again \
             (`scrip relay add`)."
        } else {
            "Make a new wallet in another place: with `scrip restore --backup`, or with `scrip restore` from the \
             24 words, which finds the money and not the queues and files."
        };
        Finding::open(DAMAGED, what, todo)
    };
    Ok(store.damaged().await?.into_iter().map(finding).collect())
}
