//! Runs the jobs of a folder when their schedules say so, for as long as the machine is up.
//!
//! Each date is a run in a process of its own, one of a job at a time and so many in all. What was seen of the calendar is written down before
//! anything starts, so that no end of this process makes a date missed, and the dates themselves are published once whatever happens. Which
//! fires count is decided in `schedule`; this is the waiting, the starting and the remembering.

mod board;
mod changes;
mod http;
mod page;
mod status;
mod systemd;
mod worker;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

pub use status::{JobStatus, RunStatus, Status};

use crate::child::{Finished, JobSource, Order};
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::hold::Holder;
use crate::run::Surroundings;
use crate::schedule::{Task, ZONE_DATA};
use board::Board;
use http::Pages;
use worker::Worker;

/// The calendar is looked at no less often, since clocks are set and machines sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The wait after a store has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What a daemon is to do.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The folder with job files.
    pub jobs: PathBuf,
    /// How runs are started; the job is put in for each.
    pub order: Order,
    /// Names this process in records.
    pub holder: Holder,
}

/// A process that has ended.
struct Ended {
    job: String,
    task: Task,
    started: DateTime<Utc>,
    finished: std::io::Result<Finished>,
}

/// The daemon.
struct Daemon<'a> {
    watch: &'a Watch,
    around: &'a Surroundings<'a>,
    /// The jobs that are in force.
    board: Board,
    workers: BTreeMap<String, Worker>,
    running: FuturesUnordered<BoxFuture<'a, Ended>>,
    pages: Arc<Pages>,
    started: DateTime<Utc>,
    /// Why the job files were refused when they were read last.
    refused: Option<String>,
    stopping: bool,
}

/// Runs until it is asked to stop.
pub async fn watch(watch: &Watch, around: &Surroundings<'_>) -> Result<ExitCode, Error> {
    let mut hangups = signal(SignalKind::hangup()).map_err(|source| DaemonError::Listen {
        what: "SIGHUP".to_owned(),
        source,
    })?;
    let board = Board::read(&watch.jobs)?;
    let pages = Arc::new(Pages::default());
    let _server = serve(around, &pages).await?;
    let mut daemon = Daemon {
        workers: BTreeMap::new(),
        running: FuturesUnordered::new(),
        started: around.clock.now(),
        refused: None,
        stopping: false,
        board,
        pages,
        watch,
        around,
    };
    daemon.take_board()?;
    info!(jobs = daemon.workers.len(), zone_data = ZONE_DATA, folder = %watch.jobs.display(), "watching");
    let mut ready = false;
    loop {
        let sound = daemon.look().await;
        if !daemon.stopping {
            daemon.start().await;
        }
        daemon.show();
        if sound && !ready {
            ready = true;
            systemd::ready();
        }
        if daemon.stopping && daemon.running.is_empty() {
            daemon.keep().await;
            info!("stopped");
            return Ok(ExitCode::Success);
        }
        let sleep = daemon.sleep(sound);
        tokio::select! {
            Some(ended) = daemon.running.next() => daemon.ended(ended).await,
            signal = around.shutdown.wait(), if !daemon.stopping => {
                info!(signal = signal.name(), running = daemon.running.len(), "stopping when the runs under way have stopped");
                systemd::stopping();
                daemon.stopping = true;
            }
            Some(()) = hangups.recv() => daemon.reload(),
            () = around.clock.sleep(sleep) => {}
        }
    }
}

/// Starts the pages, where they are wanted.
async fn serve(around: &Surroundings<'_>, pages: &Arc<Pages>) -> Result<Option<http::Server>, DaemonError> {
    let Some(address) = around.settings.daemon.listen else {
        return Ok(None);
    };
    let server = http::Server::start(address, Arc::clone(pages), around.runtime).await;
    let server = server.map_err(|source| DaemonError::Address { address, source })?;
    info!(address = %server.address, "pages and metrics");
    Ok(Some(server))
}

impl Daemon<'_> {
    /// Puts the jobs that were read in force. What is known of those that stay is kept.
    fn take_board(&mut self) -> Result<(), Error> {
        let mut workers = BTreeMap::new();
        for entry in self.board.entries() {
            let worker = match self.workers.remove(&entry.job.name) {
                Some(worker) => worker.renewed(entry, self.around.settings)?,
                None => Worker::new(entry, self.around.settings)?,
            };
            if let Some(warning) = worker.warning() {
                warn!(job = worker.name(), warning);
            }
            workers.insert(entry.job.name.clone(), worker);
        }
        for gone in self.workers.values().filter(|worker| worker.is_running()) {
            warn!(job = gone.name(), "its file is gone; the run under way goes on");
        }
        self.workers = workers;
        let histories = self
            .workers
            .values()
            .map(|worker| (worker.name().to_owned(), worker.history()));
        self.pages.set_histories(histories.collect());
        Ok(())
    }

    /// Reads the job files again. A set with a mistake in it changes nothing.
    fn reload(&mut self) {
        systemd::reloading();
        let before = self.board.clone();
        let read = Board::read(&self.watch.jobs).and_then(|board| {
            self.board = board;
            self.take_board()
        });
        match read {
            Ok(()) => {
                info!(jobs = self.workers.len(), "job files are read again");
                self.refused = None;
            }
            Err(refusal) => {
                error!(%refusal, "the job files are refused, and those from before stay in force");
                self.refused = Some(refusal.to_string());
                self.board = before;
            }
        }
        systemd::ready();
    }

    /// Looks at the calendar of each job. False where a store failed, or another daemon keeps a job.
    async fn look(&mut self) -> bool {
        let mut sound = true;
        for worker in self.workers.values_mut() {
            match worker.look(&self.watch.holder, self.around.clock.as_ref()).await {
                Ok(ours) => sound &= ours,
                Err(failure) => {
                    let cause = failure.source().map(ToString::to_string);
                    warn!(job = worker.name(), %failure, cause, "its schedule record cannot be kept; nothing is started before it is");
                    sound = false;
                }
            }
        }
        sound
    }

    /// Writes down how far it has come.
    async fn keep(&mut self) {
        for worker in self.workers.values_mut() {
            if let Err(failure) = worker.keep(&self.watch.holder).await {
                warn!(job = worker.name(), %failure, "its schedule record could not be kept");
            }
        }
    }

    /// Starts what may start, the longest waiting first.
    async fn start(&mut self) {
        let most = self.around.settings.daemon.max_parallel_runs;
        while self.running.len() < most {
            let now = self.around.clock.now();
            let ready = self
                .workers
                .values()
                .filter_map(|worker| Some((worker.ready(now)?.not_before, worker.name())));
            let Some((_, name)) = ready.min().map(|(at, name)| (at, name.to_owned())) else {
                return;
            };
            let Some(worker) = self.workers.get_mut(&name) else {
                return;
            };
            match worker.hand_over(&self.watch.holder, now).await {
                Ok(Some(task)) => self.run(&name, task),
                Ok(None) => {}
                Err(failure) => {
                    warn!(job = name, %failure, "its schedule record cannot be kept; nothing is started before it is");
                    return;
                }
            }
        }
    }

    fn run(&self, name: &str, task: Task) {
        let Some(text) = self.board.text(name) else {
            return;
        };
        let order = Order {
            job: JobSource::Text(text),
            ..self.watch.order.clone()
        };
        let (job, shutdown, clock) = (name.to_owned(), self.around.shutdown, Arc::clone(&self.around.clock));
        let started = clock.now();
        info!(job, date = %task.date, scheduled = %task.scheduled, attempt = task.attempts, "starting");
        let run = async move {
            let finished = order
                .run(task.date, Some(task.scheduled), shutdown, clock.as_ref())
                .await;
            Ended {
                job,
                task,
                started,
                finished,
            }
        };
        self.running.push(run.boxed());
    }

    async fn ended(&mut self, ended: Ended) {
        let Ended {
            job,
            task,
            started,
            finished,
        } = ended;
        let finished = finished.unwrap_or_else(|failure| {
            error!(job, %failure, "no process could be started");
            Finished::not_started()
        });
        let now = self.around.clock.now();
        let stopping = self.stopping;
        let Some(worker) = self.workers.get_mut(&job) else {
            return;
        };
        let kept = worker
            .ended(task, started, finished, now, stopping, &self.watch.holder)
            .await;
        if let Err(failure) = kept {
            warn!(job, %failure, "how a date ended could not be written down; after a restart it is looked at again");
        }
    }

    /// Hands what is known to the pages.
    fn show(&self) {
        let now = self.around.clock.now();
        self.pages.show(Status {
            version: env!("CARGO_PKG_VERSION"),
            zone_data: ZONE_DATA,
            started_at: self.started,
            now,
            max_parallel_runs: self.around.settings.daemon.max_parallel_runs,
            started: self.workers.values().all(Worker::is_resumed),
            stopping: self.stopping,
            refused: self.refused.clone(),
            jobs: self.workers.values().map(|worker| worker.status(now)).collect(),
        });
    }

    fn sleep(&self, sound: bool) -> Duration {
        let now = self.around.clock.now();
        let next = self.workers.values().filter_map(|worker| worker.next(now)).min();
        let until = next.map_or(LONGEST_SLEEP, |next| (next - now).to_std().unwrap_or_default());
        let longest = if sound { LONGEST_SLEEP } else { AFTER_FAILURE };
        until.min(longest)
    }
}

/// Why a daemon cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A signal cannot be heard.
    #[error("listen for {what}")]
    Listen {
        /// Which.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address of the pages cannot be had.
    #[error("serve pages at {address}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder cannot be read, or a file of it kept.
    #[error("read the job files of `{folder}`")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are no job files.
    #[error("there is no job file (*.toml) in `{folder}`")]
    NoJobs {
        /// The folder.
        folder: String,
    },
    /// Two files are of one job.
    #[error("`{first}` and `{second}` are both named `{name}`")]
    Twice {
        /// The job.
        name: String,
        /// The one file.
        first: String,
        /// The other file.
        second: String,
    },
}

impl Seam for DaemonError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Listen { .. } => ExitCode::Internal,
            Self::Address { .. } | Self::Folder { .. } | Self::NoJobs { .. } | Self::Twice { .. } => ExitCode::Config,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Address { .. } => Some("choose another with [daemon] listen, or `off`".to_owned()),
            Self::Folder { .. } | Self::NoJobs { .. } => Some("name the folder that holds the job files".to_owned()),
            Self::Listen { .. } | Self::Twice { .. } => None,
        }
    }
}
