//! One run of one job for one date: the sentence of the program.
//!
//! Depends on every stage; only the command line depends on it.

mod already;
mod desk;
mod gate;
mod line;
mod outcome;
mod ready;
mod record;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tracing::info;
use uuid::{NoContext, Timestamp, Uuid};

pub use already::keep_record;
pub use desk::Desk;
pub use outcome::{Notice, Outcome, RunError, Shard, Verdict};
pub use ready::{Ready, artifact, device, limits, load, ready};

use crate::clock::Clock;
use crate::error::Error;
use crate::events::{Event, Monitor};
use crate::hold::{Hold, Taken};
use crate::infer::Watch;
use crate::machine::Machine;
use crate::report::Tally;
use crate::settings::{OnBusy, Settings};
use crate::shutdown::{Shutdown, Signal};
use crate::spec::OnExisting;
use crate::validate::Job;
use line::Line;

/// How often it is looked whether the model has come back.
const LOOK: Duration = Duration::from_millis(5);

/// What a run needs from around it.
pub struct Surroundings<'a> {
    /// How things are done on this machine.
    pub settings: &'a Settings,
    /// The machine.
    pub machine: &'a Machine,
    /// Where asynchronous work runs.
    pub runtime: &'a Handle,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub monitor: &'a dyn Monitor,
    /// Whether to stop.
    pub shutdown: &'a Shutdown,
}

impl Surroundings<'_> {
    /// Waits for something, unless the process is asked to stop meanwhile.
    pub fn wait<T, E: Into<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                done = work => done.map_err(Into::into),
                _ = self.shutdown.wait() => Err(self.shutdown.stopped().into()),
            }
        })
    }
}

impl Surroundings<'_> {
    /// Brings something to its end that is decided already. When the process is asked to stop, it has the time to finish that chunks have.
    pub fn finish<T, E: Into<Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
        self.runtime.block_on(async {
            let late = async {
                self.shutdown.wait().await;
                self.clock.sleep(self.settings.run.shutdown_grace).await;
            };
            tokio::select! {
                biased;
                done = work => done.map_err(Into::into),
                () = late => Err(self.shutdown.stopped().into()),
            }
        })
    }
}

impl Surroundings<'_> {
    /// Lets the model do something on a thread of its own, since it may never come back. Then that thread is left behind: the process ends.
    pub fn attend<T: Send + 'static>(
        &self,
        watch: &Watch,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let thread = thread::Builder::new().name("model".to_owned()).spawn(work);
        let thread = thread.map_err(|source| RunError::Thread { source })?;
        while !thread.is_finished() {
            watch.look()?;
            self.shutdown.go_on()?;
            thread::sleep(LOOK);
        }
        // A panic there is a panic here.
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// What the command line says beside the job.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Scores and publishes even what is published already.
    pub force: bool,
    /// The part of the chunks that this process does.
    pub shard: Option<Shard>,
    /// Whether files may be added or removed one by one.
    pub allow_nonatomic_replace: bool,
}

/// Scores a date's partition and publishes it.
pub fn run(job: &Job, options: &Options, around: &Surroundings<'_>) -> Result<Outcome, Error> {
    let tally = Tally::start(around.clock.as_ref());
    stop_after_max_runtime(around);
    let ready = ready(job, around)?;
    let run_id = run_id(tally.started);
    let desk = Desk::open(job, options, around.settings, around.machine, &around.clock, &run_id)?;
    desk.check_disk(job, around)?;
    around.wait(desk.belongs())?;

    let again = options.force || job.on_existing == OnExisting::Replace;
    if let Some(notice) = already::nothing_to_do(job, &desk, &ready, again, around)? {
        return Ok(done(notice, around));
    }
    desk.check_store(job, around)?;
    around.wait(desk.claim())?;
    match options.shard {
        Some(shard) => shared(job, ready, &desk, shard, again, tally, around),
        None => alone(job, ready, &desk, again, tally, around),
    }
}

/// All chunks, by this process.
fn alone(
    job: &Job,
    ready: Ready,
    desk: &Desk,
    again: bool,
    tally: Tally,
    around: &Surroundings<'_>,
) -> Result<Outcome, Error> {
    holding(desk, around, |hold| {
        let lost = desk.roll_forward(around)?;
        match Line::begin(job, ready, desk, again, lost, tally, around)? {
            Some(line) => line.finish(hold, around),
            None => already::published(desk, around),
        }
    })
}

/// The chunks of one shard; whoever finds all of them finished publishes.
fn shared(
    job: &Job,
    ready: Ready,
    desk: &Desk,
    shard: Shard,
    again: bool,
    tally: Tally,
    around: &Surroundings<'_>,
) -> Result<Outcome, Error> {
    let Some(mut line) = Line::begin(job, ready, desk, again, None, tally, around)? else {
        return already::published(desk, around);
    };
    if !line.score_shard(shard, around)? {
        let notice = desk.notice(Verdict::ShardDone);
        return Ok(done(notice, around));
    }
    info!(
        shard = shard.index,
        of = shard.of,
        "all chunks are finished; publishing"
    );
    holding(desk, around, |hold| {
        let lost = desk.roll_forward(around)?;
        // Another shard may have been faster.
        if line.is_published(around)? {
            return already::published(desk, around);
        }
        line.renew(lost, around)?;
        line.finish(hold, around)
    })
}

/// Does something as the one who may work at the job and date.
fn holding(
    desk: &Desk,
    around: &Surroundings<'_>,
    work: impl FnOnce(Arc<Hold>) -> Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    let taken = around.wait(Hold::take(&desk.date, &desk.holder, desk.terms, around.runtime))?;
    let hold = match taken {
        Taken::Held(hold) => Arc::new(hold),
        Taken::Busy(who) if around.settings.lease.on_busy == OnBusy::Skip => {
            info!(who, "another process works on this job and date; skipping");
            return Ok(done(desk.notice(Verdict::Skipped), around));
        }
        Taken::Busy(who) => return Err(RunError::Busy { who }.into()),
    };
    desk.spool.clear();
    let outcome = work(Arc::clone(&hold));
    around.runtime.block_on(async {
        tokio::select! {
            () = hold.release() => {}
            () = around.clock.sleep(desk::RELEASE_TIME) => {}
        }
    });
    outcome
}

fn done(notice: Notice, around: &Surroundings<'_>) -> Outcome {
    around.monitor.hear(&Event::Finished);
    Outcome::Nothing(notice)
}

/// Sortable by time, unique without asking anybody.
fn run_id(started: DateTime<Utc>) -> String {
    let seconds = u64::try_from(started.timestamp()).unwrap_or(0);
    let time = Timestamp::from_unix(NoContext, seconds, started.timestamp_subsec_nanos());
    Uuid::new_v7(time).to_string()
}

/// Asks the process to stop when its time is over.
fn stop_after_max_runtime(around: &Surroundings<'_>) {
    if let Some(time) = around.settings.run.max_runtime {
        let shutdown = around.shutdown.clone();
        let sleep = around.clock.sleep(time);
        around.runtime.spawn(async move {
            sleep.await;
            shutdown.request(Signal::Deadline);
        });
    }
}
