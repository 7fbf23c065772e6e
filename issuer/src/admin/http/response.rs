//! Answers and their headers.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use maud::Markup;

use super::super::pages::style;

/// No script, no frame, no font, nothing from elsewhere; forms go back to where they came from.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'",
);
/// What every answer has. The names of products and operators are nobody else's business.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];
/// A browser that came over TLS once comes over nothing else for a year.
const STRICT_TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// The style's path changes with its text.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A page.
pub(super) fn html(status: StatusCode, page: Markup) -> Response {
    of_type(status, "text/html; charset=utf-8", page.into_string().into())
}

pub(super) fn of_type(status: StatusCode, media_type: &'static str, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, media_type)], body).into_response()
}

/// To be asked for next with GET, so that loading the page again sends no form again.
pub(super) fn see_other(path: &str) -> Response {
    // Paths here are ASCII; one that is not would lead to the overview.
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static(super::ROOT));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// The one style sheet.
pub(super) async fn style() -> Response {
    let mut answer = of_type(StatusCode::OK, "text/css; charset=utf-8", style::TEXT.into());
    answer.headers_mut().insert(header::CACHE_CONTROL, FOR_EVER);
    answer
}

/// Adds what every answer has. Nothing but the style is kept by anybody.
pub(super) async fn protected(has_tls: bool, mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if has_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
    }
    answer
}
