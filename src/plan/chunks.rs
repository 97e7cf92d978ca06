//! Cuts the input into chunks: large row groups are split by row range, small ones are taken together.

use std::ops::Range;

use super::InputFile;
use crate::batch::ChunkId;

/// A unit of work: neighbouring rows, a little memory, one row group of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its number.
    pub id: ChunkId,
    /// What it reads, in order.
    pub spans: Vec<Span>,
    /// Its rows.
    pub rows: usize,
}

/// A range of rows of one row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Index of the file in the plan.
    pub file: usize,
    /// Index of the row group in the file.
    pub row_group: usize,
    /// Rows within the row group.
    pub rows: Range<usize>,
    /// Index in the file of the span's first row.
    pub first_row: u64,
}

/// Bytes of a chunk once decoded, by what footers say. The same on every machine, since chunks are part of what a plan is.
const CHUNK_BYTES: u64 = 256 << 20;

/// Rows of a chunk however large they are: a footer that exaggerates must not make a chunk of each row.
const FEWEST_ROWS: usize = 1_024;

/// Rows of a chunk of that row group.
pub(super) fn rows_of_chunk(file: &InputFile, row_group: usize, chunk_rows: usize) -> usize {
    let fitting = usize::try_from(CHUNK_BYTES / file.row_bytes(row_group).max(1)).unwrap_or(usize::MAX);
    fitting.max(FEWEST_ROWS).min(chunk_rows)
}

/// Cuts every row of the files into chunks of about `chunk_rows` rows, in order; of fewer where rows are large.
pub(super) fn cut(files: &[InputFile], chunk_rows: usize) -> Vec<Chunk> {
    let mut cutter = Cutter {
        chunk_rows,
        chunks: Vec::new(),
        open: Vec::new(),
        open_rows: 0,
    };
    for (file, input) in files.iter().enumerate() {
        let mut first_row = 0;
        for row_group in 0..input.row_groups() {
            let rows = input.row_group_rows(row_group);
            cutter.chunk_rows = rows_of_chunk(input, row_group, chunk_rows);
            for piece in pieces(rows, cutter.chunk_rows, input.divisible[row_group]) {
                cutter.take(Span {
                    file,
                    row_group,
                    first_row: first_row + piece.start as u64,
                    rows: piece,
                });
            }
            first_row += rows as u64;
        }
    }
    cutter.close();
    cutter.chunks
}

/// Cuts every row of the files into chunks of just these numbers of rows, in order.
pub(super) fn cut_at(files: &[InputFile], pieces: &[usize]) -> Vec<Chunk> {
    let mut groups = files.iter().enumerate().flat_map(|(file, input)| {
        let mut first_row = 0;
        (0..input.row_groups()).map(move |row_group| {
            let rows = input.row_group_rows(row_group);
            let span = Span {
                file,
                row_group,
                rows: 0..rows,
                first_row,
            };
            first_row += rows as u64;
            span
        })
    });
    let mut rest: Option<Span> = None;
    let chunks = pieces.iter().enumerate().map(|(number, &rows)| {
        let mut spans = Vec::new();
        let mut missing = rows;
        while missing > 0 {
            let Some(mut span) = rest.take().or_else(|| groups.next()) else {
                break;
            };
            let taken = missing.min(span.rows.len());
            missing -= taken;
            let start = span.rows.start;
            let head = Span {
                rows: start..start + taken,
                ..span.clone()
            };
            span.rows.start += taken;
            span.first_row += taken as u64;
            if taken > 0 {
                spans.push(head);
            }
            rest = Some(span).filter(|span| !span.rows.is_empty());
        }
        Chunk {
            id: ChunkId(number),
            spans,
            rows,
        }
    });
    chunks.collect()
}

/// Equal pieces of a row group, each at most `chunk_rows` rows unless the row group is only a little larger.
fn pieces(rows: usize, chunk_rows: usize, divisible: bool) -> Vec<Range<usize>> {
    // One piece of up to one and a half times the size is better than two small ones.
    if rows == 0 {
        return Vec::new();
    }
    if !divisible || rows <= chunk_rows + chunk_rows / 2 {
        return vec![0..rows];
    }
    let count = rows.div_ceil(chunk_rows);
    (0..count)
        .map(|piece| rows * piece / count..rows * (piece + 1) / count)
        .collect()
}

struct Cutter {
    chunk_rows: usize,
    chunks: Vec<Chunk>,
    open: Vec<Span>,
    open_rows: usize,
}

impl Cutter {
    fn take(&mut self, span: Span) {
        let rows = span.rows.len();
        if self.open_rows + rows > self.chunk_rows {
            self.close();
        }
        self.open_rows += rows;
        self.open.push(span);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.chunks.push(Chunk {
                id: ChunkId(self.chunks.len()),
                spans: std::mem::take(&mut self.open),
                rows: std::mem::take(&mut self.open_rows),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_row_group_is_cut_into_equal_pieces_that_cover_it_once() {
        let pieces = pieces(5_000_000, 131_072, true);
        assert_eq!(pieces.first().map(|piece| piece.start), Some(0));
        assert_eq!(pieces.last().map(|piece| piece.end), Some(5_000_000));
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(pieces.iter().all(|piece| piece.len() <= 131_072));
    }

    #[test]
    fn a_row_group_that_cannot_be_read_in_part_stays_whole() {
        assert_eq!(pieces(1_000_000, 1_000, false), [0..1_000_000]);
    }

    #[test]
    fn small_spans_are_taken_together_across_row_groups() {
        let mut cutter = Cutter {
            chunk_rows: 100,
            chunks: Vec::new(),
            open: Vec::new(),
            open_rows: 0,
        };
        for row_group in 0..7 {
            cutter.take(Span {
                file: 0,
                row_group,
                rows: 0..30,
                first_row: 30 * row_group as u64,
            });
        }
        cutter.close();
        let rows: Vec<_> = cutter.chunks.iter().map(|chunk| chunk.rows).collect();
        assert_eq!(rows, [90, 90, 30]);
    }
}
