//! A published partition as a reader sees it, and how two of them compare.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;

use super::column_of;
use super::features::FIRST_ID;

/// Greatest difference between results that should be the same: batches of another size are summed in another order, and
/// probabilities have six digits that mean something. A wrong feature is off by far more.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// A published file.
pub(crate) struct Partition {
    batch: RecordBatch,
    metadata: Arc<ParquetMetaData>,
}

impl Partition {
    #[track_caller]
    pub(crate) fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
        Self::new(ParquetRecordBatchReaderBuilder::try_new(file).unwrap())
    }

    #[track_caller]
    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        Self::new(ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap())
    }

    fn new<R: parquet::file::reader::ChunkReader + 'static>(reader: ParquetRecordBatchReaderBuilder<R>) -> Self {
        let (schema, metadata) = (Arc::clone(reader.schema()), Arc::clone(reader.metadata()));
        let batches: Vec<_> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
        Self {
            batch: arrow::compute::concat_batches(&schema, &batches).unwrap(),
            metadata,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    /// Names of the columns, in order.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.batch
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect()
    }

    #[track_caller]
    pub(crate) fn column(&self, name: &str) -> &ArrayRef {
        column_of(&self.batch, name)
    }

    /// A column as integers.
    #[track_caller]
    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        integers(self.column(name))
    }

    /// A column as numbers; lists one after the other.
    #[track_caller]
    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        numbers(self.column(name))
    }

    /// A column as text.
    #[track_caller]
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        texts(self.column(name))
    }

    /// The keys are those of the features that the fixture wrote, in their order.
    #[track_caller]
    pub(crate) fn expect_input_order(&self) -> &Self {
        let last = FIRST_ID + i64::try_from(self.rows()).unwrap();
        assert_eq!(self.integers("transaction_id"), (FIRST_ID..last).collect::<Vec<_>>());
        self
    }

    /// The rows and the results are those of another partition.
    #[track_caller]
    pub(crate) fn expect_predictions_of(&self, other: &Self) -> &Self {
        assert_eq!(self.integers("transaction_id"), other.integers("transaction_id"));
        assert_close(
            &self.numbers("probability"),
            &other.numbers("probability"),
            "probability",
        );
        assert_eq!(self.integers("prediction"), other.integers("prediction"));
        self
    }
}

/// Numbers are the same but for rounding.
#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= TOLERANCE, "{what} {row}: {found}, expected {expected}");
    }
}

#[track_caller]
pub(crate) fn integers(column: &ArrayRef) -> Vec<i64> {
    let column = cast(column, &DataType::Int64).unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

#[track_caller]
pub(crate) fn numbers(column: &ArrayRef) -> Vec<f64> {
    let values = match column.data_type() {
        DataType::FixedSizeList(..) => column.as_fixed_size_list().values(),
        _ => column,
    };
    cast(values, &DataType::Float64)
        .unwrap()
        .as_primitive::<Float64Type>()
        .values()
        .to_vec()
}

#[track_caller]
pub(crate) fn texts(column: &ArrayRef) -> Vec<String> {
    let column = cast(column, &DataType::Utf8).unwrap();
    column
        .as_string::<i32>()
        .iter()
        .map(|text| text.unwrap().to_owned())
        .collect()
}
