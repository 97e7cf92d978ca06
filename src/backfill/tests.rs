//! Which dates are taken, and how the worst of them decides.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;

use super::{Only, Outcome, Range, Scored, Standing, State, Summary, every_day, scheduled, within};
use crate::changed::{Change, Input};
use crate::child::Finished;
use crate::exit::ExitCode;
use crate::schedule::{Cron, Schedule};
use crate::shutdown::Signal;
use crate::spec::Catchup;

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn range(from: &str, to: &str) -> Range {
    Range {
        dates: every_day(date(from), date(to)).unwrap(),
        only: Only::Missing,
        newest_first: false,
    }
}

fn ended(exit: ExitCode) -> Scored {
    let standing = Standing {
        date: date("2026-11-19"),
        state: State::Missing,
        input: None,
        change: None,
    };
    let report = match exit {
        ExitCode::Success => json!({"outcome": "published", "rows": {"in": 10, "out": 9, "rejected": 1}}),
        _ => json!({"error": "it broke"}),
    };
    let finished = Finished {
        exit,
        report,
        seconds: 1.0,
    };
    Scored::of(&standing, Ok(finished))
}

#[test]
fn range_holds_both_ends_across_months_and_leap_days() {
    let days = |from, to| every_day(date(from), date(to));
    let leap = days("2028-02-28", "2028-03-01").unwrap();
    assert_eq!(leap, ["2028-02-28", "2028-02-29", "2028-03-01"].map(date));
    assert!(days("2026-01-02", "2026-01-01").is_err());
    assert!(days("0026-01-02", "2026-01-01").is_err());
}

fn schedule(cron: &str, zone: &str, offset: i32) -> Schedule {
    Schedule {
        cron: Cron::parse(cron).unwrap(),
        timezone: zone.parse().unwrap(),
        date_offset_days: offset,
        catchup: Catchup::All,
        catchup_max: 7,
        misfire_grace: None,
        jitter: Duration::ZERO,
        reconcile_days: 3,
    }
}

#[test]
fn schedule_says_which_days_of_a_range_are_dates() {
    let days = |schedule: &Schedule| scheduled(schedule, date("2026-11-01"), date("2026-11-15")).unwrap();
    // Fires on Mondays, for the Sunday before.
    let weekly = schedule("0 2 * * 1", "UTC", -1);
    assert_eq!(days(&weekly), ["2026-11-01", "2026-11-08", "2026-11-15"].map(date));
    let monthly = schedule("@monthly", "Europe/Berlin", 0);
    assert_eq!(days(&monthly), ["2026-11-01"].map(date));
    assert_eq!(days(&schedule("*/5 * * * *", "Asia/Tokyo", 2)).len(), 15);
    assert_eq!(days(&schedule("0 0 29 2 *", "UTC", 0)), []);
    // Santiago has no midnight on 2026-09-06, New York no 02:30 on 2026-03-08.
    assert!(schedule("0 0 * * *", "America/Santiago", -1).scores(date("2026-09-05")));
    assert!(schedule("30 2 * * *", "America/New_York", 0).scores(date("2026-03-08")));
    assert!(schedule("30 2 8 3 *", "America/New_York", 0).scores(date("2026-03-08")));
    assert!(!schedule("30 2 8 3 *", "America/New_York", 0).scores(date("2026-03-09")));
}

#[test]
fn last_fires_are_those_up_to_now_in_the_zone_of_the_schedule() {
    let now: DateTime<Utc> = "2026-11-20T08:00:00Z".parse().unwrap();
    let dates = |cron, zone, offset, days: u64| {
        let schedule = schedule(cron, zone, offset);
        within(&schedule, Duration::from_hours(24 * days), now)
    };
    for (cron, zone, offset, days, expected) in [
        (
            "0 2 * * *",
            "UTC",
            -1,
            3,
            &["2026-11-17", "2026-11-18", "2026-11-19"][..],
        ),
        ("0 2 * * *", "UTC", 0, 3, &["2026-11-18", "2026-11-19", "2026-11-20"]),
        // Of now, and of three days before now without its very beginning.
        ("0 8 * * *", "UTC", 0, 3, &["2026-11-18", "2026-11-19", "2026-11-20"]),
        // In Kiritimati it is evening, and the fire of 09:00 was on the day before in UTC.
        ("0 9 * * *", "Pacific/Kiritimati", 0, 1, &["2026-11-20"]),
        ("0 9 * * *", "Pacific/Honolulu", 0, 2, &["2026-11-18", "2026-11-19"]),
        ("0 2 * * 1", "UTC", -1, 3, &[]),
        ("0 2 * * 1", "UTC", -1, 14, &["2026-11-08", "2026-11-15"]),
        ("0 2 1 * *", "UTC", -7, 30, &["2026-10-25"]),
        ("*/15 * * * *", "UTC", -1, 1, &["2026-11-18", "2026-11-19"]),
    ] {
        let expected: Vec<_> = expected.iter().map(|text| date(text)).collect();
        assert_eq!(
            dates(cron, zone, offset, days).unwrap(),
            expected,
            "{cron} {zone} {days}"
        );
    }
    assert!(
        dates("0 2 * * *", "UTC", -1, 5_000).is_err(),
        "more dates than anybody means"
    );
}

#[test]
fn words_for_dates_take_what_they_say() {
    let standing = |state| Standing {
        date: date("2026-11-19"),
        state,
        input: None,
        change: None,
    };
    let taken = |only: Only| {
        let mut all = vec![State::Published, State::Unfinished, State::Failed, State::Missing];
        all.retain(|state| only.takes(&standing(*state)));
        all
    };
    assert_eq!(taken(Only::Missing), [State::Failed, State::Missing]);
    assert_eq!(taken(Only::Failed), [State::Unfinished, State::Failed]);
    assert_eq!(taken(Only::All).len(), 4);
    assert_eq!(taken(Only::Changed), []);
    let change = Change {
        added: 1,
        gone: 0,
        changed: 0,
        first: "part-1.parquet".to_owned(),
    };
    let unknown = Input::Unknown {
        reason: "403".to_owned(),
    };
    for (input, change, is_taken) in [
        (Some(Input::Absent), None, false),
        (Some(Input::Present { files: 1, bytes: 9 }), None, false),
        (Some(Input::Present { files: 1, bytes: 9 }), Some(change), true),
        (Some(unknown), None, true),
    ] {
        let standing = Standing {
            input,
            change,
            ..standing(State::Published)
        };
        assert_eq!(Only::Changed.takes(&standing), is_taken, "{standing:?}");
        assert!(!Only::Missing.takes(&standing) && !Only::Failed.takes(&standing));
    }
}

#[test]
fn worst_is_what_another_start_cannot_mend() {
    for (exits, worst) in [
        (&[][..], ExitCode::Success),
        (&[ExitCode::Success, ExitCode::Success], ExitCode::Success),
        (&[ExitCode::InputNotReady, ExitCode::Success], ExitCode::InputNotReady),
        (&[ExitCode::Killed, ExitCode::Model, ExitCode::Success], ExitCode::Model),
        (&[ExitCode::Internal, ExitCode::Disk], ExitCode::Disk),
    ] {
        let dates = exits.iter().map(|exit| ended(*exit)).collect();
        let summary = Summary::of("job", &range("2026-11-01", "2026-11-30"), 0, dates, None);
        assert_eq!(summary.exit, worst, "{exits:?}");
    }
    let dates = vec![ended(ExitCode::Success)];
    let stopped = Summary::of(
        "job",
        &range("2026-11-01", "2026-11-30"),
        0,
        dates,
        Some(Signal::Terminate),
    );
    assert_eq!(stopped.exit, ExitCode::Terminated);
}

#[test]
fn rows_and_errors_are_those_that_the_processes_told() {
    let published = ended(ExitCode::Success);
    assert_eq!((published.outcome, published.rows_out), (Outcome::Published, Some(9)));
    assert_eq!(ended(ExitCode::Model).error.as_deref(), Some("it broke"));
    let standing = Standing {
        date: date("2026-11-19"),
        state: State::Published,
        input: None,
        change: None,
    };
    let silent = Finished {
        exit: ExitCode::Killed,
        report: serde_json::Value::Null,
        seconds: 1.0,
    };
    let killed = Scored::of(&standing, Ok(silent));
    assert_eq!(killed.error.as_deref(), Some("killed (SIGKILL or out of memory)"));
    let nothing = Finished {
        exit: ExitCode::Success,
        report: json!({"outcome": "already_published", "rows": 7}),
        seconds: 1.0,
    };
    let nothing = Scored::of(&standing, Ok(nothing));
    assert_eq!((nothing.outcome, nothing.rows_out), (Outcome::Nothing, Some(7)));
}
