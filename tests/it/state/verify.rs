//! `verify`: every way in which a published date can differ from what was decided, and the way back.

use std::fs;

use crate::state::{FILE, expect_sound, flip, published, record, records, replaced, rewrite, subjects, verify};
use crate::support::{DATE, JobFixture, Partition};

const MARKER: &str = "predictions/date=2026-11-19/_SUCCESS";

/// A text finding's line says all five things.
#[track_caller]
fn expect_line(fixture: &JobFixture, parts: &[&str]) {
    let output = fixture.command("verify").args(["--date", DATE]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let whole = |line: &str| parts.iter().all(|part| line.contains(part));
    assert!(text.lines().any(whole), "no line with {parts:?} in:\n{text}");
}

/// `verify` finds it and changes nothing; `--repair` brings publication `seq` back.
#[track_caller]
fn expect_repair(fixture: &JobFixture, found: &[&str], seq: u64) {
    let (code, answer) = verify(fixture, &[]);
    assert_eq!(
        (code, subjects(&answer)),
        (70, found.iter().map(ToString::to_string).collect()),
        "{answer:#}"
    );
    assert_eq!(
        verify(fixture, &[]).1["findings"],
        answer["findings"],
        "a look changes nothing"
    );
    let (code, answer) = verify(fixture, &["--repair"]);
    assert_eq!(code, 0, "{answer:#}");
    assert!(!answer["repaired"].as_array().unwrap().is_empty());
    expect_sound(fixture, seq);
}

#[test]
fn published_date_is_sound() {
    let fixture = replaced();
    expect_sound(&fixture, 4);
    let output = fixture.command("verify").args(["--date", DATE]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("fraud-detector for 2026-11-19: publication 4 in predictions/date=2026-11-19 is what was decided (1 files, 60 rows, "), "{text}");
}

#[test]
fn date_without_anything_is_said_not_to_be_published() {
    let fixture = JobFixture::new();
    for arguments in [&[][..], &["--repair"]] {
        let (code, found) = verify(&fixture, arguments);
        assert_eq!(
            (code, &found["published"], &found["sound"]),
            (33, &false.into(), &true.into())
        );
    }
    let output = fixture.command("verify").args(["--date", DATE]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("nothing is published in") && text.contains("exit code: 33 (nothing is published for this date)"),
        "{text}"
    );
    assert!(!fixture.path("predictions").exists());
}

#[test]
fn altered_file_is_published_again_under_a_new_number() {
    let fixture = published();
    let before = Partition::read(&fixture.path(FILE));
    flip(&fixture);
    expect_line(
        &fixture,
        &["ERROR", FILE, "SHA-256", "expected ", "found ", "`verify --repair`"],
    );
    expect_repair(&fixture, &["error file"], 4);
    let after = Partition::read(&fixture.path(FILE));
    after.expect_predictions_of(&before);
    assert_eq!(
        after.texts("run_id"),
        before.texts("run_id"),
        "nothing was scored again"
    );
    assert_eq!(records(&fixture, "log/*.json").len(), 4, "the log says so");
    assert_eq!(records(&fixture, "published/*.json").len(), 2);
    assert_eq!(fixture.run().expect_success().report()["outcome"], "already_published");
}

#[test]
fn file_that_is_gone_is_shown_again_under_its_own_number() {
    let fixture = published();
    let before = fs::read(fixture.path(FILE)).unwrap();
    fs::remove_file(fixture.path(FILE)).unwrap();
    expect_repair(&fixture, &["error file"], 2);
    assert_eq!(fs::read(fixture.path(FILE)).unwrap(), before);
}

#[test]
fn commit_that_is_not_visible_is_shown() {
    let fixture = published();
    let old = fs::read(fixture.path(FILE)).unwrap();
    let fixture = fixture.damaged(|folder| crate::support::Features::new().rows(60).write(folder));
    fixture.run().expect_rows(60);
    let new = fs::read(fixture.path(FILE)).unwrap();
    fs::write(fixture.path(FILE), old).unwrap();
    expect_repair(&fixture, &["error visible"], 4);
    assert_eq!(fs::read(fixture.path(FILE)).unwrap(), new);
}

#[test]
fn file_of_something_else_is_replaced_only_with_leave() {
    let fixture = published();
    let cut = &fs::read(fixture.path(FILE)).unwrap()[..200];
    fs::write(fixture.path(FILE), cut).unwrap();
    for arguments in [&[][..], &["--repair"]] {
        let (code, found) = verify(&fixture, arguments);
        assert_eq!((code, subjects(&found)), (70, vec!["error foreign".to_owned()]));
    }
    assert_eq!(
        fs::read(fixture.path(FILE)).unwrap(),
        cut,
        "it was replaced without leave"
    );
    let (code, found) = verify(&fixture, &["--repair", "--set", "output.adopt_foreign=true"]);
    assert_eq!(code, 0, "{found:#}");
    expect_sound(&fixture, 2);
}

#[test]
fn file_that_nobody_decided_on_is_a_contradiction() {
    let fixture = JobFixture::new().published_before();
    let (code, found) = verify(&fixture, &[]);
    assert_eq!((code, subjects(&found)), (70, vec!["error foreign".to_owned()]));

    let fixture = published();
    fs::remove_dir_all(fixture.path("predictions.batch-infer")).unwrap();
    let (code, found) = verify(&fixture, &["--repair"]);
    assert_eq!((code, subjects(&found)), (70, vec!["error visible".to_owned()]));
    assert_eq!(found["published"], true);
}

#[test]
fn missing_record_and_marker_are_written() {
    let fixture = published();
    fs::remove_file(record(&fixture, "published/*.json")).unwrap();
    fs::remove_file(fixture.path(MARKER)).unwrap();
    expect_repair(&fixture, &["error record", "error marker"], 2);
    assert_eq!(fs::read(fixture.path(MARKER)).unwrap(), b"");
}

#[test]
fn record_that_says_something_else_is_written_again() {
    let fixture = published();
    rewrite(&record(&fixture, "published/*.json"), |record| {
        record["commit"]["nonce"] = "other".into();
    });
    expect_repair(&fixture, &["error record"], 2);
    fs::write(record(&fixture, "published/*.json"), b"{").unwrap();
    expect_repair(&fixture, &["error record"], 2);
}

#[test]
fn marker_with_content_is_emptied() {
    let fixture = published();
    fs::write(fixture.path(MARKER), b"{}").unwrap();
    expect_repair(&fixture, &["error marker"], 2);
}

#[test]
fn marker_that_the_job_does_not_want_is_not_missed() {
    let fixture = JobFixture::new().job("output.success_marker", "false");
    fixture.run().expect_rows(100);
    expect_sound(&fixture, 2);
}

#[test]
fn data_file_that_is_none_of_ours_is_found_and_left() {
    let fixture = published().file("predictions/date=2026-11-19/copy/rows.parquet", b"rows");
    let (code, found) = verify(&fixture, &["--repair"]);
    assert_eq!((code, subjects(&found)), (70, vec!["error surplus".to_owned()]));
    assert_eq!(found["repaired"].as_array().unwrap().len(), 0);
    assert!(fixture.path("predictions/date=2026-11-19/copy/rows.parquet").exists());
}

#[test]
fn file_of_a_wider_layout_is_removed() {
    let fixture = published();
    let surplus = fixture.path("predictions/date=2026-11-19/part-00001.parquet");
    fs::copy(fixture.path(FILE), &surplus).unwrap();
    expect_repair(&fixture, &["error surplus"], 4);
    assert!(!surplus.exists());
}

#[test]
fn one_of_several_files_that_is_gone_comes_back() {
    let fixture = JobFixture::new()
        .setting("line.chunk_rows", "40")
        .job("output.files", "2");
    fixture.run().expect_success();
    expect_sound(&fixture, 2);
    let second = fixture.path("predictions/date=2026-11-19/part-00001.parquet");
    let rows = Partition::read(&second).rows();
    fs::remove_file(&second).unwrap();
    expect_repair(&fixture, &["error file"], 4);
    assert_eq!(Partition::read(&second).rows(), rows);
    fs::remove_file(fixture.path(FILE)).unwrap();
    expect_repair(&fixture, &["error file"], 4);
}

#[test]
fn damaged_log_is_a_warning() {
    let fixture = replaced();
    fs::write(record(&fixture, "log/*1.json"), b"{").unwrap();
    fs::remove_file(record(&fixture, "log/*2.json")).unwrap();
    let (code, found) = verify(&fixture, &[]);
    assert_eq!(
        (code, subjects(&found)),
        (0, vec!["warning log".to_owned(); 2]),
        "{found:#}"
    );
}

#[test]
fn without_its_parts_a_damaged_file_needs_another_run() {
    let fixture = published();
    fs::remove_file(&records(&fixture, "plans/*/chunks/*.part")[1]).unwrap();
    let (code, found) = verify(&fixture, &[]);
    assert_eq!(
        (code, subjects(&found)),
        (0, vec!["warning parts".to_owned()]),
        "readers see what was decided"
    );
    let done = records(&fixture, "plans/*/chunks/*.done.json");
    flip(&fixture);
    let (code, found) = verify(&fixture, &["--repair"]);
    assert_eq!((code, &subjects(&found)[0]), (70, &"error file".to_owned()));
    assert!(
        found["findings"][0]["hint"].as_str().unwrap().contains("run --force"),
        "{found:#}"
    );
    assert_eq!(
        records(&fixture, "log/*.json").len(),
        2,
        "a repair that cannot be is not begun"
    );
    assert_eq!(
        records(&fixture, "plans/*/chunks/*.done.json"),
        done,
        "and removes nothing"
    );
    let forced = fixture.argument("--force");
    forced.run().expect_rows(100);
    expect_sound(&forced, 4);
}
