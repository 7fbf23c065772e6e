//! Contracts and statements.

use std::fmt::Write as _;

use scrip_protocol::ledger::{Contract, Money, Share};
use serde_json::{Value, json};

use super::Printer;
use crate::{cli::error::CliError, statements::Shown};

impl Printer {
    pub(in crate::cli) fn contract(
        &self,
        operator: &str,
        contract: &Contract,
        is_new: bool,
    ) -> Result<(), CliError> {
        let number = contract.number;
        let terms = terms(contract);
        let text = match is_new {
            true => format!("contract {number} with {operator}: {terms}"),
            false => format!("contract {number} with {operator} says so already: {terms}"),
        };
        self.print(contract_json(operator, contract), &text)
    }

    pub(in crate::cli) fn contracts(
        &self,
        contracts: &[(String, Contract)],
    ) -> Result<(), CliError> {
        let mut text = String::new();
        for (operator, contract) in contracts {
            let (number, day) = (contract.number, contract.day);
            // Writing to a string does not fail.
            let _ = writeln!(text, "{number:>4}  {day}  {operator}  {}", terms(contract));
        }
        if contracts.is_empty() {
            text = "no contracts; conclude one with `scrip-issuer operator contract`".to_owned();
        }
        let all = contracts.iter().map(|(operator, contract)| contract_json(operator, contract));
        self.print(json!({ "contracts": all.collect::<Vec<_>>() }), text.trim_end())
    }

    pub(in crate::cli) fn statements(&self, shown: &[Shown]) -> Result<(), CliError> {
        let mut text = String::new();
        for one in shown {
            let _ = writeln!(text, "{}", line(one));
        }
        if shown.is_empty() {
            text = "no statements; make some with `scrip-issuer statement make --all`".to_owned();
        }
        let all: Vec<_> = shown.iter().map(statement_json).collect();
        self.print(json!({ "statements": all }), text.trim_end())
    }

    pub(in crate::cli) fn statements_made(
        &self,
        made: &[Shown],
        nothing: &[String],
    ) -> Result<(), CliError> {
        let mut text = String::new();
        for one in made {
            let _ = writeln!(text, "{}", line(one));
        }
        for operator in nothing {
            let _ = writeln!(
                text,
                "{operator}: there is nothing new in the ledger, and so no statement"
            );
        }
        let all: Vec<_> = made.iter().map(statement_json).collect();
        self.print(json!({ "made": all, "nothing_new": nothing }), text.trim_end())
    }

    pub(in crate::cli) fn statement(&self, shown: &Shown) -> Result<(), CliError> {
        let report = &shown.report;
        let mut text = format!("{}\n", line(shown));
        for part in &report.contracts {
            let _ = writeln!(
                text,
                "  contract {}  {} a credit, {} of it; resold for {}",
                part.contract, part.price, part.share, part.resale_price
            );
            for line in report.earned.iter().filter(|line| line.contract == part.contract) {
                let _ = writeln!(
                    text,
                    "    epoch {:<4} {:>10} × {:<10} {:>14} credits",
                    line.epoch, line.certificates, line.denomination.0, line.credits.0
                );
            }
            for line in report.resold.iter().filter(|line| line.contract == part.contract) {
                let (credits, purchases) = (line.credits.0, line.purchases);
                let _ = writeln!(text, "    resold {credits} credits in {purchases} purchases");
            }
            let _ = writeln!(text, "    {:>42} {}", part.amount, report.currency);
        }
        for one in &report.adjustments {
            let _ = writeln!(text, "  {:>44} {}  {}", one.amount, report.currency, one.reason);
        }
        self.print(statement_json(shown), text.trim_end())
    }

    pub(in crate::cli) fn adjustment(
        &self,
        operator: &str,
        number: u32,
        amount: Money,
    ) -> Result<(), CliError> {
        let text = format!("adjustment {number} of {operator}: {amount}, in the next statement");
        let amount = amount.to_string();
        self.print(json!({ "operator": operator, "number": number, "amount": amount }), &text)
    }
}

fn terms(contract: &Contract) -> String {
    let money = |value: u64| Money::of(value).unwrap_or_default();
    let share = Share::new(contract.share).map(|share| share.to_string()).unwrap_or_default();
    format!(
        "{} {} a credit, of which {share}; resold for {}",
        money(contract.price),
        contract.currency,
        money(contract.resale_price)
    )
}

fn contract_json(operator: &str, contract: &Contract) -> Value {
    let money = |value: u64| Money::of(value).unwrap_or_default().to_string();
    json!({
        "operator": operator,
        "number": contract.number,
        "day": contract.day.to_string(),
        "currency": contract.currency.as_str(),
        "price": money(contract.price),
        "share": Share::new(contract.share).map(|share| share.to_string()),
        "resale_price": money(contract.resale_price),
    })
}

fn line(shown: &Shown) -> String {
    let report = &shown.report;
    let pays = match report.pays {
        "vendor" => "the vendor pays",
        "operator" => "the operator pays",
        _ => "nobody pays",
    };
    format!(
        "{} {}  {}  leaves {} to {}  {} {}  {pays}",
        shown.operator.name,
        report.number,
        report.day,
        report.from,
        report.until,
        report.total,
        report.currency
    )
}

fn statement_json(shown: &Shown) -> Value {
    let mut value = serde_json::to_value(&shown.report).unwrap_or(Value::Null);
    value["operator"] = json!(shown.operator.name);
    value
}
