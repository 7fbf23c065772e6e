//! Statements: all of them, and each on a page of its own that prints well.

use maud::{Markup, html};
use scrip_protocol::{
    credits::Credits,
    ledger::{
        Leaf,
        export::{ContractReport, EarnedReport, ResoldReport, StatementReport},
    },
};
use scrip_runtime::words::{counted, number};

use super::Frame;
use crate::{statements::Shown, store::AdjustmentRow};

/// An operator with its statements, oldest first, and the adjustments that wait for the next one.
pub(in crate::admin) struct OperatorStatements {
    pub(in crate::admin) name: String,
    pub(in crate::admin) contracts: usize,
    pub(in crate::admin) statements: Vec<Shown>,
    pub(in crate::admin) waiting: Vec<AdjustmentRow>,
}

/// All statements.
pub(in crate::admin) fn list(frame: &Frame, operators: &[OperatorStatements]) -> Markup {
    let any = operators.iter().any(|operator| operator.contracts > 0);
    frame.page(&html! {
        h1 { "Statements" }
        @if !any {
            p.empty {
                "No operator has a contract yet, and so nothing has a price. Conclude one with "
                code { "scrip-issuer operator contract" } "."
            }
        }
        @for operator in operators.iter().filter(|operator| operator.contracts > 0) {
            section {
                div.head {
                    h2.cut { (operator.name) }
                    @if !operator.waiting.is_empty() {
                        span.soft { (counted(operator.waiting.len() as u64, "adjustment waits", "adjustments wait")) " for the next one" }
                    }
                }
                (table(operator))
            }
        }
        p.hint {
            "A statement covers everything of an operator that is in the ledger and in no statement before it. They are made with "
            code { "scrip-issuer statement make" } ", and by themselves when a month is over, unless the configuration says never."
        }
    })
}

fn table(operator: &OperatorStatements) -> Markup {
    if operator.statements.is_empty() {
        return html! { p.empty { "No statement yet." } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label={ "Statements of " (operator.name) } {
            table.stack {
                thead { tr {
                    th scope="col" { "Statement" } th scope="col" { "Day" }
                    th.n scope="col" { "Credits earned" } th.n scope="col" { "Credits resold" } th.n scope="col" { "Total" }
                    th scope="col" { "Who pays" }
                } }
                tbody {
                    @for shown in operator.statements.iter().rev() {
                        tr {
                            th scope="row" { a href=(path(shown)) { "Statement " (shown.report.number) } }
                            td data-h="Day" { (shown.report.day) }
                            td.n data-h="Credits earned" { (number(earned(&shown.report).0)) }
                            td.n data-h="Credits resold" { (number(resold(&shown.report).0)) }
                            td.n data-h="Total" { (amount(&shown.report.total)) " " (shown.report.currency) }
                            td data-h="Who pays" { (who_pays(&shown.report)) }
                        }
                    }
                }
            }
        }
    }
}

fn path(shown: &Shown) -> String {
    format!("/admin/statements/{}/{}", shown.operator.id, shown.report.number)
}

fn earned(report: &StatementReport) -> Credits {
    Credits::total(report.contracts.iter().map(|part| part.earned))
}

fn resold(report: &StatementReport) -> Credits {
    Credits::total(report.contracts.iter().map(|part| part.resold))
}

/// With a minus that is one.
fn amount(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

fn who_pays(report: &StatementReport) -> &'static str {
    match report.pays {
        "vendor" => "the vendor",
        "operator" => "the operator",
        _ => "nobody",
    }
}

/// One statement.
pub(in crate::admin) fn statement(frame: &Frame, shown: &Shown) -> Markup {
    let report = &shown.report;
    let from_to = format!("from {} up to {}", number(report.from), number(report.until));
    frame.page(&html! {
        p.unprinted { a href="/admin/statements" { "All statements" } }
        h1 { "Statement " (report.number) span.soft { " · " (shown.operator.name) } }
        dl.figures {
            div {
                dt { (total_title(report)) }
                dd { (amount(report.total.trim_start_matches('-'))) " " span.note { (report.currency) } }
            }
            div { dt { "Credits earned" } dd { (number(earned(report).0)) } }
            div { dt { "Credits resold" } dd { (number(resold(report).0)) } }
            div { dt { "Made on" } dd { time datetime=(report.day) { (report.day) } } }
        }
        @for part in &report.contracts { (contract(report, part)) }
        @if !report.adjustments.is_empty() { (adjustments(report)) }
        section {
            h2 { "Total" }
            div.scroll { table { tbody {
                @for part in &report.contracts {
                    tr { th scope="row" { (contract_name(part.contract)) } td.n { (amount(&part.amount)) } }
                }
                @if !report.adjustments.is_empty() {
                    tr { th scope="row" { "Adjustments" } td.n { (amount(&adjusted(shown))) } }
                }
            }
            tfoot { tr { th scope="row" { (total_title(report)) } td.n { (amount(&report.total)) " " (report.currency) } } } } }
        }
        section {
            h2 { "What it rests on" }
            dl.facts {
                dt { "Vendor" } dd { code { (report.vendor_id) } }
                dt { "Operator" } dd { code { (report.operator_id) } }
                dt { "Leaves of the ledger" } dd { (from_to) ", where the next statement begins: those of this operator" }
                dt { "Hash of its own leaf" } dd { code { (Leaf::Statement(shown.signed.clone()).hash()) } }
            }
            p.hint {
                "Everything but the adjustments follows from the ledger, and is checked by the operator with "
                code { "scrip-relay earnings --check" } "."
            }
        }
    })
}

fn total_title(report: &StatementReport) -> &'static str {
    match report.pays {
        "vendor" => "The vendor pays",
        "operator" => "The operator pays",
        _ => "Nobody pays",
    }
}

fn contract_name(contract: u32) -> String {
    match contract {
        0 => "Before the first contract".to_owned(),
        number => format!("Contract {number}"),
    }
}

fn contract(report: &StatementReport, part: &ContractReport) -> Markup {
    let lines = report.earned.iter().filter(|line| line.contract == part.contract);
    let resold = report.resold.iter().find(|line| line.contract == part.contract);
    html! {
        section {
            div.head {
                h2 { (contract_name(part.contract)) }
                span.soft {
                    (part.price) " " (report.currency) " a credit, of which " (part.share)
                    @if resold.is_some() { "; resold for " (part.resale_price) }
                }
            }
            div.scroll tabindex="0" role="region" aria-label=(contract_name(part.contract)) {
                table.stack {
                    thead { tr {
                        th scope="col" { "Epoch" } th.n scope="col" { "Denomination" }
                        th.n scope="col" { "Certificates" } th.n scope="col" { "Credits" }
                    } }
                    tbody {
                        @for line in lines { (earned_row(line)) }
                        @if let Some(line) = resold { (resold_row(line)) }
                    }
                    tfoot { tr {
                        th scope="row" colspan="3" { "Comes to" }
                        td.n { (amount(&part.amount)) " " (report.currency) }
                    } }
                }
            }
        }
    }
}

fn earned_row(line: &EarnedReport) -> Markup {
    html! {
        tr {
            th scope="row" { "Epoch " (line.epoch) }
            td.n data-h="Denomination" { (number(line.denomination.0)) }
            td.n data-h="Certificates" { (number(line.certificates)) }
            td.n data-h="Credits" { (number(line.credits.0)) }
        }
    }
}

fn resold_row(line: &ResoldReport) -> Markup {
    html! {
        tr {
            th scope="row" { "Resold" }
            td.n data-h="Purchases" { (counted(line.purchases, "purchase", "purchases")) }
            td.n.none { }
            td.n data-h="Credits" { "\u{2212}" (number(line.credits.0)) }
        }
    }
}

fn adjustments(report: &StatementReport) -> Markup {
    html! {
        section {
            h2 { "Adjustments" }
            div.scroll tabindex="0" role="region" aria-label="Adjustments" {
                table { tbody {
                    @for one in &report.adjustments {
                        tr { th.reason scope="row" { (one.reason) } td.n { (amount(&one.amount)) " " (report.currency) } }
                    }
                } }
            }
        }
    }
}

/// What the adjustments add up to.
fn adjusted(shown: &Shown) -> String {
    let sum: i128 = shown.statement().adjustments.iter().map(|one| i128::from(one.amount)).sum();
    // What does not fit is in no statement: its total would not fit either, but for parts that cancel each other out.
    scrip_protocol::ledger::Money(sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64).to_string()
}
