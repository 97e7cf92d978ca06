//! What version 0.1 left behind: published dates that stay, and a half-finished one that is planned anew. `tests/upgrades` holds it.
//!
//! Its input lies in a bucket, where paths and `ETag`s are the same at each place, so that the identities of its plans are met exactly.

use std::fs;
use std::path::Path;

use batch_infer::exit::ExitCode;
use serde_json::{Value, json};

use super::{BUCKET, Service, reaching};
use crate::state::{ask, said};
use crate::support::{DATE, JobFixture, parquet_files, repository};

/// The folder of the half-finished date.
const RECORDS: &str = "predictions.batch-infer/v1/ratio/date=2026-11-19";

/// The plan that version 0.1 began for it.
const BEGUN: &str = "6cafb4144b52dc1a725b33a672f613d7";

/// Rows of each date, and of a chunk.
const ROWS: usize = 12;
const CHUNK_ROWS: usize = 4;

/// The job, data set and state of version 0.1, and the bucket with its input.
fn upgraded() -> Option<(Service, JobFixture)> {
    let left = repository().join("tests/upgrades/0.1");
    let service = Service::start()?;
    service.create_bucket(BUCKET);
    for file in parquet_files(&left.join("features")) {
        service.upload(&left, &file);
    }
    let fixture = JobFixture::of_test_model("ratio")
        .job("input.path", "'s3://lake/features/date={date}'")
        .job("model.version", "'1'")
        .job("rows.max_bad_rows", "10")
        .job("rows.max_bad_fraction", "1.0")
        .job("rows.on.NULL_FEATURE", "'reject'")
        .setting("line.chunk_rows", &CHUNK_ROWS.to_string())
        .setting("storage.allow_http", "true");
    for name in ["models", "predictions", "predictions.batch-infer"] {
        copy(&left.join(name), &fixture.path(name));
    }
    let fixture = reaching(fixture, &service.endpoint());
    Some((service, fixture))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A run of one date: its exit code and what it printed.
fn run(fixture: &JobFixture, date: &str, arguments: &[&str]) -> (i32, Value) {
    ask(fixture, "run", &[&["--date", date], arguments].concat())
}

#[test]
fn half_finished_date_is_planned_anew() {
    let Some((_service, fixture)) = upgraded() else { return };
    let run = fixture.run();
    run.expect_rows(ROWS);
    let report = run.report();
    assert_ne!(report["plan_id"], BEGUN);
    assert_eq!(report["line"]["chunks"], 3, "{report:#}");
    assert_eq!(
        report["line"]["resumed_chunks"], 0,
        "chunks of another version were used: {report:#}"
    );
    let partition = run.partition();
    let keys: Vec<i64> = (1900..1912).collect();
    assert_eq!(partition.integers("k"), keys);
    let scores: Vec<f64> = keys
        .iter()
        .map(|key| f64::from(i32::try_from(key % 7).unwrap()) / f64::from(i32::try_from(1 + key % 3).unwrap()))
        .collect();
    crate::support::assert_close(&partition.numbers("score"), &scores, "score");

    // What 0.1 had begun is rubbish now.
    assert!(fixture.path(RECORDS).join("plans").join(BEGUN).exists());
    let old = fixture.setting("state.retention", "0s");
    let (code, found) = ask(&old, "gc", &["--date", DATE]);
    assert_eq!(
        (code, &found["removed"]["plans"]["objects"]),
        (0, &json!(6)),
        "{found:#}"
    );
    assert!(!old.path(RECORDS).join("plans").join(BEGUN).exists());
    let (code, found) = ask(&old, "verify", &["--date", DATE]);
    assert_eq!((code, &found["findings"]), (0, &json!([])), "{found:#}");
}

#[test]
fn published_date_is_nothing_to_do_and_force_scores_it() {
    let Some((_service, fixture)) = upgraded() else { return };
    let file = fixture.path("predictions/date=2026-11-17/part-00000.parquet");
    let before = fs::read(&file).unwrap();
    let (code, notice) = run(&fixture, "2026-11-17", &[]);
    assert_eq!(
        (code, &notice["outcome"]),
        (0, &json!("already_published")),
        "{notice:#}"
    );
    assert_eq!((&notice["published_by"], &notice["seq"]), (&json!("0.1"), &json!(2)));
    assert_eq!(notice.get("used_key"), None);
    let text = said(&fixture, "run", &["--date", "2026-11-17"]);
    assert!(
        text.contains(
            "published by 0.1 from the same input, model and job; nothing to do, and --force scores it again"
        ),
        "{text}"
    );
    assert_eq!(fs::read(&file).unwrap(), before);

    // A job that says that a published date is an error says so still, and one that replaces replaces.
    let (code, error) = run(&fixture, "2026-11-17", &["--set", "output.on_existing=fail"]);
    assert_eq!(code, i32::from(ExitCode::AlreadyPublished.code()), "{error:#}");
    let (code, report) = run(&fixture, "2026-11-17", &["--force"]);
    assert_eq!((code, &report["outcome"]), (0, &json!("published")), "{report:#}");
    assert_eq!(
        (&report["output"]["seq"], &report["output"]["replaced"]),
        (&json!(4), &json!(2))
    );
    let (code, notice) = run(&fixture, "2026-11-17", &[]);
    assert_eq!((code, &notice["outcome"]), (0, &json!("already_published")));
    assert_eq!(
        notice.get("published_by"),
        None,
        "this version has published it: {notice:#}"
    );
    let (code, report) = run(&fixture, "2026-11-18", &["--set", "output.on_existing=replace"]);
    assert_eq!((code, &report["outcome"]), (0, &json!("published")), "{report:#}");
}

#[test]
fn another_input_or_policy_is_no_work_of_an_earlier_version() {
    let Some((service, fixture)) = upgraded() else { return };
    let (code, report) = run(&fixture, "2026-11-17", &["--set", "input.passthrough=['a']"]);
    assert_eq!((code, &report["outcome"]), (0, &json!("published")), "{report:#}");
    let other = fs::read(repository().join("tests/upgrades/0.1/features/date=2026-11-19/part-0.parquet")).unwrap();
    service.put("features/date=2026-11-18/part-0.parquet", other.into());
    let (code, report) = run(&fixture, "2026-11-18", &[]);
    assert_eq!((code, &report["outcome"]), (0, &json!("published")), "{report:#}");
}

#[test]
fn retry_under_the_key_of_an_earlier_version_is_told_who_published() {
    let Some((_service, fixture)) = upgraded() else { return };
    let record = fixture.path("predictions.batch-infer/v1/ratio/date=2026-11-17/log/00000000000000000002.json");
    let commit: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    let fixture = fixture.setting("run.key", commit["run_key"].as_str().unwrap());
    let (code, notice) = run(&fixture, "2026-11-17", &[]);
    assert_eq!((code, &notice["published_by"]), (0, &json!("0.1")), "{notice:#}");
    assert_eq!(notice.get("used_key"), None);
}

#[test]
fn rejected_rows_of_an_earlier_version_are_not_scored_again_without_a_correction() {
    let Some((_service, fixture)) = upgraded() else { return };
    let (code, notice) = run(&fixture, "2026-11-18", &["--only-rejected"]);
    assert_eq!(
        (code, &notice["outcome"]),
        (0, &json!("nothing_corrected")),
        "{notice:#}"
    );
    // With another policy they are, and the rows that are published stay.
    let (code, report) = run(
        &fixture,
        "2026-11-18",
        &["--only-rejected", "--set", "rows.include_values=true"],
    );
    assert_eq!((code, &report["outcome"]), (0, &json!("published")), "{report:#}");
    assert_eq!(
        (&report["rows"]["out"], &report["rows"]["rejected"]),
        (&json!(11), &json!(1))
    );
}

#[test]
fn backfill_scores_what_is_missing_and_nothing_for_the_sake_of_the_version() {
    let Some((_service, fixture)) = upgraded() else { return };
    let range = ["--from", "2026-11-17", "--to", "2026-11-19", "--only"];
    let (code, summary) = ask(&fixture, "backfill", &[&range[..], &["changed"]].concat());
    assert_eq!(
        (code, &summary["left_out"], &summary["dates"]),
        (0, &json!(3), &json!([])),
        "{summary:#}"
    );
    let (code, summary) = ask(&fixture, "backfill", &[&range[..], &["all"]].concat());
    assert_eq!((code, &summary["published"]), (0, &json!(1)), "{summary:#}");
    let told = |place: usize| {
        let date = &summary["dates"][place];
        (date["outcome"].as_str(), date["published_by"].as_str())
    };
    assert_eq!(told(0), (Some("nothing"), Some("0.1")));
    assert_eq!(told(1), (Some("nothing"), Some("0.1")));
    assert_eq!(told(2), (Some("published"), None));
    let text = said(&fixture, "backfill", &[&range[..], &["all"]].concat());
    assert_eq!(
        text.matches("published by 0.1; --force scores it again").count(),
        2,
        "{text}"
    );
}

#[test]
fn state_of_an_earlier_version_can_be_read() {
    let Some((_service, fixture)) = upgraded() else { return };
    let (code, found) = ask(&fixture, "runs list", &[]);
    assert_eq!(code, 0);
    let publications = found["publications"].as_array().unwrap();
    let seen: Vec<_> = publications
        .iter()
        .map(|found| {
            (
                found["date"].as_str().unwrap(),
                found["rows_rejected"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [("2026-11-18", 1), ("2026-11-17", 0)]);
    assert_eq!(found["unfinished"], json!([DATE]));
    let (code, found) = ask(&fixture, "runs show", &["--date", DATE]);
    let unfinished = &found["unfinished"][0];
    assert_eq!(
        (code, &unfinished["plan_id"], &unfinished["done"]),
        (0, &json!(BEGUN), &json!(2))
    );
    let (code, found) = ask(&fixture, "rejects show", &["--date", "2026-11-18"]);
    assert_eq!(code, 0, "{found:#}");
    for date in ["2026-11-17", "2026-11-18"] {
        let (code, found) = ask(&fixture, "verify", &["--date", date]);
        assert_eq!((code, &found["findings"]), (0, &json!([])), "{found:#}");
    }
}
