//! What readers see since when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Commit, DateFolder, decode, encode, number, numbered, numbered_records};
use crate::storage::{Created, StorageError};

/// A publication that readers see, or saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishedRecord {
    /// Form of the record.
    pub v: u32,
    /// What was decided.
    pub commit: Commit,
    /// `ETag` of each file.
    pub etags: Vec<Option<String>>,
    /// Number of the publication that it replaced.
    pub replaced: Option<u64>,
    /// The process that made it visible, which need not be the one that scored it.
    pub holder: String,
    /// When, by the clock of its machine.
    pub at: DateTime<Utc>,
    /// The report of the run; null when another process finished it.
    pub report: Value,
}

impl PublishedRecord {
    /// Every record, oldest first, without those that cannot be read.
    pub async fn all(date: &DateFolder) -> Result<Vec<Self>, StorageError> {
        let records = numbered_records(&date.published()).await?;
        Ok(records.into_iter().filter_map(|(_, record)| record).collect())
    }

    /// Numbers of the records, and when each was written by the store's clock.
    pub async fn listed(date: &DateFolder) -> Result<Vec<(u64, DateTime<Utc>)>, StorageError> {
        let listed = date.published().list().await?;
        let numbers = listed
            .iter()
            .filter_map(|meta| Some((number(meta.location.filename()?)?, meta.last_modified)));
        Ok(numbers.collect())
    }

    /// Removes a record that is damaged, so that it can be written again.
    pub async fn forget(date: &DateFolder, seq: u64) -> Result<(), StorageError> {
        date.published().join(&numbered(seq)).remove().await
    }

    /// The record of one commit.
    pub async fn of(date: &DateFolder, seq: u64) -> Result<Option<Self>, StorageError> {
        let found = date.published().join(&numbered(seq)).read_record().await?;
        Ok(found.and_then(|(bytes, _)| decode(&bytes)))
    }

    /// Keeps the record, unless there is one.
    pub async fn keep(&self, date: &DateFolder) -> Result<Created, StorageError> {
        date.published()
            .join(&numbered(self.commit.n))
            .create(encode(self))
            .await
    }
}
