//! How a backfill ended: one line for each date, sums, and the exit code of the worst.

use std::fmt::Write;
use std::io;

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::Value;

use super::{Only, Range, Standing, State};
use crate::child::Finished;
use crate::exit::ExitCode;
use crate::shutdown::Signal;

/// A date after its run.
#[derive(Debug, Clone, Serialize)]
pub struct Scored {
    /// The date.
    pub date: NaiveDate,
    /// What there was of it before.
    pub before: State,
    /// What became of it.
    pub outcome: Outcome,
    /// How its process ended; none when it was not started.
    #[serde(rename = "exit_code")]
    pub exit: Option<ExitCode>,
    /// Rows read.
    pub rows_in: Option<u64>,
    /// Rows written.
    pub rows_out: Option<u64>,
    /// Rows not scored.
    pub rows_rejected: Option<u64>,
    /// Seconds of its process.
    pub seconds: Option<f64>,
    /// The earlier version of this program that published it from the same input, model and job, where there was nothing to do for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_by: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What became of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was scored and published.
    Published,
    /// There was nothing to do.
    Nothing,
    /// Its run failed.
    Failed,
    /// The backfill was stopped before.
    NotStarted,
}

impl Outcome {
    /// The word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Nothing => "nothing to do",
            Self::Failed => "failed",
            Self::NotStarted => "not started",
        }
    }
}

/// How a backfill ended.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The job.
    pub job: String,
    /// The first date that was looked at; none where the schedule has none.
    pub from: Option<NaiveDate>,
    /// The last.
    pub to: Option<NaiveDate>,
    /// Which dates were asked for.
    pub only: Only,
    /// Dates of the range that were left out.
    pub left_out: usize,
    /// The dates, in the order of their runs.
    pub dates: Vec<Scored>,
    /// Dates that were published.
    pub published: usize,
    /// Dates that failed.
    pub failed: usize,
    /// Dates that were not started.
    pub not_started: usize,
    /// Rows written.
    pub rows_out: u64,
    /// How the worst date ended.
    #[serde(rename = "exit_code")]
    pub exit: ExitCode,
}

impl Scored {
    /// A date whose process has ended.
    pub(super) fn of(standing: &Standing, finished: io::Result<Finished>) -> Self {
        let unstarted = Self::not_started(standing);
        let Finished { exit, report, seconds } = match finished {
            Ok(finished) => finished,
            Err(error) => {
                return Self {
                    outcome: Outcome::Failed,
                    exit: Some(ExitCode::Internal),
                    error: Some(format!("start a process: {error}")),
                    ..unstarted
                };
            }
        };
        let rows = |name: &str| report["rows"][name].as_u64();
        let published = report["outcome"] == "published";
        Self {
            outcome: match exit {
                ExitCode::Success if published => Outcome::Published,
                ExitCode::Success => Outcome::Nothing,
                _ => Outcome::Failed,
            },
            exit: Some(exit),
            rows_in: rows("in"),
            // A run that has nothing to do tells the rows of what is published.
            rows_out: rows("out").or(report["rows"].as_u64()),
            rows_rejected: rows("rejected"),
            seconds: Some(seconds),
            published_by: report["published_by"].as_str().map(str::to_owned),
            error: error(exit, &report),
            ..unstarted
        }
    }

    pub(super) fn not_started(standing: &Standing) -> Self {
        Self {
            date: standing.date,
            before: standing.state,
            outcome: Outcome::NotStarted,
            exit: None,
            rows_in: None,
            rows_out: None,
            rows_rejected: None,
            seconds: None,
            published_by: None,
            error: None,
        }
    }
}

fn error(exit: ExitCode, report: &Value) -> Option<String> {
    let said = report["error"].as_str().map(str::to_owned);
    (exit != ExitCode::Success).then(|| said.unwrap_or_else(|| exit.meaning().to_owned()))
}

impl Summary {
    /// Puts together what became of each date.
    pub fn of(job: &str, range: &Range, left_out: usize, dates: Vec<Scored>, stopped: Option<Signal>) -> Self {
        let count = |outcome| dates.iter().filter(|scored| scored.outcome == outcome).count();
        let exits = dates.iter().filter_map(|scored| scored.exit);
        let worst = exits.max_by_key(|exit| severity(*exit)).unwrap_or(ExitCode::Success);
        Self {
            job: job.to_owned(),
            from: range.dates.first().copied(),
            to: range.dates.last().copied(),
            only: range.only,
            left_out,
            published: count(Outcome::Published),
            failed: count(Outcome::Failed),
            not_started: count(Outcome::NotStarted),
            rows_out: dates
                .iter()
                .filter(|scored| scored.outcome == Outcome::Published)
                .filter_map(|scored| scored.rows_out)
                .sum(),
            exit: stopped.map_or(worst, Signal::exit),
            dates,
        }
    }

    /// The summary for people.
    pub fn text(&self) -> String {
        let (Some(from), Some(to)) = (self.from, self.to) else {
            return format!(
                "{}: nothing fired in that time, so there is no date to look at\n",
                self.job
            );
        };
        let mut text = format!("{} from {from} to {to}", self.job);
        if self.dates.is_empty() {
            let _ = writeln!(text, ": nothing to do, {} dates are left out", self.left_out);
            return text;
        }
        let _ = writeln!(
            text,
            "\n  {:<10}  {:<10}  {:<13}  {:>4}  {:>12}  {:>12}  {:>9}  {:>8}",
            "date", "before", "outcome", "exit", "rows in", "rows out", "rejected", "seconds"
        );
        for scored in &self.dates {
            let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let _ = write!(
                text,
                "  {:<10}  {:<10}  {:<13}  {:>4}  {:>12}  {:>12}  {:>9}  {:>8}",
                scored.date.to_string(),
                scored.before.name(),
                scored.outcome.name(),
                number(scored.exit.map(|exit| exit.code().into())),
                number(scored.rows_in),
                number(scored.rows_out),
                number(scored.rows_rejected),
                scored
                    .seconds
                    .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}")),
            );
            if let Some(error) = &scored.error {
                let _ = write!(text, "  {error}");
            }
            if let Some(version) = &scored.published_by {
                let _ = write!(text, "  published by {version}; --force scores it again");
            }
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "{} published, {} failed, {} not started, {} left out; {} rows written",
            self.published, self.failed, self.not_started, self.left_out, self.rows_out
        );
        text
    }
}

/// What is worse: that which another start cannot mend, then that which it may, then nothing.
fn severity(exit: ExitCode) -> (u8, u8) {
    let class = match exit {
        ExitCode::Success => 0,
        exit if exit.retryable() => 1,
        _ => 2,
    };
    (class, exit.code())
}
