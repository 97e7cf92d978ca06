//! The traffic with a client that answers what the test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::executor::block_on;
use http::{Method, StatusCode};
use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
};

use super::{Counts, Lane, QuotaUsedUp, Traffic, Watched, time_for, within};
use crate::clock::{Clock, HandClock};

/// What the store does next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Status(u16),
    Error(HttpErrorKind),
    /// Status 200, and then the connection breaks.
    BrokenBody(HttpErrorKind),
}

/// Answers with what is next, and with 200 when nothing is.
#[derive(Debug, Default)]
struct Store {
    next: Mutex<VecDeque<Next>>,
}

#[derive(Debug)]
struct Shared(Arc<Store>);

#[async_trait]
impl HttpService for Shared {
    async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        let next = self.0.next.lock().unwrap().pop_front().unwrap_or(Next::Status(200));
        let error = |kind| HttpError::new(kind, std::io::Error::other("made by the test"));
        let answer = |status, body| {
            let mut answer = HttpResponse::new(body);
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            answer
        };
        match next {
            Next::Status(status) => Ok(answer(status, HttpResponseBody::from("some bytes".to_owned()))),
            Next::Error(kind) => Err(error(kind)),
            Next::BrokenBody(kind) => Ok(answer(200, HttpResponseBody::new(Broken(Some(error(kind)))))),
        }
    }
}

struct Broken(Option<HttpError>);

impl http_body::Body for Broken {
    type Data = bytes::Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, HttpError>>> {
        std::task::Poll::Ready(self.0.take().map(Err))
    }
}

struct Road {
    clock: Arc<HandClock>,
    store: Arc<Store>,
    traffic: Arc<Traffic>,
}

impl Road {
    fn new() -> Self {
        let clock = Arc::new(HandClock::default());
        Self {
            traffic: Traffic::new(Arc::clone(&clock) as Arc<dyn Clock>),
            store: Arc::default(),
            clock,
        }
    }

    fn client(&self, lane: Lane) -> Watched {
        Watched {
            client: HttpClient::new(Shared(Arc::clone(&self.store))),
            traffic: Arc::clone(&self.traffic),
            lane,
        }
    }

    fn next(&self, next: Next) {
        self.store.next.lock().unwrap().push_back(next);
    }

    /// Asks once and leaves the answer unread.
    fn ask(&self, lane: Lane) -> Result<HttpResponse, HttpError> {
        block_on(self.client(lane).call(request(Method::GET)))
    }

    fn counts(&self) -> Counts {
        self.traffic.counts()
    }

    /// How many requests get through at a time.
    fn width(&self) -> usize {
        let client = self.client(Lane::In);
        let ask = || client.call(request(Method::GET)).now_or_never();
        std::iter::from_fn(ask).collect::<Vec<_>>().len()
    }
}

fn request(method: Method) -> HttpRequest {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = "http://store.example/lake/key?secret=1".parse().unwrap();
    *request.method_mut() = method;
    request
}

fn is_used_up(error: &HttpError) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<QuotaUsedUp>)
}

#[test]
fn store_that_only_fails_is_given_up_at_once_after_a_hundred_attempts() {
    let road = Road::new();
    (0..200).for_each(|_| road.next(Next::Status(500)));
    let answers: Vec<_> = (0..150).map(|_| road.ask(Lane::In)).collect();
    let sent = answers.iter().take_while(|answer| answer.is_ok()).count();
    assert_eq!(sent, 100);
    let error = road.ask(Lane::Out).unwrap_err();
    assert!(is_used_up(&error), "{error}");
    assert_eq!(error.kind(), HttpErrorKind::Unknown, "a kind that is tried again");
    assert_eq!((road.counts().attempts, road.counts().server_error), (100, 100));
    assert!(road.ask(Lane::Control).is_ok(), "a look is still sent");
}

#[test]
fn store_that_is_back_is_found_by_a_request_now_and_then() {
    let road = Road::new();
    (0..100).for_each(|_| road.next(Next::Error(HttpErrorKind::Connect)));
    (0..100).for_each(|_| drop(road.ask(Lane::In)));
    assert!(road.ask(Lane::In).is_err());
    road.clock.forward(10);
    assert!(road.ask(Lane::In).is_ok());
    assert!(road.ask(Lane::In).is_ok());
    assert_eq!(road.counts().connection, 100);
}

#[test]
fn time_outs_cost_twice() {
    let road = Road::new();
    (0..100).for_each(|_| road.next(Next::Error(HttpErrorKind::Timeout)));
    let sent = (0..100).filter(|_| !is_used_up(&road.ask(Lane::In).unwrap_err()));
    assert_eq!(sent.count(), 50);
    assert_eq!(road.counts().timeout, 50);
}

#[test]
fn answers_of_a_store_that_works_cost_nothing() {
    let road = Road::new();
    for _ in 0..300 {
        for status in [301, 400, 403, 404, 409, 412, 501] {
            road.next(Next::Status(status));
            assert_eq!(road.ask(Lane::In).unwrap().status(), status);
        }
    }
    let expected = Counts {
        attempts: 2_100,
        ..Counts::default()
    };
    assert_eq!(road.counts(), expected);
}

#[test]
fn refusals_halve_what_goes_out_at_a_time_and_quiet_widens_it() {
    for status in [503, 429] {
        let road = Road::new();
        assert_eq!(road.width(), 64);
        road.clock.forward(5);
        for _ in 0..10 {
            road.next(Next::Status(status));
            road.ask(Lane::In).unwrap();
        }
        assert_eq!(road.width(), 32);
        road.clock.forward(25);
        road.ask(Lane::In).unwrap();
        assert_eq!(road.width(), 34);
        assert_eq!(road.counts().throttled, 10);
    }
}

#[test]
fn other_failures_do_not_halve() {
    let road = Road::new();
    for next in [
        Next::Status(500),
        Next::Status(502),
        Next::Error(HttpErrorKind::Timeout),
    ] {
        road.next(next);
        drop(road.ask(Lane::In));
    }
    assert_eq!(road.width(), 64);
}

/// Narrows the road to one request at a time.
fn narrowed() -> Road {
    let road = Road::new();
    for _ in 0..6 {
        road.clock.forward(1);
        road.next(Next::Status(503));
        road.ask(Lane::In).unwrap();
    }
    road
}

#[test]
fn request_holds_its_place_until_its_body_is_read_or_dropped() {
    let road = narrowed();
    let first = road.ask(Lane::In).unwrap();
    assert_eq!(road.width(), 0);
    drop(first);
    assert_eq!(road.width(), 1);
    let second = road.ask(Lane::In).unwrap();
    let mut body = second.into_body();
    let frame = std::future::poll_fn(|cx| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx));
    assert!(block_on(frame).unwrap().is_ok());
    assert_eq!(road.width(), 1, "read to the end, though not dropped");
}

#[test]
fn failed_request_holds_no_place_while_its_retry_waits() {
    let road = narrowed();
    road.next(Next::Status(500));
    let failed = road.ask(Lane::In).unwrap();
    assert_eq!(road.width(), 1);
    assert_eq!(failed.status(), 500);
}

#[test]
fn records_do_not_wait_behind_data() {
    let road = narrowed();
    let data = road.ask(Lane::In).unwrap();
    assert!(
        road.client(Lane::Out)
            .call(request(Method::PUT))
            .now_or_never()
            .is_none()
    );
    assert!(
        road.client(Lane::Control)
            .call(request(Method::PUT))
            .now_or_never()
            .is_some()
    );
    drop(data);
}

#[test]
fn body_that_breaks_is_a_failure_and_gives_its_place_back() {
    let road = narrowed();
    road.next(Next::BrokenBody(HttpErrorKind::Interrupted));
    let broken = road.ask(Lane::In).unwrap();
    assert_eq!(road.width(), 0);
    block_on(broken.into_body().bytes()).unwrap_err();
    assert_eq!(road.width(), 1);
    assert_eq!(road.counts().connection, 1);
}

#[test]
fn writes_have_the_time_that_their_size_needs() {
    assert_eq!(time_for(0), Duration::from_mins(1));
    assert_eq!(time_for(5_000_000), Duration::from_secs(61));
    assert_eq!(time_for(5_000_000_000), Duration::from_secs(1_060));
}

#[test]
fn write_that_is_not_answered_runs_out_of_time() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let error = runtime.block_on(within(Duration::from_millis(10), std::future::pending()));
    assert_eq!(error.unwrap_err().kind(), HttpErrorKind::Timeout);
}
