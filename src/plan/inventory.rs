//! The input of a date as it is listed now: names, sizes, `ETag`s and times. No row is read.

use chrono::{DateTime, Utc};

use super::PlanError;
use super::footers;
use super::listing::{self, Listed};
use crate::storage::{Place, StorageError};
use crate::validate::Job;

/// What a plan of a date would look at.
pub struct Inventory {
    files: Vec<Listed>,
}

/// One file of the input.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    listed: &'a Listed,
}

impl Inventory {
    /// Lists the input of a job's date.
    pub async fn of(job: &Job, input: &Place) -> Result<Self, PlanError> {
        Ok(Self {
            files: listing::list(job, input).await?.files,
        })
    }

    /// The files, by name.
    pub fn items(&self) -> impl ExactSizeIterator<Item = Item<'_>> {
        self.files.iter().map(|listed| Item { listed })
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|listed| listed.meta.size).sum()
    }
}

impl<'a> Item<'a> {
    /// Where it is, as the record of a plan says it.
    pub fn path(self) -> String {
        self.listed.place.location().to_string()
    }

    /// Bytes.
    pub fn size(self) -> u64 {
        self.listed.meta.size
    }

    /// Identity of its bytes.
    pub fn etag(self) -> Option<&'a str> {
        self.listed.meta.e_tag.as_deref()
    }

    /// When it was written, by the store's clock.
    pub fn modified(self) -> DateTime<Utc> {
        self.listed.meta.last_modified
    }

    /// Whether a plan would hold it, by its footer: files without rows are left out of plans, and where `strict` is false damaged files, too.
    pub async fn is_planned(self, strict: bool) -> Result<bool, StorageError> {
        footers::is_planned(self.listed, strict).await
    }
}
