//! Where a run works: the records of its date, the partition, the folder in which files grow, and the name under which it is known there.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tracing::warn;

use super::store::Store;
use super::{Notice, Options, RunError, Surroundings, Verdict, disk};
use crate::clock::Clock;
use crate::error::Error;
use crate::hold::{Holder, Terms};
use crate::machine::Machine;
use crate::nonce::nonce;
use crate::publish::{Fences, Owner, Partition, PublishError, Showing, SpoolFolder, Standing};
use crate::records::{Commit, DatasetRecord, DateFolder, FORM, Open, jobs};
use crate::settings::{OnBusy, Settings};
use crate::storage::{Place, StorageError};
use crate::validate::Job;

/// Time in which the right to work is given back at the end.
pub(super) const RELEASE_TIME: Duration = Duration::from_secs(5);

/// Times of a lease in which the death of its holder is noticed for sure.
const NOTICED: u32 = 2;

/// What is written below the records of a date; a link there is found before anything is scored.
const WRITTEN: [&str; 6] = ["lock", "log", "plans", "published", "rejects", "spool"];

/// Where a run works.
pub struct Desk {
    /// Records of the date.
    pub date: DateFolder,
    /// What readers see.
    pub partition: Partition,
    /// This process.
    pub holder: Holder,
    /// How files are put in place.
    pub showing: Showing,
    /// How the right to work is held.
    pub terms: Terms,
    /// Folder in which files grow.
    pub spool: SpoolFolder,
    pub(super) state: Place,
    pub(super) dataset: Place,
    pub(super) job: String,
    pub(super) clock: Arc<dyn Clock>,
}

impl Desk {
    /// The desk of a job and date. Nothing is read or written yet.
    pub fn open(
        job: &Job,
        options: &Options,
        settings: &Settings,
        machine: &Machine,
        clock: &Arc<dyn Clock>,
        run_id: &str,
    ) -> Result<Self, Error> {
        let dataset = Place::open(&job.output, &settings.storage)?;
        let state = Place::open(&job.state, &settings.storage)?;
        let date = DateFolder::new(&state, &job.name, job.date);
        let lease = settings.lease;
        let on_disk = date.place().local().is_some();
        let spool = match date.place().local() {
            Some(folder) => SpoolFolder::Renamed(folder.join("spool")),
            None => SpoolFolder::Sent(settings.spool.path.clone().unwrap_or_else(std::env::temp_dir)),
        };
        Ok(Self {
            partition: Partition::new(
                dataset.join(&format!("date={}", job.date)),
                Owner {
                    job: job.name.clone(),
                    date: job.date,
                },
                job.adopt_foreign,
            ),
            date,
            holder: Holder {
                id: run_id.to_owned(),
                run_key: settings.run.key.clone().unwrap_or_else(|| run_id.to_owned()),
                host: machine.host_name().unwrap_or_else(|| "this machine".to_owned()),
                pid: std::process::id(),
            },
            showing: Showing {
                single_put_max: settings.publish.single_put_max,
                marker: job.success_marker,
                nonatomic: options.allow_nonatomic_replace,
                fences: Fences::ALL,
            },
            terms: Terms {
                ttl: lease.ttl,
                patience: match lease.on_busy {
                    // The system frees the lock of a process that died at once; a lease has to be watched first.
                    OnBusy::Wait if on_disk => lease.busy_timeout,
                    OnBusy::Wait => lease.ttl * NOTICED + lease.busy_timeout,
                    OnBusy::Skip | OnBusy::Fail => Duration::ZERO,
                },
                lease: lease.enabled,
            },
            spool,
            state,
            dataset,
            job: job.name.clone(),
            clock: Arc::clone(clock),
        })
    }

    /// Checks that files can be locked and renamed on a local disk as they have to be.
    pub fn check_disk(&self, job: &Job, around: &Surroundings<'_>) -> Result<(), Error> {
        let (Some(state), Some(partition)) = (self.state.local(), self.partition.place().local()) else {
            return Ok(());
        };
        self.partition.place().stays()?;
        for name in WRITTEN {
            self.date.place().join(name).stays()?;
        }
        let output = partition.parent().unwrap_or(partition);
        let allow_network_fs = around.settings.state.allow_network_fs;
        Ok(disk::check(job, state, output, allow_network_fs)?)
    }

    /// Tries whether a bucket's store keeps the conditions of writes; before anything is written there.
    pub fn check_store(&self, job: &Job, around: &Surroundings<'_>) -> Result<(), Error> {
        let unsafe_single_writer = around.settings.state.unsafe_single_writer;
        let mut store = around.wait(self.try_store(unsafe_single_writer, around.runtime))?;
        let cleared = around.wait(store.clear());
        let admitted = store.admit(job).and(cleared);
        store.leave(around);
        admitted
    }

    /// As `check_store`, without saying what it means, and without waiting until nothing is left of it.
    pub(super) async fn try_store(&self, unsafe_single_writer: bool, runtime: &Handle) -> Result<Store, StorageError> {
        if self.state.local().is_some() {
            return Ok(Store::default());
        }
        let place = jobs(&self.state).join(".probe");
        // A name of its own for each process.
        let name = format!("{}-{}", self.holder.id, nonce());
        let store = if unsafe_single_writer {
            warn!("[state] unsafe_single_writer: nothing keeps a second process from publishing over this one");
            place.without_conditions();
            Store::default()
        } else {
            let (fault, traces) = place.try_conditions(&name).await?;
            Store::tried(fault, traces, runtime)
        };
        self.partition.place().takes_conditions_like(&place);
        Ok(store)
    }

    /// Checks that the records of the job are about this data set, so far as they say; true when they do say.
    pub async fn belongs(&self) -> Result<bool, Error> {
        let place = DatasetRecord::place(&self.state, &self.job);
        match DatasetRecord::read(&place).await? {
            Some(found) => self.same_dataset(&found, &place).map(|()| true),
            None => Ok(false),
        }
    }

    /// As `belongs`, and keeps it from now on.
    pub async fn claim(&self) -> Result<(), Error> {
        let place = DatasetRecord::place(&self.state, &self.job);
        let found = self.dataset_record().keep(&place).await?;
        self.same_dataset(&found, &place)
    }

    fn dataset_record(&self) -> DatasetRecord {
        DatasetRecord::of(&self.state, &self.dataset)
    }

    fn same_dataset(&self, found: &DatasetRecord, place: &Place) -> Result<(), Error> {
        if *found == self.dataset_record() {
            return Ok(());
        }
        Err(RunError::OtherDataset {
            record: place.location().to_string(),
            found: found.dataset.clone(),
            output: self.dataset.location().to_string(),
        }
        .into())
    }

    /// What is decided and what readers see.
    pub async fn standing(&self) -> Result<Standing, PublishError> {
        Standing::read(&self.date, &self.partition).await
    }

    /// The record with which a run takes its place in the log; whoever takes it gives the number.
    pub fn wish(&self, plan_id: String, base_id: String, generation: u32) -> Open {
        Open {
            v: FORM,
            job: self.job.clone(),
            date: self.date.date(),
            n: 0,
            run_key: self.holder.run_key.clone(),
            holder: self.holder.id.clone(),
            plan_id,
            base_id,
            generation,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            at: self.now(),
        }
    }

    /// A notice that says nothing of what is published.
    pub(super) fn notice(&self, outcome: Verdict) -> Notice {
        let date = self.date.date();
        Notice {
            job: self.job.clone(),
            date,
            outcome,
            output: self.partition.place().location().to_string(),
            seq: None,
            plan_id: None,
            rows: None,
            used_key: None,
            published_by: None,
        }
    }

    /// A notice of what is published.
    pub(super) fn notice_of(&self, commit: &Commit) -> Notice {
        Notice {
            seq: Some(commit.n),
            plan_id: Some(commit.plan_id.clone()),
            rows: Some(commit.rows_out),
            ..self.notice(Verdict::AlreadyPublished)
        }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
