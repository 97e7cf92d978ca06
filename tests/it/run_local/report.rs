//! What a run says of itself, and runs that are changed or only tried from the command line.

use serde_json::Value;

use crate::support::{DATE, JobFixture, Run};

#[test]
fn report_states_rows_model_line_stages_and_output() {
    let run = JobFixture::new()
        .rows(1_000)
        .files(2)
        .setting("line.batch_rows", "100")
        .setting("threads.score", "2")
        .run();
    let report = run.expect_rows(1_000).report();
    for (pointer, expected) in [
        ("/job", Value::from("fraud-detector")),
        ("/date", Value::from(DATE)),
        ("/outcome", Value::from("published")),
        ("/rows/rejected", Value::from(0)),
        ("/model/name", Value::from("fraud-detector")),
        ("/model/version", Value::from("2")),
        ("/input/files", Value::from(2)),
        (
            "/output/path",
            Value::from("predictions/date=2026-11-19/part-00000.parquet"),
        ),
        ("/output/rows", Value::from(1_000)),
        ("/output/rejects", Value::Null),
        ("/line/batch_rows", Value::from(100)),
        ("/line/threads", Value::from(2)),
    ] {
        assert_eq!(report.pointer(pointer), Some(&expected), "{pointer}");
    }
    for pointer in [
        "/seconds",
        "/cpu_seconds",
        "/rows_per_second",
        "/peak_memory_bytes",
        "/input/bytes",
        "/output/bytes",
    ] {
        let number = report.pointer(pointer).and_then(Value::as_f64);
        assert!(number.is_some_and(|number| number > 0.0), "{pointer} in {report:#}");
    }
    let stages = report["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["stage"].as_str().unwrap());
    assert_eq!(
        stages.collect::<Vec<_>>(),
        ["fetch", "decode", "preprocess", "infer", "encode", "publish"]
    );
    let infer = &report["stages"][3];
    assert!(
        infer["wall_seconds"].as_f64() > Some(0.0) && infer["cpu_seconds"].as_f64() > Some(0.0),
        "{infer}"
    );
}

#[test]
fn digests_of_the_report_are_those_of_the_files() {
    let run = JobFixture::new().run();
    let report = run.expect_rows(100).report();
    let file = run.bytes("predictions/date=2026-11-19/part-00000.parquet");
    assert_eq!(report["output"]["sha256"][0], batch_infer::digest::sha256(&file));
    assert_eq!(report["output"]["bytes"], file.len());
    let model = run.bytes("models/fraud-detector/2/model.pt");
    assert_eq!(report["model"]["sha256"], batch_infer::digest::sha256(&model));
}

#[test]
fn same_work_has_the_same_name_however_it_is_done() {
    let fixture = JobFixture::new();
    let name = |run: &Run| run.report()["plan_id"].as_str().unwrap().to_owned();
    let first = name(&fixture.run());
    assert_eq!(name(&fixture.run()), first);
    let fixture = fixture.setting("threads.score", "3").setting("line.batch_rows", "7");
    assert_eq!(name(&fixture.run()), first);
    assert_ne!(name(&fixture.job("model.version", "'1'").run()), first);
}

#[test]
fn report_for_people_starts_with_what_was_published() {
    let output = JobFixture::new()
        .command("run")
        .args(["--date", DATE])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(
        first.starts_with("published fraud-detector for 2026-11-19 (run "),
        "{text}"
    );
    assert!(
        rest.starts_with("  rows       100 in, 100 out, 0 rejected\n  model      fraud-detector version 2 (sha256 "),
        "{text}"
    );
    for part in [
        "  input  ",
        "  output  ",
        "  line  ",
        "  stages  ",
        "rows/s, peak memory ",
    ] {
        assert!(rest.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn log_off_a_terminal_is_one_json_object_a_line() {
    let fixture = JobFixture::new().setting("log.level", "info");
    let output = fixture.command("run").args(["--date", DATE]).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scoring = lines
        .iter()
        .find(|line| line["message"] == "scoring")
        .unwrap_or_else(|| panic!("{log}"));
    assert_eq!(scoring["rows"], 100);
    assert_eq!(scoring["job"], "fraud-detector");
}

#[test]
fn quiet_run_prints_its_report_and_nothing_else() {
    let fixture = JobFixture::new().setting("log.level", "info");
    let output = fixture
        .command("run")
        .args(["--date", DATE, "--quiet"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.stdout.starts_with(b"published"));
}

#[test]
fn set_argument_wins_over_the_job_file() {
    let fixture = JobFixture::new().argument("--set").argument("model.version=1");
    let run = fixture.argument("--set").argument("input.passthrough=['items']").run();
    let partition = run.expect_rows(100).partition();
    assert_eq!(partition.texts("model_version"), ["1"; 100]);
    assert_eq!(partition.columns()[1], "items");
}

#[test]
fn flag_wins_over_environment_and_environment_over_file() {
    let fixture = JobFixture::new().file("here.toml", b"device.kind = 'cuda:7'\nline.batch_rows = 1\n");
    let fixture = fixture
        .argument("--config")
        .argument("here.toml")
        .setting("device.kind", "cuda:6");
    let report = fixture
        .setting("line.batch_rows", "2")
        .argument("--device")
        .argument("cpu")
        .run()
        .report();
    assert_eq!(report["line"]["device"], "cpu");
    assert_eq!(report["line"]["batch_rows"], 2);
}

#[test]
fn dry_run_looks_at_everything_and_writes_nothing() {
    let fixture = JobFixture::new().rows(200).argument("--dry-run");
    let run = fixture.run();
    let plan = run.expect_success().report();
    assert_eq!(plan["rows"], 200);
    assert_eq!(plan["device"], "cpu");
    assert!(!fixture.path("predictions").exists() && !fixture.path("predictions.batch-infer").exists());
}

#[test]
fn dry_run_tries_the_model() {
    let fixture = JobFixture::new().models(|models| models.replace("2", b"no TorchScript"));
    fixture
        .argument("--dry-run")
        .run()
        .expect_refusal(batch_infer::exit::ExitCode::Model);
}
