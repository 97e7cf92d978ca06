//! A day that its writer has marked as whole and that has no file.

use std::fs;

use arrow::datatypes::DataType;
use batch_infer::exit::ExitCode;

use super::{FOLDER, job, write};
use crate::support::{JobFixture, read_parquet};

/// A job whose date has a marker and nothing else.
fn marked() -> JobFixture {
    let fixture = JobFixture::new().without_features().setting("log.level", "warn");
    fixture.file(&format!("{FOLDER}/_SUCCESS"), b"")
}

#[test]
fn marked_day_without_a_file_is_an_empty_partition() {
    let run = marked().run();
    run.expect_rows(0).expect_said(&["types of its keys"]);
    let again = marked().job("input.path", &format!("'{FOLDER}/*.parquet'")).run();
    again.expect_rows(0);
}

#[test]
fn marked_day_without_a_file_is_not_ready_where_the_job_wants_rows() {
    let run = marked().job("input.on_empty", "'fail'").run();
    run.expect_refusal(ExitCode::InputNotReady)
        .expect_said(&["_SUCCESS", "on_empty"]);
}

#[test]
fn day_that_holds_what_might_be_data_is_not_empty() {
    let run = marked().file(&format!("{FOLDER}/rows.csv"), b"1,2\n").run();
    run.expect_refusal(ExitCode::InputNotReady).expect_said(&["rows.csv"]);
    let run = marked()
        .file(&format!("{FOLDER}/2026-11-18.parquet"), b"of another date")
        .job("input.path", &format!("'{FOLDER}/{{date}}*.parquet'"))
        .run();
    run.expect_refusal(ExitCode::InputNotReady);
    let run = JobFixture::new()
        .without_features()
        .file(&format!("{FOLDER}/region=eu/_SUCCESS"), b"")
        .run();
    run.expect_refusal(ExitCode::InputNotReady);
}

#[test]
fn empty_day_takes_the_types_of_the_day_before() {
    let fixture = job();
    fixture.run().expect_rows(100);
    let other = fixture.path("features/date=2026-11-20");
    write(&other, "_SUCCESS");
    let run = fixture.command("run").args(["--date", "2026-11-20"]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let schema = |date: &str| {
        let file = fixture.path(&format!("predictions/date={date}/part-00000.parquet"));
        let fields: Vec<_> = read_parquet(&file).schema().fields().iter().cloned().collect();
        let types = fields
            .into_iter()
            .map(|field| (field.name().clone(), field.data_type().clone()));
        types.collect::<Vec<(String, DataType)>>()
    };
    assert_eq!(schema("2026-11-20"), schema("2026-11-19"));
    assert_eq!(fs::read_dir(other).unwrap().count(), 1);
}
