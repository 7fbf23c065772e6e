//! Who asks, and what their form says.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Request};
use http::{HeaderMap, Uri, header, request::Parts};
use http_body_util::{BodyExt, Limited};

use super::refusal::Refusal;
use crate::{admin::token::Cookie, issuer::Issuer, store::SessionRow};

/// The longest form: a name and a key.
const MAX_FORM: usize = 16 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";
/// The field that every form has.
pub(in crate::admin) const FORM_TOKEN: &str = "form_token";

/// Which of the two cookies.
#[derive(Clone, Copy, Debug)]
pub(super) enum CookieName {
    /// Of a session.
    Session,
    /// Of the form that begins one.
    Login,
}

impl CookieName {
    /// With the prefix that browsers accept over TLS alone, from this very host alone, and for all of its paths.
    const fn text(self, has_tls: bool) -> &'static str {
        match (self, has_tls) {
            (Self::Session, true) => "__Host-scrip-admin",
            (Self::Session, false) => "scrip-admin",
            (Self::Login, true) => "__Host-scrip-login",
            (Self::Login, false) => "scrip-login",
        }
    }

    /// The cookie in a request.
    pub(super) fn read(self, headers: &HeaderMap, has_tls: bool) -> Option<Cookie> {
        let name = self.text(has_tls);
        let pairs = headers.get_all(header::COOKIE).into_iter();
        let mut pairs = pairs.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
        pairs.find_map(|pair| {
            let (found, value) = pair.trim().split_once('=')?;
            if found == name { Cookie::parse(value) } else { None }
        })
    }

    /// The header that sets it; without a cookie, the one that takes it away.
    pub(super) fn set(self, cookie: Option<&Cookie>, has_tls: bool) -> String {
        let name = self.text(has_tls);
        let secure = if has_tls { "; Secure" } else { "" };
        let (value, age) = match cookie {
            Some(cookie) => (cookie.encode(), ""),
            None => (String::new(), "; Max-Age=0"),
        };
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}")
    }
}

/// Somebody who is logged in. A handler that takes one is reached by nobody else.
pub(in crate::admin) struct Visitor {
    pub(in crate::admin) session: SessionRow,
    pub(super) cookie: Cookie,
}

impl FromRequestParts<Issuer> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, issuer: &Issuer) -> Result<Self, Refusal> {
        if !issuer.has_admin().await? {
            return Err(Refusal::Off);
        }
        let cookie = CookieName::Session.read(&parts.headers, issuer.config().has_tls());
        let cookie = cookie.ok_or(Refusal::LoggedOut)?;
        let session = issuer.admin_session(&cookie).await?.ok_or(Refusal::LoggedOut)?;
        Ok(Self { session, cookie })
    }
}

/// What a form says, each field once.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a form, and refuses one that does not belong to `cookie`: the page of somebody else cannot have it sent.
    pub(super) async fn read(cookie: &Cookie, request: Request) -> Result<Self, Refusal> {
        let headers = request.headers();
        let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
        if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
            return Err(Refusal::ForeignForm);
        }
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if media_type.is_none_or(|sent| sent.split(';').next().unwrap_or_default().trim() != FORM) {
            return Err(Refusal::BadForm);
        }
        let body = Limited::new(request.into_body(), MAX_FORM).collect().await;
        let body = body.map_err(|_| Refusal::BadForm)?.to_bytes();
        let form = Self(form_urlencoded::parse(&body).into_owned().collect());
        if cookie.fits(form.text(FORM_TOKEN)) { Ok(form) } else { Err(Refusal::ForeignForm) }
    }

    /// The text of a field; empty where it is missing.
    pub(super) fn text(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }
}

/// A parameter of the query.
pub(super) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query()?.as_bytes();
    form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others_and_under_their_own_name_only() {
        let cookie = Cookie::parse(&"A".repeat(43)).unwrap();
        let mut headers = HeaderMap::new();
        let text = format!("x=1; scrip-admin={}; y", cookie.encode());
        headers.append(header::COOKIE, text.parse().unwrap());
        let found = |name: CookieName, tls| name.read(&headers, tls).map(|c| c.encode());
        assert_eq!(found(CookieName::Session, false), Some(cookie.encode()));
        assert_eq!(found(CookieName::Session, true), None, "over TLS the prefix is needed");
        assert_eq!(found(CookieName::Login, false), None);
        let mut broken = HeaderMap::new();
        broken.append(header::COOKIE, "scrip-admin=; scrip-admin=short".parse().unwrap());
        assert!(CookieName::Session.read(&broken, false).is_none());
    }

    #[test]
    fn cookies_are_for_this_host_and_no_script() {
        let cookie = Cookie::parse(&"A".repeat(43)).unwrap();
        assert_eq!(
            CookieName::Session.set(Some(&cookie), true),
            format!(
                "__Host-scrip-admin={}; Path=/; HttpOnly; SameSite=Strict; Secure",
                cookie.encode()
            )
        );
        let gone = "scrip-login=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0";
        assert_eq!(CookieName::Login.set(None, false), gone);
    }
}
