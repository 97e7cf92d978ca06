//! The exit codes, an interface: their numbers, their meaning, and whether starting again can help.
//!
//! `deploy/k8s` and people's scripts rely on them, so a number never changes its meaning. Which error has which code is
//! decided in the file of the error and not here.

use std::fmt;
use std::process::Termination;

use serde::{Serialize, Serializer};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Published, already published, a shard's part done, or skipped by policy.
    Success = 0,
    /// A mistake in this program.
    Internal = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// A job file or a settings file cannot be used.
    Config = 10,
    /// The model is missing, damaged, or not what its contract says.
    Model = 11,
    /// The input's columns do not fit the contract.
    Schema = 12,
    /// More bad rows or damaged files than the job allows.
    BadRows = 13,
    /// The input is not there yet.
    InputNotReady = 14,
    /// The store failed in a way that may pass, and retries are used up.
    StorageTransient = 20,
    /// The store refuses access.
    StoragePermission = 21,
    /// The store cannot write on a condition.
    StorageConditions = 22,
    /// The local disk is full, read-only or broken.
    Disk = 23,
    /// Another process works on the same job and date.
    Busy = 30,
    /// A later run took over.
    Superseded = 31,
    /// The date is published and the job says to fail then.
    AlreadyPublished = 32,
    /// Nothing is published for the date that is to be compared.
    NotPublished = 33,
    /// The accelerator failed, or has too little memory for one row.
    Device = 40,
    /// The machine's memory limit is near.
    HostMemory = 41,
    /// The time allowed is over.
    Deadline = 50,
    /// A law that must hold does not, such as rows in = rows out + rows rejected.
    Invariant = 70,
    /// SIGINT; nothing was published.
    Interrupted = 130,
    /// SIGKILL, from outside. Never returned by this program; named so that tables are whole.
    Killed = 137,
    /// SIGTERM; nothing was published.
    Terminated = 143,
}

impl ExitCode {
    /// Every code, by number.
    pub const ALL: [Self; 23] = [
        Self::Success,
        Self::Internal,
        Self::Usage,
        Self::Config,
        Self::Model,
        Self::Schema,
        Self::BadRows,
        Self::InputNotReady,
        Self::StorageTransient,
        Self::StoragePermission,
        Self::StorageConditions,
        Self::Disk,
        Self::Busy,
        Self::Superseded,
        Self::AlreadyPublished,
        Self::NotPublished,
        Self::Device,
        Self::HostMemory,
        Self::Deadline,
        Self::Invariant,
        Self::Interrupted,
        Self::Killed,
        Self::Terminated,
    ];

    /// The number that the parent process sees.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// One line for people: the table in the README and the last line of the log.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "published, already published, shard part done, or skipped by policy",
            Self::Internal => "unexpected internal error",
            Self::Usage => "command line not understood",
            Self::Config => "configuration invalid",
            Self::Model => "model missing, damaged, or not as its contract says",
            Self::Schema => "input columns do not fit the contract",
            Self::BadRows => "more bad rows or damaged files than allowed",
            Self::InputNotReady => "input not ready",
            Self::StorageTransient => "storage failed, retries used up",
            Self::StoragePermission => "storage refused access",
            Self::StorageConditions => "storage lacks conditional writes",
            Self::Disk => "local disk full, read-only or failing",
            Self::Busy => "another process works on this job and date",
            Self::Superseded => "a later run took over",
            Self::AlreadyPublished => "date already published and the job says to fail",
            Self::NotPublished => "nothing is published for this date",
            Self::Device => "accelerator failed or out of memory",
            Self::HostMemory => "memory limit near",
            Self::Deadline => "time allowed is over",
            Self::Invariant => "an invariant does not hold, nothing published",
            Self::Interrupted => "interrupted (SIGINT), nothing published",
            Self::Killed => "killed (SIGKILL or out of memory)",
            Self::Terminated => "terminated (SIGTERM), nothing published",
        }
    }

    /// True where starting again with the same job and date may end better.
    pub fn retryable(self) -> bool {
        match self {
            Self::Internal
            | Self::InputNotReady
            | Self::StorageTransient
            | Self::StoragePermission
            | Self::Disk
            | Self::Busy
            | Self::NotPublished
            | Self::Device
            | Self::HostMemory
            | Self::Deadline
            | Self::Interrupted
            | Self::Killed
            | Self::Terminated => true,
            Self::Success
            | Self::Usage
            | Self::Config
            | Self::Model
            | Self::Schema
            | Self::BadRows
            | Self::StorageConditions
            | Self::Superseded
            | Self::AlreadyPublished
            | Self::Invariant => false,
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code(), self.meaning())
    }
}

/// As its number.
impl Serialize for ExitCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.code())
    }
}

impl Termination for ExitCode {
    fn report(self) -> std::process::ExitCode {
        std::process::ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    /// The published table. A line may be added; a line that stands here never changes.
    #[test]
    fn numbers_and_retries_are_as_published() {
        let table: Vec<_> = ExitCode::ALL
            .iter()
            .map(|exit| (format!("{exit:?}"), exit.code(), exit.retryable()))
            .collect();
        let published = [
            ("Success", 0, false),
            ("Internal", 1, true),
            ("Usage", 2, false),
            ("Config", 10, false),
            ("Model", 11, false),
            ("Schema", 12, false),
            ("BadRows", 13, false),
            ("InputNotReady", 14, true),
            ("StorageTransient", 20, true),
            ("StoragePermission", 21, true),
            ("StorageConditions", 22, false),
            ("Disk", 23, true),
            ("Busy", 30, true),
            ("Superseded", 31, false),
            ("AlreadyPublished", 32, false),
            ("NotPublished", 33, true),
            ("Device", 40, true),
            ("HostMemory", 41, true),
            ("Deadline", 50, true),
            ("Invariant", 70, false),
            ("Interrupted", 130, true),
            ("Killed", 137, true),
            ("Terminated", 143, true),
        ];
        let published = published.map(|(name, code, retryable)| (name.to_owned(), code, retryable));
        assert_eq!(table, published);
    }

    #[test]
    fn meanings_are_distinct_fragments() {
        let mut meanings: Vec<_> = ExitCode::ALL.map(ExitCode::meaning).to_vec();
        meanings.sort_unstable();
        meanings.dedup();
        assert_eq!(meanings.len(), ExitCode::ALL.len());
        assert!(meanings.iter().all(|meaning| !meaning.ends_with('.')));
    }
}
