//! Every end of the daemon and of its runs, at any moment, with dates that go on all the while.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::thread::sleep;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, SecondsFormat, Utc};
use rustix::process::{Signal, kill_process};

use crate::support::{Watch, variable};

/// Seconds of the soak; `BATCH_INFER_T10` says another number.
const SOAK_SECONDS: u64 = 25;

/// Dates of the days from one to another.
fn days(from: u32, to: u32) -> Vec<String> {
    (from..=to).map(|day| format!("2026-11-{day:02}")).collect()
}

#[test]
fn no_kill_of_the_daemon_or_of_its_runs_makes_a_date_missed_or_doubled() {
    let watch = Watch::at("2026-11-09T12:00:00Z").job("nightly", "0 2 * * *", "UTC", -1, "catchup_max = 30");
    let mut watch = watch.job("other", "30 2 * * *", "Asia/Tokyo", -1, "catchup_max = 30");
    watch = watch
        .variable("BATCH_INFER_DAEMON_MAX_PARALLEL_RUNS", "2")
        .input("2026-11-09", "2026-11-20");
    watch.start();
    watch.until_ready();
    // A day is 3 seconds.
    watch.set_clock("2026-11-09T12:00:00Z", 86_400.0 / 3.0);
    for round in 0..8_u64 {
        sleep(Duration::from_millis(1_100 + 370 * round % 900));
        let children = watch.children();
        if round % 2 == 0 {
            watch.signal(Signal::KILL);
            watch.end();
        }
        if round % 3 != 2 {
            for child in children {
                // It may have ended by itself.
                let _ = kill_process(child, Signal::KILL);
            }
        }
        if round % 2 == 0 {
            watch.start();
        }
    }
    watch.until("the last date", |watch| {
        let now = watch.status()["now"].as_str()?.to_owned();
        (now.as_str() > "2026-11-19T12:00:00Z").then_some(())
    });
    watch.set_clock("2026-11-20T03:00:00Z", 1.0);
    let expected: BTreeMap<_, _> = days(9, 19).into_iter().map(|date| (date, 1)).collect();
    for name in ["nightly", "other"] {
        watch.until_published(name, expected.len());
        assert_eq!(watch.published(name), expected, "{name}\n{}", watch.log());
    }
}

#[test]
fn daemon_that_is_asked_to_stop_leaves_nothing_undone_behind() {
    let watch = Watch::at("2026-11-20T01:59:58Z").job("nightly", "0 2 * * *", "UTC", -1, "reconcile_days = 0");
    let mut watch = watch.input("2026-11-19", "2026-11-19").started();
    watch.until("run", |watch| {
        (!watch.of_job("nightly")["running"].is_null()).then_some(())
    });
    assert_eq!(watch.stop(), Some(0));
    // Stopped or finished, the next start makes it whole.
    watch.set_clock("2026-11-20T02:05:00Z", 1.0);
    watch.start();
    watch.until_ready();
    watch.until_published("nightly", 1);
    watch.expect_published_once("nightly", &["2026-11-19"]);
}

#[test]
fn second_daemon_waits_for_the_end_of_the_first() {
    let first = Watch::at("2026-11-20T01:59:58Z").job("nightly", "0 2 * * *", "UTC", -1, "reconcile_days = 0");
    let mut first = first.input("2026-11-19", "2026-11-20").started();
    let second = first.second();
    second.until("word of the other", |watch| {
        let who = watch.of_job("nightly")["kept_by"].as_str()?.to_owned();
        who.contains(&first.pid().as_raw_nonzero().to_string()).then_some(())
    });
    assert_eq!(second.get("/readyz").0, 503);
    assert!(second.get("/").1.contains("kept by another daemon"));
    assert!(second.log().contains("another daemon keeps this job"));
    first.until_published("nightly", 1);
    assert!(second.runs("nightly").is_empty());
    first.signal(Signal::KILL);
    first.end();
    second.until_ready();
    first.set_clock("2026-11-21T01:59:59Z", 1.0);
    second.until("the next date", |watch| {
        (watch.runs("nightly").len() == 1).then_some(())
    });
    first.expect_published_once("nightly", &["2026-11-19", "2026-11-20"]);
}

#[test]
fn systemd_is_told_when_the_daemon_is_ready_reads_again_and_stops() {
    let watch = Watch::at("2026-11-20T12:00:00Z").job("nightly", "0 2 * * *", "UTC", -1, "");
    let socket = UnixDatagram::bind(watch.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let path = watch.path("notify").to_str().unwrap().to_owned();
    let mut watch = watch.variable("NOTIFY_SOCKET", &path).started();
    let told = || {
        let mut bytes = [0; 1_024];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert_eq!(told().trim(), "READY=1");
    watch.signal(Signal::HUP);
    let reloading = told();
    assert!(
        reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(told().trim(), "READY=1");
    watch.signal(Signal::TERM);
    assert_eq!(told().trim(), "STOPPING=1");
    assert_eq!(watch.end(), Some(0));
}

/// Kilobytes in memory and open files of the daemon.
fn size(watch: &Watch) -> (u64, usize) {
    let process = format!("/proc/{}", watch.pid().as_raw_nonzero());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes = resident.trim().trim_end_matches(" kB").trim().parse().unwrap();
    (kilobytes, fs::read_dir(format!("{process}/fd")).unwrap().count())
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    /// True once in so many throws.
    fn one_of(&mut self, many: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.is_multiple_of(many)
    }
}

/// Kills a run, if one is under way.
fn kill_child(watch: &Watch) -> u32 {
    let killed = watch.children().first().map(|child| kill_process(*child, Signal::KILL));
    killed.is_some_and(|killed| killed.is_ok()).into()
}

#[test]
fn daemon_stays_as_small_as_it_is_while_jobs_fire_each_minute() {
    let seconds = variable("BATCH_INFER_T10").map_or(SOAK_SECONDS, |seconds| seconds.parse().unwrap());
    let names = ["one", "two", "three"];
    let first: NaiveDate = "2026-11-14".parse().unwrap();
    // Twice as many days as go by.
    let last = first + Days::new(seconds / 30 + 5);
    let mut watch = Watch::at("2026-11-15T00:00:00Z").input("2026-11-14", &last.to_string());
    for name in names {
        watch = watch.job(name, "* * * * *", "UTC", -1, "reconcile_days = 0");
    }
    let mut watch = watch.variable("BATCH_INFER_DAEMON_MAX_PARALLEL_RUNS", "2").started();
    // A day is a minute.
    watch.set_clock("2026-11-15T00:00:00Z", 1_440.0);
    let mut dice = Dice(20_261_128);
    let (mut runs_killed, mut daemons_killed) = (0, 0);
    for _ in 0..seconds / 3 {
        sleep(Duration::from_secs(1));
        if dice.one_of(4) {
            runs_killed += kill_child(&watch);
        }
        if dice.one_of(12) {
            watch.signal(Signal::KILL);
            watch.end();
            daemons_killed += 1;
            watch.start();
        }
    }
    watch.until_ready();
    // It has remembered by then as many runs as it remembers.
    sleep(Duration::from_secs(seconds / 9));
    let (before, files_before) = size(&watch);
    for second in 0..seconds * 5 / 9 {
        sleep(Duration::from_secs(1));
        watch.get(if second % 2 == 0 { "/metrics" } else { "/" });
        if dice.one_of(4) {
            runs_killed += kill_child(&watch);
        }
    }
    let (after, files_after) = size(&watch);
    // A run under way has a pipe; kilobytes of 20 runs that are remembered.
    assert!(after <= before + before / 20 + 4_096, "{before} kB became {after} kB");
    assert!(
        files_after <= files_before + 8,
        "{files_before} files became {files_after}"
    );
    let now: DateTime<Utc> = watch.status()["now"].as_str().unwrap().parse().unwrap();
    watch.set_clock(&now.to_rfc3339_opts(SecondsFormat::Secs, true), 1.0);
    let dates = first.iter_days().take_while(|date| *date < now.date_naive());
    let dates: Vec<_> = dates.map(|date| date.to_string()).collect();
    let dates: Vec<_> = dates.iter().map(String::as_str).collect();
    for name in names {
        watch.until_published(name, dates.len());
        watch.expect_published_once(name, &dates);
    }
    println!(
        "T10: {seconds} s, {} dates of each of {} jobs, each published once; {daemons_killed} daemons and {runs_killed} runs killed; \
         {before} kB and {files_before} files became {after} kB and {files_after} files",
        dates.len(),
        names.len()
    );
}
