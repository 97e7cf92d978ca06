//! Reads one chunk: the bytes first, ahead of need; the columns later, on a core that has time.
//!
//! [`fetch`] asks the store and decodes nothing; [`decode`] decodes and asks nobody. Between them lies [`ChunkBytes`], which is what waits
//! in memory. A chunk that takes too much once decoded comes in [`Pieces`].

mod bound;
mod encoded;
mod error;
mod inside;
mod instants;
mod page;
mod pieces;
mod span;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::DecodeResult;
use parquet::errors::ParquetError;

pub use error::{Fault, ReadError, TooLarge};
pub use pieces::Pieces;

use self::page::Held;
use self::span::Budget;
use crate::batch::{BadRow, ChunkId, FeatureBatch, Lost, Origin, STRICT_CAST, places};
use crate::guard::guarded;
use crate::plan::{Chunk, InputFile, Plan, Span, folder_column, retyped};
use crate::storage::StorageError;

/// Spans of a chunk that are fetched at a time: a chunk of many small files would otherwise wait for each in turn.
const CONCURRENT_SPANS: usize = 16;

/// The encoded bytes of one chunk, and nothing decoded yet.
#[derive(Debug)]
pub struct ChunkBytes {
    chunk: ChunkId,
    rows: usize,
    spans: Vec<SpanBytes>,
}

#[derive(Debug, Clone)]
struct SpanBytes {
    span: Span,
    ranges: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
}

impl ChunkBytes {
    /// The chunk.
    pub fn chunk(&self) -> ChunkId {
        self.chunk
    }

    /// Rows of the chunk.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

/// The byte ranges of each span of a chunk.
fn ranges(plan: &Plan, chunk: &Chunk) -> Result<Vec<Vec<Range<u64>>>, ReadError> {
    let spans = chunk.spans.iter();
    spans
        .map(|span| {
            let file = &plan.files[span.file];
            let ranges = guarded(|| {
                let mut decoder = span::decoder(file, span, span.rows.len())?;
                match decoder.try_decode()? {
                    DecodeResult::NeedsData(ranges) => Ok(ranges),
                    // Nothing to fetch: no column of the files is read.
                    DecodeResult::Data(_) | DecodeResult::Finished => Ok(Vec::new()),
                }
            });
            let ranges = ranges.map_err(|panic| span::corrupt(file, span, panic))?;
            ranges.map_err(|source: ParquetError| span::corrupt(file, span, source))
        })
        .collect()
}

/// Fetches the bytes of a chunk from the objects that were planned, and from no later version of them.
pub async fn fetch(plan: &Plan, chunk: &Chunk) -> Result<ChunkBytes, ReadError> {
    let spans = chunk.spans.iter().zip(ranges(plan, chunk)?);
    let spans: Vec<_> = spans.map(|(span, ranges)| fetch_span(plan, span, ranges)).collect();
    let spans = stream::iter(spans).buffered(CONCURRENT_SPANS).try_collect().await?;
    Ok(ChunkBytes {
        chunk: chunk.id,
        rows: chunk.rows,
        spans,
    })
}

async fn fetch_span(plan: &Plan, span: &Span, ranges: Vec<Range<u64>>) -> Result<SpanBytes, StorageError> {
    let file = &plan.files[span.file];
    let bytes = file.place.read_ranges(&ranges, file.etag.as_deref()).await?;
    let span = span.clone();
    Ok(SpanBytes { span, ranges, bytes })
}

/// What decoding may take and lose.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// Bytes of the chunk once decoded, that are in memory at a time.
    pub most_bytes: u64,
    /// Rows of spans that cannot be decoded; such a span then comes as nulls that are marked as lost.
    pub lost_rows: u64,
    /// Whether the rows come in pieces even where they take little.
    pub in_pieces: bool,
}

impl Tolerance {
    /// A chunk of so many bytes, of which no row may be lost.
    pub fn strict(most_bytes: u64) -> Self {
        Self {
            most_bytes,
            lost_rows: 0,
            in_pieces: false,
        }
    }
}

/// A chunk whose rows were all decoded.
#[derive(Debug)]
pub enum Decoded {
    /// They are all here.
    Whole(FeatureBatch),
    /// They take more memory than they may, and come again a few at a time.
    Pieces(Box<Pieces>),
}

impl Decoded {
    /// The rows in pieces in any case: a single one where they are all here.
    pub fn into_pieces(self) -> Box<Pieces> {
        match self {
            Self::Whole(batch) => Box::new(Pieces::single(batch)),
            Self::Pieces(pieces) => pieces,
        }
    }
}

/// Bytes of a lost row: it has as many nulls as there are columns, and a line among the rejects.
const LOST_ROW_BYTES: u64 = 256;

/// How many times what a chunk may take at a time its pieces may take one after the other. Texts that repeat take a hundredth of that in their
/// file; what takes more was made to fill a disk.
const MOST_TIMES: u64 = 32;

/// Decodes a chunk: into one batch, or, where that would take too much, to see that it can be decoded in pieces.
///
/// # Errors
///
/// [`ReadError::TooLarge`] where a row or a page alone takes more than `tolerance.most_bytes`, or all rows one after the other take more than
/// 32 times of it.
pub fn decode(plan: &Plan, fetched: ChunkBytes, tolerance: Tolerance) -> Result<Decoded, ReadError> {
    // Several spans are joined, and then stand in memory twice.
    let limit = match fetched.spans.len() {
        0 | 1 => tolerance.most_bytes,
        _ => tolerance.most_bytes / 2,
    };
    let mut kept = (!tolerance.in_pieces).then(|| Vec::with_capacity(fetched.spans.len()));
    let mut steps = Vec::with_capacity(fetched.spans.len());
    let mut lost: Vec<Lost> = Vec::new();
    let mut unfit: Vec<BadRow> = Vec::new();
    let (mut taken, mut first) = (0, 0);
    let most = tolerance.most_bytes.saturating_mul(MOST_TIMES);
    for bytes in &fetched.spans {
        let rows = bytes.span.rows.len();
        let budget = Budget {
            limit: tolerance.most_bytes,
            kept: kept.as_ref().map(|_| limit.saturating_sub(taken)),
            passing: most.saturating_sub(taken),
        };
        match span::decode(plan, bytes, budget) {
            Ok(span) => {
                unfit.extend(span.unfit.into_iter().map(|bad| BadRow {
                    row: first + bad.row,
                    ..bad
                }));
                taken += span.bytes;
                steps.push(Some(span.step));
                kept = kept.zip(span.batches).map(|(mut kept, batches)| {
                    kept.extend(batches);
                    kept
                });
            }
            Err(error) => {
                let all = lost.iter().map(|lost| lost.rows.len()).sum::<usize>() + rows;
                let nulls = all as u64 * LOST_ROW_BYTES;
                if !error.is_damage() || all as u64 > tolerance.lost_rows || nulls > limit {
                    return Err(error);
                }
                if let Some(kept) = &mut kept {
                    kept.push(nulls_of(plan, rows).map_err(ReadError::Join)?);
                }
                steps.push(None);
                lost.push(Lost {
                    rows: first..first + rows,
                    message: error.in_full(),
                });
            }
        }
        first += rows;
    }
    let Some(batches) = kept else {
        let pieces = Pieces::new(fetched, steps, lost, unfit, limit);
        return Ok(Decoded::Pieces(Box::new(pieces)));
    };
    let encoded = match fetched.spans.as_slice() {
        [SpanBytes { span, ranges, bytes }] => {
            encoded::columns(plan, &plan.files[span.file], span, &Held::new(ranges, bytes))
        }
        _ => BTreeMap::new(),
    };
    let origins = fetched.spans.iter().map(|SpanBytes { span, .. }| Origin {
        file: plan.files[span.file].name.clone(),
        first_row: span.first_row,
        rows: span.rows.len(),
    });
    let origins = origins.collect();
    let chunk = fetched.chunk;
    // Joined, the rows stand in memory twice; the bytes that they were decoded from need not.
    drop(fetched.spans);
    Ok(Decoded::Whole(FeatureBatch {
        chunk,
        first: 0,
        columns: joined(&batches)?,
        origins,
        lost,
        unfit,
        encoded,
    }))
}

/// Rows of which nothing is known.
fn nulls_of(plan: &Plan, rows: usize) -> Result<RecordBatch, ArrowError> {
    let columns = plan.columns.read.iter().map(|name| {
        let kind = plan.columns.types.get(name).cloned().unwrap_or(DataType::Null);
        (name, kind)
    });
    let parsed = plan.columns.parsed.iter().map(|(name, kind)| (name, kind.clone()));
    let columns = columns
        .chain(parsed)
        .map(|(name, kind)| (Field::new(name, kind.clone(), true), new_null_array(&kind, rows)));
    let (fields, columns): (Vec<_>, Vec<_>) = columns.unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

/// Adds the columns that stand in the file's path, with the columns in the same order for every file.
fn with_partition(plan: &Plan, file: &InputFile, batch: &RecordBatch) -> Result<RecordBatch, ReadError> {
    let mut fields = Vec::with_capacity(plan.columns.read.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(plan.columns.read.len());
    let schema = batch.schema();
    let places = places(&schema);
    for name in &plan.columns.read {
        let folder = file.partition.iter().find(|(key, _)| key == name);
        let column = if let (None, Some(&place)) = (folder, places.get(file.own_names.of(name))) {
            Arc::clone(batch.column(place))
        } else {
            let kind = plan.columns.types.get(name).unwrap_or(&DataType::Utf8);
            folder_column(folder_text(file, name), kind, batch.num_rows()).map_err(ReadError::Join)?
        };
        let own = file.own_names.of(name);
        let column = match plan.columns.types.get(name) {
            Some(planned) if folder.is_none() && planned != column.data_type() && file.valueless.has(own) => {
                retyped(&column, planned).ok_or_else(|| ReadError::NotNull {
                    file: file.name.clone(),
                    column: own.to_owned(),
                })?
            }
            Some(planned) if planned != column.data_type() => {
                cast_with_options(&column, planned, &STRICT_CAST).map_err(ReadError::Join)?
            }
            _ => column,
        };
        // Whether nulls are possible may differ from file to file.
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    for (name, kind) in &plan.columns.parsed {
        let text = folder_text(file, name);
        columns.push(folder_column(text, kind, batch.num_rows()).map_err(ReadError::Join)?);
        fields.push(Field::new(name, kind.clone(), true));
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(ReadError::Join)
}

/// What a folder on the way to the file says of a column, unless that it is null.
fn folder_text<'a>(file: &'a InputFile, name: &str) -> Option<&'a str> {
    let mut folders = file.partition.iter();
    folders.find(|(key, _)| key == name)?.1.as_deref()
}

/// One batch of several, which all have the planned types.
fn joined(batches: &[RecordBatch]) -> Result<RecordBatch, ReadError> {
    match batches {
        [] => Ok(RecordBatch::new_empty(Arc::new(Schema::empty()))),
        [only] => Ok(only.clone()),
        [first, ..] => concat_batches(&first.schema(), batches).map_err(ReadError::Join),
    }
}
