//! The parts of a file, step by step; then the descriptors, and the link.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use scrip_protocol::{
    address::RelayAddress,
    credits::Credits,
    id::{PaymentId, ResourceId},
    resource::{PriceList, RelayInfo, SizeClass},
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use sha2::{Digest, Sha256};

use super::{
    Stored,
    begin::{descriptor_class, measure, pieces_of},
    parts::{Progress, Sealed, Seller, chunk_of, index_of, read_piece},
};
use crate::{
    error::WalletError,
    file::{Content, Descriptor, FileKeys, Piece, Placement, fitting_class},
    link::{FileLink, Location},
    net::RelayClient,
    privacy::{Pace, Privacy, When, draw},
    purse::{Choosable, is_excessive},
    records::{
        LeaseRecord, Part, PaymentRecord, PaymentState, Purpose, RelayRecord, UploadId,
        UploadRecord,
    },
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

/// Where the parts of an upload stand.
#[derive(Default)]
pub(super) struct Places {
    /// What was paid, and whether it was uploaded.
    pub(super) leases: BTreeMap<(Part, u8), (ResourceId, bool)>,
    /// What was about to be paid.
    pub(super) open_payments: BTreeMap<(Part, u8), PaymentId>,
}

impl Places {
    fn is_stored(&self, part: Part, copy: u8) -> bool {
        self.leases.get(&(part, copy)).is_some_and(|(_, uploaded)| *uploaded)
    }
}

/// What is done at one relay before the rest waits.
enum Step {
    /// These chunks of a copy.
    Chunks(u8, Vec<Piece>),
    /// The descriptor of a copy, once all chunks have their places.
    Descriptor(u8),
}

/// An upload under way.
pub(super) struct Job<'a> {
    pub(super) wallet: &'a Wallet,
    pub(super) upload: &'a UploadRecord,
    pub(super) places: Places,
    pub(super) from: Choosable,
    pub(super) progress: Progress,
}

impl Wallet {
    /// Takes an upload from where it stands to its link, or one step towards it.
    pub(super) async fn finish_upload(
        &self,
        upload: UploadRecord,
        doubtful: Doubtful,
        when: When,
    ) -> Result<Stored, WalletError> {
        let pieces = pieces_of(upload.size)?;
        let descriptor = descriptor_class(&upload, &pieces)?;
        let total = pieces.iter().map(|piece| piece.class.bytes() as u64).sum::<u64>();
        let total = (total + descriptor.bytes() as u64) * upload.relays.len() as u64;
        self.watch().tell(Event::Started { what: "storing", total });
        let result = self.store_parts(&upload, &pieces, doubtful, when).await;
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
        when: When,
    ) -> Result<Ends, WalletError> {
        let at_once = when == When::Now || self.privacy().await == Privacy::Off;
        let from = self.choosable(doubtful, when).await;
        let progress = Progress::new(self.watch().clone());
        let places = self.places(&upload.id).await?;
        let mut job = Job { wallet: self, upload, places, from, progress };
        job.count_stored(pieces)?;
        if let Err(error) = job.rehearse(pieces).await {
            if job.places.leases.is_empty() && job.places.open_payments.is_empty() {
                // Nothing was paid: there is nothing to go on with.
                self.give_up(upload).await?;
            }
            return Err(error);
        }
        let mut steps = 0;
        while let Some(step) = job.next_step(pieces) {
            if steps > 0 && !at_once {
                return Err(job.still_storing(pieces));
            }
            job.run(step, pieces).await?;
            job.places = self.places(&upload.id).await?;
            steps += 1;
        }
        job.ends(pieces).await
    }

    /// Where the parts of an upload stand, by what is recorded.
    pub(super) async fn places(&self, upload: &UploadId) -> Result<Places, WalletError> {
        let mut places = Places::default();
        for lease in self.store.all::<LeaseRecord>().await? {
            if let Some(chunk) = chunk_of(&lease).filter(|chunk| chunk.upload == *upload) {
                places.leases.insert((chunk.part, chunk.copy), (lease.id, chunk.uploaded));
            }
        }
        for payment in self.store.all::<PaymentRecord>().await? {
            if let (PaymentState::InFlight { .. }, Some(Purpose::Chunk { chunk })) =
                (&payment.state, &payment.purpose)
                && chunk.upload == *upload
            {
                places.open_payments.insert((chunk.part, chunk.copy), payment.id);
            }
        }
        Ok(places)
    }
}

impl Job<'_> {
    /// Whether there is enough for all that is not paid yet, and what it will really cost. Each chunk is a payment of its
    /// own and there is no change: where small certificates run out, large ones pay for small chunks. By the stored offers: nobody
    /// is called.
    async fn rehearse(&self, pieces: &[Piece]) -> Result<(), WalletError> {
        let descriptor = descriptor_class(self.upload, pieces)?;
        let parts = pieces.iter().map(|piece| (Part::Chunk(piece.index), piece.class));
        let parts: Vec<_> = parts.chain([(Part::Descriptor, descriptor)]).collect();
        let mut prices = Vec::new();
        for copy in 0..self.copies() {
            let begun = |part: &Part| {
                let place = (*part, copy);
                self.places.leases.contains_key(&place)
                    || self.places.open_payments.contains_key(&place)
            };
            let due: Vec<_> = parts.iter().filter(|(part, _)| !begun(part)).collect();
            if due.is_empty() {
                continue;
            }
            let offer = self.offer(self.address(copy)?).await?;
            prices.extend(due.into_iter().map(|(_, class)| {
                let price = PriceList::price(offer.info.prices.chunk(*class), self.upload.days);
                (offer.address.id, price)
            }));
        }
        let price = Credits::total(prices.iter().map(|(_, price)| *price));
        let purse = self.wallet.purse.lock().await;
        let paid = purse.rehearse(prices, self.wallet.now(), self.from)?;
        if is_excessive(paid, price) {
            self.wallet.watch().warn(format!(
                "this costs {price} and takes {paid}, as the wallet has too few small certificates; \
                 what is paid too much makes leases longer"
            ));
        }
        Ok(())
    }

    /// What comes next: the chunks of one copy after the other, or any one of them; then the descriptors, each of which names the
    /// places of all chunks.
    fn next_step(&self, pieces: &[Piece]) -> Option<Step> {
        let missing = |copy: u8| -> Vec<Piece> {
            let stored = |piece: &&Piece| self.places.is_stored(Part::Chunk(piece.index), copy);
            pieces.iter().filter(|piece| !stored(piece)).copied().collect()
        };
        let mut copies: Vec<(u8, Vec<Piece>)> =
            (0..self.copies()).map(|copy| (copy, missing(copy))).collect();
        copies.retain(|(_, missing)| !missing.is_empty());
        if !copies.is_empty() && self.upload.pace == Pace::Apart {
            let mut all: Vec<(u8, Piece)> = Vec::new();
            for (copy, missing) in copies {
                all.extend(missing.into_iter().map(|piece| (copy, piece)));
            }
            let mut entropy = self.wallet.environment.entropy.clone();
            let last = all.len().saturating_sub(1) as u64;
            let at = usize::try_from(draw(&(0..=last), &mut entropy)).unwrap_or(0);
            return all.get(at).map(|(copy, piece)| Step::Chunks(*copy, vec![*piece]));
        }
        if let Some((copy, missing)) = copies.into_iter().next() {
            return Some(Step::Chunks(copy, missing));
        }
        let described = |copy: &u8| self.places.is_stored(Part::Descriptor, *copy);
        (0..self.copies()).find(|copy| !described(copy)).map(Step::Descriptor)
    }

    /// One step, over connections of its own. The last chunks of a file and its descriptor there are one step.
    async fn run(&mut self, step: Step, pieces: &[Piece]) -> Result<(), WalletError> {
        let (Step::Chunks(copy, _) | Step::Descriptor(copy)) = &step;
        let (copy, address) = (*copy, self.address(*copy)?.clone());
        let clock = self.wallet.environment.clock.clone();
        let client = self.wallet.network().await.relay(&address, clock)?;
        let info = self.newest_offer(&client).await?;
        let relay = Seller { client, info };
        if let Step::Chunks(_, missing) = step {
            let brought = stream::iter(missing)
                .map(|piece| self.bring_piece(piece, copy, &relay))
                .buffered(PARALLEL)
                .try_collect::<Vec<LeaseRecord>>()
                .await;
            brought?;
            self.places = self.wallet.places(&self.upload.id).await?;
            let follows = matches!(self.next_step(pieces), Some(Step::Descriptor(_)));
            if !follows || self.upload.pace == Pace::Apart {
                return Ok(());
            }
        }
        let content = self.describe(pieces).await?;
        let class = fitting_class(content.len()).ok_or(WalletError::FileTooLarge)?;
        self.bring_descriptor(copy, class, &content, &relay).await?;
        Ok(())
    }

    /// What the relay asks for now: its stored offer where that is a day old at most. Where it has become dearer, and nothing of this
    /// file is paid, the choice is made again; else the purse must pay the new price.
    async fn newest_offer(&self, client: &RelayClient) -> Result<RelayInfo, WalletError> {
        let wallet = self.wallet;
        let name = client.address().to_string();
        let known = wallet.store.get::<RelayRecord>(name.as_bytes()).await?;
        let is_new = |heard: UnixSeconds| wallet.now().0.abs_diff(heard.0) <= SECONDS_PER_DAY;
        if let Some(RelayRecord { info: Some(info), heard, .. }) = &known
            && heard.is_some_and(is_new)
        {
            return Ok(info.clone());
        }
        let before = self.offer(client.address()).await?.info;
        let record = wallet.hear_offer(client).await?;
        let now = wallet.offer_of(client.address(), Some(record), self.upload.days).await?.info;
        let of_all = |info: &RelayInfo| -> u64 {
            let classes = SizeClass::ALL.into_iter();
            classes.map(|class| u64::from(info.prices.chunk(class))).sum()
        };
        let (asked, announced) = (Credits(of_all(&now)), Credits(of_all(&before)));
        let nothing_paid = self.places.leases.is_empty() && self.places.open_payments.is_empty();
        if asked > announced && nothing_paid {
            let relay = Box::new(client.address().clone());
            return Err(WalletError::PriceAboveAnnounced { relay, asked, announced });
        }
        Ok(now)
    }

    pub(super) async fn offer(&self, relay: &RelayAddress) -> Result<Candidate, WalletError> {
        let known = self.wallet.store.get(relay.to_string().as_bytes()).await?;
        self.wallet.offer_of(relay, known, self.upload.days).await
    }

    /// For the progress bar: what needs not be sent any more.
    fn count_stored(&self, pieces: &[Piece]) -> Result<(), WalletError> {
        let descriptor = descriptor_class(self.upload, pieces)?;
        for copy in 0..self.copies() {
            let parts = pieces.iter().map(|piece| (Part::Chunk(piece.index), piece.class));
            for (part, class) in parts.chain([(Part::Descriptor, descriptor)]) {
                if self.places.is_stored(part, copy) {
                    self.progress.add(class.bytes() as u64);
                }
            }
        }
        Ok(())
    }

    fn still_storing(&self, pieces: &[Piece]) -> WalletError {
        let done = self.places.leases.values().filter(|(_, uploaded)| *uploaded).count();
        let parts = (pieces.len() + 1) * self.upload.relays.len();
        WalletError::StillStoring { name: self.upload.name.clone(), done, parts }
    }

    async fn ends(&self, pieces: &[Piece]) -> Result<Ends, WalletError> {
        let mut leases = self.leases(pieces).await?;
        let mut descriptors = Vec::new();
        for copy in 0..self.copies() {
            descriptors.push(self.lease_of(Part::Descriptor, copy).await?);
        }
        let class = descriptors.first().and_then(chunk_of).map(|chunk| chunk.class);
        let class = class.ok_or(WalletError::FileTooLarge)?;
        let copies = descriptors.iter().map(location).collect();
        leases.extend(descriptors);
        let until = leases.iter().map(|lease| lease.until).min().unwrap_or(self.wallet.now());
        if until <= self.wallet.now() {
            return Err(WalletError::UploadGivenUp(self.upload.path.clone()));
        }
        let paid = Credits::total(leases.iter().map(paid_for));
        let link = FileLink { size_class: class, copies, key: self.upload.key.duplicate() };
        Ok(Ends { link: link.to_string(), until, paid })
    }

    /// The leases of all chunks: of each chunk, those of all copies.
    async fn leases(&self, pieces: &[Piece]) -> Result<Vec<LeaseRecord>, WalletError> {
        let mut leases = Vec::new();
        for piece in pieces {
            for copy in 0..self.copies() {
                leases.push(self.lease_of(Part::Chunk(piece.index), copy).await?);
            }
        }
        Ok(leases)
    }

    async fn lease_of(&self, part: Part, copy: u8) -> Result<LeaseRecord, WalletError> {
        let gone = || WalletError::UploadGivenUp(self.upload.path.clone());
        let (id, _) = self.places.leases.get(&(part, copy)).ok_or_else(gone)?;
        self.wallet.lease(id).await?.ok_or_else(gone)
    }

    fn address(&self, copy: u8) -> Result<&RelayAddress, WalletError> {
        let needed = self.upload.relays.len();
        let usable = needed.min(usize::from(copy));
        let address = self.upload.relays.get(usize::from(copy));
        address.ok_or(WalletError::TooFewRelays { needed, usable })
    }

    pub(super) async fn bring_piece(
        &self,
        piece: Piece,
        copy: u8,
        relay: &Seller,
    ) -> Result<LeaseRecord, WalletError> {
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
        self.bring(part, copy, relay, seal).await
    }

    pub(super) async fn bring_descriptor(
        &self,
        copy: u8,
        class: SizeClass,
        content: &[u8],
        relay: &Seller,
    ) -> Result<LeaseRecord, WalletError> {
        let seal = async || {
            let keys = FileKeys::new(&self.upload.key, copy);
            let sealed = keys.seal_descriptor(class, content);
            Ok(Sealed::new(Part::Descriptor, copy, class, &keys.descriptor_reader(), sealed))
        };
        self.bring(Part::Descriptor, copy, relay, seal).await
    }

    /// The descriptor; from the leases alone, so that it is the same when an upload goes on.
    pub(super) async fn describe(&self, pieces: &[Piece]) -> Result<Vec<u8>, WalletError> {
        let leases = self.leases(pieces).await?;
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
