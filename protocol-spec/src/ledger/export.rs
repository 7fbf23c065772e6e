//! Statements for other programs: one object each for JSON, and rows for tables. Vendor and operator write the same.

use serde::Serialize;

use super::settlement::{ContractAmount, SettlementError, amounts};
use super::{Contract, Money, Statement};
use crate::credits::Credits;
use crate::id::{OperatorId, VendorId};
use crate::time::Day;

/// A statement as it is shown. Amounts are decimal fractions of the currency, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatementReport {
    /// The vendor.
    pub vendor_id: VendorId,
    /// The operator.
    pub operator_id: OperatorId,
    /// 1, 2, ... of this operator.
    pub number: u32,
    /// The vendor's day, as `YYYY-MM-DD`.
    pub day: String,
    /// The first leaf that it covers.
    pub from: u64,
    /// The first leaf that it does not cover any more.
    pub until: u64,
    /// What amounts are in.
    pub currency: String,
    /// What was redeemed.
    pub earned: Vec<EarnedReport>,
    /// What was resold.
    pub resold: Vec<ResoldReport>,
    /// What the lines of each contract come to.
    pub contracts: Vec<ContractReport>,
    /// What was agreed besides.
    pub adjustments: Vec<AdjustmentReport>,
    /// The sum of contracts and adjustments.
    pub total: String,
    /// `vendor` or `operator`; `nobody` where the total is nothing.
    pub pays: &'static str,
}

/// A line of what was redeemed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EarnedReport {
    /// The contract; 0 before the first one.
    pub contract: u32,
    /// The epoch.
    pub epoch: u32,
    /// What each certificate is worth.
    pub denomination: Credits,
    /// How many.
    pub certificates: u64,
    /// What they are worth together.
    pub credits: Credits,
}

/// A line of what was resold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResoldReport {
    /// The contract; 0 before the first one.
    pub contract: u32,
    /// How many purchases.
    pub purchases: u64,
    /// What they granted.
    pub credits: Credits,
}

/// What the lines of a contract come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContractReport {
    /// The contract; 0 before the first one.
    pub contract: u32,
    /// Of one credit.
    pub price: String,
    /// The operator's part of it.
    pub share: String,
    /// Of one credit that the operator sold.
    pub resale_price: String,
    /// What was earned under it.
    pub earned: Credits,
    /// What was resold under it.
    pub resold: Credits,
    /// What both come to.
    pub amount: String,
}

/// An adjustment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdjustmentReport {
    /// Above 0 in favour of the operator.
    pub amount: String,
    /// Why.
    pub reason: String,
}

/// Who pays by this total.
pub const fn pays(total: i64) -> &'static str {
    match total {
        0 => "nobody",
        1.. => "vendor",
        _ => "operator",
    }
}

impl StatementReport {
    /// The report of a statement. `contracts` finds a contract by its number.
    ///
    /// # Errors
    /// [`SettlementError`]
    pub fn new<'c>(
        statement: &Statement,
        contracts: impl Fn(u32) -> Option<&'c Contract>,
    ) -> Result<Self, SettlementError> {
        let parts = amounts(&statement.earned, &statement.resold, &contracts)?;
        let earned = statement.earned.iter().map(|line| EarnedReport {
            contract: line.contract,
            epoch: line.epoch,
            denomination: line.exponent.value(),
            certificates: line.certificates,
            // They were added up above without an overflow.
            credits: Credits(line.exponent.value().0.saturating_mul(line.certificates)),
        });
        let resold = statement.resold.iter().map(|line| ResoldReport {
            contract: line.contract,
            purchases: line.purchases,
            credits: line.credits,
        });
        let adjustments = statement.adjustments.iter().map(|one| AdjustmentReport {
            amount: Money(one.amount).to_string(),
            reason: one.reason.clone(),
        });
        let parts = parts.into_iter().map(|part| {
            let overflow = SettlementError::Overflow { contract: part.contract };
            let money = |value: u64| Money::of(value).map(|money| money.to_string());
            let terms = contracts(part.contract);
            let of = |value: fn(&Contract) -> u64| money(terms.map_or(0, value)).ok_or(overflow);
            let ContractAmount { contract, earned, resold, amount } = part;
            Ok(ContractReport {
                contract,
                price: of(|terms| terms.price)?,
                share: super::Share::new(terms.map_or(0, |terms| terms.share))
                    .ok_or(overflow)?
                    .to_string(),
                resale_price: of(|terms| terms.resale_price)?,
                earned,
                resold,
                amount: Money(i64::try_from(amount).map_err(|_| overflow)?).to_string(),
            })
        });
        Ok(Self {
            vendor_id: statement.vendor_id,
            operator_id: statement.operator_id,
            number: statement.number,
            day: Day::to_string(&statement.day),
            from: statement.from,
            until: statement.until,
            currency: statement.currency.to_string(),
            earned: earned.collect(),
            resold: resold.collect(),
            contracts: parts.collect::<Result<_, _>>()?,
            adjustments: adjustments.collect(),
            total: Money(statement.total).to_string(),
            pays: pays(statement.total),
        })
    }

    /// The head of a table of statements (RFC 4180).
    pub const CSV_HEAD: &str = "vendor,operator,statement,day,from,until,line,contract,epoch,denomination,\
         certificates,credits,amount,currency,reason\r\n";

    /// Its rows. `line` says what each is: `earned`, `resold`, `contract`, `adjustment` or `total`. The amounts of `contract` and
    /// `adjustment` add up to that of `total`; `earned` and `resold` have none, since a contract's amount is rounded once.
    pub fn to_csv(&self) -> String {
        let head = format!(
            "{},{},{},{},{},{}",
            self.vendor_id, self.operator_id, self.number, self.day, self.from, self.until
        );
        let currency = &self.currency;
        let mut text = String::new();
        let mut row = |cells: String, reason: &str| {
            text.push_str(&format!("{head},{cells},{currency},{}\r\n", quoted(reason)));
        };
        for line in &self.earned {
            let EarnedReport { contract, epoch, denomination, certificates, credits } = line;
            let (each, all) = (denomination.0, credits.0);
            row(format!("earned,{contract},{epoch},{each},{certificates},{all},"), "");
        }
        for line in &self.resold {
            row(format!("resold,{},,,,{},", line.contract, line.credits.0), "");
        }
        for part in &self.contracts {
            row(format!("contract,{},,,,,{}", part.contract, part.amount), "");
        }
        for one in &self.adjustments {
            row(format!("adjustment,,,,,,{}", one.amount), &one.reason);
        }
        row(format!("total,,,,,,{}", self.total), "");
        text
    }
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
