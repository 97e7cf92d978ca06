//! What travels along the line, one type a stage, each with its chunk.
//!
//! `FeatureBatch` (read) becomes `InputTensor`s (preprocess), then `Predictions` (infer), then a `Part` (write). No stage asks an
//! earlier one for anything: keys and positions travel along.

mod encoded;
mod stand_ins;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::MutableBuffer;
use arrow::compute::CastOptions;
use arrow::datatypes::Schema;
use arrow::util::display::FormatOptions;
use bytes::Bytes;

pub use encoded::{EncodedColumn, EncodedPage};
pub use stand_ins::{StandIns, StandInsByFeature};

use crate::clock::Elapsed;
use crate::contract::TensorType;

/// Number of a chunk in its plan, from 0, in input order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub usize);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// What runs side by side while a chunk is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parallelism {
    /// Chunks: the thread that runs one does all of it, since every other thread has a chunk of its own.
    Chunks,
    /// Rows: whoever is idle takes some of the chunk's, since there are fewer chunks than threads. Otherwise a thread that waits for rows
    /// in another's hands would take up a whole chunk in between, and hold its own back for as long.
    Rows,
}

/// Some rows of some chunks, as places in the chunk, in order.
pub type RowsByChunk = BTreeMap<ChunkId, Vec<usize>>;

/// Rows of one chunk that follow one another: all of them, or a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The chunk.
    pub chunk: ChunkId,
    /// Places in it.
    pub rows: Range<usize>,
}

impl Stretch {
    /// Those of some rows that are in here, counted from the first row of the stretch.
    pub fn among(&self, rows: &RowsByChunk) -> Vec<usize> {
        let rows = rows.get(&self.chunk).map_or(&[][..], Vec::as_slice);
        let from = |place| rows.partition_point(|&row| row < place);
        let here = &rows[from(self.rows.start)..from(self.rows.end)];
        here.iter().map(|row| row - self.rows.start).collect()
    }
}

/// A value that does not fit is an error rather than a null that nobody asked for.
pub const STRICT_CAST: CastOptions = CastOptions {
    safe: false,
    format_options: FormatOptions::new(),
};

/// Decoded rows of one chunk, all of them or a piece: keys, passthrough columns and features.
#[derive(Debug, Clone)]
pub struct FeatureBatch {
    /// The chunk.
    pub chunk: ChunkId,
    /// Place in the chunk of its first row.
    pub first: usize,
    /// The columns.
    pub columns: RecordBatch,
    /// Where each run of rows came from, in order.
    pub origins: Vec<Origin>,
    /// Rows that could not be decoded and are nulls here, in order.
    pub lost: Vec<Lost>,
    /// Rows with a value that the type in which they were decoded cannot hold, in order.
    pub unfit: Vec<BadRow>,
    /// Carried columns, by name, that can be copied to the output where all rows of the chunk are written.
    pub encoded: BTreeMap<String, EncodedColumn>,
}

/// Rows of a batch that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Which rows of the batch.
    pub rows: Range<usize>,
    /// Why.
    pub message: String,
}

/// A run of rows of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the file below the input.
    pub file: String,
    /// Index in the file of the run's first row.
    pub first_row: u64,
    /// Rows of the run.
    pub rows: usize,
}

impl FeatureBatch {
    /// Its place in the chunk.
    pub fn stretch(&self) -> Stretch {
        Stretch {
            chunk: self.chunk,
            rows: self.first..self.first + self.columns.num_rows(),
        }
    }

    /// The rows that could not be decoded as they are, as bad rows.
    pub fn bad_from_the_start(&self) -> Vec<BadRow> {
        let rows = self
            .lost
            .iter()
            .flat_map(|lost| lost.rows.clone().map(move |row| (row, lost)));
        let lost = rows.map(|(row, lost)| BadRow {
            message: Some(lost.message.clone()),
            ..BadRow::new(row, crate::spec::Reason::CorruptFile, "")
        });
        lost.chain(self.unfit.iter().cloned()).collect()
    }

    /// File and index in it of a row of the batch.
    pub fn origin(&self, row: usize) -> (&str, u64) {
        let mut before = 0;
        for origin in &self.origins {
            if row < before + origin.rows {
                return (&origin.file, origin.first_row + (row - before) as u64);
            }
            before += origin.rows;
        }
        ("", row as u64)
    }
}

/// Places of columns by their names. Of a name that stands twice it is the last: a column of the path stands as text first, and then as a
/// feature takes it.
pub fn places(schema: &Schema) -> HashMap<&str, usize> {
    let fields = schema.fields().iter().enumerate();
    fields.map(|(place, field)| (field.name().as_str(), place)).collect()
}

/// How many rows make a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSize {
    /// At most so many rows.
    pub rows: usize,
    /// Of documents, as many as have so many tokens, padding counted in.
    pub tokens: Option<usize>,
}

/// One tensor for the model, in plain memory.
#[derive(Debug)]
pub struct InputTensor {
    /// Type of the elements.
    pub dtype: TensorType,
    /// Extents, the rows first.
    pub shape: Vec<i64>,
    /// How the elements lie in `data`.
    pub layout: Layout,
    /// The elements.
    pub data: MutableBuffer,
}

/// How the elements of a tensor lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One row after the other.
    RowMajor,
    /// One column after the other; the model gets a transposed view, which a matrix product takes as it is.
    ColumnMajor,
}

/// What the model said of the rows of one chunk.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// One flat array for each output of the contract: rows times width values.
    pub outputs: Vec<ArrayRef>,
}

/// A row that was not scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Index in the chunk's batch.
    pub row: usize,
    /// Why.
    pub reason: crate::spec::Reason,
    /// The column at fault; empty where it is the row as a whole.
    pub column: String,
    /// What is wrong with it, where more can be said than by the reason alone.
    pub message: Option<String>,
}

impl BadRow {
    /// A row of which the reason says all.
    pub fn new(row: usize, reason: crate::spec::Reason, column: &str) -> Self {
        Self {
            row,
            reason,
            column: column.to_owned(),
            message: None,
        }
    }
}

/// One chunk's predictions as the bytes of a Parquet file, and its account.
#[derive(Debug)]
pub struct Part {
    /// The chunk.
    pub chunk: ChunkId,
    /// A whole Parquet file.
    pub bytes: Bytes,
    /// SHA-256 of it, hex.
    pub sha256: String,
    /// Rejected rows; `None` when there are none.
    pub rejects: Option<RecordBatch>,
    /// Rows read.
    pub rows_in: usize,
    /// Rows in `bytes`.
    pub rows_out: usize,
    /// Rows not scored, by reason.
    pub rejected: Vec<(crate::spec::Reason, usize)>,
    /// What stood for values of the rows that the model was given.
    pub stand_ins: StandInsByFeature,
    /// What each stage took.
    pub stages: StageTimes,
}

impl Part {
    /// Rows not scored.
    pub fn rows_rejected(&self) -> usize {
        self.rejected.iter().map(|(_, rows)| rows).sum()
    }

    /// Bytes that it takes.
    pub fn memory(&self) -> u64 {
        let rejects = self.rejects.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        (self.bytes.len() + rejects) as u64
    }
}

/// A stage of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Bytes from the store.
    Fetch,
    /// Bytes to columns.
    Decode,
    /// Columns to tensors.
    Preprocess,
    /// Tensors to predictions.
    Infer,
    /// Predictions to Parquet.
    Encode,
    /// Parts to one file, checked and published.
    Publish,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 6] = [
        Self::Fetch,
        Self::Decode,
        Self::Preprocess,
        Self::Infer,
        Self::Encode,
        Self::Publish,
    ];

    /// The name in reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Decode => "decode",
            Self::Preprocess => "preprocess",
            Self::Infer => "infer",
            Self::Encode => "encode",
            Self::Publish => "publish",
        }
    }
}

/// Time by stage, summed over threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct StageTimes {
    times: [Elapsed; Stage::ALL.len()],
}

impl StageTimes {
    /// Adds to one stage.
    pub fn add(&mut self, stage: Stage, time: Elapsed) {
        self.times[stage as usize] += time;
    }

    /// Adds all stages of another.
    pub fn merge(&mut self, other: &Self) {
        for stage in Stage::ALL {
            self.add(stage, other.of(stage));
        }
    }

    /// The time of one stage.
    pub fn of(&self, stage: Stage) -> Elapsed {
        self.times[stage as usize]
    }
}
