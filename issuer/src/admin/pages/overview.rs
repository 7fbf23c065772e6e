//! The overview: everything that a vendor looks at each day.

use maud::{Markup, html};
use scrip_runtime::words::number;

use super::{Frame, chart, credits, keys, log, message::in_words, operators, sales};
use crate::{
    admin::figures::{Books, DAYS},
    alerts::{Alert, Severity},
    store::LogEntry,
};

/// The page.
pub(in crate::admin) fn page(frame: &Frame, books: &Books, log: &[LogEntry]) -> Markup {
    frame.page(&html! {
        h1 { "Overview" }
        (alerts(&books.alerts))
        (figures(books))
        section {
            div.head { h2 { "Sales" span.soft { " last " (DAYS) " days" } } a href="/admin/sales" { "Products and refunds" } }
            (sales::chart(books))
        }
        section {
            div.head {
                h2 { "Credits" } (chart::share_legend(&books.total))
                a href="/admin/credits" { "All denominations" }
            }
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

fn alerts(alerts: &[Alert]) -> Markup {
    html! {
        @if alerts.is_empty() {
            p.calm { "Nothing needs you: no source fails, keys are made in time, and nothing came back that was not issued." }
        } @else {
            ul.alerts aria-label="What needs you" {
                @for alert in alerts {
                    li.bad[alert.severity == Severity::Bad] {
                        strong { (in_words(&alert.what)) }
                        span { (in_words(&alert.remedy)) }
                    }
                }
            }
        }
    }
}

fn figures(books: &Books) -> Markup {
    let total = &books.total;
    let sold: u64 = books.sales.real().map(|sale| sale.purchases).sum();
    let figure = |name: &str, value: u64, note: &str| {
        html! { div { dt { (name) } dd { (number(value)) } dd.note { (note) } } }
    };
    let share = |part: u64| {
        let percent = u128::from(part) * 100 / u128::from(total.issued.max(1));
        format!("{percent} % of what was issued")
    };
    html! {
        dl.figures {
            (figure("Outstanding", total.outstanding, "credits that operators may still bring"))
            (figure("Issued", total.issued, "credits since the beginning"))
            (figure("Redeemed", total.redeemed, &share(total.redeemed)))
            (figure("Expired", total.expired, &share(total.expired)))
            (figure("Purchases", sold, &format!("in the last {DAYS} days")))
        }
    }
}
