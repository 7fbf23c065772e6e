//! Ways in which a server fails.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use scrip_protocol::{
    media,
    problem::{Problem, ProblemType},
};

/// What happens to the next request whose path starts with some text.
#[derive(Clone)]
pub(crate) enum Fault {
    /// It is not looked at; the client gets a 500 that is no problem document.
    NotDone,
    /// It is done, and the client gets a 500 that is no problem document.
    DoneAndLost,
    /// It is not looked at; the client gets this problem.
    Problem(Problem),
}

/// Faults in the order in which they strike.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<VecDeque<(&'static str, Fault)>>>);

impl Faults {
    /// `POST /v1/queues` and the like.
    pub(crate) fn add(&self, method_and_path: &'static str, fault: Fault) {
        self.0.lock().unwrap().push_back((method_and_path, fault));
    }

    fn next(&self, request: &Request) -> Option<Fault> {
        let line = format!("{} {}", request.method(), request.uri().path());
        let paid = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value == media::RESOURCE_REQUEST);
        let mut faults = self.0.lock().unwrap();
        // The question for a price is never the request that is meant.
        let strikes = faults.front().is_some_and(|(prefix, _)| line.starts_with(prefix)) && !paid;
        if strikes { faults.pop_front().map(|(_, fault)| fault) } else { None }
    }
}

pub(super) async fn strike(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    match faults.next(&request) {
        None => next.run(request).await,
        Some(Fault::NotDone) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::DoneAndLost) => {
            next.run(request).await;
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Some(Fault::Problem(problem)) => answer_problem(&problem),
    }
}

pub(super) fn problem(problem: ProblemType) -> Response {
    answer_problem(&Problem::new(problem))
}

pub(super) fn answer_problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap();
    (status, typed(media::PROBLEM), problem.to_json()).into_response()
}

pub(super) fn typed(media_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, media_type.parse().unwrap());
    headers
}
