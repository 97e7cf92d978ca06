//! Feature files of the fraud-detector, of any size and layout: rows of `sample_data` again and again, each with an id of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};

use super::repository;

/// Id of the first row; the others follow in the order of the input.
pub(crate) const FIRST_ID: i64 = 1_000_000;

/// How much greater an amount is each time that its row is used again, so that no two rows score alike for no reason.
const GROWTH: f64 = 0.01;

/// Rows of a page of files with several pages in a row group.
const PAGE_ROWS: usize = 100;

type Change = Box<dyn Fn(&RecordBatch) -> RecordBatch>;

/// Feature files in the making.
pub(crate) struct Features {
    rows: usize,
    files: usize,
    row_group_rows: usize,
    version: WriterVersion,
    page_index: bool,
    changes: Vec<(Option<usize>, Change)>,
}

impl Features {
    pub(crate) fn new() -> Self {
        Self {
            rows: 100,
            files: 1,
            row_group_rows: usize::MAX,
            version: WriterVersion::PARQUET_1_0,
            page_index: true,
            changes: Vec::new(),
        }
    }

    pub(crate) fn rows(self, rows: usize) -> Self {
        Self { rows, ..self }
    }

    pub(crate) fn files(self, files: usize) -> Self {
        Self { files, ..self }
    }

    pub(crate) fn row_group_rows(self, row_group_rows: usize) -> Self {
        Self { row_group_rows, ..self }
    }

    /// Pages as version 2 of the format has them, which state their rows.
    pub(crate) fn pages_of_version_two(self) -> Self {
        Self {
            version: WriterVersion::PARQUET_2_0,
            ..self
        }
    }

    /// Nothing in the file says where its pages lie.
    pub(crate) fn without_page_index(self) -> Self {
        Self {
            page_index: false,
            ..self
        }
    }

    /// Changes the rows of one file, or of all.
    pub(crate) fn changed(
        mut self,
        file: impl Into<Option<usize>>,
        change: impl Fn(&RecordBatch) -> RecordBatch + 'static,
    ) -> Self {
        self.changes.push((file.into(), Box::new(change)));
        self
    }

    /// Writes `part-00000.parquet` and so on into a folder.
    pub(crate) fn write(&self, folder: &Path) {
        let properties = self.properties();
        for file in 0..self.files {
            let (first, end) = (self.rows * file / self.files, self.rows * (file + 1) / self.files);
            let mut batch = rows(first, end);
            for (place, change) in &self.changes {
                if place.is_none_or(|place| place == file) {
                    batch = change(&batch);
                }
            }
            write_parquet(
                &folder.join(format!("part-{file:05}.parquet")),
                &batch,
                properties.clone(),
            );
        }
    }

    fn properties(&self) -> WriterPropertiesBuilder {
        let statistics = if self.page_index {
            EnabledStatistics::Page
        } else {
            EnabledStatistics::None
        };
        WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_writer_version(self.version)
            .set_statistics_enabled(statistics)
            .set_offset_index_disabled(!self.page_index)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_write_batch_size(PAGE_ROWS)
            .set_max_row_group_row_count(Some(self.row_group_rows))
    }
}

/// Rows by their number in the whole input.
fn rows(first: usize, end: usize) -> RecordBatch {
    let sample = sample();
    let wrapped = (first..end).map(|row| (row % sample.num_rows()) as u64);
    let batch = take_record_batch(sample, &UInt64Array::from_iter_values(wrapped)).unwrap();
    let ids = (first..end).map(|row| FIRST_ID + i64::try_from(row).unwrap());
    let batch = with_column(&batch, "transaction_id", Arc::new(Int64Array::from_iter_values(ids)));
    map_column(&batch, "amount", |amounts| {
        let amounts = amounts.as_primitive::<Float64Type>().iter().zip(first..end);
        let greater = amounts.map(|(amount, row)| {
            let rounds = u32::try_from(row / sample.num_rows()).unwrap();
            amount.map(|amount| amount * (1.0 + GROWTH * f64::from(rounds)))
        });
        Arc::new(greater.collect::<Float64Array>())
    })
}

/// All rows of the sample's three dates.
fn sample() -> &'static RecordBatch {
    static SAMPLE: OnceLock<RecordBatch> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let files = parquet_files(&repository().join("sample_data/features/fraud-detector"));
        let batches: Vec<_> = files.iter().map(|file| read_parquet(file)).collect();
        concat_batches(&batches[0].schema(), &batches).unwrap()
    })
}

/// Parquet files below a folder, by path.
pub(crate) fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let pattern = folder.join("**/*.parquet");
    let found = glob::glob(pattern.to_str().unwrap()).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

/// A Parquet file as one batch.
#[track_caller]
pub(crate) fn read_parquet(path: &Path) -> RecordBatch {
    let file = File::open(path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = Arc::clone(builder.schema());
    let batches: Vec<_> = builder.build().unwrap().collect::<Result<_, _>>().unwrap();
    concat_batches(&schema, &batches).unwrap()
}

/// Writes a Parquet file, with the folders on the way to it.
pub(crate) fn write_parquet(path: &Path, batch: &RecordBatch, properties: WriterPropertiesBuilder) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// The column of that name.
#[track_caller]
pub(crate) fn column_of<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    let names: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    batch
        .column_by_name(name)
        .unwrap_or_else(|| panic!("no column `{name}` among {names:?}"))
}

/// The batch with another column in the place of one.
pub(crate) fn map_column(batch: &RecordBatch, name: &str, change: impl Fn(&ArrayRef) -> ArrayRef) -> RecordBatch {
    with_column(batch, name, change(column_of(batch, name)))
}

/// The batch with a column of another type.
pub(crate) fn cast_column(batch: &RecordBatch, name: &str, wanted: &DataType) -> RecordBatch {
    map_column(batch, name, |column| cast(column, wanted).unwrap())
}

fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let schema = batch.schema();
    let index = schema.index_of(name).unwrap();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    let nullable = column.null_count() > 0 || fields[index].is_nullable();
    fields[index] = Arc::new(Field::new(name, column.data_type().clone(), nullable));
    let mut columns = batch.columns().to_vec();
    columns[index] = column;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}
