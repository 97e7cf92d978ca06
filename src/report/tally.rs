//! The running sum of a run: rows, rejects and times, and whether the job's limits for bad rows still hold.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};

use crate::batch::{Part, StageTimes, StandInsByFeature};
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
    pub(super) stand_ins: StandInsByFeature,
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
            stand_ins: StandInsByFeature::default(),
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
            stand_ins: StandInsByFeature::default(),
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
        self.stand_ins.merge(&part.stand_ins);
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

    /// Judges the share of rows in which something stood for a value, for each feature by itself.
    pub fn stand_ins_within_budget(&self, rows: &RowsSpec) -> Result<(), Error> {
        let given = self.rows_given();
        for (feature, counts) in self.stand_ins.iter() {
            let budgets = [
                (
                    counts.unknown,
                    "unknown",
                    "max_unknown_fraction",
                    rows.max_unknown_fraction,
                ),
                (
                    counts.imputed,
                    "imputed",
                    "max_imputed_fraction",
                    rows.max_imputed_fraction,
                ),
            ];
            for (found, what, key, share) in budgets {
                let Some(share) = share else { continue };
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a share needs no more digits than a float has"
                )]
                let exceeded = found as f64 > share * given as f64;
                if exceeded {
                    return Err(StandInsError {
                        feature: feature.to_owned(),
                        what,
                        found,
                        given,
                        limit: format!("{key} = {share}"),
                    }
                    .into());
                }
            }
        }
        Ok(())
    }

    /// What people should look at though the job allows it: features of which no value reached the model, and integers that became others.
    pub fn doubtful_features(&self) -> Vec<String> {
        let given = self.rows_given();
        let mut doubtful = Vec::new();
        for (feature, counts) in self.stand_ins.iter() {
            let stood_in = counts.unknown + counts.imputed;
            if given > 0 && stood_in >= given {
                let of = |rows: u64, what: &str| (rows > 0).then(|| format!("{what} in {rows}"));
                let which = [of(counts.unknown, "unknown"), of(counts.imputed, "imputed")];
                let which: Vec<_> = which.into_iter().flatten().collect();
                doubtful.push(format!(
                    "no value of the feature `{feature}` reached the model: it was {} of {given} rows",
                    which.join(" and ")
                ));
            }
            if counts.precision_loss > 0 {
                doubtful.push(format!(
                    "the feature `{feature}` has integers that its float does not hold in {} of {given} rows; the nearest that it holds were scored",
                    counts.precision_loss
                ));
            }
        }
        doubtful
    }

    /// Rows that the model was given.
    fn rows_given(&self) -> u64 {
        let by_the_model = [Reason::ModelError, Reason::NonfiniteOutput];
        let of = |reason| self.rejected.get(&reason).copied().unwrap_or(0);
        self.rows_out + by_the_model.into_iter().map(of).sum::<u64>()
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

/// Something stood for more values of a feature than the job allows.
#[derive(Debug, thiserror::Error)]
#[error("the feature `{feature}` is {what} in {found} of {given} rows, the job allows {limit}")]
pub struct StandInsError {
    feature: String,
    what: &'static str,
    found: u64,
    given: u64,
    limit: String,
}

impl Seam for StandInsError {
    fn exit(&self) -> ExitCode {
        ExitCode::BadRows
    }

    fn hint(&self) -> Option<String> {
        Some(
            "look at the column in the input: a category may be spelt otherwise now, or a column has become null; if it is right, raise the limit in [rows]; nothing was published"
                .to_owned(),
        )
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
