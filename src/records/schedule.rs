//! Up to when the fires of a job were seen, and which dates were handed over since and are not finished. Kept by daemons, before they start a run.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{FORM, decode, encode, jobs};
use crate::schedule::{Agenda, Task};
use crate::storage::{Created, Place, Replaced, StorageError, Version};

/// What a daemon knows of a job when it starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRecord {
    /// Form of the record.
    pub v: u32,
    /// The process that wrote it.
    pub holder: String,
    /// Counts writes, so that no two records are alike.
    pub beat: u64,
    /// Up to when fires were seen.
    pub mark: DateTime<Utc>,
    /// Dates that were handed over and are not finished.
    pub unfinished: Vec<Task>,
}

impl ScheduleRecord {
    /// What is to be kept of an agenda.
    pub fn of(agenda: &Agenda, holder: &str, beat: u64) -> Self {
        Self {
            v: FORM,
            holder: holder.to_owned(),
            beat,
            mark: agenda.mark(),
            unfinished: agenda.unfinished().copied().collect(),
        }
    }

    /// This and what another process has written: the later mark, and all dates.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        self.beat = self.beat.max(other.beat) + 1;
        self.mark = self.mark.max(other.mark);
        for task in other.unfinished {
            if !self.unfinished.iter().any(|known| known.date == task.date) {
                self.unfinished.push(task);
            }
        }
        self
    }

    /// Where it lies.
    pub fn place(state: &Place, job: &str) -> Place {
        jobs(state).join(&format!("{job}/schedule.json"))
    }

    /// The lock of the process that keeps it, on a local disk.
    pub fn lock(state: &Place, job: &str) -> Place {
        jobs(state).join(&format!("{job}/schedule.lock"))
    }

    /// The record, with its version; one that cannot be read is none, and is written over.
    pub async fn read(place: &Place) -> Result<Option<(Option<Self>, Version)>, StorageError> {
        let found = place.read_record().await?;
        Ok(found.map(|(bytes, version)| (decode(&bytes), version)))
    }

    /// Keeps it over the version that was read. None where somebody else has written meanwhile.
    pub async fn keep(&self, place: &Place, over: Option<&Version>) -> Result<Option<Version>, StorageError> {
        let bytes = encode(self);
        match over {
            // A local disk replaces on no condition, so there a look comes first.
            Some(over) if place.local().is_some() => {
                if version(place).await?.as_ref() != Some(over) {
                    return Ok(None);
                }
                place.write(bytes).await?;
            }
            Some(over) => {
                return Ok(match place.replace(bytes, over).await? {
                    Replaced::Ours(version) => Some(version),
                    Replaced::Theirs => None,
                });
            }
            None => {
                if place.create(bytes).await? != Created::Ours {
                    return Ok(None);
                }
            }
        }
        version(place).await
    }
}

async fn version(place: &Place) -> Result<Option<Version>, StorageError> {
    Ok(place.read_record().await?.map(|(_, version)| version))
}
