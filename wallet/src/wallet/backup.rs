//! Backups, and wallets that are made of one.
//!
//! A backup is old as soon as it is made. Whoever restores one must not spend what was spent since: what it holds is in
//! doubt. A payment that was under way may have been refused since, and its certificates spent elsewhere; so it is not
//! repeated by the way, but only when the user asks for that. A purchase that was under way brings certificates that are in
//! doubt. Leases, queues and files are as they were.

use std::{collections::BTreeSet, path::Path};

use scrip_protocol::{
    credits::Credits,
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use scrip_runtime::passphrase::Passphrase;
use serde::Serialize;

use super::{Environment, Wallet, apart, buy::is_open};
use crate::{
    error::WalletError,
    records::{
        Blob, CertificateRecord, CertificateState, CopyRecord, Identity, PaymentRecord,
        PaymentState, Purchase, RestoreRecord, Settings,
    },
    store::{Changes, OpenBackup, Snapshot, Store, StoreError},
};

/// A wallet that was made of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FromBackup {
    /// When the backup was made.
    pub made: UnixSeconds,
    /// Could be spent then, and may have been spent since.
    pub in_doubt: Credits,
    /// Payments that were under way.
    pub payments: usize,
    /// Purchases that were under way.
    pub purchases: usize,
}

impl Wallet {
    /// Writes everything that the wallet holds to one file, sealed under the wallet's passphrase, and reads it back. A file
    /// that exists is replaced only where `overwrite` is set.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn backup(&self, path: &Path, overwrite: bool) -> Result<UnixSeconds, WalletError> {
        let snapshot = self.store.snapshot(self.now()).await?;
        let (store, path, made) = (self.store.clone(), path.to_owned(), snapshot.made);
        apart(move || store.write_backup(&snapshot, &path, overwrite)).await??;
        self.at("wallet.backup.written");
        Ok(made)
    }

    /// Makes a wallet in `directory` of the backup in `file`, under the passphrase that the backup was made with. Calls
    /// nobody; [`Wallet::resume`] then finds what was bought since, and repeats what was under way.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn restore_backup(
        file: &Path,
        directory: &Path,
        passphrase: Passphrase,
        environment: Environment,
    ) -> Result<(Self, FromBackup), WalletError> {
        let mut backup = OpenBackup::read(file, passphrase).await?;
        let (copy, found) = copy_of(&backup.snapshot, environment.clock.now())?;
        let restored = copy.restored;
        backup.snapshot.change(|one| doubt(one, restored))?;
        // The vendor is asked for all purchases: there may be some that the backup does not know.
        let walk = RestoreRecord { next: 0, misses: 0, gap_limit: Self::GAP_LIMIT, fast: true };
        let more = Changes::default().put(&copy).put(&walk);
        let identity = backup.snapshot.all::<Identity>()?.pop();
        let identity = identity.ok_or_else(|| StoreError::Backup {
            path: file.to_owned(),
            reason: "there is no wallet in it",
        })?;
        let entropy = environment.entropy.clone();
        let store = Store::create_from(directory, entropy, backup, more).await?;
        let settings = store.get::<Settings>(&[]).await?.unwrap_or_default();
        let certificates = store.all().await?;
        let wallet = Self::assemble(store, &identity, settings, certificates, environment);
        wallet.at("wallet.backup.restored");
        Ok((wallet, found))
    }

    /// What is known of the backup that this wallet was made of, if it was.
    pub(super) async fn copied(&self) -> Result<Option<CopyRecord>, WalletError> {
        Ok(self.store.get(&[]).await?)
    }

    /// Whether certificates of this purchase may have been spent by the wallet that a backup was made of.
    pub(super) async fn may_be_spent(&self, grant: u32) -> Result<bool, WalletError> {
        Ok(self.copied().await?.is_some_and(|copy| copy.purchases.contains(&grant)))
    }
}

fn copy_of(snapshot: &Snapshot, now: UnixSeconds) -> Result<(CopyRecord, FromBackup), StoreError> {
    let earlier = snapshot.all::<CopyRecord>()?.pop();
    let (mut purchases, mut payments) =
        earlier.map(|copy| (copy.purchases, copy.payments)).unwrap_or_default();
    let open = snapshot.all::<Purchase>()?.into_iter().filter(is_open);
    let open_purchases: BTreeSet<u32> = open.map(|purchase| purchase.grant).collect();
    let in_flight =
        |payment: &PaymentRecord| matches!(payment.state, PaymentState::InFlight { .. });
    let open = snapshot.all::<PaymentRecord>()?.into_iter().filter(in_flight);
    let open_payments: BTreeSet<_> = open.map(|payment| payment.id).collect();
    let certificates = snapshot.all::<CertificateRecord>()?;
    let doubtful = certificates
        .iter()
        .filter(|one| one.spend_until > now)
        .filter(|one| matches!(one.state, CertificateState::Held | CertificateState::InDoubt));
    let found = FromBackup {
        made: snapshot.made,
        in_doubt: Credits::total(doubtful.map(CertificateRecord::value)),
        payments: open_payments.len(),
        purchases: open_purchases.len(),
    };
    purchases.extend(open_purchases);
    payments.extend(open_payments);
    let backup = Blob(snapshot.id.to_vec());
    Ok((CopyRecord { backup, made: snapshot.made, restored: now, purchases, payments }, found))
}

/// What is not known any more about a certificate of a backup that is restored now. The vendor's word that it knew nothing of it
/// is as old as the backup.
fn doubt(certificate: CertificateRecord, restored: UnixSeconds) -> CertificateRecord {
    let state = match certificate.state {
        CertificateState::Held => CertificateState::InDoubt,
        CertificateState::InFlight { payment, .. } => {
            CertificateState::InFlight { payment, doubtful: true }
        }
        // A renewal that was recorded before this moment, clocks apart, was not this wallet's: what came of it may be spent.
        CertificateState::Renewing { key_id, .. } => {
            let since = restored.plus(2 * SECONDS_PER_DAY);
            CertificateState::Renewing { key_id, since, doubtful: true }
        }
        CertificateState::InDoubt
        | CertificateState::Spent { .. }
        | CertificateState::SpentElsewhere
        | CertificateState::Renewed { .. } => certificate.state,
    };
    CertificateRecord { state, looked: None, ..certificate }
}
