//! What is answered instead of a page.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::{
    super::pages::message,
    response::{html, see_other},
};
use crate::{error::StartError, store::StoreError};

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(in crate::admin) enum Refusal {
    /// Nobody can log in.
    #[error("no admin token is good")]
    Off,
    /// Nobody is logged in, or not any more.
    #[error("nobody is logged in")]
    LoggedOut,
    /// A form that was not sent from a page of this session.
    #[error("the form belongs to another session")]
    ForeignForm,
    /// What was sent is no form, or is too long.
    #[error("not a form")]
    BadForm,
    /// There is no such page.
    #[error("no such page")]
    NotFound,
    /// The books could not be read.
    #[error(transparent)]
    Books(#[from] StartError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Books(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title, text) = match &self {
            Self::LoggedOut => return see_other("/admin/login"),
            Self::Off => (
                StatusCode::NOT_FOUND,
                "This page is off",
                "It is on as soon as there is an admin token: run `scrip-issuer admin token create` \
                 on the vendor's machine, and log in with what it prints.",
            ),
            Self::ForeignForm => (
                StatusCode::FORBIDDEN,
                "Nothing was done",
                "This form was not sent from a page of your present session. Open the page again and \
                 fill it in anew.",
            ),
            Self::BadForm => (
                StatusCode::BAD_REQUEST,
                "Nothing was done",
                "What was sent is not the form of this page. Go back and try again.",
            ),
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "There is no such page", "Go back to the overview.")
            }
            Self::Books(error) => {
                // The errors behind it name transactions and tables, and no values.
                tracing::error!(%error, "the admin page cannot read the books");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The books cannot be read just now",
                    "The database did not answer as it should; the issuer's log says why. Try again \
                     in a moment.",
                )
            }
        };
        let mut answer = html(status, message::page(title, text));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        answer
    }
}
