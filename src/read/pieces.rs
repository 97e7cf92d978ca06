//! A chunk that takes too much memory once decoded, a few rows at a time.
//!
//! A dictionary of twenty long texts can stand for gigabytes. [`decode`](super::decode) has gone over such a chunk once, so that all of it is
//! known to be sound, and which rows are lost, before the first of them is scored. Here it is decoded a second time. Where a piece ends depends
//! on the rows and not on what other threads do.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::RecordBatch;

use super::span::{self, Sizes, Steps};
use super::{ChunkBytes, ReadError, SpanBytes, joined, nulls_of};
use crate::batch::{BadRow, ChunkId, FeatureBatch, Lost, Origin};
use crate::plan::Plan;

/// Bytes of a piece at most, unless a single row takes more. Each thread that scores has one.
const PIECE_BYTES: u64 = 32 << 20;

/// The rows of a chunk that are still to come.
#[derive(Debug)]
pub struct Pieces {
    chunk: ChunkId,
    /// Rows of the chunk.
    rows: usize,
    /// All of them, where they take little.
    single: Option<FeatureBatch>,
    /// Spans that are not begun, the next last, with the rows of a step; `None` where the rows are lost.
    spans: Vec<(SpanBytes, Option<usize>)>,
    begun: Option<Begun>,
    lost: Vec<Lost>,
    unfit: Vec<BadRow>,
    /// Bytes of a piece.
    most: u64,
    /// Rows that were given.
    given: usize,
}

/// A span of which some rows were given.
#[derive(Debug)]
struct Begun {
    bytes: SpanBytes,
    steps: Steps,
    sizes: Sizes,
    given: usize,
}

impl Pieces {
    /// All rows as one piece.
    pub(super) fn single(batch: FeatureBatch) -> Self {
        Self {
            chunk: batch.chunk,
            rows: batch.columns.num_rows(),
            single: Some(batch),
            spans: Vec::new(),
            begun: None,
            lost: Vec::new(),
            unfit: Vec::new(),
            most: PIECE_BYTES,
            given: 0,
        }
    }

    /// The rows of spans that were gone over, each with the rows of a step; `None` where its rows are lost. `limit` is what a piece may take.
    pub(super) fn new(
        fetched: ChunkBytes,
        steps: Vec<Option<usize>>,
        lost: Vec<Lost>,
        unfit: Vec<BadRow>,
        limit: u64,
    ) -> Self {
        let ChunkBytes { chunk, rows, spans } = fetched;
        Self {
            chunk,
            rows,
            single: None,
            spans: spans.into_iter().zip(steps).rev().collect(),
            begun: None,
            lost,
            unfit,
            most: limit.min(PIECE_BYTES),
            given: 0,
        }
    }

    /// The chunk.
    pub fn chunk(&self) -> ChunkId {
        self.chunk
    }

    /// Rows of the chunk, those among them that were given.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The next rows, of one span; `None` after the last.
    pub fn next(&mut self, plan: &Plan) -> Result<Option<FeatureBatch>, ReadError> {
        if let Some(batch) = self.single.take() {
            return Ok(Some(batch));
        }
        loop {
            if let Some(mut begun) = self.begun.take() {
                let first = begun.given;
                if let Some(columns) = begun.piece(plan, self.most)? {
                    let origin = origin(plan, &begun.bytes, first, columns.num_rows());
                    self.begun = Some(begun);
                    return Ok(Some(self.give(columns, origin)));
                }
            }
            match self.spans.pop() {
                None => return Ok(None),
                Some((bytes, None)) => {
                    let columns = nulls_of(plan, bytes.span.rows.len()).map_err(ReadError::Join)?;
                    let origin = origin(plan, &bytes, 0, columns.num_rows());
                    return Ok(Some(self.give(columns, origin)));
                }
                Some((bytes, Some(step))) => {
                    self.begun = Some(Begun {
                        steps: Steps::new(&plan.files[bytes.span.file], &bytes, step)?,
                        bytes,
                        sizes: Sizes::default(),
                        given: 0,
                    });
                }
            }
        }
    }

    /// The piece of these rows, which are the next.
    fn give(&mut self, columns: RecordBatch, origin: Origin) -> FeatureBatch {
        let rows = self.given..self.given + columns.num_rows();
        self.given = rows.end;
        FeatureBatch {
            chunk: self.chunk,
            first: rows.start,
            columns,
            origins: vec![origin],
            lost: self.lost.iter().filter_map(|lost| within(lost, &rows)).collect(),
            unfit: self
                .unfit
                .iter()
                .filter(|bad| rows.contains(&bad.row))
                .map(|bad| BadRow {
                    row: bad.row - rows.start,
                    ..bad.clone()
                })
                .collect(),
            // Pages are copied as they lie only where all rows of a chunk are written together.
            encoded: BTreeMap::new(),
        }
    }
}

impl Begun {
    /// The next rows of the span, which take at most so many bytes; `None` after the last.
    fn piece(&mut self, plan: &Plan, most: u64) -> Result<Option<RecordBatch>, ReadError> {
        let _alone = span::alone();
        let file = &plan.files[self.bytes.span.file];
        let mut batches = Vec::new();
        let (mut taken, mut largest) = (0, 0);
        while taken + largest <= most {
            let Some((batch, _)) = self.steps.next(plan, file, &self.bytes.span)? else {
                break;
            };
            let size = self.sizes.of(&batch);
            (taken, largest) = (taken + size, size.max(largest));
            self.given += batch.num_rows();
            batches.push(batch);
        }
        if batches.is_empty() {
            return Ok(None);
        }
        joined(&batches).map(Some)
    }
}

fn origin(plan: &Plan, bytes: &SpanBytes, first: usize, rows: usize) -> Origin {
    Origin {
        file: plan.files[bytes.span.file].name.clone(),
        first_row: bytes.span.first_row + first as u64,
        rows,
    }
}

/// The lost rows that are among some, counted from the first of these.
fn within(lost: &Lost, rows: &Range<usize>) -> Option<Lost> {
    let common = lost.rows.start.max(rows.start)..lost.rows.end.min(rows.end);
    (!common.is_empty()).then(|| Lost {
        rows: common.start - rows.start..common.end - rows.start,
        message: lost.message.clone(),
    })
}
