//! Scores one chunk from its bytes to its part, on one core: decode, derive, screen, prepare, infer, encode. One that takes too much memory
//! once decoded goes through the same stages a few rows at a time.
//!
//! The only file that knows the stages one after the other; each of them knows none of the others. No I/O happens here.

mod error;
mod forward;
mod isolate;
mod pieces;
mod unfit;
mod tuner;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

pub use error::ScoreError;
pub use forward::{Forwarded, Pass, forward};
pub use isolate::Evidence;
pub use tuner::{Measure, Measured, Tuner};

use self::pieces::Published;
use crate::batch::{
    BadRow, EncodedColumn, FeatureBatch, Parallelism, Part, RowsByChunk, Stage, StageTimes, StandInsByFeature,
};
use crate::clock::{Clock, Elapsed, Stopwatch};
use crate::digest::sha256;
use crate::error::Error;
use crate::infer::Model;
use crate::output::OutputSchema;
use crate::plan::Plan;
use crate::preprocess::{Preprocessor, Screened, screen};
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
    stand_ins: StandInsByFeature,
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
            stand_ins,
            encoded,
        } = self.rows(input, published.as_ref(), &mut stages)?;
        let encoding = Stopwatch::start(self.clock.as_ref());
        let bytes = match published {
            Some(_) => write::encode(&self.schema, &rows)?,
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
            stand_ins,
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
        let stand_ins = prepared.stand_ins().clone();

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
            stand_ins,
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
}

fn counted(bad: &[BadRow]) -> Vec<(Reason, usize)> {
    let mut counts = BTreeMap::new();
    for bad in bad {
        *counts.entry(bad.reason).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}
