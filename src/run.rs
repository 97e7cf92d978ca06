//! One run of one job for one date: the sentence of the program.
//!
//! Depends on every stage; only the command line depends on it.

mod ahead;
mod already;
mod carried;
mod claim;
mod desk;
mod disk;
mod elsewhere;
mod error;
mod gate;
mod line;
mod loading;
mod outcome;
mod publication;
mod ready;
mod record;
mod rescore;
mod shard;
mod stop;
mod store;
mod tuning;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tracing::info;
use uuid::{NoContext, Timestamp, Uuid};

pub use desk::Desk;
pub use error::RunError;
pub use loading::{Loaded, load};
pub use outcome::{Notice, Outcome, Verdict};
pub use ready::{Ready, artifact, device, limits, ready};
pub use shard::Shard;
pub use stop::Stop;

use crate::clock::Clock;
use crate::error::Error;
use crate::events::{Event, Monitor};
use crate::hold::{Hold, Taken, Vacancy};
use crate::infer::Watch;
use crate::machine::Machine;
use crate::publish::Shown;
use crate::report::Tally;
use crate::settings::{OnBusy, Settings};
use crate::shutdown::{Shutdown, Signal};
use crate::spec::OnExisting;
use crate::validate::Job;
use ahead::{Ahead, Known};
use claim::{Intent, Start};
use line::Line;
use loading::Loading;
use ready::looked_at;

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
        self.runtime.block_on(self.stop().or(work))
    }

    /// Waits for something that hears the request to stop by itself.
    pub fn wait_through<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The request to stop, for what hears it by itself.
    pub fn stop(&self) -> Stop<'_> {
        Stop {
            shutdown: self.shutdown,
            grace: self.settings.run.shutdown_grace,
            clock: self.clock.as_ref(),
        }
    }
}

impl Surroundings<'_> {
    /// Asks for the right to work at a desk. When the process is asked to stop, what is being written for it has the time to finish that chunks
    /// have.
    pub fn take(&self, desk: &Desk, vacancy: Option<Vacancy>) -> Result<Taken, Error> {
        let taking = Hold::take(
            &desk.date,
            &desk.holder,
            desk.terms,
            vacancy,
            self.runtime,
            self.shutdown,
        );
        self.wait_through(self.stop().after(taking))
    }

    /// Lets the model do something on a thread of its own, since it may never come back. Then that thread is left behind: the process ends.
    pub fn attend<T: Send + 'static>(
        &self,
        watch: &Watch,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.attend_to(watch, beside(work)?)
    }

    /// Waits for what the model has begun.
    fn attend_to<T>(&self, watch: &Watch, thread: JoinHandle<T>) -> Result<T, Error> {
        while !thread.is_finished() {
            watch.look()?;
            self.shutdown.go_on()?;
            thread::sleep(LOOK);
        }
        // A panic there is a panic here.
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// What a task came to. Nobody aborts the tasks of a run, so one that gave nothing has panicked; and a panic there is a panic here.
fn joined<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

/// Lets the model begin something on a thread of its own.
fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, RunError> {
    let thread = thread::Builder::new().name("model".to_owned()).spawn(work);
    thread.map_err(|source| RunError::Thread { source })
}

/// What the command line says beside the job.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Scores and publishes even what is published already.
    pub force: bool,
    /// Scores only what was rejected, and takes all other rows from what is published.
    pub only_rejected: bool,
    /// The part of the chunks that this process does.
    pub shard: Option<Shard>,
    /// Whether files may be added or removed one by one.
    pub allow_nonatomic_replace: bool,
}

/// Scores a date's partition and publishes it.
pub fn run(job: &Job, options: &Options, around: &Surroundings<'_>) -> Result<Outcome, Error> {
    let tally = Tally::start(around.clock.as_ref());
    stop_after_max_runtime(around);
    let run_id = run_id(tally.started);
    let desk = Desk::open(job, options, around.settings, around.machine, &around.clock, &run_id)?;
    let desk = Arc::new(desk);
    let ahead = Ahead::ask(&desk, options, around);
    // A date that is to be scored needs the model, which takes as long to be made ready as all that comes before it. A device that cannot be had
    // is told when it is needed.
    let begin = |artifact: &_| {
        let begun = ahead.will_score().then(|| Loading::begin(artifact, around).ok());
        begun.flatten()
    };
    let ready = looked_at(job, around, begin);
    let ready = match ready.and_then(|ready| desk.check_disk(job, around).map(|()| ready)) {
        Ok(ready) => ready,
        Err(error) => {
            ahead.leave(around);
            return Err(error);
        }
    };
    let mut known = ahead.answers(around)?;
    let outcome = begun(job, options, ready, &desk, &mut known, tally, around);
    known.leave(around);
    outcome
}

/// From a plan and what was asked beside it.
fn begun(
    job: &Job,
    options: &Options,
    mut ready: Ready,
    desk: &Desk,
    known: &mut Known,
    tally: Tally,
    around: &Surroundings<'_>,
) -> Result<Outcome, Error> {
    // What was asked beside the plan is old by now: it only says where there is nothing to look at.
    let mut earlier = match known.shown {
        Shown::Nothing => Vec::new(),
        Shown::Ours(..) | Shown::Foreign(_) => ready.earlier(job, around),
    };
    if options.only_rejected {
        if let Some(notice) = around.wait(desk.only_rejected(job, &mut ready, &earlier))? {
            return Ok(done(notice, around));
        }
        // No earlier version has done this: it would be the newest publication, and not the one that is gone on from.
        earlier.clear();
    }
    let intent = Intent {
        base_id: ready.base_id.clone(),
        earlier,
        again: options.force || job.on_existing == OnExisting::Replace,
        only_once: job.on_existing == OnExisting::Fail && !options.only_rejected,
    };
    if known.shown != Shown::Nothing
        && let Some(notice) = around.wait(desk.nothing_to_do(&intent))?
    {
        return Ok(done(notice, around));
    }
    let unsafe_single_writer = around.settings.state.unsafe_single_writer;
    let store = match &mut known.store {
        Some(store) => store,
        untried => untried.insert(around.wait(desk.try_store(unsafe_single_writer, around.runtime))?),
    };
    store.admit(job)?;
    if !known.is_claimed {
        around.wait(desk.claim())?;
    }
    match options.shard {
        Some(shard) => {
            around.wait(known.clear())?;
            shared(job, ready, desk, shard, &intent, tally, around)
        }
        None => alone(job, ready, desk, &intent, known, tally, around),
    }
}

/// All chunks, by this process.
fn alone(
    job: &Job,
    ready: Ready,
    desk: &Desk,
    intent: &Intent,
    known: &mut Known,
    tally: Tally,
    around: &Surroundings<'_>,
) -> Result<Outcome, Error> {
    holding(desk, known.vacancy.take(), around, |hold| {
        around.wait(known.clear())?;
        let start = around.wait(Start::make(desk))?;
        match Line::begin(job, ready, desk, intent, start, tally, around)? {
            Some(line) => line.finish(&hold, around),
            None => published(desk, around),
        }
    })
}

/// The chunks of one shard; whoever finds all of them finished publishes.
fn shared(
    job: &Job,
    ready: Ready,
    desk: &Desk,
    shard: Shard,
    intent: &Intent,
    tally: Tally,
    around: &Surroundings<'_>,
) -> Result<Outcome, Error> {
    let Some(mut line) = Line::begin(job, ready, desk, intent, Start::default(), tally, around)? else {
        return published(desk, around);
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
    holding(desk, None, around, |hold| {
        let lost = around.wait(desk.roll_forward())?.lost;
        // Another shard may have been faster.
        if around.wait(line.claim.is_published())? {
            return published(desk, around);
        }
        around.wait(line.claim.renew(lost))?;
        line.finish(&hold, around)
    })
}

/// Does something as the one who may work at the job and date.
fn holding(
    desk: &Desk,
    vacancy: Option<Vacancy>,
    around: &Surroundings<'_>,
    work: impl FnOnce(Arc<Hold>) -> Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    let hold = match around.take(desk, vacancy)? {
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

/// What is published now, by whoever it was.
fn published(desk: &Desk, around: &Surroundings<'_>) -> Result<Outcome, Error> {
    Ok(done(around.wait(desk.published())?, around))
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

#[cfg(test)]
mod simulation;
