//! Golden rows: inputs with the outputs that the training side computed for them, kept beside a model as `golden.parquet`.
//!
//! Scores the rows as a run would and compares. It is the test that the contract says what the training pipeline did.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use serde::Serialize;

use crate::batch::{ChunkId, FeatureBatch, Parallelism};
use crate::clock::SystemClock;
use crate::contract::{Contract, Output};
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::infer::{Model, USUAL_BATCH};
use crate::preprocess::Preprocessor;
use crate::score::{Evidence, Forwarded, Pass, Tuner, forward};

/// Differences up to this are rounding: other orders of summation, other instruction sets.
pub const TOLERANCE: f64 = 1e-4;

/// What a comparison found.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// Rows compared.
    pub rows: usize,
    /// Columns compared.
    pub columns: Vec<String>,
    /// Greatest absolute difference.
    pub largest_difference: f64,
}

/// Scores golden rows and compares the outputs that the file states.
pub fn compare(model: &dyn Model, preprocessor: &Preprocessor, file: Bytes) -> Result<Compared, Error> {
    let columns = read(file).map_err(GoldenError::Read)?;
    let contract = preprocessor.contract();
    let batch = FeatureBatch {
        chunk: ChunkId(0),
        first: 0,
        columns: columns.clone(),
        origins: Vec::new(),
        lost: Vec::new(),
        unfit: Vec::new(),
        encoded: BTreeMap::new(),
    };
    let batch = preprocessor.derive(batch)?;
    let prepared = preprocessor.prepare(&batch, Parallelism::Chunks, &SystemClock)?;
    let pass = Pass {
        model,
        preprocessor,
        tuner: &Tuner::fixed(USUAL_BATCH),
        parallelism: Parallelism::Chunks,
        evidence: &Evidence::default(),
        tolerated: 0,
        clock: &SystemClock,
    };
    let Forwarded { predictions, bad, .. } = forward(&prepared, pass)?;
    if let Some(bad) = bad.into_iter().next() {
        return Err(GoldenError::Throws {
            row: bad.row,
            reason: bad.message.unwrap_or_default(),
        }
        .into());
    }
    let mut compared = Compared {
        rows: columns.num_rows(),
        columns: Vec::new(),
        largest_difference: 0.0,
    };
    for (output, values) in contract.outputs.iter().zip(&predictions.outputs) {
        let found = numbers(values).map_err(GoldenError::Columns)?;
        compare_output(output, &found, &columns, &mut compared)?;
    }
    if compared.columns.is_empty() {
        return Err(GoldenError::Nothing {
            outputs: names(contract),
        }
        .into());
    }
    Ok(compared)
}

fn names(contract: &Contract) -> String {
    let names = contract.outputs.iter().map(|output| output.column.as_str());
    names.collect::<Vec<_>>().join(", ")
}

fn read(file: Bytes) -> Result<RecordBatch, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let schema = batches
        .first()
        .map(RecordBatch::schema)
        .ok_or_else(|| ParquetError::General("no rows".to_owned()))?;
    Ok(concat_batches(&schema, &batches)?)
}

/// Compares one output with the columns that state it: one column, a list column, or a column for each element.
fn compare_output(
    output: &Output,
    found: &[f64],
    golden: &RecordBatch,
    compared: &mut Compared,
) -> Result<(), GoldenError> {
    let width = output.width().max(1);
    let names = output.columns.clone().unwrap_or_else(|| vec![output.column.clone()]);
    let stride = names.len();
    for (position, name) in names.iter().enumerate() {
        let Some(column) = golden.column_by_name(name) else {
            continue;
        };
        let expected = numbers(&elements(column)).map_err(GoldenError::Columns)?;
        let picked: Vec<f64> = if stride > 1 {
            found.iter().skip(position).step_by(width).copied().collect()
        } else {
            found.to_vec()
        };
        let row_width = if stride > 1 { 1 } else { width };
        if picked.len() != expected.len() {
            return Err(GoldenError::Width {
                column: name.clone(),
                expected: expected.len(),
                found: picked.len(),
            });
        }
        for (index, (found, expected)) in picked.iter().zip(&expected).enumerate() {
            let difference = (found - expected).abs();
            // NaN is a difference too.
            if difference.is_nan() || difference > TOLERANCE {
                return Err(GoldenError::Differs {
                    column: name.clone(),
                    row: index / row_width,
                    expected: *expected,
                    found: *found,
                });
            }
            compared.largest_difference = compared.largest_difference.max(difference);
        }
        compared.columns.push(name.clone());
    }
    Ok(())
}

fn elements(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().values().clone(),
        DataType::LargeList(_) => column.as_list::<i64>().values().clone(),
        DataType::FixedSizeList(..) => column.as_fixed_size_list().values().clone(),
        _ => column.clone(),
    }
}

fn numbers(values: &ArrayRef) -> Result<Vec<f64>, ArrowError> {
    let values = cast(values, &DataType::Float64)?;
    Ok(values.as_primitive::<Float64Type>().values().to_vec())
}

/// Why golden rows do not agree.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// Not a Parquet file.
    #[error("read golden.parquet")]
    Read(#[source] ParquetError),
    /// Columns of types that do not compare.
    #[error("compare the columns of golden.parquet")]
    Columns(#[source] ArrowError),
    /// No column of the file is an output.
    #[error("golden.parquet states none of the outputs {outputs}")]
    Nothing {
        /// Outputs of the contract.
        outputs: String,
    },
    /// Another number of values.
    #[error("golden.parquet states {expected} values of `{column}`, the model gives {found}")]
    Width {
        /// The column.
        column: String,
        /// Values in the file.
        expected: usize,
        /// Values of the model.
        found: usize,
    },
    /// The model gives no result for a row.
    #[error("golden row {row}: {reason}")]
    Throws {
        /// Index of the row.
        row: usize,
        /// What libtorch says.
        reason: String,
    },
    /// A value that is another one.
    #[error("golden row {row}: `{column}` is {found}, expected {expected}")]
    Differs {
        /// The column.
        column: String,
        /// Index of the row.
        row: usize,
        /// Value in the file.
        expected: f64,
        /// Value of the model.
        found: f64,
    },
}

impl Seam for GoldenError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Read(_)
            | Self::Columns(_)
            | Self::Nothing { .. }
            | Self::Width { .. }
            | Self::Throws { .. }
            | Self::Differs { .. } => ExitCode::Model,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Differs { .. } => Some(
                "the contract does not say what the training pipeline did: compare impute, log1p, mean, std, clip and vocabularies".to_owned(),
            ),
            Self::Read(_)
            | Self::Columns(_)
            | Self::Nothing { .. }
            | Self::Width { .. }
            | Self::Throws { .. } => None,
        }
    }
}
