//! What the relay says about itself, and the manifests that it holds.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use scrip_protocol::{
    media,
    resource::{AcceptedVendor, RelayInfo, SIGNATURE_HEADER},
};
use scrip_verifier::verifier::VendorInfo;

use super::{Shared, problem::Failure};

/// `GET /v1/relay`
pub(super) async fn relay(State(shared): State<Shared>) -> Result<Response, Failure> {
    let core = &shared.core;
    let info = RelayInfo {
        operator_key: core.operator.public(),
        name: shared.name.to_string(),
        max_days: core.max_days,
        prices: core.prices,
        vendors: shared.verifier.vendors().into_iter().map(accepted).collect(),
    };
    let (body, signature) = info.sign(&core.operator).map_err(|error| Failure::internal(&error))?;
    let signature = HeaderValue::try_from(signature).map_err(|error| Failure::internal(&error))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media::JSON)),
        (HeaderName::from_static(SIGNATURE_HEADER), signature),
    ];
    Ok((headers, body).into_response())
}

/// `GET /v1/manifests/{vendor_id}`
pub(super) async fn manifest(
    State(shared): State<Shared>,
    Path(vendor_id): Path<String>,
) -> Response {
    shared.verifier.answer_manifest(&vendor_id).map(axum::body::Body::new)
}

fn accepted(vendor: VendorInfo) -> AcceptedVendor {
    AcceptedVendor {
        vendor_id: vendor.address.id,
        address: vendor.address,
        test: vendor.accept_test,
    }
}
