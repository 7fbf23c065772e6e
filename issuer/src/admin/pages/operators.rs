//! Operators: what they redeemed, how soon, and how much of it was spent before.

use maud::{Markup, html};
use scrip_runtime::words::number;

use super::{Frame, message::in_words, notice, text::tenths};
use crate::admin::figures::{Books, DAYS, OperatorBooks};

/// A rate of double spends from which it is shown as bad: one in a hundred.
const BAD_PER_MILLE: u64 = 10;

/// What was typed into the form, and what became of it.
#[derive(Default)]
pub(in crate::admin) struct Entered {
    pub(in crate::admin) name: String,
    pub(in crate::admin) key: String,
    pub(in crate::admin) addresses: String,
    /// Why it was refused.
    pub(in crate::admin) wrong: Option<String>,
    /// The id of the one that was added just now.
    pub(in crate::admin) added: Option<String>,
}

/// The page.
pub(in crate::admin) fn page(frame: &Frame, books: &Books, entered: &Entered) -> Markup {
    let added = books
        .operators
        .iter()
        .find(|operator| entered.added.as_ref() == Some(&operator.id.to_string()));
    frame.page(&html! {
        h1 { "Operators" }
        @if let Some(added) = added {
            (notice("good", &html! { strong { (added.name) } " is added: its redemptions are accepted from now on." }))
        }
        section { (table(books)) }
        p.hint {
            "Double spends and waiting are of the last " (DAYS) " days. Waiting is the time from a payment's day to the day \
             of its redemption: what an operator holds unredeemed, it alone knows."
        }
        section #add {
            h2 { "Add an operator" }
            @if let Some(wrong) = &entered.wrong { (notice("bad", &html! { "Not added: " (in_words(wrong)) "." })) }
            form.fields method="post" action="/admin/operators#add" {
                (frame.hidden())
                label for="name" { "Name" }
                input #name name="name" required maxlength="64" autocomplete="off" value=(entered.name);
                label for="key" { "Key " span.soft { "as " code { "scrip-relay init" } " prints it" } }
                input #key.code name="key" required autocomplete="off" autocapitalize="none"
                    spellcheck="false" value=(entered.key);
                label for="addresses" { "Address " span.soft { "of its relay, " code { "host:port" } "; wallets learn it from the manifest" } }
                input #addresses name="addresses" autocomplete="off" autocapitalize="none"
                    spellcheck="false" value=(entered.addresses);
                button type="submit" { "Add operator" }
            }
        }
    })
}

/// One row for each operator, the largest first.
pub(super) fn table(books: &Books) -> Markup {
    if books.operators.is_empty() {
        return html! {
            p.empty { "No operators yet: nobody can redeem. " a href="/admin/operators#add" { "Add one" } " with the key of its relay." }
        };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Operators" {
            table.stack {
                thead { tr {
                    th scope="col" { "Operator" }
                    th.n scope="col" { "Credits" } th.n scope="col" { "Certificates" }
                    th.n scope="col" { "Double spends" } th.n scope="col" { "Mean wait" }
                    th.n scope="col" { "Longest" } th.n scope="col" { "Last batch" }
                } }
                tbody { @for operator in &books.operators { (row(operator)) } }
            }
        }
    }
}

fn row(operator: &OperatorBooks) -> Markup {
    let id = operator.id.to_string();
    html! {
        tr {
            th.name scope="row" {
                span.cut { (operator.name) }
                span.soft.cut title=(id) { "since " (operator.added) }
            }
            td.n data-h="Credits" { (number(operator.credits.0)) }
            td.n data-h="Certificates" { (number(operator.certificates)) }
            td.n data-h="Double spends" { (double_spends(operator)) }
            td.n data-h="Mean wait" { (days(operator.mean_wait_tenths().map(tenths))) }
            td.n data-h="Longest wait" { (days((operator.recent.accepted > 0).then(|| number(operator.recent.longest_wait)))) }
            td.n data-h="Last batch" {
                @match operator.last_batch {
                    Some(day) => time datetime=(day) { (day) },
                    None => span.soft { "none lately" },
                }
            }
        }
    }
}

fn double_spends(operator: &OperatorBooks) -> Markup {
    let Some(rate) = operator.double_spend_per_mille() else {
        return html! { span.soft { "–" } };
    };
    let over = (rate >= BAD_PER_MILLE).then_some("over");
    let count = operator.recent.double_spent;
    html! { span class=[over] { (tenths(rate)) " %" @if count > 0 { " (" (number(count)) ")" } } }
}

fn days(text: Option<String>) -> Markup {
    match text {
        Some(text) => html! { (text) " d" },
        None => html! { span.soft { "–" } },
    }
}
