//! Being a good task: what a run leaves for orchestrators, monitors and people, none of which can make it fail.

mod prometheus;

pub(crate) use prometheus::expect_well_formed;

use std::fs;

use batch_infer::exit::ExitCode;
use serde_json::Value;

use crate::support::{DATE, JobFixture, Listener};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9";

fn document(fixture: &JobFixture, path: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture.path(path)).unwrap()).unwrap()
}

/// The same job with nothing to read.
fn without_input(fixture: &JobFixture) {
    let folder = fixture.path("features");
    fs::rename(&folder, fixture.path("hidden")).unwrap();
}

fn with_input_again(fixture: &JobFixture) {
    fs::rename(fixture.path("hidden"), fixture.path("features")).unwrap();
}

#[test]
fn summary_file_gets_the_report_or_the_error() {
    let fixture = JobFixture::new().argument("--summary-file").argument("summary.json");
    fixture.run().expect_rows(100);
    let summary = document(&fixture, "summary.json");
    assert_eq!(
        (&summary["outcome"], &summary["exit_code"]),
        (&"published".into(), &0.into())
    );
    assert_eq!(summary["rows"]["out"], 100);
    fixture.run().expect_success();
    assert_eq!(document(&fixture, "summary.json")["outcome"], "already_published");
    without_input(&fixture);
    fixture.run().expect_refusal(ExitCode::InputNotReady);
    let summary = document(&fixture, "summary.json");
    assert_eq!((&summary["exit_code"], &summary["date"]), (&14.into(), &DATE.into()));
    assert!(summary["error"].as_str().unwrap().contains("features"), "{summary:#}");
}

#[test]
fn command_line_that_cannot_be_read_is_told_too() {
    for (arguments, said) in [
        (&["--date", "2026-13-01"][..], "2026-13-01"),
        (&["--date", "2026-11-19", "--no-such-flag"], "--no-such-flag"),
    ] {
        let fixture = JobFixture::new().file("log", b"").file("xcom/keep", b"");
        let output = fixture
            .command("run")
            .args(arguments)
            .args(["--summary-file=summary.json", "--format", "json"])
            .env("BATCH_INFER_TASK_TERMINATION_LOG", "log")
            .env("BATCH_INFER_TASK_XCOM", "xcom")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        for path in ["summary.json", "xcom/return.json"] {
            let summary = document(&fixture, path);
            assert_eq!(summary["exit_code"], 2, "{summary:#}");
            assert!(summary["error"].as_str().unwrap().contains(said), "{summary:#}");
        }
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(printed["error"].as_str().unwrap().contains(said), "{printed:#}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("exit code: 2 (command line not understood)"));
        let message = fs::read_to_string(fixture.path("log")).unwrap();
        assert!(message.contains(said) && message.contains("exit code: 2"), "{message}");
    }
    // The file of the variable, also for a backfill; and none for a command that leaves none.
    let fixture = JobFixture::new();
    for (command, told) in [("backfill", true), ("verify", false)] {
        let output = fixture
            .command(command)
            .args(["--date", "yesterday"])
            .env("BATCH_INFER_SUMMARY_FILE", "variable.json")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            fs::remove_file(fixture.path("variable.json")).is_ok(),
            told,
            "{command}"
        );
    }
}

#[test]
fn airflow_finds_a_result_where_its_folder_is() {
    let fixture = JobFixture::new().setting("task.xcom", "xcom");
    fixture.run().expect_success();
    assert!(!fixture.path("xcom").exists(), "no folder is made");
    fs::create_dir(fixture.path("xcom")).unwrap();
    fixture.run().expect_success();
    assert_eq!(document(&fixture, "xcom/return.json")["exit_code"], 0);
    assert_eq!(
        fs::read_dir(fixture.path("xcom")).unwrap().count(),
        1,
        "nothing else lies there"
    );
}

#[test]
fn error_is_left_for_the_kubelet_where_its_file_is() {
    let fixture = JobFixture::new()
        .without_features()
        .setting("task.termination_log", "log");
    fixture.run().expect_refusal(ExitCode::InputNotReady);
    assert!(!fixture.path("log").exists(), "no file is made");
    let fixture = fixture.file("log", b"of an earlier container, and longer than what will stand there");
    fixture.run().expect_refusal(ExitCode::InputNotReady);
    let message = fs::read_to_string(fixture.path("log")).unwrap();
    assert!(
        message.starts_with("error: ") && message.contains("exit code: 14"),
        "{message}"
    );
    let long = JobFixture::new()
        .without_features()
        .job("input.path", &format!("'{}/date={{date}}'", "größe/".repeat(1_000)))
        .setting("task.termination_log", "log")
        .file("log", b"");
    long.run();
    assert!(fs::read(long.path("log")).unwrap().len() <= 4_096);
}

#[test]
fn run_joins_the_trace_of_whoever_started_it() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traced = |parent: &str| {
        JobFixture::new()
            .variable("TRACEPARENT", parent)
            .setting("log.level", "info")
    };
    let run = traced(&format!("00-{trace}-b7ad6b7169203331-01")).run();
    assert_eq!(run.report()["trace_id"], trace);
    assert_eq!(run.publication(2)["report"]["trace_id"], trace);
    run.expect_said(&[&format!("\"trace_id\":\"{trace}\"")]);
    for wrong in [
        "",
        "00-x",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_eq!(traced(wrong).run().report()["trace_id"], Value::Null, "{wrong}");
    }
}

#[test]
fn pings_say_that_a_run_begins_and_how_it_ends() {
    let listener = Listener::start();
    let url = format!("{}/0b1c2d3e-secret", listener.url);
    let fixture = JobFixture::new()
        .variable("BATCH_INFER_PING_URL", &url)
        .setting("log.level", "debug");
    fixture.run().expect_rows(100);
    let heard = listener.take();
    let lines: Vec<_> = heard
        .iter()
        .map(|heard| heard.line.split("?rid=").next().unwrap())
        .collect();
    assert_eq!(lines, ["POST /0b1c2d3e-secret/start", "POST /0b1c2d3e-secret/0"]);
    let run = |line: &str| line.split("?rid=").nth(1).unwrap().to_owned();
    assert_eq!(run(&heard[0].line), run(&heard[1].line), "both belong to one run");
    assert!(heard[1].body.contains("published 100 rows"), "{heard:?}");
    without_input(&fixture);
    let run = fixture.run();
    run.expect_exit(ExitCode::InputNotReady);
    let last = listener.take().pop().unwrap();
    assert!(last.line.starts_with("POST /0b1c2d3e-secret/14?"), "{last:?}");
    assert!(
        !run.message().contains("0b1c2d3e"),
        "the URL is a secret: {}",
        run.message()
    );
}

#[test]
fn webhook_is_told_of_failures_and_of_what_follows_them() {
    let listener = Listener::start();
    let fixture = JobFixture::new().variable("BATCH_INFER_WEBHOOK_URL", &listener.url);
    fixture.run().expect_success();
    assert!(listener.take().is_empty(), "success is no news");
    without_input(&fixture);
    fixture.run().expect_exit(ExitCode::InputNotReady);
    let failure: Value = serde_json::from_str(&listener.take()[0].body).unwrap();
    assert_eq!(
        (&failure["event"], &failure["exit_code"]),
        (&"failure".into(), &14.into())
    );
    assert!(
        failure["text"]
            .as_str()
            .unwrap()
            .starts_with("FAILED fraud-detector for 2026-11-19: "),
        "{failure:#}"
    );
    with_input_again(&fixture);
    fixture.run().expect_success();
    let recovery: Value = serde_json::from_str(&listener.take()[0].body).unwrap();
    assert_eq!(recovery["event"], "recovery");
    fixture.run().expect_success();
    assert!(listener.heard().is_empty(), "one recovery is enough");
}

#[test]
fn nothing_that_cannot_be_told_makes_a_run_fail() {
    let fixture = JobFixture::new()
        .variable("BATCH_INFER_PING_URL", NOBODY)
        .variable("BATCH_INFER_WEBHOOK_URL", "no URL")
        .setting("metrics.pushgateway", NOBODY)
        .setting("metrics.textfile", "no/such/folder")
        .setting("log.level", "warn")
        .argument("--summary-file")
        .argument("no/such/file.json");
    let run = fixture.run();
    run.expect_rows(100);
    for channel in ["ping", "pushgateway", "textfile", "summary"] {
        run.expect_said(&[&format!("\"channel\":\"{channel}\"")]);
    }
}
