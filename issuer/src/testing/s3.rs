//! An S3-compatible store on loopback, in memory, as far as the ledger needs one: objects are put, read, listed and deleted by whoever
//! signs with the one key.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use http::{Method, StatusCode, header};

use super::FakeServer;
use crate::config::LedgerConfig;

/// The name of the only key that is known.
pub const ACCESS_KEY: &str = "scrip-test";
const SECRET_KEY: &str = "secret of scrip-test";
const MAX_OBJECT: usize = 1 << 26;

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A running store. It stops when it is dropped.
pub struct FakeS3 {
    /// The server, which can be made to fail.
    pub server: FakeServer,
    objects: Objects,
}

impl FakeS3 {
    /// Starts an empty one.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn start() -> std::io::Result<Self> {
        let objects = Objects::default();
        let router = Router::new().fallback(answer).with_state(objects.clone());
        Ok(Self { server: FakeServer::start(router).await?, objects })
    }

    /// The configuration with which an issuer uses it.
    pub fn config(&self) -> LedgerConfig {
        LedgerConfig {
            store: Some("s3://ledgers/vendor/one".into()),
            endpoint: Some(self.server.url()),
            access_key_id: Some(ACCESS_KEY.into()),
            secret_access_key: Some(crate::sources::secret::Secret::new(SECRET_KEY)),
            ..LedgerConfig::default()
        }
    }

    /// The names of all objects.
    pub fn names(&self) -> Vec<String> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

async fn answer(State(objects): State<Objects>, request: Request) -> Response {
    let signed = request.headers().get(header::AUTHORIZATION).and_then(|one| one.to_str().ok());
    let signed = signed.is_some_and(|signed| {
        signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/"))
    });
    if !signed {
        return with(StatusCode::FORBIDDEN, Vec::new());
    }
    let (name, query) = (request.uri().path().to_owned(), request.uri().query().map(str::to_owned));
    let method = request.method().clone();
    let body = to_bytes(request.into_body(), MAX_OBJECT).await.unwrap_or_default().to_vec();
    let mut objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
    match method {
        Method::PUT => {
            objects.insert(name, body);
            with(StatusCode::OK, Vec::new())
        }
        Method::DELETE => {
            objects.remove(&name);
            with(StatusCode::NO_CONTENT, Vec::new())
        }
        Method::GET if query.as_deref().is_some_and(|query| query.contains("list-type=2")) => {
            let query = query.unwrap_or_default();
            let prefix = form_urlencoded::parse(query.as_bytes())
                .find(|(key, _)| key == "prefix")
                .map_or(String::new(), |(_, value)| value.into_owned());
            with(StatusCode::OK, list(&objects, &format!("{name}/{prefix}"), name.len() + 1))
        }
        Method::GET => match objects.get(&name) {
            Some(object) => with(StatusCode::OK, object.clone()),
            None => with(StatusCode::NOT_FOUND, Vec::new()),
        },
        _ => with(StatusCode::METHOD_NOT_ALLOWED, Vec::new()),
    }
}

fn list(objects: &BTreeMap<String, Vec<u8>>, prefix: &str, bucket: usize) -> Vec<u8> {
    let found = objects.iter().filter(|(name, _)| name.starts_with(prefix));
    let entries: String = found
        .map(|(name, object)| {
            format!(
                "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>\"1\"</ETag><Size>{}</Size></Contents>",
                &name[bucket..],
                object.len()
            )
        })
        .collect();
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>")
        .into_bytes()
}

fn with(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::ETAG, http::HeaderValue::from_static("\"1\""));
    let modified = http::HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT");
    headers.insert(header::LAST_MODIFIED, modified);
    response
}
