//! The priced routes: the verifier's layer takes the payment, what stands behind it provisions.

use std::{convert::Infallible, sync::Arc};

use axum::{
    response::{IntoResponse, Response},
    routing::{MethodRouter, post_service},
};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use scrip_protocol::{
    media,
    problem::{Problem, ProblemType},
};
use scrip_verifier::{Paid, PaymentLayer, Price, Quote};
use tower::{Layer, service_fn};

use super::{Shared, problem::Failure};
use crate::{core::Core, requests::Route};

/// The prices of one route.
struct RoutePrice {
    core: Arc<Core>,
    route: Route,
}

impl Price for RoutePrice {
    async fn quote(&self, request: &[u8]) -> Result<Quote, Problem> {
        Ok(self.core.quote(self.route, request).await?)
    }
}

/// A priced route.
pub(super) fn service(shared: &Shared, route: Route) -> MethodRouter<Shared> {
    let core = Arc::clone(&shared.core);
    let price = RoutePrice { core: Arc::clone(&core), route };
    let layer = PaymentLayer::new(Arc::clone(&shared.verifier), price);
    post_service(
        layer.layer(service_fn(move |request| provision(Arc::clone(&core), route, request))),
    )
}

/// Provisions what was paid for. The layer has read the request's body and checked its size.
async fn provision(
    core: Arc<Core>,
    route: Route,
    request: Request<Full<Bytes>>,
) -> Result<Response, Infallible> {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = body.collect().await;
    let Some(paid) = parts.extensions.remove::<Paid>() else {
        tracing::error!("a priced route was reached without a payment");
        return Ok(Failure::from(ProblemType::Internal).into_response());
    };
    Ok(match core.provision(route, &body.to_bytes(), &paid).await {
        Ok(receipt) => {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(media::RECEIPT))];
            (StatusCode::CREATED, headers, receipt).into_response()
        }
        Err(error) => Failure::from(Problem::from(error)).into_response(),
    })
}
