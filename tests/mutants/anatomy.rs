//! Where the parts of a Parquet file lie: footer, page headers, pages, and each number within them.

use std::ops::Range;

use batch_infer::thrift::{Kind, Malformed, Walk};
use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaDataReader, RowGroupMetaData};

/// A value in a structure.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    /// Numbers of the fields on the way to it; -1 for an element of a list.
    pub(crate) path: Vec<i64>,
    pub(crate) place: Range<usize>,
    pub(crate) kind: Kind,
}

/// A page.
#[derive(Debug, Clone)]
pub(crate) struct PagePlace {
    pub(crate) header: Range<usize>,
    pub(crate) body: Range<usize>,
    /// Its column chunk in the file.
    pub(crate) chunk: usize,
    pub(crate) codec: Compression,
}

/// A file taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Anatomy {
    pub(crate) bytes: Vec<u8>,
    pub(crate) footer: Range<usize>,
    pub(crate) pages: Vec<PagePlace>,
    /// Values of the footer.
    pub(crate) leaves: Vec<Leaf>,
    /// Whether its pages carry a checksum.
    pub(crate) crc: bool,
}

impl Anatomy {
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let tail = bytes.len() - 8;
        let length = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
        let footer = tail - length..tail;
        let metadata = ParquetMetaDataReader::decode_metadata(&bytes[footer.clone()]).unwrap();
        let mut pages = Vec::new();
        let chunks = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
        for (chunk, column) in chunks.enumerate() {
            let (start, length) = column.byte_range();
            let (mut at, end) = (
                usize::try_from(start).unwrap(),
                usize::try_from(start + length).unwrap(),
            );
            while at < end {
                let numbers = leaves(&bytes[at..], at);
                let header = at..numbers.1;
                let size = number(&bytes, numbers.0.iter().find(|leaf| leaf.path == [3]).unwrap());
                let body = header.end..header.end + usize::try_from(size).unwrap();
                at = body.end;
                pages.push(PagePlace {
                    header,
                    body,
                    chunk,
                    codec: column.compression(),
                });
            }
        }
        let crc = pages.iter().any(|page| checksum(&bytes, page).is_some());
        Self {
            leaves: leaves(&bytes[footer.clone()], footer.start).0,
            bytes,
            footer,
            pages,
            crc,
        }
    }

    /// Values of a page's header.
    pub(crate) fn header(&self, page: &PagePlace) -> Vec<Leaf> {
        leaves(&self.bytes[page.header.start..], page.header.start).0
    }
}

/// The place of a page's checksum.
pub(crate) fn checksum(bytes: &[u8], page: &PagePlace) -> Option<Leaf> {
    let leaves = leaves(&bytes[page.header.start..], page.header.start).0;
    leaves.into_iter().find(|leaf| leaf.path == [4])
}

/// A signed number of a file; 0 where an earlier injury has left none.
pub(crate) fn number(bytes: &[u8], leaf: &Leaf) -> i64 {
    let bytes = bytes.get(leaf.place.clone()).unwrap_or_default();
    Walk::new(bytes).integer().unwrap_or(0)
}

/// A number as Thrift writes it.
pub(crate) fn written(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(rest & 0x7f).unwrap();
        rest >>= 7;
        if rest == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// Every value of the structure at the beginning of the bytes, and where it ends.
fn leaves(bytes: &[u8], base: usize) -> (Vec<Leaf>, usize) {
    let mut found = Vec::new();
    let mut walk = Walk::new(bytes);
    value(&mut walk, Kind::Struct, &mut Vec::new(), base, &mut found).unwrap();
    (found, base + walk.position())
}

fn value(
    walk: &mut Walk<'_>,
    kind: Kind,
    path: &mut Vec<i64>,
    base: usize,
    found: &mut Vec<Leaf>,
) -> Result<(), Malformed> {
    let start = base + walk.position();
    match kind {
        Kind::Struct => {
            return walk.structure(|walk, id, kind| {
                path.push(id);
                value(walk, kind, path, base, found)?;
                path.pop();
                Ok(true)
            });
        }
        Kind::List => {
            let (element, count) = walk.list()?;
            found.push(Leaf {
                path: path.clone(),
                place: start..base + walk.position(),
                kind,
            });
            path.push(-1);
            for _ in 0..count {
                match element {
                    Kind::Flag(_) => walk.skip(Kind::Byte)?,
                    element => value(walk, element, path, base, found)?,
                }
            }
            path.pop();
            return Ok(());
        }
        other => walk.skip(other)?,
    }
    found.push(Leaf {
        path: path.clone(),
        place: start..base + walk.position(),
        kind,
    });
    Ok(())
}
