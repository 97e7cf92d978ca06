//! `schedule`: when a job runs next, and for which dates.

use std::fmt::Write;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::args::{ScheduleCommand, ScheduleNextArgs};
use super::context::Context;
use super::validate::ANY_DATE;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::schedule::{Fire, Schedule, ZONE_DATA};

/// Coming fires for people and machines.
#[derive(Debug, Serialize)]
struct Coming {
    job: String,
    cron: String,
    timezone: &'static str,
    zone_data: &'static str,
    date_offset_days: i32,
    warnings: Vec<&'static str>,
    fires: Vec<Shown>,
}

/// One fire.
#[derive(Debug, Serialize)]
struct Shown {
    /// By the clocks of the zone.
    local: String,
    /// In UTC.
    at: DateTime<Utc>,
    /// The date that is scored.
    date: NaiveDate,
    /// The time that the line names, where clocks skip it.
    instead_of: Option<NaiveDateTime>,
}

pub(super) fn schedule(command: &ScheduleCommand, context: &Context) -> Result<ExitCode, Error> {
    match command {
        ScheduleCommand::Next(args) => next(args, context),
    }
}

fn next(args: &ScheduleNextArgs, context: &Context) -> Result<ExitCode, Error> {
    let job = context.job(&args.file, ANY_DATE)?;
    let schedule = job.schedule.ok_or(ScheduleError::None { job: job.name.clone() })?;
    let after = match &args.after {
        Some(text) => instant(text, &schedule)?,
        None => SystemClock.now(),
    };
    let coming = Coming {
        job: job.name,
        cron: schedule.cron.text().to_owned(),
        timezone: schedule.timezone.name(),
        zone_data: ZONE_DATA,
        date_offset_days: schedule.date_offset_days,
        warnings: schedule.warning().into_iter().collect(),
        fires: schedule
            .fires_after(after)
            .take(args.most)
            .map(|fire| Shown::of(fire, &schedule))
            .collect(),
    };
    context.print(&coming, &coming.text());
    Ok(ExitCode::Success)
}

/// A point in time, or a day of the schedule's zone.
fn instant(text: &str, schedule: &Schedule) -> Result<DateTime<Utc>, ScheduleError> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let day = text.parse::<NaiveDate>().ok();
    day.and_then(|day| schedule.midnight(day))
        .ok_or_else(|| ScheduleError::Time { text: text.to_owned() })
}

impl Shown {
    fn of(fire: Fire, schedule: &Schedule) -> Self {
        let local = fire.at.with_timezone(&schedule.timezone);
        Self {
            local: local.to_rfc3339_opts(SecondsFormat::Secs, false),
            at: fire.at,
            date: fire.date,
            instead_of: (local.naive_local() != fire.wall).then_some(fire.wall),
        }
    }
}

impl Coming {
    fn text(&self) -> String {
        let mut text = format!(
            "{}: {} in {} (zone data {}), date_offset_days {}\n",
            self.job, self.cron, self.timezone, self.zone_data, self.date_offset_days
        );
        for warning in &self.warnings {
            let _ = writeln!(text, "  warning: {warning}");
        }
        let _ = writeln!(text, "  {:<25}  {:<20}  scores", "fires", "UTC");
        for fire in &self.fires {
            let utc = fire.at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let _ = write!(text, "  {:<25}  {utc:<20}  {}", fire.local, fire.date);
            if let Some(wall) = fire.instead_of {
                let _ = write!(text, "  (clocks skip {})", wall.format("%Y-%m-%d %H:%M"));
            }
            text.push('\n');
        }
        text
    }
}

/// Why coming fires cannot be shown.
#[derive(Debug, thiserror::Error)]
enum ScheduleError {
    #[error("the job {job} has no [schedule]")]
    None { job: String },
    #[error("`{text}` is neither a point in time nor a date")]
    Time { text: String },
}

impl Seam for ScheduleError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::None { .. } => ExitCode::Config,
            Self::Time { .. } => ExitCode::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::None { .. } => "add [schedule] with cron and date_offset_days",
            Self::Time { .. } => {
                "write 2026-11-20T02:00:00+01:00, or 2026-11-20 for the midnight of the schedule's zone"
            }
        };
        Some(hint.to_owned())
    }
}
