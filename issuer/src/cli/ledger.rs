//! `auditor add`, `auditor list`, `auditor revoke`, `ledger key`, `ledger status`, `ledger verify`, `ledger prove`

use scrip_protocol::manifest::Manifest;

use super::{
    Session,
    arguments::{AuditorCommand, LedgerCommand},
    error::CliError,
};
use crate::{
    error::StartError,
    ledger::{Storage, auditors, beside, prove, verify},
    status,
    store::Store,
};

pub(super) async fn auditors(session: &Session, command: AuditorCommand) -> Result<(), CliError> {
    let (config, store) = session.open_store().await?;
    let now = session.clock.now();
    let done = match command {
        AuditorCommand::Add { name, valid_days } => {
            let mut rng = (session.rng)();
            let added = auditors::add_auditor(&store, &name, valid_days, now, &mut &mut *rng).await;
            let scheme = if config.has_tls() { "https" } else { "http" };
            let ledger = format!("{scheme}://{}/ledger", config.authority());
            match added {
                Ok((token, row)) => session.printer.auditor(&token, &row, &ledger),
                Err(error) => Err(error.into()),
            }
        }
        AuditorCommand::List => list(session, &store).await,
        AuditorCommand::Revoke { name } => {
            match auditors::revoke_auditor(&store, &name, now).await {
                Ok(()) => list(session, &store).await,
                Err(error) => Err(error.into()),
            }
        }
    };
    store.close().await;
    done
}

async fn list(session: &Session, store: &Store) -> Result<(), CliError> {
    session.printer.auditors(&store.auditors().await?, session.clock.now())
}

pub(super) async fn ledger(session: &Session, command: LedgerCommand) -> Result<(), CliError> {
    let (config, store) = session.open_store().await?;
    let storage = Storage::open(&config.ledger, beside(&config.database).as_deref());
    let storage = storage.map_err(StartError::Storage)?;
    let done = match command {
        LedgerCommand::Key => {
            let (vendor, manifest) = store.manifest().await?;
            let manifest = Manifest::open(&manifest, &vendor).map_err(StartError::Manifest)?;
            session.printer.ledger_key(&manifest.ledger_key())
        }
        LedgerCommand::Status => {
            let status = status::read_ledger(&store).await?;
            session.printer.ledger_status(status, storage.place())
        }
        LedgerCommand::Verify => {
            let (vendor, manifest) = store.manifest().await?;
            let manifest = Manifest::open(&manifest, &vendor).map_err(StartError::Manifest)?;
            let verified = verify(&storage, &vendor, manifest.receipt_keys(), |_, _| {}).await?;
            session.printer.ledger_verified(&verified, storage.place())
        }
        LedgerCommand::Prove => {
            let (vendor, _) = store.manifest().await?;
            let proven = prove(&store, &storage, vendor, &session.rng).await?;
            session.printer.ledger_proven(&proven, storage.place())
        }
    };
    store.close().await;
    done
}
