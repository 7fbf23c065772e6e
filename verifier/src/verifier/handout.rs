//! The manifests of the accepted vendors, for whoever asks (resources.md, "Manifests"): wallets have them from the relays that they
//! use, and so ask their vendor nothing before they buy.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use scrip_protocol::{
    manifest::{HELD_HEADER, HeldManifest},
    media,
    problem::{Problem, ProblemType},
};

use super::Verifier;
use crate::{layer, provisions::StoredAnswer};

impl Verifier {
    /// The answer to `GET /v1/manifests/{vendor_id}`: the manifest that is held with its proof, and the operator's word for it;
    /// `not-found` for a vendor that is not accepted, or of which nothing is held.
    pub fn answer_manifest(&self, vendor_id: &str) -> Response<Full<Bytes>> {
        let held = vendor_id.parse().ok().and_then(|vendor| self.manifests.proven(&vendor));
        let Some(held) = held else {
            return layer::answer(StoredAnswer::problem(&Problem::from(ProblemType::NotFound)));
        };
        let said = HeldManifest::sign(&self.operator_key, held.manifest());
        let mut response = Response::new(Full::new(Bytes::from(held.encode())));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media::MANIFEST));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // base64url is good in a header.
        if let Ok(said) = HeaderValue::try_from(said.to_header()) {
            headers.insert(HeaderName::from_static(HELD_HEADER), said);
        }
        response
    }
}
