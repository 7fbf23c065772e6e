//! A page that says one thing.

use maud::{Markup, html};

use super::{document, mark};

/// A page outside of any session.
pub(in crate::admin) fn page(title: &str, text: &str) -> Markup {
    document(
        title,
        &html! {
            main.alone {
                div.brand { (mark()) span { "scrip" } }
                h1 { (title) }
                p { (in_words(text)) }
                p { a href="/admin" { "Go on" } }
            }
        },
    )
}

/// What is between backticks is a command.
pub(super) fn in_words(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
