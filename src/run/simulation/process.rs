//! One process: a run without a model, by the code by which every run keeps apart from others; or a collector, or a repair.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use serde_json::Value;
use tokio::runtime::Handle;

use super::clock::WorldClock;
use super::connection::Connection;
use super::fence::Fence;
use super::schedule::{Errand, Layout, Setting, Task};
use super::work;
use super::world::Shared;
use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::error::Error;
use crate::gc::{self, Age};
use crate::hold::{Hold, Holder, Taken, Terms, Vacancy};
use crate::nonce::nonce;
use crate::publish::{Owner, Partition, Showing, Spool, SpoolFolder, Stamp};
use crate::records::DateFolder;
use crate::run::claim::{self, Claim, Intent, Start};
use crate::run::{Desk, RunError, Shard, Stop};
use crate::shutdown::Shutdown;
use crate::storage::Place;
use crate::validate::Location;

/// Time of a lease.
const TTL: Duration = Duration::from_mins(1);

/// How long what no run asks for is kept.
pub(super) const RETENTION: TimeDelta = TimeDelta::days(7);

/// The data set.
pub(super) const DATASET: &str = "lake/p";

/// How a process ends that does not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Readers see what it committed under this number, or something newer.
    Published(u64),
    /// It found this number published.
    Already(Option<u64>),
    /// Its shard is done.
    ShardDone,
    /// It brought to its end what others had decided; the number of what cannot be.
    Repaired(Option<u64>),
    /// It removed what may go, or found that somebody works.
    Collected,
}

/// What a process is called in records.
pub(super) fn name(number: usize) -> String {
    format!("process-{number:03}")
}

/// Memory where the system has it as a folder: files in the making are synced.
static SPOOL: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    match tempfile::tempfile_in(&memory) {
        Ok(_) => memory,
        Err(_) => std::env::temp_dir(),
    }
});

/// A process, before it has begun.
pub(super) struct Process {
    pub(super) world: Arc<Shared>,
    pub(super) number: usize,
    pub(super) setting: Setting,
    pub(super) task: Task,
    /// By how much its wall clock is off.
    pub(super) off: TimeDelta,
    pub(super) without: Option<Fence>,
}

impl Process {
    /// Does its task.
    pub(super) async fn run(self, runtime: Handle) -> Result<Ending, Error> {
        let desk = self.desk();
        match &self.task {
            Task::Run(errand) => self.errand(&desk, errand, &runtime).await,
            Task::Collect => collect(&desk, &runtime).await,
            Task::Repair => {
                let lost = desk.roll_forward().await?.lost;
                if lost.is_none() {
                    desk.published().await?;
                }
                Ok(Ending::Repaired(lost))
            }
        }
    }

    fn desk(&self) -> Desk {
        let clock: Arc<dyn Clock> = Arc::new(WorldClock {
            world: Arc::clone(&self.world),
            process: self.number,
            off: self.off,
        });
        let place = |prefix: &str| {
            let location = Location::S3 {
                bucket: "bucket".to_owned(),
                prefix: prefix.to_owned(),
            };
            Place::made(Connection::new(&self.world, self.number), Arc::clone(&clock), location)
        };
        let (state, dataset) = (place(&format!("{DATASET}.batch-infer")), place(DATASET));
        let date = NaiveDate::from_ymd_opt(2026, 11, 19).expect("it is a date");
        let owner = Owner {
            job: "p".to_owned(),
            date,
        };
        let id = name(self.number);
        Desk {
            date: DateFolder::new(&state, "p", date),
            partition: Partition::new(dataset.join(&format!("date={date}")), owner, false),
            holder: Holder {
                run_key: match &self.task {
                    Task::Run(errand) => errand.key.clone().unwrap_or_else(|| id.clone()),
                    Task::Collect | Task::Repair => id.clone(),
                },
                id,
                host: "host".to_owned(),
                pid: 1,
            },
            showing: Showing {
                single_put_max: match self.setting.layout {
                    Layout::Pieces => 0,
                    Layout::Single | Layout::Several => u64::MAX,
                },
                marker: true,
                nonatomic: false,
                fences: Fence::left(self.without),
            },
            terms: Terms {
                ttl: TTL,
                patience: match self.task {
                    Task::Collect => Duration::ZERO,
                    Task::Run(_) | Task::Repair => TTL * 4,
                },
                lease: self.setting.lease,
            },
            spool: SpoolFolder::Sent(SPOOL.clone()),
            state,
            dataset,
            job: "p".to_owned(),
            clock,
        }
    }

    /// The order of a run's steps, as `run` and `run/line.rs` have it.
    async fn errand(&self, desk: &Desk, errand: &Errand, runtime: &Handle) -> Result<Ending, Error> {
        let intent = Intent {
            base_id: work::base_id(errand.plan),
            earlier: Vec::new(),
            again: errand.again,
            only_once: false,
        };
        // Asked beside the plan, and old by the time that it counts.
        let vacancy = Hold::vacancy(&desk.date, desk.terms).await.unwrap_or(None);
        if let Some(notice) = desk.nothing_to_do(&intent).await? {
            return Ok(Ending::Already(notice.seq));
        }
        if let Some(shard) = errand.shard {
            let Some((claim, checkpoint)) = self.claim(desk, &intent, Start::default()).await? else {
                return published(desk).await;
            };
            let Some(checkpoint) = self.score_shard(desk, &claim, checkpoint, shard).await? else {
                return Ok(Ending::ShardDone);
            };
            let hold = hold(desk, None, runtime).await?;
            let ending = self.together(desk, claim, checkpoint, Arc::clone(&hold)).await;
            hold.release().await;
            return ending;
        }
        let hold = hold(desk, vacancy, runtime).await?;
        let ending = self.alone(desk, &intent, Arc::clone(&hold)).await;
        hold.release().await;
        ending
    }

    async fn alone(&self, desk: &Desk, intent: &Intent, hold: Arc<Hold>) -> Result<Ending, Error> {
        let start = Start::make(desk).await?;
        match self.claim(desk, intent, start).await? {
            Some((claim, checkpoint)) => self.finish(desk, claim, checkpoint, hold).await,
            None => published(desk).await,
        }
    }

    async fn together(
        &self,
        desk: &Desk,
        mut claim: Claim<'_>,
        checkpoint: Checkpoint,
        hold: Arc<Hold>,
    ) -> Result<Ending, Error> {
        let lost = desk.roll_forward().await?.lost;
        if claim.is_published().await? {
            return published(desk).await;
        }
        claim.renew(lost).await?;
        self.finish(desk, claim, checkpoint, hold).await
    }

    async fn claim<'d>(
        &self,
        desk: &'d Desk,
        intent: &Intent,
        start: Start,
    ) -> Result<Option<(Claim<'d>, Checkpoint)>, Error> {
        let files = self.setting.layout.files();
        let Some(wanted) = claim::wanted(desk, intent, files, start).await? else {
            return Ok(None);
        };
        let again = wanted.generation();
        let opened = claim::take_place(desk, wanted).await?;
        let again = opened.open.generation_of(&intent.base_id).unwrap_or(again);
        let record = work::record(desk, &intent.base_id, again, self.setting.chunks, files);
        let claim = Claim::settle(desk, opened, record).await?;
        let checkpoint = claim.checkpoint().await?;
        Ok(Some((claim, checkpoint)))
    }

    /// The finished chunks, once all of them are.
    async fn score_shard(
        &self,
        desk: &Desk,
        claim: &Claim<'_>,
        checkpoint: Checkpoint,
        shard: Shard,
    ) -> Result<Option<Checkpoint>, Error> {
        let gate = claim.gate(None, &desk.clock);
        for chunk in (0..claim.record.chunks.len()).filter(|chunk| shard.owns(*chunk)) {
            gate().await?;
            if checkpoint.load(chunk).await?.is_none() {
                checkpoint.keep(work::part(desk, &claim.record, chunk)).await?;
            }
        }
        let checkpoint = Checkpoint::open(&desk.date, &claim.record).await?;
        let is_whole = checkpoint.finished() == claim.record.chunks.len();
        Ok(is_whole.then_some(checkpoint))
    }

    async fn finish(
        &self,
        desk: &Desk,
        claim: Claim<'_>,
        checkpoint: Checkpoint,
        hold: Arc<Hold>,
    ) -> Result<Ending, Error> {
        let gate = claim.gate(Some(hold), &desk.clock);
        let mut parts = Vec::new();
        for chunk in 0..claim.record.chunks.len() {
            if let Err(lost) = gate().await {
                claim.go_on().await?;
                return if claim.is_published().await? {
                    published(desk).await
                } else {
                    Err(lost)
                };
            }
            parts.push(match checkpoint.load(chunk).await? {
                Some(part) => part,
                None => checkpoint.keep(work::part(desk, &claim.record, chunk)).await?,
            });
        }
        let stamp = Stamp {
            seq: claim.opened.open.n + 1,
            plan_id: claim.record.plan_id.clone(),
            nonce: nonce(),
        };
        let mut spool = Spool::create(&desk.spool, &claim.record, stamp)?;
        for part in &parts {
            spool.append(part)?;
        }
        let shutdown = Shutdown::never();
        let stop = Stop {
            shutdown: &shutdown,
            grace: Duration::ZERO,
            clock: desk.clock.as_ref(),
        };
        let assembled = spool.finish()?;
        let published = desk.publish(&claim.record, &claim.opened, assembled, &stop, |_, _| Value::Null);
        match published.await? {
            Some(commit) => Ok(Ending::Published(commit.n)),
            None => self::published(desk).await,
        }
    }
}

async fn published(desk: &Desk) -> Result<Ending, Error> {
    Ok(Ending::Already(desk.published().await?.seq))
}

/// The right to work at the date.
async fn hold(desk: &Desk, vacancy: Option<Vacancy>, runtime: &Handle) -> Result<Arc<Hold>, Error> {
    let shutdown = Shutdown::never();
    match Hold::take(&desk.date, &desk.holder, desk.terms, vacancy, runtime, &shutdown).await? {
        Taken::Held(hold) => Ok(Arc::new(hold)),
        Taken::Busy(who) => Err(RunError::Busy { who }.into()),
    }
}

async fn collect(desk: &Desk, runtime: &Handle) -> Result<Ending, Error> {
    let age = Age {
        now: desk.now(),
        retention: RETENTION,
    };
    let hold = hold(desk, None, runtime).await?;
    let swept = gc::clear(desk, age, false).await;
    hold.release().await;
    swept?;
    Ok(Ending::Collected)
}
