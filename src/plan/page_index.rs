//! Reads where the pages of a column lie from the index that some writers store.
//!
//! The index is only a short cut: where it is missing, or cannot be true, the headers of the pages are walked instead.

use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;

use super::InputFile;
use super::pages::Located;
use crate::storage::StorageError;
use crate::thrift::{Kind, Malformed, Walk};

/// Bytes of the indexes of a file's columns that are read at a time.
const MOST_BYTES: u64 = 64 << 20;

/// Where a page lies and which row is its first.
#[derive(Debug, Clone, Copy, Default)]
struct Page {
    offset: i64,
    size: i64,
    first_row: i64,
}

/// The stored page locations of some columns of some row groups; `None` when not all of them are there and plausible.
pub(super) async fn stored(
    file: &InputFile,
    groups: &[usize],
    leaves: &[usize],
) -> Result<Option<Vec<Located>>, StorageError> {
    let metadata = file.metadata.metadata();
    let wanted: Vec<_> = groups
        .iter()
        .flat_map(|&group| leaves.iter().map(move |&leaf| (group, leaf)))
        .collect();
    let mut ranges = Vec::with_capacity(wanted.len());
    for &(group, leaf) in &wanted {
        let Some(range) = place(metadata.row_group(group).column(leaf), file.size) else {
            return Ok(None);
        };
        ranges.push(range);
    }
    if ranges.iter().map(|range| range.end - range.start).sum::<u64>() > MOST_BYTES {
        return Ok(None);
    }
    let read = file.place.read_ranges(&ranges, file.etag.as_deref()).await?;
    let found = wanted.iter().zip(read).map(|(&(group, leaf), bytes)| {
        let column = metadata.row_group(group).column(leaf);
        let pages = pages(&bytes).ok()?;
        let located = plausible(&pages, column, file.row_group_rows(group))?;
        Some((group, leaf, Some(located)))
    });
    Ok(found.collect())
}

fn place(column: &ColumnChunkMetaData, size: u64) -> Option<std::ops::Range<u64>> {
    let start = u64::try_from(column.offset_index_offset()?).ok()?;
    let end = start.checked_add(u64::try_from(column.offset_index_length()?).ok()?)?;
    (start < end && end <= size).then_some(start..end)
}

fn pages(index: &[u8]) -> Result<Vec<Page>, Malformed> {
    let mut pages = Vec::new();
    Walk::new(index).structure(|walk, id, kind| {
        if (id, kind) != (1, Kind::List) {
            return Ok(false);
        }
        let (_, count) = walk.list()?;
        for _ in 0..count {
            let mut page = Page::default();
            walk.structure(|walk, id, kind| {
                let number = match (id, kind) {
                    (1, Kind::Integer) => &mut page.offset,
                    (2, Kind::Integer) => &mut page.size,
                    (3, Kind::Integer) => &mut page.first_row,
                    _ => return Ok(false),
                };
                *number = walk.integer()?;
                Ok(true)
            })?;
            pages.push(page);
        }
        Ok(true)
    })?;
    Ok(pages)
}

/// Pages that follow one another within the column chunk and cover its rows.
fn plausible(pages: &[Page], column: &ColumnChunkMetaData, rows: usize) -> Option<OffsetIndexMetaData> {
    let (start, length) = column.byte_range();
    let (start, end) = (i64::try_from(start).ok()?, i64::try_from(start + length).ok()?);
    let rows = i64::try_from(rows).ok()?;
    let mut index = OffsetIndexBuilder::new();
    let (mut offset, mut row) = (start, 0);
    for (number, page) in pages.iter().enumerate() {
        let next = pages.get(number + 1).map_or(rows, |next| next.first_row);
        let page_end = page.offset.checked_add(page.size)?;
        if page.offset < offset || page.size <= 0 || page_end > end || page.first_row != row || next <= row {
            return None;
        }
        index.append_row_count(next - row);
        index.append_offset_and_size(page.offset, i32::try_from(page.size).ok()?);
        (offset, row) = (page_end, next);
    }
    (row == rows).then(|| index.build())
}
