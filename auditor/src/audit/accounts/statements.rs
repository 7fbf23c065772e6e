//! Statements, computed again from the leaves that they cover (ledger.md, "Statements").

use std::io;

use scrip_protocol::{
    credits::{Credits, Exponent},
    ledger::{
        CommitmentKind, EarnedLine, ResoldLine, SignedStatement, Statement,
        settlement::{Lines, StatementFault, arithmetic, compare},
    },
};

use super::{Accounts, Place};
use crate::{
    audit::earned::{self, Earned},
    finding::{Finding, FindingKind, Findings},
};

impl Accounts {
    pub(super) fn add_statement(
        &mut self,
        place: &Place<'_>,
        signed: &SignedStatement,
        opened: &[Option<[u8; 32]>],
        earned: &mut Earned,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let statement = signed.unverified();
        let find = |kind, detail: String| {
            let finding = Finding::new(kind, detail).at(place.index).of(statement.operator_id);
            finding.in_statement(statement.number)
        };
        let mut keys = place.keyring.receipt_keys_before(place.index);
        if !keys.any(|key| signed.verify(key).is_ok()) {
            let detail = "no receipt key of a manifest before it signed it";
            findings.add(find(FindingKind::StatementSignature, detail.to_owned()));
        }
        for (line, opened) in statement.settled.iter().zip(opened) {
            let kind = CommitmentKind::Settled;
            self.commitments.close(place, kind, line.epoch, *opened, findings);
        }
        let operator = self.operators.number(statement.operator_id);
        let lines = lines(earned.take_until(operator, statement.until.min(place.index))?);
        let account = self.operators.get_mut(operator);

        let mut faults = Vec::new();
        if statement.vendor_id != self.vendor {
            faults.push(StatementFault::OtherParty);
        }
        let (said, expected) = (statement.number, account.statements.saturating_add(1));
        if said != expected {
            faults.push(StatementFault::Number { said, expected });
        }
        let Statement { from, until, .. } = *statement;
        if from != account.settled_until || until > place.index {
            let (expected, index) = (account.settled_until, place.index);
            faults.push(StatementFault::Range { from, until, expected, index });
        }
        match account.contracts.first() {
            Some(first) if first.currency == statement.currency => {}
            Some(first) => faults.push(StatementFault::Currency {
                said: statement.currency,
                expected: first.currency,
            }),
            None => faults.push(StatementFault::NoContract),
        }
        compare(statement, &lines, &mut faults);
        faults.extend(arithmetic(statement, |number| account.contract(number)));
        for fault in faults {
            let kind = match fault {
                StatementFault::Number { .. } | StatementFault::Range { .. } => {
                    FindingKind::StatementOrder
                }
                _ => FindingKind::StatementWrong,
            };
            findings.add(find(kind, fault.to_string()));
        }
        // Whatever it says, it covers nothing that comes after it, and nothing twice.
        account.statements = statement.number.max(account.statements);
        account.settled_until = until.clamp(account.settled_until, place.index);
        account.settled = account.settled.saturating_add(statement.total);
        Ok(())
    }
}

fn lines(sums: earned::Lines) -> Lines {
    let earned =
        sums.earned.into_iter().filter_map(|((contract, epoch, exponent), certificates)| {
            // It was an exponent when it was written.
            let exponent = Exponent::new(exponent)?;
            Some(EarnedLine { contract, epoch, exponent, certificates })
        });
    let resold = sums.resold.into_iter().map(|(contract, (purchases, credits))| ResoldLine {
        contract,
        purchases,
        credits: Credits(credits),
    });
    Lines { earned: earned.collect(), resold: resold.collect() }
}
