//! Finds rows whose key stands in an earlier row of the input.
//!
//! Reads the keys of the whole input, in order, before anything is scored: what becomes of a row must not depend on which chunk is
//! finished first. Keeps 128 bits of a SHA-256 for each key, so that memory depends on the number of rows and not on their keys.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use futures::{StreamExt, stream};
use tracing::warn;

use crate::batch::{FeatureBatch, RowsByChunk};
use crate::digest::sha256_prefix;
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::plan::Plan;
use crate::read::{self, ChunkBytes, Decoded, Pieces, ReadError, Tolerance};

/// Chunks fetched at a time.
const CONCURRENT: usize = 4;

/// Rows whose key stands in an earlier row, by chunk, in order. Rows without a key are none of them.
pub async fn find(plan: &Plan, keys: &[String], tolerance: Tolerance) -> Result<RowsByChunk, DuplicatesError> {
    let plan = &plan.narrowed(keys);
    let mut fetches = stream::iter(&plan.chunks)
        .map(|chunk| read::fetch(plan, chunk))
        .buffered(CONCURRENT);
    let mut seen = HashSet::new();
    let mut found = RowsByChunk::new();
    while let Some(bytes) = fetches.next().await {
        let mut pieces = decoded(plan, bytes?, tolerance).await?;
        while let Some(batch) = pieces.next(plan)? {
            let rows = repeated(&batch, keys, &mut seen)?;
            if !rows.is_empty() {
                let rows = rows.into_iter().map(|row| batch.first + row);
                found.entry(batch.chunk).or_default().extend(rows);
            }
        }
    }
    Ok(found)
}

/// Decodes the keys of a chunk. Bytes that cannot be decoded are fetched once more before a row counts as lost: they may be damaged and the
/// file not.
async fn decoded(plan: &Plan, bytes: ChunkBytes, tolerance: Tolerance) -> Result<Box<Pieces>, ReadError> {
    let chunk = bytes.chunk();
    let decoded = match read::decode(plan, bytes, Tolerance::strict(tolerance.most_bytes)) {
        Err(error) if error.is_damage() => {
            warn!(%chunk, error = error.in_full(), "keys cannot be decoded; fetching them once more");
            read::decode(plan, read::fetch(plan, plan.chunk(chunk)).await?, tolerance)
        }
        decoded => decoded,
    };
    decoded.map(Decoded::into_pieces)
}

/// The first of the rows that were found, for a message.
pub fn first(plan: &Plan, found: &RowsByChunk, keys: &[String]) -> Option<DuplicatesError> {
    let (chunk, rows) = found.first_key_value()?;
    let (file, row) = plan.origin(*chunk, *rows.first()?)?;
    Some(DuplicatesError::Found {
        rows: found.values().map(Vec::len).sum(),
        file: file.to_owned(),
        row,
        key: keys.join(", "),
    })
}

fn repeated(batch: &FeatureBatch, keys: &[String], seen: &mut HashSet<u128>) -> Result<Vec<usize>, ArrowError> {
    let columns: Vec<ArrayRef> = keys
        .iter()
        .filter_map(|key| batch.columns.column_by_name(key).cloned())
        .collect();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(fields.collect())?.convert_columns(&columns)?;
    let has_key = |row: &usize| columns.iter().all(|column| column.is_valid(*row));
    let mut found = Vec::new();
    for row in (0..batch.columns.num_rows()).filter(has_key) {
        if !seen.insert(sha256_prefix(rows.row(row).as_ref())) {
            found.push(row);
        }
    }
    Ok(found)
}

/// Why keys could not be compared, or what came of it.
#[derive(Debug, thiserror::Error)]
pub enum DuplicatesError {
    /// A key stands twice, and the job does not tolerate it.
    #[error(
        "DUPLICATE_KEY in `{file}`, row {row}, column `{key}`: an earlier row has the same key ({rows} such rows in all)"
    )]
    Found {
        /// All of them.
        rows: usize,
        /// File of the first.
        file: String,
        /// Index of the first in the file, from 0.
        row: u64,
        /// The key columns.
        key: String,
    },
    /// The keys could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Keys of a type that cannot be compared.
    #[error("compare the keys")]
    Compare(#[from] ArrowError),
}

impl Seam for DuplicatesError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Found { .. } => ExitCode::BadRows,
            Self::Read(error) => error.exit(),
            Self::Compare(_) => ExitCode::Schema,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Found { .. } => Some(
                "correct the rows, or keep the first of each: [rows] max_bad_rows, max_bad_fraction and on.DUPLICATE_KEY = \"reject\""
                    .to_owned(),
            ),
            Self::Read(error) => error.hint(),
            Self::Compare(_) => Some("a key is a number, a string, a date or a time".to_owned()),
        }
    }
}
