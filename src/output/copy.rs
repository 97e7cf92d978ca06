//! Copies encoded columns from one file to another.

use std::io::Write;

use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::writer::SerializedRowGroupWriter;

/// Copies all column chunks of a row group as they are, with their page indexes where `metadata` was read with them.
pub fn copy_columns<W: Write + Send>(
    to: &mut SerializedRowGroupWriter<'_, W>,
    from: &Bytes,
    metadata: &ParquetMetaData,
    row_group: usize,
) -> Result<(), ParquetError> {
    let group = metadata.row_group(row_group);
    let index = metadata.page_index_for_row_group(row_group);
    for (leaf, column) in group.columns().iter().enumerate() {
        let close = ColumnCloseResult {
            bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
            rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
            metadata: column.clone(),
            bloom_filter: None,
            column_index: index.column_index(leaf).cloned(),
            offset_index: index.offset_index(leaf).cloned(),
        };
        to.append_column(from, close)?;
    }
    Ok(())
}
