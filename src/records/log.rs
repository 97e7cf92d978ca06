//! The log of one date: numbered records, each created once, that put its writers into one order.
//!
//! A run writes `open` into slot `k` and may commit only in slot `k + 1`. Whoever opens later takes that slot, and with it the right to
//! commit: a process that was stopped and wakes up late finds it taken. No clock is asked. The number of a commit is the number that the
//! published data carries.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{encode, number, numbered, numbered_records};
use crate::storage::{Created, Place, StorageError};

/// A run that wants to publish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Form of the record.
    pub v: u32,
    /// The job.
    pub job: String,
    /// The date.
    pub date: NaiveDate,
    /// Number of the record.
    pub n: u64,
    /// The intention that the run belongs to; retries of a Kubernetes job share it.
    pub run_key: String,
    /// The process.
    pub holder: String,
    /// The plan that it means to publish.
    pub plan_id: String,
    /// The plan without its generation.
    pub base_id: String,
    /// How often the same plan was asked for again.
    pub generation: u32,
    /// Version of the program.
    pub engine: String,
    /// When, by the clock of its machine; for people.
    pub at: DateTime<Utc>,
}

impl Open {
    /// The generation that it asks of a plan, if it is about that plan.
    pub fn generation_of(&self, base_id: &str) -> Option<u32> {
        (self.base_id == base_id).then_some(self.generation)
    }
}

/// A run whose data is decided to be what readers see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Form of the record.
    pub v: u32,
    /// The job.
    pub job: String,
    /// The date.
    pub date: NaiveDate,
    /// Number of the record, and of the data.
    pub n: u64,
    /// The intention that the run belongs to.
    pub run_key: String,
    /// Number of the record that opened it: `n - 1`.
    pub open_n: u64,
    /// What was done.
    pub plan_id: String,
    /// The plan without its generation.
    pub base_id: String,
    /// How often the same plan was asked for again.
    pub generation: u32,
    /// In the footer of the data, so that each publication has bytes of its own.
    pub nonce: String,
    /// The commit before it.
    pub prev_commit: Option<u64>,
    /// The process.
    pub holder: String,
    /// The files.
    pub files: Vec<DataFile>,
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Rows not scored.
    pub rows_rejected: u64,
    /// SHA-256 over the digests of all parts, in order.
    pub chunks_digest: String,
    /// When, by the clock of its machine; for people.
    pub at: DateTime<Utc>,
}

/// A file of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its name below the partition.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// Rows.
    pub rows: u64,
    /// Row groups.
    pub row_groups: usize,
    /// Chunks whose rows it holds: the first, and the one after the last.
    pub chunks: (usize, usize),
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// A run wants to publish.
    Open(Open),
    /// A run is published, or will be by whoever comes next.
    Commit(Commit),
}

impl Entry {
    /// The intention that it belongs to.
    pub fn run_key(&self) -> &str {
        match self {
            Self::Open(open) => &open.run_key,
            Self::Commit(commit) => &commit.run_key,
        }
    }

    /// The plan that it is about.
    pub fn plan_id(&self) -> &str {
        match self {
            Self::Open(open) => &open.plan_id,
            Self::Commit(commit) => &commit.plan_id,
        }
    }
}

/// The log as it was at one moment. `None`: a record that cannot be read, which fences like an `open` of somebody else.
#[derive(Debug, Clone, Default)]
pub struct Log {
    entries: BTreeMap<u64, Option<Entry>>,
}

impl Log {
    /// Reads every record.
    pub async fn read(folder: &Place) -> Result<Self, StorageError> {
        let entries = numbered_records(folder).await?.into_iter().collect();
        Ok(Self { entries })
    }

    /// The highest number, by the names of the records alone.
    pub async fn listed_head(folder: &Place) -> Result<Option<u64>, StorageError> {
        let listed = folder.list().await?;
        let numbers = listed.iter().filter_map(|meta| number(meta.location.filename()?));
        Ok(numbers.max())
    }

    /// Puts an entry into its slot unless the slot is taken; whose it is then.
    pub async fn put(folder: &Place, number: u64, entry: &Entry) -> Result<Created, StorageError> {
        folder.join(&numbered(number)).create(encode(entry)).await
    }

    /// When a record was written, by the store's clock.
    pub async fn written(folder: &Place, number: u64) -> Result<Option<DateTime<Utc>>, StorageError> {
        let record = folder.join(&numbered(number)).head().await?;
        Ok(record.map(|record| record.last_modified))
    }

    /// The highest number.
    pub fn head(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The record of that number.
    pub fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.get(&number)?.as_ref()
    }

    /// Every record that can be read, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        self.entries.iter().filter_map(|(n, entry)| Some((*n, entry.as_ref()?)))
    }

    /// Every record above a number; `None` for one that cannot be read.
    pub fn since(&self, number: u64) -> impl Iterator<Item = Option<&Entry>> {
        self.entries.range(number + 1..).map(|(_, entry)| entry.as_ref())
    }

    /// True when there are records above a number, and none of them can be read.
    pub fn is_damaged_behind(&self, number: u64) -> bool {
        let mut since = self.since(number).peekable();
        since.peek().is_some() && since.all(|entry| entry.is_none())
    }

    /// Commits, oldest first.
    pub fn commits(&self) -> impl DoubleEndedIterator<Item = &Commit> {
        self.entries().filter_map(|(_, entry)| match entry {
            Entry::Commit(commit) => Some(commit),
            Entry::Open(_) => None,
        })
    }

    /// Numbers below the head that have no record: first and last of each gap.
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut next = 1;
        for number in self.entries.keys() {
            if *number > next {
                gaps.push((next, number - 1));
            }
            next = number + 1;
        }
        gaps
    }

    /// Numbers of records that cannot be read.
    pub fn unreadable(&self) -> impl Iterator<Item = u64> {
        let unread = self.entries.iter().filter(|(_, entry)| entry.is_none());
        unread.map(|(number, _)| *number)
    }

    /// The newest `open`.
    pub fn newest_open(&self) -> Option<&Open> {
        self.entries().rev().find_map(|(_, entry)| match entry {
            Entry::Open(open) => Some(open),
            Entry::Commit(_) => None,
        })
    }

    /// The newest commit.
    pub fn newest_commit(&self) -> Option<&Commit> {
        self.commits().next_back()
    }

    /// The newest `open` of a run under a key.
    pub fn opened_by(&self, run_key: &str) -> Option<&Open> {
        self.entries().rev().find_map(|(_, entry)| match entry {
            Entry::Open(open) if open.run_key == run_key => Some(open),
            Entry::Open(_) | Entry::Commit(_) => None,
        })
    }

    /// True when a generation of a plan was committed.
    pub fn has_committed(&self, base_id: &str, generation: u32) -> bool {
        self.commits()
            .any(|commit| commit.base_id == base_id && commit.generation == generation)
    }

    /// True when a record of that number is a commit.
    pub fn is_commit(&self, number: u64) -> bool {
        matches!(self.get(number), Some(Entry::Commit(_)))
    }

    /// The generation that the newest record of a plan has.
    pub fn generation(&self, base_id: &str) -> Option<u32> {
        self.entries().rev().find_map(|(_, entry)| {
            let (base, generation) = match entry {
                Entry::Open(open) => (&open.base_id, open.generation),
                Entry::Commit(commit) => (&commit.base_id, commit.generation),
            };
            (base == base_id).then_some(generation)
        })
    }
}
