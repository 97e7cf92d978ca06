//! A column of a chunk as it lies encoded in its file.
//!
//! Decoding is what finds out that bytes are sound; encoding the same values again would only cost time. So a column that is carried to the
//! output travels in both forms, and whoever writes all rows of the chunk copies the encoded one.

use bytes::Bytes;
use parquet::file::metadata::ColumnChunkMetaData;

/// All pages of one column of one row group, of a column that is not nested.
#[derive(Debug, Clone)]
pub struct EncodedColumn {
    /// The dictionary, where there is one, and the pages of values after it.
    pub bytes: Bytes,
    /// What the footer says of them. Its offsets count from the beginning of the file.
    pub metadata: ColumnChunkMetaData,
    /// The pages of values, in order.
    pub pages: Vec<EncodedPage>,
}

/// Where a page of values lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedPage {
    /// First byte of its header, counted from the first of the column.
    pub start: usize,
    /// Bytes, with its header.
    pub size: usize,
    /// Rows.
    pub rows: usize,
}
