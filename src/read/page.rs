//! The pages of a column, by their headers, in bytes that were fetched. Nothing is decompressed and nothing decoded.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::error::Fault;
use crate::thrift::{Kind, Malformed, Walk};

/// Ranges of a file that were fetched.
#[derive(Debug, Clone)]
pub(super) struct Held(Vec<(Range<u64>, Bytes)>);

impl Held {
    pub(super) fn new(ranges: &[Range<u64>], bytes: &[Bytes]) -> Self {
        let mut parts: Vec<_> = ranges.iter().cloned().zip(bytes.iter().cloned()).collect();
        parts.sort_by_key(|(range, _)| range.start);
        Self(parts)
    }

    /// All bytes.
    pub(super) fn size(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// A copy of bytes, which may lie in several ranges.
    pub(super) fn copied(&self, start: u64, length: usize) -> Option<Bytes> {
        let mut copy = BytesMut::with_capacity(length);
        while copy.len() < length {
            let at = start + copy.len() as u64;
            let (_, bytes) = self
                .from(at)
                .filter(|(found, bytes)| *found == at && !bytes.is_empty())?;
            copy.extend_from_slice(&bytes[..bytes.len().min(length - copy.len())]);
        }
        Some(copy.freeze())
    }

    /// The bytes from a place on, as far as they are held; from the next place where bytes are held, if there are none.
    fn from(&self, start: u64) -> Option<(u64, Bytes)> {
        let next = self.0.partition_point(|(range, _)| range.end <= start);
        let (range, bytes) = self.0.get(next)?;
        let at = start.max(range.start);
        let skipped = usize::try_from(at - range.start).ok()?;
        (skipped <= bytes.len()).then(|| (at, bytes.slice(skipped..)))
    }
}

impl Length for Held {
    fn len(&self) -> u64 {
        self.0.last().map_or(0, |(range, _)| range.end)
    }
}

impl ChunkReader for Held {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        match self.from(start) {
            Some((at, bytes)) if at == start => Ok(bytes.reader()),
            _ => Err(ParquetError::EOF(format!("no bytes were fetched at {start}"))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self.from(start) {
            Some((at, bytes)) if at == start && bytes.len() >= length => Ok(bytes.slice(..length)),
            _ => Err(ParquetError::EOF(format!("no {length} bytes were fetched at {start}"))),
        }
    }
}

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Values, after levels that are compressed with them.
    Data,
    /// Values, after levels that are not.
    DataV2,
    /// The values that other pages point to.
    Dictionary,
    /// Something that readers go over.
    Other,
}

/// How values are stored, as far as it matters for their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoded {
    /// As indexes into the dictionary.
    Indexes,
    /// With lengths before them.
    DeltaLength,
    /// As what follows the same beginning as the value before.
    DeltaPrefix,
    /// With about as many bytes as they have.
    Plainly,
}

/// What the header of a page says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Bytes of the header.
    pub(super) header: u64,
    pub(super) content: Content,
    /// Bytes after the header.
    pub(super) compressed: u64,
    /// Bytes that those become.
    pub(super) uncompressed: u64,
    /// Values, nulls among them; for lists also one for each that is empty.
    pub(super) values: u64,
    pub(super) encoded: Encoded,
    /// Bytes of levels that stand before what is compressed, in pages of version 2.
    pub(super) levels: u64,
}

/// The pages of a column chunk that are held, in order.
pub(super) fn pages(held: &Held, column: &ColumnChunkMetaData, rows: usize) -> Result<Vec<Page>, Fault> {
    let (mut at, length) = column.byte_range();
    let end = at + length;
    let expected = u64::try_from(column.num_values()).unwrap_or(0).max(rows as u64);
    let mut pages = Vec::new();
    let mut values = 0;
    while let Some((offset, bytes)) = held.from(at).filter(|(offset, _)| *offset < end) {
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX).min(bytes.len());
        match page(offset, &bytes[..left], column) {
            Ok(page) => {
                at = offset + page.header + page.compressed;
                if matches!(page.content, Content::Data | Content::DataV2) {
                    values += page.values;
                }
                pages.push(page);
            }
            // Some writers state a length that ends behind the last page. Readers do not look there.
            Err(_) if values >= expected => break,
            Err(fault) => return Err(fault),
        }
    }
    Ok(pages)
}

fn page(offset: u64, bytes: &[u8], column: &ColumnChunkMetaData) -> Result<Page, Fault> {
    let name = || column.column_path().string();
    let numbers = Numbers::read(bytes).map_err(|fault| Fault::Header {
        column: name(),
        offset,
        fault,
    })?;
    let left = (bytes.len() - numbers.header) as u64;
    let impossible = |claim: String| Fault::Page {
        column: name(),
        offset,
        claim,
    };
    let size =
        |what: &str, number: i64| u64::try_from(number).map_err(|_| impossible(format!("its {what} is {number}")));
    let compressed = size("compressed size", numbers.compressed)?;
    let uncompressed = size("uncompressed size", numbers.uncompressed)?;
    let values = size("number of values", numbers.values)?;
    if compressed > left {
        return Err(impossible(format!("it claims {compressed} bytes, and {left} are left")));
    }
    Ok(Page {
        offset,
        header: numbers.header as u64,
        content: match numbers.kind {
            0 => Content::Data,
            2 => Content::Dictionary,
            3 => Content::DataV2,
            _ => Content::Other,
        },
        compressed,
        // Where nothing is compressed, readers take the bytes as they are.
        uncompressed: uncompressed.max(compressed),
        values,
        levels: size("length of levels", numbers.levels)?,
        encoded: match numbers.encoding {
            2 | 8 => Encoded::Indexes,
            6 => Encoded::DeltaLength,
            7 => Encoded::DeltaPrefix,
            _ => Encoded::Plainly,
        },
    })
}

/// The field of a page of version 2 that says how values are stored.
const V2_ENCODING: i64 = 4;

/// The numbers of a page header.
#[derive(Debug, Default)]
struct Numbers {
    kind: i64,
    uncompressed: i64,
    compressed: i64,
    values: i64,
    encoding: i64,
    levels: i64,
    header: usize,
}

impl Numbers {
    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut numbers = Self::default();
        let mut walk = Walk::new(bytes);
        walk.structure(|walk, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => numbers.kind = walk.integer()?,
                (2, Kind::Integer) => numbers.uncompressed = walk.integer()?,
                (3, Kind::Integer) => numbers.compressed = walk.integer()?,
                // Data, dictionary, data of version 2: each states its values first, and its encoding second or fourth.
                (5 | 7, Kind::Struct) => numbers.described(walk, 2)?,
                (8, Kind::Struct) => numbers.described(walk, V2_ENCODING)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        numbers.header = walk.position();
        Ok(numbers)
    }

    fn described(&mut self, walk: &mut Walk<'_>, encoding: i64) -> Result<(), Malformed> {
        walk.structure(|walk, id, kind| {
            match (id, kind) {
                (1, Kind::Integer) => self.values = walk.integer()?,
                (id, Kind::Integer) if id == encoding => self.encoding = walk.integer()?,
                (5 | 6, Kind::Integer) if encoding == V2_ENCODING => {
                    self.levels = self.levels.saturating_add(walk.integer()?);
                }
                _ => return Ok(false),
            }
            Ok(true)
        })
    }
}
