//! `operator contract`, `operator contracts`, `statement make|list|show|export|adjust`

use rand_core::RngCore as _;
use scrip_protocol::ledger::{Contract, export::StatementReport};
use scrip_runtime::{files::replace_atomically, passphrase::passphrase};
use serde_json::json;

use super::{
    Session,
    arguments::{OperatorCommand, StatementCommand, StatementFormat},
    error::CliError,
};
use crate::{
    config::{Config, ENV_PREFIX},
    contracts::{self, Terms},
    error::StartError,
    ledger::{Storage, beside},
    statements::{self, Keys, Shown, StatementError},
    store::{Act, OperatorRow, Store},
};

pub(super) async fn contracts(session: &Session, command: OperatorCommand) -> Result<(), CliError> {
    let (_, store) = session.open_store().await?;
    let done = conclude_or_list(session, &store, command).await;
    store.close().await;
    done
}

async fn conclude_or_list(
    session: &Session,
    store: &Store,
    command: OperatorCommand,
) -> Result<(), CliError> {
    match command {
        OperatorCommand::Contract { name, currency, price, share, resale_price } => {
            let terms = Terms { operator: &name, currency, price, share, resale_price };
            let mut rng = (session.rng)();
            let (actor, clock) = (Act::COMMAND_LINE, &*session.clock);
            let concluded = contracts::conclude(store, terms, actor, clock, &mut *rng).await?;
            session.printer.contract(&name, &concluded.0, concluded.1)
        }
        OperatorCommand::Contracts { name } => {
            let mut all: Vec<(String, Contract)> = Vec::new();
            for operator in operators(store, name.as_deref()).await? {
                let contracts = store.contracts(&operator).await?.into_iter();
                all.extend(contracts.map(|contract| (operator.name.clone(), contract)));
            }
            session.printer.contracts(&all)
        }
        // The others are handled where they always were.
        OperatorCommand::Add { .. } | OperatorCommand::Address { .. } | OperatorCommand::List => {
            Ok(())
        }
    }
}

/// One operator, or all of them.
async fn operators(store: &Store, name: Option<&str>) -> Result<Vec<OperatorRow>, CliError> {
    match name {
        Some(name) => Ok(vec![contracts::operator(store, name).await?]),
        None => Ok(store.operators().await?),
    }
}

pub(super) async fn run(session: &Session, command: StatementCommand) -> Result<(), CliError> {
    let (config, store) = session.open_store().await?;
    let done = run_with(session, &config, &store, command).await;
    store.close().await;
    done
}

async fn run_with(
    session: &Session,
    config: &Config,
    store: &Store,
    command: StatementCommand,
) -> Result<(), CliError> {
    match command {
        StatementCommand::Make { operator, .. } => {
            let storage = Storage::open(&config.ledger, beside(&config.database).as_deref());
            let storage = storage.map_err(StartError::Storage)?;
            make(session, store, &storage, operator.as_deref()).await
        }
        StatementCommand::List { operator } => {
            session.printer.statements(&shown(store, operator.as_deref()).await?)
        }
        StatementCommand::Show { operator, number } => {
            let operator = contracts::operator(store, &operator).await?;
            let number = match number {
                Some(number) => number,
                None => store.unstated(&operator).await?.statements,
            };
            session.printer.statement(&statements::one(store, &operator, number).await?)
        }
        StatementCommand::Export { operator, format, out } => {
            let format = if session.printer.json { StatementFormat::Json } else { format };
            let text = written(&shown(store, operator.as_deref()).await?, format);
            match out {
                Some(out) => Ok(replace_atomically(&out, text.as_bytes())?),
                None => session.printer.raw(&text),
            }
        }
        StatementCommand::Adjust { operator, amount, reason } => {
            let (actor, clock) = (Act::COMMAND_LINE, &*session.clock);
            let number =
                statements::adjust(store, &operator, amount, &reason, actor, clock).await?;
            session.printer.adjustment(&operator, number, amount)
        }
    }
}

async fn make(
    session: &Session,
    store: &Store,
    storage: &Storage,
    operator: Option<&str>,
) -> Result<(), CliError> {
    let operators = operators(store, operator).await?;
    let passphrase = passphrase(ENV_PREFIX, session.env.iter().cloned(), true)?;
    let keys = Keys::unlock(store, passphrase).await?;
    let books = keys.books(store, storage, &session.steps);
    let is_one = operators.len() == 1;
    let (mut made, mut nothing) = (Vec::new(), Vec::new());
    for operator in operators {
        let mut seed = [0; 32];
        (session.rng)().fill_bytes(&mut seed);
        let now = session.certain(store).await?;
        match books.state(&operator, Act::COMMAND_LINE, now, seed).await {
            Ok(Some(signed)) => {
                let number = signed.unverified().number;
                made.push(statements::one(store, &operator, number).await?);
            }
            Ok(None) => nothing.push(operator.name),
            Err(StatementError::NoContract { name }) if !is_one => nothing.push(name),
            Err(error) => return Err(error.into()),
        }
    }
    session.printer.statements_made(&made, &nothing)
}

async fn shown(store: &Store, operator: Option<&str>) -> Result<Vec<Shown>, CliError> {
    let mut all = Vec::new();
    for operator in operators(store, operator).await? {
        all.extend(statements::of(store, &operator).await?);
    }
    Ok(all)
}

fn written(shown: &[Shown], format: StatementFormat) -> String {
    match format {
        StatementFormat::Csv => {
            let rows: String = shown.iter().map(|one| one.report.to_csv()).collect();
            format!("{}{rows}", StatementReport::CSV_HEAD)
        }
        StatementFormat::Json => {
            let reports: Vec<&StatementReport> = shown.iter().map(|one| &one.report).collect();
            format!("{}\n", json!({ "statements": reports }))
        }
    }
}
