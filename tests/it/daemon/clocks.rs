//! Downtime, nights on which clocks change, clocks that are set, and many jobs in one minute.

use std::thread::sleep;
use std::time::Duration;

use crate::support::Watch;

const NIGHTLY: &str = "0 2 * * *";

/// Longer than the daemon needs to notice what it should not act on.
const A_WHILE: Duration = Duration::from_secs(2);

#[test]
fn first_start_catches_nothing_up_and_the_next_fire_is_run() {
    let watch = Watch::at("2026-11-20T01:59:57Z").job("nightly", NIGHTLY, "UTC", -1, "reconcile_days = 0");
    let mut watch = watch.input("2026-11-10", "2026-11-20").started();
    watch.until_published("nightly", 1);
    watch.expect_published_once("nightly", &["2026-11-19"]);
    assert_eq!(
        watch.runs("nightly"),
        [("2026-11-19".to_owned(), "2026-11-20T02:00:00Z".to_owned(), 0)]
    );
    assert_eq!(watch.stop(), Some(0));
}

#[test]
fn dates_of_a_downtime_are_caught_up_oldest_first() {
    let watch = Watch::at("2026-11-15T12:00:00Z").job("nightly", NIGHTLY, "UTC", -1, "reconcile_days = 0");
    let mut watch = watch.input("2026-11-10", "2026-11-25").started();
    assert_eq!(watch.stop(), Some(0));
    watch.set_clock("2026-11-18T12:00:00Z", 1.0);
    watch.start();
    watch.until_ready();
    watch.until_published("nightly", 3);
    let dates: Vec<_> = watch.runs("nightly").into_iter().map(|(date, ..)| date).collect();
    assert_eq!(dates, ["2026-11-15", "2026-11-16", "2026-11-17"]);
    watch.expect_published_once("nightly", &["2026-11-15", "2026-11-16", "2026-11-17"]);
}

#[test]
fn night_without_the_hour_is_run_once() {
    let watch =
        Watch::at("2026-03-08T06:59:00Z").job("spring", "30 2 * * *", "America/New_York", -1, "reconcile_days = 0");
    let watch = watch.input("2026-03-06", "2026-03-08").started();
    watch.set_clock("2026-03-08T06:59:00Z", 900.0);
    watch.until_published("spring", 1);
    // Past 02:30 of the clocks that have gone on.
    watch.set_clock("2026-03-08T06:59:50Z", 1_200.0);
    sleep(A_WHILE * 2);
    watch.expect_published_once("spring", &["2026-03-07"]);
    assert_eq!(
        watch.runs("spring"),
        [("2026-03-07".to_owned(), "2026-03-08T07:00:00Z".to_owned(), 0)]
    );
}

#[test]
fn night_with_the_hour_twice_is_run_once() {
    let watch =
        Watch::at("2026-11-01T05:29:00Z").job("autumn", "30 1 * * *", "America/New_York", -1, "reconcile_days = 0");
    let watch = watch.input("2026-10-30", "2026-11-01").started();
    watch.set_clock("2026-11-01T05:29:00Z", 900.0);
    watch.until_published("autumn", 1);
    // Past 06:30, when clocks show 01:30 once more.
    watch.set_clock("2026-11-01T06:29:30Z", 20.0);
    sleep(A_WHILE * 2);
    assert_eq!(
        watch.runs("autumn"),
        [("2026-10-31".to_owned(), "2026-11-01T05:30:00Z".to_owned(), 0)]
    );
}

#[test]
fn clock_that_is_set_back_runs_nothing_again_and_forward_misses_nothing() {
    let watch = Watch::at("2026-11-20T01:59:58Z").job("nightly", NIGHTLY, "UTC", -1, "reconcile_days = 0");
    let watch = watch.input("2026-11-10", "2026-11-25").started();
    watch.until_published("nightly", 1);
    for back in ["2026-11-20T01:59:58Z", "2026-11-19T01:59:59Z"] {
        watch.set_clock(back, 1.0);
        sleep(A_WHILE * 2);
        assert_eq!(watch.runs("nightly").len(), 1, "set back to {back}");
    }
    watch.set_clock("2026-11-23T12:00:00Z", 1.0);
    watch.until_published("nightly", 4);
    watch.expect_published_once("nightly", &["2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22"]);
    assert_eq!(watch.runs("nightly").len(), 4);
}

#[test]
fn clock_that_was_years_ahead_is_told_and_silences_nothing() {
    let watch = Watch::at("2026-11-20T01:59:58Z").job("nightly", NIGHTLY, "UTC", -1, "reconcile_days = 0");
    let watch = watch.input("2026-11-19", "2026-11-25").started();
    watch.until_published("nightly", 1);
    watch.set_clock("2026-11-20T01:00:00Z", 1.0);
    watch.until("word of the clock", |watch| {
        watch.log().contains("the clock was set back").then_some(())
    });
    assert_eq!(
        watch.of_job("nightly")["schedule"]["coming"][0]["at"],
        "2026-11-21T02:00:00Z"
    );
    watch.set_clock("2030-03-01T12:00:00Z", 1.0);
    watch.until("dates of 2030", |watch| {
        let waiting = watch.of_job("nightly")["waiting"].as_array()?.len();
        (waiting > 0).then_some(())
    });
    watch.set_clock("2026-11-20T12:00:00Z", 1.0);
    watch.until("word of the mark", |watch| {
        watch.log().contains("the clock was wrong then").then_some(())
    });
    watch.set_clock("2026-11-21T01:59:59Z", 1.0);
    watch.until_published("nightly", 2);
    watch.expect_published_once("nightly", &["2026-11-19", "2026-11-20"]);
}

#[test]
fn earlier_dates_that_were_never_published_come_first() {
    let watch = Watch::at("2026-11-20T01:59:58Z").job("nightly", NIGHTLY, "UTC", -1, "");
    // The input of the 17th never came.
    let watch = watch
        .input("2026-11-16", "2026-11-16")
        .input("2026-11-18", "2026-11-19")
        .started();
    watch.until_published("nightly", 3);
    let runs: Vec<_> = watch
        .runs("nightly")
        .into_iter()
        .map(|(date, _, exit)| (date, exit))
        .collect();
    let expected = [
        ("2026-11-16", 0),
        ("2026-11-17", 14),
        ("2026-11-18", 0),
        ("2026-11-19", 0),
    ];
    assert_eq!(runs, expected.map(|(date, exit)| (date.to_owned(), exit)));
    assert_eq!(
        watch.of_job("nightly")["waiting"],
        serde_json::json!([]),
        "what is not there is not waited for"
    );
}

#[test]
fn fifty_jobs_of_one_minute_are_each_run_once_and_never_too_many_at_a_time() {
    let mut watch = Watch::at("2026-11-20T01:59:55Z");
    let names: Vec<_> = (0..50).map(|number| format!("job-{number:02}")).collect();
    for name in &names {
        watch = watch.job(name, NIGHTLY, "UTC", -1, "reconcile_days = 0");
    }
    let watch = watch
        .variable("BATCH_INFER_DAEMON_MAX_PARALLEL_RUNS", "3")
        .input("2026-11-19", "2026-11-19")
        .started();
    let mut most = 0;
    let done = |watch: &Watch| names.iter().filter(|name| watch.runs(name).len() == 1).count();
    while done(&watch) < 50 {
        let jobs = watch.status()["jobs"].as_array().cloned().unwrap_or_default();
        most = most.max(jobs.iter().filter(|job| !job["running"].is_null()).count());
        sleep(Duration::from_millis(200));
    }
    assert!((1..=3).contains(&most), "{most} at a time");
    for name in &names {
        watch.expect_published_once(name, &["2026-11-19"]);
    }
}
