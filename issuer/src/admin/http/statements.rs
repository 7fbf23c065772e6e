//! The pages of statements.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use scrip_protocol::{encoding::parse_decimal, id::OperatorId};

use super::{handlers::frame, refusal::Refusal, request::Visitor, response::html};
use crate::{
    admin::pages::{Place, statements as pages},
    issuer::Issuer,
    statements::{self, StatementError},
    store::Store,
};

/// `GET /admin/statements`
pub(super) async fn list(
    State(issuer): State<Issuer>,
    visitor: Visitor,
) -> Result<Response, Refusal> {
    let store = issuer.store();
    let mut operators = Vec::new();
    for operator in store.operators().await? {
        operators.push(pages::OperatorStatements {
            contracts: store.contracts(&operator).await?.len(),
            statements: statements::of(store, &operator).await.map_err(refusal)?,
            waiting: waiting(store, &operator).await?,
            name: operator.name,
        });
    }
    let frame = frame(&issuer, &visitor, Place::Statements);
    Ok(html(StatusCode::OK, pages::list(&frame, &operators)))
}

async fn waiting(
    store: &Store,
    operator: &crate::store::OperatorRow,
) -> Result<Vec<crate::store::AdjustmentRow>, Refusal> {
    let all = store.adjustments(operator).await?.into_iter();
    Ok(all.filter(|one| one.statement.is_none()).collect())
}

/// `GET /admin/statements/{operator}/{number}`
pub(super) async fn show(
    State(issuer): State<Issuer>,
    visitor: Visitor,
    Path((operator, number)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let operator: OperatorId = operator.parse().map_err(|_| Refusal::NotFound)?;
    let number: u32 = parse_decimal(&number).ok_or(Refusal::NotFound)?;
    let operator = issuer.store().operator(&operator).await?.ok_or(Refusal::NotFound)?;
    let shown = statements::one(issuer.store(), &operator, number).await.map_err(refusal)?;
    let frame = frame(&issuer, &visitor, Place::Statements);
    Ok(html(StatusCode::OK, pages::statement(&frame, &shown)))
}

/// What is stored was computed before it was signed, so that it can be shown; where it cannot, it was damaged since.
fn refusal(error: StatementError) -> Refusal {
    match error {
        StatementError::Store(error) => error.into(),
        StatementError::Unknown { .. } => Refusal::NotFound,
        error => {
            tracing::error!(%error, "a statement cannot be shown");
            crate::store::StoreError::Damaged { table: "statements" }.into()
        }
    }
}
