//! What runs write down about one job and date: the log that orders writers, plans, finished chunks, what was published.
//!
//! Everything lies in the state folder, beside the data set and never in it. Records are JSON, are created once and never changed; a
//! record that cannot be read counts as somebody else's. This is the form and the place of records; who writes which when is decided in
//! `publish`, `checkpoint` and `hold`.
//!
//! ```text
//! <state>/v1/<job>/dataset.json            which data set this is about
//! <state>/v1/<job>/schedule.json           up to when a daemon has seen fires, and what it has still to do
//! <state>/v1/<job>/schedule.lock           which daemon that is, on a local disk
//! <state>/v1/<job>/ended.json              how the last run ended
//! <state>/v1/<job>/date=D/
//!   lease.json, lock                       who works at it: `hold`
//!   log/00000000000000000001.json          open | commit, by number
//!   published/00000000000000000002.json    what readers see since then
//!   uploads/00000000000000000002-*.json    uploads in pieces that were begun
//!   rejects/<plan>.parquet                 rows that were not scored
//!   plans/<plan>/plan.json                 what is done
//!   plans/<plan>/chunks/000042.done.json   a finished chunk, and which part is its own
//!   plans/<plan>/chunks/000042.*.part      its rows, as Parquet
//!   plans/<plan>/rejects/000042.*.part     its rejected rows
//! ```

mod announcement;
mod chunk;
mod dataset;
mod log;
mod plan;
mod published;
mod schedule;

use bytes::Bytes;
use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use announcement::Announcement;
pub use chunk::{ChunkFolder, Done, PartFile};
pub use dataset::DatasetRecord;
pub use log::{Commit, DataFile, Entry, Log, Open};
pub use plan::{PlanInput, PlanModel, PlanRecord};
pub use published::PublishedRecord;
pub use schedule::ScheduleRecord;

use crate::storage::{Place, StorageError};

/// Form of the records.
pub const FORM: u32 = 1;

/// Records that are read at a time.
const CONCURRENT_READS: usize = 16;

/// Digits of a number in a record's name: enough for any, so that names sort as numbers do.
const DIGITS: usize = 20;

/// The records of one job and date.
#[derive(Debug, Clone)]
pub struct DateFolder {
    place: Place,
    date: NaiveDate,
}

impl DateFolder {
    /// The records below a state folder.
    pub fn new(state: &Place, job: &str, date: NaiveDate) -> Self {
        Self {
            place: jobs(state).join(&format!("{job}/date={date}")),
            date,
        }
    }

    /// The folder.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The date.
    pub fn date(&self) -> NaiveDate {
        self.date
    }

    /// Folder of the log.
    pub fn log(&self) -> Place {
        self.place.join("log")
    }

    /// Folder of what was published.
    pub fn published(&self) -> Place {
        self.place.join("published")
    }

    /// Folder of announced uploads.
    pub fn uploads(&self) -> Place {
        self.place.join("uploads")
    }

    /// The lease.
    pub fn lease(&self) -> Place {
        self.place.join("lease.json")
    }

    /// Folder of the plans.
    pub fn plans(&self) -> Place {
        self.place.join("plans")
    }

    /// Folder of one plan.
    pub fn plan(&self, plan_id: &str) -> Place {
        self.plans().join(plan_id)
    }

    /// File with the rejected rows of one plan.
    pub fn rejects(&self, plan_id: &str) -> Place {
        self.place.join(&format!("rejects/{plan_id}.parquet"))
    }
}

/// Folder of the jobs below a state folder.
pub fn jobs(state: &Place) -> Place {
    state.join(&format!("v{FORM}"))
}

/// Dates of a job that have records, oldest first.
pub async fn dates(state: &Place, job: &str) -> Result<Vec<NaiveDate>, StorageError> {
    let folders = jobs(state).join(job).folders().await?;
    let dates = folders
        .iter()
        .filter_map(|name| name.strip_prefix("date=")?.parse().ok());
    Ok(dates.collect())
}

/// A record's name by its number.
fn numbered(number: u64) -> String {
    format!("{number:0DIGITS$}.json")
}

/// The number in a record's name.
fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".json")?.parse().ok()
}

/// A record as it is written.
pub fn encode(record: &impl Serialize) -> Bytes {
    // Records hold strings, numbers and lists of them.
    serde_json::to_vec_pretty(record).expect("records become JSON").into()
}

/// A record as it was written; `None` when it was not, or not whole.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// The numbered records of a folder, by number; `None` for one that cannot be read.
async fn numbered_records<T: DeserializeOwned>(folder: &Place) -> Result<Vec<(u64, Option<T>)>, StorageError> {
    let mut numbers: Vec<u64> = folder
        .list()
        .await?
        .iter()
        .filter_map(|meta| number(meta.location.filename()?))
        .collect();
    numbers.sort_unstable();
    let read = stream::iter(numbers).map(async |number| {
        let found = folder.join(&numbered(number)).read_record().await?;
        Ok((number, found.and_then(|(bytes, _)| decode(&bytes))))
    });
    read.buffered(CONCURRENT_READS).try_collect().await
}
