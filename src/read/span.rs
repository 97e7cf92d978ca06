//! Decodes one span: in one go where its bound is within the limit, else a few rows at a time until they have taken too much.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, RowSelection, RowSelector};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;

use super::bound::{self, Excess};
use super::error::{Fault, ReadError};
use super::page::Held;
use crate::guard::guarded;
use crate::plan::{InputFile, OtherTypes, Span};

/// The share of the limit that a few rows may take before they are counted.
const SHARE_OF_STEP: u64 = 16;

/// Bytes of a key into a dictionary.
const KEY_BYTES: u64 = 4;

/// Held while a span is decoded that may be larger than it looks: one at a time, so that several do not fill the memory together.
static LARGE: Mutex<()> = Mutex::new(());

/// Decodes a span into batches that take at most `limit` bytes. A panic of the decoder is the fault of the bytes.
pub(super) fn decode(
    file: &InputFile,
    span: &Span,
    ranges: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
    limit: u64,
) -> Result<Vec<RecordBatch>, ReadError> {
    let decoded = guarded(|| decode_within(file, span, ranges, bytes, limit));
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(panic) => Err(Excess::Fault(panic.into())),
    };
    decoded.map_err(|excess| match excess {
        Excess::Fault(source) => corrupt(file, span, source),
        Excess::Column(column) => ReadError::TooLarge {
            file: file.name.clone(),
            row_group: span.row_group,
            column,
            limit,
        },
    })
}

pub(super) fn corrupt(file: &InputFile, span: &Span, source: impl Into<Fault>) -> ReadError {
    ReadError::Corrupt {
        file: file.name.clone(),
        row_group: span.row_group,
        source: source.into(),
    }
}

/// Decodes some columns of a span once more in other types. Their memory is that of numbers, which is little beside the span's own.
pub(super) fn decode_as(
    file: &InputFile,
    other: &OtherTypes,
    span: &Span,
    ranges: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
) -> Result<Vec<RecordBatch>, ReadError> {
    let decoded = guarded(|| {
        let decoder =
            decoder_of(file, &other.metadata, &other.projection, span, span.rows.len()).map_err(Stop::Fault)?;
        pushed(decoder, ranges, bytes, |_| Ok(()))
    });
    match decoded {
        Ok(Ok(batches)) => Ok(batches),
        Ok(Err(Stop::Fault(source))) => Err(corrupt(file, span, source)),
        // Nothing is counted, so that nothing is full.
        Ok(Err(Stop::Full)) => Ok(Vec::new()),
        Err(panic) => Err(corrupt(file, span, panic)),
    }
}

fn decode_within(
    file: &InputFile,
    span: &Span,
    ranges: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
    limit: u64,
) -> Result<Vec<RecordBatch>, Excess> {
    let bound = bound::of(file, span, &Held::new(&ranges, &bytes), limit)?;
    if bound.decoded <= limit {
        let decoder = decoder(file, span, span.rows.len()).map_err(Fault::from)?;
        return Ok(pushed(decoder, ranges, bytes, |_| Ok(()))?);
    }
    let _alone = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
    // What comes in pieces is joined afterwards, and then stands in memory twice.
    let limit = limit / 2;
    let step = usize::try_from(limit / SHARE_OF_STEP / bound.row.max(1)).unwrap_or(usize::MAX);
    let decoder = decoder(file, span, step.clamp(1, span.rows.len().max(1))).map_err(Fault::from)?;
    let mut taken: u64 = 0;
    let counted = pushed(decoder, ranges, bytes, |batch| {
        taken += size(batch);
        if taken > limit { Err(()) } else { Ok(()) }
    });
    match counted {
        Ok(batches) => Ok(batches),
        Err(Stop::Fault(source)) => Err(Excess::Fault(source.into())),
        Err(Stop::Full) => Err(Excess::Column(bound.largest)),
    }
}

/// Bytes of a batch; what dictionaries share with the next batch is not counted each time.
fn size(batch: &RecordBatch) -> u64 {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Dictionary(..) => column.len() as u64 * KEY_BYTES,
        _ => column.get_array_memory_size() as u64,
    });
    columns.sum()
}

/// A decoder of a span, so many rows at a time.
pub(super) fn decoder(file: &InputFile, span: &Span, batch_rows: usize) -> Result<ParquetPushDecoder, ParquetError> {
    decoder_of(file, &file.metadata, &file.projection, span, batch_rows)
}

fn decoder_of(
    file: &InputFile,
    metadata: &ArrowReaderMetadata,
    projection: &ProjectionMask,
    span: &Span,
    batch_rows: usize,
) -> Result<ParquetPushDecoder, ParquetError> {
    let whole = file.row_group_rows(span.row_group) == span.rows.len();
    let mut builder = ParquetPushDecoderBuilder::new_with_metadata(metadata.clone())
        .with_projection(projection.clone())
        .with_row_groups(vec![span.row_group])
        .with_batch_size(batch_rows.max(1));
    if !whole {
        builder = builder.with_row_selection(RowSelection::from(vec![
            RowSelector::skip(span.rows.start),
            RowSelector::select(span.rows.len()),
        ]));
    }
    builder.build()
}

/// Why decoding ended early.
enum Stop {
    Fault(ParquetError),
    Full,
}

impl From<Stop> for Excess {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Fault(source) => Self::Fault(source.into()),
            Stop::Full => Self::Column(String::new()),
        }
    }
}

fn pushed(
    mut decoder: ParquetPushDecoder,
    ranges: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
    mut count: impl FnMut(&RecordBatch) -> Result<(), ()>,
) -> Result<Vec<RecordBatch>, Stop> {
    decoder.push_ranges(ranges, bytes).map_err(Stop::Fault)?;
    let mut batches = Vec::new();
    loop {
        match decoder.try_decode().map_err(Stop::Fault)? {
            DecodeResult::Data(batch) => {
                count(&batch).map_err(|()| Stop::Full)?;
                batches.push(batch);
            }
            DecodeResult::Finished => return Ok(batches),
            DecodeResult::NeedsData(ranges) => {
                return Err(Stop::Fault(ParquetError::General(format!(
                    "the decoder asked for {} ranges that it had not asked for before",
                    ranges.len()
                ))));
            }
        }
    }
}
