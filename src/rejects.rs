//! The rows that were not scored, as rows of their own: key, file, row index, reason, column and message; values of features only if asked.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Field, FieldRef, Schema};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::batch::{BadRow, FeatureBatch};
use crate::error::Seam;
use crate::exit::ExitCode;

/// Columns of a rejects file beside its keys and values.
pub const DESCRIBED: [&str; 5] = ["_file", "_row", "_reason", "_column", "_message"];

/// The rejects of one chunk, with the values of some columns; `None` when there are none.
pub fn batch(
    keys: &[String],
    values: &[String],
    whole: &FeatureBatch,
    bad: &[BadRow],
) -> Result<Option<RecordBatch>, ArrowError> {
    if bad.is_empty() {
        return Ok(None);
    }
    let rows = bad.iter().map(|bad| u32::try_from(bad.row).unwrap_or(u32::MAX));
    let rows = UInt32Array::from_iter_values(rows);
    let carried = |names: &[String]| -> Result<Vec<(String, ArrayRef)>, ArrowError> {
        let columns = names
            .iter()
            .filter_map(|name| Some((name, whole.columns.column_by_name(name)?)));
        columns
            .map(|(name, column)| Ok((name.clone(), take(column, &rows, None)?)))
            .collect()
    };
    let origins: Vec<_> = bad.iter().map(|bad| whole.origin(bad.row)).collect();
    let text = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let message = |bad: &BadRow| bad.message.clone().unwrap_or_else(|| bad.reason.text().to_owned());
    let described: [ArrayRef; DESCRIBED.len()] = [
        text(origins.iter().map(|(file, _)| *file).collect()),
        Arc::new(UInt64Array::from_iter_values(origins.iter().map(|(_, row)| *row))),
        text(bad.iter().map(|bad| bad.reason.name()).collect()),
        text(bad.iter().map(|bad| bad.column.as_str()).collect()),
        Arc::new(StringArray::from_iter_values(bad.iter().map(message))),
    ];
    let described = DESCRIBED.into_iter().map(str::to_owned).zip(described);
    let values: Vec<_> = values.iter().filter(|name| !keys.contains(name)).cloned().collect();
    let all = carried(keys)?.into_iter().chain(described).chain(carried(&values)?);
    let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) = all
        .map(|(name, column)| {
            let described = DESCRIBED.contains(&name.as_str());
            (
                Arc::new(Field::new(name, column.data_type().clone(), !described)),
                column,
            )
        })
        .unzip();
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
