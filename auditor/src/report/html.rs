//! The report as one page, for people: no scripts, nothing to load, light and dark, readable on a phone.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use scrip_protocol::manifest::KeyUse;
use scrip_runtime::words::{counted, number};

use super::{
    CheckReport, FindingReport, INCOMPLETE, KeyReport, OperatorReport, PASSED, Report,
    chart::{OverTime, share, short},
};
use crate::finding::{KEPT_OF_A_KIND, Verdict};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn page(report: &Report) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "Audit of " (report.vendor) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header.top { div.ends {
                    span.brand {
                        svg.mark viewBox="0 0 20 20" aria-hidden="true" { path d="M3 2h14v16l-2.3-1.6L12.3 18 10 16.4 7.7 18l-2.4-1.6L3 18zm3.5 4v1.6h7V6zm0 3.6v1.6h7V9.6z" {} }
                        "Ledger audit"
                    }
                    span.soft { (report.audited_at) }
                } }
                main {
                    (verdict(report))
                    (figures(report))
                    (findings(report))
                    (checks(report))
                    (over_time(report))
                    (keys(report))
                    (operators(report))
                    (about(report))
                }
            }
        }
    }
}

fn verdict(report: &Report) -> Markup {
    let (class, title, text) = match report.exit_code {
        PASSED => (
            "good",
            "The books hold",
            "Every check that was asked for passed. What follows is what the vendor signed, and nothing in it rests on the vendor's word.".to_owned(),
        ),
        INCOMPLETE => (
            "warn",
            "The books hold, as far as they could be checked",
            "Something that should have been there to be checked was not; the list says what.".to_owned(),
        ),
        _ => (
            "bad",
            "The books do not hold",
            format!(
                "{} of {}. Each is named below, with its place, whose fault it can be and what to do.",
                count(report.finding_counts.values().sum(), "finding", "findings"),
                count(report.finding_counts.len() as u64, "kind", "kinds")
            ),
        ),
    };
    html! {
        div class={ "verdict " (class) } {
            h1 { (title) }
            p { (text) }
            p.who { "Vendor " code { (report.vendor) } }
        }
    }
}

fn figures(report: &Report) -> Markup {
    let credits = |of: &dyn Fn(&KeyReport) -> i128| -> i128 {
        let production = report.keys.iter().filter(|key| key.key_use == Some(KeyUse::Production));
        production.map(|key| of(key) * i128::from(key.credits)).sum()
    };
    let issued = credits(&|key| i128::from(key.sold) + i128::from(key.reissued));
    let redeemed = credits(&|key| i128::from(key.redeemed));
    let outstanding = credits(&|key| i128::from(key.outstanding));
    html! {
        dl.figures {
            div { dt { "Leaves" } dd { (number(report.size)) } }
            div { dt { "Redemptions" } dd { (number(report.leaves_of("redemption"))) } }
            div { dt { "Credits issued" } dd { (signed(issued)) } }
            div { dt { "Credits redeemed" } dd { (signed(redeemed)) } }
            div { dt { "Credits outstanding" } dd { (signed(outstanding)) } }
        }
    }
}

fn checks(report: &Report) -> Markup {
    html! {
        section {
            h2 { "What was checked" }
            ul.checks { @for check in &report.checks { (show_check(check)) } }
        }
    }
}

fn show_check(check: &CheckReport) -> Markup {
    let (class, word, why) = match &check.verdict {
        Verdict::Pass => ("good", "pass", None),
        Verdict::Fail => ("bad", "fail", Some(count(check.findings, "finding", "findings"))),
        Verdict::NotChecked(why) => ("warn", "not checked", Some(why.clone())),
        Verdict::NotAsked(why) => ("plain", "not asked", Some(why.clone())),
    };
    html! {
        li {
            span class={ "pill " (class) } { (word) }
            span.what {
                (check.title)
                @if let Some(why) = why { span.why { (why) } }
            }
        }
    }
}

fn findings(report: &Report) -> Markup {
    if report.findings.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "What was found" }
            @for one in &report.findings { (show_finding(one)) }
            @for (kind, n) in &report.finding_counts {
                @if *n > KEPT_OF_A_KIND as u64 {
                    p.hint { "Of " code { (kind) } " there are " (number(*n)) "; the first " (KEPT_OF_A_KIND) " are listed." }
                }
            }
        }
    }
}

fn show_finding(one: &FindingReport) -> Markup {
    let finding = &one.finding;
    html! {
        article.finding {
            h3 { (one.title) }
            ul.places {
                @if let Some(index) = finding.index { li { "leaf " b { (number(index)) } } }
                @if let Some(operator) = finding.operator { li { "operator " code { (operator) } } }
                @if let Some(statement) = finding.statement { li { "statement " b { (statement) } } }
            }
            p.detail { (finding.detail) }
            dl {
                dt { "Whose fault it can be" } dd { (one.fault) }
                dt { "What to do" } dd { (one.remedy) }
            }
            @if !finding.evidence.is_empty() {
                details {
                    summary { "Evidence (" (count(finding.evidence.len() as u64, "signed note", "signed notes")) ")" }
                    @for note in &finding.evidence { pre tabindex="0" { (note) } }
                }
            }
        }
    }
}

fn over_time(report: &Report) -> Markup {
    let operators: Vec<_> = report.operators.iter().map(|operator| operator.id).collect();
    html! {
        section {
            h2 { "Redemptions by operator " span.soft { "credits" } }
            @match OverTime::new(&report.redemptions, &operators) {
                Some(chart) => (chart.show()),
                None => p.empty { "Nothing was redeemed yet." },
            }
        }
    }
}

fn keys(report: &Report) -> Markup {
    let [production, test] = &report.books;
    html! {
        section {
            div.head {
                h2 { "By epoch and denomination " span.soft { "certificates" } }
                ul.legend {
                    li { i.redeemed {} "redeemed" }
                    li { i.renewed {} "renewed" }
                    li { i.expired {} "expired" }
                    li { i.outstanding {} "outstanding" }
                }
            }
            @if report.keys.is_empty() { p.empty { "Nothing was issued yet." } }
            @else {
                div.scroll {
                    table.stack {
                        thead { tr {
                            th scope="col" { "Key" }
                            th.n scope="col" { "Sold" } th.n scope="col" { "For renewed" } th.n scope="col" { "Redeemed" }
                            th.n scope="col" { "Renewed" } th.n scope="col" { "Expired" } th.n scope="col" { "Outstanding" }
                            th.bar scope="col" { span.unseen { "Share" } }
                        } }
                        tbody { @for key in &report.keys { (show_key(key)) } }
                    }
                }
            }
            p.hint.after {
                (counted(production.purchases, "purchase", "purchases")) " granted " (number(production.granted)) " credits, and " (number(production.sold)) " were signed for them."
                @if test.granted > 0 || test.sold > 0 {
                    " In test environments " (number(test.granted)) " were granted and " (number(test.sold)) " signed."
                }
            }
        }
    }
}

fn show_key(key: &KeyReport) -> Markup {
    html! {
        tr {
            th scope="row" {
                "Epoch " (key.epoch) ", " (count(key.credits, "credit", "credits"))
                @match key.key_use {
                    Some(KeyUse::Production) => {},
                    Some(KeyUse::Test) => span.state { "test" },
                    None => span.state { "unknown" },
                }
            }
            td.n data-h="Sold" { (number(key.sold)) }
            td.n data-h="For renewed" { (number(key.reissued)) }
            td.n data-h="Redeemed" { (number(key.redeemed)) }
            td.n data-h="Renewed" { (number(key.renewed)) }
            td.n data-h="Expired" { (number(key.expired)) }
            td.n data-h="Outstanding" { span class=[(key.outstanding < 0).then_some("over")] { (signed(key.outstanding.into())) } }
            td.bar { (share(key)) }
        }
    }
}

fn operators(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Operators" }
            @if report.operators.is_empty() { p.empty { "The ledger names none." } }
            @else {
                div.scroll {
                    table.stack {
                        thead { tr {
                            th scope="col" { "Operator" }
                            th.n scope="col" { "Certificates" } th.n scope="col" { "Credits" } th.n scope="col" { "Resold" }
                            th.n scope="col" { "Contracts" } th.n scope="col" { "Statements" } th.n scope="col" { "Settled" }
                        } }
                        tbody { @for operator in &report.operators { (show_operator(operator)) } }
                    }
                }
            }
        }
    }
}

fn show_operator(operator: &OperatorReport) -> Markup {
    html! {
        tr {
            th scope="row" { code title=(operator.id) { (short(&operator.id)) } }
            td.n data-h="Certificates" { (number(operator.redeemed)) }
            td.n data-h="Credits" { (number(operator.credits)) }
            td.n data-h="Resold" { (number(operator.resold)) }
            td.n data-h="Contracts" { @if operator.contracts == 0 { "none" } @else { (operator.contracts) } }
            td.n data-h="Statements" { (operator.statements) }
            td.n data-h="Settled" { (operator.settled_text()) }
        }
    }
}

fn about(report: &Report) -> Markup {
    let run = &report.run;
    let manifests: Vec<String> = report.manifests.iter().map(u64::to_string).collect();
    html! {
        section {
            h2 { "This audit" }
            dl.about {
                dt { "Ledger" } dd { code { (report.ledger) } }
                dt { "Checkpoint" } dd { pre tabindex="0" { (report.checkpoint) } }
                @if let Some(since) = report.since {
                    dt { "Continues" } dd { "a checkpoint of " (number(since)) " leaves" }
                }
                dt { "Witnesses" } dd {
                    @if report.quorum == 0 { "none were demanded" }
                    @else { (report.quorum) " of " (report.witnesses) " had to have cosigned" }
                }
                dt { "Manifests" } dd { "versions " (manifests.join(", ")) }
                @if let Some(receipts) = &report.receipts {
                    dt { "Receipts" } dd {
                        (count(receipts.files, "batch", "batches")) " with " (count(receipts.certificates, "certificate", "certificates"))
                        @if receipts.later > 0 { ", of which " (number(receipts.later)) " lie beyond what was audited: audit again" }
                    }
                }
                dt { "Read" } dd {
                    (count(run.leaves, "leaf", "leaves"))
                    @if run.from > 0 { " from leaf " (number(run.from)) " on; those before were read by earlier audits" }
                    ", in " (format!("{:.1}", run.seconds)) " s with " (count(run.workers as u64, "thread", "threads"))
                    @if let Some(peak) = run.peak_memory_bytes { " and " (peak >> 20) " MiB at most" }
                }
                dt { "Leaves" } dd {
                    @for (at, (kind, n)) in report.leaves.iter().enumerate() {
                        @if at > 0 { ", " } (number(*n)) " " (kind)
                    }
                }
            }
        }
    }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

fn signed(n: i128) -> String {
    let sign = if n < 0 { "−" } else { "" };
    format!("{sign}{}", number(u64::try_from(n.unsigned_abs()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_a_sign() {
        assert_eq!(signed(-1_000), "−1,000");
    }
}
