//! The schedule of a job as far as it can be judged without a calendar: form of the cron line and name of the zone.

use std::str::FromStr;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::problem::{Problem, listed, meant};
use crate::spec::ScheduleSpec;

/// Fields of a cron line, in order.
const FIELDS: [&str; 5] = ["minute", "hour", "day of month", "month", "day of week"];

/// Names for common cron lines.
const SHORTHANDS: [&str; 5] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];

/// When the daemon starts a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Five fields as in Kubernetes, or a shorthand.
    pub cron: String,
    /// The zone in which the fields are meant.
    pub timezone: Tz,
    /// Days from the day of the fire to the date that is scored.
    pub date_offset_days: i32,
}

/// Checks a schedule.
pub(super) fn check(spec: &ScheduleSpec, found: &mut Vec<Problem>) -> Option<Schedule> {
    let cron = cron(&spec.cron).map_err(|problem| found.push(problem));
    let timezone = timezone(&spec.timezone).map_err(|problem| found.push(problem));
    Some(Schedule {
        cron: cron.ok()?,
        timezone: timezone.ok()?,
        date_offset_days: spec.date_offset_days,
    })
}

fn cron(text: &str) -> Result<String, Problem> {
    let key = "schedule.cron";
    let text = text.trim();
    if text.starts_with('@') {
        if SHORTHANDS.contains(&text) {
            return Ok(text.to_owned());
        }
        let problem = Problem::new(key, format!("is `{text}`, which is not a known name"));
        return Err(problem.hint(format!("expected five fields or {}", listed(SHORTHANDS, "or"))));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let problem = Problem::new(key, format!("has {} fields, expected {}", fields.len(), FIELDS.len()));
        let seconds = if fields.len() == 6 {
            "; there is none for seconds"
        } else {
            ""
        };
        return Err(problem.hint(format!("the fields are {}{seconds}", FIELDS.join(", "))));
    }
    for (field, name) in fields.iter().zip(FIELDS) {
        if let Some(found) = field
            .chars()
            .find(|&c| !(c.is_ascii_alphanumeric() || "*,-/?".contains(c)))
        {
            let fault = format!("holds `{}` in the field {name}: `{field}`", found.escape_debug());
            return Err(Problem::new(key, fault)
                .hint("a field is made of `*`, numbers, names, lists `,`, ranges `-` and steps `/`"));
        }
    }
    Ok(fields.join(" "))
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
    use super::{cron, timezone};

    #[test]
    fn five_fields_and_shorthands_are_taken() {
        for text in ["0 2 * * *", "*/15 0-6 1,15 JAN-MAR MON-FRI", "  0  2 * *\t? ", "@daily"] {
            assert!(cron(text).is_ok(), "{text}");
        }
        assert_eq!(cron("  0  2 * *\t? ").unwrap(), "0 2 * * ?");
    }

    #[test]
    fn other_lines_are_refused() {
        for text in ["", "0 2 * *", "* 0 2 * * *", "@reboot", "0 2 * * L;x", "0 2 * * é"] {
            assert!(cron(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zones_are_iana_names() {
        assert!(timezone("America/Santiago").is_ok());
        let problem = timezone("Europe/Berln").unwrap_err();
        assert_eq!(problem.hint.as_deref(), Some("did you mean `Europe/Berlin`?"));
        assert!(timezone("").is_err());
    }
}
