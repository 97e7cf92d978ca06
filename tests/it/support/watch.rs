//! A daemon under test: a folder of jobs, a clock that the test owns, and what there is to see of it from outside.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Features, Models, process};

/// Looks before something that should happen is given up, and the time between two.
const LOOKS: u32 = 1_800;
const LOOK: Duration = Duration::from_millis(100);

/// A daemon and its folder.
pub(crate) struct Watch {
    home: Arc<TempDir>,
    address: String,
    /// When the clock begins to run.
    begin: String,
    variables: Vec<(String, String)>,
    child: Option<Child>,
}

impl Watch {
    /// A folder without jobs, at a time. The clock stands still until the daemon has begun to watch it.
    pub(crate) fn at(time: &str) -> Self {
        let home = Arc::new(TempDir::with_prefix("batch-infer-daemon-").unwrap());
        Models::copied("sample_data/models", "fraud-detector", home.path().join("models"));
        fs::create_dir(home.path().join("jobs")).unwrap();
        let address = free_address();
        let watch = Self {
            home,
            address,
            begin: time.to_owned(),
            variables: Vec::new(),
            child: None,
        };
        watch.set_clock(time, 0.0);
        watch
    }

    /// A file of a job, with further keys of its schedule.
    pub(crate) fn job(self, name: &str, cron: &str, zone: &str, offset: i32, further: &str) -> Self {
        self.write_job(
            name,
            &format!("cron = '{cron}'\ntimezone = '{zone}'\ndate_offset_days = {offset}\n{further}"),
        );
        self
    }

    pub(crate) fn write_job(&self, name: &str, schedule: &str) {
        let text = format!(
            "version = 1\nname = '{name}'\ninput.path = 'features/date={{date}}'\ninput.keys = ['transaction_id']\n\
             model.registry = 'models'\nmodel.name = 'fraud-detector'\nmodel.version = 'latest'\n\
             output.path = 'predictions/{name}'\n[schedule]\n{schedule}\n"
        );
        fs::write(self.path(&format!("jobs/{name}.toml")), text).unwrap();
    }

    /// Input for dates from one to another.
    pub(crate) fn input(self, from: &str, to: &str) -> Self {
        let last: NaiveDate = to.parse().unwrap();
        let first: NaiveDate = from.parse().unwrap();
        for date in first.iter_days().take_while(|date| *date <= last) {
            let folder = self.path(&format!("features/date={date}"));
            fs::create_dir_all(&folder).unwrap();
            Features::new().rows(10).write(&folder);
        }
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Sets the daemon's clock, and how fast it runs.
    pub(crate) fn set_clock(&self, time: &str, speed: f64) {
        let stamp = tempfile::tempfile().unwrap().metadata().unwrap().modified().unwrap();
        let now = DateTime::<Utc>::from(stamp).to_rfc3339_opts(SecondsFormat::Millis, true);
        let fresh = self.path("clock.fresh");
        fs::write(&fresh, format!("{time} {now} {speed}")).unwrap();
        fs::rename(fresh, self.path("clock")).unwrap();
    }

    pub(crate) fn start(&mut self) -> &mut Self {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = process(self.home.path());
        let command = command
            .args(["daemon", "jobs", "--listen", &self.address])
            .env("BATCH_INFER_TEST_CLOCK", self.path("clock"))
            .env("BATCH_INFER_LOG_PROGRESS", "off")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
        self
    }

    /// Starts it, waits until it is ready, and lets the clock run.
    pub(crate) fn started(mut self) -> Self {
        self.start();
        self.until_ready();
        self.set_clock(&self.begin, 1.0);
        self
    }

    /// One more daemon over the same folder, with the same clock.
    pub(crate) fn second(&self) -> Self {
        let mut second = Self {
            home: Arc::clone(&self.home),
            address: free_address(),
            begin: self.begin.clone(),
            variables: self.variables.clone(),
            child: None,
        };
        second.start();
        second
    }

    pub(crate) fn until_ready(&self) {
        self.until("ready", |watch| (watch.get("/readyz").0 == 200).then_some(()));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.as_ref().unwrap().id()).unwrap()).unwrap()
    }

    /// Waits for its end; the exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.child.take().unwrap().wait().unwrap().code()
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Processes that it has started.
    pub(crate) fn children(&self) -> Vec<Pid> {
        let parent = self.pid().as_raw_nonzero().to_string();
        let of_parent = |stat: &str| {
            stat.rsplit(')')
                .next()?
                .split_whitespace()
                .nth(1)
                .map(|id| id == parent)
        };
        let entries = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        entries
            .filter(|id| {
                fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| of_parent(&stat) == Some(true))
            })
            .filter_map(|id| Pid::from_raw(id.parse().ok()?))
            .collect()
    }

    /// Status and body of one of its pages; status 0 when nobody answers.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path)
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let answer = TcpStream::connect(&self.address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nHost: daemon\r\nConnection: close\r\n\r\n"
            )?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        });
        let answer = answer.unwrap_or_default();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").1).unwrap_or_default()
    }

    /// What the status says of a job.
    pub(crate) fn of_job(&self, name: &str) -> Value {
        let status = self.status();
        let jobs = status["jobs"].as_array().cloned().unwrap_or_default();
        jobs.into_iter().find(|job| job["name"] == name).unwrap_or_default()
    }

    /// Dates of the runs that have ended, oldest first, since the daemon was started.
    pub(crate) fn runs(&self, name: &str) -> Vec<(String, String, u64)> {
        let job = self.of_job(name);
        let runs = job["runs"].as_array().cloned().unwrap_or_default();
        let text = |run: &Value, key: &str| run[key].as_str().unwrap_or_default().to_owned();
        let run = |run: &Value| {
            (
                text(run, "date"),
                text(run, "scheduled"),
                run["exit_code"].as_u64().unwrap_or(999),
            )
        };
        runs.iter().rev().map(run).collect()
    }

    /// Dates of a job that readers see, and how often each was published.
    pub(crate) fn published(&self, name: &str) -> BTreeMap<String, usize> {
        let files = self.path(&format!("predictions/{name}/date=*/part-00000.parquet"));
        let dates = glob::glob(files.to_str().unwrap()).unwrap().map(|file| {
            let folder = file
                .unwrap()
                .parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            folder.trim_start_matches("date=").to_owned()
        });
        let records = |date: &str| {
            let pattern = self.path(&format!(
                "predictions/{name}.batch-infer/v1/{name}/date={date}/published/*.json"
            ));
            glob::glob(pattern.to_str().unwrap()).unwrap().count()
        };
        dates.map(|date| (date.clone(), records(&date))).collect()
    }

    /// Each of these dates is published once, and no other.
    #[track_caller]
    pub(crate) fn expect_published_once(&self, name: &str, dates: &[&str]) {
        let expected: BTreeMap<_, _> = dates.iter().map(|date| ((*date).to_owned(), 1)).collect();
        assert_eq!(self.published(name), expected, "{name}\n{}", self.log());
    }

    /// What comes of a look, as soon as there is something.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        for _ in 0..LOOKS {
            if let Some(found) = look(self) {
                return found;
            }
            sleep(LOOK);
        }
        panic!("no {what}: {:#}\n{}", self.status(), self.log());
    }

    /// Waits until so many dates of a job are published and nothing is left to do.
    #[track_caller]
    pub(crate) fn until_published(&self, name: &str, dates: usize) {
        self.until(&format!("{dates} dates of {name}"), |watch| {
            let job = watch.of_job(name);
            let idle = job["running"].is_null() && job["waiting"] == serde_json::json!([]);
            (idle && watch.published(name).len() >= dates).then_some(())
        });
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// An address of this machine at which nobody listens.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.child.is_some() {
            let children = self.children();
            let mut child = self.child.take().unwrap();
            let _ = child.kill();
            let _ = child.wait();
            for process in children {
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }
}
