//! Statements: what an operator earned and owes, signed and in the ledger (ledger.md, "Statements").
//!
//! A statement is computed from the leaves alone, as the operator and every auditor compute it. It is signed before the transaction
//! that records it; that transaction gives it its number, its place in line and its adjustments, or does nothing. A crash before it
//! leaves everything as it was, and the signed bytes, which nobody has seen, are gone; one after it leaves a statement that is
//! integrated like everything in line. So no leaf and no adjustment is ever in two.

mod leaves;

use std::sync::Arc;

use scrip_protocol::{
    id::VendorId,
    keys::SigningKey,
    ledger::{
        Adjustment, CommitmentKind, Contract, Leaf, Money, SignedStatement, Statement,
        StatementError as SigningError, ValueCommitment,
        export::StatementReport,
        settlement::{Account, SettlementError},
    },
    manifest::Manifest,
    solvency::{Blinding, commit},
    time::{Day, UnixSeconds},
};
use scrip_runtime::{clock::Clock, passphrase::Passphrase, plausible::ClockInDoubt, steps::Steps};

use crate::{
    contracts::{ContractError, operator},
    error::StartError,
    issuer::Issuer,
    keys::{RECEIPT, Receipt, Vault},
    ledger::{LedgerError, Storage},
    store::{Act, Action, NewStatement, OperatorRow, Store, StoreError},
};

/// The longest reason of an adjustment, in bytes.
pub const MAX_REASON: usize = 200;

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// There is no such operator.
    #[error(transparent)]
    Operator(#[from] ContractError),
    /// It has no contract, so that nothing has a price.
    #[error("`{name}` has no contract; conclude one with `scrip-issuer operator contract`")]
    NoContract {
        /// The operator.
        name: String,
    },
    /// It cannot be computed.
    #[error("the statement of `{name}` cannot be computed: {source}")]
    Settlement {
        /// The operator.
        name: String,
        /// Why.
        source: SettlementError,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What the ledger has is no leaf.
    #[error("leaf {index} of the ledger does not parse; restore the ledger from a backup")]
    Leaf {
        /// Its index.
        index: u64,
    },
    /// It would have a wrong date for ever.
    #[error(transparent)]
    Clock(#[from] ClockInDoubt),
    /// It does not fit a leaf.
    #[error(transparent)]
    TooLarge(#[from] SigningError),
    /// Somebody else makes statements at this moment.
    #[error(
        "another process made a statement of `{name}` meanwhile; see `scrip-issuer statement list`"
    )]
    Overtaken {
        /// The operator.
        name: String,
    },
    /// A reason that cannot be shown.
    #[error("a reason has from 1 to {MAX_REASON} bytes of printable text")]
    Reason,
    /// There is no such statement.
    #[error("`{name}` has no statement {number}; see `scrip-issuer statement list`")]
    Unknown {
        /// The operator.
        name: String,
        /// What was asked for.
        number: u32,
    },
    /// The keys cannot be opened.
    #[error(transparent)]
    Keys(#[from] Box<StartError>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What statements are made with.
pub(crate) struct Books<'a> {
    pub(crate) store: &'a Store,
    pub(crate) storage: &'a Storage,
    pub(crate) vendor_id: VendorId,
    pub(crate) manifest: &'a Manifest,
    pub(crate) receipt: &'a SigningKey,
    pub(crate) steps: &'a Steps,
}

/// A statement with everything that it is shown with.
pub struct Shown {
    /// Whose.
    pub operator: OperatorRow,
    /// The statement.
    pub signed: SignedStatement,
    /// What it says.
    pub report: StatementReport,
}

impl Books<'_> {
    /// Makes the next statement of an operator, over everything of it that is in the ledger and in none yet; `None` where that is
    /// nothing. `seed` is random; the blindings follow from it.
    pub(crate) async fn state(
        &self,
        operator: &OperatorRow,
        actor: &str,
        now: UnixSeconds,
        seed: [u8; 32],
    ) -> Result<Option<SignedStatement>, StatementError> {
        let unstated = self.store.unstated(operator).await?;
        let (from, until) = (unstated.from, unstated.stored);
        let mut account = Account::resumed(
            self.vendor_id,
            operator.id,
            unstated.contracts,
            unstated.statements,
            from,
        );
        leaves::replay(self, operator, &mut account, until).await?;
        let settlement =
            |source| StatementError::Settlement { name: operator.name.clone(), source };
        let adjustments = unstated
            .adjustments
            .iter()
            .map(|row| Adjustment { amount: row.amount, reason: row.reason.clone() });
        let blinding = |epoch: u32| Blinding::from_seed(&seed, &epoch.to_be_bytes()).to_bytes();
        let next = account.next_statement(now.day(), until, adjustments.collect(), blinding);
        let statement = next.map_err(settlement)?;
        let Some(statement) = statement else {
            return match account.contracts() {
                [] => Err(StatementError::NoContract { name: operator.name.clone() }),
                _ => Ok(None),
            };
        };
        let number = statement.number;
        let what = format!("statement {number}: {} {}", Money(statement.total), statement.currency);
        let signed = statement.sign(self.receipt)?;
        let commitments = commitments(&signed);
        let adjustments: Vec<u32> = unstated.adjustments.iter().map(|row| row.number).collect();
        let new = NewStatement {
            number,
            until,
            contract: account.contracts().last().map_or(0, |last| last.number),
            day: now.day(),
            signed: &signed,
            commitments: &commitments,
            adjustments: &adjustments,
        };
        let act = Act::by(actor, now, Action::StatementMake, &operator.name).detail(what);
        self.steps.at("issuer.statement.before");
        let recorded = self.store.add_statement(operator, &new, &act).await?;
        self.steps.at("issuer.statement.after");
        match recorded {
            true => Ok(Some(signed)),
            false => Err(StatementError::Overtaken { name: operator.name.clone() }),
        }
    }
}

/// The commitments to what a statement settles, which stand in front of it. A blinding that is none would be a mistake of ours, and
/// leaves its commitment out, which every auditor finds.
fn commitments(signed: &SignedStatement) -> Vec<ValueCommitment> {
    let leaf_hash = Leaf::Statement(signed.clone()).hash();
    let one = |settled: &scrip_protocol::ledger::Settled| {
        let blinding = Blinding::from_bytes(&settled.blinding)?;
        Some(ValueCommitment {
            kind: CommitmentKind::Settled,
            epoch: settled.epoch,
            commitment: commit(settled.credits, &blinding),
            leaf_hash,
        })
    };
    signed.unverified().settled.iter().filter_map(one).collect()
}

/// The keys that statements are signed with, opened for a command.
pub(crate) struct Keys {
    manifest: Manifest,
    receipt: SigningKey,
}

impl Keys {
    pub(crate) async fn unlock(store: &Store, passphrase: Passphrase) -> Result<Self, StartError> {
        let vault = Vault::of(store, passphrase).await?;
        let (vendor_id, manifest) = store.manifest().await?;
        let manifest = Manifest::open(&manifest, &vendor_id)?;
        let sealed = store.sealed_keys(RECEIPT).await?;
        let receipt = Receipt::open(&vault, &sealed, &manifest)?.newest;
        Ok(Self { manifest, receipt })
    }

    pub(crate) fn books<'a>(
        &'a self,
        store: &'a Store,
        storage: &'a Storage,
        steps: &'a Steps,
    ) -> Books<'a> {
        let (manifest, receipt) = (&self.manifest, &self.receipt);
        Books { store, storage, vendor_id: manifest.vendor_id(), manifest, receipt, steps }
    }
}

/// Records an adjustment, which the next statement has.
///
/// # Errors
/// [`StatementError`].
pub async fn adjust(
    store: &Store,
    name: &str,
    amount: Money,
    reason: &str,
    actor: &str,
    clock: &dyn Clock,
) -> Result<u32, StatementError> {
    let reason = reason.trim();
    if !(1..=MAX_REASON).contains(&reason.len()) || reason.chars().any(char::is_control) {
        return Err(StatementError::Reason);
    }
    let operator = operator(store, name).await?;
    if store.contracts(&operator).await?.is_empty() {
        return Err(StatementError::NoContract { name: operator.name });
    }
    let now = clock.now();
    let act = Act::by(actor, now, Action::StatementAdjust, &operator.name)
        .detail(format!("{amount}: {reason}"));
    let adjustment = Adjustment { amount: amount.0, reason: reason.to_owned() };
    Ok(store.add_adjustment(&operator, &adjustment, now.day(), &act).await?)
}

/// All statements of an operator, oldest first, as they are shown.
///
/// # Errors
/// [`StatementError`].
pub async fn of(store: &Store, operator: &OperatorRow) -> Result<Vec<Shown>, StatementError> {
    let contracts = store.contracts(operator).await?;
    let statements = store.statements(operator).await?;
    statements.into_iter().map(|signed| show(operator, &contracts, signed)).collect()
}

/// One statement of an operator.
///
/// # Errors
/// [`StatementError`].
pub async fn one(
    store: &Store,
    operator: &OperatorRow,
    number: u32,
) -> Result<Shown, StatementError> {
    let found = of(store, operator).await?.into_iter().find(|shown| shown.report.number == number);
    found.ok_or_else(|| StatementError::Unknown { name: operator.name.clone(), number })
}

fn show(
    operator: &OperatorRow,
    contracts: &[Contract],
    signed: SignedStatement,
) -> Result<Shown, StatementError> {
    let contract = |number| contracts.iter().find(|one| one.number == number);
    let report = StatementReport::new(signed.unverified(), contract)
        .map_err(|source| StatementError::Settlement { name: operator.name.clone(), source })?;
    Ok(Shown { operator: operator.clone(), signed, report })
}

impl Shown {
    /// What the statement says.
    pub fn statement(&self) -> &Statement {
        self.signed.unverified()
    }
}

impl Issuer {
    /// Makes the next statement of an operator; `None` where there is nothing to say.
    ///
    /// # Errors
    /// [`StatementError`].
    pub async fn make_statement(
        &self,
        operator: &OperatorRow,
    ) -> Result<Option<SignedStatement>, StatementError> {
        let now = self.inner.believed.certain()?;
        let ring = self.ring();
        let manifest: &Arc<Manifest> = &ring.manifest;
        let inner = &self.inner;
        let books = Books {
            store: &inner.store,
            storage: &inner.ledger.storage,
            vendor_id: inner.vendor_id,
            manifest,
            receipt: &ring.receipt.newest,
            steps: &inner.steps,
        };
        let mut seed = [0; 32];
        (inner.rng)().fill_bytes(&mut seed);
        books.state(operator, Act::BY_ITSELF, now, seed).await
    }

    /// Makes the statements of a month that is over, of every operator with a contract. What fails is logged, and tried again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tend_statements(&self) -> Result<(), StoreError> {
        // Said when it came into doubt, and not every hour for every operator.
        let Ok(now) = self.inner.believed.certain() else { return Ok(()) };
        let today = now.day();
        for operator in self.operators().await? {
            let Some(first) = self.inner.store.contracts(&operator).await?.into_iter().next()
            else {
                continue;
            };
            let last = self.inner.store.unstated(&operator).await?.last_day;
            if month(last.unwrap_or(first.day)) == month(today) {
                continue;
            }
            match self.make_statement(&operator).await {
                Ok(Some(made)) => {
                    let number = made.unverified().number;
                    tracing::info!(operator = operator.name, number, "a statement was made");
                }
                Ok(None) | Err(StatementError::Overtaken { .. }) => {}
                Err(error) => {
                    tracing::error!(operator = operator.name, %error, "no statement was made; trying again in an hour");
                }
            }
        }
        Ok(())
    }
}

/// `YYYY-MM`
fn month(day: Day) -> String {
    day.to_string().chars().take(7).collect()
}
