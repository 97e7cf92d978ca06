//! `schedule next`: the coming times, and the date that each scores.

use serde_json::Value;

use crate::support::{JobFixture, now};

fn scheduled(cron: &str, zone: &str, offset: i32) -> JobFixture {
    JobFixture::new()
        .without_features()
        .job("schedule.cron", &format!("'{cron}'"))
        .job("schedule.timezone", &format!("'{zone}'"))
        .job("schedule.date_offset_days", &offset.to_string())
}

#[track_caller]
fn said(fixture: &JobFixture, arguments: &[&str]) -> String {
    let output = fixture.command("schedule next").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .replace(batch_infer::schedule::ZONE_DATA, "EDITION")
}

#[test]
fn coming_times_are_shown_in_the_zone_and_in_utc_with_their_dates() {
    let fixture = scheduled("30 2 * * *", "America/New_York", -1);
    insta::assert_snapshot!(said(&fixture, &["-n", "3", "--after", "2026-03-07"]), @"
    fraud-detector: 30 2 * * * in America/New_York (zone data EDITION), date_offset_days -1
      fires                      UTC                   scores
      2026-03-07T02:30:00-05:00  2026-03-07T07:30:00Z  2026-03-06
      2026-03-08T03:00:00-04:00  2026-03-08T07:00:00Z  2026-03-07  (clocks skip 2026-03-08 02:30)
      2026-03-09T02:30:00-04:00  2026-03-09T06:30:00Z  2026-03-08
    ");
}

#[test]
fn machine_gets_the_same_as_a_document() {
    let fixture = scheduled("0 2 * * *", "Asia/Kolkata", 0);
    let said = said(&fixture, &["--after", "2026-11-20T00:00:00Z", "--format", "json"]);
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(shown["fires"].as_array().unwrap().len(), 5);
    let first = &shown["fires"][0];
    assert_eq!(
        (&first["at"], &first["local"], &first["date"]),
        (
            &"2026-11-20T20:30:00Z".into(),
            &"2026-11-21T02:00:00+05:30".into(),
            &"2026-11-21".into()
        )
    );
}

#[test]
fn line_that_may_mean_more_than_it_seems_is_warned_of() {
    let fixture = scheduled("0 2 13 * FRI", "UTC", -1);
    assert!(said(&fixture, &[]).contains("warning: day of month and day of week are both restricted"));
    assert!(!said(&scheduled("0 2 13 * *", "UTC", -1), &[]).contains("warning"));
}

#[test]
fn now_is_where_it_begins() {
    let shown: Value = serde_json::from_str(&said(
        &scheduled("* * * * *", "UTC", 0),
        &["-n", "1", "--format", "json"],
    ))
    .unwrap();
    let first: chrono::DateTime<chrono::Utc> = shown["fires"][0]["at"].as_str().unwrap().parse().unwrap();
    let wait = first.timestamp() - now();
    assert!((-60..=60).contains(&wait), "{shown:#}");
}

#[test]
fn what_cannot_be_shown_is_refused() {
    for (fixture, arguments, code, text) in [
        (JobFixture::new().without_features(), &[][..], 10, "has no [schedule]"),
        (
            scheduled("0 2 * * *", "UTC", 0),
            &["--after", "soon"],
            2,
            "neither a point in time nor a date",
        ),
        (
            scheduled("TZ=UTC 0 2 * * *", "UTC", 0),
            &[],
            10,
            "`schedule.cron` names a zone",
        ),
        (scheduled("0 2 31 2 *", "UTC", 0), &[], 10, "never fires"),
        (scheduled("0 2 * * *", "Mars/Olympus", 0), &[], 10, "no IANA name"),
        (
            scheduled("0 2 * * *", "UTC", 0).job("schedule.catchup_max", "0"),
            &[],
            10,
            "expected at least 1",
        ),
        (
            scheduled("0 2 * * *", "UTC", 0).job("schedule.jitter", "'much'"),
            &[],
            10,
            "schedule.jitter",
        ),
        (scheduled("0 2 * * *", "UTC", 400), &[], 10, "schedule.date_offset_days"),
    ] {
        let output = fixture.command("schedule next").args(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{message}");
        assert!(message.contains(text), "`{text}` is not in {message}");
    }
}
