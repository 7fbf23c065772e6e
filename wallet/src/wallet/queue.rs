//! Message queues.

use std::time::Duration;

use scrip_protocol::{
    address::RelayAddress,
    credits::Credits,
    id::{MessageId, ResourceId},
    keys::SigningKey,
    problem::{Fault, ProblemType},
    resource::{PriceList, ResourceKind, ResourceRequest},
    time::UnixSeconds,
};
use serde::Serialize;

use super::{
    Doubtful, Environment, Wallet,
    leases::paid_for,
    pay::Order,
    relays::{CHOICES, Candidate},
};
use crate::{
    error::WalletError,
    link::{QueueLink, fits_link},
    message::{self, MessageError},
    net::{CallError, Network, RelayClient, Route},
    privacy::When,
    purse::Choosable,
    records::{LeaseRecord, PaymentRecord, PaymentState, Purpose, QueueKeys, Resource, Subject},
    secret::Secret,
};

/// How often a message is sent; the relay knows it again by its nonce.
const SEND_ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);

/// A queue that is about to be made.
#[derive(Clone, Debug, Default)]
pub struct NewQueue {
    /// Its name in this wallet; one is made up where there is none.
    pub name: Option<String>,
    /// The relay; the cheapest where none is named.
    pub relay: Option<RelayAddress>,
    /// For how many days.
    pub days: u16,
    /// Whether certificates in doubt may pay.
    pub doubtful: Doubtful,
    /// Whether to pay far more than the price where the wallet has no smaller certificates.
    pub accept_excess: bool,
    /// Whether certificates that are not ripe may pay.
    pub when: When,
}

/// A queue that was made.
#[derive(Clone, Debug, Serialize)]
pub struct CreatedQueue {
    /// Its name in this wallet.
    pub name: String,
    /// Its lease.
    pub lease: ResourceId,
    /// Where it is.
    pub relay: RelayAddress,
    /// What senders need.
    pub link: String,
    /// When the lease ends.
    pub until: UnixSeconds,
    /// What was paid for it.
    pub paid: Credits,
}

/// A queue of this wallet.
#[derive(Clone, Debug, Serialize)]
pub struct QueueReport {
    /// Its name in this wallet.
    pub name: String,
    /// Its lease.
    pub lease: ResourceId,
    /// Where it is.
    pub relay: RelayAddress,
    /// What senders need.
    pub link: String,
    /// When the lease ends.
    pub until: UnixSeconds,
    /// Whether it has not ended.
    pub live: bool,
}

/// A message that was read. It stays in the queue until it is acknowledged.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its name in the queue.
    pub id: MessageId,
    /// What it says, or why it does not open.
    pub text: Result<Vec<u8>, MessageError>,
}

/// The receiving end of one queue.
pub struct Mailbox {
    client: RelayClient,
    recipient_id: ResourceId,
    recipient_key: SigningKey,
    message_key: Secret,
}

impl Mailbox {
    /// The oldest message.
    ///
    /// # Errors
    /// [`WalletError::Call`].
    pub async fn next(&self) -> Result<Option<Received>, WalletError> {
        let found = self.client.receive_message(&self.recipient_id, &self.recipient_key).await;
        let found = found.map_err(self.failed())?;
        Ok(found.map(|(id, block)| Received { id, text: message::open(&self.message_key, &block) }))
    }

    /// Takes a message that was dealt with out of the queue.
    ///
    /// # Errors
    /// [`WalletError::Call`].
    pub async fn acknowledge(&self, id: &MessageId) -> Result<(), WalletError> {
        let done =
            self.client.acknowledge_message(&self.recipient_id, &self.recipient_key, id).await;
        done.map_err(self.failed())
    }

    fn failed(&self) -> impl FnOnce(CallError) -> WalletError + use<> {
        WalletError::call(&self.client.address().authority)
    }
}

impl Wallet {
    /// Pays for a queue: chooses a relay by the stored offers, sees whether the purse pays it, and only then calls that relay.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn create_queue(&self, new: NewQueue) -> Result<CreatedQueue, WalletError> {
        let name = self.free_name(new.name).await?;
        let wanted: Vec<RelayAddress> = new.relay.into_iter().collect();
        let from = self.choosable(new.doubtful, new.when).await;
        let from = Choosable { excess: new.accept_excess, ..from };
        let price = |prices: &PriceList| u64::from(prices.queue);
        let mut choices = 0;
        let lease = loop {
            choices += 1;
            let relays = self.candidates(&wanted, 1, new.days, from, price).await?;
            let relay = relays.first().ok_or(WalletError::TooFewRelays { needed: 1, usable: 0 })?;
            match self.queue_at(relay, &name, new.days, from).await {
                Err(error)
                    if choices < CHOICES && self.may_choose_again(&wanted, &error).await? => {}
                other => break other?,
            }
        };
        let paid = paid_for(&lease);
        let report = report(&lease, self.now()).ok_or(WalletError::OtherAnswer)?;
        let QueueReport { name, lease, relay, link, until, .. } = report;
        Ok(CreatedQueue { name, lease, relay, link, until, paid })
    }

    /// Pays for a queue at this relay, under keys that no other relay has seen.
    async fn queue_at(
        &self,
        relay: &Candidate,
        name: &str,
        days: u16,
        from: Choosable,
    ) -> Result<LeaseRecord, WalletError> {
        if !fits_link(&relay.address) {
            return Err(WalletError::AddressTooLong(relay.address.clone().into()));
        }
        let price = PriceList::price(relay.info.prices.queue, days);
        self.rehearse(price, from, &relay.address.id).await?;
        let mut entropy = self.environment.entropy.clone();
        let queue = QueueKeys {
            name: name.to_owned(),
            recipient: Secret::generate(&mut entropy),
            sender: Secret::generate(&mut entropy),
            message: Secret::generate(&mut entropy),
        };
        let kind = ResourceKind::Queue {
            recipient_key: SigningKey::from_seed(queue.recipient.as_bytes()).public(),
            sender_key: SigningKey::from_seed(queue.sender.as_bytes()).public(),
        };
        let clock = self.environment.clock.clone();
        let client = self.network().await.relay(&relay.address, clock)?;
        let order = Order {
            client: &client,
            info: &relay.info,
            route: Route::Queues,
            request: ResourceRequest { days, kind },
            per_period: relay.info.prices.queue,
            from,
        };
        self.ask_and_pay(order, Purpose::Queue { queue }).await
    }

    /// The queues of this wallet, by name.
    ///
    /// # Errors
    /// [`WalletError::Store`].
    pub async fn queues(&self) -> Result<Vec<QueueReport>, WalletError> {
        let leases = self.store.all::<LeaseRecord>().await?;
        let mut queues: Vec<QueueReport> =
            leases.iter().filter_map(|lease| report(lease, self.now())).collect();
        queues.sort_by(|a, b| (&a.name, a.lease).cmp(&(&b.name, b.lease)));
        Ok(queues)
    }

    /// The receiving end of a queue, by its name or the beginning of its lease.
    ///
    /// # Errors
    /// [`WalletError::Unknown`].
    pub async fn mailbox(&self, name: &str) -> Result<Mailbox, WalletError> {
        let lease = self.queue(name).await?;
        let keys = keys(&lease).ok_or(WalletError::OtherAnswer)?;
        let network = self.network().await;
        Ok(Mailbox {
            client: network.relay(&lease.relay, self.environment.clock.clone())?,
            recipient_id: lease.id,
            recipient_key: SigningKey::from_seed(keys.recipient.as_bytes()),
            message_key: keys.message.duplicate(),
        })
    }

    /// Ends a queue's lease. What is left of it is not refunded.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn delete_queue(&self, name: &str) -> Result<QueueReport, WalletError> {
        let lease = self.queue(name).await?;
        let network = self.network().await;
        let client = network.relay(&lease.relay, self.environment.clock.clone())?;
        let key = lease.owner_key();
        match client.delete_lease(&lease.id, &key).await {
            Err(error) if !is_gone(&error) => {
                return Err(WalletError::call(&lease.relay.authority)(error));
            }
            _ => {}
        }
        let lease = self.change_lease(&lease.id, |lease| lease.live = false).await?;
        self.at("wallet.lease.deleted");
        report(&lease, self.now()).ok_or(WalletError::OtherAnswer)
    }

    /// The queue that `name` means: a live one of this name, or one whose lease starts so.
    async fn queue(&self, name: &str) -> Result<LeaseRecord, WalletError> {
        let queues = self.queues().await?;
        let means = |queue: &&QueueReport| {
            (queue.name == name && queue.live)
                || (name.len() >= 4 && queue.lease.to_string().starts_with(name))
        };
        let mut found = queues.iter().filter(means);
        let unknown = || WalletError::Unknown { what: "queue", name: name.to_owned() };
        match (found.next(), found.next()) {
            (Some(queue), None) => self.lease(&queue.lease).await?.ok_or_else(unknown),
            (Some(_), Some(_)) => Err(WalletError::Ambiguous { name: name.to_owned() }),
            (None, _) => Err(unknown()),
        }
    }

    /// A name that no live queue has, and none that is being paid for.
    async fn free_name(&self, wanted: Option<String>) -> Result<String, WalletError> {
        let mut taken: Vec<String> = self
            .queues()
            .await?
            .into_iter()
            .filter(|queue| queue.live)
            .map(|queue| queue.name)
            .collect();
        for payment in self.store.all::<PaymentRecord>().await? {
            if let (PaymentState::InFlight { .. }, Subject::Queue { name }) =
                (payment.state, payment.subject)
            {
                taken.push(name);
            }
        }
        match wanted {
            Some(name) if taken.contains(&name) => Err(WalletError::NameTaken(name)),
            Some(name) => Ok(name),
            None => {
                let name = (1_u64..).map(|n| format!("queue-{n}")).find(|n| !taken.contains(n));
                name.ok_or_else(|| WalletError::NameTaken("queue".to_owned()))
            }
        }
    }
}

/// Sends a message to whoever made `link`. Needs no wallet.
///
/// # Errors
/// [`WalletError::Message`] where it is too long; [`WalletError::Call`].
pub async fn send_to_queue(
    link: &QueueLink,
    text: &[u8],
    network: &Network,
    environment: &Environment,
) -> Result<(), WalletError> {
    let block = message::seal(&link.message_key, text, &environment.entropy)?;
    let client = network.relay(&link.relay, environment.clock.clone())?;
    let key = SigningKey::from_seed(link.sender_key.as_bytes());
    let nonce = environment.entropy.bytes();
    let mut attempt = 0;
    loop {
        environment.steps.at("wallet.message.before_send");
        let sent = client.send_message(&link.sender_id, &key, block.clone(), nonce).await;
        environment.steps.at("wallet.message.after_answer");
        attempt += 1;
        match sent {
            Err(error) if attempt < SEND_ATTEMPTS && may_pass(&error) => {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            other => return other.map_err(WalletError::call(&link.relay.authority)),
        }
    }
}

/// Whether the same request may succeed a moment later.
pub(crate) fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Transport(error) => !error.certainly_not_sent(),
        CallError::Problem(problem) => problem.problem.fault() == Fault::Server,
        CallError::Unexpected { status } => *status >= 500,
        CallError::Malformed(_) | CallError::Invalid(_) => false,
    }
}

pub(super) fn is_gone(error: &CallError) -> bool {
    error.problem().is_some_and(|problem| {
        matches!(problem.problem, ProblemType::LeaseEnded | ProblemType::ResourceNotFound)
    })
}

const fn keys(lease: &LeaseRecord) -> Option<&QueueKeys> {
    match &lease.resource {
        Resource::Queue { queue } => Some(queue),
        Resource::Chunk { .. } => None,
    }
}

fn report(lease: &LeaseRecord, now: UnixSeconds) -> Option<QueueReport> {
    let queue = keys(lease)?;
    let link = QueueLink {
        relay: lease.relay.clone(),
        sender_id: lease.other_id,
        sender_key: queue.sender.duplicate(),
        message_key: queue.message.duplicate(),
    };
    Some(QueueReport {
        name: queue.name.clone(),
        lease: lease.id,
        relay: lease.relay.clone(),
        link: link.to_string(),
        until: lease.until,
        live: lease.is_live(now),
    })
}
