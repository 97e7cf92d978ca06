//! Jobs that are valid, and every way in which one is not.

use chrono::NaiveDate;

use super::{Job, Location, read};
use crate::document::Document;
use crate::error::Error;
use crate::spec::Reason;

const WHOLE: &str = r#"version = 1
name = "fraud-detector"

[input]
path = "features/date={date}/"
keys = ["transaction_id"]

[model]
registry = "models"
name = "fraud-detector"

[output]
path = "predictions/fraud-detector"

[schedule]
cron = "0 2 * * *"
date_offset_days = -1
"#;

fn read_with(sets: &[&str]) -> Result<Job, Error> {
    let mut document = Document::new("job file", "jobs/fraud.toml", WHOLE);
    for set in sets {
        document.set(set);
    }
    Ok(read(&document, NaiveDate::from_ymd_opt(2026, 11, 19).unwrap())?)
}

fn read_text(text: &str) -> Result<Job, Error> {
    let document = Document::new("job file", "jobs/fraud.toml", text);
    Ok(read(&document, NaiveDate::from_ymd_opt(2026, 11, 19).unwrap())?)
}

#[track_caller]
fn problems(sets: &[&str]) -> Vec<String> {
    let json = read_with(sets).unwrap_err().to_json();
    let problems = json["problems"].as_array().unwrap().iter();
    problems
        .map(|problem| problem["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn job_has_the_date_in_its_input_and_the_defaults_in_the_rest() {
    let job = read_with(&[]).unwrap();
    assert_eq!(job.input, Location::Local("features/date=2026-11-19".into()));
    assert_eq!(job.state.to_string(), "predictions/fraud-detector.batch-infer");
    assert_eq!(job.model_version, "champion");
    let lineage: Vec<_> = job.lineage.named().map(|(_, name)| name).collect();
    assert_eq!(
        lineage,
        ["model_name", "model_version", "inference_timestamp", "run_id"]
    );
    assert_eq!(job.schedule.unwrap().date_offset_days, -1);
}

#[test]
fn empty_name_drops_a_lineage_column() {
    let job = read_with(&["output.columns.run_id="]).unwrap();
    assert_eq!(job.lineage.run_id, None);
}

#[test]
fn a_set_value_needs_no_quotes_where_a_string_is_wanted() {
    let job = read_with(&["model.version=3", "input.path=s3://bucket/{year}/{month}", "name=2026"]).unwrap();
    assert_eq!(job.model_version, "3");
    assert_eq!(job.input.to_string(), "s3://bucket/2026/11");
    assert_eq!(job.name, "2026");
}

#[test]
fn output_in_a_bucket_has_its_state_beside_it() {
    let job = read_with(&["output.path=s3://bucket/predictions/"]).unwrap();
    assert_eq!(job.state.to_string(), "s3://bucket/predictions.batch-infer");
    assert_eq!(problems(&["output.path=s3://bucket"]).len(), 1);
    assert!(read_with(&["output.path=s3://bucket", "output.state=s3://other/state"]).is_ok());
}

#[test]
fn columns_are_named_once() {
    for sets in [
        &["input.keys=[\"a\", \"a\"]"][..],
        &["input.passthrough=[\"transaction_id\"]"],
        &["input.passthrough=[\"run_id\"]"],
        &["output.columns.model_name=run_id"],
        &["input.keys=[]"],
        &["input.keys=[\"\"]"],
        &["input.passthrough=[\"date\"]"],
    ] {
        assert_eq!(problems(sets).len(), 1, "{sets:?}");
    }
}

#[test]
fn only_features_can_be_imputed() {
    for reason in Reason::ALL {
        let read = read_with(&[&format!("rows.on.{reason}=impute")]);
        assert_eq!(read.is_ok(), reason.imputable(), "{reason}");
    }
}

#[test]
fn bad_fraction_is_a_share() {
    for fraction in ["-0.1", "1.5", "nan", "inf"] {
        assert_eq!(
            problems(&[&format!("rows.max_bad_fraction={fraction}")]).len(),
            1,
            "{fraction}"
        );
    }
    for fraction in ["0", "0.5", "1"] {
        assert!(
            read_with(&[&format!("rows.max_bad_fraction={fraction}")]).is_ok(),
            "{fraction}"
        );
    }
}

#[test]
fn names_have_the_form_of_a_folder_and_a_label() {
    for name in ["", "Fraud", "-a", "a_b", "a/b", &"a".repeat(53)] {
        assert_eq!(problems(&[&format!("name={name}")]).len(), 1, "{name}");
    }
    for model in ["", "a/b", "..", "a\u{7}"] {
        assert_eq!(problems(&[&format!("model.name={model}")]).len(), 1, "{model}");
    }
    assert!(read_with(&[&format!("name={}", "a".repeat(52))]).is_ok());
}

#[test]
fn input_output_and_state_lie_apart() {
    for sets in [
        &["output.path=features"][..],
        &["output.path=features/date=2026-11-19/out"],
        &["input.path=**/x.parquet"],
        &["output.state=predictions/fraud-detector/state"],
        &["output.state=predictions"],
        &["output.state=features/date=2026-11-19/state"],
    ] {
        assert!(!problems(sets).is_empty(), "{sets:?}");
    }
    assert!(read_with(&["input.path=predictions/other/date={date}"]).is_ok());
}

#[test]
fn all_problems_come_in_one_answer() {
    let report = read_text(
        r#"name = "Fraud"

[input]
pth = "features/date={dte}"
keys = "transaction_id"

[model]
registry = "../models"
name = "fraud"

[output]
path = "predictions"

[rows]
on.NULL_FEATURE = "rejct"
"#,
    );
    insta::assert_snapshot!(report.unwrap_err(), @r#"
    error: job file `jobs/fraud.toml` has 6 problems

      × `name` is `Fraud`, expected the form ^[a-z0-9][a-z0-9-]{0,51}$
       ╭─[jobs/fraud.toml:1:8]
     1 │ name = "Fraud"
       ·        ───────
     2 │
       ╰────
      help: lower-case letters, digits and hyphens, not a hyphen first, at most 52

      × `input.pth` is not a known key
       ╭─[jobs/fraud.toml:4:1]
     3 │ [input]
     4 │ pth = "features/date={dte}"
       · ───
     5 │ keys = "transaction_id"
       ╰────
      help: did you mean `path`?

      × `input.path` holds the unknown variable `{dte}`
       ╭─[jobs/fraud.toml:4:7]
     3 │ [input]
     4 │ pth = "features/date={dte}"
       ·       ─────────────────────
     5 │ keys = "transaction_id"
       ╰────
      help: did you mean `{date}`?

      × `input.keys` is a string, expected an array
       ╭─[jobs/fraud.toml:5:8]
     4 │ pth = "features/date={dte}"
     5 │ keys = "transaction_id"
       ·        ────────────────
     6 │
       ╰────
      help: write ["transaction_id"]

      × `model.registry` holds `..`
       ╭─[jobs/fraud.toml:8:12]
     7 │ [model]
     8 │ registry = "../models"
       ·            ───────────
     9 │ name = "fraud"
       ╰────
      help: write a path below the folder the command is run in, or an absolute one

      × `rows.on.NULL_FEATURE` is `rejct`, expected `fail`, `reject` or `impute`
        ╭─[jobs/fraud.toml:15:19]
     14 │ [rows]
     15 │ on.NULL_FEATURE = "rejct"
        ·                   ───────
        ╰────
      help: did you mean `reject`?
    "#);
}

#[test]
fn schedule_without_an_offset_shows_both_readings() {
    let text = WHOLE.replace("date_offset_days = -1\n", "");
    insta::assert_snapshot!(read_text(&text).unwrap_err(), @r#"
    error: job file `jobs/fraud.toml` has a problem

      × `schedule.date_offset_days` is missing
        ╭─[jobs/fraud.toml:15:1]
     14 │
     15 │ [schedule]
        · ──────────
     16 │ cron = "0 2 * * *"
        ╰────
      help: Days from the day of the fire to the date that is scored: a fire on 2026-11-20 at 02:00 scores
            `date=2026-11-19` with -1 and `date=2026-11-20` with 0.
    "#);
}

#[test]
fn six_fields_and_an_unknown_zone_are_refused() {
    let error = read_with(&["schedule.cron=0 0 2 * * *", "schedule.timezone=Europe/Berln"]);
    insta::assert_snapshot!(error.unwrap_err(), @r"
    error: job file `jobs/fraud.toml` has 2 problems

      × `schedule.cron` has 6 fields, expected 5
       ╭─[--set:1:15]
     1 │ schedule.cron=0 0 2 * * *
       ·               ───────────
       ╰────
      help: the fields are minute, hour, day of month, month, day of week; there is none for seconds

      × `schedule.timezone` is `Europe/Berln`, which is no IANA name of a zone
       ╭─[--set:1:19]
     1 │ schedule.timezone=Europe/Berln
       ·                   ────────────
       ╰────
      help: did you mean `Europe/Berlin`?
    ");
}

#[test]
fn date_in_the_output_is_refused() {
    insta::assert_snapshot!(read_with(&["output.path=predictions/{date}"]).unwrap_err(), @r"
    error: job file `jobs/fraud.toml` has a problem

      × `output.path` holds the variable `{date}`
       ╭─[--set:1:13]
     1 │ output.path=predictions/{date}
       ·             ──────────────────
       ╰────
      help: date=YYYY-MM-DD is added below `output.path`, so write it without the date
    ");
}

#[test]
fn output_over_the_input_is_refused() {
    insta::assert_snapshot!(read_with(&["output.path=features"]).unwrap_err(), @r"
    error: job file `jobs/fraud.toml` has a problem

      × `output.path` is `features`, which overlaps with `input.path`: `features/date=2026-11-19`
       ╭─[--set:1:13]
     1 │ output.path=features
       ·             ────────
       ╰────
      help: predictions there would be read as features; choose separate folders
    ");
}
