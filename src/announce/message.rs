//! What people are told of a run's end, and when they are told at all.

use serde::Serialize;
use serde_json::{Value, json};

use crate::ending::{Ended, Ending};
use crate::exit::ExitCode;

/// What a webhook is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// A run failed.
    Failure,
    /// A run succeeded after one that failed.
    Recovery,
}

/// What there is to tell. A run that was asked to stop is no failure, and success is news only after one.
pub(super) fn event(before: Option<&Ended>, ending: &Ending) -> Option<Event> {
    match ending.exit {
        ExitCode::Success => before
            .is_some_and(|before| !is_stop(before.exit_code) && before.exit_code != 0)
            .then_some(Event::Recovery),
        exit if is_stop(exit.code()) => None,
        _ => Some(Event::Failure),
    }
}

fn is_stop(code: u8) -> bool {
    [ExitCode::Interrupted.code(), ExitCode::Terminated.code()].contains(&code)
}

/// One line for people.
pub(super) fn line(ending: &Ending) -> String {
    let job = ending.job.as_deref().unwrap_or("batch-infer");
    let date = ending.date.map_or_else(String::new, |date| format!(" for {date}"));
    let first = ending.error.as_deref().and_then(|text| text.lines().next());
    let what = match (ending.exit, ending.printed["rows"]["out"].as_u64()) {
        (ExitCode::Success, Some(rows)) => format!("published {rows} rows"),
        (ExitCode::Success, None) => "nothing to do".to_owned(),
        (exit, _) => format!("{}, exit code {exit}", first.unwrap_or("failed")),
    };
    format!("{job}{date}: {what} ({:.1} s)", ending.seconds)
}

/// What a webhook gets. Slack and its kin show `text`; the rest is for machines.
pub(super) fn body(event: Event, ending: &Ending) -> Value {
    json!({
        "text": match event {
            Event::Failure => format!("FAILED {}", line(ending)),
            Event::Recovery => format!("recovered: {}", line(ending)),
        },
        "event": event,
        "job": ending.job,
        "date": ending.date,
        "exit_code": ending.exit.code(),
        "reason": ending.exit.meaning(),
        "error": ending.error,
        "trace_id": ending.trace_id,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Event, event};
    use crate::ending::{Ended, Ending};
    use crate::exit::ExitCode;

    fn ending(exit: ExitCode) -> Ending {
        Ending {
            job: None,
            model: None,
            date: None,
            exit,
            at: chrono::DateTime::UNIX_EPOCH,
            seconds: 1.0,
            trace_id: None,
            printed: Value::Null,
            error: None,
        }
    }

    #[test]
    fn people_hear_of_failures_and_of_the_success_after_one() {
        for (before, now, expected) in [
            (None, ExitCode::Success, None),
            (None, ExitCode::Model, Some(Event::Failure)),
            (Some(ExitCode::Success), ExitCode::Success, None),
            (Some(ExitCode::Model), ExitCode::Model, Some(Event::Failure)),
            (Some(ExitCode::Model), ExitCode::Success, Some(Event::Recovery)),
            (Some(ExitCode::Model), ExitCode::Terminated, None),
            (Some(ExitCode::Terminated), ExitCode::Success, None),
        ] {
            let before_that = before.map(|exit| Ended::after(None, &ending(exit)));
            assert_eq!(
                event(before_that.as_ref(), &ending(now)),
                expected,
                "{before:?} {now:?}"
            );
        }
    }

    #[test]
    fn last_success_outlives_failures() {
        let success = Ended::after(None, &ending(ExitCode::Success));
        let failure = Ended::after(Some(&success), &ending(ExitCode::Model));
        assert_eq!(failure.success_at, success.success_at);
        assert_eq!(Ended::after(None, &ending(ExitCode::Model)).success_at, None);
        for partly in ["skipped", "shard_done"] {
            let printed = serde_json::json!({"outcome": partly});
            let ended = Ended::after(
                None,
                &Ending {
                    printed,
                    ..ending(ExitCode::Success)
                },
            );
            assert_eq!(ended.success_at, None, "{partly} is no success of a date");
        }
    }
}
