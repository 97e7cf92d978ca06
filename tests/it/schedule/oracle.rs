//! Fires of many lines in many zones, compared with those of the crate `croner`, which reads the same lines by itself.
//!
//! Where the two mean different things by intent, the oracle is asked in other words: it takes only a line with one minute and one hour for
//! a named time, so a line with several is the union of such lines. `BATCH_INFER_T7=all` takes all zones and twelve years.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use batch_infer::schedule::{Cron, Schedule};
use batch_infer::spec::Catchup;
use chrono::{DateTime, Datelike, Days, NaiveDate, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::parser::{CronParser, Seconds, Year};

use crate::support::variable;

/// The first year.
const FIRST_YEAR: i32 = 2025;

/// Zones with every kind of clock change that there is, and some without.
const ZONES: [&str; 20] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Lisbon",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "America/Havana",
    "America/Nuuk",
    "America/Scoresbysund",
    "Atlantic/Azores",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Antarctica/Troll",
];

/// Lines with a named time.
const NAMED: [&str; 20] = [
    "0 2 * * *",
    "30 2 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "30 1 * * *",
    "59 23 * * *",
    "0 3 * * *",
    "0 1 * * *",
    "0 12 * * MON-FRI",
    "15 2 * * 0",
    "15 2 * * 7",
    "0 0 1 * *",
    "45 1 31 * *",
    "0 2 29 2 *",
    "0 4 13 * 5",
    "30 2 1,15 * SUN",
    "0 6 1 1,4,7,10 *",
    "0 0 1-7 * 1",
    "20 3 * 3,10,11 0",
    "5 0 * */3 *",
];

/// Lines with several named times: to the oracle, several lines.
const SEVERAL: [(&str, &[&str], &[&str]); 8] = [
    ("*/15 2 * * *", &["0", "15", "30", "45"], &["2"]),
    ("0 1,2,3 * * *", &["0"], &["1", "2", "3"]),
    ("30 0-3 * * *", &["30"], &["0", "1", "2", "3"]),
    ("0,30 1-2 * * SUN", &["0", "30"], &["1", "2"]),
    ("10 22-23 * * *", &["10"], &["22", "23"]),
    ("0 6-18/6 * * 1-5", &["0"], &["6", "12", "18"]),
    ("7 0,12 1 * *", &["7"], &["0", "12"]),
    ("10-40/10 23 * * 6,7", &["10", "20", "30", "40"], &["23"]),
];

/// Lines that follow the clock.
const CLOCK: [&str; 12] = [
    "* * * * *",
    "*/5 * * * *",
    "*/30 * * * *",
    "0 * * * *",
    "15 * * * *",
    "59 * * * *",
    "0 */2 * * *",
    "30 */6 * * *",
    "*/20 * * * SUN",
    "17 * 29 * *",
    "0,45 * * 3,10,11 *",
    "*/10 * 1-7 * 0",
];

struct Span {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

fn schedule(line: &str, zone: Tz) -> Schedule {
    Schedule {
        cron: Cron::parse(line).unwrap_or_else(|error| panic!("{line} {error}")),
        timezone: zone,
        date_offset_days: 0,
        catchup: Catchup::All,
        catchup_max: 7,
        misfire_grace: None,
        jitter: Duration::ZERO,
        reconcile_days: 3,
    }
}

fn ours(line: &str, zone: Tz, span: &Span) -> Vec<DateTime<Utc>> {
    let schedule = schedule(line, zone);
    let fires = schedule.fires_after(span.start).map(|fire| fire.at);
    fires.take_while(|at| *at < span.end).collect()
}

fn theirs(line: &str, zone: Tz, span: &Span) -> Vec<DateTime<Utc>> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let fires = cron.iter_after(span.start.with_timezone(&zone)).map(|at| at.to_utc());
    fires.take_while(|at| *at < span.end).collect()
}

/// The line once for each of its times.
fn theirs_for_each(line: &str, minutes: &[&str], hours: &[&str], zone: Tz, span: &Span) -> Vec<DateTime<Utc>> {
    let days = line.splitn(3, ' ').nth(2).unwrap();
    let mut fires = BTreeSet::new();
    for minute in minutes {
        for hour in hours {
            fires.extend(theirs(&format!("{minute} {hour} {days}"), zone, span));
        }
    }
    fires.into_iter().collect()
}

/// Days around each clock change, and the first days.
fn changes(zone: Tz, span: &Span) -> Vec<Span> {
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let window = |at: DateTime<Utc>| Span {
        start: at - TimeDelta::hours(30),
        end: at + TimeDelta::hours(54),
    };
    let days = std::iter::successors(Some(span.start), |day| Some(*day + TimeDelta::days(1)));
    let changed = days
        .take_while(|day| *day < span.end)
        .filter(|day| offset(*day) != offset(*day + TimeDelta::days(1)));
    std::iter::once(span.start + TimeDelta::days(2))
        .chain(changed)
        .map(window)
        .collect()
}

#[track_caller]
fn expect_same(line: &str, zone: Tz, ours: &[DateTime<Utc>], theirs: &[DateTime<Utc>]) {
    assert!(
        ours.windows(2).all(|pair| pair[0] < pair[1]),
        "`{line}` in {zone} goes back"
    );
    let first = ours.iter().zip(theirs).find(|(ours, theirs)| ours != theirs);
    assert_eq!(first, None, "`{line}` in {zone}: ours and theirs");
    assert_eq!(ours.len(), theirs.len(), "`{line}` in {zone}: one goes on for longer");
}

/// One fire for each date, whatever the clocks do.
fn expect_each_date_once(zone: Tz, span: &Span) {
    for line in ["30 2 * * *", "0 0 * * *", "30 23 * * *", "*/15 1 * * *"] {
        let schedule = schedule(line, zone);
        let fires = schedule.fires_after(span.start).take_while(|fire| fire.at < span.end);
        let mut dates: Vec<NaiveDate> = fires.map(|fire| fire.date).collect();
        dates.dedup();
        let next = dates.windows(2).find(|pair| pair[0] + Days::new(1) != pair[1]);
        assert_eq!(next, None, "`{line}` in {zone}: a date is missed or comes twice");
        assert!(dates.len() > 365, "{dates:?}");
    }
}

#[test]
fn fires_are_those_of_another_reading_of_the_same_lines() {
    let all = variable("BATCH_INFER_T7").as_deref() == Some("all");
    let years = if all { 12 } else { 2 };
    let zones: Vec<Tz> = if all {
        TZ_VARIANTS.to_vec()
    } else {
        ZONES.iter().map(|name| Tz::from_str(name).unwrap()).collect()
    };
    let day = |year| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap();
    let span = Span {
        start: day(FIRST_YEAR),
        end: day(FIRST_YEAR + years),
    };
    let mut compared = 0;
    for zone in &zones {
        for line in NAMED {
            let fires = ours(line, *zone, &span);
            expect_same(line, *zone, &fires, &theirs(line, *zone, &span));
            compared += fires.len();
        }
        for (line, minutes, hours) in SEVERAL {
            let fires = ours(line, *zone, &span);
            expect_same(
                line,
                *zone,
                &fires,
                &theirs_for_each(line, minutes, hours, *zone, &span),
            );
            compared += fires.len();
        }
        for window in changes(*zone, &span) {
            for line in CLOCK {
                let fires = ours(line, *zone, &window);
                expect_same(line, *zone, &fires, &theirs(line, *zone, &window));
                compared += fires.len();
            }
        }
        expect_each_date_once(*zone, &span);
    }
    println!(
        "T7: {} lines in {} zones over {years} years from {}: {compared} fires compared, 0 differences",
        NAMED.len() + SEVERAL.len() + CLOCK.len(),
        zones.len(),
        span.start.year()
    );
    assert!(compared > 100_000, "{compared}");
}
