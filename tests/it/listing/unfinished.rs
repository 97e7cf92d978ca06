//! Signs of writers that have not finished.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use batch_infer::exit::ExitCode;

use super::{FOLDER, job, write};

const SIGNS: [&str; 12] = [
    "_temporary/0/task_1/part-00002.parquet",
    "__magic_job-1/x",
    "_tmp.-ext-10000/000000_0",
    "part-00002.parquet.inprogress",
    "part-00002.parquet.inprogress.6e1d",
    "part-00002.parquet.tmp",
    "part-00002.parquet._COPYING_",
    "part-00002.parquet.part",
    "part-00002.parquet.6eF5b5dA",
    "tmp_part-00002.parquet",
    "_started_7",
    "region=eu/_temporary/0/x",
];

/// Moves the time of a file by so many seconds.
fn dated(path: &Path, seconds: i64) {
    let written = fs::metadata(path).unwrap().modified().unwrap();
    let shift = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { written - shift } else { written + shift };
    File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn sign_of_a_writer_in_the_folder_of_the_date_is_named_and_stops_the_run() {
    for sign in SIGNS {
        let run = job().damaged(|folder| write(folder, sign)).run();
        let shown = sign.split("/0").next().unwrap().trim_end_matches("/x");
        run.expect_refusal(ExitCode::InputNotReady)
            .expect_said(&[shown, "not finished", "input.unfinished"]);
    }
}

#[test]
fn empty_folder_in_which_spark_will_write_is_a_sign() {
    let run = job()
        .damaged(|folder| fs::create_dir(folder.join("_temporary")).unwrap())
        .run();
    run.expect_refusal(ExitCode::InputNotReady).expect_said(&["_temporary"]);
}

#[test]
fn newer_marker_in_the_same_folder_overrules_a_sign_and_an_older_one_does_not() {
    for (sign, marker, seconds, ends) in [
        ("_temporary/0/x", "_SUCCESS", 60, true),
        ("_temporary/0/x", "_SUCCESS", -60, false),
        ("part-00002.parquet.tmp", "_SUCCESS", 60, true),
        ("region=eu/x.tmp", "_SUCCESS", 60, false),
        ("region=eu/x.tmp", "region=eu/_SUCCESS", 60, true),
        ("x.tmp", "region=eu/_SUCCESS", 60, false),
    ] {
        let run = job()
            .damaged(|folder| {
                write(folder, sign);
                write(folder, marker);
                dated(&folder.join(marker), seconds);
            })
            .run();
        if ends {
            run.expect_rows(100).expect_said(&["an unfinished write"]);
        } else {
            run.expect_refusal(ExitCode::InputNotReady);
        }
    }
}

#[test]
fn newest_file_below_a_folder_tells_its_time() {
    let run = job()
        .damaged(|folder| {
            write(folder, "_temporary/0/deep/x");
            write(folder, "_SUCCESS");
            dated(&folder.join("_SUCCESS"), 30);
            dated(&folder.join("_temporary/0/deep/x"), 60);
        })
        .run();
    run.expect_refusal(ExitCode::InputNotReady);
}

#[test]
fn job_may_score_what_is_there() {
    for sign in SIGNS.iter().filter(|sign| !sign.starts_with("tmp_")) {
        let run = job()
            .job("input.unfinished", "'ignore'")
            .damaged(|folder| write(folder, sign))
            .run();
        run.expect_rows(100);
    }
}

#[test]
fn hidden_names_never_stop_a_run() {
    for name in [
        ".part-0.inprogress.6e1d",
        ".hive-staging_1/x",
        ".spark-staging-1/x",
        ".a.parquet.Xy12Zz",
    ] {
        let run = job().damaged(|folder| write(folder, name)).run();
        run.expect_rows(100).expect_said(&["(hidden)"]);
    }
}

#[test]
fn sign_above_the_folder_of_the_date_is_a_warning() {
    let run = job().file("features/_temporary/0/x", b"x").run();
    run.expect_rows(100)
        .expect_said(&["features/_temporary", "a writer is at work above"]);
    let pattern = job()
        .file("features/_temporary/0/x", b"x")
        .job("input.path", "'features/date={date}*/*.parquet'");
    pattern.run().expect_rows(100).expect_said(&["features/_temporary"]);
}

#[test]
fn pattern_hears_of_the_files_that_it_would_match() {
    for (sign, stops) in [
        ("part-00002.parquet.tmp", true),
        ("part-00002.tmp", true),
        ("other.parquet.tmp", false),
        ("_temporary/x", true),
    ] {
        let run = job()
            .damaged(|folder| write(folder, sign))
            .job("input.path", &format!("'{FOLDER}/part-*.parquet'"))
            .run();
        if stops {
            run.expect_refusal(ExitCode::InputNotReady);
        } else {
            run.expect_rows(100);
        }
    }
}
