//! What one job still has to do: the mark up to which its fires were seen, the date that runs, and the dates that wait.
//!
//! The rules of overlap, retry and restart, without time or processes: both are handed in.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::missed::delta;
use super::{Dropped, Fire, Reason, Schedule};
use crate::exit::ExitCode;

/// Starts of one date before it is left to the next fire's look at unpublished dates.
const MOST_ATTEMPTS: u32 = 4;

/// The wait before the second start; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);

/// A clock that is set right by more than this was wrong before, so what was seen by it is not believed. Below it, it is the new time that may be
/// wrong, such as that of a machine whose clock runs in local time, and nothing fires twice.
const FARTHEST_AHEAD: TimeDelta = TimeDelta::days(2);

/// Days that a fire may be away from another one of the date before: clocks change, and days of a zone are not those of UTC.
const MARGIN_DAYS: i64 = 2;

/// What one job still has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agenda {
    mark: DateTime<Utc>,
    waiting: Vec<Task>,
    running: Option<Task>,
}

/// A date to be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The date.
    pub date: NaiveDate,
    /// The fire that it belongs to.
    pub scheduled: DateTime<Utc>,
    /// Why it is to be scored.
    pub cause: Cause,
    /// When it may start.
    pub not_before: DateTime<Utc>,
    /// Starts so far.
    pub attempts: u32,
}

/// Why a date is to be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The schedule fired.
    Fire,
    /// A date before a fire was never published.
    Reconcile,
}

/// What a look at the clock changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Dates that wait since now.
    pub queued: Vec<Task>,
    /// Fires that are given up.
    pub dropped: Vec<Dropped>,
    /// The mark that was found too far in the future to be believed, and was taken back to now.
    pub taken_back: Option<DateTime<Utc>>,
}

impl Look {
    /// True where something is to be written down.
    pub fn changed(&self) -> bool {
        !self.queued.is_empty() || !self.dropped.is_empty() || self.taken_back.is_some()
    }
}

/// What becomes of a date whose process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is done.
    Done,
    /// It is started again at that time.
    Again(DateTime<Utc>),
    /// It is not started again.
    Failed,
}

impl Agenda {
    /// The agenda of a job that was never seen: nothing is caught up.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self::resumed(now, Vec::new())
    }

    /// The agenda as it was written down. Dates that were handed over and not finished wait again.
    pub fn resumed(mark: DateTime<Utc>, mut unfinished: Vec<Task>) -> Self {
        unfinished.sort_by_key(|task| (task.date, task.scheduled));
        for task in &mut unfinished {
            task.attempts = 0;
        }
        Self {
            mark,
            waiting: unfinished,
            running: None,
        }
    }

    /// Up to when fires were seen.
    pub fn mark(&self) -> DateTime<Utc> {
        self.mark
    }

    /// Dates that are handed over and not finished.
    pub fn unfinished(&self) -> impl Iterator<Item = &Task> {
        self.running.iter().chain(&self.waiting)
    }

    /// The date that runs.
    pub fn running(&self) -> Option<&Task> {
        self.running.as_ref()
    }

    /// Dates that wait, in order.
    pub fn waiting(&self) -> &[Task] {
        &self.waiting
    }

    /// Moves the mark to now and lines up what fired since. A clock that was set back finds nothing: the mark stays, unless it is so far
    /// ahead that the clock must have been wrong. Then it is taken back to now, and what is published already is not scored again.
    pub fn look(&mut self, job: &str, schedule: &Schedule, now: DateTime<Utc>) -> Look {
        let taken_back = (self.mark - now > FARTHEST_AHEAD).then_some(self.mark);
        if taken_back.is_some() {
            self.mark = now;
            self.waiting.retain(|task| task.scheduled <= now);
        }
        let due = schedule.due(self.mark, now);
        self.mark = self.mark.max(now);
        // A wait that was set by a clock which has been set back since would not end.
        let latest = now + delta(schedule.jitter + FIRST_WAIT * 2_u32.pow(MOST_ATTEMPTS));
        for task in &mut self.waiting {
            task.not_before = task.not_before.min(latest);
        }
        let mut look = Look {
            queued: Vec::new(),
            dropped: due.dropped,
            taken_back,
        };
        for fire in due.run {
            if self.unfinished().any(|task| task.date == fire.date) {
                continue;
            }
            let task = Task {
                date: fire.date,
                scheduled: fire.at,
                cause: Cause::Fire,
                not_before: fire.at + delta(schedule.delay(job, fire.date)),
                attempts: 0,
            };
            self.waiting.push(task);
            look.queued.push(task);
        }
        // Dates that are looked at once more are no fires, and `reconcile_days` bounds them.
        let fires = |waiting: &[Task]| waiting.iter().filter(|task| task.cause == Cause::Fire).count();
        while fires(&self.waiting) > schedule.catchup_max {
            let Some(oldest) = self.waiting.iter().position(|task| task.cause == Cause::Fire) else {
                break;
            };
            let task = self.waiting.remove(oldest);
            look.queued.retain(|queued| queued.date != task.date);
            look.dropped.push(Dropped {
                fire: Fire {
                    at: task.scheduled,
                    wall: task.scheduled.with_timezone(&schedule.timezone).naive_local(),
                    date: task.date,
                },
                reason: Reason::Many,
            });
        }
        look
    }

    /// When there is something to do next: a date may start, or the schedule fires.
    pub fn next(&self, schedule: &Schedule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // One that may start already waits for something else than time.
        let coming = self.waiting.iter().map(|task| task.not_before).filter(|at| *at > now);
        let waits = self.running.is_none().then(|| coming.min());
        let fire = schedule.next_after(self.mark.max(now)).map(|fire| fire.at);
        waits.flatten().into_iter().chain(fire).min()
    }

    /// The date that may start now: one at a time, in order.
    pub fn ready(&self, now: DateTime<Utc>) -> Option<&Task> {
        if self.running.is_some() {
            return None;
        }
        self.waiting.iter().find(|task| task.not_before <= now)
    }

    /// Dates of earlier fires that a fire looks at again, so far as the schedule looks back. Those that wait anyway are left out.
    pub fn earlier(&self, schedule: &Schedule, task: &Task) -> Vec<Task> {
        let days = schedule.reconcile_days;
        let from = task.scheduled - TimeDelta::days(i64::from(days) + MARGIN_DAYS);
        let oldest = task.date - Days::new(days.into());
        let fires = schedule.fires_after(from).take_while(|fire| fire.at < task.scheduled);
        let mut earlier: Vec<Task> = Vec::new();
        for fire in fires.filter(|fire| (oldest..task.date).contains(&fire.date)) {
            if !self.unfinished().chain(&earlier).any(|known| known.date == fire.date) {
                earlier.push(Task {
                    date: fire.date,
                    scheduled: fire.at,
                    cause: Cause::Reconcile,
                    ..*task
                });
            }
        }
        earlier
    }

    /// Lines up dates before all others.
    pub fn first(&mut self, tasks: Vec<Task>) {
        self.waiting.splice(0..0, tasks);
    }

    /// A date starts. Nothing happens where it does not wait.
    pub fn start(&mut self, date: NaiveDate) {
        if let Some(place) = self.waiting.iter().position(|task| task.date == date) {
            let mut task = self.waiting.remove(place);
            task.attempts += 1;
            self.running = Some(task);
        }
    }

    /// The process of the date that runs has ended.
    pub fn ended(&mut self, exit: ExitCode, now: DateTime<Utc>) -> Ended {
        let Some(mut task) = self.running.take() else {
            return Ended::Done;
        };
        // A date that is looked at once more is one that may well have no input.
        let nothing_there = task.cause == Cause::Reconcile && exit == ExitCode::InputNotReady;
        if exit == ExitCode::Success || nothing_there {
            return Ended::Done;
        }
        if !exit.retryable() || task.attempts >= MOST_ATTEMPTS {
            return Ended::Failed;
        }
        task.not_before = now + delta(FIRST_WAIT * 2_u32.pow(task.attempts - 1));
        self.waiting.insert(0, task);
        Ended::Again(task.not_before)
    }

    /// The daemon stops: the date that runs stays to be done.
    pub fn stopped(&mut self) {
        if let Some(task) = self.running.take() {
            self.waiting.insert(0, task);
        }
    }
}
