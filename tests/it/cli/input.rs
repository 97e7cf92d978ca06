//! Input that does not fit the contract (12), that is damaged or holds rows that cannot be scored (13), or is not there (14).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use batch_infer::exit::ExitCode;
use parquet::file::metadata::ParquetMetaDataReader;

use crate::support::{JobFixture, cast_column, map_column};

/// The batch with a null in one row of a column.
fn with_null(batch: &RecordBatch, column: &str, row: usize) -> RecordBatch {
    map_column(batch, column, |values| null_at(values, row))
}

fn null_at(values: &ArrayRef, row: usize) -> ArrayRef {
    let gone: BooleanArray = (0..values.len()).map(|index| Some(index == row)).collect();
    nullif(values, &gone).unwrap()
}

fn renamed(batch: &RecordBatch, name: &str, other: &str) -> RecordBatch {
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|field| {
        let name = if field.name() == name { other } else { field.name() };
        Field::clone(field).with_name(name)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), batch.columns().to_vec()).unwrap()
}

fn without(batch: &RecordBatch, name: &str) -> RecordBatch {
    let mut batch = batch.clone();
    let index = batch.schema().index_of(name).unwrap();
    batch.remove_column(index);
    batch
}

#[test]
fn missing_column_is_named_with_its_file() {
    let run = JobFixture::new()
        .features(|features| features.changed(None, |batch| without(batch, "amount")))
        .published_before()
        .run();
    run.expect_refusal(ExitCode::Schema);
    insta::assert_snapshot!(run.message(), @"
    error: the input does not fit the job and the model:
      - `part-00000.parquet`: column `amount`: expected a column that a derived feature reads, found no such column [missing column]
      - `part-00000.parquet`: column `amount`: expected a number, found no such column [missing column]
      exit code: 12 (input columns do not fit the contract)
    ");
}

#[test]
fn column_in_another_case_is_another_column() {
    let run = JobFixture::new()
        .features(|features| features.changed(None, |batch| renamed(batch, "device_score", "Device_Score")))
        .run();
    run.expect_refusal(ExitCode::Schema)
        .expect_said(&["`device_score`", "there is `Device_Score`; names are compared by case"]);
}

#[test]
fn text_is_no_number() {
    let run = JobFixture::new()
        .features(|features| features.changed(None, |batch| cast_column(batch, "amount", &DataType::Utf8)))
        .run();
    run.expect_refusal(ExitCode::Schema).expect_said(&[
        "`part-00000.parquet`: column `amount`",
        "expected a number",
        "found Utf8",
    ]);
}

#[test]
fn decimal_needs_a_cast_in_the_contract() {
    let decimal = DataType::Decimal128(18, 2);
    let run = JobFixture::new()
        .features(|features| features.changed(None, move |batch| cast_column(batch, "amount", &decimal)))
        .run();
    run.expect_refusal(ExitCode::Schema)
        .expect_said(&["column `amount`", "Decimal128(18, 2)", "\"cast\": \"float\""]);
}

#[test]
fn every_file_with_a_problem_is_named_in_one_answer() {
    let run = JobFixture::new()
        .files(3)
        .features(|features| {
            let features = features.changed(0, |batch| without(batch, "country"));
            features.changed(2, |batch| without(batch, "is_card_present"))
        })
        .run();
    run.expect_refusal(ExitCode::Schema);
    insta::assert_snapshot!(run.message(), @"
    error: the input does not fit the job and the model:
      - `part-00000.parquet`: column `country`: expected a string, found no such column [missing column]
      - `part-00002.parquet`: column `is_card_present`: expected a number, found no such column [missing column]
      exit code: 12 (input columns do not fit the contract)
    ");
}

#[test]
fn files_must_agree_on_the_type_of_a_key() {
    let run = JobFixture::new()
        .files(2)
        .features(|features| features.changed(1, |batch| cast_column(batch, "transaction_id", &DataType::Utf8)))
        .run();
    run.expect_refusal(ExitCode::Schema).expect_said(&[
        "`part-00001.parquet`: column `transaction_id`",
        "expected Int64 as in `part-00000.parquet`",
    ]);
}

#[test]
fn missing_key_is_a_mismatch() {
    let run = JobFixture::new().job("input.keys", "['order_id']").run();
    run.expect_refusal(ExitCode::Schema)
        .expect_said(&["column `order_id`", "no such column"]);
}

#[test]
fn null_without_a_value_for_nulls_is_found_by_the_footer_with_file_and_column() {
    let run = JobFixture::new()
        .rows(2_000)
        .files(2)
        .row_group_rows(300)
        .features(|features| features.changed(1, |batch| with_null(batch, "days_since_signup", 777)))
        .published_before()
        .run();
    run.expect_refusal(ExitCode::BadRows);
    insta::assert_snapshot!(run.message(), @r#"
    error: the input holds nulls that the job does not tolerate; nothing was scored:
      - `part-00001.parquet`: column `days_since_signup`: expected no nulls (NULL_FEATURE = "fail"), found 1 by the footer [nulls]
      hint: correct the input, give the feature an `impute` value in the contract, or tolerate such rows: [rows] max_bad_rows, max_bad_fraction and on.<reason> = "reject"
      exit code: 13 (more bad rows or damaged files than allowed)
    "#);
}

#[test]
fn null_key_is_found_by_the_footer_with_file_and_column() {
    let run = JobFixture::new()
        .features(|features| features.changed(0, |batch| with_null(batch, "transaction_id", 99)))
        .run();
    run.expect_refusal(ExitCode::BadRows).expect_said(&[
        "`part-00000.parquet`: column `transaction_id`",
        "NULL_KEY",
        "1 by the footer",
    ]);
}

/// Writes nonsense over the first page of a column.
fn garble(path: &Path, column: usize) {
    let mut bytes = fs::read(path).unwrap();
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&bytes::Bytes::from(bytes.clone()))
        .unwrap();
    let (start, length) = metadata.row_group(0).column(column).byte_range();
    let (start, length) = (usize::try_from(start).unwrap(), usize::try_from(length).unwrap());
    bytes[start + length / 3..start + length].fill(0xA5);
    fs::write(path, bytes).unwrap();
}

#[test]
fn damaged_page_is_named_with_its_file_and_row_group() {
    let run = JobFixture::new()
        .rows(5_000)
        .files(2)
        .damaged(|folder| garble(&folder.join("part-00001.parquet"), 3))
        .published_before()
        .run();
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["decode row group 0 of `part-00001.parquet`"]);
}

#[test]
fn damaged_page_of_a_row_group_that_is_read_in_part_is_found() {
    let run = JobFixture::new()
        .rows(5_000)
        .setting("line.chunk_rows", "500")
        .features(crate::support::Features::without_page_index)
        .damaged(|folder| garble(&folder.join("part-00000.parquet"), 3))
        .run();
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["`part-00000.parquet`"]);
}

#[test]
fn file_that_is_cut_off_is_named() {
    let run = JobFixture::new()
        .files(2)
        .damaged(|folder| {
            let path = folder.join("part-00001.parquet");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        })
        .published_before()
        .run();
    run.expect_refusal(ExitCode::BadRows);
    insta::assert_snapshot!(run.message(), @r#"
    error: `part-00001.parquet` ends with `\x19\x16\x00)`, and a Parquet file ends with `PAR1`: it is cut off, still being written, or something else
      hint: have it written again; with `on_corrupt_file = "reject"` below [input] the rest is scored without it
      exit code: 13 (more bad rows or damaged files than allowed)
    "#);
}

#[test]
fn file_without_a_byte_is_named() {
    let run = JobFixture::new()
        .damaged(|folder| fs::write(folder.join("part-00001.parquet"), b"").unwrap())
        .run();
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["`part-00001.parquet`"]);
}

#[test]
fn input_that_is_not_there_is_not_ready() {
    let run = JobFixture::new().without_features().published_before().run();
    run.expect_refusal(ExitCode::InputNotReady);
    insta::assert_snapshot!(run.message(), @"
    error: no Parquet files at `features/date=2026-11-19`
      hint: check `input.path` and the date; a file counts if its name ends in .parquet, .parq or .pq or it begins and ends with the letters PAR1, and names that begin with `_` or `.` are skipped
      exit code: 14 (input not ready)
    ");
}

#[test]
fn folder_of_files_that_do_not_count_is_not_ready() {
    let run = JobFixture::new()
        .without_features()
        .file("features/date=2026-11-19/_SUCCESS", b"")
        .file("features/date=2026-11-19/.part-00000.parquet.crc", b"crc")
        .file("features/date=2026-11-19/_temporary/part-00000.parquet", b"half a fi")
        .file("features/date=2026-11-19/notes.txt", b"none")
        .run();
    run.expect_refusal(ExitCode::InputNotReady);
}
