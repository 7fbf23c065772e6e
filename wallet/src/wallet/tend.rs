//! What the wallet does by itself, each thing at a moment of its own and never two beside each other (spending.md, "What a
//! wallet contacts, and when").
//!
//! [`Chore`] is the list of all such things. [`Wallet::tend`] does the first that is due, and no other: one purpose, one party. It
//! rides on commands that call nobody else (`scrip balance` and the like), and `scrip tend` is for a timer. Moments are drawn here
//! and kept in one record; a chore says only between what bounds. To add one:
//!
//! 1. a variant of [`Chore`], with what tells it from others of its kind;
//! 2. in `todos`, which reads records and calls nobody: a [`Todo`] as long as there is something to do. When it is seen for the
//!    first time its moment is drawn from `first`; when it is done, from `again` for the next attempt, which is on disk before the
//!    call. What is no longer there is forgotten. What must be done by some time has a `first` that ends well before it;
//! 3. in `perform`: the work, at most one conversation with one party. What failed and may go well later is an entry of
//!    [`Tended::errors`].
//!
//! Every use of [`Wallet::network`] is a call: for [`Privacy::quiet`] seconds after it no chore is done.

use scrip_protocol::{
    address::RelayAddress,
    id::PaymentId,
    time::{SECONDS_PER_DAY, UnixSeconds},
};
use serde::{Serialize, Serializer};

use super::{
    Bought, Doubtful, LeaseReport, Looked, Renewed, Restored, Stored, Wallet,
    agreement::DAYS_A_LOOK, relays::KnownRelay, renew::LAST,
};
use crate::{
    error::WalletError,
    net::ListSource,
    privacy::{Pace, Privacy, Span, draw},
    records::{Chore, Moment, PaymentRecord, PaymentState, Purchase, TendingRecord},
    store::Changes,
};

const HOUR: u64 = 3_600;
/// Seconds within which what had been renewed in an earlier life is asked for again.
const RECOVERED_WITHIN: u64 = 5 * SECONDS_PER_DAY;

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct Tended {
    /// What a restore that is under way found.
    pub restored: Option<Restored>,
    /// What the vendor's lists say about certificates in doubt.
    pub looked: Option<Looked>,
    /// What was renewed, if anything was due.
    pub renewed: Option<Renewed>,
    /// The lease that an open payment made or extended.
    pub leases: Vec<LeaseReport>,
    /// An open purchase that came to its end.
    pub purchases: Vec<Bought>,
    /// A file whose last part is stored.
    pub files: Vec<Stored>,
    /// A file of which a part was stored: its name, how many parts are stored, and how many there are.
    pub storing: Option<(String, usize, usize)>,
    /// The relay that was asked for the vendor's manifest.
    pub manifest: Option<RelayAddress>,
    /// The relay that was asked about its offer.
    pub offer: Option<RelayAddress>,
    /// What is still open or failed, with its reason.
    #[serde(serialize_with = "messages")]
    pub errors: Vec<WalletError>,
    /// When something is due next.
    pub next: Option<UnixSeconds>,
}

fn messages<S: Serializer>(errors: &[WalletError], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(errors.iter().map(ToString::to_string))
}

/// Something that there is to do.
pub(super) struct Todo {
    pub(super) chore: Chore,
    /// Until its moment, from when it is first seen.
    pub(super) first: Span,
    /// Until the next attempt.
    pub(super) again: Span,
    /// Whether it is not done now, although its moment has come: it would be seen beside something else.
    pub(super) waits: bool,
}

/// What is done now, and when there is something next.
struct Plan {
    chosen: Option<Chore>,
    next: Option<UnixSeconds>,
    /// How much more there is that somebody waits for.
    others: usize,
}

/// Which chore is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// The first of those that are due.
    Due,
    /// Of those that somebody waits for, the one whose moment comes first; also what was open when a backup was made.
    Awaited,
}

impl Wallet {
    /// Does the first thing that is due, if anything is, and calls nobody else.
    ///
    /// # Errors
    /// [`WalletError`]; nothing is lost, and a later time goes on.
    pub async fn tend(&self) -> Result<Tended, WalletError> {
        Ok(self.tend_one(Which::Due).await?.0)
    }

    /// Goes on with one of the things that somebody waits for, whatever its moment; and how many more there are.
    pub(super) async fn tend_awaited(&self) -> Result<(Tended, usize), WalletError> {
        self.tend_one(Which::Awaited).await
    }

    async fn tend_one(&self, which: Which) -> Result<(Tended, usize), WalletError> {
        let Plan { chosen, next, others } = self.plan(which).await?;
        let tended = match chosen {
            Some(chore) => self.perform(chore).await?,
            None => Tended::default(),
        };
        Ok((Tended { next, ..tended }, others))
    }

    /// What there is to do, that which matters most first. Calls nobody.
    async fn todos(&self, which: Which) -> Result<Vec<Todo>, WalletError> {
        let privacy = self.privacy().await;
        let mut todos = Vec::new();
        let add = |todos: &mut Vec<Todo>, chore, first, again| {
            todos.push(Todo { chore, first, again, waits: false });
        };
        let soon = |todos: &mut Vec<Todo>, chore, least: u64, most: u64| {
            // What failed is not tried again at once at any level.
            let again = match privacy {
                Privacy::Off => least..=most,
                _ => privacy.span(least..=most),
            };
            let first = privacy.span(least..=most);
            todos.push(Todo { chore, first, again, waits: false });
        };
        if self.is_restoring().await? {
            let hours = privacy.span(HOUR..=11 * HOUR);
            add(&mut todos, Chore::Restore, hours.clone(), hours);
        }
        if self.lookups_are_due().await {
            add(&mut todos, Chore::Lists, privacy.span(0..=6 * HOUR), 6 * HOUR..=12 * HOUR);
        }
        let now = self.now();
        for one in self.renewable(Doubtful::Keep).await? {
            // Each somewhere in what is left of its window; what had been renewed before is asked for within some days.
            let left = match one.listed {
                true => RECOVERED_WITHIN,
                false => one.spend_until.minus(LAST).0.saturating_sub(now.0),
            };
            let first = if privacy == Privacy::Off { 0..=0 } else { 0..=left };
            add(&mut todos, Chore::Renewal(one.key), first, 6 * HOUR..=12 * HOUR);
        }
        for id in self.open_payments(which == Which::Awaited).await? {
            soon(&mut todos, Chore::Payment(id), 600, 2 * HOUR);
        }
        if self.relay_to_ask().await?.is_some() {
            // At every level: a manifest is never fetched because of something else, and so never in a hurry. Between two of these
            // there is time for a purchase.
            let most = DAYS_A_LOOK * SECONDS_PER_DAY;
            let waits = self.bought_lately().await?;
            let (first, again) = (6 * HOUR..=most, 30 * HOUR..=most);
            todos.push(Todo { chore: Chore::Manifest, first, again, waits });
        }
        let waits = !self.may_buy_by_itself().await?;
        for grant in self.open_purchases().await? {
            soon(&mut todos, Chore::Purchase(grant), 600, 4 * HOUR);
            if let Some(todo) = todos.last_mut() {
                todo.waits = waits;
            }
        }
        for (id, pace) in self.open_uploads().await? {
            let most = if pace == Pace::Apart { 2_400 } else { 3 * HOUR };
            soon(&mut todos, Chore::Upload(id), 600, most);
        }
        for (upload, relay) in self.waiting_extensions().await? {
            soon(&mut todos, Chore::Extension { upload, relay }, 600, 3 * HOUR);
        }
        if self.restock_is_due().await? {
            let (first, again) =
                (privacy.span(HOUR..=SECONDS_PER_DAY), SECONDS_PER_DAY..=3 * SECONDS_PER_DAY);
            todos.push(Todo { chore: Chore::Restock, first, again, waits });
        }
        for KnownRelay { record: relay, .. } in self.known_relays().await? {
            // Not at once at any level: it was asked when it was added, and each has a moment of its own.
            let days = match privacy {
                Privacy::Off | Privacy::Normal => SECONDS_PER_DAY..=7 * SECONDS_PER_DAY,
                Privacy::High => 2 * SECONDS_PER_DAY..=14 * SECONDS_PER_DAY,
            };
            add(&mut todos, Chore::Offer(relay.address), days.clone(), days);
        }
        Ok(todos)
    }

    /// One chore: one purpose, one party.
    async fn perform(&self, chore: Chore) -> Result<Tended, WalletError> {
        let mut tended = Tended::default();
        match chore {
            Chore::Restore => tended.restored = self.resume_restore().await?,
            Chore::Lists => {
                tended.looked = Some(self.look_up(&ListSource::Vendor, false).await?);
            }
            Chore::Renewal(key) => tended.renewed = Some(self.renew_one(key).await?),
            Chore::Payment(id) => match self.repeat_payment(id).await {
                Ok(lease) => tended.leases = self.reports(lease.into_iter().collect()).await?,
                Err(error) => tended.errors.push(error),
            },
            Chore::Purchase(grant) => match self.go_on_with_purchase(grant).await {
                Ok(bought) => tended.purchases.extend(bought),
                Err(error) => tended.errors.push(error),
            },
            Chore::Upload(id) => match self.go_on_with_upload(id).await {
                Ok(stored) => tended.files.extend(stored),
                Err(WalletError::StillStoring { name, done, parts }) => {
                    tended.storing = Some((name, done, parts));
                }
                Err(error) => tended.errors.push(error),
            },
            Chore::Extension { upload, relay } => match self.extend_waiting(upload, &relay).await {
                Ok(leases) => tended.leases = leases,
                Err(error) => tended.errors.push(error),
            },
            Chore::Restock => match self.buy_to_restock().await {
                Ok(bought) => tended.purchases.extend(bought),
                Err(error) => tended.errors.push(error),
            },
            Chore::Manifest => {
                if let Some(relay) = self.relay_to_ask().await? {
                    match self.ask_relay(&relay).await {
                        Ok(()) => tended.manifest = Some(relay),
                        Err(error) => tended.errors.push(error),
                    }
                }
            }
            Chore::Offer(address) => {
                let clock = self.environment.clock.clone();
                let client = self.network().await.relay(&address, clock)?;
                match self.hear_offer(&client).await {
                    Ok(_) => tended.offer = Some(address),
                    Err(error) => tended.errors.push(error),
                }
            }
        }
        Ok(tended)
    }

    /// Gives each thing its moment, and puts off what is done now, so that neither a crash nor a network that is away makes every
    /// command try again.
    async fn plan(&self, which: Which) -> Result<Plan, WalletError> {
        let todos = self.todos(which).await?;
        let quiet = self.privacy().await.quiet();
        let mut entropy = self.environment.entropy.clone();
        let _alone = self.tending.lock().await;
        let record = self.tending().await?;
        let now = self.now();
        let mut moments: Vec<Moment> = Vec::with_capacity(todos.len());
        for todo in &todos {
            // A clock that was wrong may have put it anywhere.
            let latest = now.plus(*todo.first.end().max(todo.again.end()));
            let known = record.moments.iter().find(|one| one.chore == todo.chore);
            let at = match known.filter(|one| one.at <= latest) {
                // What has to wait has a new moment, so that it does not follow what it waits for by a fixed time.
                Some(moment) if todo.waits && moment.at <= now => {
                    now.plus(draw(&todo.first, &mut entropy))
                }
                Some(moment) => moment.at,
                None => now.plus(draw(&todo.first, &mut entropy)),
            };
            moments.push(Moment { chore: todo.chore.clone(), at });
        }
        let rested = record.called.map(|at| at.plus(quiet)).filter(|_| quiet > 0);
        let rests = rested.is_some_and(|until| now < until && until.0 - now.0 <= quiet);
        let awaited = |one: &Moment| match one.chore {
            Chore::Offer(_) | Chore::Restock | Chore::Manifest => false,
            Chore::Restore | Chore::Lists | Chore::Renewal(_) => false,
            Chore::Payment(_) | Chore::Purchase(_) | Chore::Upload(_) => true,
            Chore::Extension { .. } => true,
        };
        let others = moments.iter().filter(|one| awaited(one)).count().saturating_sub(1);
        let chosen = match which {
            Which::Due => {
                let due = |(one, todo): (&Moment, &Todo)| one.at <= now && !todo.waits;
                moments.iter().zip(&todos).position(due).filter(|_| !rests)
            }
            Which::Awaited => {
                let awaited = moments.iter().enumerate().filter(|(_, one)| awaited(one));
                awaited.min_by_key(|(_, one)| one.at).map(|(at, _)| at)
            }
        };
        if let Some(at) = chosen {
            moments[at].at = now.plus(draw(&todos[at].again, &mut entropy));
        }
        let next = moments.iter().zip(&todos).map(|(one, todo)| match todo.waits {
            true => one.at.max(now.plus(HOUR)),
            false => one.at,
        });
        let next = next.min();
        let next = next.map(|at| rested.map_or(at, |until| at.max(until)));
        let chosen = chosen.map(|at| moments[at].chore.clone());
        if moments != record.moments {
            let changed = TendingRecord { moments, ..record };
            self.store.commit(Changes::default().put(&changed)).await?;
            self.at("wallet.tending.planned");
        }
        Ok(Plan { chosen, next, others })
    }

    /// Notes that somebody is called: what the wallet does by itself keeps away from that.
    pub(super) async fn note_call(&self) -> Result<(), WalletError> {
        if self.privacy().await.quiet() == 0 {
            return Ok(());
        }
        let _alone = self.tending.lock().await;
        let record = self.tending().await?;
        let now = self.now();
        if record.called != Some(now) {
            let changed = TendingRecord { called: Some(now), ..record };
            self.store.commit(Changes::default().put(&changed)).await?;
        }
        Ok(())
    }

    /// How many certificates wait for the moments of their renewals, and when the first of these is.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn renewals_to_come(&self) -> Result<(usize, Option<UnixSeconds>), WalletError> {
        let waiting = self.renewable(Doubtful::Keep).await?.len();
        let moments = self.tending().await?.moments;
        let renewals = moments.iter().filter(|one| matches!(one.chore, Chore::Renewal(_)));
        Ok((waiting, renewals.map(|one| one.at).min()))
    }

    async fn tending(&self) -> Result<TendingRecord, WalletError> {
        Ok(self.store.get(&[]).await?.unwrap_or_default())
    }

    /// Payments without a definite answer. Those that were open when a backup was made wait until they are `asked_for`.
    async fn open_payments(&self, asked_for: bool) -> Result<Vec<PaymentId>, WalletError> {
        let old = self.copied().await?.map(|copy| copy.payments).unwrap_or_default();
        let payments = self.store.all::<PaymentRecord>().await?.into_iter();
        let open = payments.filter(|one| matches!(one.state, PaymentState::InFlight { .. }));
        Ok(open.map(|one| one.id).filter(|id| asked_for || !old.contains(id)).collect())
    }

    /// Purchases that did not come to their end; second parts that are due are begun first, which calls nobody.
    async fn open_purchases(&self) -> Result<Vec<u32>, WalletError> {
        let _one_at_a_time = self.buying.lock().await;
        self.begin_rests().await?;
        let purchases = self.store.all::<Purchase>().await?;
        Ok(purchases.iter().filter(|one| super::buy::is_open(one)).map(|one| one.grant).collect())
    }
}
