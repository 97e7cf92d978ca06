//! Which date a run is for: what was asked, else the time for which it was scheduled. Never the time at which it happens to run.
//!
//! Pure: variables, the clock and whether a person watches are handed in.

use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

use crate::error::Seam;
use crate::exit::ExitCode;
use crate::schedule::Schedule;

/// A number at the end of a Job's name that lies farther away than this is no time.
const FARTHEST: TimeDelta = TimeDelta::days(366);

/// What was asked for as a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: an empty variable, as manifests often write it.
    Nothing,
    /// A date.
    Date(NaiveDate),
    /// A day counted from today, for people.
    DaysAgo(u64),
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Ok(Self::Nothing),
            "today" => Ok(Self::DaysAgo(0)),
            "yesterday" => Ok(Self::DaysAgo(1)),
            text => exact(text)
                .map(Self::Date)
                .ok_or_else(|| "expected a date such as 2026-11-19, or yesterday".to_owned()),
        }
    }
}

/// What is known about the date of a run.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// What was asked for.
    pub asked: Option<Asked>,
    /// The time for which it was scheduled, RFC 3339.
    pub scheduled_time: Option<&'a str>,
    /// Name of the Kubernetes Job.
    pub kubernetes_job: Option<&'a str>,
    /// Whether a day counted from today may be asked for.
    pub relative: bool,
    /// Now.
    pub now: DateTime<Utc>,
}

/// The date of a run and where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Dated {
    /// The date.
    pub date: NaiveDate,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a date came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was asked for.
    Asked,
    /// The time for which the run was scheduled.
    ScheduledTime,
    /// The name of the Kubernetes Job.
    KubernetesJob,
}

impl Origin {
    /// The origin in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Asked => "asked for",
            Self::ScheduledTime => "BATCH_INFER_SCHEDULED_TIME",
            Self::KubernetesJob => "the name of the Kubernetes Job",
        }
    }
}

/// The date of a run. The schedule is asked for only where a time has to become a date.
pub fn resolve<E: From<DateError>>(
    known: &Known<'_>,
    schedule: impl FnOnce() -> Result<Option<Schedule>, E>,
) -> Result<Dated, E> {
    let dated = |date, origin| Dated { date, origin };
    match known.asked {
        Some(Asked::Date(date)) => return Ok(dated(date, Origin::Asked)),
        Some(Asked::DaysAgo(days)) => {
            if !known.relative {
                return Err(DateError::Relative.into());
            }
            let zone = schedule()?.map_or(chrono_tz::Tz::UTC, |schedule| schedule.timezone);
            let today = known.now.with_timezone(&zone).date_naive();
            return Ok(dated(today - Days::new(days), Origin::Asked));
        }
        Some(Asked::Nothing) | None => {}
    }
    let (at, origin) = scheduled(known)?;
    let date = schedule()?.and_then(|schedule| schedule.date_of(at));
    let date = date.ok_or(DateError::NoSchedule {
        origin: origin.text(),
        at,
    })?;
    Ok(dated(date, origin))
}

/// The time for which the run was scheduled.
fn scheduled(known: &Known<'_>) -> Result<(DateTime<Utc>, Origin), DateError> {
    if let Some(text) = known.scheduled_time {
        let at = DateTime::parse_from_rfc3339(text).map_err(|source| DateError::Time {
            text: text.to_owned(),
            source,
        })?;
        return Ok((at.to_utc(), Origin::ScheduledTime));
    }
    match known.kubernetes_job {
        None => Err(DateError::Unknown),
        Some(name) => {
            let at = minutes(name).filter(|at| (*at - known.now).abs() <= FARTHEST);
            let at = at.ok_or_else(|| DateError::JobName { name: name.to_owned() })?;
            Ok((at, Origin::KubernetesJob))
        }
    }
}

/// The time in the name that a `CronJob` gives to a Job: minutes since 1970 after the last hyphen.
fn minutes(name: &str) -> Option<DateTime<Utc>> {
    let (_, digits) = name.rsplit_once('-')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    DateTime::from_timestamp(digits.parse::<i64>().ok()?.checked_mul(60)?, 0)
}

/// A date with all its digits; the calendar's own reading is more generous.
fn exact(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (date.to_string() == text && text.len() == 10).then_some(date)
}

/// Why it is not known which date a run is for.
#[derive(Debug, thiserror::Error)]
pub enum DateError {
    /// Nothing says it.
    #[error("nothing says which date to score")]
    Unknown,
    /// A day counted from today, where nobody watches.
    #[error("a date counted from today was asked for, and this is no terminal")]
    Relative,
    /// The scheduled time cannot be read.
    #[error("BATCH_INFER_SCHEDULED_TIME is `{text}`, expected a time such as 2026-11-20T02:00:00Z")]
    Time {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: chrono::ParseError,
    },
    /// The name of the Job tells no time.
    #[error("the Kubernetes Job `{name}` was not named by a CronJob within the last year")]
    JobName {
        /// The name.
        name: String,
    },
    /// The job does not say which date a time belongs to.
    #[error("{origin} says {at}, and the job file has no [schedule] that makes a date of it")]
    NoSchedule {
        /// Where the time came from.
        origin: &'static str,
        /// The time.
        at: DateTime<Utc>,
    },
}

impl Seam for DateError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Unknown | Self::Relative | Self::Time { .. } | Self::JobName { .. } => ExitCode::Usage,
            Self::NoSchedule { .. } => ExitCode::Config,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unknown => {
                "give --date YYYY-MM-DD; or set BATCH_INFER_DATE, BATCH_INFER_SCHEDULED_TIME, or BATCH_INFER_KUBERNETES_JOB to the Job's name"
            }
            Self::Relative => {
                "give the date itself; a run that starts late or again would score another one (--allow-relative-date takes the risk)"
            }
            Self::Time { .. } => "give the offset too, Z or such as +01:00",
            Self::JobName { .. } => "a Job made by hand needs --date",
            Self::NoSchedule { .. } => {
                "add [schedule] with cron, timezone and date_offset_days, as the CronJob has them"
            }
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};

    use super::{Asked, DateError, Dated, Known, Origin, resolve};
    use crate::schedule::{Cron, Schedule};
    use crate::spec::Catchup;

    fn now() -> DateTime<Utc> {
        "2026-11-21T09:00:00Z".parse().unwrap()
    }

    fn berlin() -> Schedule {
        Schedule {
            cron: Cron::parse("0 2 * * *").unwrap(),
            timezone: chrono_tz::Europe::Berlin,
            date_offset_days: -1,
            catchup: Catchup::All,
            catchup_max: 7,
            misfire_grace: None,
            jitter: Duration::ZERO,
            reconcile_days: 3,
        }
    }

    fn known<'a>(asked: Option<&str>, time: Option<&'a str>, job: Option<&'a str>) -> Known<'a> {
        Known {
            asked: asked.map(|asked| asked.parse().unwrap()),
            scheduled_time: time,
            kubernetes_job: job,
            relative: true,
            now: now(),
        }
    }

    fn with_berlin(known: &Known<'_>) -> Result<Dated, DateError> {
        resolve(known, || Ok(Some(berlin())))
    }

    #[test]
    fn first_of_the_sources_that_says_something_decides() {
        let (flag, time) = (Some("2026-01-02"), Some("2026-11-20T01:00:00Z"));
        // 29,738,460 minutes after 1970 it is 2026-07-17 17:00 UTC, 19:00 in Berlin.
        let job = Some("fraud-detector-29738460");
        for (known, date, origin) in [
            (known(flag, time, job), "2026-01-02", Origin::Asked),
            (known(Some(""), time, job), "2026-11-19", Origin::ScheduledTime),
            (known(None, time, job), "2026-11-19", Origin::ScheduledTime),
            (known(None, None, job), "2026-07-16", Origin::KubernetesJob),
            (known(Some("yesterday"), time, job), "2026-11-20", Origin::Asked),
            (known(Some("today"), None, None), "2026-11-21", Origin::Asked),
        ] {
            let dated = with_berlin(&known).unwrap();
            assert_eq!(
                (dated.date.to_string().as_str(), dated.origin),
                (date, origin),
                "{known:?}"
            );
        }
    }

    #[test]
    fn scheduled_time_is_one_of_the_zone_however_it_is_written() {
        for (time, date) in [
            ("2026-11-20T02:00:00+01:00", "2026-11-19"),
            ("2026-11-19T22:59:59Z", "2026-11-18"),
            ("2026-11-19T23:00:00Z", "2026-11-19"),
            ("2026-11-19T20:00:00-03:00", "2026-11-19"),
            ("2026-03-29T01:00:00Z", "2026-03-28"),
        ] {
            let dated = with_berlin(&known(None, Some(time), None)).unwrap();
            assert_eq!(dated.date.to_string(), date, "{time}");
        }
    }

    #[test]
    fn what_tells_no_date_is_an_error_and_never_today() {
        for (time, job) in [
            (None, None),
            (Some("2026-11-20"), None),
            (Some("yesterday"), None),
            (Some("2026-11-20T02:00:00"), None),
            (None, Some("fraud-detector")),
            (None, Some("fraud-detector-2026-11-19")),
            (None, Some("fraud-detector-20261119")),
            (None, Some("fraud-detector-x29738460")),
            (None, Some("fraud-detector-")),
            (None, Some("29738460")),
            (None, Some("fraud-detector-99999999999999999999")),
            // Two years before now.
            (None, Some("fraud-detector-28800000")),
        ] {
            assert!(with_berlin(&known(None, time, job)).is_err(), "{time:?} {job:?}");
        }
    }

    #[test]
    fn time_without_a_schedule_tells_no_date() {
        let known = known(None, Some("2026-11-20T02:00:00Z"), None);
        let none: Result<Dated, DateError> = resolve(&known, || Ok(None));
        assert!(matches!(none, Err(DateError::NoSchedule { .. })));
    }

    #[test]
    fn day_counted_from_today_is_for_people() {
        let mut known = known(Some("yesterday"), None, None);
        known.relative = false;
        assert!(matches!(with_berlin(&known), Err(DateError::Relative)));
        // Today is that of the zone.
        known.relative = true;
        known.now = "2026-11-21T23:30:00Z".parse().unwrap();
        assert_eq!(with_berlin(&known).unwrap().date.to_string(), "2026-11-21");
    }

    #[test]
    fn only_whole_dates_are_read() {
        for text in [
            "2026-1-2",
            "20260102",
            "2026-02-30",
            "2026-01-02 ",
            "+2026-01-02",
            "tomorrow",
            "12026-01-02",
        ] {
            assert!(text.parse::<Asked>().is_err(), "{text}");
        }
    }
}
