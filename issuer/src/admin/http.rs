//! Paths, forms, cookies, headers.

mod handlers;
mod login;
mod refusal;
mod request;
mod response;
mod statements;
mod vouchers;

use axum::{
    Router,
    middleware::map_response,
    routing::{any, get, post},
};

pub(super) use self::request::FORM_TOKEN;
use super::pages::style;
use crate::issuer::Issuer;

/// Where everything is.
pub(super) const ROOT: &str = "/admin";

/// All routes of the page, with the headers that each of its answers has.
pub(crate) fn router(issuer: &Issuer) -> Router<Issuer> {
    let has_tls = issuer.config().has_tls();
    Router::new()
        .route("/admin", get(handlers::overview))
        .route("/admin/login", get(login::show).post(login::log_in))
        .route("/admin/logout", post(login::log_out))
        .route("/admin/sales", get(handlers::sales))
        .route("/admin/vouchers", get(vouchers::show).post(vouchers::make))
        .route("/admin/vouchers/cancel", post(vouchers::cancel))
        .route("/admin/credits", get(handlers::credits))
        .route("/admin/operators", get(handlers::operators).post(handlers::add_operator))
        .route("/admin/statements", get(statements::list))
        .route("/admin/statements/{operator}/{number}", get(statements::show))
        .route("/admin/keys", get(handlers::keys))
        .route("/admin/log", get(handlers::log))
        .route(style::path(), get(response::style))
        .route("/admin/{*path}", any(handlers::nothing_here))
        .layer(map_response(move |answer| response::protected(has_tls, answer)))
}
