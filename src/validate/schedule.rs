//! The schedule of a job: the cron line is read, the zone is found, and times are times.

use std::str::FromStr;
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::problem::{Problem, kept, meant};
use crate::schedule::{Cron, Schedule};
use crate::spec::{Catchup, RECONCILE_DAYS, ScheduleSpec};

/// Checks a schedule.
pub(super) fn check(spec: &ScheduleSpec, found: &mut Vec<Problem>) -> Option<Schedule> {
    let cron = Cron::parse(&spec.cron);
    let cron = kept(
        cron.map_err(|error| Problem::new("schedule.cron", error.to_string()).hint(error.hint())),
        found,
    );
    let timezone = kept(timezone(&spec.timezone), found);
    let misfire_grace = kept(time("schedule.misfire_grace", spec.misfire_grace.as_deref()), found);
    let reconcile_days = kept(reconcile_days(spec), found);
    let jitter = kept(time("schedule.jitter", spec.jitter.as_deref()), found);
    Some(Schedule {
        cron: cron?,
        timezone: timezone?,
        date_offset_days: spec.date_offset_days,
        catchup: spec.catchup,
        catchup_max: spec.catchup_max,
        misfire_grace: misfire_grace?,
        jitter: jitter?.unwrap_or_default(),
        reconcile_days: reconcile_days?,
    })
}

/// Days that are looked back. Dates that `catchup` leaves out would be brought back by the next fire.
fn reconcile_days(spec: &ScheduleSpec) -> Result<u32, Problem> {
    match (spec.catchup, spec.reconcile_days) {
        (Catchup::None, Some(days)) if days > 0 => {
            let fault = format!("is {days}, and `catchup = \"none\"` leaves out the dates that it would bring back");
            Err(Problem::new("schedule.reconcile_days", fault)
                .hint("take it out, or write `catchup = \"latest\"` or `\"all\"`"))
        }
        (Catchup::None, None) => Ok(0),
        (_, days) => Ok(days.unwrap_or(RECONCILE_DAYS)),
    }
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
        let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
        let city = |name: &&str| {
            name.rsplit('/')
                .next()
                .is_some_and(|city| city.eq_ignore_ascii_case(text))
        };
        match names().find(city).or_else(|| meant(text, names())) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem.hint("expected a name such as `Europe/Berlin` or `UTC`"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{check, reconcile_days, timezone};
    use crate::spec::{Catchup, RECONCILE_DAYS, ScheduleSpec};

    fn spec(catchup: Catchup, reconcile_days: Option<u32>) -> ScheduleSpec {
        ScheduleSpec {
            cron: "0 2 * * *".to_owned(),
            timezone: "UTC".to_owned(),
            date_offset_days: -1,
            catchup,
            catchup_max: 7,
            misfire_grace: None,
            jitter: None,
            reconcile_days,
        }
    }

    #[test]
    fn dates_that_catch_up_leaves_out_are_not_brought_back() {
        let days = |catchup, days| reconcile_days(&spec(catchup, days)).ok();
        assert_eq!(days(Catchup::All, None), Some(RECONCILE_DAYS));
        assert_eq!(days(Catchup::Latest, None), Some(RECONCILE_DAYS));
        assert_eq!(days(Catchup::None, None), Some(0));
        assert_eq!(days(Catchup::None, Some(0)), Some(0));
        assert_eq!(days(Catchup::All, Some(0)), Some(0));
        let mut found = Vec::new();
        assert_eq!(check(&spec(Catchup::None, Some(2)), &mut found), None);
        assert_eq!(
            found[0].fault,
            "is 2, and `catchup = \"none\"` leaves out the dates that it would bring back"
        );
    }

    #[test]
    fn zones_are_iana_names() {
        assert!(timezone("America/Santiago").is_ok());
        let problem = timezone("Europe/Berln").unwrap_err();
        assert_eq!(problem.hint.as_deref(), Some("did you mean `Europe/Berlin`?"));
        let problem = timezone("berlin").unwrap_err();
        assert_eq!(problem.hint.as_deref(), Some("did you mean `Europe/Berlin`?"));
        assert!(timezone("").is_err());
    }
}
