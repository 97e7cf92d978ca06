//! `runs`: publications by time, and one date in full.

use std::fs::{self, File};

use serde_json::Value;

use crate::state::{FILE, RECORDS, ask, published, record, records, replaced, rewrite, said};
use crate::support::{DATE, Features, JobFixture};

/// Sequence numbers and dates of a list.
fn listed(found: &Value) -> Vec<(u64, String)> {
    let publications = found["publications"].as_array().unwrap().iter();
    publications
        .map(|found| {
            (
                found["seq"].as_u64().unwrap(),
                found["date"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

fn pair(seq: u64, date: &str) -> (u64, String) {
    (seq, date.to_owned())
}

#[test]
fn job_without_records_has_no_publications() {
    let fixture = JobFixture::new();
    assert_eq!(
        said(&fixture, "runs list", &[]),
        "fraud-detector: nothing is published\n"
    );
    let (code, found) = ask(&fixture, "runs show", &["--date", DATE]);
    assert_eq!(
        (code, &found["record"], &found["visible"]),
        (0, &Value::Null, &Value::Null)
    );
    assert!(
        !fixture.path("predictions.batch-infer").exists(),
        "looking writes nothing"
    );
}

#[test]
fn publications_are_listed_newest_first_and_the_current_one_is_marked() {
    let fixture = replaced();
    let (code, found) = ask(&fixture, "runs list", &[]);
    assert_eq!(code, 0);
    assert_eq!(listed(&found), [pair(4, DATE), pair(2, DATE)]);
    let publications = &found["publications"];
    assert_eq!(
        (&publications[0]["current"], &publications[1]["current"]),
        (&true.into(), &false.into())
    );
    let newest = &publications[0];
    assert_eq!((&newest["rows_in"], &newest["rows_out"]), (&60.into(), &60.into()));
    assert_eq!(newest["model_version"], "2");
    assert_eq!(newest["bytes"], fs::metadata(fixture.path(FILE)).unwrap().len());
    assert!(newest["seconds"].as_f64().unwrap() > 0.0);
    let text = said(&fixture, "runs list", &[]);
    assert!(text.contains("* 2026-11-19      4  "), "{text}");
    assert!(text.contains(&newest["plan_id"].as_str().unwrap()[..12]), "{text}");
}

#[test]
fn dates_that_were_begun_and_not_published_are_named() {
    let fixture = published();
    assert_eq!(ask(&fixture, "runs list", &[]).1["unfinished"], serde_json::json!([]));
    // Done again, it is published already and leaves nothing open.
    fixture.run().expect_success();
    assert_eq!(ask(&fixture, "runs list", &[]).1["unfinished"], serde_json::json!([]));
    fs::create_dir_all(fixture.path("features/date=2026-11-18")).unwrap();
    Features::new()
        .rows(10)
        .write(&fixture.path("features/date=2026-11-18"));
    let kill = |date: &str, arguments: &[&str]| {
        let mut command = fixture.command("run");
        let killed = command.args(["--date", date]).args(arguments);
        let killed = killed.env("FAILPOINTS", "log.create.after=2*return(kill)").output();
        assert_eq!(killed.unwrap().status.code(), None, "it was killed");
    };
    kill("2026-11-18", &[]);
    kill(DATE, &["--force"]);
    let (_, found) = ask(&fixture, "runs list", &[]);
    assert_eq!(found["unfinished"], serde_json::json!([DATE, "2026-11-18"]));
    let text = said(&fixture, "runs list", &[]);
    assert!(
        text.contains("begun and not published by its last run: 2026-11-19, 2026-11-18; `runs show`"),
        "{text}"
    );
    let only = ["--date", "2026-11-18"];
    assert_eq!(
        said(&fixture, "runs list", &only).lines().next(),
        Some("fraud-detector: nothing is published")
    );
    assert_eq!(
        ask(&fixture, "runs list", &only).1["unfinished"],
        serde_json::json!(["2026-11-18"])
    );
}

#[test]
fn list_is_cut_by_number_and_by_date() {
    let fixture = published().placed("features/date=2026-11-18", Features::new().rows(10));
    fs::create_dir_all(fixture.path("features/date=2026-11-18")).unwrap();
    Features::new()
        .rows(10)
        .write(&fixture.path("features/date=2026-11-18"));
    let (code, _) = ask(&fixture, "run", &["--date", "2026-11-18"]);
    assert_eq!(code, 0);
    let both = [pair(2, "2026-11-18"), pair(2, DATE)];
    assert_eq!(listed(&ask(&fixture, "runs list", &[]).1), both);
    let cut = ask(&fixture, "runs list", &["-n", "1"]).1;
    assert_eq!((listed(&cut), &cut["total"]), (both[..1].to_vec(), &2.into()));
    for (arguments, expected) in [
        (&["--date", DATE][..], &both[1..]),
        (&["--from", DATE], &both[1..]),
        (&["--to", "2026-11-18"], &both[..1]),
        (&["--from", "2026-11-01", "--to", "2026-11-30"], &both),
        (&["--from", "2026-11-20"], &[]),
    ] {
        assert_eq!(
            listed(&ask(&fixture, "runs list", arguments).1),
            expected,
            "{arguments:?}"
        );
    }
}

#[test]
fn history_needs_neither_model_nor_input() {
    let fixture = published();
    for gone in ["models", "features"] {
        fs::remove_dir_all(fixture.path(gone)).unwrap();
    }
    assert_eq!(listed(&ask(&fixture, "runs list", &[]).1), [pair(2, DATE)]);
    assert_eq!(ask(&fixture, "runs show", &["--date", DATE]).1["visible"], 2);
}

#[test]
fn model_of_a_publication_without_a_report_is_that_of_its_plan() {
    let fixture = published();
    rewrite(&record(&fixture, "published/*.json"), |record| {
        record["report"] = Value::Null;
    });
    let found = ask(&fixture, "runs list", &[]).1;
    assert_eq!(found["publications"][0]["model_version"], "2");
    assert_eq!(found["publications"][0]["seconds"], Value::Null);
}

#[test]
fn record_that_cannot_be_read_is_named() {
    let fixture = published();
    fs::write(record(&fixture, "published/*.json"), b"{").unwrap();
    let found = ask(&fixture, "runs list", &[]).1;
    assert_eq!(listed(&found), []);
    assert_eq!(found["unreadable"].as_array().unwrap().len(), 1);
    assert!(said(&fixture, "runs list", &[]).contains("cannot be read"));
}

#[test]
fn date_is_shown_with_its_record_and_its_log() {
    let fixture = replaced();
    let (code, found) = ask(&fixture, "runs show", &["--date", DATE]);
    assert_eq!(code, 0);
    assert_eq!(found["record"]["commit"]["n"], 4);
    assert_eq!(found["record"]["replaced"], 2);
    let kinds: Vec<_> = found["log"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["kind"])
        .collect();
    assert_eq!(kinds, ["open", "commit", "open", "commit"]);
    assert_eq!([&found["pending"], &found["held_by"]], [&Value::Null, &Value::Null]);
    let older = ask(&fixture, "runs show", &["--date", DATE, "--seq", "2"]).1;
    assert_eq!(older["record"]["commit"]["rows_out"], 100);
    let text = said(&fixture, "runs show", &["--date", DATE]);
    for part in [
        "publication 4, which readers see",
        "held by    nobody",
        "    4  commit  ",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn publication_that_there_is_not_is_a_usage_error_with_those_that_there_are() {
    let fixture = replaced();
    let (code, found) = ask(&fixture, "runs show", &["--date", DATE, "--seq", "3"]);
    assert_eq!(code, 2);
    assert_eq!(found["hint"], "there are 2, 4");
}

#[test]
fn commit_that_is_not_visible_yet_is_shown_as_pending() {
    let fixture = published();
    let old = fs::read(fixture.path(FILE)).unwrap();
    let fixture = fixture.damaged(|folder| Features::new().rows(60).write(folder));
    fixture.run().expect_rows(60);
    fs::write(fixture.path(FILE), old).unwrap();
    let found = ask(&fixture, "runs show", &["--date", DATE]).1;
    assert_eq!((&found["visible"], &found["pending"]), (&2.into(), &4.into()));
}

#[test]
fn plan_that_was_given_up_is_shown_with_its_chunks() {
    let fixture = published();
    for commit in records(&fixture, "log/*2.json") {
        fs::remove_file(commit).unwrap();
    }
    fs::remove_file(&records(&fixture, "plans/*/chunks/*.done.json")[0]).unwrap();
    let found = ask(&fixture, "runs show", &["--date", DATE]).1;
    assert_eq!(found["unfinished"][0]["done"], 2);
    assert_eq!(found["unfinished"][0]["chunks"], 3);
}

#[test]
fn whoever_works_at_the_date_is_named() {
    let fixture = published();
    let lock = File::open(fixture.path(RECORDS).join("lock")).unwrap();
    lock.lock().unwrap();
    let found = ask(&fixture, "runs show", &["--date", DATE]).1;
    assert!(
        found["held_by"]["who"].as_str().unwrap().starts_with("process "),
        "{found:#}"
    );
    lock.unlock().unwrap();
    assert_eq!(ask(&fixture, "runs show", &["--date", DATE]).1["held_by"], Value::Null);
}
