//! What was done by whom.

use maud::{Markup, html};

use super::Frame;
use crate::store::LogEntry;

/// The page; `full` is how many entries a page has, where there are more.
pub(in crate::admin) fn page(frame: &Frame, entries: &[LogEntry], full: usize) -> Markup {
    let older = entries.last().filter(|last| entries.len() == full && last.number > 1);
    frame.page(&html! {
        h1 { "Log" }
        p.lead { "What was done on this page, on the command line, and by the issuer itself. Nothing is ever taken out." }
        section { (table(entries)) }
        @if let Some(last) = older {
            p { a href={ "/admin/log?before=" (last.number) } rel="next" { "Older entries" } }
        }
    })
}

/// The entries, newest first.
pub(super) fn table(entries: &[LogEntry]) -> Markup {
    if entries.is_empty() {
        return html! { p.empty { "Nothing was done yet." } };
    }
    html! {
        ol.log {
            @for entry in entries {
                li {
                    span.when { time datetime=(entry.at.day()) { (entry.at) } }
                    span.what {
                        strong { (entry.action) }
                        @if !entry.subject.is_empty() { " " (entry.subject) }
                        @if !entry.detail.is_empty() { " " span.soft { (entry.detail) } }
                    }
                    span.who { (entry.actor) }
                }
            }
        }
    }
}
