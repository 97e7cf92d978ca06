//! Who works at one job and date: a lock on a local disk, a lease in a bucket.
//!
//! Neither is needed for right results in a bucket, where the log orders writers; the lease only saves a second process the work. On a local
//! disk the lock also keeps a second writer from the final name, and the system gives it back when its process ends, however it ends.

mod lease;
mod lock;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::runtime::Handle;

use crate::error::Seam;
use crate::exit::ExitCode;
use crate::records::DateFolder;
use crate::shutdown::{Shutdown, Stopped};
use crate::storage::{Place, StorageError};

pub use lease::{Lease, LeaseRecord, LeaseState, Vacancy};
pub use lock::Lock;

/// A process, as records name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Unique among all processes.
    pub id: String,
    /// The intention that its run belongs to.
    pub run_key: String,
    /// The machine or pod, for people.
    pub host: String,
    /// The process there, for people.
    pub pid: u32,
}

impl Holder {
    /// All that names it, in one line.
    pub fn name(&self) -> String {
        format!("{} {} {}", self.id, self.host, self.pid)
    }
}

/// How a place is held and how long it is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a lease holds without a sign of life.
    pub ttl: Duration,
    /// How long to wait for another holder.
    pub patience: Duration,
    /// Whether a lease is taken in a bucket.
    pub lease: bool,
}

/// The right to work at a job and date.
#[derive(Debug)]
pub enum Hold {
    /// On a local disk.
    Lock(Lock),
    /// In a bucket.
    Lease(Lease),
    /// Leases are switched off; the log alone orders writers.
    Free,
}

/// Who has the right, as far as a look tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seat {
    /// Who, in words.
    pub who: String,
    /// The last sign of life of the holder of a lease, by the clock of its machine. A lock needs none.
    pub seen_at: Option<DateTime<Utc>>,
}

/// What came of asking for it.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Held(Hold),
    /// Somebody else has it; who, in words.
    Busy(String),
}

impl Hold {
    /// Looks ahead whether a lease is free, so that it can be taken without a look then. `None`: somebody has it, or there is none to take.
    pub async fn vacancy(date: &DateFolder, terms: Terms) -> Result<Option<Vacancy>, HoldError> {
        if date.place().local().is_some() || !terms.lease {
            return Ok(None);
        }
        Ok(lease::vacancy(&date.lease()).await?)
    }

    /// Takes the right, waiting for another holder as long as the terms say. `vacancy` is what a look ahead has found. A request to stop ends the
    /// waiting at once; a lease that is being written then is brought to its end, because one that nobody knows of would keep others out.
    pub async fn take(
        date: &DateFolder,
        holder: &Holder,
        terms: Terms,
        vacancy: Option<Vacancy>,
        runtime: &Handle,
        shutdown: &Shutdown,
    ) -> Result<Taken, HoldError> {
        if date.place().local().is_some() {
            let lock = lock::of_date(date);
            let taking = lock::take(&lock, holder, terms.patience);
            return shutdown.unless(taking).await?;
        }
        if terms.lease {
            return lease::take(date, holder, terms, vacancy, runtime, shutdown).await;
        }
        Ok(Taken::Held(Self::Free))
    }

    /// Takes the lock of a place without waiting for another holder. In a bucket there is none, and it is had by all.
    pub async fn lock(place: &Place, holder: &Holder) -> Result<Taken, HoldError> {
        match place.local() {
            Some(_) => lock::take(place, holder, Duration::ZERO).await,
            None => Ok(Taken::Held(Self::Free)),
        }
    }

    /// Who has the right now, without asking for it. The holder of a lease may be dead; only waiting tells.
    pub async fn look(date: &DateFolder) -> Result<Option<Seat>, HoldError> {
        if date.place().local().is_some() {
            return lock::look(&lock::of_date(date));
        }
        Ok(lease::look(&date.lease()).await?)
    }

    /// Returns when new work may be started: at once, or after the lease has been renewed again. An error once somebody else has it.
    pub async fn ready(&self) -> Result<(), HoldError> {
        match self {
            Self::Lock(_) | Self::Free => Ok(()),
            Self::Lease(lease) => lease.ready().await,
        }
    }

    /// Gives the right back, so that the next process need not wait. Failing to costs that process a wait and nothing else.
    pub async fn release(&self) {
        match self {
            Self::Lock(lock) => lock.release(),
            Self::Lease(lease) => lease.release().await,
            Self::Free => {}
        }
    }
}

/// Why the right was not got, or was lost.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The lease was taken over by another process while this one was stopped or cut off.
    #[error("the lease `{place}` was taken over by another process")]
    Lost {
        /// The lease.
        place: String,
    },
    /// The lock file cannot be used.
    #[error("lock `{path}`")]
    Lock {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The process was asked to stop before it was got.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Seam for HoldError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Lost { .. } => ExitCode::Busy,
            Self::Lock { .. } => ExitCode::Disk,
            Self::Stopped(error) => error.exit(),
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Lost { .. } => {
                Some("nothing is lost: finished chunks are kept, and the other process goes on with them".to_owned())
            }
            Self::Lock { .. } => {
                Some("check free space and permissions of `output.state`; nothing was published".to_owned())
            }
            Self::Stopped(error) => error.hint(),
            Self::Storage(error) => error.hint(),
        }
    }
}
