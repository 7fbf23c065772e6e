//! Vouchers: the form that makes a batch, the one page that shows its codes, and the batches that there are.

use data_encoding::BASE64;
use maud::{Markup, html};
use scrip_protocol::manifest::Manifest;
use scrip_runtime::words::{counted, number};

use super::{Frame, hidden, message::in_words, notice};
use crate::{
    store::VoucherBatchRow,
    vouchers::{DEFAULT_VALID_DAYS, MAX_VALID_DAYS, NewVouchers, on_sale},
};

/// The most that are made on the page; the command makes more.
pub(in crate::admin) const MAX_COUNT: u32 = 1_000;

/// What was typed into the form, and what became of it.
pub(in crate::admin) struct Entered {
    /// A random name for the batch: the form sent twice makes one.
    pub(in crate::admin) nonce: String,
    pub(in crate::admin) product: String,
    pub(in crate::admin) count: String,
    pub(in crate::admin) valid_days: String,
    /// Why nothing was made.
    pub(in crate::admin) wrong: Option<String>,
    /// What was done.
    pub(in crate::admin) done: Option<String>,
}

impl Entered {
    /// An empty form.
    pub(in crate::admin) fn new(nonce: String) -> Self {
        Self {
            nonce,
            product: String::new(),
            count: "1".into(),
            valid_days: DEFAULT_VALID_DAYS.to_string(),
            wrong: None,
            done: None,
        }
    }
}

/// The page.
pub(in crate::admin) fn page(
    frame: &Frame,
    manifest: &Manifest,
    batches: &[VoucherBatchRow],
    today: scrip_protocol::time::Day,
    entered: &Entered,
) -> Markup {
    frame.page(&html! {
        h1 { "Vouchers" }
        @if let Some(done) = &entered.done { (notice("good", &html! { (done) })) }
        section #make {
            h2 { "Make vouchers" }
            @if let Some(wrong) = &entered.wrong { (notice("bad", &html! { "Not made: " (in_words(wrong)) "." })) }
            form.fields method="post" action="/admin/vouchers" {
                (frame.hidden())
                (hidden("nonce", &entered.nonce))
                label for="product" { "Product" }
                select #product name="product" required {
                    @for product in on_sale(manifest) {
                        option value=(product.name) selected[product.name == entered.product] {
                            (product.name) " · " (counted(product.credits().0, "credit", "credits"))
                        }
                    }
                }
                div.pair {
                    div {
                        label for="count" { "How many" }
                        input #count name="count" type="number" min="1" max=(MAX_COUNT) required
                            inputmode="numeric" value=(entered.count);
                    }
                    div {
                        label for="days" { "Days valid" }
                        input #days name="valid_days" type="number" min="1" max=(MAX_VALID_DAYS) required
                            inputmode="numeric" value=(entered.valid_days);
                    }
                }
                div.buttons {
                    button type="submit" name="format" value="page" { "Make and show" }
                    button.second type="submit" name="format" value="csv" { "Make and download CSV" }
                }
            }
            p.hint {
                "Codes are shown once: the database has their hashes alone. More than " (number(u64::from(MAX_COUNT)))
                " at a time: " code { "scrip-issuer voucher create" } "."
            }
        }
        section {
            div.head { h2 { "Batches" } }
            (table(frame, batches, today))
        }
    })
}

fn table(frame: &Frame, batches: &[VoucherBatchRow], today: scrip_protocol::time::Day) -> Markup {
    if batches.is_empty() {
        return html! { p.empty { "No vouchers yet." } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Batches of vouchers" {
            table.stack {
                thead { tr {
                    th scope="col" { "Batch" } th scope="col" { "Product" } th.n scope="col" { "Worth" }
                    th.n scope="col" { "Used" } th scope="col" { "Made" } th scope="col" { "Last day" } th scope="col" { }
                } }
                tbody {
                    @for batch in batches {
                        tr {
                            th data-h="Batch" scope="row" { (batch.batch) }
                            td data-h="Product" { span.cut { (batch.product) } }
                            td.n data-h="Worth" { (number(batch.credits.0)) }
                            td.n data-h="Used" { (number(batch.used)) " of " (number(batch.vouchers)) }
                            td data-h="Made" { (batch.made) }
                            td data-h="Last day" { (batch.last_day) }
                            td.act { (cancel(frame, batch, today)) }
                        }
                    }
                }
            }
        }
    }
}

/// Two steps, so that nothing is cancelled by a slip.
fn cancel(frame: &Frame, batch: &VoucherBatchRow, today: scrip_protocol::time::Day) -> Markup {
    let left = batch.vouchers.saturating_sub(batch.used);
    match batch.cancelled {
        Some(day) => html! { span.soft { "cancelled " (day) } },
        None if left == 0 => html! { span.soft { "all used" } },
        None if batch.last_day < today => html! { span.soft { "expired" } },
        None => html! {
            details.step {
                summary { "Cancel" }
                form method="post" action="/admin/vouchers/cancel" {
                    (frame.hidden())
                    (hidden("batch", &batch.batch.to_string()))
                    button.danger type="submit" { "Cancel " (number(left)) " unused" }
                }
            }
        },
    }
}

/// The one page that shows the codes.
pub(in crate::admin) fn made(frame: &Frame, made: &NewVouchers) -> Markup {
    let count = counted(made.codes.len() as u64, "voucher", "vouchers");
    let csv =
        format!("data:text/csv;charset=utf-8;base64,{}", BASE64.encode(made.to_csv().as_bytes()));
    frame.page(&html! {
        h1 { "Batch " (made.batch) }
        (notice("warn", &html! {
            "These codes are shown this once. Copy or download them before you leave this page."
        }))
        p { (count) " for " strong { (made.product) } ", worth " (number(made.credits)) " credits each, until " (made.last_day) "." }
        div.buttons {
            a.button href=(csv) download=(file_name(made)) { "Download CSV" }
            a href="/admin/vouchers" { "Done" }
        }
        label for="codes" { "Codes" }
        textarea #codes.code readonly rows=(made.codes.len().clamp(2, 24)) spellcheck="false" { "\n" (made.to_lines()) }
    })
}

/// What the codes are saved as.
pub(in crate::admin) fn file_name(made: &NewVouchers) -> String {
    format!("vouchers-{}.csv", made.batch)
}
