//! Scores one chunk from its bytes to its part, on one core: decode, derive, screen, prepare, infer, encode. One that takes too much memory
//! once decoded goes through the same stages a few rows at a time.
//!
//! The only file that knows the stages one after the other; each of them knows none of the others. No I/O happens here.

mod error;
mod forward;
mod isolate;
mod pieces;
mod tuner;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter;
use arrow::error::ArrowError;

pub use error::ScoreError;
pub use forward::{Forwarded, Pass, forward};
pub use isolate::Evidence;
pub use tuner::{Measure, Measured, Tuner};

use self::pieces::Published;
use crate::batch::{
    BadRow, EncodedColumn, FeatureBatch, Parallelism, Part, Predictions, RowsByChunk, Stage, StageTimes, Stretch,
};
use crate::clock::{Clock, Elapsed, Stopwatch};
use crate::digest::sha256;
use crate::error::Error;
use crate::infer::Model;
use crate::output::OutputSchema;
use crate::plan::Plan;
use crate::preprocess::{Prepared, Preprocessor, Screened, screen};
use crate::read::{self, ChunkBytes, Pieces, ReadError, Tolerance};
use crate::rejects;
use crate::rescore::{Rescore, RescoreError};
use crate::spec::{Action, OnCorruptFile, Reason};
use crate::validate::Job;
use crate::write::{self, PartEncoder};

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
    /// Encodes parts of them.
    pub encoder: PartEncoder,
    /// How many rows make a batch.
    pub tuner: Tuner,
    /// What runs side by side. The same for all chunks: what a row is batched with must not depend on how far a run has come, since sums in
    /// another order differ in their last digits.
    pub parallelism: Parallelism,
    /// Rows whose key stands in an earlier row, by chunk.
    pub duplicates: RowsByChunk,
    /// What is published already, where only rejected rows are scored.
    pub rescore: Option<Rescore>,
    /// Whether the model has given results in this run.
    pub evidence: Evidence,
    /// Bytes that a chunk may take once decoded.
    pub max_decoded: u64,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What was fetched of a chunk.
#[derive(Debug)]
pub struct Fetched {
    /// Its input.
    pub input: ChunkBytes,
    /// Its rows that are published already, where only rejected rows are scored.
    pub published: Option<ChunkBytes>,
}

/// What was decoded of a chunk, and what that took.
#[derive(Debug)]
pub struct Decoded {
    rows: Rows,
    took: Elapsed,
}

/// The input of a chunk, and its rows that are published already where only rejected rows are scored.
#[derive(Debug)]
enum Rows {
    /// They are all here.
    Whole {
        input: Box<FeatureBatch>,
        published: Option<RecordBatch>,
    },
    /// They come a few at a time.
    Pieces {
        input: Box<Pieces>,
        published: Option<Published>,
    },
}

/// What came of some rows.
struct Scored {
    /// What is written: all columns where the rows are those of an earlier publication and new ones, else all but lineage.
    rows: RecordBatch,
    rejects: Option<RecordBatch>,
    bad: Vec<BadRow>,
    /// Columns that can be copied where all rows are written.
    encoded: BTreeMap<String, EncodedColumn>,
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
    pub fn decode(&self, fetched: Fetched, attempt: Attempt) -> Result<Decoded, ReadError> {
        let may_lose = attempt == Attempt::Last && self.job.on_corrupt_file == OnCorruptFile::Reject;
        let strict = Tolerance::strict(self.max_decoded);
        let tolerance = Tolerance {
            lost_rows: if may_lose { self.job.rows.max_bad_rows } else { 0 },
            ..strict
        };
        let decoding = Stopwatch::start(self.clock.as_ref());
        let published = match self.rescore.as_ref().zip(fetched.published) {
            Some((rescore, bytes)) => Some(read::decode(&rescore.published, bytes, strict)?),
            None => None,
        };
        let tolerance = Tolerance {
            in_pieces: matches!(published, Some(read::Decoded::Pieces(_))),
            ..tolerance
        };
        let input = read::decode(&self.plan, fetched.input, tolerance)?;
        let rows = match (input, published) {
            (read::Decoded::Whole(input), None) => Rows::Whole {
                input: Box::new(input),
                published: None,
            },
            (read::Decoded::Whole(input), Some(read::Decoded::Whole(published))) => Rows::Whole {
                input: Box::new(input),
                published: Some(published.columns),
            },
            (input, published) => Rows::Pieces {
                input: input.into_pieces(),
                published: published.map(|published| Published::of(published.into_pieces())),
            },
        };
        Ok(Decoded {
            rows,
            took: decoding.stop(),
        })
    }

    /// Scores a chunk that has been decoded.
    pub fn score(&self, decoded: Decoded) -> Result<Part, Error> {
        let Decoded { rows, took } = decoded;
        let mut stages = StageTimes::default();
        stages.add(Stage::Decode, took);
        let (input, published) = match rows {
            Rows::Whole { input, published } => (*input, published),
            Rows::Pieces { input, published } => return self.in_pieces(*input, published, stages),
        };
        let (chunk, rows_in) = (input.chunk, input.columns.num_rows());
        let Scored {
            rows,
            rejects,
            bad,
            encoded,
        } = self.rows(input, published.as_ref(), &mut stages)?;
        let encoding = Stopwatch::start(self.clock.as_ref());
        let bytes = match published {
            Some(_) => write::encode(&rows)?,
            None => self.encoder.encode(&rows, &encoded)?,
        };
        let sha256 = sha256(&bytes);
        stages.add(Stage::Encode, encoding.stop());
        Ok(Part {
            chunk,
            sha256,
            bytes: bytes.into(),
            rejects,
            rows_in,
            rows_out: rows.num_rows(),
            rejected: counted(&bad),
            stages,
        })
    }

    /// Scores some rows of a chunk.
    fn rows(
        &self,
        input: FeatureBatch,
        published: Option<&RecordBatch>,
        stages: &mut StageTimes,
    ) -> Result<Scored, Error> {
        let clock = self.clock.as_ref();
        let contract = self.preprocessor.contract();
        let stretch = input.stretch();
        let preparing = Stopwatch::start(clock);
        let batch = self.imputed(self.only_rejected(input, published)?)?;
        let whole = self.preprocessor.derive(batch)?;
        let known = self.known(&whole, &stretch)?;
        let screened = screen::features(
            whole.clone(),
            &self.job.keys,
            &self.preprocessor,
            self.job.rows.on,
            known,
        );
        let mut screened = screened.map_err(ScoreError::Screen)?;
        self.refuse(&whole, &screened.bad)?;
        stages.add(Stage::Preprocess, preparing.stop());
        let prepared = self.prepare(&whole, &mut screened)?;
        stages.add(Stage::Preprocess, prepared.took());

        let forwarded = forward(&prepared, self.pass())?;
        stages.merge(&forwarded.times);

        let encoding = Stopwatch::start(clock);
        let predictions = self.sound(&whole, &mut screened, forwarded)?;
        let Screened { batch, bad } = screened;
        let carried = self.carried(&whole, &bad)?;
        let mut rows = write::batch(&self.schema, contract, &carried, &predictions)?;
        if let Some((rescore, published)) = self.rescore.as_ref().zip(published) {
            let scored = write::whole(&self.schema, &rows)?;
            rows = rescore
                .merge(&stretch, self.schema.logical(), published, &scored, &bad)
                .map_err(RescoreError::Merge)?;
        }
        let features = if self.job.rows.include_values {
            self.plan.columns.read.as_slice()
        } else {
            &[]
        };
        let rejects = rejects::batch(&self.job.keys, features, &whole, &bad).map_err(ScoreError::Screen)?;
        stages.add(Stage::Encode, encoding.stop());
        Ok(Scored {
            rows,
            rejects,
            bad,
            encoded: batch.encoded,
        })
    }

    /// Whether the model takes any of some rows of a chunk; of one that cannot be made ready for it, none.
    pub fn takes_any(&self, input: ChunkBytes) -> Result<bool, Error> {
        let Ok(decoded) = read::decode(&self.plan, input, Tolerance::strict(self.max_decoded)) else {
            return Ok(false);
        };
        let mut pieces = decoded.into_pieces();
        while let Ok(Some(piece)) = pieces.next(&self.plan) {
            if self.takes_any_of(piece)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn takes_any_of(&self, batch: FeatureBatch) -> Result<bool, Error> {
        let whole = self.preprocessor.derive(self.imputed(batch)?)?;
        let screened = screen::features(whole, &self.job.keys, &self.preprocessor, self.job.rows.on, Vec::new());
        let screened = screened.map_err(ScoreError::Screen)?;
        // This thread is none of the line's, whose pool the documents of a chunk would be cut in.
        let prepared = self
            .preprocessor
            .prepare(&screened.batch, Parallelism::Chunks, self.clock.as_ref());
        match prepared {
            Ok(prepared) => Ok(forward::takes_any(&prepared, self.pass())?),
            Err(_) => Ok(false),
        }
    }

    /// How the model is run.
    fn pass(&self) -> Pass<'_> {
        Pass {
            model: self.model.as_ref(),
            preprocessor: &self.preprocessor,
            tuner: &self.tuner,
            parallelism: self.parallelism,
            evidence: &self.evidence,
            tolerated: match self.job.rows.on.model_error {
                Action::Reject => self.job.rows.max_bad_rows,
                Action::Fail | Action::Impute => 0,
            },
            clock: self.clock.as_ref(),
        }
    }

    /// The carried columns of the rows that were scored, with the values that were read: what is imputed is imputed for the model alone.
    fn carried(&self, whole: &FeatureBatch, bad: &[BadRow]) -> Result<RecordBatch, ScoreError> {
        let schema = whole.columns.schema();
        let names = self.schema.carried().iter();
        let columns: Vec<usize> = names.filter_map(|field| schema.index_of(field.name()).ok()).collect();
        Ok(screen::without(&whole.columns.project(&columns)?, bad)?)
    }

    /// The rows that are to be scored: all, unless the run is about rejected rows alone.
    fn only_rejected(&self, batch: FeatureBatch, published: Option<&RecordBatch>) -> Result<FeatureBatch, Error> {
        let Some((rescore, published)) = self.rescore.as_ref().zip(published) else {
            return Ok(batch);
        };
        rescore.compare(&batch, published, &self.job.keys)?;
        Ok(rescore.pick(&batch).map_err(RescoreError::Merge)?)
    }

    /// The rows with nulls in the place of values that their own type cannot hold, where the job imputes those. A key or a carried column is
    /// published as it was read, so that a row with such a value in it stays bad.
    fn imputed(&self, batch: FeatureBatch) -> Result<FeatureBatch, ScoreError> {
        if batch.unfit.is_empty() || self.job.rows.on.cast_overflow != Action::Impute {
            return Ok(batch);
        }
        let is_carried = |bad: &BadRow| self.schema.carried().iter().any(|field| *field.name() == bad.column);
        let (unfit, imputed): (Vec<_>, Vec<_>) = batch.unfit.into_iter().partition(is_carried);
        Ok(FeatureBatch {
            columns: screen::nulled(&batch.columns, &imputed)?,
            unfit,
            ..batch
        })
    }

    /// Rows that are bad for a reason which their own values do not show.
    fn known(&self, whole: &FeatureBatch, stretch: &Stretch) -> Result<Vec<BadRow>, Error> {
        let mut known = Vec::new();
        if self.job.rows.on.unknown_category != Action::Impute {
            known.extend(self.preprocessor.unknown_categories(&whole.columns)?);
        }
        let rows = stretch.among(&self.duplicates);
        if !rows.is_empty() {
            let key = self.job.keys.first().map_or("", String::as_str);
            let rows = match &self.rescore {
                Some(rescore) => {
                    let picked = rescore.picked(stretch, &rows);
                    // A row that is published stays, so that it cannot be the one that gives way.
                    if picked.len() < rows.len() {
                        return Err(RescoreError::Duplicates {
                            chunk: whole.chunk,
                            rows: rows.len() - picked.len(),
                        }
                        .into());
                    }
                    picked
                }
                None => rows,
            };
            known.extend(rows.into_iter().map(|row| BadRow::new(row, Reason::DuplicateKey, key)));
        }
        Ok(known)
    }

    /// Prepares the features; rows with a value that no cast brings into its tensor are bad, too.
    fn prepare(&self, whole: &FeatureBatch, screened: &mut Screened) -> Result<Prepared, Error> {
        let (parallelism, clock) = (self.parallelism, self.clock.as_ref());
        let failure = match self.preprocessor.prepare(&screened.batch, parallelism, clock) {
            Ok(prepared) => return Ok(prepared),
            Err(failure) => failure,
        };
        let overflowing = self.preprocessor.overflowing(&screened.batch.columns)?;
        if overflowing.is_empty() {
            return Err(failure.into());
        }
        if self.job.rows.on.cast_overflow == Action::Impute {
            let columns = screen::nulled(&screened.batch.columns, &overflowing).map_err(ScoreError::Screen)?;
            screened.batch.columns = columns;
        } else {
            self.take_out(whole, screened, screen::once(overflowing))?;
        }
        Ok(self.preprocessor.prepare(&screened.batch, parallelism, clock)?)
    }

    /// Takes out the rows on which the model throws, and those whose results are not finite.
    fn sound(
        &self,
        whole: &FeatureBatch,
        screened: &mut Screened,
        forwarded: Forwarded,
    ) -> Result<Predictions, ScoreError> {
        let Forwarded {
            predictions,
            bad: mut wrong,
            is_cut_short,
            ..
        } = forwarded;
        if is_cut_short {
            return Err(self.thrown(whole, screened, &wrong));
        }
        let contract = self.preprocessor.contract();
        let outputs = contract.outputs.iter().zip(&predictions.outputs);
        wrong.extend(outputs.flat_map(|(output, values)| screen::results(values, output.width(), &output.column)));
        if wrong.is_empty() {
            return Ok(predictions);
        }
        let wrong = screen::once(wrong);
        let keep = screen::kept(screened.batch.columns.num_rows(), &wrong);
        self.take_out(whole, screened, wrong)?;
        let outputs = contract
            .outputs
            .iter()
            .zip(&predictions.outputs)
            .map(|(output, values)| {
                let mask = keep.iter().flat_map(|kept| std::iter::repeat_n(kept, output.width()));
                filter(values, &mask.collect())
            });
        let outputs = outputs.collect::<Result<_, ArrowError>>()?;
        Ok(Predictions { outputs })
    }

    /// Takes further rows out. Their numbers count the rows that are left.
    fn take_out(
        &self,
        whole: &FeatureBatch,
        screened: &mut Screened,
        mut wrong: Vec<BadRow>,
    ) -> Result<(), ScoreError> {
        screened.batch.columns = screen::without(&screened.batch.columns, &wrong)?;
        renumber(&mut wrong, whole, screened);
        self.refuse(whole, &wrong)?;
        screened.bad.extend(wrong);
        screened.bad.sort_by_key(|bad| bad.row);
        Ok(())
    }

    /// Fails when a row is bad for a reason that the job does not tolerate.
    fn refuse(&self, whole: &FeatureBatch, bad: &[BadRow]) -> Result<(), ScoreError> {
        let intolerable = bad
            .iter()
            .find(|bad| self.job.rows.on.action(bad.reason) != Action::Reject);
        intolerable.map_or(Ok(()), |bad| Err(ScoreError::bad_row(whole, bad)))
    }

    /// The failure of a chunk with more rows on which the model throws than the job allows.
    fn thrown(&self, whole: &FeatureBatch, screened: &Screened, wrong: &[BadRow]) -> ScoreError {
        let mut wrong = wrong.to_vec();
        renumber(&mut wrong, whole, screened);
        match (wrong.first(), self.job.rows.on.model_error) {
            (Some(first), Action::Reject) => ScoreError::Thrown {
                rows: wrong.len(),
                chunk: whole.chunk,
                allowed: self.job.rows.max_bad_rows,
                first: Box::new(ScoreError::bad_row(whole, first)),
            },
            (first, _) => {
                let bad = BadRow::new(0, Reason::ModelError, "");
                ScoreError::bad_row(whole, first.unwrap_or(&bad))
            }
        }
    }
}

/// Numbers of rows among those that are left become numbers in the chunk.
fn renumber(wrong: &mut [BadRow], whole: &FeatureBatch, screened: &Screened) {
    let left = remaining(whole.columns.num_rows(), &screened.bad);
    for wrong in wrong {
        wrong.row = left[wrong.row];
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
