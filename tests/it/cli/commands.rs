//! The commands that look and do not score: plan, validate, doctor, model, config, head.

use arrow::datatypes::{DataType, TimeUnit};
use serde_json::Value;

use crate::cli::expect_answer;
use crate::support::{DATE, JobFixture, cast_column, repository};

/// What a command on the fixture's job says.
#[track_caller]
fn said(fixture: &JobFixture, command: &str, arguments: &[&str]) -> String {
    let output = fixture.command(command).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn plan_shows_what_a_run_would_do() {
    let fixture = JobFixture::new()
        .rows(1_000)
        .files(2)
        .row_group_rows(100)
        .setting("line.chunk_rows", "300");
    let plan: Value = serde_json::from_str(&said(&fixture, "plan", &["--date", DATE, "--format", "json"])).unwrap();
    // The plan's name holds the time of its files; the model may be trained again.
    let text = said(&fixture, "plan", &["--date", DATE]).replace(plan["plan_id"].as_str().unwrap(), "PLAN");
    let text = text.replace(&plan["sha256"].as_str().unwrap()[..12], "DIGEST");
    insta::assert_snapshot!(text, @"
    plan of fraud-detector for 2026-11-19 (PLAN)
      model      fraud-detector version 2 (sha256 DIGEST)
      input      features/date=2026-11-19 (2 files, 10 row groups)
      rows       1000 in 4 chunks of at most 300
      columns    transaction_id, amount, days_since_signup, transactions_24h, distance_from_home_km, device_score, is_card_present, merchant_category, country, items
      output     predictions/date=2026-11-19
      state      predictions.batch-infer
    ");
    assert!(
        !fixture.path("predictions.batch-infer").exists(),
        "a plan writes nothing"
    );
}

#[test]
fn job_file_is_validated_without_its_input() {
    let fixture = JobFixture::new().without_features();
    assert_eq!(
        said(&fixture, "validate", &[]),
        "fraud-detector: the job file is valid\n"
    );
}

#[test]
fn columns_of_a_date_are_validated_without_scoring() {
    let said = said(&JobFixture::new(), "validate", &["--date", DATE]);
    assert_eq!(
        said,
        "fraud-detector: the job file is valid, and the 100 rows of 2026-11-19 fit fraud-detector version 2\n"
    );
}

#[test]
fn columns_for_which_a_reader_opens_nothing_are_told() {
    let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let fixture = JobFixture::new()
        .job("input.passthrough", "['event_time', 'amount']")
        .features(|features| features.changed(None, move |batch| cast_column(batch, "event_time", &nanos)));
    let said = said(&fixture, "validate", &["--date", DATE]);
    let told = "Spark 4.3 will not open the predictions, because of `event_time` (TIMESTAMP in nanoseconds): ";
    assert!(said.contains(told), "{said}");
    assert!(!said.contains("`amount`"), "{said}");
}

#[test]
fn doctor_finds_nothing_wrong_with_a_sound_job() {
    let findings = said(&JobFixture::new(), "doctor", &["--date", DATE, "--format", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&findings).unwrap();
    let failed: Vec<_> = findings.iter().filter(|finding| finding["state"] == "fail").collect();
    assert_eq!(failed, [&Value::Null; 0]);
    for subject in ["libtorch", "device", "job", "model", "input", "output", "state"] {
        assert!(
            findings.iter().any(|finding| finding["subject"] == subject),
            "{subject} in {findings:#?}"
        );
    }
}

#[test]
fn doctor_ends_with_the_code_of_what_it_finds() {
    let fixture = JobFixture::new().models(|models| models.damage("2", b"another model"));
    let output = fixture.command("doctor").output().unwrap();
    assert_eq!(output.status.code(), Some(11));
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAIL  model"));
}

#[test]
fn models_are_listed_with_versions_and_aliases() {
    insta::assert_snapshot!(expect_answer(&["model", "list", "--registry", "sample_data/models"]), @"
    churn                    1
    fraud-detector           1 (challenger), 2 (champion)
    ticket-embedding         1
    ");
}

#[test]
fn contract_of_a_version_is_shown() {
    let shown = expect_answer(&["model", "show", "--registry", "sample_data/models", "churn"]);
    for part in [
        "churn version 1",
        "feature    plan (categorical)",
        "prediction = greatest of probability among stay",
    ] {
        assert!(shown.contains(part), "`{part}` is not in:\n{shown}");
    }
}

#[test]
fn every_sample_model_passes_its_own_golden_rows() {
    for (model, version) in [
        ("fraud-detector", "1"),
        ("fraud-detector", "2"),
        ("churn", "1"),
        ("ticket-embedding", "1"),
    ] {
        let registry = ["--registry", "sample_data/models", "--format", "json"];
        let verified = expect_answer(&[&["model", "verify", model, version][..], &registry].concat());
        let verified: Value = serde_json::from_str(&verified).unwrap();
        assert_eq!(verified["golden"]["rows"], 50, "{verified:#}");
    }
}

#[test]
fn settings_are_shown_with_where_they_came_from() {
    let fixture = JobFixture::new().file("here.toml", b"line.chunk_rows = 7\nline.batch_rows = 8\n");
    let mut command = crate::support::command(&fixture.path(""));
    let command = command
        .args(["config", "show", "--config", "here.toml"])
        .env("BATCH_INFER_LINE_BATCH_ROWS", "9");
    let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let line = |key: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or(&shown)
            .to_owned()
    };
    assert_eq!(line("chunk_rows"), format!("{:<28} # file", "chunk_rows = 7"));
    assert_eq!(
        line("batch_rows"),
        format!("{:<28} # environment BATCH_INFER_LINE_BATCH_ROWS", "batch_rows = 9")
    );
    assert_eq!(line("level"), format!("{:<28} # default", "level = \"info\""));
}

#[test]
fn head_prints_the_first_rows() {
    let golden = repository().join("sample_data/models/churn/1/golden.parquet");
    let table = expect_answer(&["head", golden.to_str().unwrap(), "-n", "2"]);
    assert!(table.contains("account_id") && table.contains("prediction"), "{table}");
    let rows = table.lines().filter(|line| line.starts_with('|')).count();
    assert_eq!(rows, 1 + 2, "{table}");
}
