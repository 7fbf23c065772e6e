//! The signer: the only holder of private RSA keys, on threads of its own.
//!
//! A signature takes a quarter of a millisecond of a core, so that the async runtime must not compute it. Requests
//! are cut into single signatures, which all threads take from one queue in order of arrival: a pack is spread over
//! the cores, and none waits behind the whole of another.

mod blind;
pub mod raw;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use scrip_protocol::limits::RSA;
use tokio::sync::oneshot;

pub use self::blind::{
    BadKey, Operations, RsaFault, SignError, blind_sign, blind_sign_into, in_range,
};

/// All signatures of a request, in its order, or none.
pub type Signed = Result<Vec<[u8; RSA]>, SignError>;

/// One signature to be made.
pub struct Job<K = raw::PrivateKey> {
    /// The key to sign with.
    pub key: Arc<K>,
    /// The blinded message, checked against the key's modulus by [`blind_sign`].
    pub message: [u8; RSA],
}

/// Signs on its own threads. Dropping it finishes what is queued and joins the threads.
pub struct Signer<K: Operations + Send + Sync + 'static = raw::PrivateKey> {
    shared: Arc<Shared<K>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<K> {
    queue: Mutex<Queue<K>>,
    arrived: Condvar,
    capacity: usize,
}

struct Queue<K> {
    waiting: VecDeque<(Arc<Order<K>>, usize)>,
    closed: bool,
}

/// A list of jobs that is answered as a whole.
struct Order<K> {
    jobs: Vec<Job<K>>,
    progress: Mutex<Progress>,
}

struct Progress {
    signatures: Vec<[u8; RSA]>,
    left: usize,
    failed: Option<SignError>,
    answer: Option<oneshot::Sender<Signed>>,
}

impl<K: Operations + Send + Sync + 'static> Signer<K> {
    /// Starts `threads` threads; at most `capacity` signatures wait at a time.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(threads: NonZeroUsize, capacity: usize) -> std::io::Result<Self> {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), closed: false });
        let shared = Arc::new(Shared { queue, arrived: Condvar::new(), capacity });
        let mut signer = Self { shared, threads: Vec::new() };
        for index in 0..threads.get() {
            let shared = signer.shared.clone();
            let builder = std::thread::Builder::new().name(format!("signer-{index}"));
            signer.threads.push(builder.spawn(move || shared.work())?);
        }
        Ok(signer)
    }

    /// Signs all `jobs` or none: the signatures in the order of the jobs.
    ///
    /// # Errors
    /// [`SignError`], of one job that failed where any did.
    pub async fn sign(&self, jobs: Vec<Job<K>>) -> Signed {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let answered = self.shared.enqueue(jobs)?;
        // The sender is dropped unanswered only where a thread died, which `work` prevents.
        answered.await.unwrap_or(Err(SignError::Closed))
    }
}

impl<K: Operations + Send + Sync + 'static> Drop for Signer<K> {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        self.shared.arrived.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // `work` catches panics; there is nothing to report
        }
    }
}

impl<K: Operations> Shared<K> {
    fn enqueue(&self, jobs: Vec<Job<K>>) -> Result<oneshot::Receiver<Signed>, SignError> {
        let count = jobs.len();
        let (sender, receiver) = oneshot::channel();
        let progress = Mutex::new(Progress {
            signatures: vec![[0; RSA]; count],
            left: count,
            failed: None,
            answer: Some(sender),
        });
        let order = Arc::new(Order { jobs, progress });
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(SignError::Closed);
        }
        if queue.waiting.len().saturating_add(count) > self.capacity {
            return Err(SignError::Overloaded);
        }
        queue.waiting.extend((0..count).map(|index| (order.clone(), index)));
        drop(queue);
        if count == 1 {
            self.arrived.notify_one()
        } else {
            self.arrived.notify_all()
        }
        Ok(receiver)
    }

    /// What each thread does until the queue is closed and empty.
    fn work(&self) {
        while let Some((order, index)) = self.next() {
            order.run(index);
        }
    }

    fn next(&self) -> Option<(Arc<Order<K>>, usize)> {
        let mut queue = lock(&self.queue);
        loop {
            match queue.waiting.pop_front() {
                Some(job) => return Some(job),
                None if queue.closed => return None,
                None => {
                    queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl<K: Operations> Order<K> {
    fn run(&self, index: usize) {
        let signed = match self.jobs.get(index) {
            Some(job) if self.is_wanted() => {
                catch_unwind(AssertUnwindSafe(|| blind_sign(&*job.key, &job.message)))
                    .unwrap_or(Err(SignError::Fault))
            }
            _ => Err(SignError::Closed),
        };
        let mut progress = lock(&self.progress);
        match signed {
            Ok(signature) => {
                if let Some(slot) = progress.signatures.get_mut(index) {
                    *slot = signature;
                }
            }
            Err(error) => progress.failed = progress.failed.or(Some(error)),
        }
        progress.left -= 1;
        if progress.left == 0 {
            progress.finish();
        }
    }

    /// Whether somebody still waits and no other job of the order has failed.
    fn is_wanted(&self) -> bool {
        let progress = lock(&self.progress);
        progress.failed.is_none()
            && progress.answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }
}

impl Progress {
    fn finish(&mut self) {
        let result = match self.failed {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.signatures)),
        };
        if let Some(answer) = self.answer.take() {
            let _ = answer.send(result); // nobody waits any more: the client has gone
        }
    }
}

/// No code panics while it holds these locks; were it to, the data would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
