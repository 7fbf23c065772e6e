//! Logging in and out.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    super::{access::LoginError, pages::login, token::Cookie},
    ROOT,
    refusal::Refusal,
    request::{CookieName, Form, Visitor},
    response::{html, see_other},
};
use crate::issuer::Issuer;

/// `GET /admin/login`
pub(super) async fn show(
    State(issuer): State<Issuer>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if !issuer.has_admin().await? {
        return Err(Refusal::Off);
    }
    let has_tls = issuer.config().has_tls();
    if let Some(cookie) = CookieName::Session.read(&headers, has_tls)
        && issuer.admin_session(&cookie).await?.is_some()
    {
        return Ok(see_other(ROOT));
    }
    // The cookie that is there already stays, so that two open tabs do not spoil each other's forms.
    let held = CookieName::Login.read(&headers, has_tls);
    let cookie = held.unwrap_or_else(|| Cookie::generate(&mut &mut *(issuer.inner.rng)()));
    let vendor = issuer.config().authority();
    let page = login::page(&vendor, &cookie.form_token(), None);
    let mut answer = html(StatusCode::OK, page);
    set(&mut answer, CookieName::Login, Some(&cookie), has_tls);
    Ok(answer)
}

/// `POST /admin/login`
pub(super) async fn log_in(
    State(issuer): State<Issuer>,
    request: Request,
) -> Result<Response, Refusal> {
    if !issuer.has_admin().await? {
        return Err(Refusal::Off);
    }
    let has_tls = issuer.config().has_tls();
    let cookie = CookieName::Login.read(request.headers(), has_tls);
    let cookie = cookie.ok_or(Refusal::LoggedOut)?;
    let form = Form::read(&cookie, request).await?;
    let (status, why) = match issuer.log_in(form.text(login::TOKEN)).await {
        Ok(session) => {
            let mut answer = see_other(ROOT);
            set(&mut answer, CookieName::Session, Some(&session), has_tls);
            set(&mut answer, CookieName::Login, None, has_tls);
            return Ok(answer);
        }
        Err(LoginError::Store(error)) => return Err(error.into()),
        Err(error @ LoginError::Token) => (StatusCode::UNAUTHORIZED, error.to_string()),
        Err(error @ LoginError::TooMany { .. }) => {
            (StatusCode::TOO_MANY_REQUESTS, error.to_string())
        }
    };
    let vendor = issuer.config().authority();
    Ok(html(status, login::page(&vendor, &cookie.form_token(), Some(&why))))
}

/// `POST /admin/logout`
pub(super) async fn log_out(
    State(issuer): State<Issuer>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Refusal> {
    Form::read(&visitor.cookie, request).await?;
    issuer.log_out(&visitor.cookie).await?;
    let mut answer = see_other("/admin/login");
    set(&mut answer, CookieName::Session, None, issuer.config().has_tls());
    Ok(answer)
}

fn set(answer: &mut Response, name: CookieName, cookie: Option<&Cookie>, has_tls: bool) {
    // A cookie is ASCII; one that were not would not be set, and nobody logged in.
    if let Ok(value) = HeaderValue::from_str(&name.set(cookie, has_tls)) {
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
}
