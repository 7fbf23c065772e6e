//! What commands have in common: the address in the path and the `Scrip-Command` header.

use std::collections::HashMap;

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, Path},
};
use http::request::Parts;
use scrip_protocol::{
    id::ResourceId,
    problem::ProblemType,
    resource::{COMMAND_HEADER, CommandAuth, CommandError},
};

use super::problem::Failure;
use crate::access::CommandHead;

/// A command as it came, before anything is looked up.
pub(super) struct Received {
    pub(super) address: ResourceId,
    pub(super) head: CommandHead,
}

impl<S: Send + Sync> FromRequestParts<S> for Received {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let head = head(parts)?;
        let path = parts.extract::<Path<HashMap<String, String>>>().await;
        let Path(path) = path.map_err(|_| ProblemType::ResourceNotFound)?;
        let address = path.get("address").and_then(|text| text.parse().ok());
        Ok(Self { address: address.ok_or(ProblemType::ResourceNotFound)?, head })
    }
}

/// A command without a header of the right form is signed by nobody.
fn head(parts: &Parts) -> Result<CommandHead, Failure> {
    let unsigned = || {
        let detail = CommandError::Malformed.to_string();
        Failure::with_detail(ProblemType::CommandUnauthorized, detail)
    };
    let mut values = parts.headers.get_all(COMMAND_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(unsigned());
    };
    let value = value.to_str().map_err(|_| unsigned())?;
    let auth = CommandAuth::from_header(value).map_err(|_| unsigned())?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(CommandHead { auth, method: parts.method.as_str().to_owned(), path: path.to_owned() })
}
