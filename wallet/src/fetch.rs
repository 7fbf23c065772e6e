//! Fetching a file by its link. Needs no wallet and no money.

mod copies;
mod target;

use futures_util::{StreamExt, stream};
use scrip_protocol::id::encode_base64url;
use serde::Serialize;

use self::{
    copies::Copies,
    target::{Target, Unfinished},
};
use crate::{
    error::WalletError,
    file::{Content, Descriptor, Placement},
    link::FileLink,
    net::Network,
    wallet::Environment,
    watch::Event,
};

/// How many chunks are on their way at a time: at most so many are in memory.
const PARALLEL: usize = 4;

/// Where a fetched file goes.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// A file, or a directory in which the file gets the name that it was stored with.
    pub output: std::path::PathBuf,
    /// Whether a file that exists is replaced.
    pub overwrite: bool,
}

/// A file that was fetched.
#[derive(Clone, Debug, Serialize)]
pub struct Fetched {
    /// Where it is.
    pub path: std::path::PathBuf,
    /// The name that it was stored with.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of it, base64url.
    pub sha256: String,
}

/// Fetches a file. Where a relay does not give a chunk, or gives other bytes, the next copy is tried. Under its name the
/// file appears only when it is complete and its digest is right.
///
/// # Errors
/// [`WalletError`].
pub async fn fetch_file(
    link: &FileLink,
    options: &FetchOptions,
    network: &Network,
    environment: &Environment,
) -> Result<Fetched, WalletError> {
    let copies = Copies::new(link, network.clone(), environment);
    let descriptor = copies.descriptor().await?;
    let target = Target::choose(options, &descriptor.name)?;
    environment.watch.tell(Event::Started { what: "fetching", total: descriptor.size });
    let written = write(&copies, &descriptor, &target, environment).await;
    environment.watch.tell(Event::Finished);
    written?.finish(&target, options.overwrite).await?;
    Ok(Fetched {
        path: target.path().to_owned(),
        size: descriptor.size,
        sha256: encode_base64url(&descriptor.digest),
        name: descriptor.name,
    })
}

/// Writes the content to an unfinished file and checks size and digest.
async fn write(
    copies: &Copies<'_>,
    descriptor: &Descriptor,
    target: &Target,
    environment: &Environment,
) -> Result<Unfinished, WalletError> {
    let mut file = Unfinished::create(target, environment.entropy.bytes())?;
    match &descriptor.content {
        Content::Inline(bytes) => file = file.append(bytes.clone()).await?,
        Content::Chunks { relays, chunks } => {
            let count = chunks.len();
            // Collected, so that the whole may move between threads; none of them runs before its turn.
            let fetches = chunks.iter().enumerate().map(|(index, (class, placements))| {
                let copies_of: &[Placement] = placements;
                copies.chunk(index, index + 1 == count, *class, relays, copies_of)
            });
            let fetches: Vec<_> = fetches.collect();
            let mut contents = stream::iter(fetches).buffered(PARALLEL);
            while let Some(content) = contents.next().await {
                file = file.append(content?).await?;
                if file.written() > descriptor.size {
                    return Err(WalletError::OtherFile);
                }
                environment.watch.tell(Event::Done(file.written()));
            }
        }
    }
    if file.written() == descriptor.size && file.digest() == descriptor.digest {
        Ok(file)
    } else {
        Err(WalletError::OtherFile)
    }
}
