//! A relay: its prices, payments and commands (spending.md, resources.md).

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderName, Method, header::CONTENT_TYPE};
use scrip_protocol::{
    address::RelayAddress,
    id::{MessageId, ResourceId, VendorId},
    keys::SigningKey,
    limits::{MAX_JSON_ANSWER, MAX_LEASE_STATUS, MAX_PROVEN_MANIFEST, MAX_RECEIPT, MESSAGE_BLOCK},
    manifest::HELD_HEADER,
    media,
    problem::{Price, Problem, ProblemType},
    resource::{COMMAND_HEADER, Command, LeaseStatus, RelayInfo, SIGNATURE_HEADER, SizeClass},
    time::UnixSeconds,
};
use scrip_runtime::{
    client::{BodyStream, HttpClient, Request, Response},
    clock::SharedClock,
};
use serde::{Deserialize, Serialize};

use super::answer::{CallError, body_of};
use crate::entropy::Entropy;

/// How much of a chunk is handed to the connection at a time.
const PIECE: usize = 64 * 1024;
const MESSAGE_ID: usize = 16;

/// A chunk while it arrives.
pub type ChunkStream = BodyStream;

/// A priced route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// A new queue.
    Queues,
    /// Space for a chunk.
    Chunks,
    /// More time for a lease.
    Extensions,
}

impl Route {
    const fn path(self) -> &'static str {
        match self {
            Self::Queues => "/v1/queues",
            Self::Chunks => "/v1/chunks",
            Self::Extensions => "/v1/extensions",
        }
    }
}

/// What a relay says about itself, as it was signed.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it says.
    pub info: RelayInfo,
    /// The signed bytes.
    pub body: Vec<u8>,
    /// The operator's signature, as it was in the header.
    pub signature: String,
}

/// Talks to one relay. Clones share their connections.
#[derive(Clone)]
pub struct RelayClient {
    http: HttpClient,
    address: RelayAddress,
    clock: SharedClock,
    entropy: Entropy,
}

impl RelayClient {
    pub(super) const fn new(
        http: HttpClient,
        address: RelayAddress,
        clock: SharedClock,
        entropy: Entropy,
    ) -> Self {
        Self { http, address, clock, entropy }
    }

    /// The relay that this talks to.
    pub const fn address(&self) -> &RelayAddress {
        &self.address
    }

    /// What the relay says about itself, signed by the operator that its address names.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn info(&self) -> Result<RelayInfo, CallError> {
        Ok(self.statement().await?.info)
    }

    /// The same, with what shows to others that the operator said so.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn statement(&self) -> Result<Statement, CallError> {
        let request = Request::get(self.url("/v1/relay"), MAX_JSON_ANSWER);
        let response = self.http.send(request).await?;
        let signature = response.headers.get(SIGNATURE_HEADER).and_then(|v| v.to_str().ok());
        let signature = signature.unwrap_or_default().to_owned();
        let body = body_of(response, 200, Some(media::JSON))?;
        let info = RelayInfo::open(&body, &signature, &self.address.id).map_err(|_| {
            CallError::Invalid("the relay's information is not signed by its operator")
        })?;
        Ok(Statement { info, body: body.into(), signature })
    }

    /// The manifest that the relay holds of a vendor, with its proof, and the operator's word for it; neither is checked yet.
    ///
    /// # Errors
    /// [`CallError`], with `not-found` where the relay does not take this vendor's certificates.
    pub async fn manifest(&self, vendor: &VendorId) -> Result<(Bytes, String), CallError> {
        let url = self.url(&format!("/v1/manifests/{vendor}"));
        let response = self.http.send(Request::get(url, MAX_PROVEN_MANIFEST)).await?;
        let said = response.headers.get(HELD_HEADER).and_then(|value| value.to_str().ok());
        let said = said.unwrap_or_default().to_owned();
        Ok((body_of(response, 200, Some(media::MANIFEST))?, said))
    }

    /// The price of a resource request.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Invalid`] where the answer would pay another operator.
    pub async fn price(&self, route: Route, resource_request: &[u8]) -> Result<Price, CallError> {
        let response = self.post(route, media::RESOURCE_REQUEST, resource_request).await?;
        let error = CallError::of(response.status, &response.headers, &response.body);
        let Some(Problem { problem: ProblemType::PaymentRequired, price, operator_id, .. }) =
            error.problem()
        else {
            return Err(error);
        };
        if *operator_id != Some(self.address.id) {
            return Err(CallError::Invalid("the price is that of another operator"));
        }
        price.ok_or(CallError::Invalid("the price is missing"))
    }

    /// Sends a paid request and returns the bytes of the receipt, not yet checked.
    ///
    /// # Errors
    /// [`CallError`]. Only a problem with the operator's signed refusal means that the certificates are free; after
    /// everything else the same bytes are to be sent again (spending.md, "The retry rule").
    pub async fn pay(&self, route: Route, paid_request: &[u8]) -> Result<Vec<u8>, CallError> {
        let response = self.post(route, media::PAID_REQUEST, paid_request).await?;
        Ok(body_of(response, 201, Some(media::RECEIPT))?.into())
    }

    /// Puts a block into a queue. The same `nonce` again is the same message.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn send_message(
        &self,
        sender_id: &ResourceId,
        sender_key: &SigningKey,
        block: Vec<u8>,
        nonce: [u8; 16],
    ) -> Result<(), CallError> {
        let path = format!("/v1/queues/{sender_id}/messages");
        let digest = Command::digest_of(&block);
        let mut request = self.command_with(Method::POST, &path, sender_key, digest, nonce);
        request.body = block.into();
        request = request.header(CONTENT_TYPE, media::BYTES);
        body_of(self.http.send(request).await?, 204, None).map(|_| ())
    }

    /// The oldest message of a queue, which stays there until it is acknowledged.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn receive_message(
        &self,
        recipient_id: &ResourceId,
        recipient_key: &SigningKey,
    ) -> Result<Option<(MessageId, Vec<u8>)>, CallError> {
        let path = format!("/v1/queues/{recipient_id}/messages");
        let mut request = self.command(Method::GET, &path, recipient_key);
        request.max_response = MAX_JSON_ANSWER.max(MESSAGE_ID + MESSAGE_BLOCK);
        let response = self.http.send(request).await?;
        if response.status == 204 {
            return Ok(None);
        }
        let body = body_of(response, 200, None)?;
        match body.split_first_chunk::<MESSAGE_ID>() {
            Some((id, block)) if block.len() == MESSAGE_BLOCK => {
                Ok(Some((MessageId::from_bytes(*id), block.to_vec())))
            }
            _ => Err(CallError::Invalid("a message has another size than a block")),
        }
    }

    /// Takes a message out of a queue; also where it is gone already.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn acknowledge_message(
        &self,
        recipient_id: &ResourceId,
        recipient_key: &SigningKey,
        message: &MessageId,
    ) -> Result<(), CallError> {
        let path = format!("/v1/queues/{recipient_id}/messages/{message}");
        let request = self.command(Method::DELETE, &path, recipient_key);
        body_of(self.http.send(request).await?, 204, None).map(|_| ())
    }

    /// Uploads a chunk, no faster than the relay takes it. `sent` hears of every piece on its way.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn upload(
        &self,
        owner_id: &ResourceId,
        owner_key: &SigningKey,
        chunk: Bytes,
        sent: impl Fn(usize) + Send + 'static,
    ) -> Result<(), CallError> {
        let path = format!("/v1/chunks/{owner_id}");
        let digest = Command::digest_of(&chunk);
        let nonce = self.entropy.bytes();
        let request = self
            .command_with(Method::PUT, &path, owner_key, digest, nonce)
            .header(CONTENT_TYPE, media::BYTES);
        let length = chunk.len() as u64;
        let pieces = stream::iter((0..chunk.len()).step_by(PIECE)).map(move |start| {
            let piece = chunk.slice(start..chunk.len().min(start + PIECE));
            sent(piece.len());
            io::Result::Ok(piece)
        });
        let response = self.http.send_streaming_body(request, pieces, length).await?;
        body_of(response, 204, None).map(|_| ())
    }

    /// Starts to download a chunk. Its digest is for the caller to check.
    ///
    /// # Errors
    /// [`CallError`], here or, as a [`scrip_runtime::client::TransportError`], in the stream.
    pub async fn download(
        &self,
        reader_id: &ResourceId,
        reader_key: &SigningKey,
        size_class: SizeClass,
    ) -> Result<ChunkStream, CallError> {
        let path = format!("/v1/chunks/{reader_id}");
        let mut request = self.command(Method::GET, &path, reader_key);
        request.max_response = size_class.bytes().max(MAX_JSON_ANSWER);
        let (status, headers, mut stream) = self.http.get_streaming(request).await?;
        if status == 200 {
            return Ok(stream);
        }
        let mut body = BytesMut::new();
        while let Some(piece) = stream.next().await {
            body.extend_from_slice(&piece?);
        }
        Err(CallError::of(status, &headers, &body))
    }

    /// What the relay says of a lease.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn lease(
        &self,
        lease_id: &ResourceId,
        owner_key: &SigningKey,
    ) -> Result<LeaseStatus, CallError> {
        let path = format!("/v1/leases/{lease_id}");
        let mut request = self.command(Method::GET, &path, owner_key);
        request.max_response = MAX_LEASE_STATUS;
        let body = body_of(self.http.send(request).await?, 200, Some(media::LEASE))?;
        Ok(LeaseStatus::decode(&body)?)
    }

    /// Ends a lease and deletes its resource.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete_lease(
        &self,
        lease_id: &ResourceId,
        owner_key: &SigningKey,
    ) -> Result<(), CallError> {
        let path = format!("/v1/leases/{lease_id}");
        let request = self.command(Method::DELETE, &path, owner_key);
        body_of(self.http.send(request).await?, 204, None).map(|_| ())
    }

    async fn post(&self, route: Route, media: &str, body: &[u8]) -> Result<Response, CallError> {
        let limit = MAX_JSON_ANSWER.max(MAX_RECEIPT);
        let request =
            Request::post(self.url(route.path()), body.to_vec(), limit).header(CONTENT_TYPE, media);
        Ok(self.http.send(request).await?)
    }

    /// A signed command without a body.
    fn command(&self, method: Method, path: &str, key: &SigningKey) -> Request {
        let (digest, nonce) = (Command::digest_of(&[]), self.entropy.bytes());
        self.command_with(method, path, key, digest, nonce)
    }

    fn command_with(
        &self,
        method: Method,
        path: &str,
        key: &SigningKey,
        body_digest: [u8; 32],
        nonce: [u8; 16],
    ) -> Request {
        let command =
            Command { operator_id: &self.address.id, method: method.as_str(), path, body_digest };
        let now: UnixSeconds = self.clock.now();
        let auth = command.sign(key, now, nonce).to_header();
        let mut request = Request::get(self.url(path), MAX_JSON_ANSWER)
            .header(HeaderName::from_static(COMMAND_HEADER), auth);
        request.method = method;
        request
    }

    fn url(&self, path: &str) -> String {
        self.address.base_url() + path
    }
}
