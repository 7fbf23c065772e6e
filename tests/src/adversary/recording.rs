//! What adversaries saw, in one order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use scrip_protocol::time::UnixSeconds;
use scrip_runtime::clock::{Clock, ManualClock};

use super::{Answer, Request};

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its place in the recording, by when the request came.
    pub sequence: usize,
    /// The network's time when the request came.
    pub time: UnixSeconds,
    /// The real time since the recording began.
    pub elapsed: Duration,
    /// Who was asked: what the adversary is called.
    pub peer: String,
    /// The connection that it came on, counted by its adversary.
    pub connection: u64,
    /// What was asked.
    pub request: Request,
    /// What the server answered, where it was asked.
    pub truth: Option<Answer>,
    /// What the client was told; nothing where the answer was lost, or is still to come.
    pub told: Option<Answer>,
}

/// What all adversaries of a network saw. Clones are the same recording.
#[derive(Clone)]
pub struct Recording {
    clock: ManualClock,
    began: Instant,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

impl Recording {
    /// An empty one, with the clock that the network goes by.
    pub fn new(clock: ManualClock) -> Self {
        Self { clock, began: Instant::now(), exchanges: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests came so far: for [`Recording::since`].
    pub fn mark(&self) -> usize {
        self.lock().len()
    }

    /// Everything from `mark` on.
    pub fn since(&self, mark: usize) -> Vec<Exchange> {
        self.lock().get(mark..).unwrap_or_default().to_vec()
    }

    /// Everything.
    pub fn all(&self) -> Vec<Exchange> {
        self.since(0)
    }

    /// What was asked of `peer`.
    pub fn of(&self, peer: &str) -> Vec<Exchange> {
        self.lock().iter().filter(|exchange| exchange.peer == peer).cloned().collect()
    }

    pub(super) fn asked(&self, peer: &str, connection: u64, request: Request) -> usize {
        let mut exchanges = self.lock();
        let sequence = exchanges.len();
        exchanges.push(Exchange {
            sequence,
            time: self.clock.now(),
            elapsed: self.began.elapsed(),
            peer: peer.to_owned(),
            connection,
            request,
            truth: None,
            told: None,
        });
        sequence
    }

    pub(super) fn answered(&self, sequence: usize, truth: Option<Answer>, told: Option<Answer>) {
        if let Some(exchange) = self.lock().get_mut(sequence) {
            (exchange.truth, exchange.told) = (truth, told);
        }
    }
}
