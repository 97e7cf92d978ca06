//! Job files that change while the daemon runs, and sets of them that cannot be used.

use std::fs;

use batch_infer::exit::ExitCode;
use rustix::process::Signal;

use crate::support::{Watch, process};

fn names(watch: &Watch) -> Vec<String> {
    let status = watch.status();
    let jobs = status["jobs"].as_array().cloned().unwrap_or_default();
    jobs.iter()
        .map(|job| job["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn files_are_read_again_on_sighup_while_runs_go_on() {
    let watch = Watch::at("2026-11-20T01:59:57Z").job("first", "0 2 * * *", "UTC", -1, "reconcile_days = 0");
    let watch = watch.input("2026-11-19", "2026-11-21").started();
    watch.until("run", |watch| {
        (!watch.of_job("first")["running"].is_null()).then_some(())
    });
    watch.write_job("second", "cron = '0 3 * * *'\ndate_offset_days = -1\n");
    watch.signal(Signal::HUP);
    watch.until("second job", |watch| {
        (names(watch) == ["first", "second"]).then_some(())
    });
    watch.until_published("first", 1);

    // A mistake in one file leaves all as they were, also for runs that start now.
    watch.write_job("first", "cron = '0 25 * * *'\ndate_offset_days = -1\n");
    fs::write(watch.path("jobs/second.toml"), "name = ").unwrap();
    watch.signal(Signal::HUP);
    let refused = watch.until("refusal", |watch| watch.status()["refused"].as_str().map(str::to_owned));
    assert!(
        refused.contains("schedule.cron") && refused.contains("0 25"),
        "{refused}"
    );
    assert_eq!(names(&watch), ["first", "second"]);
    assert!(watch.get("/").1.contains("refused"), "people see it");
    assert!(watch.get("/metrics").1.contains("batch_infer_last_reload_failed 1"));
    watch.set_clock("2026-11-21T01:59:59Z", 1.0);
    watch.until_published("first", 2);
    watch.expect_published_once("first", &["2026-11-19", "2026-11-20"]);

    // Mended, it is in force; a job whose file is gone is gone.
    watch.write_job(
        "first",
        "cron = '0 4 * * *'\ndate_offset_days = -1\nreconcile_days = 0\n",
    );
    fs::remove_file(watch.path("jobs/second.toml")).unwrap();
    watch.signal(Signal::HUP);
    watch.until("one job", |watch| (names(watch) == ["first"]).then_some(()));
    assert!(watch.status()["refused"].is_null());
    assert_eq!(watch.of_job("first")["schedule"]["cron"], "0 4 * * *");
    assert_eq!(watch.runs("first").len(), 2, "what is known of a job is kept");
}

#[test]
fn runs_need_no_folder_for_temporary_files() {
    let watch = Watch::at("2026-11-20T01:59:58Z").job("first", "0 2 * * *", "UTC", -1, "reconcile_days = 0");
    let nowhere = watch.path("nowhere").to_str().unwrap().to_owned();
    let watch = watch.variable("TMPDIR", &nowhere).input("2026-11-19", "2026-11-19");
    let watch = watch.started();
    // What is in the folder now is in nobody's hands before it is read again.
    fs::write(watch.path("jobs/first.toml"), "half a fi").unwrap();
    watch.until_published("first", 1);
    watch.expect_published_once("first", &["2026-11-19"]);
}

#[test]
fn daemon_does_not_begin_with_files_that_cannot_be_used() {
    for (files, text) in [
        (&[][..], "there is no job file"),
        (&[("a.toml", "version = 1")], "`name` is missing"),
    ] {
        let watch = Watch::at("2026-11-20T02:00:00Z");
        for (name, content) in files {
            fs::write(watch.path("jobs").join(name), content).unwrap();
        }
        let output = process(&watch.path(""))
            .args(["daemon", "jobs", "--listen", "off"])
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(ExitCode::Config.code().into()), "{message}");
        assert!(message.contains(text), "{message}");
    }
    let watch = Watch::at("2026-11-20T02:00:00Z").job("twice", "0 2 * * *", "UTC", -1, "");
    fs::copy(watch.path("jobs/twice.toml"), watch.path("jobs/other.toml")).unwrap();
    let output = process(&watch.path(""))
        .args(["daemon", "jobs", "--listen", "off"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("are both named `twice`"));
}
