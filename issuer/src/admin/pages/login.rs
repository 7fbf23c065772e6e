//! The form that begins a session.

use maud::{Markup, html};

use super::{super::http::FORM_TOKEN, document, hidden, mark, notice};

/// The field of the token.
pub(in crate::admin) const TOKEN: &str = "token";

/// The page; `wrong` says why the last attempt failed.
pub(in crate::admin) fn page(vendor: &str, form_token: &str, wrong: Option<&str>) -> Markup {
    document(
        &format!("Log in · {vendor}"),
        &html! {
            main.alone {
                div.brand { (mark()) span { (vendor) } }
                h1 { "Log in" }
                @if let Some(wrong) = wrong { (notice("bad", &html! { (capital(wrong)) "." })) }
                form.fields method="post" action="/admin/login" {
                    (hidden(FORM_TOKEN, form_token))
                    // For managers of passwords, which want a name to each.
                    input type="text" name="username" autocomplete="username" value=(vendor) readonly hidden;
                    label for="token" { "Admin token" }
                    input #token name=(TOKEN) type="password" required
                        autocomplete="current-password" placeholder="scrip-admin-…";
                    button type="submit" { "Log in" }
                }
                p.hint {
                    "Made on the vendor's machine with " code { "scrip-issuer admin token create" } "."
                }
            }
        },
    )
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect()
}
