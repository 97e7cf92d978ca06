//! The dates that a backfill looks at: each day of a range, those of it that the schedule scores, or those of the last fires.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::BackfillError;
use crate::schedule::Schedule;

/// More than this many dates at once are a mistake in a year.
pub(super) const MOST_DATES: i64 = 4_000;

/// Each day of a range, oldest first.
pub fn every_day(from: NaiveDate, to: NaiveDate) -> Result<Vec<NaiveDate>, BackfillError> {
    if from > to {
        return Err(BackfillError::Backwards { from, to });
    }
    let days = from.iter_days().take_while(|date| *date <= to);
    if (to - from).num_days() >= MOST_DATES {
        return Err(BackfillError::TooMany { from, to });
    }
    Ok(days.collect())
}

/// The days of a range that a fire of the schedule scores, oldest first.
pub fn scheduled(schedule: &Schedule, from: NaiveDate, to: NaiveDate) -> Result<Vec<NaiveDate>, BackfillError> {
    let mut dates = every_day(from, to)?;
    dates.retain(|date| schedule.scores(*date));
    Ok(dates)
}

/// The dates of the fires of the last time, up to now, oldest first. None where nothing fired.
pub fn within(schedule: &Schedule, back: Duration, now: DateTime<Utc>) -> Result<Vec<NaiveDate>, BackfillError> {
    let longest = TimeDelta::days(MOST_DATES);
    let since = match TimeDelta::from_std(back) {
        Ok(back) if back <= longest => now - back,
        _ => return Err(BackfillError::TooFar { back }),
    };
    let first = schedule.next_after(since).filter(|fire| fire.at <= now);
    let last = schedule.last_until(now);
    match (first, last) {
        (Some(first), Some(last)) => scheduled(schedule, first.date, last.date),
        _ => Ok(Vec::new()),
    }
}
