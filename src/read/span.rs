//! Decodes one span a few rows at a time, or in one go where its bound is within the limit.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayData, AsArray, RecordBatch};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, RowSelection, RowSelector};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;

use super::bound::{self, Excess};
use super::error::{Fault, ReadError, TooLarge};
use super::{SpanBytes, instants, with_partition};
use crate::batch::BadRow;
use crate::guard::guarded;
use crate::plan::{InputFile, Plan, Span};

/// The share of the limit that a few rows may take before they are counted.
const SHARE_OF_STEP: u64 = 32;

/// The same in bytes, where the limit would allow more.
const STEP_BYTES: u64 = 4 << 20;

/// Bytes of a key into a dictionary.
const KEY_BYTES: u64 = 4;

/// Held while a span is decoded that may be larger than it looks: one at a time, so that several do not fill the memory together.
static LARGE: Mutex<()> = Mutex::new(());

/// Waits until no other span is decoded that may be larger than it looks. Nothing that waits for other threads may be done meanwhile.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    LARGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What decoding a span may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Bytes that anything of it may take at a time.
    pub(super) limit: u64,
    /// Bytes of its batches together; `None` where they need not stay.
    pub(super) kept: Option<u64>,
    /// Bytes of its batches one after the other.
    pub(super) passing: u64,
}

/// A span that was decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Its batches; `None` where they take more together than may be kept.
    pub(super) batches: Option<Vec<RecordBatch>>,
    /// Bytes that they take.
    pub(super) bytes: u64,
    /// Rows with a value that their type cannot hold, in order.
    pub(super) unfit: Vec<BadRow>,
    /// Rows that may be decoded at a time without a count, where it is decoded in pieces.
    pub(super) step: usize,
}

/// Decodes a span. A panic of the decoder is the fault of the bytes.
pub(super) fn decode(plan: &Plan, bytes: &SpanBytes, budget: Budget) -> Result<Decoded, ReadError> {
    let (file, span) = (&plan.files[bytes.span.file], &bytes.span);
    let bound = guarded(|| bound::of(plan, bytes, budget.limit));
    let bound = match bound {
        Ok(Ok(bound)) => bound,
        Ok(Err(Excess::Fault(source))) => return Err(corrupt(file, span, source)),
        Ok(Err(Excess::Column(column, what))) => return Err(too_large(file, span, column, what)),
        Err(panic) => return Err(corrupt(file, span, panic)),
    };
    let is_little = budget.kept.is_some_and(|kept| bound.decoded <= kept);
    let stated = bound.stated.filter(|_| !is_little);
    if stated.is_some_and(|stated| stated > budget.passing) {
        return Err(too_large(file, span, bound.largest, TooLarge::Chunk(budget.passing)));
    }
    let _alone = (!is_little).then(alone);
    // What comes in steps is joined afterwards, and then stands in memory twice.
    let most_kept = budget.kept.map(|kept| if is_little { kept } else { kept / 2 });
    let most_kept = most_kept.filter(|kept| stated.is_none_or(|stated| stated <= *kept));
    let at_once = if is_little {
        span.rows.len()
    } else {
        step(budget.limit, bound.row)
    };
    let mut steps = Steps::new(file, bytes, at_once)?;
    let mut decoded = Decoded {
        batches: most_kept.map(|_| Vec::new()),
        bytes: 0,
        unfit: Vec::new(),
        step: step(budget.limit, bound.row),
    };
    let mut sizes = Sizes::default();
    while let Some((batch, unfit)) = steps.next(plan, file, span)? {
        decoded.bytes += sizes.of(&batch);
        decoded.unfit.extend(unfit);
        if decoded.bytes > budget.passing {
            return Err(too_large(file, span, bound.largest, TooLarge::Chunk(budget.passing)));
        }
        match &mut decoded.batches {
            Some(batches) if is_little || most_kept.is_some_and(|most| decoded.bytes <= most) => batches.push(batch),
            _ => decoded.batches = None,
        }
    }
    Ok(decoded)
}

/// Rows that are decoded before they are counted, where a row takes about so much.
fn step(limit: u64, row: u64) -> usize {
    let bytes = (limit / SHARE_OF_STEP).min(STEP_BYTES);
    usize::try_from(bytes / row.max(1)).unwrap_or(usize::MAX).max(1)
}

fn too_large(file: &InputFile, span: &Span, column: String, what: TooLarge) -> ReadError {
    ReadError::TooLarge {
        file: file.name.clone(),
        row_group: span.row_group,
        column,
        what,
    }
}

pub(super) fn corrupt(file: &InputFile, span: &Span, source: impl Into<Fault>) -> ReadError {
    ReadError::Corrupt {
        file: file.name.clone(),
        row_group: span.row_group,
        source: source.into(),
    }
}

/// A span that is decoded a few rows at a time.
#[derive(Debug)]
pub(super) struct Steps {
    decoder: ParquetPushDecoder,
    /// The same rows of `INT96` columns as seconds, where there are such columns.
    seconds: Option<ParquetPushDecoder>,
    /// Rows so far.
    rows: usize,
}

impl Steps {
    /// Decodes so many rows at a time.
    pub(super) fn new(file: &InputFile, bytes: &SpanBytes, step: usize) -> Result<Self, ReadError> {
        let span = &bytes.span;
        let step = step.clamp(1, span.rows.len().max(1));
        let pushed = |metadata: &ArrowReaderMetadata, projection: &ProjectionMask| -> Result<_, ParquetError> {
            let mut decoder = decoder_of(file, metadata, projection, span, step)?;
            // The bytes are counted, so that this copies none of them.
            decoder.push_ranges(bytes.ranges.clone(), bytes.bytes.clone())?;
            Ok(decoder)
        };
        let both = guarded(|| {
            let decoder = pushed(&file.metadata, &file.projection)?;
            let seconds = file.in_seconds.as_ref();
            let seconds = seconds
                .map(|other| pushed(&other.metadata, &other.projection))
                .transpose()?;
            Ok((decoder, seconds))
        });
        let both = both.map_err(|panic| corrupt(file, span, panic))?;
        let (decoder, seconds) = both.map_err(|source: ParquetError| corrupt(file, span, source))?;
        Ok(Self {
            decoder,
            seconds,
            rows: 0,
        })
    }

    /// The next rows, with the planned columns, and those of them, counted in the span, with a value that its type cannot hold.
    pub(super) fn next(
        &mut self,
        plan: &Plan,
        file: &InputFile,
        span: &Span,
    ) -> Result<Option<(RecordBatch, Vec<BadRow>)>, ReadError> {
        let both = guarded(|| {
            let batch = decoded(&mut self.decoder)?;
            let seconds = self.seconds.as_mut().map(decoded).transpose()?;
            Ok((batch, seconds.flatten()))
        });
        let both = both.map_err(|panic| corrupt(file, span, panic))?;
        let (batch, seconds) = both.map_err(|source: ParquetError| corrupt(file, span, source))?;
        let first = self.rows;
        let rows = batch.as_ref().map_or(0, RecordBatch::num_rows);
        self.rows += rows;
        let expected = span.rows.len();
        let differ = seconds.as_ref().is_some_and(|seconds| seconds.num_rows() != rows);
        if differ || self.rows > expected || (batch.is_none() && self.rows < expected) {
            return Err(ReadError::Rows {
                file: file.name.clone(),
                row_group: span.row_group,
                expected,
                found: self.rows,
            });
        }
        let Some(batch) = batch else { return Ok(None) };
        let mut unfit = seconds.map_or_else(Vec::new, |seconds| instants::beyond(file, &batch, &seconds));
        for bad in &mut unfit {
            bad.row += first;
        }
        Ok(Some((with_partition(plan, file, &batch)?, unfit)))
    }
}

fn decoded(decoder: &mut ParquetPushDecoder) -> Result<Option<RecordBatch>, ParquetError> {
    match decoder.try_decode()? {
        DecodeResult::Data(batch) => Ok(Some(batch)),
        DecodeResult::Finished => Ok(None),
        DecodeResult::NeedsData(ranges) => Err(ParquetError::General(format!(
            "the decoder asked for {} ranges that it had not asked for before",
            ranges.len()
        ))),
    }
}

/// Measures the batches of a span in order.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// The dictionaries of the batch before, by column.
    dictionaries: Vec<Option<ArrayData>>,
}

impl Sizes {
    /// Bytes of the next batch. A dictionary that it shares with the batch before is not counted again.
    pub(super) fn of(&mut self, batch: &RecordBatch) -> u64 {
        let dictionaries = batch.columns().iter().map(|column| {
            let dictionary = column.as_any_dictionary_opt()?;
            Some(dictionary.values().to_data())
        });
        let dictionaries: Vec<_> = dictionaries.collect();
        let columns = batch.columns().iter().zip(&dictionaries).enumerate();
        let sizes = columns.map(|(place, (column, dictionary))| {
            let before = self.dictionaries.get(place).and_then(Option::as_ref);
            match (dictionary, before) {
                (Some(dictionary), Some(before)) if dictionary.ptr_eq(before) => column.len() as u64 * KEY_BYTES,
                _ => column.get_array_memory_size() as u64,
            }
        });
        let size = sizes.sum();
        self.dictionaries = dictionaries;
        size
    }
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
