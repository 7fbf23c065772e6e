//! The pages behind the login: each reads, and lets a page show it.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::{StatusCode, Uri};
use maud::Markup;
use scrip_protocol::manifest::Classes;

use super::{
    refusal::Refusal,
    request::{Form, Visitor, parameter},
    response::{html, see_other},
};
use crate::{
    admin::{
        figures,
        pages::{self, Frame, Place},
    },
    issuer::Issuer,
    operators::{self, AddOperatorError},
    store::NewOperator,
};

/// Entries of the log on one page.
const LOG_PAGE: u16 = 100;

fn ok(page: Markup) -> Response {
    html(StatusCode::OK, page)
}

pub(super) fn frame(issuer: &Issuer, visitor: &Visitor, place: Place) -> Frame {
    Frame {
        vendor: issuer.config().authority(),
        actor: visitor.session.name.clone(),
        form_token: visitor.cookie.form_token(),
        place,
    }
}

/// `GET /admin`
pub(super) async fn overview(
    State(issuer): State<Issuer>,
    visitor: Visitor,
) -> Result<Response, Refusal> {
    let books = figures::read(&issuer).await?;
    let log = issuer.store().admin_log(None, 6).await?;
    Ok(ok(pages::overview::page(&frame(&issuer, &visitor, Place::Overview), &books, &log)))
}

/// `GET /admin/sales`
pub(super) async fn sales(
    State(issuer): State<Issuer>,
    visitor: Visitor,
) -> Result<Response, Refusal> {
    let books = figures::read(&issuer).await?;
    Ok(ok(pages::sales::page(&frame(&issuer, &visitor, Place::Sales), &books)))
}

/// `GET /admin/credits`
pub(super) async fn credits(
    State(issuer): State<Issuer>,
    visitor: Visitor,
) -> Result<Response, Refusal> {
    let books = figures::read(&issuer).await?;
    Ok(ok(pages::credits::page(&frame(&issuer, &visitor, Place::Credits), &books)))
}

/// `GET /admin/keys`
pub(super) async fn keys(
    State(issuer): State<Issuer>,
    visitor: Visitor,
) -> Result<Response, Refusal> {
    let books = figures::read(&issuer).await?;
    Ok(ok(pages::keys::page(&frame(&issuer, &visitor, Place::Keys), &books)))
}

/// `GET /admin/operators`
pub(super) async fn operators(
    State(issuer): State<Issuer>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Refusal> {
    let entered = pages::operators::Entered {
        added: parameter(&uri, "added"),
        ..pages::operators::Entered::default()
    };
    show_operators(&issuer, &visitor, StatusCode::OK, &entered).await
}

/// `POST /admin/operators`
pub(super) async fn add_operator(
    State(issuer): State<Issuer>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Refusal> {
    let form = Form::read(&visitor.cookie, request).await?;
    let (name, key, addresses) = (form.text("name"), form.text("key"), form.text("addresses"));
    let listed: Vec<String> = addresses.split_whitespace().map(str::to_owned).collect();
    let actor = visitor.session.name.as_str();
    let added = match key.trim().parse() {
        Ok(key) => {
            let (addresses, classes) = (listed.as_slice(), Classes::ALL);
            let new = NewOperator { name, key: &key, addresses, classes };
            operators::add(issuer.store(), new, actor, &*issuer.inner.clock).await
        }
        Err(_) => Err(AddOperatorError::Key),
    };
    match added {
        Ok(id) => Ok(see_other(&format!("/admin/operators?added={id}"))),
        Err(AddOperatorError::Store(error)) => Err(error.into()),
        Err(error) => {
            let entered = pages::operators::Entered {
                name: name.to_owned(),
                key: key.to_owned(),
                addresses: addresses.to_owned(),
                wrong: Some(error.to_string()),
                added: None,
            };
            show_operators(&issuer, &visitor, StatusCode::UNPROCESSABLE_ENTITY, &entered).await
        }
    }
}

async fn show_operators(
    issuer: &Issuer,
    visitor: &Visitor,
    status: StatusCode,
    entered: &pages::operators::Entered,
) -> Result<Response, Refusal> {
    let books = figures::read(issuer).await?;
    let frame = frame(issuer, visitor, Place::Operators);
    Ok(html(status, pages::operators::page(&frame, &books, entered)))
}

/// `GET /admin/log`
pub(super) async fn log(
    State(issuer): State<Issuer>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Refusal> {
    let before = parameter(&uri, "before").and_then(|number| number.parse().ok());
    let entries = issuer.store().admin_log(before, LOG_PAGE).await?;
    let frame = frame(&issuer, &visitor, Place::Log);
    Ok(ok(pages::log::page(&frame, &entries, usize::from(LOG_PAGE))))
}

/// Whatever else begins with `/admin/`.
pub(super) async fn nothing_here(_: Visitor) -> Refusal {
    Refusal::NotFound
}
