//! Tells how a run ended to whoever wants to know: files that orchestrators look for, metrics, a ping, a webhook.
//!
//! Nothing here can change how the run ends: what cannot be told is a warning in the log. Each channel is used only where it was asked for, or
//! where its place is there.

mod files;
mod http;
mod message;

use std::time::Duration;

use tokio::runtime::Handle;
use tracing::warn;

use crate::ending::{Ended, Ending};
use crate::metrics;
use crate::settings::{MetricsSettings, TaskSettings};
use crate::storage::Place;

/// A service that does not answer must not hold up a batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who is told.
#[derive(Clone, Default)]
pub struct Channels {
    /// Files.
    pub task: TaskSettings,
    /// Where metrics go.
    pub metrics: MetricsSettings,
    /// A URL in the manner of healthchecks.io. Whoever knows it can use it, so it is never shown.
    pub ping: Option<String>,
    /// A URL that is told of failures and of what follows them. Never shown.
    pub webhook: Option<String>,
}

impl Channels {
    /// Says that a run begins.
    pub fn begin(&self, run: &str, runtime: &Handle) {
        if let Some(url) = &self.ping {
            told("ping", runtime.block_on(http::ping(url, "start", run, String::new())));
        }
    }

    /// Says how a run ended. `records` is the folder of the job's records, where it is known.
    pub fn tell(&self, ending: &Ending, run: &str, records: Option<&Place>, runtime: &Handle) {
        self.write_files(ending);
        if let Some(url) = &self.ping {
            let end = ending.exit.code().to_string();
            told(
                "ping",
                runtime.block_on(http::ping(url, &end, run, message::line(ending))),
            );
        }
        if !self.remembers() {
            return;
        }
        let before = match records {
            Some(records) => told("last ending", runtime.block_on(Ended::read(records))).flatten(),
            None => None,
        };
        let ended = Ended::after(before.as_ref(), ending);
        self.write_metrics(&ended, ending, runtime);
        if let (Some(url), Some(event)) = (&self.webhook, message::event(before.as_ref(), ending)) {
            let body = message::body(event, ending);
            told("webhook", runtime.block_on(http::post(url, &body)));
        }
        if let Some(records) = records {
            told("last ending", runtime.block_on(ended.keep(records)));
        }
    }

    /// Says how a command ended that is no run.
    pub fn write_summary(&self, document: &serde_json::Value) {
        for path in self.task.summaries() {
            told("summary", files::write_document(&path, document));
        }
    }

    /// Leaves the text of an error where a kubelet looks for it.
    pub fn write_error(&self, text: &str) {
        if let Some(path) = &self.task.termination_log {
            told("termination log", files::write_termination(path, text));
        }
    }

    fn write_files(&self, ending: &Ending) {
        self.write_summary(&ending.document());
        if let Some(text) = &ending.error {
            self.write_error(text);
        }
    }

    fn write_metrics(&self, ended: &Ended, ending: &Ending, runtime: &Handle) {
        let MetricsSettings { textfile, pushgateway } = &self.metrics;
        let Some(job) = &ending.job else {
            return;
        };
        if textfile.is_none() && pushgateway.is_none() {
            return;
        }
        let text = metrics::of_ending(ended, ending);
        if let Some(folder) = textfile {
            told("textfile", files::write_metrics(folder, job, &text));
        }
        if let Some(url) = pushgateway {
            let model = ending.model.as_deref().unwrap_or("none");
            told("pushgateway", runtime.block_on(http::push(url, job, model, text)));
        }
    }

    /// True where what is told depends on how the run before ended.
    fn remembers(&self) -> bool {
        self.webhook.is_some() || self.metrics.textfile.is_some() || self.metrics.pushgateway.is_some()
    }
}

/// The value, or a line in the log.
fn told<T, E: std::error::Error>(channel: &str, result: Result<T, E>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            warn!(channel, %error, cause, "could not tell how the run went");
            None
        }
    }
}
