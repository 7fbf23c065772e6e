//! How long a client has kept a connection waiting.
//!
//! Only the time counts in which the server had nothing to do but to wait for this client: for a header, for more of a
//! body, or for room to write an answer. A handler that takes its time, or a disk, is nobody's fault here.

use std::{
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep_until},
};

use super::ConnectionLimits;

/// What one connection makes the server wait.
pub(super) struct Pace {
    stall: Duration,
    least_rate: u64,
    state: Mutex<State>,
    dropped: Notify,
}

struct State {
    /// Since when no request is under way: the next header is awaited.
    idle: Option<Instant>,
    body: Account,
    answer: Account,
}

/// One way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The request's body.
    Body,
    /// The answer.
    Answer,
}

#[derive(Default)]
struct Account {
    /// Since when the client is waited for.
    waiting: Option<Instant>,
    /// What was waited before that, in this request.
    waited: Duration,
    bytes: u64,
}

impl Account {
    fn waited(&self, now: Instant) -> Duration {
        self.waited + self.waiting.map_or(Duration::ZERO, |since| now - since)
    }
}

impl Pace {
    pub(super) fn new(limits: &ConnectionLimits, now: Instant) -> Self {
        let state = State { idle: Some(now), body: Account::default(), answer: Account::default() };
        Self {
            stall: limits.stall,
            least_rate: limits.least_rate.max(1),
            state: Mutex::new(state),
            dropped: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request's header has come: what was waited before does not count for it.
    pub(super) fn begin(&self) {
        *self.state() = State { idle: None, body: Account::default(), answer: Account::default() };
    }

    /// The answer has been handed over as a whole.
    pub(super) fn end(&self, now: Instant) {
        self.state().idle = Some(now);
    }

    /// The handler does not want more of the body.
    pub(super) fn body_is_over(&self) {
        self.state().body.waiting = None;
    }

    /// The client is waited for; the time at which that has to end. No single pause is longer than the limit, and all of
    /// them together are no longer than that and what the bytes so far take at the least rate.
    fn wait(&self, way: Way, now: Instant) -> Instant {
        let mut state = self.state();
        let account = state.account(way);
        let since = *account.waiting.get_or_insert(now);
        let earned = Duration::from_millis(account.bytes.saturating_mul(1_000) / self.least_rate);
        let left = self.stall.saturating_add(earned).saturating_sub(account.waited);
        since + left.min(self.stall)
    }

    /// So many bytes have moved.
    fn moved(&self, way: Way, bytes: usize, now: Instant) {
        let mut state = self.state();
        let account = state.account(way);
        if let Some(since) = account.waiting.take() {
            account.waited += now - since;
        }
        account.bytes = account.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// How long the client has been waited for, in this request or for the next; nothing where it is not waited for.
    pub(super) fn kept_waiting(&self, now: Instant) -> Option<Duration> {
        let state = self.state();
        if let Some(since) = state.idle {
            return Some(now - since);
        }
        let accounts = [&state.body, &state.answer].into_iter();
        accounts.filter(|way| way.waiting.is_some()).map(|way| way.waited(now)).max()
    }

    /// Ends the connection.
    pub(super) fn drop_it(&self) {
        self.dropped.notify_one();
    }

    /// Resolves when the connection has to end.
    pub(super) async fn dropped(&self) {
        self.dropped.notified().await;
    }
}

impl State {
    fn account(&mut self, way: Way) -> &mut Account {
        match way {
            Way::Body => &mut self.body,
            Way::Answer => &mut self.answer,
        }
    }
}

/// Wakes whoever waits for a client when it has been waited for too long.
pub(super) struct Patience {
    way: Way,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(super) fn new(way: Way) -> Self {
        Self { way, waiting: None }
    }

    /// So many bytes have moved: the next wait starts anew.
    pub(super) fn moved(&mut self, pace: &Pace, bytes: usize) {
        self.waiting = None;
        pace.moved(self.way, bytes, Instant::now());
    }

    /// Nothing moved. Ready when that has been so for too long.
    pub(super) fn poll_exhausted(&mut self, pace: &Pace, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep_until(pace.wait(self.way, Instant::now()))));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pace(now: Instant) -> Pace {
        let limits = ConnectionLimits { least_rate: 1_000, ..ConnectionLimits::default() };
        Pace::new(&limits, now)
    }

    #[test]
    fn bytes_earn_time_and_no_pause_is_longer_than_the_limit() {
        let start = Instant::now();
        let pace = pace(start);
        pace.begin();
        assert_eq!(pace.wait(Way::Body, start), start + seconds(30));
        // One byte each 20 seconds: the second pause is the last.
        let (first, second) = (start + seconds(20), start + seconds(40));
        pace.moved(Way::Body, 1, first);
        let end = pace.wait(Way::Body, first);
        assert_eq!(end, start + seconds(30) + Duration::from_millis(1));
        // 20,000 bytes earn 20 seconds.
        pace.moved(Way::Body, 19_999, second);
        assert_eq!(pace.wait(Way::Body, second), start + seconds(50));
        // Much earns no pause that is longer.
        pace.moved(Way::Body, 1_000_000, second);
        assert_eq!(pace.wait(Way::Body, second), second + seconds(30));
        // The answer has an account of its own.
        assert_eq!(pace.wait(Way::Answer, second), second + seconds(30));
    }

    #[test]
    fn what_the_handler_takes_is_not_the_clients() {
        let start = Instant::now();
        let pace = pace(start);
        assert_eq!(pace.kept_waiting(start + seconds(5)), Some(seconds(5)), "no header yet");
        pace.begin();
        assert_eq!(pace.kept_waiting(start + seconds(5)), None);
        pace.wait(Way::Body, start + seconds(6));
        assert_eq!(pace.kept_waiting(start + seconds(8)), Some(seconds(2)));
        pace.moved(Way::Body, 10, start + seconds(8));
        assert_eq!(pace.kept_waiting(start + seconds(100)), None, "the handler works");
        pace.wait(Way::Body, start + seconds(100));
        assert_eq!(pace.kept_waiting(start + seconds(101)), Some(seconds(3)), "all pauses count");
        pace.body_is_over();
        assert_eq!(pace.kept_waiting(start + seconds(102)), None);
        pace.wait(Way::Answer, start + seconds(102));
        assert_eq!(pace.kept_waiting(start + seconds(106)), Some(seconds(4)));
        pace.end(start + seconds(107));
        assert_eq!(pace.kept_waiting(start + seconds(108)), Some(seconds(1)));
    }
}
