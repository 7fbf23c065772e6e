//! A ledger at the vendor's server, or at whoever mirrors it.

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::header::AUTHORIZATION;
use scrip_runtime::client::{ClientOptions, HttpClient, Request, TransportError};

use super::{Ledger, SourceError};

/// A ledger behind a URL.
pub struct HttpLedger {
    client: HttpClient,
    base: String,
    token: Option<String>,
}

impl HttpLedger {
    /// The ledger at `base`, such as `https://vendor.example/ledger`. `token` is what the vendor gave to the auditor.
    ///
    /// # Errors
    /// [`SourceError::Client`].
    pub fn new(
        base: &str,
        token: Option<String>,
        options: ClientOptions,
    ) -> Result<Self, SourceError> {
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { client: HttpClient::new(options)?, base, token })
    }
}

impl Ledger for HttpLedger {
    fn get<'a>(
        &'a self,
        path: &'a str,
        max: usize,
    ) -> BoxFuture<'a, Result<Option<Bytes>, SourceError>> {
        async move {
            let place = self.base.clone();
            let mut request = Request::get(format!("{}/{path}", self.base), max);
            if let Some(token) = &self.token {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let path = path.to_owned();
            match self.client.send(request).await {
                Ok(answer) => match answer.status {
                    200 => Ok(Some(answer.body)),
                    404 => Ok(None),
                    401 if self.token.is_none() => Err(SourceError::TokenNeeded { place }),
                    401 | 403 => Err(SourceError::TokenRefused { place }),
                    status => Err(SourceError::Status { place, path, status }),
                },
                Err(TransportError::TooLarge { limit: max }) => {
                    Err(SourceError::TooLarge { place, path, max })
                }
                Err(source) => Err(SourceError::Transport { place, path, source }),
            }
        }
        .boxed()
    }

    fn place(&self) -> String {
        self.base.clone()
    }
}
