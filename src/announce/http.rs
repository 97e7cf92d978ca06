//! Short requests to services that want to know how a run went. The only file that names `reqwest`.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method};
use serde_json::Value;

use super::PATIENCE;

/// Why a service could not be told. It does not say which: its URL may be all that protects it.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// No answer.
    #[error("no answer")]
    Sent {
        /// What went wrong.
        source: reqwest::Error,
    },
    /// An answer that is no success.
    #[error("the service answered {status}")]
    Refused {
        /// The status.
        status: reqwest::StatusCode,
    },
}

/// Pings `<url>/<end>`: `start`, or an exit code.
pub(super) async fn ping(url: &str, end: &str, run: &str, body: String) -> Result<(), HttpError> {
    let url = format!("{}/{end}?rid={run}", url.trim_end_matches('/'));
    send(Method::POST, &url, "text/plain; charset=utf-8", body).await
}

/// Posts a document.
pub(super) async fn post(url: &str, body: &Value) -> Result<(), HttpError> {
    send(Method::POST, url, "application/json", body.to_string()).await
}

/// Replaces the metrics of a job and model.
pub(super) async fn push(url: &str, job: &str, model: &str, text: String) -> Result<(), HttpError> {
    let name = |name| utf8_percent_encode(name, NON_ALPHANUMERIC);
    let url = format!(
        "{}/metrics/job/{}/model/{}",
        url.trim_end_matches('/'),
        name(job),
        name(model)
    );
    send(Method::PUT, &url, "text/plain; version=0.0.4; charset=utf-8", text).await
}

async fn send(method: Method, url: &str, kind: &str, body: String) -> Result<(), HttpError> {
    let sent = |source: reqwest::Error| HttpError::Sent {
        source: source.without_url(),
    };
    let client = Client::builder()
        .timeout(PATIENCE)
        .user_agent("batch-infer")
        .build()
        .map_err(sent)?;
    let request = client.request(method, url).header("Content-Type", kind).body(body);
    let status = request.send().await.map_err(sent)?.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(HttpError::Refused { status })
    }
}
