//! The running sum of a run: rows, rejects and times, and whether the job's limits for bad rows still hold.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};

use crate::batch::{Part, StageTimes};
use crate::clock::{Clock, micros};
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::spec::{Reason, RowsSpec};

/// What has been done so far.
#[derive(Debug)]
pub struct Tally {
    /// When the run started; also the time that its rows carry.
    pub started: DateTime<Utc>,
    pub(super) monotonic: Duration,
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    pub(super) rejected: BTreeMap<Reason, u64>,
    /// Rows that were not scored.
    pub rejects: Vec<RecordBatch>,
    /// What each stage took.
    pub stages: StageTimes,
}

impl Tally {
    /// Starts with nothing done.
    pub fn start(clock: &dyn Clock) -> Self {
        Self {
            started: micros(clock.now()),
            monotonic: clock.monotonic(),
            rows_in: 0,
            rows_out: 0,
            rejected: BTreeMap::new(),
            rejects: Vec::new(),
            stages: StageTimes::default(),
        }
    }

    /// Begins to count rows again, from the same start; what was done has been done.
    pub fn again(&self) -> Self {
        Self {
            started: self.started,
            monotonic: self.monotonic,
            rows_in: 0,
            rows_out: 0,
            rejected: BTreeMap::new(),
            rejects: Vec::new(),
            stages: self.stages,
        }
    }

    /// Adds a part.
    pub fn add(&mut self, part: Part) {
        self.rows_in += part.rows_in as u64;
        self.rows_out += part.rows_out as u64;
        for (reason, rows) in &part.rejected {
            *self.rejected.entry(*reason).or_insert(0) += *rows as u64;
        }
        self.stages.merge(&part.stages);
        self.rejects.extend(part.rejects);
    }

    pub(super) fn rows_rejected(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Stops early when more rows are rejected than the job allows.
    pub fn within_budget(&self, rows: &RowsSpec) -> Result<(), Error> {
        let rejected = self.rows_rejected();
        if rejected > rows.max_bad_rows {
            return Err(BudgetError {
                rejected,
                rows: self.rows_in,
                limit: format!("max_bad_rows = {}", rows.max_bad_rows),
                reasons: self.reasons(),
            }
            .into());
        }
        Ok(())
    }

    /// Judges the share of rejected rows, which only the whole run shows.
    pub fn share_within_budget(&self, rows: &RowsSpec, planned: u64) -> Result<(), Error> {
        let rejected = self.rows_rejected();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share needs no more digits than a float has"
        )]
        let allowed = rows.max_bad_fraction * planned as f64;
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        let exceeded = rejected as f64 > allowed;
        if exceeded {
            return Err(BudgetError {
                rejected,
                rows: planned,
                limit: format!("max_bad_fraction = {}", rows.max_bad_fraction),
                reasons: self.reasons(),
            }
            .into());
        }
        Ok(())
    }

    /// Refuses a run in which the model gave no result for any row: that is a fault of the model.
    pub fn model_works(&self) -> Result<(), Error> {
        let of = |reason| self.rejected.get(&reason).copied().unwrap_or(0);
        let (thrown, nonfinite) = (of(Reason::ModelError), of(Reason::NonfiniteOutput));
        if thrown + nonfinite > 0 && self.rows_out == 0 {
            return Err(NoResultError { thrown, nonfinite }.into());
        }
        Ok(())
    }

    fn reasons(&self) -> String {
        let reasons = self.rejected.iter().map(|(reason, rows)| format!("{reason} {rows}"));
        reasons.collect::<Vec<_>>().join(", ")
    }
}

/// The model has given no result at all.
#[derive(Debug, thiserror::Error)]
#[error("the model gives no result for any row: it throws on {thrown} and gives NaN or infinity for {nonfinite}")]
pub struct NoResultError {
    thrown: u64,
    nonfinite: u64,
}

impl Seam for NoResultError {
    fn exit(&self) -> ExitCode {
        ExitCode::Model
    }

    fn hint(&self) -> Option<String> {
        Some("what it says stands with each row: batch-infer rejects show; nothing was published".to_owned())
    }
}

/// More bad rows than the job allows.
#[derive(Debug, thiserror::Error)]
#[error("{rejected} of {rows} rows are bad ({reasons}), the job allows {limit}")]
pub struct BudgetError {
    rejected: u64,
    rows: u64,
    limit: String,
    reasons: String,
}

impl Seam for BudgetError {
    fn exit(&self) -> ExitCode {
        ExitCode::BadRows
    }

    fn hint(&self) -> Option<String> {
        Some(
            "correct the input, or raise both [rows] max_bad_rows and max_bad_fraction; nothing was published"
                .to_owned(),
        )
    }
}
