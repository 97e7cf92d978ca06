//! Looks inside single pages for what their headers do not say: how long a dictionary's values are, and counts for which a decoder would
//! make room before it has seen a value.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page as Decompressed, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use super::page::{Held, Page};
use crate::thrift::Walk;

/// How much larger than its bytes the content of a gzip file can be.
const MOST_BY_GZIP: u64 = 1_032;

/// The same for LZ4.
const MOST_BY_LZ4: u64 = 255;

/// What an LZ4 frame begins with. Other forms of LZ4 in Parquet state the size of what they hold, and are held to it.
const LZ4_FRAME: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// Bytes decompressed at a time and thrown away.
const WINDOW: usize = 64 * 1024;

/// Whether a page's content is larger than its header says, and larger than `room`. Most decompressors are told how much to expect;
/// those of gzip and Brotli go on for as long as there is something.
pub(super) fn bursts(held: &Held, column: &ColumnChunkMetaData, page: &Page, room: u64) -> Result<bool, ParquetError> {
    let body = || body(held, page);
    match column.compression() {
        Compression::GZIP(_) if page.compressed.saturating_mul(MOST_BY_GZIP) > room => {
            let body = body()?;
            exceeds(flate2::read::MultiGzDecoder::new(body.as_ref()), page.uncompressed)
        }
        Compression::BROTLI(_) => {
            let body = body()?;
            exceeds(brotli::Decompressor::new(body.as_ref(), WINDOW), page.uncompressed)
        }
        Compression::LZ4 if page.compressed.saturating_mul(MOST_BY_LZ4) > room => Ok(body()?.starts_with(&LZ4_FRAME)),
        _ => Ok(false),
    }
}

/// What is compressed of a page.
fn body(held: &Held, page: &Page) -> Result<Bytes, ParquetError> {
    let levels = page.levels.min(page.compressed);
    let length = usize::try_from(page.compressed - levels)?;
    held.get_bytes(page.offset + page.header + levels, length)
}

/// Whether more than `most` bytes come out. What is damaged is left to the decoder.
fn exceeds(mut source: impl Read, most: u64) -> Result<bool, ParquetError> {
    let mut window = vec![0; WINDOW];
    let mut seen = 0;
    loop {
        match source.read(&mut window) {
            Ok(0) | Err(_) => return Ok(false),
            Ok(bytes) => seen += bytes as u64,
        }
        if seen > most {
            return Ok(true);
        }
    }
}

/// Bytes of the longest value of a dictionary of texts.
pub(super) fn longest_value(held: &Held, column: &ColumnChunkMetaData, page: &Page) -> Result<u64, ParquetError> {
    let content = content(held, column, page)?;
    let mut rest = content.as_ref();
    let mut longest = 0;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        longest = longest.max(length);
        match after.get(length as usize..) {
            Some(after) => rest = after,
            None => break,
        }
    }
    Ok(u64::from(longest))
}

/// Whether a page of texts stores more lengths than it has values.
pub(super) fn counts_too_many(
    held: &Held,
    column: &ColumnChunkMetaData,
    page: &Page,
    prefixes: bool,
) -> Result<bool, ParquetError> {
    let content = content(held, column, page)?;
    let first = lengths(&content, page.values);
    // Where beginnings are shared there are two lists: what is shared with the value before, and what is new.
    let fits = first.is_some_and(|after| !prefixes || lengths(after, page.values).is_some());
    Ok(!fits)
}

/// Goes over a list of lengths; `None` when it says that it is longer than `most`. Where it ends too early the decoder will notice.
fn lengths(bytes: &[u8], most: u64) -> Option<&[u8]> {
    let mut walk = Walk::new(bytes);
    let (Ok(block), Ok(parts), Ok(count), Ok(_)) = (walk.number(), walk.number(), walk.number(), walk.number()) else {
        return Some(&[]);
    };
    if count > most {
        return None;
    }
    let mut left = count.saturating_sub(1);
    let mut at = walk.position();
    while left > 0 {
        let mut walk = Walk::new(bytes.get(at..)?);
        if walk.number().is_err() || parts == 0 {
            return Some(&[]);
        }
        at += walk.position();
        let Some(widths) = usize::try_from(parts)
            .ok()
            .and_then(|parts| bytes.get(at..at.checked_add(parts)?))
        else {
            return Some(&[]);
        };
        at += widths.len();
        for &width in widths {
            if left == 0 {
                break;
            }
            let values = block / parts;
            let Ok(size) = usize::try_from((values / 8).saturating_mul(u64::from(width))) else {
                return Some(&[]);
            };
            at = at.saturating_add(size);
            left = left.saturating_sub(values);
            if values == 0 {
                return Some(&[]);
            }
        }
    }
    Some(bytes.get(at..).unwrap_or(&[]))
}

/// Counts the values of the longest row of a list, page by page.
#[derive(Debug, Default)]
pub(super) struct LongestRow {
    current: u64,
    most: u64,
}

impl LongestRow {
    /// The most values that a row has so far.
    pub(super) fn most(&self) -> u64 {
        self.most.max(self.current)
    }

    /// Goes over the next page.
    pub(super) fn add(&mut self, held: &Held, column: &ColumnChunkMetaData, page: &Page) -> Result<(), ParquetError> {
        let depth = column.column_descr().max_rep_level();
        let width = u64::from(i16::BITS - depth.leading_zeros());
        let levels = opened(held, column, page)?.repetition;
        self.levels(&levels, width, page.values);
        Ok(())
    }

    /// Goes over repetition levels of so many bits each, in runs and in groups of eight (parquet-format, `Encodings.md`, RLE). Where they
    /// end too early, the values that are left may all be of one row.
    fn levels(&mut self, mut bytes: &[u8], width: u64, values: u64) {
        let mut left = values;
        while left > 0 {
            let mut walk = Walk::new(bytes);
            let Ok(header) = walk.number() else { break };
            let Some(rest) = bytes.get(walk.position()..) else {
                break;
            };
            let (count, size) = match header & 1 {
                0 => (header >> 1, width.div_ceil(8)),
                _ => ((header >> 1).saturating_mul(8), (header >> 1).saturating_mul(width)),
            };
            let Some(packed) = usize::try_from(size).ok().and_then(|size| rest.get(..size)) else {
                break;
            };
            bytes = &rest[packed.len()..];
            let count = count.min(left);
            if count == 0 {
                break;
            }
            left -= count;
            if header & 1 == 0 {
                let is_first = packed.iter().all(|&byte| byte == 0);
                self.run(is_first, count);
            } else {
                for value in 0..count {
                    let bits = value * width..(value + 1) * width;
                    let is_set = |bit: u64| {
                        let byte = usize::try_from(bit / 8).ok().and_then(|byte| packed.get(byte));
                        byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
                    };
                    self.run(!bits.into_iter().any(is_set), 1);
                }
            }
        }
        self.run(false, left);
    }

    /// So many values, each the first of its row or none of them.
    fn run(&mut self, is_first: bool, values: u64) {
        if is_first {
            self.most = self.most();
            self.current = values.min(1);
        } else {
            self.current = self.current.saturating_add(values);
        }
    }
}

/// The values of a page, decompressed, without the levels before them.
fn content(held: &Held, column: &ColumnChunkMetaData, page: &Page) -> Result<Bytes, ParquetError> {
    Ok(opened(held, column, page)?.values)
}

/// A page, decompressed.
#[derive(Default)]
struct Opened {
    repetition: Bytes,
    values: Bytes,
}

fn opened(held: &Held, column: &ColumnChunkMetaData, page: &Page) -> Result<Opened, ParquetError> {
    let wide = |number: u64| i64::try_from(number).map_err(|error| ParquetError::External(Box::new(error)));
    // To the reader it is a column of this page alone.
    let alone = column.clone().into_builder();
    let alone = alone
        .set_data_page_offset(wide(page.offset)?)
        .set_dictionary_page_offset(None)
        .set_total_compressed_size(wide(page.header + page.compressed)?)
        .build()?;
    let mut reader = SerializedPageReader::new(Arc::new(held.clone()), &alone, 0, None)?;
    let descriptor = column.column_descr();
    match reader.get_next_page()? {
        None => Ok(Opened::default()),
        Some(Decompressed::DictionaryPage { buf, .. }) => Ok(Opened {
            values: buf,
            ..Opened::default()
        }),
        Some(Decompressed::DataPageV2 {
            buf,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        }) => {
            let repetition = usize::try_from(rep_levels_byte_len)?.min(buf.len());
            let levels = u64::from(def_levels_byte_len) + u64::from(rep_levels_byte_len);
            Ok(Opened {
                repetition: buf.slice(..repetition),
                values: buf.slice(usize::try_from(levels)?.min(buf.len())..),
            })
        }
        Some(Decompressed::DataPage { buf, .. }) => {
            let mut at = 0;
            let mut levels = |depth: i16| {
                if depth == 0 {
                    return Bytes::new();
                }
                let length = buf.get(at..).and_then(|rest| rest.first_chunk::<4>());
                let length = length.map_or(0, |length| u32::from_le_bytes(*length) as usize);
                let start = at.saturating_add(4).min(buf.len());
                at = start.saturating_add(length).min(buf.len());
                buf.slice(start..at)
            };
            let repetition = levels(descriptor.max_rep_level());
            levels(descriptor.max_def_level());
            Ok(Opened {
                repetition,
                values: buf.slice(at..),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::{LongestRow, exceeds, lengths};

    #[test]
    fn content_that_goes_on_behind_its_claim_is_found() {
        let zeros = vec![0; 1 << 20];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&zeros).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        brotli.write_all(&zeros).unwrap();
        let brotli = brotli.into_inner();
        for most in [0, 100, 1 << 19] {
            assert!(exceeds(flate2::read::MultiGzDecoder::new(&gzip[..]), most).unwrap());
            assert!(exceeds(brotli::Decompressor::new(&brotli[..], 4096), most).unwrap());
        }
        assert!(!exceeds(flate2::read::MultiGzDecoder::new(&gzip[..]), 1 << 20).unwrap());
        assert!(!exceeds(brotli::Decompressor::new(&brotli[..], 4096), 1 << 20).unwrap());
        // What is damaged ends, and the decoder will say so.
        assert!(!exceeds(flate2::read::MultiGzDecoder::new(&gzip[..20]), 1 << 20).unwrap());
    }

    #[test]
    fn list_of_more_lengths_than_values_is_found() {
        // Blocks of 128 in 4 parts, 3 lengths, the first of them 5; then one block of width 0 and what follows it.
        let list = [0x80, 0x01, 4, 3, 10, 0, 0, 0, 0, 0, b'x'];
        assert_eq!(lengths(&list, 3), Some(&b"x"[..]));
        assert_eq!(lengths(&list, 2), None);
        // 2^40 lengths.
        let many = [0x80, 0x01, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 10];
        assert_eq!(lengths(&many, 1_000), None);
        assert_eq!(lengths(&list[..7], 3), Some(&[][..]));
    }

    #[test]
    fn longest_row_is_counted_in_runs_in_groups_and_across_pages() {
        let longest = |pages: &[(&[u8], u64, u64)]| {
            let mut longest = LongestRow::default();
            for (bytes, width, values) in pages {
                longest.levels(bytes, *width, *values);
            }
            longest.most()
        };
        // Rows of one value each.
        assert_eq!(longest(&[(&[20, 0], 1, 10)]), 1);
        // One value that begins a row and nine that do not, and the next page goes on with it.
        assert_eq!(longest(&[(&[2, 0, 18, 1], 1, 10)]), 10);
        assert_eq!(longest(&[(&[2, 0, 18, 1], 1, 10), (&[8, 1, 2, 0], 1, 5)]), 14);
        // 0 1 1 0 1 1 1 0 in one group, and the same with two bits each.
        assert_eq!(longest(&[(&[3, 0b0111_0110], 1, 8)]), 4);
        assert_eq!(longest(&[(&[3, 0b0001_0100, 0b0010_0101], 2, 8)]), 4);
        // What is not there counts as one row.
        assert_eq!(longest(&[(&[2, 0], 1, 1_000_000)]), 1_000_000);
        assert_eq!(longest(&[(&[], 1, 7)]), 7);
        // A run that claims more than the page has.
        assert_eq!(longest(&[(&[2, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1], 1, 10)]), 10);
    }
}
