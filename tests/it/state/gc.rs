//! `gc`: what goes, and everything that stays.

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use crate::state::{FILE, RECORDS, ask, expect_sound, published, record, records, replaced, rewrite, said};
use crate::support::JobFixture;

/// Everything is old enough.
fn at_once(fixture: JobFixture) -> JobFixture {
    fixture.setting("state.retention", "0s")
}

/// Objects removed, by kind; of all dates.
#[track_caller]
fn removed(fixture: &JobFixture, arguments: &[&str]) -> Vec<(String, u64)> {
    let (code, found) = ask(fixture, "gc", arguments);
    assert_eq!(code, 0, "{found:#}");
    let kinds = found["removed"].as_object().unwrap().iter();
    kinds
        .map(|(kind, amount)| (kind.clone(), amount["objects"].as_u64().unwrap()))
        .collect()
}

fn kind(kind: &str, objects: u64) -> (String, u64) {
    (kind.to_owned(), objects)
}

/// Why a date was skipped.
#[track_caller]
fn skipped(fixture: &JobFixture, arguments: &[&str]) -> String {
    let found = ask(fixture, "gc", arguments).1;
    assert_eq!(found["removed"], json!({}), "{found:#}");
    found["dates"][0]["skipped"].as_str().unwrap_or_default().to_owned()
}

fn plans(fixture: &JobFixture) -> usize {
    records(fixture, "plans/*").len()
}

#[test]
fn plan_that_was_replaced_goes_and_that_of_readers_stays() {
    let fixture = at_once(replaced());
    // Three chunks, each with a record and a part, and the plan's own record.
    let expected = [kind("plans", 7)];
    assert_eq!(removed(&fixture, &["--dry-run"]), expected);
    assert_eq!(plans(&fixture), 2, "a dry run removes nothing");
    assert_eq!(removed(&fixture, &[]), expected);
    assert_eq!(plans(&fixture), 1);
    expect_sound(&fixture, 4);
    assert_eq!(records(&fixture, "log/*.json").len(), 4);
    assert_eq!(records(&fixture, "published/*.json").len(), 2);
    assert_eq!(removed(&fixture, &[]), []);
    assert_eq!(
        said(&fixture, "gc", &[]),
        "fraud-detector: removed nothing in 1 dates\n"
    );
}

#[test]
fn plan_stays_until_it_is_old() {
    let fixture = replaced();
    assert_eq!(removed(&fixture, &[]), []);
    // Its record alone says that it is old: its chunks do not.
    for plan in records(&fixture, "plans/*/plan.json") {
        rewrite(&plan, |record| record["created_at"] = "2026-01-01T00:00:00Z".into());
    }
    assert_eq!(removed(&fixture, &[]), []);
    assert_eq!(plans(&fixture), 2);
}

#[test]
fn same_work_can_be_done_again_after_its_plan_is_gone() {
    let fixture = published().job("model.version", "'1'");
    fixture.run().expect_rows(100);
    let fixture = at_once(fixture);
    assert_eq!(removed(&fixture, &[]), [kind("plans", 7)]);
    let fixture = fixture.job("model.version", "'2'");
    fixture.run().expect_rows(100);
    expect_sound(&fixture, 6);
}

#[test]
fn plan_of_the_newest_run_stays() {
    let fixture = at_once(replaced());
    let given_up: Value = serde_json::from_slice(&fs::read(record(&fixture, "log/*1.json")).unwrap()).unwrap();
    let mut again = given_up;
    again["n"] = 5.into();
    let log = fixture.path(RECORDS).join("log/00000000000000000005.json");
    fs::write(&log, again.to_string()).unwrap();
    assert_eq!(removed(&fixture, &[]), []);
    assert_eq!(plans(&fixture), 2);
    // Which plan an unreadable record means is not known.
    fs::write(&log, b"{").unwrap();
    assert!(skipped(&fixture, &[]).contains("record 5"));
    fs::remove_file(log).unwrap();
    assert_eq!(removed(&fixture, &[]), [kind("plans", 7)]);
}

#[test]
fn nothing_goes_while_a_commit_is_not_visible() {
    let fixture = at_once(replaced());
    fs::remove_file(fixture.path(FILE)).unwrap();
    assert!(skipped(&fixture, &[]).contains("publication 4 is decided and not visible yet"));
    assert_eq!(plans(&fixture), 2);
}

#[test]
fn date_at_which_somebody_works_is_skipped() {
    let fixture = at_once(replaced());
    let lock = File::open(fixture.path(RECORDS).join("lock")).unwrap();
    lock.lock().unwrap();
    for arguments in [&[][..], &["--dry-run"]] {
        assert!(skipped(&fixture, arguments).contains("works on it"));
    }
    lock.unlock().unwrap();
    assert_eq!(removed(&fixture, &["--date", "2026-11-18"]), [], "another date");
    assert_eq!(removed(&fixture, &["--date", "2026-11-19"]), [kind("plans", 7)]);
}

#[test]
fn folder_without_a_plan_goes_when_it_is_old() {
    let fixture = published();
    let stray = fixture.path(RECORDS).join("plans/0123/chunks/000000.abc.part");
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::write(&stray, b"rows").unwrap();
    assert_eq!(removed(&fixture, &[]), []);
    let fixture = at_once(fixture);
    assert_eq!(removed(&fixture, &[]), [kind("plans", 1)]);
    assert!(!fixture.path(RECORDS).join("plans/0123").exists());
    expect_sound(&fixture, 2);
}

#[test]
fn part_that_no_record_names_goes_when_it_is_old() {
    let fixture = published();
    let part = &records(&fixture, "plans/*/chunks/*.part")[0];
    fs::copy(part, part.with_file_name("000000.slower.part")).unwrap();
    assert_eq!(removed(&fixture, &[]), []);
    let fixture = at_once(fixture);
    assert_eq!(removed(&fixture, &[]), [kind("parts", 1)]);
    expect_sound(&fixture, 2);
}

#[test]
fn leftovers_of_killed_processes_go() {
    let fixture = published();
    let folder = fixture.path(RECORDS);
    let place = |path: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"half").unwrap();
    };
    place("spool/abc.part-00000.parquet.spool");
    place("log/00000000000000000003.json#1");
    place("plans/0123/chunks/000000.abc.part#2");
    // Nobody else can be at a spool; half a file may still be written.
    assert_eq!(removed(&fixture, &[]), [kind("spool", 1)]);
    let fixture = at_once(fixture);
    assert_eq!(removed(&fixture, &[]), [kind("staging", 2)]);
    let hidden = |file: &Path| file.to_string_lossy().contains('#');
    assert!(!records(&fixture, "**/*").iter().any(|file| hidden(file)));
}

#[test]
fn rejected_rows_go_with_their_plan() {
    let fixture = published();
    let [kept] = &records(&fixture, "plans/*")[..] else {
        panic!("one plan")
    };
    let kept = kept.file_name().unwrap().to_str().unwrap().to_owned();
    let rejects = fixture.path(RECORDS).join("rejects");
    fs::create_dir_all(&rejects).unwrap();
    for plan in [kept.as_str(), "0123"] {
        fs::write(rejects.join(format!("{plan}.parquet")), b"rows").unwrap();
    }
    let fixture = at_once(fixture);
    assert_eq!(removed(&fixture, &[]), [kind("plans", 1)]);
    assert_eq!(record(&fixture, "rejects/*"), rejects.join(format!("{kept}.parquet")));
}
