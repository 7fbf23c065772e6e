//! `voucher create`, `voucher list`, `voucher cancel`, `refund`

use std::path::Path;

use scrip_runtime::files::{replace_atomically, write_new_private};

use super::{
    Session,
    arguments::{RefundArguments, VoucherCommand, VoucherFormat},
    error::CliError,
    print::vouchers_json,
};
use crate::{
    sources::TransactionId,
    store::{Act, Refund, Store},
    vouchers::{self, Making, NewVouchers, VoucherCode},
};

pub(super) async fn vouchers(session: &Session, command: VoucherCommand) -> Result<(), CliError> {
    let (_, store) = session.open_store().await?;
    let done = match command {
        VoucherCommand::Create { product, count, valid_days, operator, format, out } => {
            let actor = Act::COMMAND_LINE;
            let operator = operator.as_deref();
            let product = product.as_str();
            let making = Making { product, count, valid_days, operator, actor, nonce: None };
            let format = if session.printer.json { VoucherFormat::Json } else { format };
            create(session, &store, making, format, out.as_deref()).await
        }
        VoucherCommand::List => list(session, &store).await,
        VoucherCommand::Cancel { batch } => cancel(session, &store, batch).await,
    };
    store.close().await;
    done
}

async fn create(
    session: &Session,
    store: &Store,
    making: Making<'_>,
    format: VoucherFormat,
    out: Option<&Path>,
) -> Result<(), CliError> {
    if let Some(out) = out {
        // Before anything is made: a file that cannot be written would be found when the codes are there.
        write_new_private(out, b"")?;
    }
    let mut rng = (session.rng)();
    let (clock, rng) = (&*session.clock, &mut &mut *rng);
    let made = match vouchers::create(store, making, clock, rng).await {
        Ok(made) => made,
        Err(error) => {
            if let Some(out) = out {
                let _ = std::fs::remove_file(out); // empty; the error that there is says more
            }
            return Err(error.into());
        }
    };
    let text = written(&made, format);
    match out {
        Some(out) => {
            let batch = made.batch;
            replace_atomically(out, text.as_bytes())
                .map_err(|source| CliError::CodesLost { batch, source })?;
            session.printer.vouchers_written(&made, out)
        }
        None => session.printer.raw(&text),
    }
}

fn written(made: &NewVouchers, format: VoucherFormat) -> String {
    match format {
        VoucherFormat::Text => made.to_lines(),
        VoucherFormat::Csv => made.to_csv(),
        VoucherFormat::Json => format!("{}\n", vouchers_json(made)),
    }
}

async fn list(session: &Session, store: &Store) -> Result<(), CliError> {
    session.printer.voucher_batches(&store.voucher_batches().await?)
}

async fn cancel(session: &Session, store: &Store, batch: u64) -> Result<(), CliError> {
    let cancelled = vouchers::cancel(store, batch, Act::COMMAND_LINE, &*session.clock).await?;
    let cancelled = cancelled.ok_or(CliError::NoBatch { batch })?;
    session.printer.vouchers_cancelled(batch, cancelled)
}

pub(super) async fn refund(session: &Session, arguments: &RefundArguments) -> Result<(), CliError> {
    let (_, store) = session.open_store().await?;
    let refunded = refund_in(session, &store, arguments).await;
    store.close().await;
    session.printer.refunded(refunded?)
}

async fn refund_in(
    session: &Session,
    store: &Store,
    RefundArguments { source, transaction, reverse }: &RefundArguments,
) -> Result<Refund, CliError> {
    let unknown =
        || CliError::NoPurchase { purchase: transaction.clone(), source_name: source.clone() };
    let id = match source.as_str() {
        "voucher" => {
            let code: VoucherCode = transaction.parse().map_err(|_| unknown())?;
            TransactionId::new(code.hash())
        }
        _ => TransactionId::new(transaction.as_bytes()),
    };
    // A refund of what never came would be noted, and a slip of the hand with it.
    store.purchase(source, &id).await?.ok_or_else(unknown)?;
    let now = session.clock.now();
    Ok(store.refund(source, &id, !reverse, Act::COMMAND_LINE, now).await?)
}
