//! Who may be connected: a bounded number of places, and who has to leave when they are all taken.
//!
//! A place is never taken from a request that has come as a whole and is being worked on. All others wait for their
//! clients, and whoever newly comes takes the place of the one who has been waited for the longest.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{ConnectionLimits, pace::Pace};

/// How soon it is looked again whether somebody is waited for, where nobody was.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where a connection comes from: an IPv4 address, or the 64 bits of an IPv6 address that one customer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl Source {
    /// `None` for this machine: a proxy, an onion service or a tunnel, which are many clients.
    pub(super) fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            here if here.is_loopback() => None,
            IpAddr::V4(address) => Some(Self(address.into())),
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Some(Self(Ipv6Addr::from_bits(network).into()))
            }
        }
    }
}

/// All places.
pub(super) struct Places {
    most: usize,
    most_per_source: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    by_number: HashMap<u64, Holder>,
    by_source: HashMap<Source, usize>,
}

struct Holder {
    source: Option<Source>,
    pace: Arc<Pace>,
}

/// A place, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().remove(self.number);
        self.places.freed.notify_one();
    }
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// Everybody is being worked for. That passes.
    Full,
    /// This source has all that it may have, and is being worked for.
    TooManyOfOne,
}

impl Places {
    pub(super) fn new(limits: &ConnectionLimits) -> Self {
        Self {
            most: limits.max_connections.max(1),
            most_per_source: limits.max_connections_per_address.max(1),
            taken: Mutex::default(),
            freed: Notify::new(),
        }
    }

    /// A place for a new connection, as soon as there is one; `None` where its source has had enough.
    pub(super) async fn take(
        self: &Arc<Self>,
        source: Option<Source>,
        pace: &Arc<Pace>,
    ) -> Option<Place> {
        loop {
            match self.try_take(source, pace, Instant::now()) {
                Ok(place) => return Some(place),
                Err(Refusal::TooManyOfOne) => return None,
                Err(Refusal::Full) => {
                    let _ = timeout(LOOK_AGAIN, self.freed.notified()).await;
                }
            }
        }
    }

    fn try_take(
        self: &Arc<Self>,
        source: Option<Source>,
        pace: &Arc<Pace>,
        now: Instant,
    ) -> Result<Place, Refusal> {
        let mut taken = self.taken();
        let of_source = source.map_or(0, |source| taken.by_source.get(&source).map_or(0, |n| *n));
        if of_source >= self.most_per_source {
            let slowest = taken.slowest(now, |holder| holder.source == source);
            taken.send_away(slowest.ok_or(Refusal::TooManyOfOne)?);
        } else if taken.by_number.len() >= self.most {
            let slowest = taken.slowest(now, |_| true);
            taken.send_away(slowest.ok_or(Refusal::Full)?);
        }
        let number = taken.next;
        taken.next += 1;
        taken.by_number.insert(number, Holder { source, pace: Arc::clone(pace) });
        if let Some(source) = source {
            *taken.by_source.entry(source).or_default() += 1;
        }
        Ok(Place { places: Arc::clone(self), number })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// The number of the one among `these` who has been waited for the longest.
    fn slowest(&self, now: Instant, these: impl Fn(&Holder) -> bool) -> Option<u64> {
        let holders = self.by_number.iter().filter(|(_, holder)| these(holder));
        let waited = holders.filter_map(|(number, holder)| {
            Some((holder.pace.kept_waiting(now)?, std::cmp::Reverse(*number)))
        });
        waited.max().map(|(_, std::cmp::Reverse(number))| number)
    }

    fn send_away(&mut self, number: u64) {
        if let Some(holder) = self.remove(number) {
            holder.pace.drop_it();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Holder> {
        let holder = self.by_number.remove(&number)?;
        if let Some(source) = holder.source
            && let Some(count) = self.by_source.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
        Some(holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(most: usize, of_one: usize) -> Arc<Places> {
        Arc::new(Places::new(&ConnectionLimits {
            max_connections: most,
            max_connections_per_address: of_one,
            ..ConnectionLimits::default()
        }))
    }

    fn since(start: Instant) -> Arc<Pace> {
        Arc::new(Pace::new(&ConnectionLimits::default(), start))
    }

    fn source(address: &str) -> Option<Source> {
        Source::of(address.parse().unwrap())
    }

    async fn is_dropped(pace: &Pace) -> bool {
        timeout(Duration::from_millis(1), pace.dropped()).await.is_ok()
    }

    #[test]
    fn a_source_is_what_one_customer_has() {
        assert_eq!(source("127.0.0.1"), None);
        assert_eq!(source("::1"), None);
        assert_eq!(source("::ffff:127.0.0.1"), None);
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("2001:db8:1:2::3"), source("2001:db8:1:2:ffff::4"));
        assert_ne!(source("2001:db8:1:2::3"), source("2001:db8:1:3::3"));
    }

    #[tokio::test]
    async fn the_slowest_makes_room_and_who_is_worked_for_never_does() {
        let places = places(3, 3);
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let [working, slow, quick] = [since(start), since(later(1)), since(later(2))];
        working.begin();
        let held: Vec<_> = [&working, &slow, &quick]
            .map(|pace| places.try_take(None, pace, later(3)).unwrap())
            .into();
        let newcomer = since(later(3));
        let place = places.try_take(None, &newcomer, later(3)).unwrap();
        assert!(is_dropped(&slow).await && !is_dropped(&quick).await);
        assert!(!is_dropped(&working).await);
        for pace in [&quick, &newcomer] {
            pace.begin();
        }
        let refused = places.try_take(None, &since(later(4)), later(4)).err();
        assert_eq!(refused, Some(Refusal::Full));
        drop(held);
        assert_eq!(places.taken().by_number.len(), 1, "who was sent away frees no second place");
        drop(place);
        assert_eq!(places.taken().by_number.len(), 0);
    }

    #[tokio::test]
    async fn one_source_pushes_out_itself_alone() {
        let places = places(4, 2);
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let (one, other) = (source("2001:db8::1"), source("192.0.2.1"));
        let old = since(start);
        let _old = places.try_take(other, &old, start).unwrap();
        let [first, second, third] = [since(later(1)), since(later(2)), since(later(3))];
        let _first = places.try_take(one, &first, later(1)).unwrap();
        let second_place = places.try_take(one, &second, later(2)).unwrap();
        let third_place = places.try_take(one, &third, later(3)).unwrap();
        assert!(is_dropped(&first).await && !is_dropped(&old).await && !is_dropped(&second).await);
        second.begin();
        third.begin();
        let refused = places.try_take(one, &since(later(4)), later(4)).err();
        assert_eq!(refused, Some(Refusal::TooManyOfOne));
        // This machine is many clients.
        let _here = places.try_take(None, &since(later(4)), later(4)).unwrap();
        drop(third_place);
        let _third = places.try_take(one, &third, later(5)).unwrap();
        drop(second_place);
        assert_eq!(places.taken().by_source.len(), 2);
    }
}
