//! Finds where the pages of large row groups lie, so that a row range of one can be read without the rest.
//!
//! Most writers do not store this index. Then the headers of the pages are walked, a few kilobytes at a time, which costs far less than
//! holding a row group of millions of rows. A column whose pages do not state their rows (lists in version 1 pages) has no locations; its
//! row groups stay whole.

use std::io::{Error as IoError, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::page_index::PageIndexBuilder;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, ParquetMetaData};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use tokio::runtime::Handle;

use super::damage::{Damage, reading};
use super::footers::from_storage;
use super::{InputFile, PlanError, chunks, page_index};
use crate::guard::guarded;
use crate::storage::{Place, StorageError};

/// Bytes read around a page header: headers are about 50 bytes, or a few hundred with statistics of strings.
const WINDOW_BYTES: u64 = 4 * 1024;

/// Column chunks walked at a time.
const CONCURRENT: usize = 16;

/// Locates the pages of row groups that are larger than a chunk. With `strict` damage found on the way is an error; else the row group
/// stays whole, and whoever decodes it will see.
pub(super) async fn locate(files: &mut [InputFile], chunk_rows: usize, strict: bool) -> Result<(), PlanError> {
    for file in files {
        let groups = file.row_groups();
        let large: Vec<_> = (0..groups)
            .filter(|&group| {
                let rows = chunks::rows_of_chunk(file, group, chunk_rows);
                file.row_group_rows(group) > rows + rows / 2
            })
            .collect();
        file.divisible = vec![false; groups];
        if large.is_empty() {
            continue;
        }
        match located(file, &large).await? {
            Ok(metadata) => file.metadata = metadata,
            Err(damage) if strict => {
                return Err(PlanError::Damaged {
                    file: file.name.clone(),
                    damage,
                });
            }
            Err(_) => continue,
        }
        let index = file.metadata.metadata();
        for &group in &large {
            let index = index.page_index_for_row_group(group);
            let located = file.leaves().all(|leaf| index.offset_index(leaf).is_some());
            file.divisible[group] = located;
        }
    }
    Ok(())
}

/// The file's metadata with the page locations of the columns that are read, in some row groups.
async fn located(file: &InputFile, groups: &[usize]) -> Result<Result<ArrowReaderMetadata, Damage>, StorageError> {
    let metadata = ParquetMetaData::clone(file.metadata.metadata());
    let leaves: Vec<_> = file.leaves().collect();
    let found = match page_index::stored(file, groups, &leaves).await? {
        Some(found) => Ok(found),
        None => walk(file, &metadata, groups, &leaves).await?,
    };
    let found = match found {
        Ok(found) => found,
        Err(damage) => return Ok(Err(damage)),
    };
    let mut index = PageIndexBuilder::new(metadata.num_row_groups(), file.metadata.parquet_schema().num_columns());
    for (group, leaf, pages) in found {
        if let Some(pages) = pages {
            index.put_offset_index(pages, group, leaf);
        }
    }
    let builder = metadata.into_builder().set_page_index(Some(Arc::new(index.build())));
    let options = ArrowReaderOptions::new().with_schema(Arc::clone(file.metadata.schema()));
    Ok(reading(|| {
        ArrowReaderMetadata::try_new(Arc::new(builder.build()), options)
    }))
}

/// Row group, column, and where its pages lie, if they say so.
pub(super) type Located = (usize, usize, Option<OffsetIndexMetaData>);

/// Walks the page headers of each column chunk, several at a time.
async fn walk(
    file: &InputFile,
    metadata: &ParquetMetaData,
    groups: &[usize],
    leaves: &[usize],
) -> Result<Result<Vec<Located>, Damage>, StorageError> {
    let descriptor = metadata.file_metadata().schema_descr_ptr();
    let handle = Handle::current();
    let work = groups
        .iter()
        .flat_map(|&group| leaves.iter().map(move |&leaf| (group, leaf)));
    let walks = work.map(|(group, leaf)| {
        let chunk = metadata.row_group(group).column(leaf).clone();
        let rows = file.row_group_rows(group);
        let flat = descriptor.column(leaf).max_rep_level() == 0;
        let bytes = FileBytes {
            place: file.place.clone(),
            etag: file.etag.clone(),
            size: file.size,
            handle: handle.clone(),
        };
        let source = HeaderSource {
            bytes: Arc::new(bytes),
            asked: AtomicU64::new(0),
        };
        async move {
            // The page reader is synchronous, so it gets a thread on which it may wait for the store.
            let work = move || guarded(|| pages_of(source, &chunk, rows, flat));
            let walked = tokio::task::spawn_blocking(work).await;
            let walked = walked.map_err(|error| ParquetError::External(Box::new(error)))?;
            let pages = walked.map_err(|panic| ParquetError::External(Box::new(panic)))?;
            pages.map(|pages| (group, leaf, pages))
        }
    });
    let found: Result<Vec<_>, _> = stream::iter(walks).buffer_unordered(CONCURRENT).try_collect().await;
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(source) => from_storage(source),
    }
}

/// Page locations of one column chunk; `None` when its pages do not state their rows.
fn pages_of(
    source: HeaderSource,
    chunk: &ColumnChunkMetaData,
    rows: usize,
    flat: bool,
) -> Result<Option<OffsetIndexMetaData>, ParquetError> {
    let source = Arc::new(source);
    let (start, length) = chunk.byte_range();
    let mut reader = SerializedPageReader::new(Arc::clone(&source), chunk, rows, None)?;
    let mut starts = Vec::new();
    while let Some(page) = reader.peek_next_page()? {
        let offset = source.asked.load(Ordering::Relaxed);
        if !page.is_dict {
            let known = page.num_rows.or(page.num_levels.filter(|_| flat));
            let Some(rows) = known else {
                return Ok(None);
            };
            starts.push((offset, rows));
        }
        reader.skip_next_page()?;
    }
    let mut index = OffsetIndexBuilder::new();
    for (page, &(offset, rows)) in starts.iter().enumerate() {
        let end = starts.get(page + 1).map_or(start + length, |&(next, _)| next);
        let wide = |value: u64| i64::try_from(value).map_err(|error| ParquetError::External(Box::new(error)));
        let size =
            i32::try_from(end.saturating_sub(offset)).map_err(|error| ParquetError::External(Box::new(error)))?;
        index.append_row_count(wide(rows as u64)?);
        index.append_offset_and_size(wide(offset)?, size);
    }
    let stated = starts.iter().fold(0, |sum: usize, &(_, rows)| sum.saturating_add(rows));
    Ok((stated == rows).then(|| index.build()))
}

/// Reads page headers through small windows and remembers where the last one was asked for.
struct HeaderSource {
    bytes: Arc<FileBytes>,
    asked: AtomicU64,
}

/// The bytes of one file, fetched by a thread that may wait.
struct FileBytes {
    place: Place,
    etag: Option<String>,
    size: u64,
    handle: Handle,
}

impl FileBytes {
    fn fetch(&self, start: u64, length: u64) -> Result<Bytes, ParquetError> {
        let end = start.saturating_add(length).min(self.size);
        let ranges = [start.min(end)..end];
        let read = self.place.read_ranges(&ranges, self.etag.as_deref());
        let bytes = self
            .handle
            .block_on(read)
            .map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(bytes.into_iter().next().unwrap_or_default())
    }
}

impl Length for HeaderSource {
    fn len(&self) -> u64 {
        self.bytes.size
    }
}

impl ChunkReader for HeaderSource {
    type T = Window;

    fn get_read(&self, start: u64) -> Result<Window, ParquetError> {
        self.asked.store(start, Ordering::Relaxed);
        Ok(Window {
            file: Arc::clone(&self.bytes),
            next: start,
            held: Bytes::new(),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.bytes.fetch(start, length as u64)
    }
}

/// The bytes from one header on, a window at a time: statistics of long strings make headers of any length.
struct Window {
    file: Arc<FileBytes>,
    next: u64,
    held: Bytes,
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        if self.held.is_empty() && self.next < self.file.size {
            self.held = self.file.fetch(self.next, WINDOW_BYTES).map_err(IoError::other)?;
            self.next += self.held.len() as u64;
        }
        let count = self.held.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.held.split_to(count));
        Ok(count)
    }
}
