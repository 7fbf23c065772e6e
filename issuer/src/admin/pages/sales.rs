//! Sales by source and day, by product, and what refunds took.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use maud::{Markup, html};
use scrip_runtime::words::number;

use super::{
    Frame,
    chart::{Daily, Series},
};
use crate::{
    admin::figures::{Books, DAYS, Sales},
    store::{Loss, Sale},
};

/// Losses that are listed by buyer.
const LOSSES: usize = 50;

/// The page.
pub(in crate::admin) fn page(frame: &Frame, books: &Books) -> Markup {
    let tests: u64 =
        books.sales.rows.iter().filter(|sale| sale.test).map(|sale| sale.purchases).sum();
    frame.page(&html! {
        h1 { "Sales" }
        section {
            div.head { h2 { "By source and day" span.soft { " purchases, last " (DAYS) " days" } } }
            (chart(books))
            @if tests > 0 { p.hint.after { (number(tests)) " test purchases are not counted." } }
        }
        section {
            div.head { h2 { "By product" span.soft { " last " (DAYS) " days" } } }
            (products(&books.sales))
        }
        section {
            div.head { h2 { "Lost by refunds" span.soft { " since the beginning" } } }
            p.hint {
                "Refunds that came after certificates were signed. Nobody can tell these certificates from others, so that \
                 they stay good and the loss is yours. A refund that came before cancelled the purchase, and cost nothing."
            }
            (losses(&books.sales.losses))
        }
    })
}

/// Purchases by source and day.
pub(super) fn chart(books: &Books) -> Markup {
    let Sales { days, .. } = &books.sales;
    let series = books.sales.sources().into_iter().map(|source| {
        let of_day = |day| {
            let sold = books.sales.real().filter(|sale| sale.source == source && sale.day == day);
            sold.map(|sale| sale.purchases).sum()
        };
        Series { name: source.to_owned(), values: days.iter().map(|day| of_day(*day)).collect() }
    });
    let series: Vec<Series> = series.collect();
    if series.is_empty() {
        return html! {
            p.empty {
                "Nothing was sold in the last " (DAYS) " days. "
                a href="/admin/vouchers" { "Vouchers" } " are the shortest way to a first sale."
            }
        };
    }
    let title = "Purchases by source and day";
    Daily { unit: "purchases", title, days, series: &series }.show()
}

#[derive(Default)]
struct ProductSum {
    purchases: u64,
    credits: u64,
    refunded: u64,
}

fn products(sales: &Sales) -> Markup {
    let mut sums: BTreeMap<(&str, &str), ProductSum> = BTreeMap::new();
    for Sale { source, product, purchases, credits, refunded, .. } in sales.real() {
        let sum = sums.entry((product, source)).or_default();
        sum.purchases += purchases;
        sum.credits += credits.0;
        sum.refunded += refunded;
    }
    if sums.is_empty() {
        return html! { p.empty { "Nothing was sold." } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Sales by product" {
            table.stack {
                thead { tr {
                    th scope="col" { "Product" } th scope="col" { "Source" } th.n scope="col" { "Purchases" }
                    th.n scope="col" { "Credits" } th.n scope="col" { "Refunded" }
                } }
                tbody {
                    @for ((product, source), sum) in &sums {
                        tr {
                            th.name scope="row" { span.cut { (product) } }
                            td data-h="Source" { (source) }
                            td.n data-h="Purchases" { (number(sum.purchases)) }
                            td.n data-h="Credits" { (number(sum.credits)) }
                            td.n data-h="Refunded" { (number(sum.refunded)) }
                        }
                    }
                }
            }
        }
    }
}

fn losses(losses: &[Loss]) -> Markup {
    if losses.is_empty() {
        return html! { p.empty { "Nothing." } };
    }
    let mut by_product: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for Loss { source, product, refunds, credits, .. } in losses {
        let sum = by_product.entry((product, source)).or_default();
        *sum = (sum.0 + refunds, sum.1.saturating_add(credits.0));
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Lost by refunds" {
            table.stack {
                thead { tr {
                    th scope="col" { "Product" } th scope="col" { "Source" }
                    th.n scope="col" { "Refunds" } th.n scope="col" { "Credits" }
                } }
                tbody {
                    @for ((product, source), (refunds, credits)) in &by_product {
                        tr {
                            th.name scope="row" { span.cut { (product) } }
                            td data-h="Source" { (source) }
                            td.n data-h="Refunds" { (number(*refunds)) }
                            td.n data-h="Credits" { (number(*credits)) }
                        }
                    }
                }
            }
        }
        details.after {
            summary { "By buyer" }
            (by_buyer(losses))
        }
    }
}

fn by_buyer(losses: &[Loss]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Lost by refunds, by buyer" {
            table.stack {
                thead { tr {
                    th scope="col" { "Buyer" } th scope="col" { "Product" } th scope="col" { "Source" }
                    th.n scope="col" { "Refunds" } th.n scope="col" { "Credits" }
                } }
                tbody {
                    @for loss in losses.iter().take(LOSSES) {
                        tr {
                            th data-h="Buyer" scope="row" { (buyer(loss)) }
                            td data-h="Product" { span.cut { (loss.product) } }
                            td data-h="Source" { (loss.source) }
                            td.n data-h="Refunds" { (number(loss.refunds)) }
                            td.n data-h="Credits" { (number(loss.credits.0)) }
                        }
                    }
                }
            }
        }
        @if losses.len() > LOSSES { p.hint.after { "And " (number((losses.len() - LOSSES) as u64)) " smaller ones." } }
    }
}

/// A few digits of the hash: enough to see that two losses are of one buyer.
fn buyer(loss: &Loss) -> Markup {
    match &loss.account {
        Some(account) => html! { code { (HEXLOWER.encode(&account.as_bytes()[..4])) } },
        None => html! { span.soft { "unknown" } },
    }
}
