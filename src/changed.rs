//! Whether the input of a date is there, and whether it is still what was scored.
//!
//! Compares files by path, size and `ETag` with the record of the plan that readers see, never plans by their identity: so another version of
//! this program or of the model changes nothing here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use chrono::{DateTime, NaiveDate, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tracing::warn;

use crate::error::{Seam, causes};
use crate::exit::ExitCode;
use crate::plan::{Inventory, Item, PlanError};
use crate::records::{PlanInput, PlanRecord};
use crate::settings::StorageSettings;
use crate::spec::OnCorruptFile;
use crate::storage::{Place, StorageError};
use crate::validate::{Job, Location};

/// Footers that are read at a time.
const CONCURRENT_FOOTERS: usize = 8;

/// What there is of the input of a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Input {
    /// Files.
    Present {
        /// How many.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Nothing.
    Absent,
    /// Something that is not whole yet.
    NotReady {
        /// Why not.
        reason: String,
    },
    /// It cannot be told.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// How the input of a published date differs from what was scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Files that were not there.
    pub added: usize,
    /// Files that are not there any more.
    pub gone: usize,
    /// Files with another size, `ETag` or time.
    pub changed: usize,
    /// The first of all these, by path.
    pub first: String,
}

/// What was found at the input of a date.
#[derive(Debug, Clone)]
pub struct Found {
    /// What there is.
    pub input: Input,
    /// How it differs from what was scored; none where it does not, or where it cannot be told.
    pub change: Option<Change>,
}

/// The inputs of a job, date by date.
#[derive(Clone)]
pub struct Inputs {
    job: Job,
    storage: StorageSettings,
    /// The first bucket that was opened, since each has connections of its own.
    bucket: OnceLock<(String, Place)>,
}

impl Inputs {
    /// The inputs of a job. Nothing is read yet.
    pub fn of(job: &Job, storage: &StorageSettings) -> Self {
        Self {
            job: job.clone(),
            storage: storage.clone(),
            bucket: OnceLock::new(),
        }
    }

    /// Looks at the input of a date, by one listing, and compares it with what was scored where that is known. What goes wrong is part of
    /// the answer.
    pub async fn look(&self, date: NaiveDate, scored: Option<&PlanRecord>) -> Found {
        let found = match self.job.at(date) {
            Ok(job) => self.try_look(&job, scored).await.map_err(|error| Input::of(&error)),
            Err(problem) => Err(Input::Unknown {
                reason: problem.to_string(),
            }),
        };
        found.unwrap_or_else(|input| Found { input, change: None })
    }

    /// Name of the job.
    pub fn job(&self) -> &str {
        &self.job.name
    }

    async fn try_look(&self, job: &Job, scored: Option<&PlanRecord>) -> Result<Found, PlanError> {
        let inventory = Inventory::of(job, &self.place(&job.input)?).await?;
        let strict = job.on_corrupt_file == OnCorruptFile::Fail;
        Ok(Found {
            input: Input::Present {
                files: inventory.items().len(),
                bytes: inventory.bytes(),
            },
            change: match scored {
                Some(scored) => difference(scored, &inventory, strict).await?,
                None => None,
            },
        })
    }

    fn place(&self, input: &Location) -> Result<Place, StorageError> {
        let Location::S3 { bucket, prefix } = input else {
            return Place::open(input, &self.storage);
        };
        if let Some((known, place)) = self.bucket.get()
            && known == bucket
        {
            return place.at_prefix(prefix);
        }
        let place = Place::open(input, &self.storage)?;
        // Another date may have been faster; then this place is used once.
        let _ = self.bucket.set((bucket.clone(), place.clone()));
        Ok(place)
    }
}

impl Input {
    fn of(error: &PlanError) -> Self {
        match error {
            PlanError::NoInput { .. } => Self::Absent,
            PlanError::Storage(_) => Self::Unknown { reason: told(error) },
            other if other.exit() == ExitCode::InputNotReady => Self::NotReady { reason: told(error) },
            _ => Self::Unknown { reason: told(error) },
        }
    }
}

/// An error in one line, with its causes.
fn told(error: &PlanError) -> String {
    let mut said = vec![error.to_string()];
    said.extend(causes(error));
    said.join(": ")
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present { files: 1, bytes } => write!(f, "present: 1 file, {bytes} bytes"),
            Self::Present { files, bytes } => write!(f, "present: {files} files, {bytes} bytes"),
            Self::Absent => f.write_str("absent"),
            Self::NotReady { reason } => write!(f, "not ready: {reason}"),
            Self::Unknown { reason } => write!(f, "unknown: {reason}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            added,
            gone,
            changed,
            first,
        } = self;
        write!(
            f,
            "files added: {added}, gone: {gone}, changed: {changed}; the first is `{first}`"
        )
    }
}

/// Warns of a published date whose input is not what was scored.
pub fn warn_of(job: &str, date: NaiveDate, change: &Change) {
    let Change {
        added,
        gone,
        changed,
        first,
    } = change;
    warn!(job, %date, added, gone, changed, first, "the input of this date is not what was scored; `backfill --only changed` scores it again");
}

/// How the files that are there differ from those that were scored. A file that no plan would hold is no difference: it was not scored
/// before, and would not be scored now.
async fn difference(scored: &PlanRecord, inventory: &Inventory, strict: bool) -> Result<Option<Change>, StorageError> {
    let mut before: BTreeMap<&str, &PlanInput> = BTreeMap::new();
    before.extend(scored.inputs.iter().map(|input| (input.path.as_str(), input)));
    let (mut first, mut unknown) = (Vec::new(), Vec::new());
    let mut changed = 0;
    for item in inventory.items() {
        let path = item.path();
        match before.remove(path.as_str()) {
            Some(input) if is_same(input, item, scored.created_at) => {}
            Some(_) => {
                changed += 1;
                first.push(path);
            }
            None => unknown.push(item),
        }
    }
    let gone = before.len();
    first.extend(before.keys().next().map(|path| (*path).to_owned()));
    // Only as many footers are read as it takes to find one file that counts.
    let mut empty = 0;
    let looks: Vec<_> = unknown.iter().map(|item| planned(*item, strict)).collect();
    let mut asked = stream::iter(looks).buffered(CONCURRENT_FOOTERS);
    let mut added = 0;
    while let Some((item, is_planned)) = asked.try_next().await? {
        if is_planned {
            added = unknown.len() - empty;
            first.push(item.path());
            break;
        }
        empty += 1;
    }
    Ok(first.into_iter().min().map(|first| Change {
        added,
        gone,
        changed,
        first,
    }))
}

async fn planned(item: Item<'_>, strict: bool) -> Result<(Item<'_>, bool), StorageError> {
    Ok((item, item.is_planned(strict).await?))
}

/// Whether a file is the one that was scored.
fn is_same(before: &PlanInput, now: Item<'_>, scored_at: DateTime<Utc>) -> bool {
    let is_local = !before.path.starts_with("s3://");
    before.size == now.size()
        && match (&before.etag, now.etag()) {
            (Some(before), Some(now)) if is_local => written(before) == written(now),
            (Some(before), Some(now)) => before == now,
            (None, _) | (_, None) => now.modified() <= scored_at,
        }
}

/// Time and size in the `ETag` that a file on a disk is given: `<inode>-<time>-<size>`. The inode is another after a file was copied back with
/// its time or moved to another disk, and says nothing of its bytes.
fn written(etag: &str) -> &str {
    let etag = etag.trim_matches('"');
    etag.split_once('-').map_or(etag, |(_, written)| written)
}

#[cfg(test)]
mod tests;
