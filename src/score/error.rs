//! Why a chunk is not scored, apart from what its stages say.

use arrow::error::ArrowError;
use bytesize::ByteSize;

use crate::batch::{BadRow, ChunkId, FeatureBatch};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::spec::Reason;

/// Why a chunk was not scored, apart from what its stages say.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// A row that cannot be scored, and the job does not tolerate it.
    #[error("{reason} in `{file}`, row {row}{}: {message}", in_column(column))]
    BadRow {
        /// The file.
        file: String,
        /// Index of the row in the file, from 0.
        row: u64,
        /// The column.
        column: String,
        /// What is wrong.
        reason: Reason,
        /// The same in words.
        message: String,
    },
    /// More rows on which the model throws than the job allows.
    #[error(
        "the model throws on {rows} rows of chunk {chunk} at least, the job allows max_bad_rows = {allowed}; the first: {first}"
    )]
    Thrown {
        /// Rows found until the search ended.
        rows: usize,
        /// The chunk.
        chunk: ChunkId,
        /// Rows allowed.
        allowed: u64,
        /// The first of them.
        first: Box<ScoreError>,
    },
    /// The output of a chunk would fill the memory.
    #[error("the output of chunk {chunk} takes more than {} of memory", ByteSize(*.limit))]
    LargePart {
        /// The chunk.
        chunk: ChunkId,
        /// Bytes that it may take.
        limit: u64,
    },
    /// Rows could not be taken out.
    #[error("take bad rows out of a chunk")]
    Screen(#[from] ArrowError),
}

impl ScoreError {
    /// The failure of a bad row.
    pub(super) fn bad_row(whole: &FeatureBatch, bad: &BadRow) -> Self {
        let (file, row) = whole.origin(bad.row);
        Self::BadRow {
            file: file.to_owned(),
            row,
            column: bad.column.clone(),
            reason: bad.reason,
            message: bad.message.clone().unwrap_or_else(|| bad.reason.text().to_owned()),
        }
    }
}

fn in_column(column: &str) -> String {
    match column {
        "" => String::new(),
        column => format!(", column `{column}`"),
    }
}

impl Seam for ScoreError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::BadRow { .. } | Self::Thrown { .. } | Self::LargePart { .. } => ExitCode::BadRows,
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
            Self::Thrown { .. } => Some(
                "correct the rows or the model, or raise both [rows] max_bad_rows and max_bad_fraction; nothing was published".to_owned(),
            ),
            Self::LargePart { .. } => Some(
                "raise `[line] max_decoded`, lower `[line] chunk_rows`, or carry fewer columns to the output: `passthrough` below [input]".to_owned(),
            ),
            Self::Screen(_) => None,
        }
    }
}
