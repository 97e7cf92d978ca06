//! Failures of a run that no stage knows.

use crate::error::Seam;
use crate::exit::ExitCode;

/// Why a run ends early, apart from what its stages say.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Somebody else works at the job and date.
    #[error("{who} works on this job and date")]
    Busy {
        /// Who.
        who: String,
    },
    /// The job says that a published date is an error.
    #[error("`{file}` is published already, and `output.on_existing` is \"fail\"")]
    AlreadyPublished {
        /// The partition.
        file: String,
    },
    /// A later run wants something else.
    #[error("a later run took over this job and date")]
    Superseded,
    /// The store does not keep the conditions of writes.
    #[error("the store of `{state}` cannot be trusted with concurrent writers: {fault}")]
    Conditions {
        /// The state folder.
        state: String,
        /// What it does.
        fault: &'static str,
    },
    /// The state is that of another data set.
    #[error("`{record}` says that this state is about the data set `{found}`, and `output.path` is `{output}`")]
    OtherDataset {
        /// The record.
        record: String,
        /// The data set that it names, seen from the state.
        found: String,
        /// The data set of the job.
        output: String,
    },
    /// One lies in the other, by way of a link.
    #[error("`output.state` is really `{state}`, which overlaps with `output.path`, really `{output}`")]
    Overlap {
        /// The state folder.
        state: String,
        /// The data set.
        output: String,
    },
    /// State and output cannot be exchanged by a rename.
    #[error("`{state}` and `{output}` are on different file systems")]
    Devices {
        /// The state folder.
        state: String,
        /// The data set.
        output: String,
    },
    /// Locks there are not always what they should be.
    #[error("`{folder}` is on a network file system ({kind})")]
    NetworkFs {
        /// The folder.
        folder: String,
        /// Its kind.
        kind: &'static str,
    },
    /// A folder could not be looked at.
    #[error("look at the folder `{folder}`")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// No thread for the model.
    #[error("start a thread for the model")]
    Thread {
        /// What the system says.
        source: std::io::Error,
    },
    /// The plan's folder is damaged again and again.
    #[error("no plan's folder below `{plans}` can be used")]
    Plans {
        /// The folder.
        plans: String,
    },
}

impl Seam for RunError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Busy { .. } => ExitCode::Busy,
            Self::AlreadyPublished { .. } => ExitCode::AlreadyPublished,
            Self::Superseded => ExitCode::Superseded,
            Self::Conditions { .. } => ExitCode::StorageConditions,
            Self::OtherDataset { .. } | Self::Overlap { .. } | Self::Devices { .. } | Self::NetworkFs { .. } => {
                ExitCode::Config
            }
            Self::Folder { .. } => ExitCode::Disk,
            Self::Thread { .. } => ExitCode::HostMemory,
            Self::Plans { .. } => ExitCode::Invariant,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Busy { .. } => "wait for it, or let this run wait longer: [lease] busy_timeout; nothing is lost",
            Self::AlreadyPublished { .. } => "use `skip_same` or `replace` to score it again",
            Self::Superseded => "the later run publishes its own version; this one has nothing to do any more",
            Self::Conditions { .. } => {
                "use a store that honours If-None-Match and If-Match; where no second process can ever run, [state] unsafe_single_writer = true"
            }
            Self::OtherDataset { .. } => {
                "give each data set a state of its own: --set output.state=... beside --set output.path=...; where the data set was moved without its state, remove the record"
            }
            Self::Overlap { .. } => "readers would take its files for predictions; choose separate folders",
            Self::Devices { .. } => "publishing is a rename: put `output.state` on the file system of `output.path`",
            Self::NetworkFs { .. } => {
                "locks and renames there may not be atomic; use a local disk or a bucket, or take the risk with [state] allow_network_fs = true"
            }
            Self::Folder { .. } => "check permissions; nothing was published",
            Self::Thread { .. } => "allow the process more threads and memory",
            Self::Plans { .. } => "remove the folder; only finished chunks are lost with it",
        };
        Some(hint.to_owned())
    }
}
