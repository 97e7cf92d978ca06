//! The date of a run that is not told one: from variables, from the name of a Kubernetes Job, and never from the clock.

use std::process::Output;

use serde_json::Value;

use crate::support::{Features, JobFixture, command, now};

fn scheduled() -> JobFixture {
    JobFixture::new()
        .job("schedule.cron", "'0 2 * * *'")
        .job("schedule.timezone", "'Europe/Berlin'")
        .job("schedule.date_offset_days", "-1")
}

fn planned(fixture: &JobFixture, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = fixture.command("plan");
    let command = command
        .args(["--format", "json"])
        .args(arguments)
        .envs(variables.iter().copied());
    command.output().unwrap()
}

#[track_caller]
fn expect_date(variables: &[(&str, &str)], arguments: &[&str], date: &str) {
    let output = planned(&scheduled(), variables, arguments);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["date"], date, "{variables:?} {arguments:?}: {plan:#}");
}

#[test]
fn flag_wins_over_variables_and_those_over_one_another() {
    let time = ("BATCH_INFER_SCHEDULED_TIME", "2026-11-20T02:00:00+01:00");
    let other = ("BATCH_INFER_SCHEDULED_TIME", "2020-11-20T02:00:00+01:00");
    let job = ("BATCH_INFER_KUBERNETES_JOB", "fraud-detector-100");
    expect_date(&[time], &[], "2026-11-19");
    expect_date(&[time, job], &[], "2026-11-19");
    expect_date(&[time, ("BATCH_INFER_DATE", "")], &[], "2026-11-19");
    expect_date(&[("BATCH_INFER_DATE", "2026-11-19"), other], &[], "2026-11-19");
    expect_date(
        &[("BATCH_INFER_DATE", "2020-01-01"), other],
        &["--date", "2026-11-19"],
        "2026-11-19",
    );
}

#[test]
fn name_that_a_cron_job_gives_is_a_date() {
    // Recent, whenever this runs: the time of the last night, whose input is written for it.
    let now = now();
    let (minutes, date) = (now / 60, chrono::DateTime::from_timestamp(now, 0).unwrap());
    let zone = date.with_timezone(&chrono_tz::Europe::Berlin).date_naive();
    let scored = zone.pred_opt().unwrap().to_string();
    let fixture = scheduled().placed(&format!("features/date={scored}"), Features::new().rows(10));
    std::fs::create_dir_all(fixture.path(&format!("features/date={scored}"))).unwrap();
    let name = format!("nightly-fraud-{minutes}");
    let output = planned(&fixture, &[("BATCH_INFER_KUBERNETES_JOB", &name)], &[]);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["date"], scored.as_str(), "{plan:#}");
}

#[test]
fn run_that_is_told_no_date_says_how_it_could_be() {
    for (variables, arguments, code, text) in [
        (&[][..], &[][..], 2, "nothing says which date to score"),
        (&[("BATCH_INFER_DATE", "")], &[], 2, "BATCH_INFER_SCHEDULED_TIME"),
        (
            &[("BATCH_INFER_KUBERNETES_JOB", "by-hand")],
            &[],
            2,
            "not named by a CronJob",
        ),
        (
            &[("BATCH_INFER_SCHEDULED_TIME", "today")],
            &[],
            2,
            "expected a time such as",
        ),
        (&[], &["--date", "yesterday"], 2, "this is no terminal"),
        (&[], &["--date", "tomorrow"], 2, "expected a date such as"),
        (&[("BATCH_INFER_DATE", "2026-13-01")], &[], 2, "expected a date such as"),
    ] {
        let output = planned(&scheduled(), variables, arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{variables:?} {arguments:?}: {message}"
        );
        assert!(message.contains(text), "`{text}` is not in {message}");
    }
    let unscheduled = planned(
        &JobFixture::new(),
        &[("BATCH_INFER_SCHEDULED_TIME", "2026-11-20T02:00:00Z")],
        &[],
    );
    assert_eq!(unscheduled.status.code(), Some(10));
}

#[test]
fn day_counted_from_today_needs_a_person_or_the_word_for_it() {
    let output = planned(&scheduled(), &[], &["--date", "yesterday", "--allow-relative-date"]);
    // There is no input of yesterday, and that is known only once the date is.
    assert_eq!(
        output.status.code(),
        Some(14),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_flag_has_a_variable() {
    let fixture = scheduled();
    let variables = [
        ("BATCH_INFER_JOB", "job.toml"),
        ("BATCH_INFER_DATE", "2026-11-19"),
        ("BATCH_INFER_SET", "output.path=elsewhere"),
        ("BATCH_INFER_DEVICE", "cpu"),
        ("BATCH_INFER_FORMAT", "json"),
        ("BATCH_INFER_DRY_RUN", "1"),
        ("BATCH_INFER_FORCE", "false"),
        ("BATCH_INFER_SHARD", ""),
        ("BATCH_INFER_RUN_KEY", ""),
    ];
    fixture.command("validate").assert().success();
    let output = command(&fixture.path("")).arg("run").envs(variables).output().unwrap();
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["output"], "elsewhere/date=2026-11-19", "{plan:#}");
    assert_eq!(plan["device"], "cpu");
    for name in [&["run"][..], &["plan"], &["schedule", "next"], &["runs", "list"]] {
        let help = command(&fixture.path("")).args(name).arg("-h").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let flags: Vec<_> = help
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("--"))
            .collect();
        let bare = flags.into_iter().filter(|flag| {
            let variable = flag.replace('-', "_").to_uppercase();
            !["help", "help')", "date"].contains(flag) && !help.contains(&format!("BATCH_INFER_{variable}="))
        });
        assert_eq!(bare.collect::<Vec<_>>(), [""; 0], "{name:?}");
    }
}
