//! One job of the daemon: its agenda, the record of it, and what its runs came to.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tracing::{info, warn};

use super::board::Entry;
use super::changes::Changes;
use super::status::{Fires, JobStatus, Published, RunStatus};
use crate::changed::Inputs;
use crate::child::Finished;
use crate::clock::Clock;
use crate::ending::{Ended as Remembered, Ending};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::history::History;
use crate::hold::{Hold, HoldError, Holder, Taken};
use crate::records::ScheduleRecord;
use crate::schedule::{Agenda, Cause, Ended, Look, Schedule, Task};
use crate::settings::Settings;
use crate::storage::{Place, StorageError, Version};
use crate::validate::Job;

/// Runs that are remembered of a job.
const MOST_RUNS: usize = 20;

/// Publications that are shown of a job.
const MOST_PUBLICATIONS: usize = 10;

/// Fires that are shown.
const COMING: usize = 3;

/// A date that was looked at again is left alone for so long: its input did not come, or its run fails.
const AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);

/// The record is no older than this, so that fires of an edited line are not taken for missed ones after a restart.
const OLDEST_RECORD: TimeDelta = TimeDelta::hours(1);

/// A clock that is behind the mark by less was only set, as clocks are all the time.
const NOT_SET_BACK: TimeDelta = TimeDelta::minutes(1);

/// A look at what is published must not keep runs from starting.
const LOOK_TIME: Duration = Duration::from_secs(20);

/// One job of the daemon.
pub(super) struct Worker {
    job: Job,
    file: PathBuf,
    history: Arc<History>,
    inputs: Inputs,
    changes: Changes,
    place: Place,
    lock: Place,
    /// What keeps other daemons on this machine from the job. None before it was got.
    hold: Option<Hold>,
    /// The daemon that has it.
    kept_by: Option<String>,
    /// None before its record was read.
    agenda: Option<Agenda>,
    version: Option<Version>,
    beat: u64,
    /// The mark of the record.
    kept_mark: DateTime<Utc>,
    /// The mark of which was said that the clock is behind it.
    said_behind: Option<DateTime<Utc>>,
    /// Earlier dates that were looked at again, and when.
    looked_again: BTreeMap<NaiveDate, DateTime<Utc>>,
    /// The fire for which earlier dates were looked at.
    reconciled: Option<DateTime<Utc>>,
    running_since: Option<DateTime<Utc>>,
    runs: VecDeque<RunStatus>,
    last: Option<(Remembered, Finished)>,
    exits: BTreeMap<u8, u64>,
    dropped: u64,
    published: Vec<Published>,
}

impl Worker {
    pub(super) fn new(entry: &Entry, settings: &Settings) -> Result<Self, Error> {
        let Entry { job, file, .. } = entry;
        let state = Place::open(&job.state, &settings.storage)?;
        Ok(Self {
            history: Arc::new(History::open(job, settings)?),
            inputs: Inputs::of(job, &settings.storage),
            changes: Changes::default(),
            place: ScheduleRecord::place(&state, &job.name),
            lock: ScheduleRecord::lock(&state, &job.name),
            hold: None,
            kept_by: None,
            job: job.clone(),
            file: file.clone(),
            agenda: None,
            version: None,
            beat: 0,
            kept_mark: DateTime::UNIX_EPOCH,
            said_behind: None,
            looked_again: BTreeMap::new(),
            reconciled: None,
            running_since: None,
            runs: VecDeque::new(),
            last: None,
            exits: BTreeMap::new(),
            dropped: 0,
            published: Vec::new(),
        })
    }

    /// The worker with its file as it is now. Another state folder has another record.
    pub(super) fn renewed(self, entry: &Entry, settings: &Settings) -> Result<Self, Error> {
        let fresh = Self::new(entry, settings)?;
        if fresh.job.state != self.job.state {
            return Ok(fresh);
        }
        Ok(Self {
            job: fresh.job,
            file: fresh.file,
            history: fresh.history,
            inputs: fresh.inputs,
            place: fresh.place,
            ..self
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.job.name
    }

    pub(super) fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }

    pub(super) fn warning(&self) -> Option<&'static str> {
        match &self.job.schedule {
            None => Some("the job has no [schedule] and is never started"),
            Some(schedule) => schedule.warning(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.agenda.as_ref().is_some_and(|agenda| agenda.running().is_some())
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.agenda.is_some() || self.job.schedule.is_none()
    }

    /// Looks at the calendar, and writes down what it finds. False where another daemon keeps the job.
    pub(super) async fn look(&mut self, holder: &Holder, clock: &dyn Clock) -> Result<bool, HoldError> {
        let Some(schedule) = self.job.schedule.clone() else {
            return Ok(true);
        };
        if self.agenda.is_none() {
            if !self.take(holder).await? {
                return Ok(false);
            }
            self.resume(clock.now()).await?;
            self.read_published().await;
            self.keep(holder).await?;
        }
        let Some(agenda) = &mut self.agenda else {
            return Ok(true);
        };
        let before = agenda.clone();
        let now = clock.now();
        let look = agenda.look(&self.job.name, &schedule, now);
        let mark = agenda.mark();
        if (look.changed() || mark - self.kept_mark >= OLDEST_RECORD)
            && let Err(failure) = self.keep(holder).await
        {
            // Nothing was seen that is not written down: the next look finds it again.
            self.agenda = Some(before);
            return Err(failure.into());
        }
        self.say(look, mark, now);
        Ok(true)
    }

    /// Takes the job, so that no other daemon of this machine does. False where one has.
    async fn take(&mut self, holder: &Holder) -> Result<bool, HoldError> {
        if self.hold.is_some() {
            return Ok(true);
        }
        match Hold::lock(&self.lock, holder).await? {
            Taken::Held(hold) => {
                if let Some(who) = self.kept_by.take() {
                    info!(job = self.job.name, "taken over from the daemon {who}");
                }
                self.hold = Some(hold);
                Ok(true)
            }
            Taken::Busy(who) => {
                if self.kept_by.as_ref() != Some(&who) {
                    let job = &self.job.name;
                    warn!(
                        job,
                        "another daemon keeps this job, {who}; it is taken over when that one has ended"
                    );
                    self.kept_by = Some(who);
                }
                Ok(false)
            }
        }
    }

    /// Says what a look has changed.
    fn say(&mut self, look: Look, mark: DateTime<Utc>, now: DateTime<Utc>) {
        if let Some(ahead) = look.taken_back {
            let job = &self.job.name;
            warn!(job, mark = %ahead, %now, "its fires were seen up to a time that is days ahead: the clock was wrong then, and fires count from now on");
        }
        if mark - now > NOT_SET_BACK && self.said_behind != Some(mark) {
            self.said_behind = Some(mark);
            warn!(job = self.job.name, %mark, %now, "the clock was set back: fires up to this mark were seen, and none is run again");
        }
        for dropped in look.dropped {
            self.dropped += 1;
            let (at, date) = (dropped.fire.at, dropped.fire.date);
            warn!(job = self.job.name, %date, scheduled = %at, reason = dropped.reason.text(), "a fire is given up");
        }
        for task in look.queued {
            info!(job = self.job.name, date = %task.date, scheduled = %task.scheduled, "due");
        }
    }

    async fn resume(&mut self, now: DateTime<Utc>) -> Result<(), StorageError> {
        let found = ScheduleRecord::read(&self.place).await?;
        let (record, version) = found.unzip();
        self.version = version;
        self.agenda = Some(match record.flatten() {
            Some(record) => {
                self.beat = record.beat;
                Agenda::resumed(record.mark, record.unfinished)
            }
            None => Agenda::new(now),
        });
        Ok(())
    }

    /// Writes the agenda down. Where another daemon has written meanwhile, the two are joined: dates are published
    /// once whoever runs them, and none may be forgotten.
    pub(super) async fn keep(&mut self, holder: &Holder) -> Result<(), StorageError> {
        let Some(agenda) = &self.agenda else {
            return Ok(());
        };
        self.beat += 1;
        let mark = agenda.mark();
        let record = ScheduleRecord::of(agenda, &holder.name(), self.beat);
        if let Some(version) = record.keep(&self.place, self.version.as_ref()).await? {
            self.version = Some(version);
            self.kept_mark = mark;
            return Ok(());
        }
        warn!(
            job = self.job.name,
            "another process keeps its schedule record too; run one daemon for a job"
        );
        let found = ScheduleRecord::read(&self.place).await?;
        let (theirs, version) = found.unzip();
        let record = match theirs.flatten() {
            Some(theirs) => record.joined(theirs),
            None => record,
        };
        self.beat = record.beat;
        self.version = record.keep(&self.place, version.as_ref()).await?.or(version);
        Ok(())
    }

    /// The date that may start now.
    pub(super) fn ready(&self, now: DateTime<Utc>) -> Option<&Task> {
        self.schedule()?;
        self.agenda.as_ref()?.ready(now)
    }

    /// When there is something to do next.
    pub(super) fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.agenda.as_ref()?.next(self.schedule()?, now)
    }

    fn schedule(&self) -> Option<&Schedule> {
        self.job.schedule.as_ref()
    }

    /// Takes the date that may start now, after having looked for earlier ones that were never published. It is written down before.
    pub(super) async fn hand_over(
        &mut self,
        holder: &Holder,
        now: DateTime<Utc>,
    ) -> Result<Option<Task>, StorageError> {
        let Some(task) = self.ready(now).copied() else {
            return Ok(None);
        };
        if task.cause == Cause::Fire && task.attempts == 0 && self.reconciled != Some(task.scheduled) {
            self.reconciled = Some(task.scheduled);
            let earlier = self.unpublished(&task, now).await;
            if let Some(agenda) = self.agenda.as_mut().filter(|_| !earlier.is_empty()) {
                agenda.first(earlier);
                self.keep(holder).await?;
            }
        }
        let Some(task) = self.ready(now).copied() else {
            return Ok(None);
        };
        let Some(agenda) = &mut self.agenda else {
            return Ok(None);
        };
        agenda.start(task.date);
        self.running_since = Some(now);
        Ok(agenda.running().copied())
    }

    /// Dates before a fire that readers do not see.
    async fn unpublished(&mut self, task: &Task, now: DateTime<Utc>) -> Vec<Task> {
        let (Some(agenda), Some(schedule)) = (&self.agenda, &self.job.schedule) else {
            return Vec::new();
        };
        let mut unpublished = agenda.earlier(schedule, task);
        let dates = unpublished.iter().map(|earlier| earlier.date).collect();
        self.changes
            .look(&self.job.name, dates, Arc::clone(&self.history), self.inputs.clone());
        unpublished.retain(|earlier| {
            self.looked_again
                .get(&earlier.date)
                .is_none_or(|at| now - *at >= AGAIN_AFTER)
        });
        let look = async {
            let mut seen = Vec::new();
            for earlier in &unpublished {
                let visible = self
                    .history
                    .of_date(earlier.date, None)
                    .await
                    .map(|found| found.visible);
                match visible {
                    Ok(None) => {}
                    Ok(Some(_)) => seen.push(earlier.date),
                    Err(failure) => {
                        warn!(job = self.job.name, date = %earlier.date, %failure, "an earlier date could not be looked at");
                        seen.push(earlier.date);
                    }
                }
            }
            seen
        };
        let Ok(seen) = tokio::time::timeout(LOOK_TIME, look).await else {
            warn!(job = self.job.name, "earlier dates could not be looked at in time");
            return Vec::new();
        };
        unpublished.retain(|earlier| !seen.contains(&earlier.date));
        self.looked_again.retain(|_, at| now - *at < AGAIN_AFTER);
        for earlier in &unpublished {
            info!(job = self.job.name, date = %earlier.date, "never published; looked at again");
            self.looked_again.insert(earlier.date, now);
        }
        unpublished
    }

    /// A process has ended.
    pub(super) async fn ended(
        &mut self,
        task: Task,
        started: DateTime<Utc>,
        mut finished: Finished,
        now: DateTime<Utc>,
        stopping: bool,
        holder: &Holder,
    ) -> Result<(), StorageError> {
        self.running_since = None;
        let stopped = stopping && matches!(finished.exit, ExitCode::Terminated | ExitCode::Interrupted);
        if let Some(agenda) = &mut self.agenda {
            let (job, date, exit_code) = (&self.job.name, task.date, finished.exit.code());
            let now_what = if stopped {
                agenda.stopped();
                Ended::Again(now)
            } else {
                agenda.ended(finished.exit, now)
            };
            match now_what {
                Ended::Done => info!(job, %date, exit_code, "ended"),
                Ended::Again(_) if stopped => {
                    info!(job, %date, exit_code, "stopped, and gone on with at the next start");
                }
                Ended::Again(at) => warn!(job, %date, exit_code, %at, "failed, and is tried again"),
                Ended::Failed => warn!(job, %date, exit_code, reason = finished.exit.meaning(), "failed"),
            }
        }
        *self.exits.entry(finished.exit.code()).or_default() += 1;
        self.runs.push_front(RunStatus::of(&task, started, &finished));
        self.runs.truncate(MOST_RUNS);
        let ending = Ending {
            job: Some(self.job.name.clone()),
            model: Some(self.job.model_name.clone()),
            date: Some(task.date),
            exit: finished.exit,
            at: now,
            seconds: finished.seconds,
            trace_id: None,
            printed: finished.report.clone(),
            error: None,
        };
        let remembered = Remembered::after(self.last.as_ref().map(|(remembered, _)| remembered), &ending);
        if finished.exit == ExitCode::Success {
            self.read_published().await;
        }
        // What was scored stays in the metrics while later runs score nothing, such as one that finds its date published.
        if let Some((_, before)) = self.last.take().filter(|_| finished.report["rows"]["in"].is_null()) {
            finished.report = before.report;
        }
        self.last = Some((remembered, finished));
        self.keep(holder).await
    }

    /// Reads what was published lately. Shown to people; nothing depends on it.
    async fn read_published(&mut self) {
        let found = tokio::time::timeout(LOOK_TIME, self.history.publications(|_| true, MOST_PUBLICATIONS)).await;
        match found {
            Ok(Ok(found)) => self.published = found.publications.iter().map(Published::of).collect(),
            Ok(Err(failure)) => warn!(job = self.job.name, %failure, "publications could not be listed"),
            Err(_) => warn!(job = self.job.name, "publications could not be listed in time"),
        }
    }

    /// What is known of the job.
    pub(super) fn status(&self, now: DateTime<Utc>) -> JobStatus {
        let agenda = self.agenda.as_ref();
        let coming = self.schedule().map(|schedule| {
            let from = agenda.map_or(now, |agenda| agenda.mark().max(now));
            let fires = schedule.fires_after(from).take(COMING);
            Fires::of(schedule, fires)
        });
        JobStatus {
            name: self.job.name.clone(),
            model: self.job.model_name.clone(),
            file: self.file.display().to_string(),
            output: self.job.output.to_string(),
            schedule: coming,
            mark: agenda.map(Agenda::mark),
            kept_by: self.kept_by.clone(),
            running: agenda.and_then(|agenda| agenda.running().copied()),
            running_since: self.running_since,
            waiting: agenda.map_or_else(Vec::new, |agenda| agenda.waiting().to_vec()),
            runs: self.runs.iter().cloned().collect(),
            published: self.published.clone(),
            dropped: self.dropped,
            exits: self.exits.iter().map(|(code, count)| (*code, *count)).collect(),
            last: self.last.clone(),
        }
    }
}
