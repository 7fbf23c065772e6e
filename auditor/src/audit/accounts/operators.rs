//! Operators, and the contracts with them.

use std::collections::HashMap;

use scrip_protocol::{
    id::{OperatorId, decode_base64url, encode_base64url},
    ledger::{Contract, Leaf},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::finding::{Finding, FindingKind, Findings};

/// What the ledger says of one operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OperatorAccount {
    pub(crate) id: OperatorId,
    #[serde(with = "contracts")]
    pub(crate) contracts: Vec<Contract>,
    /// Certificates, those of test keys too.
    pub(crate) redeemed: u64,
    /// What those of production keys are worth.
    pub(crate) credits: u64,
    /// Credits that it sold on the vendor's behalf.
    pub(crate) resold: u64,
    pub(crate) statements: u32,
    pub(crate) settled_until: u64,
    /// The sum of the statements' totals, in millionths.
    pub(crate) settled: i64,
}

impl OperatorAccount {
    /// The number of the contract in force; 0 before the first one.
    pub(super) fn in_force(&self) -> u32 {
        self.contracts.last().map_or(0, |contract| contract.number)
    }

    pub(super) fn contract(&self, number: u32) -> Option<&Contract> {
        self.contracts.iter().find(|contract| contract.number == number)
    }
}

/// All operators, each with a number in the order in which they were met.
#[derive(Default, Serialize, Deserialize)]
#[serde(from = "Vec<OperatorAccount>", into = "Vec<OperatorAccount>")]
#[derive(Clone)]
pub(crate) struct Operators {
    all: Vec<OperatorAccount>,
    numbers: HashMap<OperatorId, u32>,
}

impl From<Vec<OperatorAccount>> for Operators {
    fn from(all: Vec<OperatorAccount>) -> Self {
        let numbers = all.iter().map(|account| account.id).zip(0..).collect();
        Self { all, numbers }
    }
}

impl From<Operators> for Vec<OperatorAccount> {
    fn from(operators: Operators) -> Self {
        operators.all
    }
}

impl Operators {
    pub(crate) fn all(&self) -> &[OperatorAccount] {
        &self.all
    }

    pub(crate) fn id(&self, number: u32) -> Option<OperatorId> {
        self.all.get(number as usize).map(|account| account.id)
    }

    /// The number of an operator, who may be new.
    pub(in crate::audit) fn number(&mut self, id: OperatorId) -> u32 {
        *self.numbers.entry(id).or_insert_with(|| {
            self.all.push(OperatorAccount {
                id,
                contracts: Vec::new(),
                redeemed: 0,
                credits: 0,
                resold: 0,
                statements: 0,
                settled_until: 0,
                settled: 0,
            });
            self.all.len() as u32 - 1
        })
    }

    /// The account with this number, which [`Self::number`] gave.
    pub(super) fn get_mut(&mut self, number: u32) -> &mut OperatorAccount {
        &mut self.all[number as usize]
    }

    pub(super) fn add_contract(
        &mut self,
        index: u64,
        contract: &Contract,
        findings: &mut Findings,
    ) {
        let id = contract.operator_id();
        let number = self.number(id);
        let account = self.get_mut(number);
        let mut find = |detail: String| {
            findings.add(Finding::new(FindingKind::ContractOrder, detail).at(index).of(id));
        };
        let expected = account.in_force().saturating_add(1);
        if contract.number != expected {
            find(format!("it has the number {} and not {expected}", contract.number));
        }
        if let Some(first) = account.contracts.first()
            && first.currency != contract.currency
        {
            find(format!(
                "it is in {}, and the first one in {}",
                contract.currency, first.currency
            ));
        }
        account.contracts.push(contract.clone());
    }
}

/// Contracts as the leaves that they are.
mod contracts {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        contracts: &[Contract],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let leaf =
            |contract: &Contract| encode_base64url(&Leaf::Contract(contract.clone()).encode());
        serializer.collect_seq(contracts.iter().map(leaf))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Contract>, D::Error> {
        let contract = |text: &String| match Leaf::decode(&decode_base64url(text)?) {
            Ok(Leaf::Contract(contract)) => Some(contract),
            _ => None,
        };
        let texts = <Vec<String>>::deserialize(deserializer)?;
        let contracts: Option<_> = texts.iter().map(contract).collect();
        contracts.ok_or_else(|| D::Error::custom("no contract"))
    }
}
