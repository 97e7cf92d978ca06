//! How the work is cut and shared out changes no prediction.

use batch_infer::exit::ExitCode;

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

#[test]
fn model_as_it_is_and_frozen_give_the_same_predictions() {
    expect_unchanged(&[("infer.freeze", "false")]);
}

#[test]
fn sizes_of_batches_that_are_measured_do_not_change_predictions() {
    let rows = 40_000;
    let fixture = |tune| {
        JobFixture::new()
            .rows(rows)
            .setting("line.tune", tune)
            .setting("threads.score", "1")
    };
    let (measured, fixed) = (fixture("auto").run(), fixture("off").run());
    let [tried, none] = [&measured, &fixed].map(|run| run.report()["line"]["tuning"].as_array().map_or(0, Vec::len));
    assert!(tried > 1, "{tried} sizes were tried");
    assert_eq!(none, 0);
    let partition = measured.expect_rows(rows).partition();
    partition.expect_input_order().expect_predictions_of(&fixed.partition());
}

#[test]
fn precision_that_is_slower_than_float32_is_refused() {
    let run = JobFixture::new().setting("infer.precision", "fp16").run();
    run.expect_refusal(ExitCode::Config)
        .expect_said(&["infer.precision", "fp16", "float32", "infer.force_precision"]);
}

#[test]
fn deviation_of_a_lower_precision_is_reported() {
    for (precision, furthest) in [("bf16", 0.05), ("fp16", 0.01)] {
        let fixture = JobFixture::new().setting("infer.precision", precision);
        let report = fixture.setting("infer.force_precision", "true").run().report();
        assert_eq!(report["line"]["precision"], precision);
        let deviation = report["line"]["deviation"].as_f64().unwrap();
        assert!(deviation > 0.0 && deviation < furthest, "{precision}: {deviation}");
    }
    assert_eq!(
        JobFixture::new().run().report()["line"]["deviation"],
        serde_json::Value::Null
    );
}
