//! The schedule of a job: the cron line is read, the zone is found, and times are times.

use std::str::FromStr;
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::problem::{Problem, kept, meant};
use crate::schedule::{Cron, Schedule};
use crate::spec::ScheduleSpec;

/// Checks a schedule.
pub(super) fn check(spec: &ScheduleSpec, found: &mut Vec<Problem>) -> Option<Schedule> {
    let cron = Cron::parse(&spec.cron);
    let cron = kept(
        cron.map_err(|error| Problem::new("schedule.cron", error.to_string()).hint(error.hint())),
        found,
    );
    let timezone = kept(timezone(&spec.timezone), found);
    let misfire_grace = kept(time("schedule.misfire_grace", spec.misfire_grace.as_deref()), found);
    let jitter = kept(time("schedule.jitter", spec.jitter.as_deref()), found);
    Some(Schedule {
        cron: cron?,
        timezone: timezone?,
        date_offset_days: spec.date_offset_days,
        catchup: spec.catchup,
        catchup_max: spec.catchup_max,
        misfire_grace: misfire_grace?,
        jitter: jitter?.unwrap_or_default(),
        reconcile_days: spec.reconcile_days,
    })
}

fn time(key: &str, text: Option<&str>) -> Result<Option<Duration>, Problem> {
    let unread = |text| Problem::new(key, format!("is `{text}`, expected a time such as `10m` or `36h`"));
    text.map(|text| humantime::parse_duration(text).map_err(|_| unread(text)))
        .transpose()
}

fn timezone(text: &str) -> Result<Tz, Problem> {
    Tz::from_str(text).map_err(|_| {
        let problem = Problem::new(
            "schedule.timezone",
            format!("is `{text}`, which is no IANA name of a zone"),
        );
        match meant(text, TZ_VARIANTS.iter().map(|zone| zone.name())) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem.hint("expected a name such as `Europe/Berlin` or `UTC`"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::timezone;

    #[test]
    fn zones_are_iana_names() {
        assert!(timezone("America/Santiago").is_ok());
        let problem = timezone("Europe/Berln").unwrap_err();
        assert_eq!(problem.hint.as_deref(), Some("did you mean `Europe/Berlin`?"));
        assert!(timezone("").is_err());
    }
}
