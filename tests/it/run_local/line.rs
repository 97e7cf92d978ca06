//! How the work is cut and shared out changes no prediction.

use crate::support::JobFixture;

const ROWS: usize = 7_001;

/// A run of the same rows with a setting.
#[track_caller]
fn expect_unchanged(settings: &[(&str, &str)]) {
    let plain = JobFixture::new().rows(ROWS).setting("threads.score", "1").run();
    let fixture = JobFixture::new().rows(ROWS);
    let run = settings
        .iter()
        .fold(fixture, |fixture, (key, value)| fixture.setting(key, value))
        .run();
    run.expect_rows(ROWS)
        .partition()
        .expect_input_order()
        .expect_predictions_of(&plain.partition());
}

#[test]
fn chunk_rows_do_not_change_predictions() {
    expect_unchanged(&[("line.chunk_rows", "97")]);
}

#[test]
fn batch_rows_do_not_change_predictions() {
    expect_unchanged(&[("line.batch_rows", "13")]);
}

#[test]
fn batch_of_all_rows_does_not_change_predictions() {
    expect_unchanged(&[("line.batch_rows", "1000000")]);
}

#[test]
fn threads_do_not_change_predictions() {
    expect_unchanged(&[
        ("threads.score", "5"),
        ("threads.intra_op", "2"),
        ("line.chunk_rows", "300"),
    ]);
}

#[test]
fn memory_for_one_chunk_at_a_time_is_enough() {
    expect_unchanged(&[
        ("line.memory", "1KiB"),
        ("line.chunk_rows", "500"),
        ("threads.score", "3"),
    ]);
}

#[test]
fn settings_of_a_file_hold_like_those_of_the_environment() {
    let fixture = JobFixture::new().rows(1_000).file(
        "here.toml",
        b"[line]\nchunk_rows = 100\nbatch_rows = 10\n[threads]\nscore = 3\n",
    );
    let report = fixture.argument("--config").argument("here.toml").run().report();
    assert_eq!(report["line"]["chunks"], 10);
    assert_eq!(report["line"]["batch_rows"], 10);
    assert_eq!(report["line"]["threads"], 3);
}
