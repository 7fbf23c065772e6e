//! What the attackers make of a recording: purchases, and what certificates were used for.

use std::collections::BTreeSet;

use scrip_protocol::id::GrantId;
use scrip_protocol::issuance::IssuanceRequest;
use scrip_protocol::manifest::Manifest;
use scrip_protocol::media::PAID_REQUEST;
use scrip_protocol::payment::PaidRequest;
use scrip_protocol::resource::{PriceList, ResourceRequest};
use scrip_protocol::seed::GrantSecret;
use scrip_tests::adversary::keys::tokens_of;
use scrip_tests::adversary::{Exchange, REDEEMING, SELLING};

use crate::WALLETS;
use crate::books::Books;

/// Calls with so many seconds between them are one moment to the attacker.
const BESIDE: u64 = 5;
const HOUR: u64 = 3_600;
/// A wallet is made so long before its first purchase, at most.
const SET_UP: u64 = 8 * 86_400;

/// A purchase, or a certificate's use, as it was recorded; and whose it was, which the attacker does not know.
pub(crate) struct Event {
    pub(crate) time: u64,
    pub(crate) owner: usize,
    /// The connection that it came on.
    pub(crate) connection: (String, u64),
    /// The epochs of its certificates.
    pub(crate) epochs: Vec<u32>,
    /// What the payment was above its price, in credits, and how many certificates it had.
    pub(crate) excess: u64,
    pub(crate) certificates: usize,
    /// The relay that was paid.
    pub(crate) relay: Option<String>,
    /// The relays that were asked at that moment.
    pub(crate) beside: BTreeSet<String>,
    /// Those that were asked within an hour of it.
    pub(crate) within_an_hour: BTreeSet<String>,
    /// Those that were asked by whoever asked one that the manifest does not list, in the days before.
    pub(crate) added_before: BTreeSet<String>,
    /// Where its rows lie among those of their table, from 0 to 1: for a purchase in `packs`; for a use in `spent` or `renewals`,
    /// and in the ledger.
    pub(crate) rows: [f64; 2],
}

/// All of a month.
pub(crate) struct Seen {
    pub(crate) purchases: Vec<Event>,
    /// Payments and renewals.
    pub(crate) uses: Vec<Event>,
}

impl Seen {
    pub(crate) fn payments(&self) -> usize {
        self.uses.iter().filter(|one| one.relay.is_some()).count()
    }

    pub(crate) fn of(
        seen: &[Exchange],
        owners: &[usize],
        manifest: &Manifest,
        books: &Books,
    ) -> Self {
        let of_wallets: Vec<(&Exchange, usize)> = seen
            .iter()
            .zip(owners.iter().copied())
            .filter(|(one, owner)| one.peer != REDEEMING && *owner < WALLETS)
            .collect();
        let listed: BTreeSet<String> = books.listed.iter().cloned().collect();
        let reader = Reader { of_wallets, manifest, books, listed };
        let (mut purchases, mut uses) = (Vec::new(), Vec::new());
        for (one, owner) in &reader.of_wallets {
            let accepted = one.truth.as_ref().is_some_and(|answer| answer.status < 300);
            if !accepted {
                continue;
            }
            if one.request.is("POST", "/v1/issuance") {
                purchases.push(reader.purchase(one, *owner));
            } else if one.request.is("POST", "/v1/renewals") || one.request.has_type(PAID_REQUEST) {
                uses.push(reader.used(one, *owner));
            }
        }
        Self { purchases, uses }
    }
}

struct Reader<'a> {
    of_wallets: Vec<(&'a Exchange, usize)>,
    manifest: &'a Manifest,
    books: &'a Books,
    listed: BTreeSet<String>,
}

impl Reader<'_> {
    fn event(&self, one: &Exchange, owner: usize) -> Event {
        let relays = |before: u64, after: u64| -> BTreeSet<String> {
            let near = |other: &Exchange| {
                let (time, own) = (other.time.0, one.time.0);
                let near = own.saturating_sub(before) <= time && time <= own + after;
                near && other.peer != SELLING && other.sequence != one.sequence
            };
            let near = self.of_wallets.iter().filter(|(other, _)| near(other));
            near.map(|(other, _)| other.peer.clone()).collect()
        };
        let added = relays(SET_UP, 0);
        Event {
            time: one.time.0,
            owner,
            connection: (one.peer.clone(), one.connection),
            epochs: Vec::new(),
            excess: 0,
            certificates: 0,
            relay: (one.peer != SELLING).then(|| one.peer.clone()),
            beside: relays(BESIDE, BESIDE),
            within_an_hour: relays(HOUR, HOUR),
            added_before: added.difference(&self.listed).cloned().collect(),
            rows: [0.0; 2],
        }
    }

    fn purchase(&self, one: &Exchange, owner: usize) -> Event {
        let request = IssuanceRequest::decode(&one.request.body).unwrap();
        let keys = request.items.iter().filter_map(|item| self.manifest.key(&item.key_id));
        let secret = GrantSecret::from_bearer(one.request.header("authorization").unwrap());
        let grant: GrantId = secret.unwrap().grant_id();
        Event {
            epochs: keys.map(|key| key.epoch()).collect(),
            certificates: request.items.len(),
            rows: [self.books.place_of_grant(&grant); 2],
            ..self.event(one, owner)
        }
    }

    fn used(&self, one: &Exchange, owner: usize) -> Event {
        let tokens = tokens_of(&one.request, self.manifest);
        let keys: Vec<_> = tokens.iter().filter_map(|(_, id)| self.manifest.key(id)).collect();
        let paid: u64 = keys.iter().map(|key| key.exponent().value().0).sum();
        let price = PaidRequest::decode(&one.request.body).ok().map_or(paid, |paid| {
            let request = ResourceRequest::decode(&paid.resource_request).unwrap();
            PriceList::price(2, request.days).0
        });
        Event {
            epochs: keys.iter().map(|key| key.epoch()).collect(),
            excess: paid.saturating_sub(price),
            certificates: tokens.len(),
            rows: self.books.places_of_certificate(&tokens[0].0),
            ..self.event(one, owner)
        }
    }
}
