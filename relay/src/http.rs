//! HTTP: parses requests, calls the use cases, encodes their answers.

mod chunks;
mod command;
mod info;
mod leases;
mod paid;
mod problem;
mod queues;

use std::sync::Arc;

use axum::{
    Router,
    routing::{delete, get, post, put},
};
use scrip_protocol::problem::ProblemType;
use scrip_verifier::Verifier;

use self::problem::Failure;
use crate::{core::Core, requests::Route};

/// What all routes share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    pub(crate) verifier: Arc<Verifier>,
    /// The relay's name, for people.
    pub(crate) name: Arc<str>,
}

/// All routes.
pub(crate) fn router(shared: Shared) -> Router {
    let paid = |route| paid::service(&shared, route);
    commands()
        .route("/v1/queues", paid(Route::Queues))
        .route("/v1/chunks", paid(Route::Chunks))
        .route("/v1/extensions", paid(Route::Extensions))
        .route("/v1/relay", get(info::relay))
        .route("/v1/manifests/{vendor_id}", get(info::manifest))
        .fallback(async || Failure::from(ProblemType::NotFound))
        .method_not_allowed_fallback(async || Failure::from(ProblemType::MethodNotAllowed))
        .with_state(shared)
}

/// The commands on resources.
fn commands() -> Router<Shared> {
    Router::new()
        .route("/v1/queues/{address}/messages", post(queues::send).get(queues::receive))
        .route("/v1/queues/{address}/messages/{message}", delete(queues::acknowledge))
        .route("/v1/chunks/{address}", put(chunks::upload).get(chunks::download))
        .route("/v1/leases/{address}", get(leases::status).delete(leases::delete))
}
