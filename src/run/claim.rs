//! A run's claim to a date: its place in the log, and the plan that it means to publish.
//!
//! The steps by which runs keep apart, in the order in which a run takes them. What is scored is no matter here.

use std::sync::Arc;

use futures::future::join;
use tracing::warn;

use super::gate::{gate, superseded};
use super::publication::Forward;
use super::{Desk, RunError};
use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::error::Error;
use crate::hold::Hold;
use crate::pipeline::Gate;
use crate::plan::{Earlier, generation};
use crate::publish::{self, Opened, PublishError, Shown, Standing};
use crate::records::{Open, PlanRecord};

/// Folders of one plan that may be damaged before it is given up.
const MOST_DAMAGED: u32 = 8;

/// What a run is asked for.
#[derive(Debug, Clone)]
pub(super) struct Intent {
    /// The plan, whichever time it is done.
    pub(super) base_id: String,
    /// What earlier versions of this program called it, where something is published.
    pub(super) earlier: Vec<Earlier>,
    /// Whether it is done again although it is published.
    pub(super) again: bool,
    /// Whether a published date is an error.
    pub(super) only_once: bool,
}

/// A run's place in the log and its plan.
#[derive(Clone)]
pub(super) struct Claim<'a> {
    desk: &'a Desk,
    /// The place.
    pub(super) opened: Opened,
    /// The plan as all processes know it.
    pub(super) record: PlanRecord,
    /// Whether this process was the first to keep it, so that no chunk of it was finished before.
    is_new: bool,
}

/// What a run finds at its date.
#[derive(Debug)]
pub(super) struct Found {
    standing: Standing,
    /// An error when something else lies in the partition.
    strangers: Result<(), PublishError>,
}

impl Found {
    async fn look(desk: &Desk) -> Result<Self, PublishError> {
        let (standing, strangers) = join(desk.standing(), desk.partition.expect_no_strangers()).await;
        Ok(Self {
            standing: standing?,
            strangers,
        })
    }
}

/// What a run goes on from that has the right to work.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// Number of a commit that cannot be shown.
    lost: Option<u64>,
    /// What was found, if that is still to be believed.
    found: Option<Found>,
}

impl Start {
    /// Brings to its end what another process had decided. Beside it is asked what else lies in the partition, which counts only if there was
    /// nothing to be done.
    pub(super) async fn make(desk: &Desk) -> Result<Self, PublishError> {
        let (forward, strangers) = join(desk.roll_forward(), desk.partition.expect_no_strangers()).await;
        let Forward { lost, standing } = forward?;
        let found = standing.map(|standing| Found { standing, strangers });
        Ok(Self { lost, found })
    }
}

/// A place that a run would take.
pub(super) struct Wanted {
    open: Open,
    /// What it was judged by.
    standing: Standing,
    /// Number of a commit that cannot be shown.
    lost: Option<u64>,
}

impl Wanted {
    /// How often the plan was asked for again, unless a process of the same intention says otherwise.
    pub(super) fn generation(&self) -> u32 {
        self.open.generation
    }
}

/// The place that a run would take, before anything is written. `None` when what it would make is published by now.
pub(super) async fn wanted(desk: &Desk, intent: &Intent, files: usize, start: Start) -> Result<Option<Wanted>, Error> {
    let Found { standing, strangers } = match start.found {
        Some(found) => found,
        None => Found::look(desk).await?,
    };
    if desk.settled(&standing, intent).is_some() {
        return Ok(None);
    }
    if standing.overtaken(&desk.holder.run_key) {
        return Err(RunError::Superseded.into());
    }
    if intent.only_once && standing.shown != Shown::Nothing {
        return Err(desk.already_published().into());
    }
    desk.showing
        .permits(&desk.partition, &standing, strangers, files)
        .await?;
    let base_id = &intent.base_id;
    let again = match standing.log.generation(base_id) {
        // One that was begun and never committed is still to be done.
        Some(before) if intent.again && standing.log.has_committed(base_id, before) => before + 1,
        Some(before) => before,
        None => 0,
    };
    Ok(Some(Wanted {
        open: desk.wish(generation(base_id, again), base_id.clone(), again),
        standing,
        lost: start.lost,
    }))
}

/// Takes the place, or the one that another process of the same intention has.
pub(super) async fn take_place(desk: &Desk, wanted: Wanted) -> Result<Opened, PublishError> {
    let Wanted { open, standing, lost } = wanted;
    publish::open(&desk.date, &desk.partition, &open, lost, Some(standing)).await
}

impl<'a> Claim<'a> {
    /// Keeps the plan's record, or takes the one that is there. A folder whose record is damaged is left alone, and the plan done in
    /// another.
    pub(super) async fn settle(desk: &'a Desk, opened: Opened, mut record: PlanRecord) -> Result<Self, Error> {
        for _ in 0..MOST_DAMAGED {
            if let Some(settled) = publish::settle_plan(&desk.date, record.clone()).await? {
                return Ok(Self {
                    desk,
                    opened,
                    is_new: settled.run_id == record.run_id,
                    record: settled,
                });
            }
            warn!(
                plan = record.plan_id,
                "the record of the plan cannot be used; its chunks are scored again"
            );
            record.generation += 1;
            record.plan_id = generation(&record.base_id, record.generation);
        }
        Err(RunError::Plans {
            plans: desk.date.plans().location().to_string(),
        }
        .into())
    }

    /// Takes a new place if the commit behind the old one is lost.
    pub(super) async fn renew(&mut self, lost: Option<u64>) -> Result<(), PublishError> {
        if lost == Some(self.opened.open.n + 1) {
            let Desk { date, partition, .. } = self.desk;
            self.opened = publish::open(date, partition, &self.opened.open, lost, None).await?;
        }
        Ok(())
    }

    /// The chunks of the plan that are finished. An error when a later run has taken the place of this one; of a plan that is new nothing is
    /// finished, and the gate of the first chunk asks.
    pub(super) async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        if self.is_new {
            return Ok(Checkpoint::of_new(&self.desk.date, &self.record));
        }
        self.go_on().await?;
        Ok(Checkpoint::open(&self.desk.date, &self.record).await?)
    }

    /// An error when a later run has taken the place of this one.
    pub(super) async fn go_on(&self) -> Result<(), Error> {
        superseded(
            self.desk.date.clone(),
            self.opened.open.clone(),
            self.record.plan_id.clone(),
        )
        .await
    }

    /// What is asked before each chunk.
    pub(super) fn gate(&self, hold: Option<Arc<Hold>>, clock: &Arc<dyn Clock>) -> Gate {
        gate(&self.desk.date, &self.opened.open, &self.record.plan_id, hold, clock)
    }

    /// True when another process has published this plan meanwhile.
    pub(super) async fn is_published(&self) -> Result<bool, PublishError> {
        Ok(self.desk.standing().await?.is_published(&self.record.plan_id))
    }
}
