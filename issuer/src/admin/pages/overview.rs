//! The overview: everything that a vendor looks at each day.

use maud::{Markup, html};

use super::{Frame, chart, credits, keys, log, operators, text::number};
use crate::{admin::figures::Books, store::LogEntry};

/// The page.
pub(in crate::admin) fn page(frame: &Frame, books: &Books, log: &[LogEntry]) -> Markup {
    frame.page(&html! {
        h1 { "Overview" }
        (figures(books))
        section {
            div.head { h2 { "Credits" } (chart::share_legend()) a href="/admin/credits" { "All denominations" } }
            (credits::by_epoch(books))
        }
        section {
            div.head { h2 { "Operators" } a href="/admin/operators" { "Add an operator" } }
            (operators::table(books))
        }
        section {
            div.head { h2 { "Keys" } a href="/admin/keys" { "Schedule" } }
            (keys::next(books))
        }
        section {
            div.head { h2 { "Done lately" } a href="/admin/log" { "The whole log" } }
            (log::table(log))
        }
    })
}

fn figures(books: &Books) -> Markup {
    let total = &books.total;
    let status = &books.status;
    let figure = |name: &str, value: u64, note: &Markup| {
        html! { div { dt { (name) } dd { (number(value)) } dd.note { (note) } } }
    };
    html! {
        dl.figures {
            (figure("Outstanding", total.outstanding, &html! { "credits that operators may still bring" }))
            (figure("Issued", total.issued, &html! { "credits since the beginning" }))
            (figure("Redeemed", total.redeemed, &html! { "credits by " (status.operators.len()) " operators" }))
            (figure("Expired", total.expired, &html! { "credits that nobody can redeem" }))
            (figure("Purchases", status.grants.total, &html! { (number(status.grants.total - status.grants.used)) " not minted yet" }))
        }
    }
}
