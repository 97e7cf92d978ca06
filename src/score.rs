//! Scores one chunk from its bytes to its part, on one core: decode, derive, screen, prepare, infer, encode.
//!
//! The only file that knows the stages one after the other; each of them knows none of the others. No I/O happens here.

mod forward;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter;
use arrow::error::ArrowError;

pub use forward::{Batches, forward};

use crate::batch::{BadRow, FeatureBatch, Part, Predictions, Stage, StageTimes};
use crate::clock::{Clock, Elapsed, Stopwatch};
use crate::digest::sha256;
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::infer::Model;
use crate::output::OutputSchema;
use crate::plan::Plan;
use crate::preprocess::{Preprocessor, screen};
use crate::read::{self, ChunkBytes, ReadError, Tolerance};
use crate::rejects;
use crate::spec::{Action, OnCorruptFile, Reason};
use crate::validate::Job;
use crate::write;

/// Everything that scoring a chunk needs, shared by all threads.
pub struct Scorer {
    /// The job.
    pub job: Job,
    /// The plan.
    pub plan: Plan,
    /// The contract made ready.
    pub preprocessor: Preprocessor,
    /// The model.
    pub model: Box<dyn Model>,
    /// The columns of the output.
    pub schema: OutputSchema,
    /// Rows of a batch.
    pub batch_rows: usize,
    /// Who runs the batches of a chunk.
    pub batches: Batches,
    /// Bytes that a chunk may take once decoded.
    pub max_decoded: u64,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Whether a chunk's bytes will be fetched again when they cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// They will.
    First,
    /// They were.
    Last,
}

impl Scorer {
    /// Decodes a chunk. Rows may be lost only at the last attempt: before it, the bytes may be damaged and the file not.
    pub fn decode(&self, bytes: ChunkBytes, attempt: Attempt) -> Result<(FeatureBatch, Elapsed), ReadError> {
        let may_lose = attempt == Attempt::Last && self.job.on_corrupt_file == OnCorruptFile::Reject;
        let tolerance = Tolerance {
            most_bytes: self.max_decoded,
            lost_rows: if may_lose { self.job.rows.max_bad_rows } else { 0 },
        };
        let decoding = Stopwatch::start(self.clock.as_ref());
        let batch = read::decode(&self.plan, bytes, tolerance)?;
        Ok((batch, decoding.stop()))
    }

    /// Scores a chunk that has been decoded.
    pub fn score(&self, batch: FeatureBatch, decoding: Elapsed) -> Result<Part, Error> {
        let mut stages = StageTimes::default();
        let clock = self.clock.as_ref();
        let contract = self.preprocessor.contract();
        stages.add(Stage::Decode, decoding);

        let preparing = Stopwatch::start(clock);
        let chunk = batch.chunk;
        let rows_in = batch.columns.num_rows();
        let batch = self.preprocessor.derive(batch)?;
        let whole = batch.clone();
        let screened =
            screen::features(batch, &self.job.keys, contract, self.job.rows.on).map_err(ScoreError::Screen)?;
        let mut bad = screened.bad;
        self.refuse(&whole, &bad)?;
        let prepared = self.preprocessor.prepare(&screened.batch)?;
        stages.add(Stage::Preprocess, preparing.stop());

        let (predictions, times) = forward(
            self.model.as_ref(),
            &self.preprocessor,
            &prepared,
            self.batch_rows,
            self.batches,
            clock,
        )?;
        stages.merge(&times);

        let encoding = Stopwatch::start(clock);
        let (carried, predictions) = self.finite(&whole, screened.batch.columns, predictions, &mut bad)?;
        let bytes = write::encode(&self.schema, contract, &carried, &predictions)?;
        let rejects = rejects::batch(&self.job.keys, &whole, &bad).map_err(ScoreError::Screen)?;
        let sha256 = sha256(&bytes);
        stages.add(Stage::Encode, encoding.stop());

        Ok(Part {
            chunk,
            sha256,
            bytes: bytes.into(),
            rejects,
            rows_in,
            rows_out: carried.num_rows(),
            rejected: counted(&bad),
            stages,
        })
    }

    /// Fails when a row is bad for a reason that the job does not tolerate.
    fn refuse(&self, whole: &FeatureBatch, bad: &[BadRow]) -> Result<(), ScoreError> {
        let intolerable = bad
            .iter()
            .find(|bad| self.job.rows.on.action(bad.reason) != Action::Reject);
        match intolerable {
            None => Ok(()),
            Some(bad) => {
                let (file, row) = whole.origin(bad.row);
                Err(ScoreError::BadRow {
                    file: file.to_owned(),
                    row,
                    column: bad.column.clone(),
                    reason: bad.reason,
                })
            }
        }
    }

    /// Takes out the rows whose results are not finite.
    fn finite(
        &self,
        whole: &FeatureBatch,
        scored: RecordBatch,
        predictions: Predictions,
        bad: &mut Vec<BadRow>,
    ) -> Result<(RecordBatch, Predictions), ScoreError> {
        let contract = self.preprocessor.contract();
        let outputs = contract.outputs.iter().zip(&predictions.outputs);
        let mut wrong: Vec<BadRow> = outputs
            .flat_map(|(output, values)| screen::results(values, output.width(), &output.column))
            .collect();
        if wrong.is_empty() {
            return Ok((scored, predictions));
        }
        wrong.sort_by_key(|bad| bad.row);
        wrong.dedup_by_key(|bad| bad.row);
        let keep = screen::kept(scored.num_rows(), &wrong);
        let carried = screen::without(&scored, &wrong)?;
        let outputs = contract
            .outputs
            .iter()
            .zip(&predictions.outputs)
            .map(|(output, values)| {
                let mask = keep.iter().flat_map(|kept| std::iter::repeat_n(kept, output.width()));
                filter(values, &mask.collect())
            });
        let outputs = outputs.collect::<Result<_, ArrowError>>()?;
        // Their numbers count the rows that were left after the first screening.
        let left: Vec<usize> = remaining(whole.columns.num_rows(), bad);
        for wrong in &mut wrong {
            wrong.row = left[wrong.row];
        }
        self.refuse(whole, &wrong)?;
        bad.extend(wrong);
        bad.sort_by_key(|bad| bad.row);
        Ok((carried, Predictions { outputs }))
    }
}

/// Rows of a chunk that are not bad, in order.
fn remaining(rows: usize, bad: &[BadRow]) -> Vec<usize> {
    let mut bad = bad.iter().map(|bad| bad.row).peekable();
    (0..rows).filter(|row| bad.next_if_eq(row).is_none()).collect()
}

fn counted(bad: &[BadRow]) -> Vec<(Reason, usize)> {
    let mut counts = BTreeMap::new();
    for bad in bad {
        *counts.entry(bad.reason).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// Why a chunk was not scored, apart from what its stages say.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// A row that cannot be scored, and the job does not tolerate it.
    #[error("{reason} in `{file}`, row {row}, column `{column}`")]
    BadRow {
        /// The file.
        file: String,
        /// Index of the row in the file, from 0.
        row: u64,
        /// The column.
        column: String,
        /// What is wrong.
        reason: Reason,
    },
    /// Rows could not be taken out.
    #[error("take bad rows out of a chunk")]
    Screen(#[from] ArrowError),
}

impl Seam for ScoreError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::BadRow { .. } => ExitCode::BadRows,
            Self::Screen(_) => ExitCode::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::BadRow { reason: Reason::NullFeature, .. } => Some(
                "give the feature an `impute` value in the contract, or tolerate such rows: [rows] max_bad_rows, max_bad_fraction and on.NULL_FEATURE = \"reject\""
                    .to_owned(),
            ),
            Self::BadRow { reason, .. } => Some(format!(
                "correct the row, or tolerate such rows: [rows] max_bad_rows, max_bad_fraction and on.{reason} = \"reject\""
            )),
            Self::Screen(_) => None,
        }
    }
}
