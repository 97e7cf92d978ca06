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
use parquet::file::metadata::{
    ColumnChunkMask, ColumnChunkMetaData, OffsetIndexBuilder, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use tokio::runtime::Handle;

use super::footers::{Fetch, from_storage};
use super::{InputFile, PlanError};
use crate::storage::Place;

/// Bytes read around a page header: headers are about 50 bytes, or a few hundred with statistics of strings.
const WINDOW_BYTES: u64 = 4 * 1024;

/// Column chunks walked at a time.
const CONCURRENT: usize = 16;

/// Locates the pages of row groups that are larger than a chunk.
pub(super) async fn locate(files: &mut [InputFile], chunk_rows: usize) -> Result<(), PlanError> {
    for file in files {
        let groups = file.row_groups();
        let large: Vec<_> = (0..groups)
            .filter(|&group| file.row_group_rows(group) > chunk_rows + chunk_rows / 2)
            .collect();
        file.divisible = vec![false; groups];
        if large.is_empty() {
            continue;
        }
        let schema = file.metadata.parquet_schema();
        let leaves: Vec<_> = (0..schema.num_columns())
            .filter(|&leaf| file.projection.leaf_included(leaf))
            .collect();
        let located = with_locations(file, &large, &leaves).await?;
        for &group in &large {
            let index = located.page_index_for_row_group(group);
            file.divisible[group] = leaves.iter().all(|&leaf| index.offset_index(leaf).is_some());
        }
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(file.metadata.schema()));
        file.metadata =
            ArrowReaderMetadata::try_new(Arc::new(located), options).map_err(|source| damaged(file, source))?;
    }
    Ok(())
}

fn damaged(file: &InputFile, source: ParquetError) -> PlanError {
    PlanError::Footer {
        file: file.name.clone(),
        source,
    }
}

/// The file's metadata with the page locations of some columns of some row groups.
async fn with_locations(file: &InputFile, groups: &[usize], leaves: &[usize]) -> Result<ParquetMetaData, PlanError> {
    let metadata = ParquetMetaData::clone(file.metadata.metadata());
    let stored = groups.iter().all(|&group| {
        let columns = metadata.row_group(group).columns();
        leaves.iter().all(|&leaf| columns[leaf].offset_index_offset().is_some())
    });
    if stored {
        let fetch = Fetch {
            place: &file.place,
            etag: file.etag.as_deref(),
        };
        let mask = ColumnChunkMask::row_groups_and_columns(groups.iter().copied(), leaves.iter().copied());
        let mut reader = ParquetMetaDataReader::new_with_metadata(metadata)
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .with_offset_index_mask(mask);
        let loaded = reader.load_page_index(fetch).await.and_then(|()| reader.finish());
        return loaded.map_err(|source| from_storage(source, |source| damaged(file, source)));
    }
    walk(file, metadata, groups, leaves).await
}

/// Walks the page headers of each column chunk, several at a time.
async fn walk(
    file: &InputFile,
    metadata: ParquetMetaData,
    groups: &[usize],
    leaves: &[usize],
) -> Result<ParquetMetaData, PlanError> {
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
            let walked = tokio::task::spawn_blocking(move || pages_of(source, &chunk, rows, flat)).await;
            let pages = walked
                .map_err(|error| ParquetError::External(Box::new(error)))
                .flatten();
            pages.map(|pages| (group, leaf, pages))
        }
    });
    let found: Result<Vec<_>, _> = stream::iter(walks).buffer_unordered(CONCURRENT).try_collect().await;
    let found = found.map_err(|source| from_storage(source, |source| damaged(file, source)))?;
    let mut index = PageIndexBuilder::new(metadata.num_row_groups(), descriptor.num_columns());
    for (group, leaf, pages) in found {
        if let Some(pages) = pages {
            index.put_offset_index(pages, group, leaf);
        }
    }
    let builder = metadata.into_builder().set_page_index(Some(Arc::new(index.build())));
    Ok(builder.build())
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
        let size = i32::try_from(end - offset).map_err(|error| ParquetError::External(Box::new(error)))?;
        index.append_row_count(wide(rows as u64)?);
        index.append_offset_and_size(wide(offset)?, size);
    }
    let stated: usize = starts.iter().map(|&(_, rows)| rows).sum();
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
