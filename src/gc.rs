//! Removes from the state folder what no run will ask for again.
//!
//! Only as the one who may work at a date, never while something that was decided is not visible yet, and never as part of another command:
//! what looks like rubbish after a failure may be the only copy. The log and the records of publications stay, two small objects a run.

mod disk;
mod plans;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tracing::info;
use uuid::Uuid;

use crate::error::Error;
use crate::hold::{Hold, Seat, Taken};
use crate::publish::{PublishError, Standing};
use crate::records::{Announcement, dates, jobs};
use crate::run::{Desk, Options, Surroundings};
use crate::storage::{Place, StorageError, Upload};
use crate::validate::Job;
use plans::Heap;

/// Objects that are removed at a time.
const CONCURRENT_REMOVALS: usize = 16;

/// Times of a lease after which its holder, by the clocks of two machines, is most likely dead. Then its lease is waited for, and taken only
/// if it is not renewed meanwhile.
const SILENT: i32 = 10;

/// What was removed, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct Collected {
    /// The job.
    pub job: String,
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// The dates that were looked at, oldest first.
    pub dates: Vec<Swept>,
    /// All that was removed, by kind.
    pub removed: Amounts,
}

/// What was removed of one date.
#[derive(Debug, Clone, Serialize)]
pub struct Swept {
    /// The date.
    pub date: NaiveDate,
    /// Why something was left, or all of it.
    pub skipped: Option<String>,
    /// What was removed, by kind.
    pub removed: Amounts,
}

/// Objects and bytes by kind.
pub type Amounts = BTreeMap<Kind, Amount>;

/// A kind of rubbish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Plans that were replaced or given up: records, parts and rejected rows.
    Plans,
    /// Parts that another process was faster than.
    Parts,
    /// Uploads in pieces that can come to no end any more.
    Uploads,
    /// Files in the making that a killed process left.
    Spool,
    /// Halves of files that a killed process left on a local disk.
    Staging,
    /// What killed processes left of trying the store.
    Probes,
}

/// How much of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Objects, files or uploads.
    pub objects: u64,
    /// Their bytes, where they are known.
    pub bytes: u64,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plans => "plans",
            Self::Parts => "parts",
            Self::Uploads => "uploads",
            Self::Spool => "spool",
            Self::Staging => "staging",
            Self::Probes => "probes",
        }
    }
}

/// An object that may go.
#[derive(Debug, Clone)]
struct Object {
    place: Place,
    bytes: u64,
}

/// When something is old enough to go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Age {
    pub(crate) now: DateTime<Utc>,
    pub(crate) retention: TimeDelta,
}

impl Age {
    fn is_old(self, at: DateTime<Utc>) -> bool {
        self.now - at > self.retention
    }
}

/// Looks at one date, or at all dates of a job, and removes what may go.
pub fn collect(
    job: &Job,
    date: Option<NaiveDate>,
    dry_run: bool,
    around: &Surroundings<'_>,
) -> Result<Collected, Error> {
    let retention = around.settings.state.retention;
    let age = Age {
        now: around.clock.now(),
        retention: TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX),
    };
    let state = Place::open(&job.state, &around.settings.storage)?;
    let mut all = around.wait(dates(&state, &job.name))?;
    all.retain(|found| date.is_none_or(|date| date == *found));
    let mut swept = Vec::with_capacity(all.len());
    let mut conditions: Option<Place> = None;
    for date in all {
        let job = Job { date, ..job.clone() };
        let desk = desk(&job, around)?;
        if !dry_run {
            desk.check_disk(&job, around)?;
            // One try tells how the store takes conditions.
            match &conditions {
                Some(known) => desk.date.place().takes_conditions_like(known),
                None => desk.check_store(&job, around)?,
            }
            conditions.get_or_insert_with(|| desk.partition.place().clone());
        }
        swept.push(sweep(desk, age, dry_run, around)?);
    }
    let mut removed = Amounts::new();
    for (kind, amount) in swept.iter().flat_map(|swept| &swept.removed) {
        add(&mut removed, *kind, *amount);
    }
    if date.is_none() {
        let probes = around.wait(probes(&state, age))?;
        add_objects(&mut removed, Kind::Probes, &probes);
        if !dry_run {
            around.wait(remove(&probes))?;
        }
    }
    Ok(Collected {
        job: job.name.clone(),
        dry_run,
        dates: swept,
        removed,
    })
}

fn desk(job: &Job, around: &Surroundings<'_>) -> Result<Desk, Error> {
    let id = Uuid::new_v4().to_string();
    Desk::open(
        job,
        &Options::default(),
        around.settings,
        around.machine,
        &around.clock,
        &id,
    )
}

/// One date, as the one who may work at it.
fn sweep(mut desk: Desk, age: Age, dry_run: bool, around: &Surroundings<'_>) -> Result<Swept, Error> {
    let date = desk.date.date();
    let busy = |who: &str| Swept {
        date,
        skipped: Some(format!("{who} works on it")),
        removed: Amounts::new(),
    };
    around.wait(desk.belongs())?;
    let seat = around.wait(Hold::look(&desk.date))?;
    let silent = seat
        .as_ref()
        .is_some_and(|seat| is_silent(seat, desk.terms.ttl, age.now));
    if let Some(seat) = seat
        && !silent
    {
        return Ok(busy(&seat.who));
    }
    if dry_run {
        return around.wait(clear(&desk, age, true));
    }
    // Rubbish can wait, so nobody who works is waited for.
    desk.terms.patience = if silent { desk.terms.ttl * 2 } else { Duration::ZERO };
    let hold = match around.take(&desk, None)? {
        Taken::Held(hold) => hold,
        Taken::Busy(who) => return Ok(busy(&who)),
    };
    let swept = around.wait(clear(&desk, age, false));
    around.runtime.block_on(hold.release());
    swept
}

/// True when the holder of a lease gave no sign of life for long.
fn is_silent(seat: &Seat, ttl: Duration, now: DateTime<Utc>) -> bool {
    let ttl = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX);
    let long = ttl.checked_mul(SILENT).unwrap_or(TimeDelta::MAX);
    seat.seen_at.is_some_and(|seen| now - seen > long)
}

/// Removes what may go of a date, as the one who may work at it.
pub(crate) async fn clear(desk: &Desk, age: Age, dry_run: bool) -> Result<Swept, PublishError> {
    let mut swept = Swept {
        date: desk.date.date(),
        skipped: None,
        removed: Amounts::new(),
    };
    let standing = desk.standing().await?;
    if let Some(commit) = standing.pending() {
        let why = format!(
            "publication {} is decided and not visible yet; the next run or `verify --repair` shows it",
            commit.n
        );
        swept.skipped = Some(why);
        return Ok(swept);
    }
    clear_uploads(desk, &standing, dry_run, &mut swept.removed).await?;
    clear_disk(desk, age, dry_run, &mut swept.removed)?;
    clear_plans(desk, &standing, age, dry_run, &mut swept).await?;
    info!(date = %swept.date, removed = ?swept.removed, dry_run, "swept");
    Ok(swept)
}

/// Uploads for publications below the one that readers see. The upload goes before its record, which alone knows its name.
async fn clear_uploads(
    desk: &Desk,
    standing: &Standing,
    dry_run: bool,
    removed: &mut Amounts,
) -> Result<(), StorageError> {
    for (record, announced) in Announcement::all(&desk.date).await? {
        if announced.seq >= standing.shown.seq() {
            continue;
        }
        add(removed, Kind::Uploads, Amount { objects: 1, bytes: 0 });
        if !dry_run {
            let upload = Upload {
                id: announced.upload_id,
            };
            desk.partition.file(&announced.name).abort_upload(&upload).await?;
            record.remove().await?;
        }
    }
    Ok(())
}

fn clear_disk(desk: &Desk, age: Age, dry_run: bool, removed: &mut Amounts) -> Result<(), PublishError> {
    let Some(folder) = desk.date.place().local() else {
        return Ok(());
    };
    // Files grow under the lock, which is ours.
    let spool = disk::files(desk.spool.path())?;
    let staging = disk::files(folder)?.into_iter().filter(disk::Leftover::is_staging);
    let staging: Vec<_> = staging.filter(|file| age.is_old(file.written)).collect();
    for (kind, files) in [(Kind::Spool, spool), (Kind::Staging, staging)] {
        for file in files {
            add(
                removed,
                kind,
                Amount {
                    objects: 1,
                    bytes: file.bytes,
                },
            );
            if !dry_run {
                file.remove()?;
            }
        }
    }
    Ok(())
}

/// Plans that may go, and parts of the others that nothing names.
async fn clear_plans(
    desk: &Desk,
    standing: &Standing,
    age: Age,
    dry_run: bool,
    swept: &mut Swept,
) -> Result<(), StorageError> {
    let found = plans::rubbish(desk, standing, age).await?;
    swept.skipped = found.skipped;
    add_objects(&mut swept.removed, Kind::Parts, &found.parts);
    if !dry_run {
        remove(&found.parts).await?;
    }
    for heap in found.heaps {
        if !dry_run && !clear_plan(desk, standing, &heap).await? {
            swept.skipped = Some("a run began meanwhile".to_owned());
            return Ok(());
        }
        for objects in [&heap.done, &heap.rest, &heap.record] {
            add_objects(&mut swept.removed, Kind::Plans, objects);
        }
    }
    Ok(())
}

/// Removes one plan; false when a run has begun since the log was read, which may be doing this very plan again.
///
/// In any order a process that dies on the way leaves nothing that a later run mistakes: a part counts only with the record of its chunk and by
/// its digest, and such a record only with the very record of the plan that it was made under. In this order it leaves the least work: records of
/// chunks go first, so that none names a part that is gone, and the plan's own record last, so that until then a run can go on with the plan.
async fn clear_plan(desk: &Desk, standing: &Standing, heap: &Heap) -> Result<bool, StorageError> {
    for objects in [&heap.done, &heap.rest, &heap.record] {
        // A run that does not take the hold, such as a shard, opens before it looks at its plan.
        if !plans::is_unchanged(desk, standing).await? {
            return Ok(false);
        }
        remove(objects).await?;
    }
    disk::remove_empty(&heap.folder);
    Ok(true)
}

/// What killed processes left of trying the conditions of the store.
async fn probes(state: &Place, age: Age) -> Result<Vec<Object>, StorageError> {
    let folder = jobs(state).join(".probe");
    let listed = folder.list().await?;
    let old = listed.into_iter().filter(|meta| age.is_old(meta.last_modified));
    Ok(old
        .map(|meta| Object {
            bytes: meta.size,
            place: folder.at(meta.location),
        })
        .collect())
}

async fn remove(objects: &[Object]) -> Result<(), StorageError> {
    let places: Vec<_> = objects.iter().map(|object| object.place.clone()).collect();
    let removals = stream::iter(places).map(|place| async move { place.remove().await });
    removals.buffer_unordered(CONCURRENT_REMOVALS).try_collect().await
}

fn add(to: &mut Amounts, kind: Kind, amount: Amount) {
    let sum = to.entry(kind).or_default();
    sum.objects += amount.objects;
    sum.bytes += amount.bytes;
}

fn add_objects(to: &mut Amounts, kind: Kind, objects: &[Object]) {
    if objects.is_empty() {
        return;
    }
    let amount = Amount {
        objects: objects.len() as u64,
        bytes: objects.iter().map(|object| object.bytes).sum(),
    };
    add(to, kind, amount);
}
