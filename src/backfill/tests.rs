//! Which dates are taken, and how the worst of them decides.

use chrono::NaiveDate;
use serde_json::json;

use super::{Only, Outcome, Range, Scored, Standing, State, Summary};
use crate::child::Finished;
use crate::exit::ExitCode;
use crate::shutdown::Signal;

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn range(from: &str, to: &str) -> Range {
    Range {
        from: date(from),
        to: date(to),
        only: Only::Missing,
        newest_first: false,
    }
}

fn ended(exit: ExitCode) -> Scored {
    let standing = Standing {
        date: date("2026-11-19"),
        state: State::Missing,
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
    Scored::of(standing, Ok(finished))
}

#[test]
fn range_holds_both_ends_across_months_and_leap_days() {
    let dates = range("2028-02-28", "2028-03-01").dates().unwrap();
    assert_eq!(dates, ["2028-02-28", "2028-02-29", "2028-03-01"].map(date));
    let newest_first = Range {
        newest_first: true,
        ..range("2026-12-31", "2027-01-01")
    };
    assert_eq!(newest_first.dates().unwrap(), ["2027-01-01", "2026-12-31"].map(date));
    assert!(range("2026-01-02", "2026-01-01").dates().is_err());
    assert!(range("0026-01-02", "2026-01-01").dates().is_err());
}

#[test]
fn words_for_dates_take_what_they_say() {
    let taken = |only: Only| {
        let all = [State::Published, State::Unfinished, State::Failed, State::Missing];
        all.into_iter().filter(|state| only.takes(*state)).collect::<Vec<_>>()
    };
    assert_eq!(taken(Only::Missing), [State::Failed, State::Missing]);
    assert_eq!(taken(Only::Failed), [State::Unfinished, State::Failed]);
    assert_eq!(taken(Only::All).len(), 4);
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
        let summary = Summary::of("job", range("2026-11-01", "2026-11-30"), 0, dates, None);
        assert_eq!(summary.exit, worst, "{exits:?}");
    }
    let dates = vec![ended(ExitCode::Success)];
    let stopped = Summary::of(
        "job",
        range("2026-11-01", "2026-11-30"),
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
    };
    let silent = Finished {
        exit: ExitCode::Killed,
        report: serde_json::Value::Null,
        seconds: 1.0,
    };
    let killed = Scored::of(standing, Ok(silent));
    assert_eq!(killed.error.as_deref(), Some("killed (SIGKILL or out of memory)"));
    let nothing = Finished {
        exit: ExitCode::Success,
        report: json!({"outcome": "already_published", "rows": 7}),
        seconds: 1.0,
    };
    let nothing = Scored::of(standing, Ok(nothing));
    assert_eq!((nothing.outcome, nothing.rows_out), (Outcome::Nothing, Some(7)));
}
