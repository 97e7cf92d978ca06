//! Turns the predictions of a chunk into the bytes of a Parquet file: the chunk's part.
//!
//! Takes the carried columns and the predictions, gives bytes. Where they go is not its concern: parts become one file in `publish`.

mod decision;
mod growing;
mod part;
mod statistics;

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, DictionaryArray};
use arrow::array::{
    ArrayRef, AsArray, FixedSizeListArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, SchemaRef, UInt8Type};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

pub use growing::Growing;
pub use part::PartEncoder;

use crate::batch::Predictions;
use crate::contract::{Contract, Output, TensorType};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::output::{self, ELEMENT, Lineage, OutputSchema, is_scalar};

/// Encodes rows that have all columns of the output.
pub fn encode(schema: &OutputSchema, batch: &RecordBatch) -> Result<Vec<u8>, WriteError> {
    let mut writer = writer(schema, batch.schema(), output::properties().build())?;
    writer.write(batch)?;
    Ok(writer.into_inner()?)
}

/// A writer of all columns of the output, which come in these Arrow types.
fn writer(
    schema: &OutputSchema,
    columns: SchemaRef,
    properties: WriterProperties,
) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_parquet_schema(schema.descriptor().as_ref().clone());
    ArrowWriter::try_new_with_options(Vec::new(), columns, options)
}

/// The rows of one chunk as they will be written, with all columns.
pub fn whole(schema: &OutputSchema, scored: &RecordBatch) -> Result<RecordBatch, WriteError> {
    let mut columns = scored.columns().to_vec();
    columns.extend(schema.lineage().iter().map(|value| lineage(value, scored.num_rows())));
    Ok(RecordBatch::try_new(Arc::clone(schema.part()), columns)?)
}

/// What is new in each row of a chunk: all columns but those of lineage.
pub fn batch(
    schema: &OutputSchema,
    contract: &Contract,
    carried: &RecordBatch,
    predictions: &Predictions,
) -> Result<RecordBatch, WriteError> {
    let rows = carried.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.part().fields().len());
    for field in schema.carried() {
        let column = carried
            .column_by_name(field.name())
            .ok_or_else(|| WriteError::NoColumn {
                column: field.name().clone(),
            })?;
        columns.push(as_type(column, field.data_type())?);
    }
    for (output, values) in contract.outputs.iter().zip(&predictions.outputs) {
        output_columns(output, values, &mut columns)?;
    }
    if let Some(decision) = &contract.decision {
        let source = contract
            .outputs
            .iter()
            .position(|output| output.column == decision.source);
        if let (Some(source), Some(verdict)) = (source, decision.verdict()) {
            columns.push(decision::column(verdict, &predictions.outputs[source], rows)?);
        }
    }
    Ok(RecordBatch::try_new(Arc::clone(schema.scored()), columns)?)
}

/// A column of lineage: one value for all rows.
fn lineage(value: &Lineage, rows: usize) -> ArrayRef {
    match value {
        Lineage::Text(_, value) => constant_text(value, rows),
        Lineage::Time(_, micros) => Arc::new(TimestampMicrosecondArray::from_value(*micros, rows).with_timezone("UTC")),
    }
}

fn as_type(column: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == wanted {
        Ok(Arc::clone(column))
    } else {
        cast(column, wanted)
    }
}

/// The columns of one output: a number, a fixed-size list, or a number for each element.
fn output_columns(output: &Output, values: &ArrayRef, columns: &mut Vec<ArrayRef>) -> Result<(), WriteError> {
    let width = output.width();
    let values = if output.dtype == TensorType::Bool {
        booleans(values)
    } else {
        Arc::clone(values)
    };
    if let Some(names) = &output.columns {
        for element in 0..names.len() {
            let count = values.len() / width;
            let positions = (0..count).map(|row| i32::try_from(row * width + element).unwrap_or(i32::MAX));
            columns.push(arrow::compute::take(
                &values,
                &Int32Array::from_iter_values(positions),
                None,
            )?);
        }
    } else if is_scalar(output) {
        columns.push(values);
    } else {
        let element = Arc::new(Field::new(ELEMENT, values.data_type().clone(), false));
        let size = i32::try_from(width).unwrap_or(i32::MAX);
        columns.push(Arc::new(FixedSizeListArray::try_new(element, size, values, None)?));
    }
    Ok(())
}

fn booleans(values: &ArrayRef) -> ArrayRef {
    let flags = values.as_primitive::<UInt8Type>().values().iter();
    Arc::new(flags.map(|&flag| Some(flag != 0)).collect::<BooleanArray>())
}

/// One value for all rows, as a dictionary of one: its bytes are neither copied nor compared row by row.
fn constant_text(value: &str, rows: usize) -> ArrayRef {
    let keys = Int32Array::from_value(0, rows);
    let values = Arc::new(StringArray::from(vec![value]));
    Arc::new(DictionaryArray::new(keys, values))
}

/// Why predictions cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A carried column got lost on the way, which is a mistake in this program.
    #[error("the carried column `{column}` is not in the batch")]
    NoColumn {
        /// The column.
        column: String,
    },
    /// Columns do not fit together.
    #[error("put the output columns together")]
    Columns(#[from] ArrowError),
    /// The Parquet writer failed.
    #[error("encode the output as Parquet")]
    Encode(#[from] ParquetError),
}

impl Seam for WriteError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::NoColumn { .. } | Self::Columns(_) | Self::Encode(_) => ExitCode::Internal,
        }
    }
}
