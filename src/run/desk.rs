//! Where a run works: the records of its date, the partition, the folder in which files grow, and the name under which it is known there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::fs::statfs;
use tracing::warn;
use uuid::Uuid;

use super::already::keep_record;
use super::{Notice, Options, RunError, Surroundings, Verdict};
use crate::clock::Clock;
use crate::error::Error;
use crate::hold::{Holder, Terms};
use crate::machine::Machine;
use crate::plan::generation;
use crate::publish::{
    Fences, Owner, Partition, PublishError, Showing, Shown, SpoolFolder, Standing, Visible, roll_forward,
};
use crate::records::{Commit, DatasetRecord, DateFolder, jobs};
use crate::settings::{OnBusy, Settings};
use crate::storage::Place;
use crate::validate::Job;

/// Time in which the right to work is given back at the end.
pub(super) const RELEASE_TIME: Duration = Duration::from_secs(5);

/// Times of a lease in which the death of its holder is noticed for sure.
const NOTICED: u32 = 2;

/// What is written below the records of a date; a link there is found before anything is scored.
const WRITTEN: [&str; 6] = ["lock", "log", "plans", "published", "rejects", "spool"];

/// File systems of other machines, by the number that the kernel has for them (statfs(2)).
const NETWORK: [(u64, &str); 7] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x5346_414f, "AFS"),
];

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
    state: Place,
    dataset: Place,
    job: String,
    clock: Arc<dyn Clock>,
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
        for folder in [state, output] {
            network(folder, around.settings.state.allow_network_fs)?;
        }
        let (real_state, real_output) = (real(state)?, real(output)?);
        if real_state.starts_with(&real_output) || real_output.starts_with(&real_state) {
            return Err(RunError::Overlap {
                state: real_state.display().to_string(),
                output: real_output.display().to_string(),
            }
            .into());
        }
        if device(state)? != device(output)? {
            return Err(RunError::Devices {
                state: job.state.to_string(),
                output: job.output.to_string(),
            }
            .into());
        }
        Ok(())
    }

    /// Tries whether a bucket's store keeps the conditions of writes; before anything is written there.
    pub fn check_store(&self, job: &Job, around: &Surroundings<'_>) -> Result<(), Error> {
        if self.state.local().is_some() {
            return Ok(());
        }
        let unsafe_single_writer = around.settings.state.unsafe_single_writer;
        let place = jobs(&self.state).join(".probe");
        // A name of its own for each process.
        let name = format!("{}-{}", self.holder.id, Uuid::new_v4().simple());
        if unsafe_single_writer {
            warn!("[state] unsafe_single_writer: nothing keeps a second process from publishing over this one");
            place.without_conditions();
        } else if let Some(fault) = around.wait(place.try_conditions(&name))? {
            return Err(RunError::Conditions {
                state: job.state.to_string(),
                fault,
            }
            .into());
        }
        self.partition.place().takes_conditions_like(&place);
        Ok(())
    }

    /// Checks that the records of the job are about this data set, so far as they say.
    pub async fn belongs(&self) -> Result<(), Error> {
        let place = DatasetRecord::place(&self.state, &self.job);
        match DatasetRecord::read(&place).await? {
            Some(found) => self.same_dataset(&found, &place),
            None => Ok(()),
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

    /// The publication that leaves a run nothing to do: visible, and of the same plan or of the same intention.
    pub fn settled<'s>(&self, standing: &'s Standing, base_id: &str, again: bool) -> Option<&'s Commit> {
        let plan_id = generation(base_id, standing.log.generation(base_id).unwrap_or(0));
        let commit = standing.settled(&plan_id, &self.holder.run_key)?;
        (commit.run_key == self.holder.run_key || !again).then_some(commit)
    }

    /// Brings to its end what another process had decided. The number of the commit if that cannot be done any more.
    pub fn roll_forward(&self, around: &Surroundings<'_>) -> Result<Option<u64>, Error> {
        let standing = around.wait(self.standing())?;
        let Some(commit) = standing.pending() else {
            return Ok(None);
        };
        let rolled = roll_forward(&self.date, &self.partition, &self.showing, commit, &self.spool);
        match around.wait(rolled)? {
            None => Ok(Some(commit.n)),
            Some(Visible::Newer(_)) => Ok(None),
            Some(Visible::Ours { replaced, .. }) => {
                around.wait(keep_record(self, commit, replaced, serde_json::Value::Null))?;
                Ok(None)
            }
        }
    }

    /// `ETag`s of the files of a commit, where the store has them.
    pub(super) async fn etags(&self, commit: &Commit) -> Vec<Option<String>> {
        let mut etags = Vec::with_capacity(commit.files.len());
        for file in &commit.files {
            let shown = self.partition.look(&file.name).await;
            etags.push(match shown {
                Ok(Shown::Ours(_, version)) if self.partition.place().local().is_none() => {
                    Some(version.etag().to_owned())
                }
                _ => None,
            });
        }
        etags
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

/// The part of a path that exists.
fn existing(folder: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(folder)?;
    let found = absolute.ancestors().find(|folder| folder.exists());
    Ok(found.unwrap_or(Path::new("/")).to_owned())
}

/// A path without links, whether or not all of it exists yet.
fn real(folder: &Path) -> Result<PathBuf, RunError> {
    let failed = |source| folder_error(folder, source);
    let absolute = std::path::absolute(folder).map_err(failed)?;
    let there = existing(folder).map_err(failed)?;
    let rest = absolute.strip_prefix(&there).unwrap_or(Path::new(""));
    Ok(fs::canonicalize(&there).map_err(failed)?.join(rest))
}

/// The file system that a folder is on, or will be on.
fn device(folder: &Path) -> Result<u64, RunError> {
    let facts = existing(folder).and_then(fs::metadata);
    Ok(facts.map_err(|source| folder_error(folder, source))?.dev())
}

fn network(folder: &Path, allowed: bool) -> Result<(), RunError> {
    let facts = existing(folder).and_then(|folder| Ok(statfs(&folder)?));
    let facts = facts.map_err(|source| folder_error(folder, source))?;
    // The number is signed or not, 32 bits or 64, by architecture.
    #[expect(clippy::cast_sign_loss, reason = "it is a pattern of 32 bits")]
    let kind = (facts.f_type as u64) & 0xffff_ffff;
    match NETWORK.iter().find(|(number, _)| *number == kind) {
        Some((_, kind)) if !allowed => Err(RunError::NetworkFs {
            folder: folder.display().to_string(),
            kind,
        }),
        _ => Ok(()),
    }
}

fn folder_error(folder: &Path, source: io::Error) -> RunError {
    RunError::Folder {
        folder: folder.display().to_string(),
        source,
    }
}
