//! What the commands share: settings, logs, the terminal, and where answers go.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;
use tracing::info;

use super::args::{Common, Format, JobArgs, JobFile};
use super::validate::ANY_DATE;
use crate::announce::Channels;
use crate::clock::{Clock, SystemClock};
use crate::date::{self, Known, Origin};
use crate::document::Document;
use crate::error::{Error, Seam};
use crate::events::{Event, Monitor};
use crate::exit::ExitCode;
use crate::machine::Machine;
use crate::progress::{self, Screen};
use crate::run::Surroundings;
use crate::settings::{self, Flag, LogFormat, Settings, Shown};
use crate::shutdown::Shutdown;
use crate::telemetry::{self, Redacting, Redactor};
use crate::validate::{self, Job};

/// Threads that wait for stores. They only pass bytes on, so two serve any number of cores.
const IO_THREADS: usize = 2;

/// The flag `--device` as a setting.
pub(super) fn device_flag(device: Option<&str>) -> Vec<Flag<'_>> {
    device
        .map(|device| ("--device", "device.kind", device))
        .into_iter()
        .collect()
}

/// Panics are said without secrets, too: they may quote what a store said.
pub(super) fn clean_panics() {
    panic::set_hook(Box::new(|panic| {
        let redactor = Redactor::new(settings::secrets());
        let name = thread::current().name().unwrap_or("of no name").to_owned();
        let _ = writeln!(stderr(), "thread {name}: {}", redactor.clean(&panic.to_string()));
    }));
}

/// What the commands share.
pub(super) struct Context {
    config: Option<PathBuf>,
    format: Format,
    quiet: bool,
    runtime: OnceLock<Runtime>,
}

/// Logs, progress and signals of a command that works for a while.
pub(super) struct Terminal<'a> {
    context: &'a Context,
    monitor: Box<dyn Monitor>,
    shutdown: Shutdown,
    machine: Machine,
    clock: Arc<dyn Clock>,
}

impl Context {
    pub(super) fn new(common: &Common) -> Self {
        Self {
            config: common.config.clone(),
            format: common.format,
            quiet: common.quiet,
            runtime: OnceLock::new(),
        }
    }

    /// The settings file.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Whether little is to be said.
    pub(super) fn quiet(&self) -> bool {
        self.quiet
    }

    /// The settings in force: flag over environment over file over default.
    pub(super) fn settings(&self, flags: &[Flag<'_>]) -> Result<Settings, Error> {
        let mut flags = flags.to_vec();
        if self.quiet {
            flags.push(("--quiet", "log.level", "warn"));
            flags.push(("--quiet", "log.progress", "off"));
        }
        settings::load(self.config.as_deref(), &flags)
    }

    /// The settings in force and where each came from.
    pub(super) fn shown_settings(&self) -> Result<Shown, Error> {
        settings::show(self.config.as_deref(), &[])
    }

    /// A job file for a date.
    #[expect(clippy::unused_self, reason = "one door for all that commands read")]
    pub(super) fn job(&self, file: &JobFile, date: NaiveDate) -> Result<Job, Error> {
        let mut document = Document::open("job file", &file.job)?;
        for argument in &file.set {
            document.set(argument);
        }
        Ok(validate::read(&document, date)?)
    }

    /// A job file for the date that was asked for, else for the one of the time for which this run was scheduled.
    pub(super) fn dated(&self, args: &JobArgs) -> Result<Job, Error> {
        let (scheduled_time, kubernetes_job) = (settings::scheduled_time(), settings::kubernetes_job());
        let known = Known {
            asked: args.date,
            scheduled_time: scheduled_time.as_deref(),
            kubernetes_job: kubernetes_job.as_deref(),
            relative: args.allow_relative_date || stderr().is_terminal(),
            now: SystemClock.now(),
        };
        let dated = date::resolve(&known, || self.job(&args.file, ANY_DATE).map(|job| job.schedule))?;
        if dated.origin != Origin::Asked {
            info!(date = %dated.date, origin = dated.origin.text(), "scoring the date of the scheduled time");
        }
        self.job(&args.file, dated.date)
    }

    /// Where asynchronous work runs.
    pub(super) fn runtime(&self) -> Result<&Runtime, Error> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let built = builder
            .worker_threads(IO_THREADS)
            .thread_name("io")
            .enable_all()
            .build();
        let runtime = built.map_err(|source| RuntimeError { source })?;
        Ok(self.runtime.get_or_init(|| runtime))
    }

    /// Starts logs and progress, and listens for signals.
    pub(super) fn terminal(&self, settings: &Settings) -> Result<Terminal<'_>, Error> {
        let machine = Machine::here();
        let clock = clock();
        let terminal = stderr().is_terminal();
        let screen = Screen::stderr();
        let log = &settings.log;
        let monitor = progress::monitor(log.progress, terminal, &screen, Arc::clone(&clock), log.interval);
        let format = log
            .format
            .unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
        let writer = Redacting::new(screen, Redactor::new(settings::secrets()));
        telemetry::init(&log.level, format, terminal && !settings::no_color(), writer)?;
        let shutdown = Shutdown::listen(self.runtime()?.handle())?;
        Ok(Terminal {
            context: self,
            monitor,
            shutdown,
            machine,
            clock,
        })
    }

    /// Prints an answer in the form that was asked for.
    pub(super) fn print(&self, facts: &impl Serialize, text: &str) {
        match self.format {
            Format::Text => self.write(text),
            Format::Json => {
                let json = serde_json::to_string_pretty(facts).unwrap_or_default();
                self.write(&format!("{json}\n"));
            }
        }
    }

    /// Writes to stdout. A closed pipe is the reader's choice.
    #[expect(clippy::unused_self, reason = "one door for all answers")]
    pub(super) fn write(&self, text: &str) {
        let _ = stdout().write_all(text.as_bytes());
    }

    /// Who is told how a run ended.
    #[expect(clippy::unused_self, reason = "one door for all answers")]
    pub(super) fn channels(&self, settings: &Settings) -> Channels {
        Channels {
            task: settings.task.clone(),
            metrics: settings.metrics.clone(),
            ping: settings::ping_url(),
            webhook: settings::webhook_url(),
        }
    }

    /// An error for people who were not there.
    #[expect(clippy::unused_self, reason = "one door for all answers")]
    pub(super) fn told(&self, error: &Error) -> String {
        let text = format!("{error}\n  exit code: {}", error.exit());
        Redactor::new(settings::secrets()).clean(&text).into_owned()
    }

    /// An error for machines.
    #[expect(clippy::unused_self, reason = "one door for all answers")]
    pub(super) fn document(&self, error: &Error) -> Value {
        let text = error.to_json().to_string();
        serde_json::from_str(&Redactor::new(settings::secrets()).clean(&text)).unwrap_or_default()
    }

    /// Reports an error, on stderr for people, and as the one JSON document where that was asked for.
    pub(super) fn report(&self, error: &Error) {
        // A store's own words may hold a URL with more in it than its reader should see.
        let redactor = Redactor::new(settings::secrets());
        if self.format == Format::Json {
            let json = serde_json::to_string_pretty(&error.to_json()).unwrap_or_default();
            self.write(&format!("{}\n", redactor.clean(&json)));
        }
        let text = if stderr().is_terminal() && !settings::no_color() {
            error.coloured()
        } else {
            error.to_string()
        };
        let exit = error.exit();
        let _ = writeln!(stderr(), "{}\n  exit code: {exit}", redactor.clean(&text));
    }
}

impl Terminal<'_> {
    /// Does something that needs a run's surroundings.
    pub(super) fn around<T>(
        &self,
        settings: &Settings,
        work: impl FnOnce(&Surroundings<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = work(&Surroundings {
            settings,
            machine: &self.machine,
            runtime: self.context.runtime()?.handle(),
            clock: Arc::clone(&self.clock),
            monitor: self.monitor.as_ref(),
            shutdown: &self.shutdown,
        });
        if done.is_err() {
            // So that no bar stays on the terminal above the message.
            self.monitor.hear(&Event::Failed);
        }
        done
    }
}

#[cfg(not(feature = "failpoints"))]
fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The machine's clock, unless a test steers another one.
#[cfg(feature = "failpoints")]
fn clock() -> Arc<dyn Clock> {
    match settings::test_clock() {
        Some(file) => Arc::new(crate::clock::SteeredClock::new(file)),
        None => Arc::new(SystemClock),
    }
}

/// The threads for I/O could not be started.
#[derive(Debug, thiserror::Error)]
#[error("start the threads for I/O")]
struct RuntimeError {
    source: std::io::Error,
}

impl Seam for RuntimeError {
    fn exit(&self) -> ExitCode {
        ExitCode::Internal
    }
}
