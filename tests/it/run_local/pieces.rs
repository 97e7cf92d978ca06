//! Texts that repeat: a chunk that takes more memory once decoded than it may is scored a few rows at a time, as if it had been whole.

use std::fs;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use batch_infer::exit::ExitCode;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};

use crate::support::{
    DATE, Features, JobFixture, Run, column_of, integers, map_column, parquet_files, read_parquet, texts, write_parquet,
};

const ROWS: usize = 400;

/// Bytes of a text; all rows have ten times what is allowed.
const LENGTH: usize = 100_000;

const ALLOWED: &str = "4MiB";

/// One of a few texts.
fn note(row: usize) -> String {
    let letter = ["a", "b", "c", "d", "e"][row % 5];
    letter.repeat(LENGTH)
}

fn notes(rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..rows).map(note)))
}

/// Three texts a row.
fn lists(rows: usize) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let texts = StringArray::from_iter_values((0..3 * rows).map(note));
    Arc::new(ListArray::new(
        field,
        OffsetBuffer::from_lengths(vec![3; rows]),
        Arc::new(texts),
        None,
    ))
}

fn with(batch: &RecordBatch, column: ArrayRef) -> RecordBatch {
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("note", column.data_type().clone(), true)));
    let columns = batch.columns().iter().cloned().chain([column]).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// A job that carries the texts along, in two files of small row groups.
fn job() -> JobFixture {
    features(Clone::clone)
}

fn features(change: impl Fn(&RecordBatch) -> RecordBatch + Copy + 'static) -> JobFixture {
    let fixture = JobFixture::new().rows(ROWS).files(2).row_group_rows(60);
    fixture
        .features(move |features| features.changed(None, move |batch| with(&change(batch), notes(batch.num_rows()))))
        .job("input.passthrough", "['note']")
        .setting("line.max_decoded", ALLOWED)
}

fn rejecting(job: JobFixture) -> JobFixture {
    job.job("rows.max_bad_rows", "100").job("rows.max_bad_fraction", "0.5")
}

/// Every row with its own text, and with what comes of it where all rows are decoded at once.
#[track_caller]
fn expect_as_whole(run: &Run, job: JobFixture) {
    run.expect_success();
    let whole = job.setting("line.max_decoded", "1GiB").argument("--force").run();
    whole.expect_success();
    let (found, expected) = (run.partition(), whole.partition());
    assert_eq!(found.integers("transaction_id"), expected.integers("transaction_id"));
    assert_eq!(found.column("note").as_ref(), expected.column("note").as_ref());
    found.expect_predictions_of(&expected);
    let groups = |run: &Run| run.partition().metadata().num_row_groups();
    assert_eq!(groups(run), groups(&whole));
}

/// Ways to write texts that repeat in a small file.
fn forms() -> [(&'static str, WriterPropertiesBuilder); 4] {
    let properties = || {
        WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_data_page_size_limit(LENGTH)
            .set_write_batch_size(1)
            .set_max_row_group_row_count(Some(usize::MAX))
    };
    let plain = || properties().set_dictionary_enabled(false);
    [
        ("dictionary", properties()),
        ("plain", plain()),
        (
            "plain, version 2",
            plain().set_writer_version(WriterVersion::PARQUET_2_0),
        ),
        (
            "lengths apart",
            plain().set_column_encoding("note".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ),
    ]
}

#[test]
fn texts_that_repeat_are_scored_however_they_are_written() {
    for (name, properties) in forms() {
        let job = JobFixture::new()
            .rows(ROWS)
            .job("input.passthrough", "['note']")
            .setting("line.max_decoded", ALLOWED)
            .damaged(|folder| {
                let file = parquet_files(folder).remove(0);
                let batch = read_parquet(&file);
                write_parquet(&file, &with(&batch, notes(batch.num_rows())), properties);
                assert!(fs::metadata(&file).unwrap().len() < 1 << 20, "{name}");
            });
        let run = job.run();
        run.expect_rows(ROWS).partition().expect_input_order();
        let expected: Vec<_> = (0..ROWS).map(note).collect();
        assert!(run.partition().texts("note") == expected, "{name}");
        expect_as_whole(&run, job);
    }
}

#[test]
fn lists_of_texts_that_repeat_are_scored_too() {
    let rows = ROWS / 2;
    let job = JobFixture::new()
        .rows(rows)
        .job("input.passthrough", "['note']")
        .setting("line.max_decoded", ALLOWED)
        .damaged(|folder| {
            let file = parquet_files(folder).remove(0);
            let [(_, dictionary), ..] = forms();
            write_parquet(&file, &with(&read_parquet(&file), lists(rows)), dictionary);
        });
    let run = job.run();
    run.expect_rows(rows);
    let found = run.partition();
    let found = found.column("note").as_list::<i32>();
    let all: Vec<_> = (0..rows).flat_map(|row| texts(&found.value(row))).collect();
    assert!(all.into_iter().eq((0..3 * rows).map(note)));
    expect_as_whole(&run, job);
}

#[test]
fn row_groups_of_several_files_are_scored_in_order() {
    let job = job();
    let run = job.run();
    run.expect_rows(ROWS).partition().expect_input_order();
    expect_as_whole(&run, job);
}

/// Every hundredth amount is gone.
fn holes(values: &ArrayRef) -> ArrayRef {
    let gone: BooleanArray = (0..values.len()).map(|row| Some(row % 100 == 0)).collect();
    nullif(values, &gone).unwrap()
}

/// The rows of a file from the 150th on have the keys of its first ones, one of ten.
fn repeated(keys: &ArrayRef) -> ArrayRef {
    let keys = keys.as_primitive::<Int64Type>();
    let key = |row: usize| keys.value(if row >= 150 && row % 10 == 5 { row - 150 } else { row });
    Arc::new(Int64Array::from_iter_values((0..keys.len()).map(key)))
}

#[test]
fn bad_rows_of_all_pieces_are_rejected_with_their_places() {
    let job = features(|batch| map_column(&map_column(batch, "amount", holes), "transaction_id", repeated));
    let job = rejecting(job)
        .job("rows.on.NULL_FEATURE", "'reject'")
        .job("rows.on.DUPLICATE_KEY", "'reject'");
    let run = job.run();
    let report = run.expect_success().report();
    assert_eq!(
        report["rows"]["rejected_by_reason"],
        serde_json::json!({"DUPLICATE_KEY": 10, "NULL_FEATURE": 4})
    );
    let rejects = run.rejects();
    let rows = [0, 100, 155, 165, 175, 185, 195];
    assert_eq!(integers(column_of(&rejects, "_row")), [rows, rows].concat());
    let files = texts(column_of(&rejects, "_file"));
    assert_eq!(
        files.iter().filter(|file| *file == "part-00001.parquet").count(),
        rows.len()
    );
    expect_as_whole(&run, job);
}

#[test]
fn damaged_row_group_among_pieces_is_lost_alone() {
    let job = rejecting(job())
        .job("input.on_corrupt_file", "'reject'")
        .damaged(|folder| super::corrupt::wreck(&folder.join("part-00001.parquet"), 1));
    let run = job.run();
    let report = run.expect_success().report();
    assert_eq!(
        report["rows"]["rejected_by_reason"],
        serde_json::json!({"CORRUPT_FILE": 60})
    );
    let places: Vec<i64> = (60..120).collect();
    assert_eq!(integers(column_of(&run.rejects(), "_row")), places);
    expect_as_whole(&run, job);
}

#[test]
fn mended_rows_take_their_place_among_published_ones_that_come_in_pieces() {
    let job = rejecting(features(|batch| map_column(batch, "amount", holes))).job("rows.on.NULL_FEATURE", "'reject'");
    assert_eq!(job.run().report()["rows"]["out"], ROWS - 4);
    let mended = |features: Features| features.changed(None, |batch| with(batch, notes(batch.num_rows())));
    let features = Features::new().rows(ROWS).files(2).row_group_rows(60);
    mended(features).write(&job.path(&format!("features/date={DATE}")));
    let job = job.argument("--only-rejected");
    let run = job.run();
    run.expect_rows(ROWS).partition().expect_input_order();
    let runs = run.partition().texts("run_id");
    let again: Vec<_> = (0..ROWS).filter(|row| runs[*row] != runs[1]).collect();
    assert_eq!(again, [0, 100, 200, 300]);
    expect_as_whole(&run, job.without_arguments());
}

#[test]
fn output_that_would_fill_the_memory_is_refused() {
    let beginning = "x".repeat(LENGTH);
    let notes = StringArray::from_iter_values((0..ROWS).map(|row| format!("{beginning}{row}")));
    let notes: ArrayRef = Arc::new(notes);
    let job = JobFixture::new()
        .rows(ROWS)
        .job("input.passthrough", "['note']")
        .setting("line.max_decoded", ALLOWED)
        .damaged(|folder| {
            let file = parquet_files(folder).remove(0);
            let (_, properties) = forms().into_iter().next_back().unwrap();
            write_parquet(&file, &with(&read_parquet(&file), Arc::clone(&notes)), properties);
        })
        .published_before();
    let run = job.run();
    run.expect_refusal(ExitCode::BadRows);
    insta::assert_snapshot!(run.message(), @"
    error: the output of chunk 000000 takes more than 4.0 MiB of memory
      hint: raise `[line] max_decoded`, lower `[line] chunk_rows`, or carry fewer columns to the output: `passthrough` below [input]
      exit code: 13 (more bad rows or damaged files than allowed)
    ");
}
