//! What an operator earned and owes by the ledger (ledger.md, "Statements"): the arithmetic, and the computation of a
//! statement from the operator's own leaves. Vendor, operator and auditor all compute it here, so that they agree.

use std::collections::BTreeMap;

use super::{
    Adjustment, Contract, Currency, EarnedLine, Leaf, Redemption, ResoldLine, Sales, Settled,
    SignedStatement, Statement,
};
use crate::credits::{Credits, Exponent};
use crate::id::{KeyId, OperatorId, VendorId};
use crate::manifest::{KeyUse, Manifest};
use crate::time::Day;

/// Why a computation ends: with honest books none of this occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// An amount does not fit. The vendor's fault: it set the price.
    #[error("the amounts under contract {contract} are too large to be counted")]
    Overflow {
        /// The contract; 0 where it is the sum of all.
        contract: u32,
    },
    /// A leaf of another operator, or one that no operator's own leaves have.
    #[error("the leaf {index} is none of this operator's")]
    Foreign {
        /// Its index.
        index: u64,
    },
    /// Leaves out of order.
    #[error("the leaf {index} does not follow the one before")]
    Order {
        /// Its index.
        index: u64,
    },
    /// A redemption by a key that is in no manifest.
    #[error("the redemption {index} is of a key that the manifest does not have")]
    UnknownKey {
        /// Its index.
        index: u64,
    },
    /// A contract whose number does not follow the one before, or whose currency is another.
    #[error(
        "the contract {number} at {index} does not follow the one before, or changes the currency"
    )]
    Contract {
        /// Its index.
        index: u64,
        /// Its number.
        number: u32,
    },
    /// A statement has a line of a contract that is not in the ledger before it.
    #[error("the contract {contract} is not in the ledger")]
    NoContract {
        /// The number.
        contract: u32,
    },
}

/// What a denomination key is, as a manifest says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its epoch.
    pub epoch: u32,
    /// Its denomination.
    pub exponent: Exponent,
    /// Whether its certificates are worth anything.
    pub is_production: bool,
}

/// Where the facts of keys are found.
pub trait KeyBook {
    /// Those of the key with this id.
    fn facts(&self, id: &KeyId) -> Option<KeyFacts>;
}

impl KeyBook for Manifest {
    fn facts(&self, id: &KeyId) -> Option<KeyFacts> {
        self.key(id).map(|key| KeyFacts {
            epoch: key.epoch(),
            exponent: key.exponent(),
            is_production: key.key_use() == KeyUse::Production,
        })
    }
}

/// What was earned and resold under a contract comes to, in millionths: the credits that were earned, times the price,
/// times the share, rounded down; less the credits that were resold, times their price. Before the first contract nothing has
/// a price.
///
/// # Errors
/// [`SettlementError::Overflow`].
pub fn amount(
    contract: Option<&Contract>,
    earned: Credits,
    resold: Credits,
) -> Result<i128, SettlementError> {
    let Some(contract) = contract else { return Ok(0) };
    let gain = u128::from(earned.0)
        .checked_mul(contract.price.into())
        .and_then(|value| value.checked_mul(contract.share.into()))
        .map(|value| value / u128::from(Contract::WHOLE));
    let cost = u128::from(resold.0).checked_mul(contract.resale_price.into());
    let signed = |value: Option<u128>| value.and_then(|value| i128::try_from(value).ok());
    let difference = signed(gain).zip(signed(cost)).and_then(|(gain, cost)| gain.checked_sub(cost));
    difference.ok_or(SettlementError::Overflow { contract: contract.number })
}

/// What a certificate count is worth.
fn worth(exponent: Exponent, certificates: u64) -> Option<u64> {
    exponent.value().0.checked_mul(certificates)
}

/// The part of a statement that lines of one contract come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContractAmount {
    /// The contract's number; 0 before the first one.
    pub contract: u32,
    /// What was earned under it.
    pub earned: Credits,
    /// What was resold under it.
    pub resold: Credits,
    /// What both come to, in millionths.
    pub amount: i128,
}

/// What lines come to by contract, ascending. `contracts` finds a contract by its number.
///
/// # Errors
/// [`SettlementError`].
pub fn amounts<'c>(
    earned: &[EarnedLine],
    resold: &[ResoldLine],
    contracts: impl Fn(u32) -> Option<&'c Contract>,
) -> Result<Vec<ContractAmount>, SettlementError> {
    let mut sums: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for line in earned {
        let overflow = SettlementError::Overflow { contract: line.contract };
        let sum = &mut sums.entry(line.contract).or_default().0;
        let value = worth(line.exponent, line.certificates);
        *sum = value.and_then(|value| sum.checked_add(value)).ok_or(overflow)?;
    }
    for line in resold {
        let overflow = SettlementError::Overflow { contract: line.contract };
        let sum = &mut sums.entry(line.contract).or_default().1;
        *sum = sum.checked_add(line.credits.0).ok_or(overflow)?;
    }
    let one = |(number, (earned, resold)): (u32, (u64, u64))| {
        let contract = match number {
            0 => None,
            _ => Some(contracts(number).ok_or(SettlementError::NoContract { contract: number })?),
        };
        let (earned, resold) = (Credits(earned), Credits(resold));
        let amount = amount(contract, earned, resold)?;
        Ok(ContractAmount { contract: number, earned, resold, amount })
    };
    sums.into_iter().map(one).collect()
}

/// The total of a statement with these lines, in millionths.
///
/// # Errors
/// [`SettlementError`].
pub fn total<'c>(
    earned: &[EarnedLine],
    resold: &[ResoldLine],
    adjustments: &[Adjustment],
    contracts: impl Fn(u32) -> Option<&'c Contract>,
) -> Result<i64, SettlementError> {
    let mut sum = 0_i128;
    for part in amounts(earned, resold, contracts)? {
        sum = sum
            .checked_add(part.amount)
            .ok_or(SettlementError::Overflow { contract: part.contract })?;
    }
    for adjustment in adjustments {
        sum += i128::from(adjustment.amount); // at most 2^16 of 64 bits
    }
    i64::try_from(sum).map_err(|_| SettlementError::Overflow { contract: 0 })
}

/// What a line of `earned` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineKey {
    /// The contract in force; 0 before the first one.
    pub contract: u32,
    /// The epoch.
    pub epoch: u32,
    /// The denomination.
    pub exponent: Exponent,
}

/// The lines of a part of the ledger, before anything is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// What was redeemed with production keys, ascending.
    pub earned: Vec<EarnedLine>,
    /// What was resold, ascending.
    pub resold: Vec<ResoldLine>,
}

impl Lines {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.earned.is_empty() && self.resold.is_empty()
    }

    /// The credits of `earned` by epoch, ascending.
    ///
    /// # Errors
    /// [`SettlementError::Overflow`].
    pub fn by_epoch(&self) -> Result<Vec<(u32, Credits)>, SettlementError> {
        by_epoch(&self.earned)
    }
}

/// The credits of these lines by epoch, ascending: what a statement settles.
///
/// # Errors
/// [`SettlementError::Overflow`].
pub fn by_epoch(earned: &[EarnedLine]) -> Result<Vec<(u32, Credits)>, SettlementError> {
    let mut sums: BTreeMap<u32, u64> = BTreeMap::new();
    for line in earned {
        let overflow = SettlementError::Overflow { contract: line.contract };
        let sum = sums.entry(line.epoch).or_default();
        let value = worth(line.exponent, line.certificates);
        *sum = value.and_then(|value| sum.checked_add(value)).ok_or(overflow)?;
    }
    Ok(sums.into_iter().map(|(epoch, credits)| (epoch, Credits(credits))).collect())
}

/// A part of the ledger that is settled or is to be: one entry of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Redeemed(LineKey),
    Resold { contract: u32, purchases: u64, credits: u64 },
}

/// The account of one operator, to which its own leaves are added in their order. It holds what is not settled yet: some
/// forty bytes for each redemption since the last statement.
#[derive(Clone, Debug)]
pub struct Account {
    vendor_id: VendorId,
    operator_id: OperatorId,
    contracts: Vec<Contract>,
    open: Vec<(u64, Entry)>,
    /// The smallest index that may come next.
    next: u64,
    statements: u32,
    settled_until: u64,
}

/// Why a statement is not what the ledger says. The vendor's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementFault {
    /// It is another vendor's or operator's.
    #[error("it is of another vendor or operator")]
    OtherParty,
    /// Its number does not follow.
    #[error("it has the number {said} and not {expected}")]
    Number {
        /// In the statement.
        said: u32,
        /// By the one before.
        expected: u32,
    },
    /// It does not begin where the one before ended, or covers leaves that come after it.
    #[error(
        "it covers {from} to {until}; the one before ended at {expected}, and it lies at {index} itself"
    )]
    Range {
        /// In the statement.
        from: u64,
        /// In the statement.
        until: u64,
        /// Where it had to begin.
        expected: u64,
        /// Where it lies.
        index: u64,
    },
    /// It is in another currency than the contract.
    #[error("it is in {said}, and the contract is in {expected}")]
    Currency {
        /// In the statement.
        said: Currency,
        /// In the contract.
        expected: Currency,
    },
    /// There is no contract at all.
    #[error("there is no contract before it")]
    NoContract,
    /// A line of what was earned.
    #[error(
        "contract {}, epoch {}, denomination {}: it says {said} certificates, and the ledger {expected}",
        line.contract, line.epoch, line.exponent.value().0
    )]
    Earned {
        /// Which line.
        line: LineKey,
        /// Certificates in the statement.
        said: u64,
        /// Certificates in the ledger.
        expected: u64,
    },
    /// A line of what was resold.
    #[error(
        "resold under contract {contract}: it says {} credits in {} purchases, and the ledger {} in {}",
        said.1.0, said.0, expected.1.0, expected.0
    )]
    Resold {
        /// The contract.
        contract: u32,
        /// Purchases and credits in the statement.
        said: (u64, Credits),
        /// Those in the ledger.
        expected: (u64, Credits),
    },
    /// What is settled of an epoch is not the sum of its own lines.
    #[error("it settles {said} of epoch {epoch}, and its lines come to {expected}")]
    Settled {
        /// The epoch.
        epoch: u32,
        /// In the statement.
        said: Credits,
        /// By its own lines.
        expected: Credits,
    },
    /// Its total is not what its own lines come to.
    #[error("its total is {said} millionths, and its lines come to {expected}")]
    Total {
        /// In the statement.
        said: i64,
        /// By its own lines, adjustments and the contracts.
        expected: i64,
    },
    /// It cannot be computed.
    #[error(transparent)]
    Settlement(#[from] SettlementError),
}

impl Account {
    /// An account in which nothing has happened.
    pub const fn new(vendor_id: VendorId, operator_id: OperatorId) -> Self {
        Self {
            vendor_id,
            operator_id,
            contracts: Vec::new(),
            open: Vec::new(),
            next: 0,
            statements: 0,
            settled_until: 0,
        }
    }

    /// An account as it was after a number of statements, the last of which covers everything before `settled_until`. `contracts` are
    /// those before there, in their order.
    pub fn resumed(
        vendor_id: VendorId,
        operator_id: OperatorId,
        contracts: Vec<Contract>,
        statements: u32,
        settled_until: u64,
    ) -> Self {
        let (open, next) = (Vec::new(), settled_until);
        Self { vendor_id, operator_id, contracts, open, next, statements, settled_until }
    }

    /// Whose.
    pub const fn operator_id(&self) -> OperatorId {
        self.operator_id
    }

    /// The contracts so far; number n at n - 1.
    pub fn contracts(&self) -> &[Contract] {
        &self.contracts
    }

    /// The contract with this number.
    pub fn contract(&self, number: u32) -> Option<&Contract> {
        self.contracts.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// How many statements there were.
    pub const fn statements(&self) -> u32 {
        self.statements
    }

    /// Where the next statement begins.
    pub const fn settled_until(&self) -> u64 {
        self.settled_until
    }

    /// Adds the leaf at `index`. Of a statement the faults are returned, and the account goes on from what it says; every
    /// other leaf has none.
    ///
    /// # Errors
    /// [`SettlementError`]: the account is as it was before.
    pub fn add(
        &mut self,
        index: u64,
        leaf: &Leaf,
        keys: &impl KeyBook,
    ) -> Result<Vec<StatementFault>, SettlementError> {
        if index < self.next {
            return Err(SettlementError::Order { index });
        }
        let mut faults = Vec::new();
        match leaf {
            Leaf::Redemption(redemption) => self.add_redemption(index, redemption, keys)?,
            Leaf::Sales(sales) => self.add_sales(index, sales)?,
            Leaf::Contract(contract) => self.add_contract(index, contract)?,
            Leaf::Statement(statement) => faults = self.add_statement(index, statement)?,
            Leaf::Tally(tally) if tally.operator_id == Some(self.operator_id) => {}
            _ => return Err(SettlementError::Foreign { index }),
        }
        self.next = index + 1;
        Ok(faults)
    }

    /// The contract in force after all that was added; 0 before the first one.
    fn in_force(&self) -> u32 {
        self.contracts.last().map_or(0, |contract| contract.number)
    }

    fn add_redemption(
        &mut self,
        index: u64,
        redemption: &Redemption,
        keys: &impl KeyBook,
    ) -> Result<(), SettlementError> {
        if redemption.operator_id != self.operator_id {
            return Err(SettlementError::Foreign { index });
        }
        let facts = keys.facts(&redemption.item.token.key_id);
        let facts = facts.ok_or(SettlementError::UnknownKey { index })?;
        if facts.is_production {
            let KeyFacts { epoch, exponent, .. } = facts;
            let line = LineKey { contract: self.in_force(), epoch, exponent };
            self.open.push((index, Entry::Redeemed(line)));
        }
        Ok(())
    }

    fn add_sales(&mut self, index: u64, sales: &Sales) -> Result<(), SettlementError> {
        if sales.operator_id != Some(self.operator_id) {
            return Err(SettlementError::Foreign { index });
        }
        if !sales.test {
            let (purchases, credits) = (sales.purchases, sales.credits.0);
            let contract = self.in_force();
            self.open.push((index, Entry::Resold { contract, purchases, credits }));
        }
        Ok(())
    }

    fn add_contract(&mut self, index: u64, contract: &Contract) -> Result<(), SettlementError> {
        if contract.operator_id() != self.operator_id {
            return Err(SettlementError::Foreign { index });
        }
        let number = contract.number;
        let follows = self.in_force().checked_add(1) == Some(number);
        let first = self.contracts.first();
        if !follows || first.is_some_and(|first| first.currency != contract.currency) {
            return Err(SettlementError::Contract { index, number });
        }
        self.contracts.push(contract.clone());
        Ok(())
    }

    fn add_statement(
        &mut self,
        index: u64,
        signed: &SignedStatement,
    ) -> Result<Vec<StatementFault>, SettlementError> {
        let statement = signed.unverified();
        if statement.operator_id != self.operator_id {
            return Err(SettlementError::Foreign { index });
        }
        let faults = self.faults(index, statement);
        self.statements = statement.number.max(self.statements);
        // Whatever it says, it covers nothing that comes after it, and nothing twice.
        self.settled_until = statement.until.clamp(self.settled_until, index);
        let until = self.settled_until;
        self.open.retain(|(at, _)| *at >= until);
        Ok(faults)
    }

    /// The lines of what was added with an index below `until` and is not settled.
    ///
    /// # Errors
    /// [`SettlementError::Overflow`].
    pub fn lines(&self, until: u64) -> Result<Lines, SettlementError> {
        let mut earned: BTreeMap<LineKey, u64> = BTreeMap::new();
        let mut resold: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for (_, entry) in self.open.iter().take_while(|(index, _)| *index < until) {
            match entry {
                Entry::Redeemed(line) => *earned.entry(*line).or_default() += 1,
                Entry::Resold { contract, purchases, credits } => {
                    let sums = resold.entry(*contract).or_default();
                    let overflow = SettlementError::Overflow { contract: *contract };
                    let sum = |sum: u64, more: &u64| sum.checked_add(*more).ok_or(overflow);
                    *sums = (sum(sums.0, purchases)?, sum(sums.1, credits)?);
                }
            }
        }
        let earned = earned.into_iter().map(|(line, certificates)| {
            let LineKey { contract, epoch, exponent } = line;
            EarnedLine { contract, epoch, exponent, certificates }
        });
        let resold = resold.into_iter().map(|(contract, (purchases, credits))| ResoldLine {
            contract,
            purchases,
            credits: Credits(credits),
        });
        Ok(Lines { earned: earned.collect(), resold: resold.collect() })
    }

    /// The next statement, over what was added with an index below `until`, without a signature; `None` where there is
    /// nothing to say, or no contract to say it under. `blinding` gives the blinding of an epoch.
    ///
    /// # Errors
    /// [`SettlementError`].
    pub fn next_statement(
        &self,
        day: Day,
        until: u64,
        adjustments: Vec<Adjustment>,
        mut blinding: impl FnMut(u32) -> [u8; 32],
    ) -> Result<Option<Statement>, SettlementError> {
        let lines = self.lines(until)?;
        let Some(first) = self.contracts.first() else { return Ok(None) };
        if lines.is_empty() && adjustments.is_empty() {
            return Ok(None);
        }
        let settle = |(epoch, credits)| Settled { epoch, credits, blinding: blinding(epoch) };
        let settled = lines.by_epoch()?.into_iter().map(settle).collect();
        let contract = |number| self.contract(number);
        let total = total(&lines.earned, &lines.resold, &adjustments, contract)?;
        Ok(Some(Statement {
            vendor_id: self.vendor_id,
            operator_id: self.operator_id,
            number: self.statements + 1,
            day,
            from: self.settled_until,
            until,
            currency: first.currency,
            earned: lines.earned,
            resold: lines.resold,
            adjustments,
            settled,
            total,
        }))
    }

    /// Everything in which `statement`, which lies at `index`, is not what the leaves before it say.
    pub fn faults(&self, index: u64, statement: &Statement) -> Vec<StatementFault> {
        let mut faults = Vec::new();
        if statement.vendor_id != self.vendor_id || statement.operator_id != self.operator_id {
            faults.push(StatementFault::OtherParty);
        }
        let (said, expected) = (statement.number, self.statements.saturating_add(1));
        if said != expected {
            faults.push(StatementFault::Number { said, expected });
        }
        let (from, until, expected) = (statement.from, statement.until, self.settled_until);
        if from != expected || until > index || until < from {
            faults.push(StatementFault::Range { from, until, expected, index });
        }
        match self.contracts.first() {
            Some(first) if first.currency == statement.currency => {}
            Some(first) => faults.push(StatementFault::Currency {
                said: statement.currency,
                expected: first.currency,
            }),
            None => faults.push(StatementFault::NoContract),
        }
        match self.lines(until) {
            Ok(lines) => compare(statement, &lines, &mut faults),
            Err(error) => faults.push(error.into()),
        }
        faults.extend(self.arithmetic(statement));
        faults
    }

    /// Where a statement does not agree with itself and the contracts.
    pub fn arithmetic(&self, statement: &Statement) -> Vec<StatementFault> {
        arithmetic(statement, |number| self.contract(number))
    }
}

/// Where a statement does not agree with itself and the contracts, whatever the ledger says: what it settles, and its total.
pub fn arithmetic<'c>(
    statement: &Statement,
    contracts: impl Fn(u32) -> Option<&'c Contract>,
) -> Vec<StatementFault> {
    let mut faults = Vec::new();
    match by_epoch(&statement.earned) {
        Ok(sums) => {
            let said: BTreeMap<u32, Credits> =
                statement.settled.iter().map(|one| (one.epoch, one.credits)).collect();
            let expected: BTreeMap<u32, Credits> = sums.into_iter().collect();
            for epoch in keys_of(&said, &expected) {
                let of = |sums: &BTreeMap<u32, Credits>| sums.get(&epoch).copied();
                let (said, expected) = (of(&said), of(&expected));
                if said != expected {
                    let (said, expected) = (said.unwrap_or_default(), expected.unwrap_or_default());
                    faults.push(StatementFault::Settled { epoch, said, expected });
                }
            }
        }
        Err(error) => faults.push(error.into()),
    }
    let Statement { earned, resold, adjustments, total: said, .. } = statement;
    match total(earned, resold, adjustments, contracts) {
        Ok(expected) if expected == *said => {}
        Ok(expected) => faults.push(StatementFault::Total { said: *said, expected }),
        Err(error) => faults.push(error.into()),
    }
    faults
}

fn keys_of<K: Ord + Copy, V>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> Vec<K> {
    let mut keys: Vec<K> = a.keys().chain(b.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Where the lines of a statement are not those of the ledger, line by line.
pub fn compare(statement: &Statement, lines: &Lines, faults: &mut Vec<StatementFault>) {
    let counts = |lines: &[EarnedLine]| -> BTreeMap<LineKey, u64> {
        let key = |line: &EarnedLine| {
            let EarnedLine { contract, epoch, exponent, certificates } = *line;
            (LineKey { contract, epoch, exponent }, certificates)
        };
        lines.iter().map(key).collect()
    };
    let (said, expected) = (counts(&statement.earned), counts(&lines.earned));
    for line in keys_of(&said, &expected) {
        let of = |lines: &BTreeMap<LineKey, u64>| lines.get(&line).copied();
        let (said, expected) = (of(&said), of(&expected));
        if said != expected {
            let (said, expected) = (said.unwrap_or_default(), expected.unwrap_or_default());
            faults.push(StatementFault::Earned { line, said, expected });
        }
    }
    let sums = |lines: &[ResoldLine]| -> BTreeMap<u32, (u64, Credits)> {
        lines.iter().map(|line| (line.contract, (line.purchases, line.credits))).collect()
    };
    let (said, expected) = (sums(&statement.resold), sums(&lines.resold));
    for contract in keys_of(&said, &expected) {
        let of = |lines: &BTreeMap<u32, (u64, Credits)>| lines.get(&contract).copied();
        let (said, expected) = (of(&said), of(&expected));
        if said != expected {
            let (said, expected) = (said.unwrap_or_default(), expected.unwrap_or_default());
            faults.push(StatementFault::Resold { contract, said, expected });
        }
    }
}

#[cfg(test)]
#[path = "settlement_tests.rs"]
mod tests;
