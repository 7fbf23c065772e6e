//! A server on loopback that plays a payment service, and can be made to fail.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::StatusCode;
use tokio::task::JoinHandle;

/// How a call fails.
#[derive(Clone, Copy, Debug)]
pub enum Failing {
    /// With this status.
    Status(u16),
    /// With 200 and something that nobody expects.
    Garbage,
    /// It is answered well, but only after this time.
    Late(Duration),
}

struct Fault {
    path: &'static str,
    failing: Failing,
    times: u32,
}

#[derive(Default)]
struct Control {
    faults: Mutex<Vec<Fault>>,
    calls: Mutex<Vec<String>>,
}

/// A running server. It stops when it is dropped.
pub struct FakeServer {
    address: SocketAddr,
    control: Arc<Control>,
    task: JoinHandle<()>,
}

impl FakeServer {
    /// Serves `router` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn start(router: Router) -> std::io::Result<Self> {
        let control = Arc::<Control>::default();
        let router = router.layer(middleware::from_fn_with_state(control.clone(), disturbed));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { address, control, task })
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next `times` calls fail of which the path contains `path`.
    pub fn fail(&self, path: &'static str, failing: Failing, times: u32) {
        locked(&self.control.faults).push(Fault { path, failing, times });
    }

    /// From now on no call fails.
    pub fn recover(&self) {
        locked(&self.control.faults).clear();
    }

    /// How many calls there were of which `METHOD /path?query` contains `text`.
    pub fn calls(&self, text: &str) -> usize {
        locked(&self.control.calls).iter().filter(|call| call.contains(text)).count()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn disturbed(State(control): State<Arc<Control>>, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    locked(&control.calls).push(format!("{} {path}", request.method()));
    match control.next_fault(&path) {
        None => next.run(request).await,
        Some(Failing::Status(status)) => answer(status, "{}"),
        Some(Failing::Garbage) => answer(200, "<html>Good morning</html>"),
        Some(Failing::Late(time)) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
    }
}

impl Control {
    fn next_fault(&self, path: &str) -> Option<Failing> {
        let mut faults = locked(&self.faults);
        let fault = faults.iter_mut().find(|fault| fault.times > 0 && path.contains(fault.path))?;
        fault.times -= 1;
        Some(fault.failing)
    }
}

/// An answer in JSON.
pub(super) fn answer(status: u16, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// The value of `name` in the query `query`, as it stands there.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// What a mutex holds, also after a test has died with it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
