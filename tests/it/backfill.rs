//! `backfill`: which dates of a range are scored, how each ends, and how to go on.

mod changed;

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Features, JobFixture, process};

/// Longest wait for a first publication, in looks of 20 ms.
const LOOKS: u32 = 3_000;

/// A job with input for some days of November.
fn fixture(days: &[u32]) -> JobFixture {
    let fixture = JobFixture::new().without_features();
    for day in days {
        let folder = fixture.path(&format!("features/date=2026-11-{day:02}"));
        std::fs::create_dir_all(&folder).unwrap();
        Features::new().rows(20).write(&folder);
    }
    fixture
}

#[track_caller]
fn backfill(fixture: &JobFixture, arguments: &[&str]) -> (i32, Value) {
    let output = fixture
        .command("backfill")
        .args(["--format", "json"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&said);
    let document =
        document.unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), document)
}

/// Day, state before, and what came of it.
fn days(summary: &Value) -> Vec<(&str, &str, &str)> {
    let dates = summary["dates"].as_array().unwrap().iter();
    let word = |date: &'_ Value, key: &str| date[key].as_str().unwrap_or_default().to_owned().leak() as &str;
    dates
        .map(|date| (&word(date, "date")[8..], word(date, "before"), word(date, "outcome")))
        .collect()
}

fn published(folder: &Path) -> usize {
    glob::glob(folder.join("predictions/*/*.parquet").to_str().unwrap())
        .unwrap()
        .count()
}

const NOVEMBER: [&str; 4] = ["--from", "2026-11-17", "--to", "2026-11-20"];

#[test]
fn plan_says_which_dates_and_scores_none() {
    let fixture = fixture(&[17, 18, 19, 20]);
    let (code, plan) = backfill(&fixture, &[&NOVEMBER[..], &["--plan"]].concat());
    assert_eq!((code, plan["dates"].as_array().unwrap().len()), (0, 4), "{plan:#}");
    assert_eq!(
        (&plan["dates"][0]["date"], &plan["dates"][0]["state"]),
        (&"2026-11-17".into(), &"missing".into())
    );
    assert!(!fixture.path("predictions").exists() && !fixture.path("predictions.batch-infer").exists());
}

#[test]
fn schedule_of_the_job_names_the_dates() {
    let fixture = fixture(&[15, 16, 17, 18, 19, 20]);
    let (code, error) = backfill(&fixture, &["--within", "3d"]);
    assert_eq!(code, 10, "{error:#}");
    assert!(
        error["error"].as_str().unwrap().contains("has no [schedule]"),
        "{error:#}"
    );
    // Fires on Mondays and Thursdays, for the day before.
    let twice_a_week = [
        "schedule.cron='0 2 * * 1,4'",
        "schedule.date_offset_days=-1",
        "schedule.timezone='Asia/Tokyo'",
    ];
    let sets: Vec<_> = twice_a_week.iter().flat_map(|set| ["--set", set]).collect();
    let dates = |arguments: &[&str]| {
        let (code, plan) = backfill(&fixture, &[&sets[..], arguments, &["--plan"]].concat());
        assert_eq!(code, 0, "{plan:#}");
        let dates = plan["dates"].as_array().unwrap().iter();
        dates
            .map(|date| date["date"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let range = ["--from", "2026-11-15", "--to", "2026-11-20"];
    assert_eq!(
        dates(&[&range[..], &["--scheduled"]].concat()),
        ["2026-11-15", "2026-11-18"]
    );
    // At 01:30 on Thursday in Tokyo and one hour later.
    for (now, back, expected) in [
        ("2026-11-18T16:30:00Z", "3d", &["2026-11-15"][..]),
        ("2026-11-18T17:30:00Z", "3d", &["2026-11-18"]),
        ("2026-11-18T17:30:00Z", "5d", &["2026-11-15", "2026-11-18"]),
        ("2026-11-18T16:30:00Z", "1h", &[]),
    ] {
        std::fs::write(fixture.path("clock"), format!("{now} {now} 0")).unwrap();
        let mut command = fixture.command("backfill");
        let command = command.args(&sets).args(["--within", back, "--format", "json"]);
        let output = command
            .env("BATCH_INFER_TEST_CLOCK", fixture.path("clock"))
            .output()
            .unwrap();
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        let scored: Vec<_> = days(&summary)
            .iter()
            .map(|(day, ..)| format!("2026-11-{day}"))
            .collect();
        let count = |name: &str| usize::try_from(summary[name].as_u64().unwrap()).unwrap();
        assert_eq!(count("published"), scored.len());
        assert_eq!(
            count("published") + count("left_out"),
            expected.len(),
            "{now} {back} {summary:#}"
        );
        assert!(scored.iter().all(|date| expected.contains(&date.as_str())));
    }
    assert_eq!(published(&fixture.path("")), 2);
    let both = fixture
        .command("backfill")
        .args(["--within", "3d", "--from", "2026-11-01"])
        .output();
    assert_eq!(both.unwrap().status.code(), Some(2), "a range or a time, and not both");
}

#[test]
fn dates_that_are_there_are_left_out_and_the_worst_decides() {
    let fixture = fixture(&[17, 19, 20]);
    let (code, summary) = backfill(&fixture, &["--from", "2026-11-20", "--to", "2026-11-20"]);
    assert_eq!(
        (code, days(&summary)),
        (0, vec![("20", "missing", "published")]),
        "{summary:#}"
    );

    let (code, summary) = backfill(&fixture, &NOVEMBER);
    assert_eq!(code, 14, "{summary:#}");
    let expected = [
        ("17", "missing", "published"),
        ("18", "missing", "failed"),
        ("19", "missing", "published"),
    ];
    assert_eq!(days(&summary), expected, "one failure keeps no other date from its run");
    assert_eq!((&summary["left_out"], &summary["rows_out"]), (&1.into(), &40.into()));
    assert_eq!(summary["exit_code"], 14);
    assert!(
        summary["dates"][1]["error"].as_str().unwrap().contains("2026-11-18"),
        "{summary:#}"
    );

    // Again: what is published is done.
    Features::new().rows(20).write(&{
        let folder = fixture.path("features/date=2026-11-18");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    });
    let (code, summary) = backfill(&fixture, &NOVEMBER);
    assert_eq!((code, days(&summary)), (0, vec![("18", "missing", "published")]));
    let (code, summary) = backfill(&fixture, &NOVEMBER);
    assert_eq!((code, summary["left_out"].as_u64()), (0, Some(4)), "{summary:#}");
}

#[test]
fn all_dates_are_looked_at_and_only_what_changed_is_scored() {
    let fixture = fixture(&[19, 20]);
    let range = [
        "--from",
        "2026-11-19",
        "--to",
        "2026-11-20",
        "--only",
        "all",
        "--newest-first",
        "--parallel",
        "2",
    ];
    let (_, summary) = backfill(&fixture, &range);
    let both = vec![("20", "missing", "published"), ("19", "missing", "published")];
    assert_eq!(days(&summary), both, "the newest first");
    Features::new()
        .rows(30)
        .write(&fixture.path("features/date=2026-11-19"));
    let (code, summary) = backfill(&fixture, &range);
    let changed = vec![("20", "published", "nothing"), ("19", "published", "published")];
    assert_eq!((code, days(&summary)), (0, changed));
    assert_eq!(summary["dates"][1]["rows_out"], 30);
    let (_, summary) = backfill(&fixture, &[&range[..], &["--force"]].concat());
    assert_eq!(summary["published"], 2, "{summary:#}");
}

#[test]
fn failed_dates_are_those_whose_run_published_nothing() {
    let fixture = fixture(&[17, 18, 19, 20]);
    let killed = fixture
        .command("run")
        .args(["--date", "2026-11-18"])
        .env("FAILPOINTS", "log.create.after=2*return(kill)")
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None, "it was killed");
    let (code, plan) = backfill(&fixture, &[&NOVEMBER[..], &["--plan", "--only", "failed"]].concat());
    assert_eq!((code, plan["dates"].as_array().unwrap().len()), (0, 1), "{plan:#}");
    let failed = &plan["dates"][0];
    assert_eq!(
        (&failed["date"], &failed["state"], &failed["input"]["state"]),
        (&"2026-11-18".into(), &"failed".into(), &"present".into())
    );
    let (code, summary) = backfill(&fixture, &[&NOVEMBER[..], &["--only", "failed"]].concat());
    assert_eq!(
        (code, days(&summary)),
        (0, vec![("18", "failed", "published")]),
        "{summary:#}"
    );
}

#[test]
fn backfill_that_is_terminated_passes_it_on_and_can_go_on() {
    let fixture = fixture(&[15, 16, 17, 18, 19, 20]);
    fixture.command("validate").assert().success();
    let range = ["--from", "2026-11-15", "--to", "2026-11-20"];
    let mut command: Command = process(&fixture.path(""));
    command
        .args(["backfill", "--job", "job.toml"])
        .args(range)
        .args(["--format", "json"]);
    let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..LOOKS {
        if published(&fixture.path("")) > 0 {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    kill_process(
        Pid::from_raw(i32::try_from(started.id()).unwrap()).unwrap(),
        Signal::TERM,
    )
    .unwrap();
    let output = started.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(143),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["exit_code"], 143);
    let (done, left) = (published(&fixture.path("")), summary["not_started"].as_u64().unwrap());
    assert!(
        done >= 1 && left >= 1 && summary["dates"].as_array().unwrap().len() == 6,
        "{summary:#}"
    );
    assert_eq!(days(&summary)[5].2, "not_started");

    let (code, summary) = backfill(&fixture, &range);
    assert_eq!(
        (code, summary["left_out"].as_u64()),
        (0, Some(done as u64)),
        "{summary:#}"
    );
    assert_eq!(published(&fixture.path("")), 6);
}

#[test]
fn summary_for_people_is_a_table() {
    let fixture = fixture(&[19]);
    let output = fixture
        .command("backfill")
        .args(["--from", "2026-11-18", "--to", "2026-11-19"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(14));
    for part in [
        "  2026-11-18  missing     failed           14             -             -          -",
        "  2026-11-19  missing     published         0            20            20          0",
        "1 published, 1 failed, 0 not started, 0 left out; 20 rows written",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn range_that_cannot_be_meant_is_refused() {
    let fixture = fixture(&[]);
    for (arguments, said) in [
        (
            &["--from", "2026-11-20", "--to", "2026-11-19"][..],
            "is after --to 2026-11-19",
        ),
        (
            &["--from", "2026-11-20", "--to", "2026-11-31"],
            "expected a date such as 2026-11-19",
        ),
        (&["--from", "0026-11-20", "--to", "2026-11-30"], "more than 4000 dates"),
        (&["--within", "3"], "expected a time such as 3d or 36h"),
        (&["--from", "2026-11-20"], "--to"),
        (&[], "--from"),
    ] {
        let (code, error) = backfill(&fixture, arguments);
        assert_eq!((code, error["exit_code"].as_u64()), (2, Some(2)));
        assert!(error["error"].as_str().unwrap().contains(said), "{error:#}");
    }
}
