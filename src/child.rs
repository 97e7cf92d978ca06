//! A run in a process of its own, of this same program: a crash of one date takes neither the others nor whoever started it along.
//!
//! What a child prints on stdout, its report or its error as JSON, is read; its log goes where ours goes.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, kill_process_group};
use serde::Serialize;
use serde_json::Value;
use tokio::process::{Child as Process, Command};

use crate::clock::Clock;
use crate::exit::ExitCode;
use crate::settings::{ProgressMode, Settings, variable_of};
use crate::shutdown::{Shutdown, Signal};

/// This program as it runs, also where its file was replaced meanwhile.
const PROGRAM: &str = "/proc/self/exe";

/// The standard input of a child, as a file that it can open as often as it likes.
const STDIN: &str = "/proc/self/fd/0";

/// Where a child finds its job.
#[derive(Debug, Clone)]
pub enum JobSource {
    /// In a file.
    File(PathBuf),
    /// In this text, which is handed over as an open file that lies in no folder: nobody can edit or sweep it away meanwhile.
    Text(Arc<str>),
}

/// What a child is to run.
#[derive(Debug, Clone)]
pub struct Order {
    /// The job.
    pub job: JobSource,
    /// The settings file.
    pub config: Option<PathBuf>,
    /// Further arguments of `run`.
    pub arguments: Vec<String>,
    /// Variables beside those of this process.
    pub variables: Vec<(String, String)>,
}

/// How a child ended.
#[derive(Debug, Clone, Serialize)]
pub struct Finished {
    /// How the process ended.
    pub exit: ExitCode,
    /// What it printed: its report or its error. Null when it printed neither.
    pub report: Value,
    /// Seconds from start to end.
    pub seconds: f64,
}

/// Variables by which several processes at once share the cores and the memory that one would have, and none draws a bar over the others.
pub fn shares(settings: &Settings, cores: usize, memory: u64, parallel: usize) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut put = |key: &str, value: String| variables.push((variable_of(key), value));
    if matches!(settings.log.progress, ProgressMode::Auto | ProgressMode::Bar) {
        put("log.progress", "lines".to_owned());
    }
    if parallel > 1 && settings.threads.score == 0 {
        put("threads.score", cores.div_ceil(parallel).to_string());
    }
    if parallel > 1 && settings.line.memory.is_none() {
        put("line.memory", format!("{}B", (memory / parallel as u64).max(1)));
    }
    variables
}

impl Finished {
    /// No process could be started.
    pub fn not_started() -> Self {
        Self {
            exit: ExitCode::Internal,
            report: Value::Null,
            seconds: 0.0,
        }
    }
}

impl Order {
    /// Runs a date and waits for its end. When this process is asked to stop, so is the child, which then keeps what it has finished.
    pub async fn run(
        &self,
        date: NaiveDate,
        scheduled: Option<DateTime<Utc>>,
        shutdown: &Shutdown,
        clock: &dyn Clock,
    ) -> io::Result<Finished> {
        let started = clock.monotonic();
        let process = self.command(date, scheduled)?.spawn()?;
        let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (status, printed) = tokio::select! {
            done = output(process) => done?,
            never = pass_on(shutdown, group) => never,
        };
        Ok(Finished {
            exit: exit(status),
            report: serde_json::from_slice(&printed).unwrap_or_default(),
            seconds: seconds(clock.monotonic().saturating_sub(started)),
        })
    }

    /// Variables of a child whose parent says how all of them went.
    pub fn alone() -> [(String, String); 4] {
        [
            ("BATCH_INFER_SUMMARY_FILE", ""),
            ("BATCH_INFER_TASK_SUMMARY_FILE", "off"),
            ("BATCH_INFER_TASK_XCOM", "off"),
            ("BATCH_INFER_TASK_TERMINATION_LOG", "off"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }

    fn command(&self, date: NaiveDate, scheduled: Option<DateTime<Utc>>) -> io::Result<Command> {
        let (job, stdin) = match &self.job {
            JobSource::File(file) => (file.as_path(), Stdio::null()),
            JobSource::Text(text) => (Path::new(STDIN), in_memory(text)?.into()),
        };
        let mut command = Command::new(PROGRAM);
        command
            .arg0("batch-infer")
            .args(["run", "--format", "json", "--date", &date.to_string(), "--job"])
            .arg(job)
            .args(self.config.iter().flat_map(|config| [Path::new("--config"), config]))
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(Stdio::piped())
            // A daemon under test has a clock of its own.
            .env_remove("BATCH_INFER_TEST_CLOCK")
            // Not in our group: Ctrl-C would reach it twice, from the terminal and from us, and the second signal ends it at once.
            .process_group(0);
        if let Some(at) = scheduled {
            command.env(
                "BATCH_INFER_SCHEDULED_TIME",
                at.to_rfc3339_opts(SecondsFormat::Secs, true),
            );
        }
        Ok(command)
    }
}

/// A file that is nowhere but in memory.
fn in_memory(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("job.toml", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Waits until the process ends; what it printed, and how it ended.
async fn output(process: Process) -> io::Result<(ExitStatus, Vec<u8>)> {
    let output = process.wait_with_output().await?;
    Ok((output.status, output.stdout))
}

/// Passes on the request to stop, and a second one. Never ends: the child does.
async fn pass_on<T>(shutdown: &Shutdown, group: Option<Pid>) -> T {
    let signal = match shutdown.wait().await {
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Terminate | Signal::Deadline => rustix::process::Signal::TERM,
    };
    if let Some(group) = group {
        // It may have ended by itself.
        let _ = kill_process_group(group, signal);
    }
    std::future::pending().await
}

/// How a process ended, as a code of ours.
fn exit(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let known = ExitCode::ALL.into_iter().find(|exit| Some(exit.code()) == code);
    match (known, status.code()) {
        (Some(exit), _) => exit,
        (None, Some(_)) => ExitCode::Internal,
        // By a signal.
        (None, None) => ExitCode::Killed,
    }
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}
