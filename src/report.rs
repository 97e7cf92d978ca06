//! What a run did, for people and for machines.
//!
//! [`Tally`] adds up while parts come in; [`RunReport`] is what is shown, printed as JSON and kept in the state folder.

mod tally;
mod text;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

pub use tally::{BudgetError, Tally};

use crate::batch::Stage;
use crate::infer::device::Device;
use crate::pipeline::Limits;
use crate::publish::{Destination, Published};
use crate::run::Surroundings;
use crate::score::Scorer;
use crate::spec::Reason;
use crate::storage::StorageError;
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
    /// When it started; the rows carry the same time.
    pub started_at: DateTime<Utc>,
    /// Seconds from start to end.
    pub seconds: f64,
    /// Processor seconds of all threads.
    pub cpu_seconds: f64,
    /// Rows read per second of the whole run.
    pub rows_per_second: f64,
    /// Highest resident memory of the process.
    pub peak_memory_bytes: u64,
    /// Version of this program.
    pub engine: &'static str,
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
}

/// How the line was set up.
#[derive(Debug, Clone, Serialize)]
pub struct LineFacts {
    /// Device of the model.
    pub device: String,
    /// Chunks of the plan.
    pub chunks: usize,
    /// Rows of a batch.
    pub batch_rows: usize,
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

impl RunReport {
    /// Puts together what is known at the end of a run.
    #[expect(clippy::too_many_arguments, reason = "a report is about everything")]
    pub fn of(
        job: &Job,
        run_id: &str,
        scorer: &Scorer,
        device: Device,
        limits: Limits,
        output: Published,
        tally: &Tally,
        around: &Surroundings<'_>,
    ) -> Self {
        let contract = scorer.preprocessor.contract();
        let seconds = around.clock.monotonic().saturating_sub(tally.monotonic).as_secs_f64();
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
            run_id: run_id.to_owned(),
            plan_id: scorer.plan_id.clone(),
            outcome: Outcome::Published,
            rows: Rows {
                read: tally.rows_in,
                written: tally.rows_out,
                rejected: tally.rows_rejected(),
                rejected_by_reason: tally.rejected.clone(),
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
            },
            output,
            line: LineFacts {
                device: device.to_string(),
                chunks: scorer.plan.chunks.len(),
                batch_rows: scorer.batch_rows,
                threads: limits.threads,
                intra_op_threads: around.settings.threads.intra_op.max(1),
                memory_bytes: limits.memory,
            },
            stages: stages.collect(),
            started_at: tally.started,
            seconds,
            cpu_seconds: around.clock.process_cpu().as_secs_f64(),
            rows_per_second,
            peak_memory_bytes: around.machine.peak_resident().unwrap_or(0),
            engine: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The report for people.
    pub fn text(&self) -> String {
        text::render(self)
    }

    /// Keeps the report in the state folder.
    pub async fn save(&self, destination: &Destination, run_id: &str) -> Result<(), StorageError> {
        let place = destination.state().join(&format!("runs/{run_id}.json"));
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        place.write(text.into()).await
    }
}
