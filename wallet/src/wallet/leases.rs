//! Leases: what there is, what the relays say about them, and more time for them.

use std::collections::{BTreeMap, BTreeSet};

use scrip_protocol::{
    address::RelayAddress,
    credits::Credits,
    id::ResourceId,
    keys::PublicKey,
    receipt::{Receipt, ReceiptEvent},
    redemption::ConflictProof,
    resource::{LeaseStatus, PriceList, ResourceKind, ResourceRequest},
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use serde::Serialize;

use super::{
    Culprit, Doubtful, Wallet,
    pay::Order,
    put::is_uploaded,
    queue::is_gone,
    relays::{CHOICES, Candidate},
};
use crate::{
    error::WalletError,
    net::{RelayClient, Route},
    privacy::{Privacy, When},
    purse::Choosable,
    records::{
        Blob, LeaseRecord, Part, PaymentRecord, Purpose, Resource, UploadId, UploadRecord,
        WantedTime,
    },
    store::Changes,
};

/// What a relay said about a certificate that had been spent before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The certificate.
    pub certificate: PublicKey,
    /// What the relay took away for it.
    pub credits: Credits,
    /// Who had refused what the proof shows, under its signature, and used it all the same, if it was that: the relay of a payment of
    /// this wallet with the certificate, or the vendor, of a renewal.
    pub culprit: Option<Culprit>,
    /// Whether the proof holds: a copy of this wallet spent the certificate for something else. If not, the relay has
    /// signed a false claim, and the receipt proves that.
    pub proven: bool,
}

/// A lease as the wallet knows it.
#[derive(Clone, Debug, Serialize)]
pub struct LeaseReport {
    /// Its address at the relay.
    pub lease: ResourceId,
    /// `queue` or `chunk`.
    pub kind: &'static str,
    /// The queue's or the file's name.
    pub name: String,
    /// The stored file that a chunk belongs to.
    pub upload: Option<UploadId>,
    /// The chunk's size in bytes.
    pub bytes: Option<usize>,
    /// Where it is.
    pub relay: RelayAddress,
    /// When it ends or ended.
    pub until: UnixSeconds,
    /// Whether it has not ended, as far as the wallet knows.
    pub live: bool,
    /// For how many days more it will be paid, at a time of its own.
    pub wanted: Option<u16>,
    /// What was paid for it, extensions included, as far as there are receipts.
    pub paid: Credits,
    /// Double spends that the relay reported, as far as the wallet was told.
    pub conflicts: Vec<Conflict>,
}

impl Wallet {
    /// The leases that `target` means (a queue's name, a stored file's name or id, the beginning of a lease), or all;
    /// those that end first at the front.
    ///
    /// # Errors
    /// [`WalletError::Store`], [`WalletError::Unknown`].
    pub async fn leases(&self, target: Option<&str>) -> Result<Vec<LeaseReport>, WalletError> {
        let leases = self.meant(target).await?;
        self.reports(leases).await
    }

    async fn meant(&self, target: Option<&str>) -> Result<Vec<LeaseRecord>, WalletError> {
        match target {
            Some(target) => self.leases_of(target).await,
            None => Ok(self.store.all().await?),
        }
    }

    /// Asks the relays about the leases that `target` means, or about all.
    ///
    /// # Errors
    /// [`WalletError`]. A relay that gives no answer leaves its leases as they were, with a warning.
    pub async fn check_leases(
        &self,
        target: Option<&str>,
    ) -> Result<Vec<LeaseReport>, WalletError> {
        let leases = self.meant(target).await?;
        self.check_all(leases).await
    }

    /// Asks one relay about its leases among those that `target` means: `relay`, or else the one that was asked the longest ago, whether
    /// or not it answered then. Also says at how many others there are such leases. Who asks all at one moment shows all that compare
    /// which leases are one wallet's; the relays of one file, too.
    ///
    /// # Errors
    /// As [`Wallet::check_leases`].
    pub async fn check_one_relay(
        &self,
        target: Option<&str>,
        relay: Option<&RelayAddress>,
    ) -> Result<(Vec<LeaseReport>, usize), WalletError> {
        let leases = self.meant(target).await?;
        let mut relays: BTreeMap<RelayAddress, Option<UnixSeconds>> = BTreeMap::new();
        for lease in leases.iter().filter(|lease| lease.live) {
            let oldest = relays.entry(lease.relay.clone()).or_insert(lease.asked);
            *oldest = (*oldest).min(lease.asked);
        }
        let oldest = relays.iter().min_by_key(|(_, asked)| **asked).map(|(relay, _)| relay);
        let next = relay.or(oldest);
        let others = relays.keys().filter(|relay| Some(*relay) != next).count();
        let of_next = leases.into_iter().filter(|lease| Some(&lease.relay) == next).collect();
        Ok((self.check_all(of_next).await?, others))
    }

    async fn check_all(
        &self,
        mut leases: Vec<LeaseRecord>,
    ) -> Result<Vec<LeaseReport>, WalletError> {
        let mut clients = BTreeMap::new();
        for lease in leases.iter_mut().filter(|lease| lease.live) {
            let asked = Some(self.now());
            *lease = self.change_lease(&lease.id, |lease| lease.asked = asked).await?;
            let client = self.client_for(lease, &mut clients).await?;
            let status = match client.lease(&lease.id, &lease.owner_key()).await {
                Ok(status) => Some(status),
                Err(error) if is_gone(&error) => None,
                Err(error) => {
                    self.watch().warn(format!("{}: {error}", lease.relay.authority));
                    continue;
                }
            };
            let mut valid = Ok(());
            let asked_at = lease.until;
            let take = |lease: &mut LeaseRecord| match status {
                Some(status) => valid = take_over(lease, status, asked_at),
                None => lease.live = false,
            };
            *lease = self.change_lease(&lease.id, take).await?;
            self.at("wallet.lease.checked");
            if let Err(error) = valid {
                self.watch().warn(error.to_string());
            }
        }
        self.reports(leases).await
    }

    /// Changes a lease's record as it stands now: between reading and writing, nobody else writes it.
    pub(super) async fn change_lease(
        &self,
        id: &ResourceId,
        change: impl FnOnce(&mut LeaseRecord),
    ) -> Result<LeaseRecord, WalletError> {
        // Extensions are settled under the same lock.
        let alone = self.lock_purse().await;
        let unknown = || WalletError::Unknown { what: "lease", name: id.to_string() };
        let mut lease = self.lease(id).await?.ok_or_else(unknown)?;
        let state = |lease: &LeaseRecord| {
            let (receipts, uploaded) = (lease.receipts.len(), is_uploaded(lease));
            (lease.until, lease.live, receipts, uploaded, lease.wanted, lease.asked)
        };
        let before = state(&lease);
        change(&mut lease);
        if before != state(&lease) {
            self.commit_purse(alone, Changes::default().put(&lease), Vec::new()).await?;
        }
        Ok(lease)
    }

    /// Pays for more time. For a stored file, for each of its leases; where that is interrupted, the same again extends
    /// only the rest. Of a file at several relays, the first is paid, and the others follow at their own times, unless `when` says now.
    /// `accept_excess` says whether to pay far more than the price where there are no smaller certificates.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn extend(
        &self,
        target: &str,
        days: u16,
        doubtful: Doubtful,
        accept_excess: bool,
        when: When,
    ) -> Result<Vec<LeaseReport>, WalletError> {
        let from = self.choosable(doubtful, when).await;
        let from = Choosable { excess: accept_excess, ..from };
        let leases = self.leases_of(target).await?;
        let first_end = leases.iter().map(|lease| lease.until).min().unwrap_or(self.now());
        let goal = first_end.plus(u64::from(days) * SECONDS_PER_DAY);
        let at_once = when == When::Now || self.privacy().await == Privacy::Off;
        let first = leases.iter().find(|lease| lease.until < goal).map(|one| one.relay.clone());
        let mut extended = Vec::new();
        let mut clients = BTreeMap::new();
        for lease in leases {
            if lease.until >= goal {
                extended.push(lease);
            } else if at_once || first.as_ref() == Some(&lease.relay) {
                extended.push(self.extend_one(lease, days, from, &mut clients).await?);
            } else {
                let wanted = WantedTime { days, excess: accept_excess };
                let wanted = |lease: &mut LeaseRecord| lease.wanted = Some(wanted);
                extended.push(self.change_lease(&lease.id, wanted).await?);
            }
        }
        self.reports(extended).await
    }

    /// Pays for more time for one lease, at the price of its relay's stored offer, or at that of its new one.
    async fn extend_one(
        &self,
        lease: LeaseRecord,
        days: u16,
        from: Choosable,
        clients: &mut BTreeMap<Group, RelayClient>,
    ) -> Result<LeaseRecord, WalletError> {
        let mut choices = 0;
        loop {
            choices += 1;
            let known = self.store.get(lease.relay.to_string().as_bytes()).await?;
            let Candidate { info, .. } = self.offer_of(&lease.relay, known, days).await?;
            let per_period = per_period(&lease.resource, &info.prices);
            let price = PriceList::price(per_period, days);
            self.rehearse(price, from, &lease.relay.id).await?;
            let order = Order {
                client: &self.client_for(&lease, clients).await?,
                info: &info,
                route: Route::Extensions,
                request: ResourceRequest {
                    days,
                    kind: ResourceKind::Extension { lease_id: lease.id },
                },
                per_period,
                from,
            };
            let wanted = [lease.relay.clone()];
            match self.ask_and_pay(order, Purpose::Extension { lease: lease.id }).await {
                Err(error)
                    if choices < CHOICES && self.may_choose_again(&wanted, &error).await? => {}
                other => return other,
            }
        }
    }

    /// The files, each at one relay, whose leases wait for their extension.
    pub(super) async fn waiting_extensions(
        &self,
    ) -> Result<BTreeSet<(UploadId, RelayAddress)>, WalletError> {
        let waits = |lease: &LeaseRecord| match &lease.resource {
            Resource::Chunk { chunk } if lease.wanted.is_some() && lease.is_live(self.now()) => {
                Some((chunk.upload, lease.relay.clone()))
            }
            _ => None,
        };
        Ok(self.store.all::<LeaseRecord>().await?.iter().filter_map(waits).collect())
    }

    /// Extends what waits of a file at one relay.
    pub(super) async fn extend_waiting(
        &self,
        upload: UploadId,
        relay: &RelayAddress,
    ) -> Result<Vec<LeaseReport>, WalletError> {
        let from = self.choosable(Doubtful::Keep, When::InTime).await;
        let mut extended = Vec::new();
        let mut clients = BTreeMap::new();
        for lease in self.store.all::<LeaseRecord>().await? {
            let group = group_of(&lease);
            if let Some(WantedTime { days, excess }) = lease.wanted
                && group == (relay.clone(), Some(upload), None)
                && lease.is_live(self.now())
            {
                let from = Choosable { excess, ..from };
                extended.push(self.extend_one(lease, days, from, &mut clients).await?);
            }
        }
        self.reports(extended).await
    }

    /// The leases that `target` means: a queue's name, a stored file's name or id, or the beginning of a lease.
    async fn leases_of(&self, target: &str) -> Result<Vec<LeaseRecord>, WalletError> {
        let uploads = self.store.all::<UploadRecord>().await?;
        let uploads: Vec<UploadId> = uploads
            .iter()
            .filter(|upload| upload.name == target || upload.id.to_string() == target)
            .map(|upload| upload.id)
            .collect();
        if uploads.len() > 1 {
            return Err(WalletError::Ambiguous { name: target.to_owned() });
        }
        let leases = self.store.all::<LeaseRecord>().await?;
        let (mut named, mut by_id) = (Vec::new(), Vec::new());
        for lease in leases {
            let is_named = match &lease.resource {
                Resource::Queue { queue } => lease.is_live(self.now()) && queue.name == target,
                Resource::Chunk { chunk } => uploads.contains(&chunk.upload),
            };
            if is_named {
                named.push(lease);
            } else if target.len() >= 4 && lease.id.to_string().starts_with(target) {
                by_id.push(lease);
            }
        }
        match (named.len(), by_id.len()) {
            (0, 0) => Err(WalletError::Unknown { what: "lease", name: target.to_owned() }),
            (0, 1) => Ok(by_id),
            (0, _) => Err(WalletError::Ambiguous { name: target.to_owned() }),
            _ => Ok(named),
        }
    }

    /// One client for all chunks of a file at a relay, and one for each queue.
    async fn client_for(
        &self,
        lease: &LeaseRecord,
        clients: &mut BTreeMap<Group, RelayClient>,
    ) -> Result<RelayClient, WalletError> {
        let group = group_of(lease);
        if let Some(client) = clients.get(&group) {
            return Ok(client.clone());
        }
        let clock = self.environment.clock.clone();
        let client = self.network().await.relay(&lease.relay, clock)?;
        clients.insert(group, client.clone());
        Ok(client)
    }

    pub(super) async fn reports(
        &self,
        leases: Vec<LeaseRecord>,
    ) -> Result<Vec<LeaseReport>, WalletError> {
        let uploads = self.store.all::<UploadRecord>().await?;
        let names: BTreeMap<UploadId, String> =
            uploads.into_iter().map(|upload| (upload.id, upload.name)).collect();
        let mut reports = Vec::new();
        for lease in leases {
            let conflicts = self.conflicts(&lease).await?;
            reports.push(self.report(&lease, &names, conflicts));
        }
        reports.sort_by_key(|report| (report.until, report.lease));
        Ok(reports)
    }

    fn report(
        &self,
        lease: &LeaseRecord,
        names: &BTreeMap<UploadId, String>,
        conflicts: Vec<Conflict>,
    ) -> LeaseReport {
        let (kind, name, upload, bytes) = match &lease.resource {
            Resource::Queue { queue } => ("queue", queue.name.clone(), None, None),
            Resource::Chunk { chunk } => {
                let file = names.get(&chunk.upload).map_or("a file", String::as_str);
                let name = match chunk.part {
                    Part::Chunk(index) => {
                        format!("{file}, chunk {}, copy {}", index + 1, chunk.copy + 1)
                    }
                    Part::Descriptor => format!("{file}, descriptor, copy {}", chunk.copy + 1),
                };
                ("chunk", name, Some(chunk.upload), Some(chunk.class.bytes()))
            }
        };
        LeaseReport {
            lease: lease.id,
            kind,
            name,
            upload,
            bytes,
            relay: lease.relay.clone(),
            until: lease.until,
            live: lease.is_live(self.now()),
            wanted: lease.wanted.map(|wanted| wanted.days),
            paid: paid_for(lease),
            conflicts,
        }
    }

    /// What the receipts say of double spends, each proof checked against what this wallet paid with.
    async fn conflicts(&self, lease: &LeaseRecord) -> Result<Vec<Conflict>, WalletError> {
        let mut conflicts = Vec::new();
        for receipt in lease.receipts.iter().filter_map(|receipt| open(lease, &receipt.0)) {
            let accuses = matches!(receipt.event, ReceiptEvent::Shortened | ReceiptEvent::Ended);
            if !accuses || receipt.detail.is_empty() {
                continue;
            }
            let Ok(proof) = ConflictProof::decode(&receipt.detail) else { continue };
            let payment: Option<PaymentRecord> =
                self.store.get(receipt.payment_id.as_bytes()).await?;
            let own = payment.and_then(|payment| {
                payment.certificates.into_iter().find(|one| one.key == proof.certificate_key)
            });
            let proven =
                own.is_some_and(|own| proof.verify(own.key.as_bytes(), &own.binding).is_ok());
            let culprit = if proven { self.catch(&proof).await? } else { None };
            conflicts.push(Conflict {
                certificate: proof.certificate_key,
                credits: Credits(receipt.credits.into()),
                culprit,
                proven,
            });
        }
        Ok(conflicts)
    }
}

/// What may share a connection: the chunks of a file at a relay, or a queue.
type Group = (RelayAddress, Option<UploadId>, Option<ResourceId>);

fn group_of(lease: &LeaseRecord) -> Group {
    match &lease.resource {
        Resource::Queue { .. } => (lease.relay.clone(), None, Some(lease.id)),
        Resource::Chunk { chunk } => (lease.relay.clone(), Some(chunk.upload), None),
    }
}

const fn per_period(resource: &Resource, prices: &PriceList) -> u32 {
    match resource {
        Resource::Queue { .. } => prices.queue,
        Resource::Chunk { chunk } => prices.chunk(chunk.class),
    }
}

/// What the relay says, if each receipt is signed by its operator. Where the lease was extended meanwhile, the answer may be
/// older than that: then only the receipts count. `asked_at` is the end that was known when the relay was asked.
fn take_over(
    lease: &mut LeaseRecord,
    status: LeaseStatus,
    asked_at: UnixSeconds,
) -> Result<(), WalletError> {
    let LeaseStatus { live, missing, lease_until, receipts } = status;
    if receipts.iter().any(|receipt| open(lease, receipt).is_none()) {
        return Err(WalletError::BadReceipt {
            relay: lease.relay.clone().into(),
            reason: "the lease's status holds one that is not its operator's",
        });
    }
    if lease.until == asked_at {
        lease.live = live;
        lease.until = lease_until;
    }
    if missing && let Resource::Chunk { chunk } = &mut lease.resource {
        chunk.uploaded = false;
    }
    // Receipts are evidence: what the relay leaves out is kept.
    for receipt in receipts.into_iter().map(Blob) {
        if !lease.receipts.contains(&receipt) {
            lease.receipts.push(receipt);
        }
    }
    Ok(())
}

/// What the receipts say was paid for a lease.
pub(super) fn paid_for(lease: &LeaseRecord) -> Credits {
    let receipts = lease.receipts.iter().filter_map(|receipt| open(lease, &receipt.0));
    let payments = receipts.filter(|receipt| {
        matches!(receipt.event, ReceiptEvent::Provisioned | ReceiptEvent::Extended)
    });
    Credits::total(payments.map(|receipt| Credits(receipt.credits.into())))
}

/// A receipt about this lease, signed by its operator.
fn open(lease: &LeaseRecord, receipt: &[u8]) -> Option<Receipt> {
    Receipt::open(receipt, &lease.operator_key).ok().filter(|receipt| receipt.lease_id == lease.id)
}
