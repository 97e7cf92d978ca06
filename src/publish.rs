//! Makes the parts of a run one file and shows it to readers in one step.
//!
//! Until that step readers see the previous partition, or none. Nothing but finished data ever lies below the dataset's root: the file
//! grows in the state folder, or in a local spool for a bucket, and is checked before it is published.

mod spool;

use bytes::Bytes;
use chrono::NaiveDate;
use serde::Serialize;
use tracing::warn;

pub use spool::{Spool, Spooled};

use crate::error::Seam;
use crate::exit::ExitCode;
use crate::storage::{Place, StorageError};

/// Name of the one file of a partition. It is fixed, so that replacing a partition is replacing one object.
pub const FILE: &str = "part-00000.parquet";

/// Name of the marker that some readers wait for. It is empty: Polars refuses a folder with a marker that is not.
const SUCCESS: &str = "_SUCCESS";

/// Where a date's predictions go.
#[derive(Debug, Clone)]
pub struct Destination {
    partition: Place,
    state: Place,
    marker: bool,
}

impl Destination {
    /// The partition of a date, and the records of its runs.
    pub fn new(dataset: &Place, state: &Place, job: &str, date: NaiveDate, marker: bool) -> Self {
        Self {
            partition: dataset.join(&format!("date={date}")),
            state: state.join(&format!("v1/{job}/date={date}")),
            marker,
        }
    }

    /// The file that readers open.
    pub fn file(&self) -> Place {
        self.partition.join(FILE)
    }

    /// The folder of the date's records.
    pub fn state(&self) -> &Place {
        &self.state
    }

    /// Shows the spooled file to readers, whole, in place of what was there. The rejects are kept first, so that a published partition
    /// never lacks them.
    pub async fn publish(
        &self,
        spooled: Spooled,
        rejects: Option<Bytes>,
        run_id: &str,
    ) -> Result<Published, PublishError> {
        let rejects = self.keep_rejects(rejects, run_id).await?;
        let file = self.file();
        let published = Published {
            path: file.location().to_string(),
            bytes: spooled.bytes,
            rows: spooled.rows,
            row_groups: spooled.row_groups,
            sha256: spooled.sha256.clone(),
            rejects,
        };
        match file.local() {
            Some(path) => spooled.rename_to(path)?,
            None => file.upload(spooled.path()).await?,
        }
        if self.marker
            && let Err(error) = self.partition.join(SUCCESS).write(Bytes::new()).await
        {
            warn!(%error, "the date is published, and its marker could not be written");
        }
        Ok(published)
    }

    async fn keep_rejects(&self, rejects: Option<Bytes>, run_id: &str) -> Result<Option<String>, PublishError> {
        let Some(bytes) = rejects else {
            return Ok(None);
        };
        let place = self.state.join(&format!("rejects/{run_id}.parquet"));
        place.write(bytes).await?;
        Ok(Some(place.location().to_string()))
    }
}

/// A partition as readers see it.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Its row groups.
    pub row_groups: usize,
    /// SHA-256 of it, hex.
    pub sha256: String,
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
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Seam for PublishError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Disk { .. } => ExitCode::Disk,
            Self::Assemble { source, .. } => match source {
                parquet::errors::ParquetError::External(_) => ExitCode::Disk,
                _ => ExitCode::Internal,
            },
            Self::Rows { .. } | Self::Verify { .. } => ExitCode::Invariant,
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Disk { source, .. } if source.kind() == std::io::ErrorKind::CrossesDevices => {
                Some("put `output.state` on the file system of `output.path`: publishing is a rename".to_owned())
            }
            Self::Disk { .. } => {
                Some("check free space and permissions of the folder; nothing was published".to_owned())
            }
            Self::Storage(error) => error.hint(),
            Self::Assemble { .. } | Self::Rows { .. } | Self::Verify { .. } => None,
        }
    }
}
