//! What the daemon tells over HTTP: whether it lives, what it does, and metrics.

use serde_json::Value;

use crate::announce::expect_well_formed;
use crate::support::Watch;

fn published() -> Watch {
    let watch =
        Watch::at("2026-11-20T01:59:58Z").job("nightly", "0 2 * * *", "Europe/Lisbon", -1, "reconcile_days = 0");
    let watch = watch
        .job("weekly", "0 3 * * MON", "UTC", -1, "")
        .input("2026-11-19", "2026-11-19")
        .started();
    watch.until_published("nightly", 1);
    watch
}

#[test]
fn pages_tell_what_the_daemon_knows_and_take_nothing() {
    let watch = published();
    for page in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(watch.get(page), (200, "ok\n".to_owned()), "{page}");
    }
    let (code, overview) = watch.get("/");
    assert_eq!(code, 200);
    for part in [
        "nightly",
        "weekly",
        "Europe/Lisbon",
        "2026-11-19",
        "/jobs/nightly/2026-11-19",
        "next",
        "published",
    ] {
        assert!(overview.contains(part), "`{part}` is not in {overview}");
    }
    let (code, report) = watch.get("/jobs/nightly/2026-11-19");
    assert!(
        code == 200 && report.contains("publication 2") && report.contains("&quot;rows&quot;"),
        "{report}"
    );
    let (_, nothing) = watch.get("/jobs/nightly/2026-11-18");
    assert!(nothing.contains("No run of this date has published"), "{nothing}");
    for unknown in [
        "/jobs/other/2026-11-19",
        "/jobs/nightly/x",
        "/../etc/passwd",
        "/nothing",
        "/jobs/nightly",
    ] {
        assert_eq!(watch.get(unknown).0, 404, "{unknown}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(watch.ask(method, "/").0, 405, "{method}");
    }
}

#[test]
fn status_is_a_document_for_machines() {
    let watch = published();
    let job: Value = watch.of_job("nightly");
    let run = &job["runs"][0];
    assert_eq!(
        (&run["exit_code"], &run["rows_out"], &run["outcome"]),
        (&0.into(), &10.into(), &"published".into())
    );
    assert_eq!(job["published"][0]["date"], "2026-11-19");
    assert_eq!(job["schedule"]["coming"][0]["date"], "2026-11-20");
    assert_eq!(
        watch.of_job("weekly")["schedule"]["coming"][0]["at"],
        "2026-11-23T03:00:00Z"
    );
}

#[test]
fn what_was_scored_stays_while_later_runs_find_their_date_published() {
    let watch = Watch::at("2026-11-20T01:59:57Z").job("often", "* * * * *", "UTC", -1, "reconcile_days = 0");
    let watch = watch.input("2026-11-19", "2026-11-19").started();
    watch.until_published("often", 1);
    let read = "batch_infer_rows{job_name=\"often\",model=\"fraud-detector\",result=\"read\"} 10";
    assert!(watch.get("/metrics").1.contains(read), "{}", watch.get("/metrics").1);
    watch.set_clock("2026-11-20T02:00:59Z", 1.0);
    watch.until("second run", |watch| (watch.runs("often").len() >= 2).then_some(()));
    assert_eq!(watch.of_job("often")["runs"][0]["outcome"], "already_published");
    assert!(watch.get("/metrics").1.contains(read), "{}", watch.get("/metrics").1);
}

#[test]
fn metrics_are_well_formed_and_say_how_each_job_went() {
    let watch = published();
    let (code, text) = watch.get("/metrics");
    assert_eq!(code, 200);
    expect_well_formed(&text);
    let of = "job_name=\"nightly\",model=\"fraud-detector\"";
    for line in [
        format!("batch_infer_rows{{{of},result=\"scored\"}} 10"),
        format!("batch_infer_last_exit_code{{{of}}} 0"),
        "batch_infer_runs_total{exit_code=\"0\",job_name=\"nightly\"} 1".to_owned(),
        "batch_infer_running{job_name=\"nightly\"} 0".to_owned(),
        "batch_infer_waiting_dates{job_name=\"weekly\"} 0".to_owned(),
        "batch_infer_last_reload_failed 0".to_owned(),
    ] {
        assert!(text.contains(&line), "`{line}` is not in\n{text}");
    }
    assert!(
        text.contains("batch_infer_last_success_timestamp_seconds{job_name=\"nightly\""),
        "{text}"
    );
}

#[test]
fn daemon_that_stops_is_not_ready_any_more_and_ends_well() {
    let mut watch = published();
    assert_eq!(watch.stop(), Some(0));
    assert_eq!(watch.get("/livez").0, 0);
}
