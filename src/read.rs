//! Reads one chunk: the bytes first, ahead of need; the columns later, on a core that has time.
//!
//! [`fetch`] asks the store and decodes nothing; [`decode`] decodes and asks nobody. Between them lies [`ChunkBytes`], which is what waits
//! in memory.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::DecodeResult;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;

use crate::batch::{ChunkId, FeatureBatch, Origin};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::plan::{Chunk, InputFile, Plan, Span};
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

#[derive(Debug)]
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
pub fn ranges(plan: &Plan, chunk: &Chunk) -> Result<Vec<Vec<Range<u64>>>, ReadError> {
    let spans = chunk.spans.iter();
    spans
        .map(|span| {
            let mut decoder = decoder(plan, span)?;
            match decoder.try_decode().map_err(|source| corrupt(plan, span, source))? {
                DecodeResult::NeedsData(ranges) => Ok(ranges),
                // Nothing to fetch: no column of the files is read.
                DecodeResult::Data(_) | DecodeResult::Finished => Ok(Vec::new()),
            }
        })
        .collect()
}

/// Fetches the bytes of a chunk from the objects that were planned, and from no later version of them.
pub async fn fetch(plan: &Plan, chunk: &Chunk, ranges: Vec<Vec<Range<u64>>>) -> Result<ChunkBytes, ReadError> {
    let spans = chunk.spans.iter().zip(ranges);
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

/// Decodes a chunk into one batch.
pub fn decode(plan: &Plan, fetched: ChunkBytes) -> Result<FeatureBatch, ReadError> {
    let mut batches: Vec<RecordBatch> = Vec::with_capacity(fetched.spans.len());
    let mut origins = Vec::with_capacity(fetched.spans.len());
    for SpanBytes { span, ranges, bytes } in fetched.spans {
        let file = &plan.files[span.file];
        let mut decoder = decoder(plan, &span)?;
        let spanned = pushed(&mut decoder, ranges, bytes).map_err(|source| corrupt(plan, &span, source))?;
        let rows: usize = spanned.iter().map(RecordBatch::num_rows).sum();
        if rows != span.rows.len() {
            return Err(ReadError::Rows {
                file: file.name.clone(),
                row_group: span.row_group,
                expected: span.rows.len(),
                found: rows,
            });
        }
        for batch in spanned {
            batches.push(with_partition(plan, file, &batch)?);
        }
        origins.push(Origin {
            file: file.name.clone(),
            first_row: span.first_row,
            rows,
        });
    }
    Ok(FeatureBatch {
        chunk: fetched.chunk,
        columns: joined(&batches)?,
        origins,
    })
}

fn decoder(plan: &Plan, span: &Span) -> Result<ParquetPushDecoder, ReadError> {
    let file = &plan.files[span.file];
    let whole = file.row_group_rows(span.row_group) == span.rows.len();
    let mut builder = ParquetPushDecoderBuilder::new_with_metadata(file.metadata.clone())
        .with_projection(file.projection.clone())
        .with_row_groups(vec![span.row_group])
        .with_batch_size(span.rows.len().max(1));
    if !whole {
        builder = builder.with_row_selection(RowSelection::from(vec![
            RowSelector::skip(span.rows.start),
            RowSelector::select(span.rows.len()),
        ]));
    }
    builder.build().map_err(|source| corrupt(plan, span, source))
}

fn pushed(
    decoder: &mut ParquetPushDecoder,
    ranges: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
) -> Result<Vec<RecordBatch>, ParquetError> {
    decoder.push_ranges(ranges, bytes)?;
    let mut batches = Vec::new();
    loop {
        match decoder.try_decode()? {
            DecodeResult::Data(batch) => batches.push(batch),
            DecodeResult::Finished => return Ok(batches),
            DecodeResult::NeedsData(ranges) => {
                return Err(ParquetError::General(format!(
                    "the decoder asked for {} ranges that it had not asked for before",
                    ranges.len()
                )));
            }
        }
    }
}

/// Adds the columns that stand in the file's path, with the columns in the same order for every file.
fn with_partition(plan: &Plan, file: &InputFile, batch: &RecordBatch) -> Result<RecordBatch, ReadError> {
    let mut fields = Vec::with_capacity(plan.columns.read.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(plan.columns.read.len());
    for name in &plan.columns.read {
        let column = match batch.column_by_name(name) {
            Some(column) => Arc::clone(column),
            None => path_value(file, name, batch.num_rows()),
        };
        let column = match plan.columns.types.get(name) {
            Some(planned) if planned != column.data_type() => {
                cast_with_options(&column, planned, &STRICT).map_err(ReadError::Join)?
            }
            _ => column,
        };
        // Whether nulls are possible may differ from file to file.
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(ReadError::Join)
}

fn path_value(file: &InputFile, name: &str, rows: usize) -> ArrayRef {
    let found = file.partition.iter().find(|(key, _)| key == name);
    let value = found.and_then(|(_, value)| value.as_deref());
    Arc::new(std::iter::repeat_n(value, rows).collect::<StringArray>())
}

/// A value that does not fit is an error rather than a null that nobody asked for.
const STRICT: CastOptions = CastOptions {
    safe: false,
    format_options: FormatOptions::new(),
};

/// One batch of several, which all have the planned types.
fn joined(batches: &[RecordBatch]) -> Result<RecordBatch, ReadError> {
    match batches {
        [] => Ok(RecordBatch::new_empty(Arc::new(Schema::empty()))),
        [only] => Ok(only.clone()),
        [first, ..] => concat_batches(&first.schema(), batches).map_err(ReadError::Join),
    }
}

fn corrupt(plan: &Plan, span: &Span, source: ParquetError) -> ReadError {
    ReadError::Corrupt {
        file: plan.files[span.file].name.clone(),
        row_group: span.row_group,
        source,
    }
}

/// Why a chunk cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not what a Parquet file would hold.
    #[error("decode row group {row_group} of `{file}`")]
    Corrupt {
        /// The file.
        file: String,
        /// Index of the row group.
        row_group: usize,
        /// What the decoder says.
        source: ParquetError,
    },
    /// The footer and the pages disagree.
    #[error("row group {row_group} of `{file}` gave {found} rows, its footer says {expected}")]
    Rows {
        /// The file.
        file: String,
        /// Index of the row group.
        row_group: usize,
        /// Rows by the footer.
        expected: usize,
        /// Rows decoded.
        found: usize,
    },
    /// Columns of several row groups do not join.
    #[error("join the row groups of a chunk")]
    Join(#[source] ArrowError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Seam for ReadError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Corrupt { .. } | Self::Rows { .. } => ExitCode::BadRows,
            Self::Join(_) => ExitCode::Schema,
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Storage(error) => error.hint(),
            Self::Corrupt { .. } | Self::Rows { .. } | Self::Join(_) => None,
        }
    }
}
