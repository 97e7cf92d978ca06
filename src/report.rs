//! What a run did, for people and for machines.
//!
//! [`Tally`] adds up while parts come in; [`RunReport`] is what is shown, printed as JSON and kept in the record of the publication.

mod tally;
mod text;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

pub use tally::{BudgetError, NoResultError, StandInsError, Tally};

use crate::batch::{Stage, StandInsByFeature};
use crate::clock::Clock;
use crate::infer::device::Device;
use crate::machine::Machine;
use crate::pipeline::Limits;
use crate::plan::PassedOver;
use crate::publish::Published;
use crate::score::{Measured, Scorer};
use crate::settings::Precision;
use crate::spec::Reason;
use crate::storage::{self, Counts};
use crate::validate::Job;

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// The job.
    pub job: String,
    /// The date that was scored.
    pub date: NaiveDate,
    /// The run.
    pub run_id: String,
    /// What was done, as a fingerprint: the same input, model and job give the same.
    pub plan_id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Rows by what became of them.
    pub rows: Rows,
    /// The model.
    pub model: ModelFacts,
    /// The input.
    pub input: InputFacts,
    /// The output.
    pub output: Published,
    /// How it was done.
    pub line: LineFacts,
    /// What each stage took, summed over threads.
    pub stages: Vec<StageFacts>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Seconds from start to end.
    pub seconds: f64,
    /// Processor seconds of all threads.
    pub cpu_seconds: f64,
    /// Rows read per second of the whole run.
    pub rows_per_second: f64,
    /// Highest resident memory of the process.
    pub peak_memory_bytes: u64,
    /// Requests to stores that failed and were sent again, by class.
    pub retries: Counts,
    /// Version of this program.
    pub engine: &'static str,
    /// The trace that the run belongs to.
    pub trace_id: Option<String>,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Readers see its rows.
    Published,
}

/// Rows by what became of them.
#[derive(Debug, Clone, Serialize)]
pub struct Rows {
    /// Rows read.
    #[serde(rename = "in")]
    pub read: u64,
    /// Rows written.
    #[serde(rename = "out")]
    pub written: u64,
    /// Rows not scored.
    pub rejected: u64,
    /// Rows not scored, by reason.
    pub rejected_by_reason: BTreeMap<Reason, u64>,
    /// Rows in which the model got something else for a feature than the input has, by feature; features without such rows are left out.
    pub stand_ins: StandInsByFeature,
}

/// The model of a run.
#[derive(Debug, Clone, Serialize)]
pub struct ModelFacts {
    /// Its name.
    pub name: String,
    /// Its version, never an alias.
    pub version: String,
    /// SHA-256 of `model.pt`.
    pub sha256: String,
}

/// The input of a run.
#[derive(Debug, Clone, Serialize)]
pub struct InputFacts {
    /// Where it is.
    pub path: String,
    /// Its files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were left out, since they could not be read.
    pub corrupt_files: Vec<String>,
    /// What lies in the input and is not read.
    pub passed_over: PassedOver,
}

/// How the line was set up.
#[derive(Debug, Clone, Serialize)]
pub struct LineFacts {
    /// Device of the model.
    pub device: String,
    /// Chunks of the plan.
    pub chunks: usize,
    /// Chunks that an earlier process had finished.
    pub resumed_chunks: usize,
    /// Precision of the model's arithmetic.
    pub precision: &'static str,
    /// Greatest difference to float32 on the first batch, where the precision is less.
    pub deviation: Option<f64>,
    /// Rows of a batch, at most.
    pub batch_rows: usize,
    /// Tokens of a batch, where there are documents.
    pub batch_tokens: Option<usize>,
    /// What batches of several sizes took, where they were tried.
    pub tuning: Vec<Measured>,
    /// Chunks scored at a time.
    pub threads: usize,
    /// Threads of one operator.
    pub intra_op_threads: usize,
    /// Bytes that chunks on the line may take.
    pub memory_bytes: u64,
}

/// Time of one stage, summed over threads.
#[derive(Debug, Clone, Serialize)]
pub struct StageFacts {
    /// The stage.
    pub stage: Stage,
    /// Seconds that passed.
    pub wall_seconds: f64,
    /// Processor seconds.
    pub cpu_seconds: f64,
}

/// What a report is made from.
pub struct Made<'a> {
    /// The job.
    pub job: &'a Job,
    /// The run.
    pub run_id: &'a str,
    /// The plan.
    pub plan_id: &'a str,
    /// What scored.
    pub scorer: &'a Scorer,
    /// Where the model ran.
    pub device: Device,
    /// Precision of the model's arithmetic.
    pub precision: Precision,
    /// How much of the machine was used.
    pub limits: Limits,
    /// Chunks that an earlier process had finished.
    pub resumed_chunks: usize,
    /// What readers see.
    pub output: Published,
    /// What was counted.
    pub tally: &'a Tally,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The machine.
    pub machine: &'a Machine,
    /// The trace that the run belongs to.
    pub trace_id: Option<&'a str>,
}

impl RunReport {
    /// Puts together what is known at the end of a run.
    pub fn of(made: Made<'_>) -> Self {
        let Made {
            job,
            scorer,
            tally,
            clock,
            ..
        } = made;
        let contract = scorer.preprocessor.contract();
        let batch = scorer.tuner.chosen();
        let seconds = clock.monotonic().saturating_sub(tally.monotonic).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits than a float has")]
        let rows_per_second = tally.rows_in as f64 / seconds.max(f64::EPSILON);
        let stages = Stage::ALL.iter().map(|&stage| StageFacts {
            stage,
            wall_seconds: tally.stages.of(stage).wall.as_secs_f64(),
            cpu_seconds: tally.stages.of(stage).cpu.as_secs_f64(),
        });
        Self {
            job: job.name.clone(),
            date: job.date,
            run_id: made.run_id.to_owned(),
            plan_id: made.plan_id.to_owned(),
            outcome: Outcome::Published,
            rows: Rows {
                read: tally.rows_in,
                written: tally.rows_out,
                rejected: tally.rows_rejected(),
                rejected_by_reason: tally.rejected.clone(),
                stand_ins: tally.stand_ins.clone(),
            },
            model: ModelFacts {
                name: contract.name.clone(),
                version: contract.version.clone(),
                sha256: contract.sha256.clone(),
            },
            input: InputFacts {
                path: job.input.to_string(),
                files: scorer.plan.files.len(),
                bytes: scorer.plan.bytes,
                corrupt_files: scorer.plan.corrupt.iter().map(|file| file.name.clone()).collect(),
                passed_over: scorer.plan.passed_over.clone(),
            },
            output: made.output,
            line: LineFacts {
                device: made.device.to_string(),
                chunks: scorer.plan.chunks.len(),
                resumed_chunks: made.resumed_chunks,
                precision: made.precision.name(),
                deviation: scorer.model.deviation(),
                batch_rows: batch.rows,
                batch_tokens: batch.tokens.filter(|_| contract.has_text()),
                tuning: scorer.tuner.measured(),
                threads: made.limits.threads,
                intra_op_threads: made.limits.intra_op,
                memory_bytes: made.limits.memory,
            },
            stages: stages.collect(),
            started_at: tally.started,
            seconds,
            cpu_seconds: clock.process_cpu().as_secs_f64(),
            rows_per_second,
            peak_memory_bytes: made.machine.peak_resident().unwrap_or(0),
            retries: storage::counts(),
            engine: env!("CARGO_PKG_VERSION"),
            trace_id: made.trace_id.map(str::to_owned),
        }
    }

    /// The report for people.
    pub fn text(&self) -> String {
        text::render(self)
    }
}
