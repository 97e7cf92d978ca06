//! The log in use: who is next, who may commit, and what is decided already.
//!
//! The rules are those of `records::Log`: `open` in slot `k`, `commit` in slot `k + 1` and nowhere else. A run whose slot was taken by a
//! later run with the same plan goes on with that run's slot: whoever of them is first commits the same rows.

use futures::future::try_join;

use super::{Assembled, Partition, PublishError, Shown, Stamp, file_name};
use crate::records::{Commit, DateFolder, Entry, FORM, Log, Open, PlanRecord, decode, encode};
use crate::storage::Created;

/// What keeps writers apart. A run has all of it; the simulation takes one away at a time, to see that it is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fences {
    /// A commit goes into the slot after its own `open` and into no later one.
    pub own_slot: bool,
    /// A file is replaced only if it is still the one that was looked at.
    pub conditional: bool,
    /// An upload in pieces is announced before the log is looked at for the last time.
    pub announced: bool,
}

impl Fences {
    /// All of it.
    pub const ALL: Self = Self {
        own_slot: true,
        conditional: true,
        announced: true,
    };
}

/// What is decided and what readers see.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The log.
    pub log: Log,
    /// The first file of the partition.
    pub shown: Shown,
}

impl Standing {
    /// Reads the log and looks at the partition.
    pub async fn read(date: &DateFolder, partition: &Partition) -> Result<Self, PublishError> {
        let folder = date.log();
        let log = async { Ok(Log::read(&folder).await?) };
        let name = file_name(0);
        let (mut log, shown) = try_join(log, partition.look(&name)).await?;
        if shown.seq() > log.head() {
            // It was published while the log was being read; or the log has lost its end, and will say the same again.
            log = Log::read(&folder).await?;
        }
        Ok(Self { log, shown })
    }

    /// The number after which the next record comes: published data counts, so that a lost log cannot start again below it.
    fn head(&self) -> u64 {
        self.log.head().max(self.shown.seq())
    }

    /// The newest commit, when readers do not see it yet.
    pub fn pending(&self) -> Option<&Commit> {
        self.log.newest_commit().filter(|commit| commit.n > self.shown.seq())
    }

    /// The newest commit that readers see, or have seen.
    pub fn visible(&self) -> Option<&Commit> {
        self.log.commits().rev().find(|commit| commit.n <= self.shown.seq())
    }

    /// The visible commit that makes this run superfluous: the same plan is the last word, or the run's own intention is fulfilled.
    pub fn settled(&self, plan_id: &str, run_key: &str) -> Option<&Commit> {
        let newest = self.log.newest_commit()?;
        let fulfilled = self.is_last_word(newest, plan_id) || newest.run_key == run_key;
        (fulfilled && self.shows(newest)).then_some(newest)
    }

    /// True when readers see a plan, and nobody has wanted another since.
    pub fn is_published(&self, plan_id: &str) -> bool {
        let newest = self.log.newest_commit();
        newest.is_some_and(|newest| self.is_last_word(newest, plan_id) && self.shows(newest))
    }

    /// True when this commit is of that plan, and so is whatever was opened since.
    fn is_last_word(&self, commit: &Commit, plan_id: &str) -> bool {
        let mut since = self.log.since(commit.n);
        commit.plan_id == plan_id && since.all(|entry| entry.is_some_and(|entry| entry.plan_id() == plan_id))
    }

    /// True when this intention was fulfilled and somebody has committed after it: it is old, and must not count as a new one.
    pub fn overtaken(&self, run_key: &str) -> bool {
        let mut commits = self.log.commits().rev();
        let newest = commits.next().is_some_and(|newest| newest.run_key == run_key);
        !newest && commits.any(|commit| commit.run_key == run_key)
    }

    /// True when readers see what was committed. A number alone says nothing where the log lost its end or is that of another data set.
    pub fn shows(&self, commit: &Commit) -> bool {
        matches!(&self.shown, Shown::Ours(stamp, _) if stamp.seq >= commit.n && stamp.plan_id == commit.plan_id)
    }
}

/// A place in the log.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its record.
    pub open: Open,
    /// The newest commit below it. Slots are filled one after the other and never again, so that no other comes to lie there.
    pub before: Option<u64>,
}

impl Opened {
    fn of(open: Open, log: &Log) -> Self {
        let before = log.commits().map(|commit| commit.n);
        Self {
            before: before.take_while(|n| *n < open.n).last(),
            open,
        }
    }
}

/// Puts the run into the order of writers, once for all processes of one intention: where one of them has committed already, the others go
/// on with that. `lost` is the number of a commit that was found to be beyond that. A place is of no use either when the record behind it
/// cannot be read, and nothing that can says who came later.
///
/// `seen` was read before, however long ago: the place after it can be taken only if nobody has taken one since. A place that is had
/// already is told by a new look alone.
pub async fn open(
    date: &DateFolder,
    partition: &Partition,
    wanted: &Open,
    lost: Option<u64>,
    seen: Option<Standing>,
) -> Result<Opened, PublishError> {
    let mut seen = seen.filter(|seen| seen.log.opened_by(&wanted.run_key).is_none());
    loop {
        let standing = match seen.take() {
            Some(seen) => seen,
            None => Standing::read(date, partition).await?,
        };
        if let Some(open) = standing.log.opened_by(&wanted.run_key)
            && lost != Some(open.n + 1)
            && !standing.log.is_damaged_behind(open.n)
        {
            return Ok(Opened::of(open.clone(), &standing.log));
        }
        let mut open = wanted.clone();
        open.n = standing.head() + 1;
        let entry = Entry::Open(open.clone());
        if let Created::Ours = Log::put(&date.log(), open.n, &entry).await? {
            return Ok(Opened::of(open, &standing.log));
        }
    }
}

/// Keeps the record of the plan, or takes the one that is there. `None`: one is there that says something else or cannot be read, so this
/// plan's folder is of no use.
pub async fn settle_plan(date: &DateFolder, ours: PlanRecord) -> Result<Option<PlanRecord>, PublishError> {
    let place = date.plan(&ours.plan_id).join("plan.json");
    Ok(match place.create(encode(&ours)).await? {
        Created::Ours => Some(ours),
        Created::Theirs(bytes) => decode::<PlanRecord>(&bytes).filter(|theirs| theirs.agrees(&ours)),
    })
}

/// Decides that this data is what readers see from now on. What was decided may be another process's commit of the same plan; then the
/// data comes back under that commit's number and nonce.
pub async fn commit(
    date: &DateFolder,
    plan: &PlanRecord,
    Opened { open: opened, before }: &Opened,
    mut assembled: Assembled,
    holder: &str,
    fences: Fences,
) -> Result<(Commit, Assembled), PublishError> {
    let (mut slot, mut before) = (opened.n + 1, *before);
    loop {
        let stamp = Stamp {
            seq: slot,
            ..assembled.stamp.clone()
        };
        assembled = assembled.restamped(stamp)?;
        let ours = record(plan, opened, (slot, before), &assembled, holder, date);
        let theirs = match Log::put(&date.log(), slot, &Entry::Commit(ours.clone())).await? {
            Created::Ours => return Ok((ours, assembled)),
            Created::Theirs(bytes) => decode::<Entry>(&bytes),
        };
        if !fences.own_slot {
            let log = Log::read(&date.log()).await?;
            (slot, before) = (log.head() + 1, newest(&log));
            continue;
        }
        match theirs {
            Some(Entry::Commit(theirs)) => return adopt(theirs, assembled),
            Some(Entry::Open(later)) if later.plan_id == plan.plan_id => {
                (slot, before) = (later.n + 1, newest(&Log::read(&date.log()).await?));
            }
            // Somebody else wants something else, and wanted it later.
            Some(Entry::Open(_)) | None => {
                let log = Log::read(&date.log()).await?;
                return match log.newest_commit() {
                    Some(newest) if newest.n >= slot && newest.plan_id == plan.plan_id => {
                        adopt(newest.clone(), assembled)
                    }
                    _ if log.is_damaged_behind(opened.n) => Err(PublishError::Damaged {
                        record: date.log().location().to_string(),
                        slot,
                    }),
                    _ => Err(PublishError::Superseded { slot }),
                };
            }
        }
    }
}

/// Goes on with a commit of another process, if its bytes are ours under its number and nonce.
fn adopt(theirs: Commit, assembled: Assembled) -> Result<(Commit, Assembled), PublishError> {
    let stamp = Stamp {
        seq: theirs.n,
        plan_id: theirs.plan_id.clone(),
        nonce: theirs.nonce.clone(),
    };
    if theirs.plan_id == assembled.stamp.plan_id {
        let assembled = assembled.restamped(stamp)?;
        if assembled.files.iter().map(|file| &file.data).eq(&theirs.files) {
            return Ok((theirs, assembled));
        }
    }
    Err(PublishError::Decided { seq: theirs.n })
}

/// Number of the newest commit.
fn newest(log: &Log) -> Option<u64> {
    log.newest_commit().map(|commit| commit.n)
}

fn record(
    plan: &PlanRecord,
    opened: &Open,
    (slot, before): (u64, Option<u64>),
    assembled: &Assembled,
    holder: &str,
    date: &DateFolder,
) -> Commit {
    Commit {
        v: FORM,
        job: plan.job.clone(),
        date: plan.date,
        n: slot,
        run_key: opened.run_key.clone(),
        open_n: slot - 1,
        plan_id: plan.plan_id.clone(),
        base_id: plan.base_id.clone(),
        generation: plan.generation,
        nonce: assembled.stamp.nonce.clone(),
        prev_commit: before,
        holder: holder.to_owned(),
        files: assembled.files.iter().map(|file| file.data.clone()).collect(),
        rows_in: assembled.rows.read,
        rows_out: assembled.rows.written,
        rows_rejected: assembled.rows.rejected,
        chunks_digest: assembled.chunks_digest.clone(),
        at: date.place().clock().now(),
    }
}
