//! The normative table of schedules, line by line: gap and fold, dates, missed fires, overlap, clock steps.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{Agenda, Cron, Due, Ended, Reason, Schedule};
use crate::exit::ExitCode;
use crate::spec::Catchup;

fn schedule(cron: &str, zone: &str, offset: i32) -> Schedule {
    Schedule {
        cron: Cron::parse(cron).unwrap(),
        timezone: zone.parse().unwrap(),
        date_offset_days: offset,
        catchup: Catchup::All,
        catchup_max: 7,
        misfire_grace: None,
        jitter: Duration::ZERO,
        reconcile_days: 3,
    }
}

fn nightly() -> Schedule {
    schedule("0 2 * * *", "UTC", -1)
}

fn at(text: &str) -> DateTime<Utc> {
    let text = format!("{}:00Z", text.replace(' ', "T"));
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Fires after an instant, in UTC, with their dates.
#[track_caller]
fn expect_fires(schedule: &Schedule, after: &str, expected: &[(&str, &str)]) {
    let fires = schedule.fires_after(at(after)).take(expected.len());
    let fires: Vec<_> = fires.map(|fire| (fire.at, fire.date)).collect();
    let expected: Vec<_> = expected.iter().map(|(fire, of)| (at(fire), date(of))).collect();
    assert_eq!(fires, expected, "{} in {}", schedule.cron.text(), schedule.timezone);
}

#[test]
fn named_time_that_clocks_skip_fires_when_they_go_on() {
    // New York skips 02:00 to 03:00 on 2026-03-08, at 07:00 UTC.
    let daily = schedule("30 2 * * *", "America/New_York", -1);
    expect_fires(
        &daily,
        "2026-03-07 00:00",
        &[
            ("2026-03-07 07:30", "2026-03-06"),
            ("2026-03-08 07:00", "2026-03-07"),
            ("2026-03-09 06:30", "2026-03-08"),
        ],
    );
    // All times of one gap are one fire.
    let quarters = schedule("*/15 2 * * *", "America/New_York", 0);
    expect_fires(
        &quarters,
        "2026-03-07 07:45",
        &[("2026-03-08 07:00", "2026-03-08"), ("2026-03-09 06:00", "2026-03-09")],
    );
    // So is one together with the time at which clocks go on.
    let both = schedule("30 2,3 * * *", "America/New_York", 0);
    expect_fires(
        &both,
        "2026-03-08 00:00",
        &[("2026-03-08 07:00", "2026-03-08"), ("2026-03-08 07:30", "2026-03-08")],
    );
}

#[test]
fn midnight_that_clocks_skip_fires_on_its_day() {
    // Santiago skips 00:00 to 01:00 on 2026-09-06.
    let daily = schedule("0 0 * * *", "America/Santiago", -1);
    expect_fires(
        &daily,
        "2026-09-05 12:00",
        &[("2026-09-06 04:00", "2026-09-05"), ("2026-09-07 03:00", "2026-09-06")],
    );
}

#[test]
fn time_that_clocks_skip_before_midnight_keeps_its_date() {
    // Nuuk skips 23:00 to 24:00 on Saturday 2026-03-28: the fire is on Sunday and for Saturday.
    let daily = schedule("30 23 * * *", "America/Nuuk", 0);
    expect_fires(
        &daily,
        "2026-03-28 02:00",
        &[("2026-03-29 01:00", "2026-03-28"), ("2026-03-30 00:30", "2026-03-29")],
    );
    assert_eq!(daily.date_of(at("2026-03-29 01:00")), Some(date("2026-03-28")));
}

#[test]
fn named_time_that_clocks_repeat_fires_the_first_time() {
    // New York shows 01:00 to 02:00 twice on 2026-11-01, from 05:00 and from 06:00 UTC.
    let daily = schedule("30 1 * * *", "America/New_York", -1);
    expect_fires(
        &daily,
        "2026-10-31 12:00",
        &[("2026-11-01 05:30", "2026-10-31"), ("2026-11-02 06:30", "2026-11-01")],
    );
    // Also for whoever looks in the second half of it.
    expect_fires(&daily, "2026-11-01 06:10", &[("2026-11-02 06:30", "2026-11-01")]);
}

#[test]
fn line_with_a_wildcard_hour_follows_the_clock() {
    let halves = schedule("*/30 * * * *", "America/New_York", 0);
    let of_day = "2026-11-01";
    expect_fires(
        &halves,
        "2026-11-01 05:00",
        &[
            ("2026-11-01 05:30", of_day),
            ("2026-11-01 06:00", of_day),
            ("2026-11-01 06:30", of_day),
            ("2026-11-01 07:00", of_day),
        ],
    );
    expect_fires(
        &schedule("15 * * * *", "America/New_York", 0),
        "2026-03-08 06:00",
        &[("2026-03-08 06:15", "2026-03-08"), ("2026-03-08 07:15", "2026-03-08")],
    );
    // Lord Howe Island goes back by half an hour.
    expect_fires(
        &schedule("*/20 * * * *", "Australia/Lord_Howe", 0),
        "2026-04-04 14:20",
        &[
            ("2026-04-04 14:40", "2026-04-05"),
            ("2026-04-04 15:10", "2026-04-05"),
            ("2026-04-04 15:30", "2026-04-05"),
        ],
    );
}

#[test]
fn date_is_that_of_the_zone_and_the_offset() {
    let auckland = schedule("0 6 * * *", "Pacific/Auckland", -1);
    expect_fires(&auckland, "2026-11-19 00:00", &[("2026-11-19 17:00", "2026-11-19")]);
    let today = schedule("0 6 * * *", "Pacific/Auckland", 0);
    expect_fires(&today, "2026-11-19 00:00", &[("2026-11-19 17:00", "2026-11-20")]);
    // Any time of the day stands for the day, for starts that are not exactly those of the schedule.
    assert_eq!(today.date_of(at("2026-11-19 17:23")), Some(date("2026-11-20")));
    assert_eq!(today.date_of(at("2026-11-19 10:59")), Some(date("2026-11-19")));
}

#[test]
fn last_fire_is_found_however_long_ago() {
    for (line, until, last) in [
        ("0 2 * * *", "2026-11-20 02:00", "2026-11-20 02:00"),
        ("0 2 * * *", "2026-11-20 01:59", "2026-11-19 02:00"),
        ("* * * * *", "2026-11-20 01:59", "2026-11-20 01:59"),
        ("0 0 29 2 *", "2026-11-20 01:59", "2024-02-29 00:00"),
    ] {
        let last_fire = schedule(line, "UTC", 0).last_until(at(until)).unwrap();
        assert_eq!(last_fire.at, at(last), "{line}");
    }
}

#[test]
fn jitter_is_stable_below_its_bound_and_moves_no_date() {
    let mut spread = nightly();
    assert_eq!(spread.delay("job", date("2026-11-19")), Duration::ZERO);
    spread.jitter = Duration::from_mins(10);
    let delays: Vec<_> = (1..=28)
        .map(|day| spread.delay("job", date(&format!("2026-02-{day:02}"))))
        .collect();
    assert!(delays.iter().all(|delay| *delay < spread.jitter));
    assert!(delays.windows(2).any(|pair| pair[0] != pair[1]));
    assert_eq!(delays[0], spread.delay("job", date("2026-02-01")));
    assert_ne!(delays[0], spread.delay("other", date("2026-02-01")));
    let mut agenda = Agenda::new(at("2026-11-19 00:00"));
    let queued = agenda.look("job", &spread, at("2026-11-19 02:00")).queued[0];
    assert_eq!(
        (queued.scheduled, queued.date),
        (at("2026-11-19 02:00"), date("2026-11-18"))
    );
    assert_eq!(agenda.ready(queued.not_before), Some(&queued));
    assert_eq!(agenda.ready(queued.not_before - TimeDelta::milliseconds(1)), None);
}

fn days(due: &Due) -> Vec<String> {
    due.run.iter().map(|fire| fire.date.format("%d").to_string()).collect()
}

fn dropped(due: &Due) -> Vec<(String, Reason)> {
    let dropped = due.dropped.iter();
    dropped
        .map(|dropped| (dropped.fire.date.format("%d").to_string(), dropped.reason))
        .collect()
}

#[test]
fn missed_dates_are_caught_up_oldest_first_up_to_a_bound() {
    let due = nightly().due(at("2026-11-10 02:00"), at("2026-11-20 12:00"));
    assert_eq!(days(&due), ["13", "14", "15", "16", "17", "18", "19"]);
    assert_eq!(
        dropped(&due),
        [("10", Reason::Many), ("11", Reason::Many), ("12", Reason::Many)]
            .map(|(day, reason)| (day.to_owned(), reason))
    );
}

#[test]
fn catchup_decides_over_missed_fires_and_never_over_one_that_is_on_time() {
    let (mark, late, on_time) = (at("2026-11-17 12:00"), at("2026-11-20 12:00"), at("2026-11-20 02:01"));
    for (catchup, when_late, when_on_time) in [
        (Catchup::All, &["17", "18", "19"][..], &["17", "18", "19"][..]),
        (Catchup::Latest, &["19"], &["19"]),
        (Catchup::None, &[], &["19"]),
    ] {
        let schedule = Schedule { catchup, ..nightly() };
        assert_eq!(days(&schedule.due(mark, late)), when_late, "{catchup:?}");
        assert_eq!(days(&schedule.due(mark, on_time)), when_on_time, "{catchup:?}");
    }
}

#[test]
fn fires_older_than_the_grace_are_given_up() {
    let schedule = Schedule {
        misfire_grace: Some(Duration::from_hours(30)),
        ..nightly()
    };
    let due = schedule.due(at("2026-11-17 12:00"), at("2026-11-20 04:00"));
    assert_eq!(days(&due), ["18", "19"]);
    assert_eq!(dropped(&due), [("17".to_owned(), Reason::Late)]);
}

#[test]
fn fires_of_one_date_are_one_run() {
    let halves = schedule("*/30 * * * *", "UTC", -1);
    let due = halves.due(at("2026-11-18 12:00"), at("2026-11-20 12:00"));
    assert_eq!(days(&due), ["17", "18", "19"]);
    assert_eq!(due.dropped, []);
}

#[test]
fn first_start_ever_catches_nothing_up() {
    let mut agenda = Agenda::new(at("2026-11-20 12:00"));
    assert!(!agenda.look("job", &nightly(), at("2026-11-20 12:00")).changed());
    assert_eq!(
        agenda.next(&nightly(), at("2026-11-20 12:00")),
        Some(at("2026-11-21 02:00"))
    );
}

#[test]
fn clock_that_is_set_back_fires_nothing_twice() {
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    assert_eq!(agenda.look("job", &nightly(), at("2026-11-20 02:00")).queued.len(), 1);
    agenda.start(date("2026-11-19"));
    assert_eq!(agenda.ended(ExitCode::Success, at("2026-11-20 02:05")), Ended::Done);
    for back in [
        "2026-11-20 01:00",
        "2026-11-20 02:00",
        "2026-11-20 02:10",
        "2026-11-19 02:00",
    ] {
        assert!(!agenda.look("job", &nightly(), at(back)).changed(), "{back}");
    }
    assert_eq!(
        agenda.next(&nightly(), at("2026-11-20 01:00")),
        Some(at("2026-11-21 02:00"))
    );
}

#[test]
fn mark_of_a_clock_that_was_far_ahead_silences_nothing() {
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    agenda.look("job", &nightly(), at("2026-11-20 02:00"));
    // For a moment it was the year 2030.
    assert_eq!(agenda.look("job", &nightly(), at("2030-01-01 12:00")).queued.len(), 7);
    let look = agenda.look("job", &nightly(), at("2026-11-20 12:00"));
    assert_eq!(look.taken_back, Some(at("2030-01-01 12:00")));
    assert!(look.changed(), "it is written down");
    assert_eq!(agenda.mark(), at("2026-11-20 12:00"));
    assert_eq!(agenda.waiting(), [], "dates of 2029 have not come yet");
    assert_eq!(
        agenda.next(&nightly(), at("2026-11-20 12:00")),
        Some(at("2026-11-21 02:00"))
    );
    // Once, and not for a step that a clock may well take.
    assert_eq!(agenda.look("job", &nightly(), at("2026-11-18 12:01")).taken_back, None);
    assert_eq!(agenda.mark(), at("2026-11-20 12:00"));
}

#[test]
fn wait_ends_also_on_a_clock_that_was_set_back() {
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    agenda.look("job", &nightly(), at("2026-11-20 02:00"));
    agenda.start(date("2026-11-19"));
    agenda.ended(ExitCode::Killed, at("2027-11-20 02:00"));
    assert_eq!(agenda.ready(at("2026-11-20 02:10")), None);
    agenda.look("job", &nightly(), at("2026-11-20 02:10"));
    assert!(agenda.ready(at("2026-11-20 02:13")).is_some());
}

#[test]
fn clock_that_is_set_forward_goes_through_catch_up() {
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    let look = agenda.look("job", &nightly(), at("2026-11-23 00:00"));
    assert_eq!(look.queued.len(), 3);
    let none = Schedule {
        catchup: Catchup::None,
        ..nightly()
    };
    let look = Agenda::new(at("2026-11-20 00:00")).look("job", &none, at("2026-11-23 00:00"));
    assert_eq!((look.queued.len(), look.dropped.len()), (0, 3));
}

#[test]
fn dates_wait_for_one_another_and_never_twice() {
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    agenda.look("job", &nightly(), at("2026-11-20 02:00"));
    agenda.start(date("2026-11-19"));
    assert_eq!(agenda.ready(at("2026-11-20 02:00")), None);
    agenda.look("job", &nightly(), at("2026-11-21 02:00"));
    assert_eq!(agenda.waiting().len(), 1);
    assert_eq!(agenda.ready(at("2026-11-21 02:00")), None, "one at a time");
    agenda.ended(ExitCode::Success, at("2026-11-21 03:00"));
    assert_eq!(agenda.ready(at("2026-11-21 03:00")).unwrap().date, date("2026-11-20"));
    // A date that runs already is not queued by a second fire.
    let halves = schedule("*/30 * * * *", "UTC", 0);
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    agenda.look("job", &halves, at("2026-11-20 00:30"));
    agenda.start(date("2026-11-20"));
    assert!(!agenda.look("job", &halves, at("2026-11-20 01:00")).changed());
}

#[test]
fn no_more_dates_wait_than_may_be_caught_up() {
    let mut agenda = Agenda::new(at("2026-11-01 00:00"));
    let mut given_up = 0;
    for day in 1..=20 {
        let look = agenda.look("job", &nightly(), at(&format!("2026-11-{day:02} 02:00")));
        given_up += look.dropped.len();
    }
    assert_eq!((agenda.waiting().len(), given_up), (7, 13));
    assert_eq!(agenda.waiting()[0].date, date("2026-11-13"));
}

#[test]
fn dates_that_are_looked_at_again_are_no_fires_that_are_given_up() {
    let one = Schedule {
        catchup_max: 1,
        ..nightly()
    };
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    let task = agenda.look("job", &one, at("2026-11-20 02:00")).queued[0];
    agenda.first(agenda.earlier(&one, &task));
    let look = agenda.look("job", &one, at("2026-11-20 02:01"));
    assert_eq!(look.dropped, []);
    let waiting = |agenda: &Agenda| agenda.waiting().iter().map(|task| task.date).collect::<Vec<_>>();
    assert_eq!(
        waiting(&agenda),
        ["2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19"].map(date)
    );
    // The next fire takes the place of the one that still waits, and of none of them.
    let look = agenda.look("job", &one, at("2026-11-21 02:00"));
    assert_eq!(
        look.dropped.iter().map(|dropped| dropped.fire.date).collect::<Vec<_>>(),
        [date("2026-11-19")]
    );
    assert_eq!(
        waiting(&agenda),
        ["2026-11-16", "2026-11-17", "2026-11-18", "2026-11-20"].map(date)
    );
}

#[test]
fn restart_finds_what_was_not_finished() {
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    agenda.look("job", &nightly(), at("2026-11-22 02:00"));
    agenda.start(date("2026-11-19"));
    let unfinished: Vec<_> = agenda.unfinished().copied().collect();
    let again = Agenda::resumed(agenda.mark(), unfinished);
    let dates: Vec<_> = again.waiting().iter().map(|task| task.date).collect();
    assert_eq!(dates, ["2026-11-19", "2026-11-20", "2026-11-21"].map(date));
    agenda.stopped();
    assert_eq!(agenda.waiting().len(), 3, "a stop gives nothing up");
}

#[test]
fn failure_that_may_pass_is_tried_again_and_another_is_not() {
    let now = at("2026-11-20 02:00");
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    agenda.look("job", &nightly(), now);
    for wait in [10, 20, 40] {
        agenda.start(date("2026-11-19"));
        let again = agenda.ended(ExitCode::Killed, now);
        assert_eq!(again, Ended::Again(now + TimeDelta::seconds(wait)));
    }
    agenda.start(date("2026-11-19"));
    assert_eq!(agenda.ended(ExitCode::Killed, now), Ended::Failed);
    assert_eq!(agenda.unfinished().count(), 0);
    agenda.look("job", &nightly(), at("2026-11-21 02:00"));
    agenda.start(date("2026-11-20"));
    assert_eq!(agenda.ended(ExitCode::Model, now), Ended::Failed);
}

#[test]
fn dates_before_a_fire_are_those_of_the_schedule() {
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    let task = agenda.look("job", &nightly(), at("2026-11-20 02:00")).queued[0];
    let earlier: Vec<_> = agenda.earlier(&nightly(), &task).iter().map(|task| task.date).collect();
    assert_eq!(earlier, ["2026-11-16", "2026-11-17", "2026-11-18"].map(date));
    let weekly = schedule("0 2 * * 1", "UTC", -1);
    let mut agenda = Agenda::new(at("2026-11-20 00:00"));
    let task = agenda.look("job", &weekly, at("2026-11-23 02:00")).queued[0];
    assert_eq!(agenda.earlier(&weekly, &task), []);
    let month = Schedule {
        reconcile_days: 14,
        ..weekly
    };
    assert_eq!(agenda.earlier(&month, &task).len(), 2);
}
