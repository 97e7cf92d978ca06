//! What a daemon says of itself and of each job, beside the last run of each.

use chrono::{DateTime, Utc};
use prometheus::{GaugeVec, IntCounterVec, Opts};
use serde_json::Value;

use super::{Gauges, register, timestamp};
use crate::ending::Ended;
use crate::infer::TORCH_VERSION;
use crate::schedule::ZONE_DATA;

/// What is known of one job.
#[derive(Debug, Clone)]
pub struct JobFacts<'a> {
    /// The job.
    pub name: &'a str,
    /// Name of its model.
    pub model: &'a str,
    /// When it fires next.
    pub next: Option<DateTime<Utc>>,
    /// Dates that wait.
    pub waiting: usize,
    /// Whether one runs.
    pub running: bool,
    /// Runs since the start of the daemon, by exit code.
    pub runs: &'a [(u8, u64)],
    /// Fires that were given up since then.
    pub dropped: u64,
    /// The last run, what it took, and what it printed.
    pub last: Option<(&'a Ended, f64, &'a Value)>,
}

/// The metrics of a daemon as text.
pub fn of_daemon(jobs: &[JobFacts<'_>], reload_failed: bool) -> String {
    let mut gauges = Gauges::new();
    let gauge = |gauges: &Gauges, name: &str, help: &str, labels: &[&str]| {
        let gauge = GaugeVec::new(Opts::new(name, help), labels).expect("a name and labels of the right form");
        register(&gauges.registry, gauge)
    };
    let counter = |gauges: &Gauges, name: &str, help: &str, labels: &[&str]| {
        let counter = IntCounterVec::new(Opts::new(name, help), labels).expect("a name and labels of the right form");
        register(&gauges.registry, counter)
    };
    let next = gauge(
        &gauges,
        "batch_infer_next_fire_timestamp_seconds",
        "When the job fires next.",
        &["job_name"],
    );
    let waiting = gauge(
        &gauges,
        "batch_infer_waiting_dates",
        "Dates that wait to be scored.",
        &["job_name"],
    );
    let running = gauge(
        &gauges,
        "batch_infer_running",
        "Whether a date of the job is being scored.",
        &["job_name"],
    );
    let runs = counter(
        &gauges,
        "batch_infer_runs_total",
        "Runs since the start of the daemon, by exit code.",
        &["job_name", "exit_code"],
    );
    let dropped = counter(
        &gauges,
        "batch_infer_dropped_fires_total",
        "Fires that were given up since the start of the daemon.",
        &["job_name"],
    );
    let reload = gauge(
        &gauges,
        "batch_infer_last_reload_failed",
        "Whether the job files were refused when they were read last.",
        &[],
    );
    let build = gauge(
        &gauges,
        "batch_infer_build_info",
        "What runs; always 1.",
        &["version", "torch", "zone_data"],
    );
    reload
        .with_label_values::<&str>(&[])
        .set(f64::from(u8::from(reload_failed)));
    build
        .with_label_values(&[env!("CARGO_PKG_VERSION"), TORCH_VERSION, ZONE_DATA])
        .set(1.0);
    for job in jobs {
        let of = [job.name];
        if let Some(at) = job.next {
            next.with_label_values(&of).set(timestamp(at));
        }
        let few = u32::try_from(job.waiting).unwrap_or(u32::MAX);
        waiting.with_label_values(&of).set(few.into());
        running.with_label_values(&of).set(f64::from(u8::from(job.running)));
        dropped.with_label_values(&of).inc_by(job.dropped);
        for (code, count) in job.runs {
            runs.with_label_values(&[job.name, &code.to_string()]).inc_by(*count);
        }
        if let Some((ended, seconds, report)) = job.last {
            gauges.add_run(job.name, job.model, ended, seconds, report);
        }
    }
    gauges.text()
}
