//! Finding the money of a seed again.
//!
//! Grants are numbered from 0. Each index is asked for at the vendor until so many in a row are unknown that no more can be
//! expected: one at a time, hours apart, because what is asked for in a row is known to be one wallet's. What was issued before is signed again by nobody: the vendor's stored answers are fetched, and the certificates
//! in them are *in doubt*, because nothing tells whether the lost wallet had spent them.

use scrip_protocol::{
    credits::Credits,
    problem::{Fault, Problem, ProblemType},
};
use serde::Serialize;

use super::{
    Wallet,
    buy::{is, is_open},
};
use crate::{
    error::WalletError,
    net::CallError,
    records::{Purchase, PurchaseState, RestoreRecord},
    store::Changes,
};

/// What a restore found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Purchases that were found.
    pub purchases: u32,
    /// What their certificates are worth, if none was spent.
    pub in_doubt: Credits,
    /// What was bought and not yet issued, and is certain.
    pub newly_issued: Credits,
    /// How many purchases give no pack.
    pub unusable: u32,
    /// How many could not be restored; what there is of them, [`Wallet::resume`] tries again.
    pub failed: u32,
    /// How many purchases were asked for by now.
    pub asked: u32,
    /// Whether there are more to be asked for.
    pub goes_on: bool,
}

impl Wallet {
    /// How many unknown grants in a row end a restore, unless told otherwise.
    pub const GAP_LIMIT: u32 = 20;

    /// Walks the grants of the seed in a row: whoever sees that knows that they are one wallet's. Where it is interrupted,
    /// [`Wallet::resume`] goes on.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn restore(&self, gap_limit: u32) -> Result<Restored, WalletError> {
        self.begin_restore(gap_limit, true).await
    }

    /// The same, one grant at a time, each at a moment of its own some hours after the one before: the first one now, the others by
    /// [`Wallet::tend`].
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn restore_slowly(&self, gap_limit: u32) -> Result<Restored, WalletError> {
        self.begin_restore(gap_limit, false).await
    }

    async fn begin_restore(&self, gap_limit: u32, fast: bool) -> Result<Restored, WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        let gap_limit = gap_limit.max(1);
        let progress = RestoreRecord { next: 0, misses: 0, gap_limit, fast };
        self.store.commit(Changes::default().put(&progress)).await?;
        self.at("wallet.restore.recorded");
        self.walk(progress).await
    }

    /// Goes on with a restore that was interrupted: to its end, or by one grant.
    pub(super) async fn resume_restore(&self) -> Result<Option<Restored>, WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        match self.store.get::<RestoreRecord>(&[]).await? {
            Some(progress) if progress.is_over() => Ok(None),
            Some(progress) => self.walk(progress).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether a restore goes on one grant at a time.
    pub(super) async fn is_restoring(&self) -> Result<bool, WalletError> {
        let progress = self.store.get::<RestoreRecord>(&[]).await?;
        Ok(progress.is_some_and(|progress| !progress.is_over()))
    }

    async fn walk(&self, mut progress: RestoreRecord) -> Result<Restored, WalletError> {
        let mut restored = Restored::default();
        // Old epochs are needed, and the newest manifest has them.
        if progress.fast || self.known_manifest().await.is_err() {
            self.meet_vendor().await?;
        }
        while !progress.is_over() {
            let mut found = false;
            match self.restore_grant(progress.next, &mut found, &mut restored).await {
                Ok(()) => {}
                Err(error) if ends_the_restore(&error, found) => return Err(error),
                // One bad grant does not keep the others from being found.
                Err(error) => {
                    self.watch().warn(format!("purchase {}: {error}", progress.next));
                    restored.failed += 1;
                }
            }
            progress.misses = if found { 0 } else { progress.misses + 1 };
            progress.next = progress.next.saturating_add(1);
            self.store.commit(Changes::default().put(&progress)).await?;
            self.at("wallet.restore.advanced");
            if !progress.fast {
                break;
            }
        }
        restored.asked = progress.next;
        restored.goes_on = !progress.is_over();
        Ok(restored)
    }

    fn found(&self, grant: u32, state: PurchaseState) -> Purchase {
        Purchase { grant, proof: None, order: None, wanted: None, at: self.now(), state }
    }

    /// Finds the grant of this index, and says so in `found` also where its certificates cannot be had.
    async fn restore_grant(
        &self,
        grant: u32,
        found: &mut bool,
        restored: &mut Restored,
    ) -> Result<(), WalletError> {
        let mut known = self.store.get::<Purchase>(&grant.to_be_bytes()).await?;
        if known.as_ref().is_some_and(|purchase| !is_open(purchase)) {
            *found = true;
            return Ok(());
        }
        // A client for each grant: on one connection, the vendor would see that they belong together.
        let client = self.network().await.vendor(&self.vendor)?;
        let secret = self.seed.grant_secret(&self.vendor.id, grant);
        let answer = match client.grant(&secret).await {
            Ok(answer) => answer,
            Err(error) if is(&error, ProblemType::GrantUnknown) => return Ok(()),
            Err(error) if is(&error, ProblemType::PurchasePending) => {
                // Ordered and not paid yet; `resume` asks again.
                *found = true;
                if known.is_none() {
                    let ordered = self.found(grant, PurchaseState::Asked);
                    self.store.commit(Changes::default().put(&ordered)).await?;
                }
                return Ok(());
            }
            Err(error) => return Err(WalletError::call(&self.vendor.authority)(error)),
        };
        *found = true;
        restored.purchases += 1;
        if let Some(asking) = &mut known
            && matches!(asking.state, PurchaseState::Asked)
            && asking.proof.is_some()
            && asking.order.is_none()
        {
            // The grant that is here may be that of another purchase, made by an earlier life of this wallet, and what this one
            // is paid with may never have reached the vendor. So it goes on under another index; where the grant is its own
            // after all, the vendor says then that it was used.
            self.skip(asking).await?;
            known = None;
        }
        // Certificates of test keys come back too, and count as nothing.
        let credits = if answer.test { Credits::ZERO } else { answer.credits };
        let minted = answer.minted;
        let state = PurchaseState::Granted { answer: answer.clone() };
        let mut purchase = known.unwrap_or_else(|| self.found(grant, PurchaseState::Asked));
        if matches!(purchase.state, PurchaseState::Asked | PurchaseState::Granted { .. }) {
            purchase.state = state;
            self.store.commit(Changes::default().put(&purchase)).await?;
            self.at("wallet.restore.granted");
        }
        let sum = |total: Credits| Credits::total([total, credits]);
        if !minted {
            self.issue(&client, purchase).await?;
            restored.newly_issued = sum(restored.newly_issued);
            return Ok(());
        }
        match self.collect_issued(&client, &mut purchase, answer).await {
            Ok(_) => restored.in_doubt = sum(restored.in_doubt),
            Err(WalletError::PurchaseUnusable) => restored.unusable += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether it makes no sense to go on: the store or the way to the vendor fails, or the vendor fails to say whether there is
/// such a grant at all.
fn ends_the_restore(error: &WalletError, found: bool) -> bool {
    match error {
        WalletError::Store(_) | WalletError::Client(_) | WalletError::ShuttingDown => true,
        WalletError::Call { error: CallError::Transport(_), .. } => true,
        WalletError::Call { error, .. } => {
            let client = |problem: &Problem| problem.problem.fault() == Fault::Client;
            !found && !error.problem().is_some_and(client)
        }
        _ => false,
    }
}
