//! `database accept`

use super::{Session, error::CliError};
use crate::{
    error::StartError,
    ledger::{Storage, belief, beside},
    store::Store,
};

pub(super) async fn accept(session: &Session, with_losses: bool) -> Result<(), CliError> {
    let config = session.config()?;
    let store = Store::open(&config.database, config.database_connections, false).await?;
    let storage = Storage::open(&config.ledger, beside(&config.database).as_deref());
    let storage = storage.map_err(StartError::Storage)?;
    let accepted = belief::accept(&store, &storage, with_losses).await;
    store.close().await;
    accepted?;
    session.printer.database_accepted(with_losses)
}
