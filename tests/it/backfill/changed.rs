//! Published dates whose input is not what was scored.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{NOVEMBER, backfill, days, fixture};
use crate::support::{Features, JobFixture};

/// The input of a day.
fn folder(fixture: &JobFixture, day: u32) -> PathBuf {
    fixture.path(&format!("features/date=2026-11-{day:02}"))
}

/// The only file of a folder.
fn file(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// A file beside those that are there, with so many rows.
fn add(folder: &Path, name: &str, rows: usize) {
    let apart = tempfile::tempdir().unwrap();
    Features::new().rows(rows).write(apart.path());
    fs::copy(file(apart.path()), folder.join(name)).unwrap();
}

/// Days that `--only changed` would score, with how they differ.
fn changed(fixture: &JobFixture) -> Vec<(String, Value)> {
    let (code, plan) = backfill(fixture, &[&NOVEMBER[..], &["--only", "changed", "--plan"]].concat());
    assert_eq!(code, 0, "{plan:#}");
    let dates = plan["dates"].as_array().unwrap().iter();
    dates
        .map(|date| (date["date"].as_str().unwrap()[8..].to_owned(), date["change"].clone()))
        .collect()
}

/// The numbers of a change.
fn counts(change: &Value) -> [u64; 3] {
    ["added", "gone", "changed"].map(|key| change[key].as_u64().unwrap())
}

/// What a backfill of the dates that are missing warns of.
fn warnings(fixture: &JobFixture, arguments: &[&str]) -> (i32, Vec<Value>) {
    let output = fixture
        .command("backfill")
        .args(NOVEMBER)
        .args(arguments)
        .env("BATCH_INFER_LOG_LEVEL", "warn")
        .env("BATCH_INFER_LOG_FORMAT", "json")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let lines = said.lines().filter_map(|line| serde_json::from_str(line).ok());
    let warnings = lines.filter(|line: &Value| line["level"] == "WARN").collect();
    (output.status.code().unwrap(), warnings)
}

#[test]
fn only_dates_with_another_input_are_scored_again() {
    let fixture = fixture(&[17, 18, 19, 20]);
    backfill(&fixture, &NOVEMBER);
    assert_eq!(changed(&fixture), [], "nothing has changed");

    add(&folder(&fixture, 17), "late.parquet", 30);
    Features::new().rows(25).write(&folder(&fixture, 18));
    let gone = file(&folder(&fixture, 19));
    fs::rename(&gone, gone.with_file_name("other.parquet")).unwrap();
    let found = changed(&fixture);
    let told: Vec<_> = found
        .iter()
        .map(|(day, change)| (day.as_str(), counts(change)))
        .collect();
    assert_eq!(told, [("17", [1, 0, 0]), ("18", [0, 0, 1]), ("19", [1, 1, 0])]);
    assert!(
        found[0].1["first"]
            .as_str()
            .unwrap()
            .ends_with("date=2026-11-17/late.parquet")
    );

    let (code, summary) = backfill(&fixture, &[&NOVEMBER[..], &["--only", "changed"]].concat());
    let scored: Vec<_> = days(&summary);
    let expected = ["17", "18", "19"].map(|day| (day, "published", "published"));
    assert_eq!((code, scored), (0, expected.to_vec()), "{summary:#}");
    assert_eq!(
        (&summary["left_out"], &summary["dates"][0]["rows_out"]),
        (&json!(1), &json!(50))
    );
    assert_eq!(changed(&fixture), [], "what was scored is the new input");
}

#[test]
fn backfill_of_what_is_missing_names_the_date_and_scores_nothing() {
    let fixture = fixture(&[17, 18, 19, 20]);
    backfill(&fixture, &NOVEMBER);
    assert_eq!(warnings(&fixture, &[]), (0, Vec::new()));
    add(&folder(&fixture, 18), "late.parquet", 5);
    let (code, said) = warnings(&fixture, &[]);
    assert_eq!((code, said.len()), (0, 1), "{said:?}");
    let text = said[0].to_string();
    for part in [
        "2026-11-18",
        "late.parquet",
        "fraud-detector",
        "backfill --only changed",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    let (_, summary) = backfill(&fixture, &NOVEMBER);
    assert_eq!((&summary["left_out"], &summary["published"]), (&json!(4), &json!(0)));
    // Who asks for other dates is not told.
    assert_eq!(warnings(&fixture, &["--only", "failed"]), (0, Vec::new()));
}

#[test]
fn files_that_are_not_scored_are_no_change() {
    let fixture = fixture(&[17, 18])
        .job("input.on_corrupt_file", "'reject'")
        .job("rows.max_bad_rows", "1000");
    let range = ["--from", "2026-11-17", "--to", "2026-11-18"];
    // Before and after it was scored: no rows, no Parquet, and what writers hide.
    add(&folder(&fixture, 17), "empty-before.parquet", 0);
    fs::write(folder(&fixture, 17).join("damaged-before.parquet"), "x".repeat(99)).unwrap();
    let (code, summary) = backfill(&fixture, &range);
    assert_eq!(code, 0, "{summary:#}");
    add(&folder(&fixture, 17), "empty-after.parquet", 0);
    fs::write(folder(&fixture, 17).join("damaged-after.parquet"), "x".repeat(99)).unwrap();
    fs::write(folder(&fixture, 17).join("_SUCCESS"), "").unwrap();
    fs::write(folder(&fixture, 17).join(".part.crc"), "").unwrap();
    assert_eq!(changed(&fixture), []);
    // Where damage ends a run, a damaged file is another input.
    let strict = fixture.job("input.on_corrupt_file", "'fail'");
    assert_eq!(changed(&strict).len(), 1);
    let lenient = strict.job("input.on_corrupt_file", "'reject'");
    add(&folder(&lenient, 17), "z-rows.parquet", 3);
    let found = changed(&lenient);
    assert_eq!(found[0].0, "17");
    assert!(
        found[0].1["first"].as_str().unwrap().ends_with("z-rows.parquet"),
        "{found:?}"
    );
}

#[test]
fn file_that_was_copied_back_with_its_time_is_no_change_and_one_written_again_is() {
    let fixture = fixture(&[17]);
    backfill(&fixture, &NOVEMBER);
    let path = file(&folder(&fixture, 17));
    let bytes = fs::read(&path).unwrap();
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let write = |at: SystemTime| {
        // Another inode, since the first file stays until the second is there.
        let aside = path.with_extension("aside");
        fs::write(&aside, &bytes).unwrap();
        let file = fs::File::options().append(true).open(&aside).unwrap();
        file.set_modified(at).unwrap();
        fs::rename(&aside, &path).unwrap();
    };
    write(written);
    assert_eq!(changed(&fixture), []);
    write(written + Duration::from_secs(1));
    assert_eq!(changed(&fixture).len(), 1);
}

#[test]
fn input_that_is_gone_or_was_never_known_is_left_alone() {
    let fixture = fixture(&[17, 18, 19, 20]);
    backfill(&fixture, &NOVEMBER);
    fs::remove_dir_all(folder(&fixture, 17)).unwrap();
    // The record of the plan, which alone says what was scored.
    let plans = fixture.path("predictions.batch-infer/v1/fraud-detector/date=2026-11-18/plans");
    fs::remove_dir_all(plans).unwrap();
    add(&folder(&fixture, 18), "late.parquet", 5);
    assert_eq!(changed(&fixture), []);
    assert_eq!(warnings(&fixture, &[]), (0, Vec::new()));
}

#[test]
fn forced_publication_is_compared_with_its_own_input() {
    let fixture = fixture(&[17, 18, 19, 20]);
    backfill(&fixture, &NOVEMBER);
    let (code, summary) = backfill(&fixture, &[&NOVEMBER[..], &["--only", "all", "--force"]].concat());
    assert_eq!((code, &summary["published"]), (0, &json!(4)));
    assert_eq!(changed(&fixture), []);
    add(&folder(&fixture, 20), "late.parquet", 5);
    assert_eq!(changed(&fixture).len(), 1);
}

#[test]
fn plan_tells_whether_the_input_is_there() {
    let fixture = fixture(&[17, 18]);
    fs::write(folder(&fixture, 18).join("torn.parquet"), "").unwrap();
    fs::remove_file(folder(&fixture, 18).join("torn.parquet")).unwrap();
    let link = folder(&fixture, 18).join("gone.parquet");
    std::os::unix::fs::symlink("nowhere", link).unwrap();
    let (code, plan) = backfill(&fixture, &[&NOVEMBER[..], &["--plan"]].concat());
    assert_eq!(code, 0, "{plan:#}");
    let bytes = fs::metadata(file(&folder(&fixture, 17))).unwrap().len();
    let input = |place: usize| &plan["dates"][place]["input"];
    assert_eq!(input(0), &json!({"state": "present", "files": 1, "bytes": bytes}));
    assert_eq!(input(1)["state"], "not_ready");
    assert!(
        input(1)["reason"].as_str().unwrap().contains("gone.parquet"),
        "{plan:#}"
    );
    assert_eq!(
        (input(2), input(3)),
        (&json!({"state": "absent"}), &json!({"state": "absent"}))
    );
    let text = fixture
        .command("backfill")
        .args(NOVEMBER)
        .arg("--plan")
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    for part in [
        format!("  2026-11-17  missing     input present: 1 file, {bytes} bytes\n"),
        "  2026-11-19  missing     input absent\n".to_owned(),
        "dates that would be scored: 4, left out: 0".to_owned(),
    ] {
        assert!(text.contains(&part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn input_that_cannot_be_listed_fails_no_backfill_of_what_is_missing() {
    let fixture = fixture(&[17, 18, 19, 20]);
    backfill(&fixture, &NOVEMBER);
    // A bucket without anybody behind it.
    let away = fixture
        .job("input.path", "'s3://lake/features/date={date}'")
        .setting("storage.endpoint", "http://127.0.0.1:1")
        .setting("storage.allow_http", "true")
        .setting("storage.region", "us-east-1")
        .variable("AWS_ACCESS_KEY_ID", "reader")
        .variable("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    let (code, said) = warnings(&away, &[]);
    assert_eq!((code, said.len()), (0, 1), "{said:?}");
    assert!(said[0].to_string().contains("could not be looked at"), "{said:?}");
}
