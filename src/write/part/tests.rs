//! Columns that are copied, and that readers find the same rows as if they were encoded.

use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray, TimestampSecondArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use chrono::DateTime;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;

use super::*;
use crate::batch::EncodedPage;
use crate::contract::Contract;
use crate::plan::Columns;
use crate::validate::LineageColumns;

const ROWS: i64 = 5_000;

/// Rows of a source with a key, a text that repeats, and a time.
fn source() -> RecordBatch {
    let key = Int64Array::from_iter_values((0..ROWS).map(|row| row * 7));
    let text = (0..ROWS).map(|row| (row % 11 != 0).then(|| format!("C{:03}", row % 300)));
    let text = text.collect::<StringArray>();
    let time = TimestampMicrosecondArray::from_iter_values((0..ROWS).map(|row| row * 1_000)).with_timezone("UTC");
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new(
            "time",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
    ]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(key), Arc::new(text), Arc::new(time)]).unwrap()
}

/// The columns of a batch as they lie in a file.
fn encoded(batch: &RecordBatch) -> BTreeMap<String, EncodedColumn> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_data_page_row_count_limit(1_000);
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    let file = Whole::of(writer.into_inner().unwrap().into()).unwrap();
    let group = file.metadata.row_group(0);
    let index = file.metadata.page_index_for_row_group(0);
    let columns = group.columns().iter().enumerate().map(|(leaf, column)| {
        let (start, length) = column.byte_range();
        let range = usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap();
        let places = index.offset_index(leaf).unwrap().page_locations();
        let ends = places
            .iter()
            .skip(1)
            .map(|page| page.first_row_index)
            .chain([group.num_rows()]);
        let pages = places.iter().zip(ends).map(|(page, end)| EncodedPage {
            start: usize::try_from(page.offset).unwrap() - range.start,
            size: usize::try_from(page.compressed_page_size).unwrap(),
            rows: usize::try_from(end - page.first_row_index).unwrap(),
        });
        let encoded = EncodedColumn {
            bytes: file.bytes.slice(range.clone()),
            metadata: column.clone(),
            pages: pages.collect(),
        };
        (column.column_path().string(), encoded)
    });
    columns.collect()
}

fn schema(carried: &RecordBatch) -> OutputSchema {
    let text = br#"{"name": "m", "version": "1", "created_at": "2026-11-18T06:00:00Z", "sha256": "0000000000000000000000000000000000000000000000000000000000000000", "torch_version": "2.11.0",
        "features": [{"name": "x", "kind": "numeric", "dtype": "float32"}],
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 1], "columns": ["x"]}],
        "outputs": [{"column": "y", "dtype": "float32", "shape": [-1, 1], "activation": "identity"}]}"#;
    let contract = Contract::from_json(text, "metadata.json").unwrap_or_else(|error| panic!("{error}"));
    let fields = carried.schema_ref().fields();
    let columns = Columns {
        read: Vec::new(),
        keys: vec![Arc::clone(&fields[0])],
        passthrough: fields.iter().skip(1).cloned().collect(),
        parsed: std::collections::BTreeMap::default(),
        types: BTreeMap::default(),
        annotations: BTreeMap::default(),
    };
    let name = |name: &str| Some(name.to_owned());
    let names = LineageColumns {
        model_name: name("model_name"),
        model_version: name("model_version"),
        inference_timestamp: name("inference_timestamp"),
        run_id: name("run_id"),
    };
    OutputSchema::new(&columns, &contract, &names, DateTime::UNIX_EPOCH, "run").unwrap()
}

/// The scored rows: those of the source, and a result.
fn scored(schema: &OutputSchema, carried: &RecordBatch) -> RecordBatch {
    let mut columns = carried.columns().to_vec();
    let results = (0..carried.num_rows()).map(|row| u16::try_from(row % 1_000).map_or(0.0, f32::from));
    columns.push(Arc::new(arrow::array::Float32Array::from_iter_values(results)));
    RecordBatch::try_new(Arc::clone(schema.scored()), columns).unwrap()
}

fn read(part: Vec<u8>) -> (RecordBatch, ParquetMetaData) {
    let bytes = Bytes::from(part);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
    let schema = Arc::clone(builder.schema());
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    (
        concat_batches(&schema, &batches).unwrap(),
        Whole::of(bytes).unwrap().metadata,
    )
}

#[test]
fn copied_columns_hold_the_same_rows_as_encoded_ones() {
    let carried = source();
    let schema = schema(&carried);
    let rows = scored(&schema, &carried);
    let encoder = PartEncoder::new(&schema).unwrap();
    let (copied, found) = read(encoder.encode(&rows, &encoded(&carried)).unwrap());
    let (anew, other) = read(encoder.encode(&rows, &BTreeMap::new()).unwrap());
    assert_eq!(copied, anew);
    for leaf in 0..3 {
        let of = |metadata: &ParquetMetaData| metadata.row_group(0).column(leaf).compression_codec();
        assert_ne!(of(&found), of(&other), "column {leaf} was not copied");
        assert_eq!(
            found
                .row_group(0)
                .column(leaf)
                .statistics()
                .map(Statistics::min_bytes_opt),
            other
                .row_group(0)
                .column(leaf)
                .statistics()
                .map(Statistics::min_bytes_opt),
        );
    }
    let nulls = found
        .row_group(0)
        .column(1)
        .statistics()
        .and_then(Statistics::null_count_opt);
    assert_eq!(nulls, Some(rows.column(1).null_count() as u64));
}

#[test]
fn a_column_with_other_rows_is_encoded() {
    let carried = source();
    let schema = schema(&carried);
    let fewer = scored(&schema, &carried).slice(1, 4_000);
    let encoder = PartEncoder::new(&schema).unwrap();
    let (found, _) = read(encoder.encode(&fewer, &encoded(&carried)).unwrap());
    assert_eq!(found.num_rows(), 4_000);
    assert_eq!(found.column(0).as_ref(), fewer.column(0).as_ref());
}

/// Arrow's seconds are stored as milliseconds: the numbers in the pages are not those of the column.
#[test]
fn a_column_whose_numbers_mean_something_else_is_encoded() {
    let time = TimestampSecondArray::from_iter_values(0..ROWS);
    let field = Field::new("key", DataType::Timestamp(TimeUnit::Second, None), true);
    let carried = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(time)]).unwrap();
    let kind = DataType::Timestamp(TimeUnit::Millisecond, None);
    let field = Field::new("key", kind.clone(), true);
    let column = cast(carried.column(0), &kind).unwrap();
    let millis = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap();
    let schema = schema(&carried);
    let rows = scored(&schema, &carried);
    let encoder = PartEncoder::new(&schema).unwrap();
    let (found, _) = read(encoder.encode(&rows, &encoded(&millis)).unwrap());
    let (anew, _) = read(encoder.encode(&rows, &BTreeMap::new()).unwrap());
    assert_eq!(found, anew);
}
