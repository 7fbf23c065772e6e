//! All parts of a file, several at a time; then the descriptor, and the link.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use scrip_protocol::{
    credits::Credits,
    id::{PaymentId, ResourceId},
    resource::{PriceList, SizeClass},
    time::UnixSeconds,
};
use sha2::{Digest, Sha256};

use super::{
    Stored,
    begin::{descriptor_class, measure, pieces_of},
    parts::{Progress, Sealed, chunk_of, index_of, read_piece},
};
use crate::{
    error::WalletError,
    file::{Content, Descriptor, FileKeys, Piece, Placement, fitting_class},
    link::{FileLink, Location},
    purse::is_excessive,
    records::{LeaseRecord, Part, PaymentRecord, PaymentState, Purpose, UploadRecord},
    store::Changes,
    wallet::{Doubtful, Wallet, apart, leases::paid_for, relays::Candidate},
    watch::Event,
};

/// How many parts are on their way at a time: at most so many chunks are in memory.
const PARALLEL: usize = 4;

/// What an upload came to.
struct Ends {
    link: String,
    /// When the first lease ends.
    until: UnixSeconds,
    paid: Credits,
}

/// An upload under way.
pub(super) struct Job<'a> {
    pub(super) wallet: &'a Wallet,
    pub(super) upload: &'a UploadRecord,
    /// The relay of each copy.
    pub(super) relays: Vec<Candidate>,
    /// What was paid before.
    pub(super) leases: BTreeMap<(Part, u8), ResourceId>,
    /// What was about to be paid.
    pub(super) open_payments: BTreeMap<(Part, u8), PaymentId>,
    pub(super) doubtful: Doubtful,
    pub(super) progress: Progress,
}

impl Wallet {
    /// Takes an upload from where it stands to its link.
    pub(super) async fn finish_upload(
        &self,
        upload: UploadRecord,
        doubtful: Doubtful,
    ) -> Result<Stored, WalletError> {
        let pieces = pieces_of(upload.size)?;
        let descriptor = descriptor_class(&upload, &pieces)?;
        let total = pieces.iter().map(|piece| piece.class.bytes() as u64).sum::<u64>();
        let total = (total + descriptor.bytes() as u64) * upload.relays.len() as u64;
        self.watch().tell(Event::Started { what: "storing", total });
        let result = self.store_parts(&upload, &pieces, doubtful).await;
        self.watch().tell(Event::Finished);
        if let Err(WalletError::FileChanged(_) | WalletError::UploadGivenUp(_)) = &result {
            self.give_up(&upload).await?;
        }
        let Ends { link, until, paid } = result?;
        let stored = Stored {
            upload: upload.id,
            link: link.clone(),
            name: upload.name.clone(),
            size: upload.size,
            chunks: pieces.len() + 1,
            relays: upload.relays.clone(),
            until,
            paid,
        };
        let done = UploadRecord { link: Some(link), ..upload };
        self.store.commit(Changes::default().put(&done)).await?;
        self.at("wallet.upload.stored");
        Ok(stored)
    }

    async fn store_parts(
        &self,
        upload: &UploadRecord,
        pieces: &[Piece],
        doubtful: Doubtful,
    ) -> Result<Ends, WalletError> {
        let job = self.job(upload, doubtful).await?;
        if let Err(error) = job.rehearse(pieces).await {
            if job.leases.is_empty() && job.open_payments.is_empty() {
                // Nothing was paid: there is nothing to go on with.
                self.give_up(upload).await?;
            }
            return Err(error);
        }
        job.run(pieces).await
    }

    async fn job<'a>(
        &'a self,
        upload: &'a UploadRecord,
        doubtful: Doubtful,
    ) -> Result<Job<'a>, WalletError> {
        let copies = upload.relays.len();
        let relays = self.candidates(&upload.relays, copies, upload.days, |_| 0).await?;
        let mut leases = BTreeMap::new();
        for lease in self.store.all::<LeaseRecord>().await? {
            if let Some(chunk) = chunk_of(&lease).filter(|chunk| chunk.upload == upload.id) {
                leases.insert((chunk.part, chunk.copy), lease.id);
            }
        }
        let mut open_payments = BTreeMap::new();
        for payment in self.store.all::<PaymentRecord>().await? {
            if let (PaymentState::InFlight { .. }, Some(Purpose::Chunk { chunk })) =
                (&payment.state, &payment.purpose)
                && chunk.upload == upload.id
            {
                open_payments.insert((chunk.part, chunk.copy), payment.id);
            }
        }
        let progress = Progress::new(self.watch().clone());
        Ok(Job { wallet: self, upload, relays, leases, open_payments, doubtful, progress })
    }
}

impl Job<'_> {
    /// Whether there is enough for all that is not paid yet, and what it will really cost. Each chunk is a payment of its
    /// own and there is no change: where small certificates run out, large ones pay for small chunks.
    async fn rehearse(&self, pieces: &[Piece]) -> Result<(), WalletError> {
        let descriptor = descriptor_class(self.upload, pieces)?;
        let parts = pieces.iter().map(|piece| (Part::Chunk(piece.index), piece.class));
        let parts: Vec<_> = parts.chain([(Part::Descriptor, descriptor)]).collect();
        let mut prices = Vec::new();
        for (copy, relay) in (0..).zip(&self.relays) {
            let begun = |part: &Part| {
                let place = (*part, copy);
                self.leases.contains_key(&place) || self.open_payments.contains_key(&place)
            };
            let due = parts.iter().filter(|(part, _)| !begun(part));
            prices.extend(due.map(|(_, class)| {
                let price = PriceList::price(relay.info.prices.chunk(*class), self.upload.days);
                (relay.client.address().id, price)
            }));
        }
        let price = Credits::total(prices.iter().map(|(_, price)| *price));
        let purse = self.wallet.purse.lock().await;
        let paid =
            purse.rehearse(prices, self.wallet.now(), self.wallet.choosable(self.doubtful))?;
        if is_excessive(paid, price) {
            self.wallet.watch().warn(format!(
                "this costs {price} and takes {paid}, as the wallet has too few small certificates; \
                 what is paid too much makes leases longer"
            ));
        }
        Ok(())
    }

    async fn run(&self, pieces: &[Piece]) -> Result<Ends, WalletError> {
        let copies = self.copies();
        let parts: Vec<(Piece, u8)> =
            pieces.iter().flat_map(|piece| (0..copies).map(move |copy| (*piece, copy))).collect();
        let leases: Vec<LeaseRecord> = stream::iter(parts)
            .map(|(piece, copy)| self.bring_piece(piece, copy))
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let content = self.describe(pieces, &leases).await?;
        let class = fitting_class(content.len()).ok_or(WalletError::FileTooLarge)?;
        let descriptors: Vec<LeaseRecord> = stream::iter(0..copies)
            .map(|copy| self.bring_descriptor(copy, class, &content))
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let all = || leases.iter().chain(&descriptors);
        let until = all().map(|lease| lease.until).min().unwrap_or(self.wallet.now());
        if until <= self.wallet.now() {
            return Err(WalletError::UploadGivenUp(self.upload.path.clone()));
        }
        let paid = Credits::total(all().map(paid_for));
        let link = FileLink {
            size_class: class,
            copies: descriptors.iter().map(location).collect(),
            key: self.upload.key.duplicate(),
        };
        Ok(Ends { link: link.to_string(), until, paid })
    }

    async fn bring_piece(&self, piece: Piece, copy: u8) -> Result<LeaseRecord, WalletError> {
        let part = Part::Chunk(piece.index);
        let seal = async || {
            let content = read_piece(&self.upload.path, piece).await?;
            let key = self.upload.key.duplicate();
            apart(move || {
                let keys = FileKeys::new(&key, copy);
                let Piece { index, last, class, .. } = piece;
                let sealed = keys.seal_chunk(index, last, class, &content);
                Sealed::new(part, copy, class, &keys.reader(index), sealed)
            })
            .await
        };
        self.bring(part, copy, seal).await
    }

    async fn bring_descriptor(
        &self,
        copy: u8,
        class: SizeClass,
        content: &[u8],
    ) -> Result<LeaseRecord, WalletError> {
        let seal = async || {
            let keys = FileKeys::new(&self.upload.key, copy);
            let sealed = keys.seal_descriptor(class, content);
            Ok(Sealed::new(Part::Descriptor, copy, class, &keys.descriptor_reader(), sealed))
        };
        self.bring(Part::Descriptor, copy, seal).await
    }

    /// The descriptor; from the leases alone, so that it is the same when an upload goes on.
    async fn describe(
        &self,
        pieces: &[Piece],
        leases: &[LeaseRecord],
    ) -> Result<Vec<u8>, WalletError> {
        let UploadRecord { name, size, digest, relays, path, .. } = self.upload;
        let damaged = || WalletError::FileChanged(path.clone());
        let content = if pieces.is_empty() {
            let length = usize::try_from(*size).map_err(|_| WalletError::FileTooLarge)?;
            let whole = Piece { index: 0, last: true, offset: 0, length, class: SizeClass::K64 };
            let content = read_piece(path, whole).await?;
            if Sha256::digest(&content).as_slice() != digest.0 {
                return Err(damaged());
            }
            Content::Inline(content)
        } else {
            // What was sealed is what was measured only if the file is still the same after the last chunk was read.
            if measure(path).await? != (*size, digest.0.clone()) {
                return Err(damaged());
            }
            let copies = leases.chunks(usize::from(self.copies()));
            let chunks = pieces.iter().zip(copies).map(|(piece, leases)| {
                let placements: Option<Vec<Placement>> = leases
                    .iter()
                    .map(|lease| placement(lease, index_of(relays, &lease.relay)))
                    .collect();
                placements.map(|placements| (piece.class, placements))
            });
            let chunks: Option<Vec<_>> = chunks.collect();
            Content::Chunks { relays: relays.clone(), chunks: chunks.ok_or_else(damaged)? }
        };
        let digest = digest.0.as_slice().try_into().map_err(|_| damaged())?;
        Ok(Descriptor { name: name.clone(), size: *size, digest, content }.encode())
    }

    /// At most 255: the number of copies was given in one byte.
    fn copies(&self) -> u8 {
        u8::try_from(self.upload.relays.len()).unwrap_or(u8::MAX)
    }
}

fn placement(lease: &LeaseRecord, relay: u8) -> Option<Placement> {
    let digest = chunk_of(lease)?.digest.0.as_slice().try_into().ok()?;
    Some(Placement { relay, reader_id: lease.other_id, digest })
}

fn location(lease: &LeaseRecord) -> Location {
    Location { relay: lease.relay.clone(), reader_id: lease.other_id }
}
