//! Dropping what is past: private keys when they sign no more, records when nobody can redeem any more.
//!
//! What is left of an epoch is its sums. Everything here can be cut short anywhere and done again, and by several
//! processes at once. It goes by the believed time, and by that three days late ([`scrip_runtime::plausible`]): one wrong clock
//! drops nothing, and what it would have dropped is there when it is right again.

use scrip_protocol::{
    manifest::{DenominationKey, Epoch, Windows},
    time::{Day, UnixSeconds},
};

use crate::{
    issuer::Issuer, keys::denomination, ledger::Scope, purchases::KEEP_UNPAID, store::StoreError,
};

/// Rows of one transaction: few enough that redemptions hardly wait.
const BATCH: u16 = 512;

/// How much was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Private keys.
    pub keys: u64,
    /// Recorded spends, each with its evidence.
    pub spends: usize,
    /// Answers to batches.
    pub batches: u64,
    /// Orders that nobody paid.
    pub orders: u64,
}

impl Issuer {
    /// Drops what is past, in transactions of bounded size.
    ///
    /// # Errors
    /// [`StoreError`]; what was dropped before stays dropped.
    pub async fn drop_past(&self) -> Result<Dropped, StoreError> {
        let (store, steps) = (&self.inner.store, &self.inner.steps);
        // What is dropped is past by what is remembered: a start after a crash does not look for it.
        self.tend_clock().await?;
        let (now, manifest) = (self.inner.believed.read().deletable(), self.manifest());
        let keep_for = self.inner.config.epoch.keep_for.0;
        let is_past = |windows: &Windows| windows.redeem_until.plus(keep_for) <= now;

        let silent = manifest.keys().filter(|key| signs_no_more(key, now));
        let names: Vec<String> =
            silent.map(|key| denomination(key.epoch(), key.exponent())).collect();
        steps.at("issuer.drop.before");
        let mut dropped = Dropped { keys: store.drop_keys(&names).await?, ..Dropped::default() };
        // Evidence goes when it can be read in the ledger, and its epoch has its end there.
        if let Err(error) = self.integrate(Scope::Due).await {
            tracing::warn!(%error, "what is past stays until the ledger grows");
        }
        let in_ledger = self.epochs_in_ledger().await?;
        let past = manifest.epochs().iter().filter(|epoch| is_past(&epoch.windows));
        for epoch in past.filter(|epoch| in_ledger.contains(&epoch.number)) {
            loop {
                let some = store.drop_spent(epoch.number, BATCH).await?;
                dropped.spends += some;
                steps.at("issuer.drop.between");
                if some < usize::from(BATCH) {
                    break;
                }
            }
        }
        // A batch names epochs that had begun on its day, or that began within the day after.
        let is_kept =
            |epoch: &&Epoch| !is_past(&epoch.windows) || !in_ledger.contains(&epoch.number);
        let kept = manifest.epochs().iter().filter(is_kept);
        let first = kept.map(|epoch| epoch.windows.issue_from.day()).min();
        let before = Day(first.unwrap_or(now.day()).0.saturating_sub(1));
        loop {
            let some = store.drop_batches(before, BATCH).await?;
            dropped.batches += some;
            if some < u64::from(BATCH) {
                break;
            }
        }
        let unpaid = Day(now.day().0.saturating_sub(KEEP_UNPAID));
        loop {
            let some = store.drop_orders(unpaid, BATCH).await?;
            dropped.orders += some;
            if some < u64::from(BATCH) {
                break;
            }
        }
        steps.at("issuer.drop.after");
        Ok(dropped)
    }
}

fn signs_no_more(key: &DenominationKey, now: UnixSeconds) -> bool {
    let windows = key.windows();
    !windows.signs_at(now.max(windows.issue_from))
}
