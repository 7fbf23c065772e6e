//! The keys' schedule, and what comes next.

use maud::{Markup, html};
use scrip_protocol::{credits::Exponent, manifest::KeyUse, time::UnixSeconds};

use super::{
    Frame,
    text::{day, from_now},
};
use crate::{
    admin::figures::{Books, EpochBooks},
    schedule::{EpochState, EpochStatus, NextEpoch},
};

/// The page.
pub(in crate::admin) fn page(frame: &Frame, books: &Books) -> Markup {
    frame.page(&html! {
        h1 { "Keys" }
        section {
            div.head { h2 { "What comes next" } }
            (next(books))
        }
        section {
            div.head {
                h2 { "Epochs" }
                ul.legend { li { i.issuing {} "issues" } li { i.spending {} "spent" } li { i.redeeming {} "redeemed" } }
            }
            (schedule(books))
        }
        p.hint {
            "Manifest version " (books.schedule.manifest_version) ", digest "
            code.digest { (books.schedule.manifest_digest) } ". "
            "The receipt key signs since version " (books.schedule.receipt_key_since) "; a new one: "
            code { "scrip-issuer keys receipt" } ". "
            "Keys are rotated and revoked on the vendor's machine, where the passphrase is: "
            code { "scrip-issuer keys rotate" } ", " code { "scrip-issuer keys revoke --epoch N" } "."
        }
    })
}

/// The words for a state.
pub(super) fn state(state: EpochState) -> Markup {
    let (class, text) = match state {
        EpochState::Waiting => ("waiting", "waiting"),
        EpochState::Issuing => ("issuing", "issuing"),
        EpochState::Spending => ("spending", "spending"),
        EpochState::Redeeming => ("redeeming", "redeeming"),
        EpochState::Ended => ("ended", "ended"),
    };
    html! { span class={ "state " (class) } { (text) } }
}

/// What happens next, in its order.
pub(super) fn next(books: &Books) -> Markup {
    let mut steps: Vec<(UnixSeconds, String)> = Vec::new();
    if let Some(books) = books.issuing() {
        let until = books.epoch.issue_until;
        steps.push((until, format!("Epoch {} issues until", books.epoch.epoch)));
    }
    let waiting = books.epochs.iter().rev().find(|b| b.epoch.state == EpochState::Waiting);
    let next = if waiting.is_some() { "epoch after that" } else { "next epoch" };
    if let Some(books) = waiting {
        let from = books.epoch.issue_from;
        let text = format!("Epoch {} issues from; its keys are made", books.epoch.epoch);
        steps.push((from, text));
    }
    let NextEpoch { made_at, issue_from } = books.schedule.next;
    steps.push((made_at, format!("The issuer makes the keys of the {next}")));
    steps.push((issue_from, format!("The {next} issues from")));
    steps.sort_by_key(|(time, _)| *time);
    html! {
        ol.steps {
            @for (time, what) in &steps {
                li {
                    span { (what) }
                    span.when { (day(*time)) " · " (from_now(*time, books.now)) }
                }
            }
        }
    }
}

fn all(books: &Books) -> impl Iterator<Item = &EpochBooks> {
    books.epochs.iter().chain(&books.test_epochs)
}

fn schedule(books: &Books) -> Markup {
    let begin = all(books).map(|b| b.epoch.issue_from.0).min().unwrap_or(0);
    let end = all(books).map(|b| b.epoch.redeem_until.0).max().unwrap_or(1);
    let at = |time: UnixSeconds| {
        let whole = u128::from(end.saturating_sub(begin).max(1));
        u128::from(time.0.saturating_sub(begin)) * 1_000 / whole
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Schedule of the epochs" {
            table.stack {
                thead { tr {
                    th scope="col" { "Epoch" } th.bar scope="col" { span.unseen { "Timeline" } }
                    th scope="col" { "Issues from" } th scope="col" { "Until" }
                    th scope="col" { "Renewed from" }
                    th scope="col" { "Spent until" } th scope="col" { "Redeemed until" }
                    th scope="col" { "Worth" }
                } }
                tbody {
                    @for books_of in all(books) {
                        @let epoch = &books_of.epoch;
                        tr {
                            th data-h="Epoch" scope="row" {
                                (epoch.epoch) " " (state(epoch.state))
                                @if epoch.key_use == KeyUse::Test { " " span.state { "test" } }
                            }
                            td.bar { (timeline(epoch, at(books.now).min(1_000), at)) }
                            td data-h="Issues from" { (day(epoch.issue_from)) }
                            td data-h="Until" { (day(epoch.issue_until)) }
                            td data-h="Renewed from" { (day(epoch.renew_from)) }
                            td data-h="Spent until" { (day(epoch.spend_until)) }
                            td data-h="Redeemed until" { (day(epoch.redeem_until)) }
                            td data-h="Worth" { (worths(&epoch.exponents)) }
                        }
                    }
                }
            }
        }
    }
}

/// The windows of an epoch as one bar, with a line where we are.
fn timeline(epoch: &EpochStatus, now: u128, at: impl Fn(UnixSeconds) -> u128) -> Markup {
    let (from, issued) = (at(epoch.issue_from), at(epoch.issue_until));
    let (spent, redeemed) = (at(epoch.spend_until), at(epoch.redeem_until));
    html! {
        svg.share.time viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="1000" height="10" {}
            rect.issuing x=(from) width=(issued.saturating_sub(from)) height="10" {}
            rect.spending x=(issued) width=(spent.saturating_sub(issued)) height="10" {}
            rect.redeeming x=(spent) width=(redeemed.saturating_sub(spent)) height="10" {}
            line.now x1=(now) x2=(now) y1="-2" y2="12" {}
        }
    }
}

fn worths(exponents: &[Exponent]) -> String {
    match exponents {
        [] => String::from("none"),
        [one] => one.value().0.to_string(),
        [first, .., last] => format!("{}–{}", first.value().0, last.value().0),
    }
}
