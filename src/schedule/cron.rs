//! A cron line: five fields as Kubernetes reads them, and the wall times that they name.
//!
//! The only file that names the crate `cron`, whose own lines have seconds, begin the week with 1 on Sunday and want both day fields to
//! match. So each field is read here, value by value, and handed over as a list. Wall times have no zone; what becomes of one that a
//! clock change skips or repeats is decided in `zone` and `fire`.

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};

/// Names for common lines, as Kubernetes has them.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// What Kubernetes refuses in front of a line too.
const ZONE_PREFIXES: [&str; 2] = ["TZ=", "CRON_TZ="];

/// A leap year: whatever line has a day at all has one in it.
const LEAP_YEAR: i32 = 2024;

/// One field of a line.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// Greatest number that is understood; beyond the last one it is another name of the first.
    most: u32,
    /// Names of values, from the first one on.
    names: &'static [&'static str],
}

const MINUTE: Field = Field {
    name: "minute",
    first: 0,
    last: 59,
    most: 59,
    names: &[],
};

const HOUR: Field = Field {
    name: "hour",
    first: 0,
    last: 23,
    most: 23,
    names: &[],
};

const DAY_OF_MONTH: Field = Field {
    name: "day of month",
    first: 1,
    last: 31,
    most: 31,
    names: &[],
};

const MONTH: Field = Field {
    name: "month",
    first: 1,
    last: 12,
    most: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};

/// Sunday is 0, and 7 as well.
const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    first: 0,
    last: 6,
    most: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// The fields of a line, in order.
const FIELDS: [Field; 5] = [MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK];

/// A cron line that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    /// One list of times; two where both day fields are restricted and either may match.
    times: Vec<cron::Schedule>,
    every_hour: bool,
    either_day: bool,
}

/// What a field says.
struct Values {
    named: BTreeSet<u32>,
    /// Written with `*` or `?`: it does not restrict the other day field.
    star: bool,
    /// Begins with `*` or `?`, with or without a step, or names every value.
    wild: bool,
}

impl Cron {
    /// Reads five fields or a shorthand.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if ZONE_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            return Err(CronError::Zone);
        }
        if text.starts_with('@') {
            let known = SHORTHANDS.iter().find(|(name, _)| *name == text);
            let (_, line) = known.ok_or(CronError::Shorthand { text: text.clone() })?;
            return Self::of_fields(&text, line);
        }
        Self::of_fields(&text, &text)
    }

    fn of_fields(text: &str, line: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = line.split(' ').filter(|field| !field.is_empty()).collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            return Err(CronError::Fields { found: fields.len() });
        };
        let minute = MINUTE.read(minute)?;
        let hour = HOUR.read(hour)?;
        let day_of_month = DAY_OF_MONTH.read(day_of_month)?;
        let month = MONTH.read(month)?;
        let day_of_week = DAY_OF_WEEK.read(day_of_week)?;

        let times = |days: &str, weekdays: &str| {
            let (minutes, hours, months) = (list(&minute.named), list(&hour.named), list(&month.named));
            let line = format!("0 {minutes} {hours} {days} {months} {weekdays}");
            cron::Schedule::from_str(&line).expect("lists of values within their fields")
        };
        // The crate counts from 1, which is Sunday.
        let weekdays = day_of_week.named.iter().map(|day| day + 1).collect();
        let either_day = !day_of_month.star && !day_of_week.star;
        let times = match (day_of_month.star, day_of_week.star) {
            (_, true) => vec![times(&list(&day_of_month.named), "*")],
            (true, false) => vec![times("*", &list(&weekdays))],
            (false, false) => vec![times(&list(&day_of_month.named), "*"), times("*", &list(&weekdays))],
        };
        let cron = Self {
            text: text.to_owned(),
            times,
            every_hour: hour.wild,
            either_day,
        };
        cron.has_a_day().then_some(cron).ok_or(CronError::Never)
    }

    /// The line as it was written, with single spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True where the hour is a wildcard: such a line follows the clock on the wall instead of naming a time.
    pub fn every_hour(&self) -> bool {
        self.every_hour
    }

    /// True where both day fields are restricted, so that either may match.
    pub fn either_day(&self) -> bool {
        self.either_day
    }

    /// Wall times later than one, in order.
    pub fn after(&self, wall: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> {
        // A zone without clock changes stands for no zone at all.
        let from: DateTime<Utc> = wall.and_utc();
        let mut lists: Vec<_> = self.times.iter().map(|times| times.after(&from).peekable()).collect();
        std::iter::from_fn(move || {
            let next = lists.iter_mut().filter_map(|list| list.peek().copied()).min()?;
            for list in &mut lists {
                list.next_if_eq(&next);
            }
            Some(next.naive_utc())
        })
    }

    /// False for such a line as 31 February.
    fn has_a_day(&self) -> bool {
        let before = chrono::NaiveDate::from_ymd_opt(LEAP_YEAR - 1, 12, 31);
        let before = before.and_then(|day| day.and_hms_opt(23, 59, 59));
        let before = before.expect("a time of the calendar");
        self.after(before).next().is_some_and(|wall| wall.year() == LEAP_YEAR)
    }
}

impl Field {
    fn read(&self, text: &str) -> Result<Values, CronError> {
        let mut named = BTreeSet::new();
        let mut star = false;
        for item in text.split(',') {
            let (base, step) = match item.split_once('/') {
                Some((base, step)) => (base, Some(self.step(step, item)?)),
                None => (item, None),
            };
            let (first, last) = self.range(base, step.is_some(), item)?;
            let step = step.unwrap_or(1);
            star |= matches!(base, "*" | "?") && step == 1;
            let values = (first..=last).step_by(step);
            named.extend(values.map(|value| if value > self.last { self.first } else { value }));
        }
        let whole = named.len() > (self.last - self.first) as usize;
        Ok(Values {
            wild: whole || text.starts_with(['*', '?']),
            named,
            star,
        })
    }

    fn step(&self, text: &str, item: &str) -> Result<usize, CronError> {
        let step = text.parse().ok().filter(|step| *step > 0 && is_number(text));
        step.ok_or_else(|| self.fault(item, "the step after `/` is no number above 0"))
    }

    /// The first and the last value of an item without its step.
    fn range(&self, base: &str, stepped: bool, item: &str) -> Result<(u32, u32), CronError> {
        if matches!(base, "*" | "?") {
            return Ok((self.first, self.last));
        }
        let Some((first, last)) = base.split_once('-') else {
            let value = self.value(base, item)?;
            // `N/step` runs to the end, as in Kubernetes.
            return Ok((value, if stepped { self.last.max(value) } else { value }));
        };
        let (first, last) = (self.value(first, item)?, self.value(last, item)?);
        if first > last {
            return Err(self.fault(item, "the range runs backwards"));
        }
        Ok((first, last))
    }

    fn value(&self, text: &str, item: &str) -> Result<u32, CronError> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        if let Some(value) = named.and_then(|position| u32::try_from(position).ok()) {
            return Ok(self.first + value);
        }
        if !is_number(text) {
            return Err(self.fault(item, "that is neither a number nor a name of this field"));
        }
        let value = text.parse().ok();
        let within = value.filter(|value| (self.first..=self.most).contains(value));
        within.ok_or_else(|| self.fault(item, "the number is outside of the field's range"))
    }

    fn fault(&self, item: &str, fault: &'static str) -> CronError {
        CronError::Item {
            field: self.name,
            item: item.to_owned(),
            fault,
            first: self.first,
            most: self.most,
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn list(values: &BTreeSet<u32>) -> String {
    values.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Why a line cannot be read. The text goes on after the name of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error("has {found} fields, expected {}", FIELDS.len())]
    Fields {
        /// Fields that there are.
        found: usize,
    },
    /// A name that is not known.
    #[error("is `{text}`, which is not a known name")]
    Shorthand {
        /// The line.
        text: String,
    },
    /// A zone in the line.
    #[error("names a zone")]
    Zone,
    /// An item that is not understood.
    #[error("holds `{}` in the field {field}: {fault}", .item.escape_debug())]
    Item {
        /// The field.
        field: &'static str,
        /// The item.
        item: String,
        /// What is wrong.
        fault: &'static str,
        /// Smallest number of the field.
        first: u32,
        /// Greatest number of the field.
        most: u32,
    },
    /// No day of any year.
    #[error("never fires: no month has such a day")]
    Never,
}

impl CronError {
    /// The way out.
    pub fn hint(&self) -> String {
        match self {
            Self::Fields { found } => {
                let names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
                let seconds = if *found == FIELDS.len() + 1 {
                    "; there is none for seconds"
                } else {
                    ""
                };
                format!("the fields are {}{seconds}", names.join(", "))
            }
            Self::Shorthand { .. } => {
                let names: Vec<_> = SHORTHANDS.iter().map(|(name, _)| *name).collect();
                format!("expected five fields or one of {}", names.join(", "))
            }
            Self::Zone => "the zone is `schedule.timezone`".to_owned(),
            Self::Item { first, most, .. } => {
                format!("this field is made of `*`, {first} to {most}, names, lists `,`, ranges `-` and steps `/`")
            }
            Self::Never => "compare day of month and month".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, NaiveDateTime};

    use super::{Cron, CronError};

    fn wall(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap()
    }

    #[track_caller]
    fn fires(line: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let fires = cron.after(wall(after)).take(count);
        fires.map(|wall| wall.format("%a %m-%d %H:%M").to_string()).collect()
    }

    #[test]
    fn lines_name_the_times_that_kubernetes_reads_from_them() {
        // 2026-11-20 is a Friday.
        for (line, expected) in [
            ("0 2 * * *", ["Sat 11-21 02:00", "Sun 11-22 02:00"]),
            ("  */20  2  * *\t? ", ["Fri 11-20 02:20", "Fri 11-20 02:40"]),
            ("5/20 23 * * *", ["Fri 11-20 23:05", "Fri 11-20 23:25"]),
            ("0 0 * * 0", ["Sun 11-22 00:00", "Sun 11-29 00:00"]),
            ("0 0 * * 7", ["Sun 11-22 00:00", "Sun 11-29 00:00"]),
            ("0 0 * * 6-7", ["Sat 11-21 00:00", "Sun 11-22 00:00"]),
            ("0 0 * * SAT-7", ["Sat 11-21 00:00", "Sun 11-22 00:00"]),
            ("0 0 * * 1", ["Mon 11-23 00:00", "Mon 11-30 00:00"]),
            ("0 0 * * mon,Wed", ["Mon 11-23 00:00", "Wed 11-25 00:00"]),
            ("0 0 * * FRI/1", ["Sat 11-21 00:00", "Fri 11-27 00:00"]),
            ("0 0 29 feb *", ["Tue 02-29 00:00", "Sun 02-29 00:00"]),
            ("0 0 13 * 5", ["Fri 11-27 00:00", "Fri 12-04 00:00"]),
            ("0 0 22 * 5", ["Sun 11-22 00:00", "Fri 11-27 00:00"]),
            ("0 0 */31 * 1", ["Mon 11-23 00:00", "Mon 11-30 00:00"]),
            ("0 0 */1 * 1", ["Mon 11-23 00:00", "Mon 11-30 00:00"]),
            ("59 23 31 DEC ?", ["Thu 12-31 23:59", "Fri 12-31 23:59"]),
            ("0 */100 * * *", ["Sat 11-21 00:00", "Sun 11-22 00:00"]),
            ("@weekly", ["Sun 11-22 00:00", "Sun 11-29 00:00"]),
            ("@hourly", ["Fri 11-20 03:00", "Fri 11-20 04:00"]),
        ] {
            assert_eq!(fires(line, "2026-11-20 02:00", 2), expected, "{line}");
        }
    }

    #[test]
    fn either_day_may_match_where_both_are_restricted() {
        assert!(Cron::parse("0 0 13 * 5").unwrap().either_day());
        // As in Kubernetes, a star with a step restricts.
        assert!(Cron::parse("0 0 */2 * 5").unwrap().either_day());
        for line in ["0 0 13 * *", "0 0 * * 5", "0 0 ? * 5", "0 0 */1 * 5"] {
            assert!(!Cron::parse(line).unwrap().either_day(), "{line}");
        }
    }

    #[test]
    fn hours_are_wild_where_they_are_not_named() {
        for line in ["0 * * * *", "0 ? * * *", "0 */6 * * *", "0 0-23 * * *", "*/5 * * * *"] {
            assert!(Cron::parse(line).unwrap().every_hour(), "{line}");
        }
        for line in ["* 2 * * *", "0 0-22 * * *", "0 2,14 * * *", "0 2/1 * * *"] {
            assert!(!Cron::parse(line).unwrap().every_hour(), "{line}");
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "0 2 * *",
            "* 0 2 * * *",
            "@reboot",
            "@every 1h",
            "0 2 * * L",
            "0 2 15W * *",
            "0 2 * * 5#2",
            "0 2 * * é",
            "60 2 * * *",
            "0 24 * * *",
            "0 2 0 * *",
            "0 2 32 * *",
            "0 2 * 13 *",
            "0 2 * 0 *",
            "0 2 * * 8",
            "-1 2 * * *",
            "*/0 * * * *",
            "*/ * * * *",
            "/5 * * * *",
            "1- * * * *",
            "5-1 * * * *",
            "0 2 * * FRI-MON",
            "1,,2 * * * *",
            ", * * * *",
            "*-5 * * * *",
            "1-2-3 * * * *",
            "1/2/3 * * * *",
            "0 2 * * monday",
            "0 feb * * *",
            "+1 * * * *",
            "0 2 31 2 *",
            "0 2 30 FEB *",
            "0 2 31 4,6,9,11 *",
            "99999999999 * * * *",
            "*/99999999999999999999999 * * * *",
        ] {
            assert!(Cron::parse(line).is_err(), "{line}");
        }
        assert_eq!(Cron::parse("TZ=UTC 0 2 * * *"), Err(CronError::Zone));
        assert_eq!(Cron::parse("CRON_TZ=Europe/Berlin 0 2 * * *"), Err(CronError::Zone));
        assert!(
            Cron::parse("* 0 2 * * *")
                .unwrap_err()
                .hint()
                .contains("none for seconds")
        );
    }

    #[test]
    fn times_go_on_for_ever_and_never_repeat() {
        let cron = Cron::parse("*/7 3 13 * 5").unwrap();
        let start = NaiveDate::from_ymd_opt(2026, 1, 1)
            .unwrap()
            .and_hms_opt(0, 0, 0)
            .unwrap();
        let fires: Vec<_> = cron.after(start).take(5_000).collect();
        assert_eq!(fires.len(), 5_000);
        assert!(fires.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
