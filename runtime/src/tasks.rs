//! Long-lived tasks: none of them ends unseen.
//!
//! A server whose redeemer or whose writer is gone looks well from outside and does half of its
//! work. So a task that ends before the shutdown ends the program, with a message and a failure,
//! for whatever supervises it to start it again: a start is what every program recovers by.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, response::IntoResponse, routing::get};
use http::{StatusCode, header::CONTENT_TYPE};
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::timeout,
};

use crate::serve::{Bound, ConnectionLimits, ServeError};

/// Where a program tells how it is.
pub const HEALTH: &str = "/health";
/// How long tasks may take to end after the server has.
const PATIENCE: Duration = Duration::from_secs(20);

/// Held by a task as long as it runs.
pub struct Pulse(#[expect(dead_code, reason = "dropping it is what it does")] watch::Sender<()>);

/// Tells when a task has ended that somebody else started.
#[derive(Clone, Debug)]
pub struct Life {
    task: &'static str,
    pulse: watch::Receiver<()>,
}

/// A task's pulse, and what tells of its end. `task` names it in messages, as in "the redeemer".
pub fn life(task: &'static str) -> (Pulse, Life) {
    let (sender, pulse) = watch::channel(());
    (Pulse(sender), Life { task, pulse })
}

impl Life {
    /// Resolves when the task has ended, whatever the reason.
    pub async fn ended(mut self) {
        while self.pulse.changed().await.is_ok() {}
    }
}

/// Tells tasks that they have to end.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Resolves when the server has ended.
    pub async fn wait(mut self) {
        // An error says that the sender is gone: the server has ended as well.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

/// The long-lived tasks of a program.
pub struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: watch::Sender<bool>,
    ended: Arc<Mutex<Vec<&'static str>>>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// None yet.
    pub fn new() -> Self {
        Self {
            running: JoinSet::new(),
            names: HashMap::new(),
            stop: watch::channel(false).0,
            ended: Arc::default(),
        }
    }

    /// For tasks that have something to finish when the server ends.
    pub fn stopping(&self) -> Stopping {
        Stopping(self.stop.subscribe())
    }

    /// Starts a task that ends by itself once [`Tasks::stopping`] says so.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Starts a task that may be broken off anywhere when the server ends.
    pub fn spawn_endless(
        &mut self,
        name: &'static str,
        task: impl Future<Output = std::convert::Infallible> + Send + 'static,
    ) {
        let stopping = self.stopping();
        self.spawn(name, async move {
            tokio::select! {
                () = stopping.wait() => {}
                never = task => match never {},
            }
        });
    }

    /// Watches a task that somebody else started and ends.
    pub fn watch(&mut self, life: Life) {
        let stopping = self.stopping();
        self.spawn(life.task, async move {
            tokio::select! {
                () = stopping.wait() => {}
                () = life.ended() => {}
            }
        });
    }

    /// Serves `router` as [`Bound::serve`] does, and [`HEALTH`] besides, until `shutdown` resolves or a task ends. Then
    /// the tasks end, too.
    ///
    /// # Errors
    ///
    /// [`ServeError::TaskEnded`] where one ended before `shutdown`; what [`Bound::serve`] says.
    pub async fn serve(
        mut self,
        bound: Bound,
        router: Router,
        limits: ConnectionLimits,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let router = router.route(HEALTH, self.health());
        let mut failed = None;
        let over = async {
            tokio::select! {
                biased;
                () = shutdown => {}
                task = next_end(&mut self.running, &self.names) => {
                    tracing::error!(task, "a task ended, which must not; this program ends as well");
                    self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(task);
                    failed = Some(task);
                }
            }
        };
        let served = bound.serve(router, limits, over).await;
        self.stop.send_replace(true);
        let all = async { while self.running.join_next().await.is_some() {} };
        if timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("some tasks did not end in time; they are cut off");
        }
        served?;
        failed.map_or(Ok(()), |task| Err(ServeError::TaskEnded { task }))
    }

    /// 200 while every task runs, and 503 from the end of one to the end of the program.
    fn health<S: Clone + Send + Sync + 'static>(&self) -> axum::routing::MethodRouter<S> {
        let ended = Arc::clone(&self.ended);
        get(move || async move {
            let ended = ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let json = [(CONTENT_TYPE, "application/json")];
            match ended.first() {
                None => (json, r#"{"status":"ok"}"#.to_owned()).into_response(),
                Some(task) => {
                    let said = format!(r#"{{"status":"failing","ended":"{task}"}}"#);
                    (StatusCode::SERVICE_UNAVAILABLE, json, said).into_response()
                }
            }
        })
    }
}

/// The name of the next task that ends.
async fn next_end(running: &mut JoinSet<()>, names: &HashMap<Id, &'static str>) -> &'static str {
    let id = match running.join_next_with_id().await {
        None => return std::future::pending().await, // there are no tasks
        Some(Ok((id, ()))) => id,
        Some(Err(error)) => JoinError::id(&error),
    };
    names.get(&id).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::{io::AsyncReadExt, net::TcpStream, sync::oneshot, time::sleep};

    use super::*;
    use crate::serve::{Listen, bind};

    async fn bound() -> Bound {
        let address = "127.0.0.1:0".parse().unwrap();
        bind(&Listen { address, tls: None, behind_tls_proxy: false }).await.unwrap()
    }

    async fn run(tasks: Tasks, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let limits = ConnectionLimits::default();
        let served = tasks.serve(bound().await, Router::new(), limits, shutdown);
        timeout(Duration::from_secs(30), served).await.expect("it ends")
    }

    fn named(served: Result<(), ServeError>) -> &'static str {
        match served {
            Err(ServeError::TaskEnded { task }) => task,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_or_returns_ends_the_program() {
        let mut tasks = Tasks::new();
        tasks.spawn("the redeemer", async { panic!("as after a log that cannot be written") });
        tasks.spawn_endless("the keys", std::future::pending::<Infallible>());
        assert_eq!(named(run(tasks, std::future::pending()).await), "the redeemer");

        let mut tasks = Tasks::new();
        tasks.spawn("the collector", async {});
        let error = run(tasks, std::future::pending()).await.unwrap_err();
        assert!(error.to_string().contains("the collector"), "{error}");
    }

    #[tokio::test]
    async fn a_task_of_somebody_else_is_watched_as_well() {
        for panics in [true, false] {
            let (pulse, life) = life("the writer");
            tokio::spawn(async move {
                let _pulse = pulse;
                assert!(!panics, "it dies");
            });
            let mut tasks = Tasks::new();
            tasks.watch(life);
            assert_eq!(named(run(tasks, std::future::pending()).await), "the writer");
        }
    }

    #[tokio::test]
    async fn at_the_shutdown_all_may_end_and_finish_their_work() {
        let (done, finished) = oneshot::channel();
        let (_pulse, life) = life("the writer");
        let mut tasks = Tasks::new();
        let stopping = tasks.stopping();
        tasks.spawn("the redeemer", async move {
            stopping.wait().await;
            let _ = done.send(());
        });
        tasks.spawn_endless("the keys", std::future::pending::<Infallible>());
        tasks.watch(life);
        run(tasks, sleep(Duration::from_millis(20))).await.unwrap();
        finished.await.unwrap();
    }

    #[tokio::test]
    async fn health_is_told() {
        let tasks = Tasks::new();
        let bound = bound().await;
        let address = bound.address();
        let limits = ConnectionLimits::default();
        let server =
            tokio::spawn(tasks.serve(bound, Router::new(), limits, std::future::pending()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /health HTTP/1.0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with(r#"{"status":"ok"}"#));
        server.abort();
    }
}
