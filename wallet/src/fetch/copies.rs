//! The copies of a file's parts, and which of them give what they should.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use scrip_protocol::{
    address::RelayAddress,
    id::ResourceId,
    keys::SigningKey,
    resource::{Command, SizeClass},
};

use crate::{
    error::{CopyError, WalletError},
    file::{Descriptor, FileKeys, Placement},
    link::FileLink,
    net::{Network, RelayClient},
    wallet::{Environment, apart, may_pass},
};

/// How often a chunk is asked for at one relay.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);

/// The relays of one file, with one client for each.
pub(super) struct Copies<'a> {
    link: &'a FileLink,
    network: Network,
    environment: &'a Environment,
    clients: Mutex<BTreeMap<RelayAddress, RelayClient>>,
}

impl<'a> Copies<'a> {
    pub(super) const fn new(
        link: &'a FileLink,
        network: Network,
        environment: &'a Environment,
    ) -> Self {
        Self { link, network, environment, clients: Mutex::new(BTreeMap::new()) }
    }

    /// The descriptor, from the first copy that gives it.
    pub(super) async fn descriptor(&self) -> Result<Descriptor, WalletError> {
        let class = self.link.size_class;
        let mut reasons = Vec::new();
        for (copy, location) in (0..).zip(&self.link.copies) {
            let keys = FileKeys::new(&self.link.key, copy);
            let reader = keys.descriptor_reader();
            let chunk = self.download(&location.relay, &location.reader_id, &reader, class).await;
            let opened = chunk.and_then(|chunk| Ok(keys.open_descriptor(class, chunk)?));
            match opened {
                // It is authentic: the other copies say the same.
                Ok(content) => return Ok(Descriptor::decode(&content)?),
                Err(error) => reasons.push(reason(&location.relay, &error)),
            }
        }
        Err(WalletError::NoCopyLeft { part: "the descriptor".to_owned(), reasons })
    }

    /// The content of one chunk. Chunks start at different copies, so that the relays share the work.
    pub(super) async fn chunk(
        &self,
        index: usize,
        last: bool,
        class: SizeClass,
        relays: &[RelayAddress],
        placements: &[Placement],
    ) -> Result<Vec<u8>, WalletError> {
        let mut reasons = Vec::new();
        for turn in 0..placements.len() {
            let copy = (index + turn) % placements.len();
            let Some(placement) = placements.get(copy) else { continue };
            let Some(relay) = relays.get(usize::from(placement.relay)) else { continue };
            let (index, copy) = (index as u32, copy as u8);
            match self.copy_of_chunk(index, last, class, relay, placement, copy).await? {
                Ok(content) => return Ok(content),
                Err(error) => reasons.push(reason(relay, &error)),
            }
        }
        Err(WalletError::NoCopyLeft { part: format!("chunk {}", index + 1), reasons })
    }

    async fn copy_of_chunk(
        &self,
        index: u32,
        last: bool,
        class: SizeClass,
        relay: &RelayAddress,
        placement: &Placement,
        copy: u8,
    ) -> Result<Result<Vec<u8>, CopyError>, WalletError> {
        let key = self.link.key.duplicate();
        let reader = FileKeys::new(&key, copy).reader(index);
        let chunk = match self.download(relay, &placement.reader_id, &reader, class).await {
            Ok(chunk) => chunk,
            Err(error) => return Ok(Err(error)),
        };
        let digest = placement.digest;
        apart(move || {
            if Command::digest_of(&chunk) != digest {
                return Err(CopyError::Digest);
            }
            Ok(FileKeys::new(&key, copy).open_chunk(index, last, class, chunk)?)
        })
        .await
    }

    /// One copy's bytes. A connection that breaks is no reason to give up the only copy.
    async fn download(
        &self,
        relay: &RelayAddress,
        reader_id: &ResourceId,
        reader_key: &SigningKey,
        class: SizeClass,
    ) -> Result<Vec<u8>, CopyError> {
        let client = self.client(relay)?;
        let mut attempt = 0;
        loop {
            let chunk = download_once(&client, reader_id, reader_key, class).await;
            attempt += 1;
            match chunk {
                Err(CopyError::Call(error)) if attempt < ATTEMPTS && may_pass(&error) => {
                    tokio::time::sleep(PAUSE * attempt).await;
                }
                other => return other,
            }
        }
    }

    fn client(&self, relay: &RelayAddress) -> Result<RelayClient, CopyError> {
        // What panicked while it held the lock has at worst not added its client.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(relay) {
            return Ok(client.clone());
        }
        let client = self.network.relay(relay, self.environment.clock.clone())?;
        clients.insert(relay.clone(), client.clone());
        Ok(client)
    }
}

async fn download_once(
    client: &RelayClient,
    reader_id: &ResourceId,
    reader_key: &SigningKey,
    class: SizeClass,
) -> Result<Vec<u8>, CopyError> {
    let mut stream = client.download(reader_id, reader_key, class).await?;
    let mut chunk = Vec::with_capacity(class.bytes());
    while let Some(piece) = stream.next().await {
        chunk.extend_from_slice(&piece?);
    }
    Ok(chunk)
}

fn reason(relay: &RelayAddress, error: &CopyError) -> String {
    format!("{}: {error}", relay.authority)
}
