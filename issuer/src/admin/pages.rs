//! The HTML. Functions from what is to be shown to markup, which is escaped where it is made.

pub(super) mod credits;
pub(super) mod keys;
pub(super) mod log;
pub(super) mod login;
pub(super) mod message;
pub(super) mod operators;
pub(super) mod overview;
pub(super) mod sales;
pub(super) mod statements;
pub(super) mod style;
pub(super) mod vouchers;

mod chart;
mod text;

use maud::{DOCTYPE, Markup, html};

use super::http::FORM_TOKEN;

/// What every page of a session has around it.
pub(super) struct Frame {
    /// The vendor's authority.
    pub(super) vendor: String,
    /// Who is logged in.
    pub(super) actor: String,
    pub(super) form_token: String,
    pub(super) place: Place,
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Overview,
    Sales,
    Credits,
    Operators,
    Statements,
    Keys,
    Vouchers,
    Log,
}

impl Place {
    const ALL: [Self; 8] = [
        Self::Overview,
        Self::Sales,
        Self::Credits,
        Self::Operators,
        Self::Statements,
        Self::Vouchers,
        Self::Keys,
        Self::Log,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/admin",
            Self::Sales => "/admin/sales",
            Self::Credits => "/admin/credits",
            Self::Operators => "/admin/operators",
            Self::Statements => "/admin/statements",
            Self::Keys => "/admin/keys",
            Self::Vouchers => "/admin/vouchers",
            Self::Log => "/admin/log",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Sales => "Sales",
            Self::Credits => "Credits",
            Self::Operators => "Operators",
            Self::Statements => "Statements",
            Self::Keys => "Keys",
            Self::Vouchers => "Vouchers",
            Self::Log => "Log",
        }
    }
}

impl Frame {
    /// A whole page around `content`.
    pub(super) fn page(&self, content: &Markup) -> Markup {
        let title = format!("{} · {}", self.place.title(), self.vendor);
        let here = |place| (place == self.place).then_some("page");
        document(
            &title,
            &html! {
                a.skip href="#content" { "Skip to content" }
                header.top {
                    div.ends {
                        a.brand href="/admin" { (mark()) span { (self.vendor) } }
                        form.out method="post" action="/admin/logout" {
                            (self.hidden())
                            span.who { (self.actor) }
                            button.plain type="submit" { "Log out" }
                        }
                    }
                    nav aria-label="Pages" {
                        @for place in Place::ALL {
                            a href=(place.path()) aria-current=[here(place)] { (place.title()) }
                        }
                    }
                }
                main #content { (content) }
            },
        )
    }

    /// What shows that a form is of this session.
    pub(super) fn hidden(&self) -> Markup {
        hidden(FORM_TOKEN, &self.form_token)
    }
}

fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// The document that every page is.
fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                link rel="stylesheet" href=(style::path());
                link rel="icon" href=(style::ICON);
            }
            body { (body) }
        }
    }
}

/// The sign before the vendor's name.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 20 20" aria-hidden="true" {
            path d="M3 4h14v4a2 2 0 0 0 0 4v4H3v-4a2 2 0 0 0 0-4z" {}
        }
    }
}

/// A message above the content.
fn notice(kind: &str, text: &Markup) -> Markup {
    html! { p class={ "notice " (kind) } role="status" { (text) } }
}
