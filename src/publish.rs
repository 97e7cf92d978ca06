//! Makes the parts of a plan the files of a partition and shows them to readers in one step.
//!
//! Until that step readers see the previous version, or none. Nothing but finished data ever lies below the data set's root. The order of
//! operations is what keeps the promise, however many processes run and whenever they are killed:
//!
//! 1. a run takes a slot in the log of its date (`decide::open`), which fences every run that came before;
//! 2. its parts are put together and checked where nobody looks (`spool`);
//! 3. it commits in the slot after its own (`decide::commit`): from here on it is decided what readers will see;
//! 4. the files are put in place on the condition that nothing newer is there (`show`); whoever comes next does it if this process dies.

mod decide;
mod partition;
mod pieces;
mod rollforward;
mod show;
mod spool;
mod stamp;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use decide::{Fences, Opened, Standing, commit, open, settle_plan};
pub use partition::{Partition, SUCCESS, Shown};
pub use rollforward::{again, roll_forward};
pub use show::{Showing, Visible};
pub use spool::{Assembled, Rows, Spool, SpoolFolder, Spooled, file_count};
pub use stamp::{Owner, Stamp, pair};

use crate::checkpoint::CheckpointError;
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::storage::StorageError;

/// Name of a partition's file. It is fixed, so that replacing a partition is replacing one object.
pub fn file_name(number: usize) -> String {
    format!("part-{number:05}.parquet")
}

/// True for the names that [`file_name`] gives.
fn is_file_name(name: &str) -> bool {
    let number = name
        .strip_prefix("part-")
        .and_then(|rest| rest.strip_suffix(".parquet"));
    number.is_some_and(|number| number.len() == 5 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// A partition as readers see it.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    /// The file, or the folder of several.
    pub path: String,
    /// Run that its rows name: the one that made the plan, which an earlier process may have been.
    pub run_id: String,
    /// Time that its rows carry: when the plan was made.
    pub inference_timestamp: DateTime<Utc>,
    /// Number of the publication in the log of its date.
    pub seq: u64,
    /// Number of the publication that it replaced.
    pub replaced: Option<u64>,
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
    /// Their row groups.
    pub row_groups: usize,
    /// SHA-256 of each file, hex.
    pub sha256: Vec<String>,
    /// File with the rows that were not scored, where there are any.
    pub rejects: Option<String>,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The spool could not be written or moved.
    #[error("{action} `{path}`")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The parts do not make a Parquet file.
    #[error("put the parts together in `{path}`")]
    Assemble {
        /// The spool.
        path: String,
        /// What the Parquet library says.
        source: parquet::errors::ParquetError,
    },
    /// The law of conservation is broken.
    #[error("{rows_in} rows were read, {rows_out} written and {rows_rejected} rejected")]
    Rows {
        /// Rows read.
        rows_in: u64,
        /// Rows written.
        rows_out: u64,
        /// Rows rejected.
        rows_rejected: u64,
    },
    /// The finished file is not what was written.
    #[error("the spooled file `{path}` holds {found} rows, {expected} were written")]
    Verify {
        /// The spool.
        path: String,
        /// Rows written.
        expected: u64,
        /// Rows found.
        found: u64,
    },
    /// The finished file has been cut or added to since it was checked.
    #[error("the spooled file `{path}` has {found} bytes, {expected} were written")]
    Changed {
        /// The spool.
        path: String,
        /// Bytes written.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// Something else wrote the file that would be replaced.
    #[error("`{file}` was not written by this program")]
    Foreign {
        /// The file.
        file: String,
    },
    /// Something else lies in the partition, which readers would take for data.
    #[error("`{file}` is in the partition and was not written by this program")]
    Stray {
        /// The file.
        file: String,
    },
    /// Readers see the new version, and something that belongs to it is missing.
    #[error("the date is published, and {what} could not be written")]
    Incomplete {
        /// What is missing.
        what: &'static str,
        /// Why.
        source: Box<PublishError>,
    },
    /// Files would have to be added or removed one by one.
    #[error("the partition `{partition}` has {found} data files and would have {wanted}")]
    Layout {
        /// The partition.
        partition: String,
        /// Files there.
        found: usize,
        /// Files of the new version.
        wanted: usize,
    },
    /// A later run wants something else.
    #[error("a later run took over the slot {slot} of the log")]
    Superseded {
        /// The slot in which this run could have committed.
        slot: u64,
    },
    /// The record in the slot of this run cannot be read.
    #[error("record {slot} of the log `{record}` cannot be read, and it is where this run could have committed")]
    Damaged {
        /// The log.
        record: String,
        /// The slot.
        slot: u64,
    },
    /// Another process decided on the same plan, and its data is not what this one has.
    #[error("commit {seq} of another process decides what is published, and its data cannot be made again here")]
    Decided {
        /// Number of the commit.
        seq: u64,
    },
    /// A part could not be read back.
    #[error(transparent)]
    ReadBack(#[from] CheckpointError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl PublishError {
    /// The same after readers see the new version.
    pub fn incomplete(self, what: &'static str) -> Self {
        Self::Incomplete {
            what,
            source: Box::new(self),
        }
    }
}

impl Seam for PublishError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Disk { .. } => ExitCode::Disk,
            Self::Assemble { source, .. } => match source {
                parquet::errors::ParquetError::External(_) => ExitCode::Disk,
                _ => ExitCode::Internal,
            },
            Self::Rows { .. } | Self::Verify { .. } | Self::Changed { .. } => ExitCode::Invariant,
            Self::Foreign { .. } | Self::Stray { .. } | Self::Layout { .. } => ExitCode::Config,
            Self::Incomplete { source, .. } => source.exit(),
            Self::Superseded { .. } => ExitCode::Superseded,
            Self::Damaged { .. } | Self::Decided { .. } => ExitCode::Busy,
            Self::ReadBack(error) => error.exit(),
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Disk { source, .. } if source.kind() == std::io::ErrorKind::CrossesDevices => {
                Some("put `output.state` on the file system of `output.path`: publishing is a rename".to_owned())
            }
            Self::Disk { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("make room; finished chunks are kept, and the next run goes on after them".to_owned())
            }
            Self::Disk { .. } => Some("check free space and permissions; nothing was published".to_owned()),
            Self::Foreign { .. } => Some(
                "move it away, or let it be replaced with `output.adopt_foreign = true` (or --set output.adopt_foreign=true)"
                    .to_owned(),
            ),
            Self::Stray { .. } => Some("move it away: readers of the folder would see its rows beside the predictions".to_owned()),
            Self::Incomplete { .. } => Some("run again: the next run completes it and scores nothing".to_owned()),
            Self::Layout { .. } => Some(
                "readers would see doubled or missing rows for a moment; keep `output.files`, or accept it with --allow-nonatomic-replace"
                    .to_owned(),
            ),
            Self::Superseded { .. } => {
                Some("the later run publishes its own version; this one has nothing to do any more".to_owned())
            }
            Self::Damaged { .. } => Some("run again: the next run takes a new place above it".to_owned()),
            Self::Decided { .. } => Some("run again: the next run brings what is decided to an end, or replaces it".to_owned()),
            Self::ReadBack(error) => error.hint(),
            Self::Storage(error) => error.hint(),
            Self::Assemble { .. } | Self::Rows { .. } | Self::Verify { .. } | Self::Changed { .. } => None,
        }
    }
}
