//! All requests to stores pass here: a retry quota for the process, fewer requests at a time when a store asks for it, and
//! counts of what failed.
//!
//! It stands between `object_store`, which retries, and the HTTP client, so it sees every attempt. It does not retry, and
//! whether an answer is the right one is judged by those who asked.

mod gate;
mod quota;

use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use serde::Serialize;

use self::gate::{Gate, Pass};
use self::quota::{Leave, Quota};
use crate::clock::{Clock, SystemClock};

/// What a write may take that carries nothing.
const EMPTY_WRITE: Duration = Duration::from_mins(1);

/// A write may be this slow and no slower.
const SLOWEST_BYTES_PER_SECOND: u64 = 5_000_000;

/// The traffic of this process: quota and width are shared by all its clients.
static PROCESS: LazyLock<Arc<Traffic>> = LazyLock::new(|| Traffic::new(Arc::new(SystemClock)));

/// Requests to stores since the process started, and those that failed, by what was wrong.
pub fn counts() -> Counts {
    PROCESS.counts()
}

/// Requests and failures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that went out, retries among them.
    pub attempts: u64,
    /// Answers that asked for fewer requests: 503 and 429.
    pub throttled: u64,
    /// Other answers of 500 and above.
    pub server_error: u64,
    /// Requests that ran out of time.
    pub timeout: u64,
    /// Connections that could not be made, or broke.
    pub connection: u64,
}

impl Counts {
    /// What happened since an earlier count.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            attempts: self.attempts - earlier.attempts,
            throttled: self.throttled - earlier.throttled,
            server_error: self.server_error - earlier.server_error,
            timeout: self.timeout - earlier.timeout,
            connection: self.connection - earlier.connection,
        }
    }

    fn count(&mut self, fault: Fault) {
        *match fault {
            Fault::Throttled => &mut self.throttled,
            Fault::ServerError => &mut self.server_error,
            Fault::TimeOut => &mut self.timeout,
            Fault::Connection => &mut self.connection,
        } += 1;
    }
}

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Data that is read.
    In,
    /// Data that is written. Each request has the time that its size needs; reads have none, they have their own lane.
    Out,
    /// Records of a few hundred bytes. They wait for no turn: behind a queue of data a lease would run out.
    Control,
}

/// The state that all clients share.
#[derive(Debug)]
pub(super) struct Traffic {
    clock: SharedClock,
    gate: Arc<Gate>,
    ledger: Mutex<Ledger>,
}

#[derive(Debug)]
struct Ledger {
    quota: Quota,
    counts: Counts,
}

struct SharedClock(Arc<dyn Clock>);

impl std::fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// What was wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Throttled,
    ServerError,
    TimeOut,
    Connection,
}

impl Fault {
    fn of_status(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Some(Self::Throttled),
            StatusCode::REQUEST_TIMEOUT => Some(Self::TimeOut),
            // A store that lacks a feature works.
            StatusCode::NOT_IMPLEMENTED => None,
            status if status.is_server_error() => Some(Self::ServerError),
            _ => None,
        }
    }

    fn of_error(error: &HttpError) -> Option<Self> {
        match error.kind() {
            HttpErrorKind::Timeout => Some(Self::TimeOut),
            HttpErrorKind::Connect | HttpErrorKind::Request | HttpErrorKind::Interrupted | HttpErrorKind::Decode => {
                Some(Self::Connection)
            }
            // Refused by the client itself, such as a URL that it must not ask.
            _ => None,
        }
    }
}

impl Traffic {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock: SharedClock(clock),
            gate: Gate::wide(),
            ledger: Mutex::new(Ledger {
                quota: Quota::full(),
                counts: Counts::default(),
            }),
        })
    }

    /// That of this process.
    pub(super) fn of_process() -> Arc<Self> {
        Arc::clone(&PROCESS)
    }

    fn counts(&self) -> Counts {
        self.ledger(|ledger| ledger.counts)
    }

    fn now(&self) -> Duration {
        self.clock.0.monotonic()
    }

    fn ledger<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        // Numbers only, so a panic elsewhere leaves nothing half done.
        work(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leave for one attempt, which is counted, or an error that is not tried again. Control always has it: one look may be all that is missing
    /// after data has used the quota up, and whoever asks there gives up by itself.
    fn leave(&self, lane: Lane) -> Result<Leave, HttpError> {
        let now = self.now();
        let leave = self.ledger(|ledger| {
            let leave = ledger.quota.leave(now);
            let leave = leave.or_else(|| (lane == Lane::Control).then_some(Leave::Granted));
            ledger.counts.attempts += u64::from(leave.is_some());
            leave
        });
        leave.ok_or_else(|| HttpError::new(HttpErrorKind::Unknown, QuotaUsedUp))
    }

    fn answered(&self, leave: Leave) {
        self.ledger(|ledger| ledger.quota.succeeded(leave));
        self.gate.widen(self.now());
    }

    fn failed(&self, fault: Fault, asked: &Asked, said: &str) {
        let now = self.now();
        self.ledger(|ledger| {
            ledger.quota.failed(fault == Fault::TimeOut, now);
            ledger.counts.count(fault);
        });
        if fault == Fault::Throttled {
            self.gate.narrow(now);
        }
        let Asked { method, host } = asked;
        tracing::debug!(%method, %host, ?fault, "a request to the store failed: {said}");
    }
}

/// What a request asked, for the log. The path and the query stay out of it.
#[derive(Debug, Clone)]
struct Asked {
    method: Method,
    host: String,
}

/// The store has failed too often.
#[derive(Debug, thiserror::Error)]
#[error("the store has failed so often that the retry quota is used up")]
pub(super) struct QuotaUsedUp;

/// A write took longer than its size explains.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", limit.as_secs())]
struct Overdue {
    limit: Duration,
}

/// Makes clients of a lane whose requests pass here.
#[derive(Debug)]
pub(super) struct Connector {
    traffic: Arc<Traffic>,
    lane: Lane,
}

impl Connector {
    pub(super) fn new(traffic: Arc<Traffic>, lane: Lane) -> Self {
        Self { traffic, lane }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched {
            client: ReqwestConnector::default().connect(options)?,
            traffic: Arc::clone(&self.traffic),
            lane: self.lane,
        }))
    }
}

/// A client that is watched.
#[derive(Debug)]
struct Watched {
    client: HttpClient,
    traffic: Arc<Traffic>,
    lane: Lane,
}

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let pass = match self.lane {
            Lane::Control => None,
            Lane::In | Lane::Out => Some(self.traffic.gate.enter().await),
        };
        let leave = self.traffic.leave(self.lane)?;
        let asked = Asked {
            method: request.method().clone(),
            host: request.uri().host().unwrap_or_default().to_owned(),
        };
        let response = self.send(request).await.inspect_err(|error| {
            if let Some(fault) = Fault::of_error(error) {
                self.traffic.failed(fault, &asked, &innermost(error));
            }
        })?;
        if let Some(fault) = Fault::of_status(response.status()) {
            // Whoever retries keeps the answer while it waits. The pass must not wait with it.
            self.traffic.failed(fault, &asked, response.status().as_str());
            return Ok(response);
        }
        self.traffic.answered(leave);
        let (parts, body) = response.into_parts();
        let body = WatchedBody {
            body,
            pass,
            asked,
            traffic: Arc::clone(&self.traffic),
        };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

impl Watched {
    /// Sends a request, a write within the time that its size needs. The client's own limit knows no sizes.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if self.lane != Lane::Out || request.method() == Method::GET {
            return self.client.execute(request).await;
        }
        let limit = time_for(request.body().content_length() as u64);
        within(limit, async {
            // The answer to a write is short.
            let (parts, body) = self.client.execute(request).await?.into_parts();
            let body = body.bytes().await?;
            Ok(HttpResponse::from_parts(parts, body.into()))
        })
        .await
    }
}

/// An answer, or an error when it takes longer.
async fn within(
    limit: Duration,
    answer: impl Future<Output = Result<HttpResponse, HttpError>>,
) -> Result<HttpResponse, HttpError> {
    let overdue = |_| Err(HttpError::new(HttpErrorKind::Timeout, Overdue { limit }));
    tokio::time::timeout(limit, answer).await.unwrap_or_else(overdue)
}

/// Time to write that many bytes.
fn time_for(bytes: u64) -> Duration {
    EMPTY_WRITE + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND)
}

fn innermost(error: &HttpError) -> String {
    let first = error as &(dyn std::error::Error + 'static);
    let last = std::iter::successors(Some(first), |error| error.source()).last();
    last.map(ToString::to_string).unwrap_or_default()
}

/// A body that holds its pass until it has been read or is dropped, and tells when it breaks.
struct WatchedBody {
    body: HttpResponseBody,
    pass: Option<Pass>,
    asked: Asked,
    traffic: Arc<Traffic>,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(error))) = &polled {
            let fault = Fault::of_error(error).unwrap_or(Fault::Connection);
            self.traffic.failed(fault, &self.asked, &innermost(error));
        }
        let over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        if over || self.body.is_end_stream() {
            self.pass = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
