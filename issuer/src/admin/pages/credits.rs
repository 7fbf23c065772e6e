//! Credits issued, redeemed, expired and outstanding.

use maud::{Markup, html};

use super::{
    Frame, chart,
    keys::state,
    text::{day, number},
};
use crate::admin::figures::{Books, EpochBooks, Sums};

/// The page.
pub(in crate::admin) fn page(frame: &Frame, books: &Books) -> Markup {
    frame.page(&html! {
        h1 { "Credits" }
        p.lead {
            "What was issued is redeemed, expires unredeemed at the end of its epoch, or is outstanding: spendable, or \
             spent and not brought by its operator yet. Which of these, nobody can know."
        }
        section {
            div.head { h2 { "By epoch" } (chart::share_legend()) }
            (by_epoch(books))
        }
        section {
            h2 { "By denomination" }
            @for epoch in &books.epochs { (denominations(epoch)) }
        }
    })
}

/// One row for each epoch, newest first.
pub(super) fn by_epoch(books: &Books) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Credits by epoch" {
            table.wide {
                thead { tr {
                    th scope="col" { "Epoch" } th.bar scope="col" { span.unseen { "Share" } }
                    th.n scope="col" { "Issued" } th.n scope="col" { "Redeemed" }
                    th.n scope="col" { "Expired" } th.n scope="col" { "Outstanding" }
                } }
                tbody {
                    @for books in &books.epochs {
                        tr {
                            th scope="row" { (books.epoch.epoch) " " (state(books.epoch.state)) }
                            td.bar { (chart::share(&books.sums)) }
                            (cells(&books.sums))
                        }
                    }
                }
                @if books.epochs.len() > 1 {
                    tfoot { tr {
                        th scope="row" { "All" } td.bar { (chart::share(&books.total)) } (cells(&books.total))
                    } }
                }
            }
        }
    }
}

fn cells(sums: &Sums) -> Markup {
    let over = (sums.redeemed > sums.issued).then_some("over");
    html! {
        td.n { (number(sums.issued)) }
        td.n { span class=[over] { (number(sums.redeemed)) } }
        td.n { (number(sums.expired)) }
        td.n { (number(sums.outstanding)) }
    }
}

fn denominations(books: &EpochBooks) -> Markup {
    html! {
        details open[books.sums.outstanding > 0] {
            summary {
                "Epoch " (books.epoch.epoch) " " (state(books.epoch.state))
                span.soft { " redeemed until " (day(books.epoch.redeem_until)) }
            }
            div.scroll tabindex="0" role="region" aria-label={ "Denominations of epoch " (books.epoch.epoch) } {
                table.wide {
                    thead { tr {
                        th scope="col" { "Worth" } th.bar scope="col" { span.unseen { "Share" } }
                        th.n scope="col" { "Issued" } th.n scope="col" { "Redeemed" }
                        th.n scope="col" { "Expired" } th.n scope="col" { "Outstanding" }
                    } }
                    tbody {
                        @for (row, sums) in &books.denominations {
                            tr {
                                th scope="row" { (number(row.credits.0)) }
                                td.bar { (chart::share(sums)) }
                                (cells(sums))
                            }
                        }
                    }
                }
            }
            p.hint { "In credits: certificates times their worth." }
        }
    }
}
