//! What a daemon knows at a moment, for its pages, for machines and for metrics.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::Serialize;

use crate::child::Finished;
use crate::ending::Ended;
use crate::exit::ExitCode;
use crate::history::Publication;
use crate::metrics::{self, JobFacts};
use crate::schedule::{Cause, Fire, Schedule, Task};

/// What a daemon knows.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Version of this program.
    pub version: &'static str,
    /// Edition of the zone data.
    pub zone_data: &'static str,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// The moment.
    pub now: DateTime<Utc>,
    /// Runs at a time.
    pub max_parallel_runs: usize,
    /// Whether it knows what each job has still to do.
    pub started: bool,
    /// Whether it was asked to stop.
    pub stopping: bool,
    /// Why the job files were refused when they were read last.
    pub refused: Option<String>,
    /// The jobs, by name.
    pub jobs: Vec<JobStatus>,
}

/// What is known of a job.
#[derive(Debug, Clone, Serialize)]
pub struct JobStatus {
    /// The job.
    pub name: String,
    /// Name of its model.
    pub model: String,
    /// Its file.
    pub file: String,
    /// Its data set.
    pub output: String,
    /// Its schedule and the coming fires.
    pub schedule: Option<Fires>,
    /// Up to when its fires were seen.
    pub mark: Option<DateTime<Utc>>,
    /// Another daemon that keeps the job; this one waits until it has ended.
    pub kept_by: Option<String>,
    /// The date that runs.
    pub running: Option<Task>,
    /// Since when.
    pub running_since: Option<DateTime<Utc>>,
    /// Dates that wait.
    pub waiting: Vec<Task>,
    /// Runs since the start of the daemon, newest first.
    pub runs: Vec<RunStatus>,
    /// The last publications.
    pub published: Vec<Published>,
    /// Fires that were given up since the start of the daemon.
    pub dropped: u64,
    /// Runs since then, by exit code.
    pub exits: Vec<(u8, u64)>,
    /// The last run; in the metrics.
    #[serde(skip)]
    pub last: Option<(Ended, Finished)>,
}

/// A schedule and its coming fires.
#[derive(Debug, Clone, Serialize)]
pub struct Fires {
    /// The cron line.
    pub cron: String,
    /// Its zone.
    pub timezone: &'static str,
    /// The coming fires.
    pub coming: Vec<Coming>,
}

/// A coming fire.
#[derive(Debug, Clone, Serialize)]
pub struct Coming {
    /// When.
    pub at: DateTime<Utc>,
    /// The same by the clocks of its zone.
    pub local: String,
    /// The date that it scores.
    pub date: NaiveDate,
}

/// A run that has ended.
#[derive(Debug, Clone, Serialize)]
pub struct RunStatus {
    /// The date.
    pub date: NaiveDate,
    /// The fire that it belongs to.
    pub scheduled: DateTime<Utc>,
    /// Why it was started.
    pub cause: Cause,
    /// Which start of the date it was.
    pub attempt: u32,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Seconds that it took.
    pub seconds: f64,
    /// How it ended.
    pub exit_code: u8,
    /// What it came to.
    pub outcome: String,
    /// Rows read.
    pub rows_in: Option<u64>,
    /// Rows written.
    pub rows_out: Option<u64>,
    /// Rows not scored.
    pub rows_rejected: Option<u64>,
}

/// A publication.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    /// The date.
    pub date: NaiveDate,
    /// When.
    pub at: DateTime<Utc>,
    /// Version of the model.
    pub model_version: Option<String>,
    /// Rows written.
    pub rows_out: u64,
    /// Rows not scored.
    pub rows_rejected: u64,
    /// Seconds of its run.
    pub seconds: Option<f64>,
    /// Whether readers see it.
    pub current: bool,
}

impl Published {
    pub(super) fn of(found: &Publication) -> Self {
        Self {
            date: found.date,
            at: found.published_at,
            model_version: found.model_version.clone(),
            rows_out: found.rows_out,
            rows_rejected: found.rows_rejected,
            seconds: found.seconds,
            current: found.current,
        }
    }
}

impl Fires {
    pub(super) fn of(schedule: &Schedule, fires: impl Iterator<Item = Fire>) -> Self {
        let coming = fires.map(|fire| Coming {
            at: fire.at,
            local: fire
                .at
                .with_timezone(&schedule.timezone)
                .to_rfc3339_opts(SecondsFormat::Secs, false),
            date: fire.date,
        });
        Self {
            cron: schedule.cron.text().to_owned(),
            timezone: schedule.timezone.name(),
            coming: coming.collect(),
        }
    }
}

impl RunStatus {
    pub(super) fn of(task: &Task, started_at: DateTime<Utc>, finished: &Finished) -> Self {
        let report = &finished.report;
        let rows = |name: &str| report["rows"][name].as_u64();
        let said = match finished.exit {
            ExitCode::Success => report["outcome"].as_str(),
            _ => report["error"].as_str(),
        };
        Self {
            date: task.date,
            scheduled: task.scheduled,
            cause: task.cause,
            attempt: task.attempts,
            started_at,
            seconds: finished.seconds,
            exit_code: finished.exit.code(),
            outcome: said.unwrap_or(finished.exit.meaning()).to_owned(),
            rows_in: rows("in"),
            rows_out: rows("out").or(report["rows"].as_u64()),
            rows_rejected: rows("rejected"),
        }
    }
}

impl Status {
    /// Whether work can be expected of it.
    pub(super) fn is_ready(&self) -> bool {
        self.started && !self.stopping
    }

    /// The metrics.
    pub(super) fn metrics(&self) -> String {
        let facts: Vec<_> = self.jobs.iter().map(JobStatus::facts).collect();
        metrics::of_daemon(&facts, self.refused.is_some())
    }
}

impl JobStatus {
    fn facts(&self) -> JobFacts<'_> {
        let coming = self.schedule.as_ref().and_then(|schedule| schedule.coming.first());
        let last = self.last.as_ref();
        JobFacts {
            name: &self.name,
            model: &self.model,
            next: coming.map(|fire| fire.at),
            waiting: self.waiting.len(),
            running: self.running.is_some(),
            runs: &self.exits,
            dropped: self.dropped,
            last: last.map(|(ended, finished)| (ended, finished.seconds, &finished.report)),
        }
    }
}
