//! Credits issued, redeemed, expired and outstanding.

use maud::{Markup, html};
use scrip_runtime::words::number;

use super::{Frame, chart, keys::state, text::day};
use crate::admin::figures::{Books, EpochBooks, Sums};

/// The page.
pub(in crate::admin) fn page(frame: &Frame, books: &Books) -> Markup {
    frame.page(&html! {
        h1 { "Credits" }
        p.lead {
            "What was issued is redeemed by an operator, renewed into a later epoch, expires at the end of its own, or is \
             outstanding: in a wallet, or spent and not brought yet. Which of the two, nobody can know. All in credits."
        }
        section {
            div.head { h2 { "By epoch" } (chart::share_legend(&books.total)) }
            (by_epoch(books))
        }
        section {
            h2 { "By denomination" }
            @for epoch in &books.epochs { (denominations(epoch)) }
        }
        @if !books.test_epochs.is_empty() {
            section {
                h2 { "Test keys" }
                p.hint { "Certificates of sandbox purchases, which count in no sum above." }
                @for epoch in &books.test_epochs { (denominations(epoch)) }
            }
        }
    })
}

/// One row for each epoch, newest first.
pub(super) fn by_epoch(books: &Books) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Credits by epoch" {
            table.stack {
                (head("Epoch"))
                tbody {
                    @for books in &books.epochs {
                        tr {
                            th data-h="Epoch" scope="row" { (books.epoch.epoch) " " (state(books.epoch.state)) }
                            (cells(&books.sums))
                        }
                    }
                }
                @if books.epochs.len() > 1 {
                    tfoot { tr { th scope="row" { "All" } (cells(&books.total)) } }
                }
            }
        }
    }
}

fn head(first: &str) -> Markup {
    html! {
        thead { tr {
            th scope="col" { (first) } th.bar scope="col" { span.unseen { "Share" } }
            th.n scope="col" { "Outstanding" } th.n scope="col" { "Redeemed" }
            th.n scope="col" { "Renewed" } th.n scope="col" { "Expired" } th.n scope="col" { "Issued" }
        } }
    }
}

fn cells(sums: &Sums) -> Markup {
    let over = (sums.redeemed.saturating_add(sums.renewed) > sums.issued).then_some("over");
    html! {
        td.bar { (chart::share(sums)) }
        td.n data-h="Outstanding" { (number(sums.outstanding)) }
        td.n data-h="Redeemed" { span class=[over] { (number(sums.redeemed)) } }
        td.n data-h="Renewed" { (number(sums.renewed)) }
        td.n data-h="Expired" { (number(sums.expired)) }
        td.n data-h="Issued" { (number(sums.issued)) }
    }
}

fn denominations(books: &EpochBooks) -> Markup {
    let label = format!("Denominations of epoch {}", books.epoch.epoch);
    html! {
        details open[books.sums.outstanding > 0] {
            summary {
                "Epoch " (books.epoch.epoch) " " (state(books.epoch.state))
                span.soft { " redeemed until " (day(books.epoch.redeem_until)) }
            }
            div.scroll tabindex="0" role="region" aria-label=(label) {
                table.stack {
                    (head("Worth"))
                    tbody {
                        @for (row, sums) in &books.denominations {
                            tr { th data-h="Worth" scope="row" { (number(row.credits.0)) } (cells(sums)) }
                        }
                    }
                }
            }
        }
    }
}
