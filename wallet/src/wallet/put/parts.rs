//! One part of a file at one relay: sealed, paid for, uploaded.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use scrip_protocol::{
    address::RelayAddress,
    keys::{PublicKey, SigningKey},
    resource::{Command, RelayInfo, ResourceKind, ResourceRequest, SizeClass},
};

use super::upload::Job;
use crate::{
    error::WalletError,
    file::Piece,
    net::{CallError, RelayClient, Route},
    purse::Choosable,
    records::{Blob, ChunkKeys, LeaseRecord, Part, Purpose, Resource},
    secret::Secret,
    wallet::{
        apart,
        pay::Order,
        queue::{is_gone, may_pass},
    },
    watch::{Event, Watch},
};

const UPLOAD_ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(300);

/// The relay that a part goes to, with what it asks for.
pub(super) struct Seller {
    pub(super) client: RelayClient,
    pub(super) info: RelayInfo,
}

/// A sealed part, ready to be sent.
pub(super) struct Sealed {
    pub(super) part: Part,
    pub(super) copy: u8,
    pub(super) class: SizeClass,
    pub(super) reader_key: PublicKey,
    pub(super) bytes: Bytes,
    pub(super) digest: [u8; 32],
}

impl Job<'_> {
    /// Takes a part to its relay, from wherever it stands. `seal` makes its bytes, if they are needed.
    pub(super) async fn bring<S>(
        &self,
        part: Part,
        copy: u8,
        relay: &Seller,
        seal: S,
    ) -> Result<LeaseRecord, WalletError>
    where
        S: AsyncFnOnce() -> Result<Sealed, WalletError>,
    {
        let mut lease = self.paid(part, copy, relay).await?;
        if let Some(lease) = lease.take_if(|lease| is_uploaded(lease)) {
            self.progress.add(chunk_of(&lease).map_or(0, |chunk| chunk.class.bytes() as u64));
            return Ok(lease);
        }
        let sealed = seal().await?;
        let lease = match lease {
            Some(lease) => lease,
            None => self.pay_for(&sealed, relay).await?,
        };
        self.send(lease, sealed, relay).await
    }

    /// The lease of a part that was paid for before, also where only the payment was recorded.
    async fn paid(
        &self,
        part: Part,
        copy: u8,
        relay: &Seller,
    ) -> Result<Option<LeaseRecord>, WalletError> {
        if let Some((id, _)) = self.places.leases.get(&(part, copy)) {
            return self.wallet.lease(id).await;
        }
        match self.places.open_payments.get(&(part, copy)) {
            Some(id) => self.wallet.finish_recorded(*id, &relay.client).await,
            None => Ok(None),
        }
    }

    async fn pay_for(&self, sealed: &Sealed, relay: &Seller) -> Result<LeaseRecord, WalletError> {
        let mut entropy = self.wallet.environment.entropy.clone();
        let owner = Secret::generate(&mut entropy);
        let kind = ResourceKind::Chunk {
            owner_key: SigningKey::from_seed(owner.as_bytes()).public(),
            reader_key: sealed.reader_key,
            size_class: sealed.class,
            digest: sealed.digest,
        };
        let chunk = ChunkKeys {
            upload: self.upload.id,
            part: sealed.part,
            copy: sealed.copy,
            owner,
            class: sealed.class,
            digest: Blob(sealed.digest.to_vec()),
            uploaded: false,
        };
        let order = Order {
            client: &relay.client,
            info: &relay.info,
            route: Route::Chunks,
            request: ResourceRequest { days: self.upload.days, kind },
            per_period: relay.info.prices.chunk(sealed.class),
            // The rehearsal has warned of the sum.
            from: Choosable { excess: true, ..self.from },
        };
        // The relay's signed prices spare a question for each chunk.
        let price = order.announced();
        self.wallet.pay(order, price, Purpose::Chunk { chunk }).await
    }

    async fn send(
        &self,
        lease: LeaseRecord,
        sealed: Sealed,
        relay: &Seller,
    ) -> Result<LeaseRecord, WalletError> {
        let promised = chunk_of(&lease).map(|chunk| chunk.digest.0.clone());
        if promised.as_deref() != Some(&sealed.digest) {
            return Err(WalletError::FileChanged(self.upload.path.clone()));
        }
        self.wallet.at("wallet.chunk.before_send");
        match self.upload_with_retries(&lease, &sealed, relay).await {
            Err(error) if is_gone(&error) => {
                self.wallet.change_lease(&lease.id, |lease| lease.live = false).await?;
                return Err(WalletError::UploadGivenUp(self.upload.path.clone()));
            }
            done => done.map_err(WalletError::call(&lease.relay.authority))?,
        }
        self.wallet.at("wallet.chunk.after_answer");
        let uploaded = |lease: &mut LeaseRecord| {
            if let Resource::Chunk { chunk } = &mut lease.resource {
                chunk.uploaded = true;
            }
        };
        let lease = self.wallet.change_lease(&lease.id, uploaded).await?;
        self.wallet.at("wallet.chunk.stored");
        Ok(lease)
    }

    async fn upload_with_retries(
        &self,
        lease: &LeaseRecord,
        sealed: &Sealed,
        relay: &Seller,
    ) -> Result<(), CallError> {
        let key = lease.owner_key();
        let mut attempt = 0;
        loop {
            let sent = Arc::new(AtomicU64::new(0));
            let (counter, progress) = (sent.clone(), self.progress.clone());
            let count = move |n: usize| {
                counter.fetch_add(n as u64, Ordering::Relaxed);
                progress.add(n as u64);
            };
            let done = relay.client.upload(&lease.id, &key, sealed.bytes.clone(), count).await;
            attempt += 1;
            match done {
                Err(error) if attempt < UPLOAD_ATTEMPTS && may_pass(&error) => {
                    self.progress.take_back(sent.load(Ordering::Relaxed));
                    tokio::time::sleep(PAUSE * attempt).await;
                }
                other => return other,
            }
        }
    }
}

/// Counts bytes that were sent, for a progress bar.
#[derive(Clone)]
pub(super) struct Progress {
    done: Arc<AtomicU64>,
    watch: Watch,
}

impl Progress {
    pub(super) fn new(watch: Watch) -> Self {
        Self { done: Arc::default(), watch }
    }

    pub(super) fn add(&self, n: u64) {
        let before = self.done.fetch_add(n, Ordering::Relaxed);
        self.watch.tell(Event::Done(before + n));
    }

    /// What has to be sent again.
    fn take_back(&self, n: u64) {
        let before = self.done.fetch_sub(n, Ordering::Relaxed);
        self.watch.tell(Event::Done(before.saturating_sub(n)));
    }
}

impl Sealed {
    pub(super) fn new(
        part: Part,
        copy: u8,
        class: SizeClass,
        reader: &SigningKey,
        bytes: Vec<u8>,
    ) -> Self {
        let digest = Command::digest_of(&bytes);
        Self { part, copy, class, reader_key: reader.public(), bytes: bytes.into(), digest }
    }
}

/// A piece of the file's content.
pub(super) async fn read_piece(path: &Path, piece: Piece) -> Result<Vec<u8>, WalletError> {
    let path = path.to_owned();
    apart(move || {
        let mut file = File::open(&path).map_err(WalletError::io("open", &path))?;
        let mut content = vec![0; piece.length];
        file.seek(SeekFrom::Start(piece.offset))
            .and_then(|_| file.read_exact(&mut content))
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => WalletError::FileChanged(path.clone()),
                _ => WalletError::io("read", &path)(error),
            })?;
        Ok(content)
    })
    .await?
}

pub(super) const fn chunk_of(lease: &LeaseRecord) -> Option<&ChunkKeys> {
    match &lease.resource {
        Resource::Chunk { chunk } => Some(chunk),
        Resource::Queue { .. } => None,
    }
}

pub(in crate::wallet) fn is_uploaded(lease: &LeaseRecord) -> bool {
    chunk_of(lease).is_some_and(|chunk| chunk.uploaded)
}

/// The place of a relay in the descriptor.
pub(super) fn index_of(relays: &[RelayAddress], relay: &RelayAddress) -> u8 {
    // Copies are counted in one byte, and each has one relay.
    relays.iter().position(|other| other == relay).map_or(0, |at| at as u8)
}
