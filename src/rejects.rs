//! The rows that were not scored, as rows of their own: key, file, row index, reason and column. Never the values of features.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::batch::{BadRow, FeatureBatch};
use crate::error::Seam;
use crate::exit::ExitCode;

/// The rejects of one chunk; `None` when there are none.
pub fn batch(keys: &[String], whole: &FeatureBatch, bad: &[BadRow]) -> Result<Option<RecordBatch>, ArrowError> {
    if bad.is_empty() {
        return Ok(None);
    }
    let rows = bad.iter().map(|bad| u32::try_from(bad.row).unwrap_or(u32::MAX));
    let rows = UInt32Array::from_iter_values(rows);
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for key in keys {
        if let Some(column) = whole.columns.column_by_name(key) {
            fields.push(Arc::new(Field::new(key, column.data_type().clone(), true)));
            columns.push(take(column, &rows, None)?);
        }
    }
    let origins: Vec<_> = bad.iter().map(|bad| whole.origin(bad.row)).collect();
    let text = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let described: [(&str, DataType, ArrayRef); 4] = [
        (
            "_file",
            DataType::Utf8,
            text(origins.iter().map(|(file, _)| *file).collect()),
        ),
        (
            "_row",
            DataType::UInt64,
            Arc::new(UInt64Array::from_iter_values(origins.iter().map(|(_, row)| *row))),
        ),
        (
            "_reason",
            DataType::Utf8,
            text(bad.iter().map(|bad| bad.reason.name()).collect()),
        ),
        (
            "_column",
            DataType::Utf8,
            text(bad.iter().map(|bad| bad.column.as_str()).collect()),
        ),
    ];
    for (name, kind, column) in described {
        fields.push(Arc::new(Field::new(name, kind, false)));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map(Some)
}

/// The rejects of a run as a Parquet file; `None` when there are none.
pub fn encode(rejects: &[RecordBatch]) -> Result<Option<Bytes>, RejectsError> {
    let Some(first) = rejects.first() else {
        return Ok(None);
    };
    let schema = first.schema();
    let all = concat_batches(&schema, rejects).map_err(ParquetError::from)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None)?;
    writer.write(&all)?;
    Ok(Some(writer.into_inner()?.into()))
}

/// Rejects that were encoded before.
pub fn decode(bytes: Bytes) -> Result<RecordBatch, RejectsError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build()?.collect::<Result<_, _>>().map_err(ParquetError::from)?;
    Ok(concat_batches(&schema, &batches).map_err(ParquetError::from)?)
}

/// The rejects could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[error("hold the rejected rows as Parquet")]
pub struct RejectsError(#[from] ParquetError);

impl Seam for RejectsError {
    fn exit(&self) -> ExitCode {
        ExitCode::Internal
    }
}
