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
use scrip_verifier::{
    Paid, PaymentLayer, Price, Quote, Verifier,
    spent::{KnownPayment, StoreError},
};
use tower::{Layer, service_fn};

use super::{Shared, problem::Failure};
use crate::{
    core::Core,
    requests::{RequestError, Route},
};

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
    let verifier = Arc::clone(&shared.verifier);
    let layer = PaymentLayer::new(Arc::clone(&verifier), price);
    post_service(layer.layer(service_fn(move |request| {
        provision(Arc::clone(&core), Arc::clone(&verifier), route, request)
    })))
}

/// Provisions what was paid for. The layer has read the request's body and checked its size.
async fn provision(
    core: Arc<Core>,
    verifier: Arc<Verifier>,
    route: Route,
    request: Request<Full<Bytes>>,
) -> Result<Response, Infallible> {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = body.collect().await;
    let Some(paid) = parts.extensions.remove::<Paid>() else {
        tracing::error!("a priced route was reached without a payment");
        return Ok(Failure::from(ProblemType::Internal).into_response());
    };
    let body = body.to_bytes();
    let mut provisioned = core.provision(route, &body, &paid).await;
    if matches!(provisioned, Err(RequestError::LeaseEnded)) {
        match is_redeemed(&verifier, &paid).await {
            Ok(true) => provisioned = core.revive(route, &body, &paid).await,
            Ok(false) => {}
            Err(error) => return Ok(Failure::internal(&error).into_response()),
        }
    }
    Ok(match provisioned {
        Ok(receipt) => {
            let headers = [(CONTENT_TYPE, HeaderValue::from_static(media::RECEIPT))];
            (StatusCode::CREATED, headers, receipt).into_response()
        }
        Err(error) => Failure::from(Problem::from(error)).into_response(),
    })
}

/// Whether the vendor has credited the payment already. Who is asked first has answered before anything is provisioned.
async fn is_redeemed(verifier: &Verifier, paid: &Paid) -> Result<bool, StoreError> {
    let known = verifier.store().find(paid.payment_id).await?;
    Ok(matches!(known, Some(KnownPayment::Reserved(reserved)) if reserved.asks_first))
}
