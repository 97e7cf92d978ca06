//! The daemon's pages over HTTP: liveness, readiness, metrics, status, and pages for people. Only reads, and only what the daemon knows.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::NaiveDate;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::debug;

use super::page;
use super::status::Status;
use crate::history::History;

/// Connections at a time: a scraper, a few people.
const CONNECTIONS: usize = 64;

/// Whoever is slower is sent away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a request's head; hyper takes no less.
const HEAD_BYTES: usize = 8_192;

/// Pages load nothing from anywhere and send nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the pages show.
#[derive(Default)]
pub(super) struct Pages {
    status: RwLock<Option<Arc<Status>>>,
    histories: RwLock<BTreeMap<String, Arc<History>>>,
}

impl Pages {
    pub(super) fn show(&self, status: Status) {
        *self.status.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(status));
    }

    pub(super) fn set_histories(&self, histories: BTreeMap<String, Arc<History>>) {
        *self.histories.write().unwrap_or_else(PoisonError::into_inner) = histories;
    }

    fn status(&self) -> Option<Arc<Status>> {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn history(&self, job: &str) -> Option<Arc<History>> {
        self.histories
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(job)
            .cloned()
    }
}

/// Serves until it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    pub(super) async fn start(address: SocketAddr, pages: Arc<Pages>, runtime: &Handle) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        let accepting = runtime.spawn(accept(socket, pages, runtime.clone()));
        Ok(Self { address, accepting })
    }
}

async fn accept(socket: TcpListener, pages: Arc<Pages>, runtime: Handle) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match socket.accept().await {
            Ok((stream, _)) => {
                let pages = Arc::clone(&pages);
                runtime.spawn(async move {
                    let _place = place;
                    serve(stream, pages).await;
                });
            }
            Err(failure) => {
                // No file descriptors are left, most likely. Others will be closed.
                debug!(%failure, "no connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(answer(&request, &pages).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    let server = server
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(PATIENCE * 2, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => debug!(%failure, "a connection broke"),
        Err(_) => debug!("a connection took too long"),
    }
}

async fn answer(request: &Request<Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let path = request.uri().path();
    let Some(status) = pages.status() else {
        let alive = if path == "/livez" {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        return response(alive, TEXT, "starting\n".to_owned());
    };
    let healthy = |well: bool| {
        if well {
            response(StatusCode::OK, TEXT, "ok\n".to_owned())
        } else {
            response(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "not yet, or not any more\n".to_owned(),
            )
        }
    };
    match path {
        "/livez" => healthy(true),
        "/startupz" => healthy(status.started),
        "/readyz" => healthy(status.is_ready()),
        "/metrics" => response(StatusCode::OK, METRICS, status.metrics()),
        "/status" => {
            let json = serde_json::to_string_pretty(&*status).unwrap_or_default();
            response(StatusCode::OK, JSON, json + "\n")
        }
        "/" => response(StatusCode::OK, HTML, page::overview(&status)),
        path => match report(path, pages).await {
            Some(page) => response(StatusCode::OK, HTML, page),
            None => response(StatusCode::NOT_FOUND, TEXT, "nothing is here\n".to_owned()),
        },
    }
}

/// The page of `/jobs/<name>/<date>`.
async fn report(path: &str, pages: &Pages) -> Option<String> {
    let (name, date) = path.strip_prefix("/jobs/")?.split_once('/')?;
    let date: NaiveDate = date.parse().ok()?;
    let history = pages.history(name)?;
    let found = tokio::time::timeout(PATIENCE, history.of_date(date, None)).await;
    match found {
        Ok(Ok(found)) => Some(page::date(&found)),
        Ok(Err(failure)) => Some(page::failure(name, date, &failure.to_string())),
        Err(_) => Some(page::failure(name, date, "the store did not answer in time")),
    }
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
