//! Uploading and downloading chunks, in pieces: no chunk is ever whole in memory.

use std::{fs::File, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use scrip_protocol::{
    id::ResourceId,
    resource::{Command, SizeClass},
};
use sha2::{Digest, Sha256};

use crate::{
    access::{AccessError, CommandHead, Role},
    chunk_files::{ChunkFileError, Incoming},
    core::Core,
    store::{ChunkSpace, LeaseKind, LeaseRow, StoreError},
};

/// Bytes that are written at once.
const PIECE: usize = 64 * 1024;
/// Bytes of the largest chunk.
pub(crate) const LARGEST: usize = SizeClass::M4.bytes();
/// How long an upload waits for another one of the same chunk.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why an upload is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("the bytes are not those that were paid for")]
    Mismatch,
    #[error("larger than any chunk")]
    TooLarge,
    #[error("the upload was cut off")]
    Cut,
    #[error("another upload of this chunk is under way")]
    Busy,
    #[error(transparent)]
    File(#[from] ChunkFileError),
}

/// Why there is nothing to download.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("the chunk was not uploaded yet")]
    NotUploaded,
    #[error(transparent)]
    File(#[from] ChunkFileError),
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::Access(error.into())
    }
}

impl From<StoreError> for DownloadError {
    fn from(error: StoreError) -> Self {
        Self::Access(error.into())
    }
}

/// The bytes of a request, as they arrive.
pub(crate) trait Bytestream<E>: Stream<Item = Result<Bytes, E>> + Unpin {}

impl<E, S: Stream<Item = Result<Bytes, E>> + Unpin> Bytestream<E> for S {}

impl Core {
    /// Takes the bytes of a chunk and stores them, if they are those that were paid for.
    ///
    /// The command signs the digest of its body, and the digest of the right body is known. A command that signs that
    /// one is checked before the first byte is written; the bytes of any other are only hashed, to find out whether the
    /// owner sent something else or somebody else sent something.
    pub(crate) async fn upload<E>(
        &self,
        head: &CommandHead,
        owner_id: ResourceId,
        body: impl Bytestream<E>,
    ) -> Result<(), UploadError> {
        self.check_time(head)?;
        let found = self.find(owner_id, Role::Owner).await?;
        let chunk = found.as_ref().and_then(with_space);
        // Also where there is no chunk: an unknown address costs as many checks as a known one.
        let right_digest = chunk.map_or([0; 32], |(_, space)| space.digest);
        let is_signed = self.is_signed(head, Role::Owner, found.as_ref(), right_digest);
        if let Some((lease, space)) = chunk.filter(|_| is_signed) {
            return self.store_chunk(lease, space, body).await;
        }
        let digest = digest_of(body).await?;
        let is_signed = self.is_signed(head, Role::Owner, found.as_ref(), digest);
        match found.filter(|_| is_signed) {
            Some(lease) if lease.is_live(self.believed.earlier()) => Err(UploadError::Mismatch),
            Some(_) => Err(AccessError::Ended.into()),
            None => Err(AccessError::NotFound.into()),
        }
    }

    /// The file of a chunk, and its size.
    pub(crate) async fn download(
        &self,
        head: &CommandHead,
        reader_id: ResourceId,
    ) -> Result<(File, usize), DownloadError> {
        let digest = Command::digest_of(&[]);
        let lease = self.authorize(head, reader_id, Role::Reader, digest).await?;
        let Some((_, space)) = with_space(&lease).filter(|(_, space)| space.uploaded) else {
            return Err(DownloadError::NotUploaded);
        };
        if let Some(file) = self.files.open_chunk(lease.number).await? {
            return Ok((file, space.size_class.bytes()));
        }
        tracing::error!("the file of a chunk is missing; its owner may upload it again");
        self.store.mark_lost(vec![lease.number]).await?;
        Err(DownloadError::NotUploaded)
    }

    /// Stores what the owner of a chunk sends, after whoever is doing that already.
    async fn store_chunk<E>(
        &self,
        lease: &LeaseRow,
        space: &ChunkSpace,
        body: impl Bytestream<E>,
    ) -> Result<(), UploadError> {
        if !self.takes_bytes(lease, space) {
            return self.compare(lease, space, body).await;
        }
        let Some(_turn) = self.uploads.turn(lease.number, PATIENCE).await else {
            digest_of(body).await?;
            return Err(UploadError::Busy);
        };
        let found = self.find(lease.lease_id, Role::Owner).await?;
        match found.as_ref().and_then(with_space) {
            Some((lease, space)) if self.takes_bytes(lease, space) => {
                self.receive_chunk(lease, space, body).await
            }
            Some((lease, space)) => self.compare(lease, space, body).await,
            None => Err(AccessError::NotFound.into()), // forgotten while we waited
        }
    }

    fn takes_bytes(&self, lease: &LeaseRow, space: &ChunkSpace) -> bool {
        lease.is_live(self.believed.earlier()) && !space.uploaded
    }

    /// Answers an upload of which nothing is stored. The body is read all the same, so that the client sees the answer and
    /// not a closed connection.
    async fn compare<E>(
        &self,
        lease: &LeaseRow,
        space: &ChunkSpace,
        body: impl Bytestream<E>,
    ) -> Result<(), UploadError> {
        let digest = digest_of(body).await?;
        match (lease.is_live(self.believed.earlier()), digest == space.digest) {
            (false, _) => Err(AccessError::Ended.into()),
            (true, true) => Ok(()),
            (true, false) => Err(UploadError::Mismatch),
        }
    }

    async fn receive_chunk<E>(
        &self,
        lease: &LeaseRow,
        space: &ChunkSpace,
        mut body: impl Bytestream<E>,
    ) -> Result<(), UploadError> {
        let incoming = self.files.receive().await?;
        let incoming = match fill(incoming, space.size_class.bytes(), &mut body).await {
            Err(UploadError::Mismatch) => {
                digest_of(body).await?; // the rest, as in `compare`
                return Err(UploadError::Mismatch);
            }
            filled => filled?,
        };
        let (incoming, digest) = incoming.digest();
        if digest != space.digest {
            return Err(UploadError::Mismatch);
        }
        let incoming = incoming.sync().await?;
        self.steps.at("relay.chunk.received");
        incoming.keep(lease.number).await?;
        self.steps.at("relay.chunk.named");
        if !self.store.mark_uploaded(lease.number, self.believed.earlier()).await? {
            self.files.remove(lease.number).await?;
            return Err(AccessError::Ended.into());
        }
        self.steps.at("relay.chunk.stored");
        Ok(())
    }
}

fn with_space(lease: &LeaseRow) -> Option<(&LeaseRow, &ChunkSpace)> {
    match &lease.kind {
        LeaseKind::Chunk(space) => Some((lease, space)),
        LeaseKind::Queue => None,
    }
}

/// Writes a body of exactly `size` bytes.
async fn fill<E>(
    mut incoming: Incoming,
    size: usize,
    body: &mut impl Bytestream<E>,
) -> Result<Incoming, UploadError> {
    let mut piece = BytesMut::with_capacity(PIECE);
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(|_| UploadError::Cut)?;
        if incoming.written() + piece.len() + frame.len() > size {
            return Err(UploadError::Mismatch);
        }
        piece.extend_from_slice(&frame);
        if piece.len() >= PIECE {
            incoming = incoming.append(piece.split().freeze()).await?;
        }
    }
    if !piece.is_empty() {
        incoming = incoming.append(piece.freeze()).await?;
    }
    if incoming.written() == size { Ok(incoming) } else { Err(UploadError::Mismatch) }
}

/// Reads a body of at most the size of the largest chunk, and keeps nothing of it but its digest. A frame is hashed in
/// some microseconds, which an async thread may take.
async fn digest_of<E>(mut body: impl Bytestream<E>) -> Result<[u8; 32], UploadError> {
    let mut hash = Sha256::new();
    let mut read = 0_usize;
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(|_| UploadError::Cut)?;
        read += frame.len();
        if read > LARGEST {
            return Err(UploadError::TooLarge);
        }
        hash.update(&frame);
    }
    Ok(hash.finalize().into())
}
