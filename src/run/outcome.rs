//! How a run ends: what it did, why it had nothing to do, and the failures that no stage knows.

use chrono::NaiveDate;
use serde::Serialize;

use crate::error::Seam;
use crate::exit::ExitCode;
use crate::report::RunReport;

/// The part of a date's chunks that one process does: chunks whose number leaves `index` when divided by `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Number of the process, from 0.
    pub index: usize,
    /// Processes.
    pub of: usize,
}

impl Shard {
    /// Reads `i/N`.
    pub fn parse(text: &str) -> Option<Self> {
        let (index, of) = text.split_once('/')?;
        Self::new(index.parse().ok()?, of.parse().ok()?)
    }

    /// A shard, if there is one of that number.
    pub fn new(index: usize, of: usize) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// True when the chunk is one of its own.
    pub fn owns(self, chunk: usize) -> bool {
        chunk % self.of == self.index
    }
}

/// What a run did.
#[derive(Debug)]
pub enum Outcome {
    /// It scored and published.
    Published(Box<RunReport>),
    /// It found that there is nothing to publish for it.
    Nothing(Notice),
}

/// Why a run published nothing, in a few words.
#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    /// The job.
    pub job: String,
    /// The date.
    pub date: NaiveDate,
    /// Why.
    pub outcome: Verdict,
    /// Where the partition is.
    pub output: String,
    /// Number of what is published in the log of its date.
    pub seq: Option<u64>,
    /// Plan of what is published.
    pub plan_id: Option<String>,
    /// Rows of what is published.
    pub rows: Option<u64>,
}

/// Why a run published nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Readers see what it would have made.
    AlreadyPublished,
    /// Another process works at it, and the settings say to skip then.
    Skipped,
    /// Its shard is done, and others are not yet.
    ShardDone,
}

impl Notice {
    /// The notice for people.
    pub fn text(&self) -> String {
        let Self { job, date, output, .. } = self;
        match self.outcome {
            Verdict::AlreadyPublished => {
                let rows = self.rows.map_or(String::new(), |rows| format!(", {rows} rows"));
                let number = self
                    .seq
                    .map_or(String::new(), |seq| format!(" (publication {seq}{rows})"));
                format!("{job} for {date}: already published in {output}{number}; nothing to do\n")
            }
            Verdict::Skipped => format!("{job} for {date}: another process works on it; skipped\n"),
            Verdict::ShardDone => format!("{job} for {date}: this shard is done, others are not yet\n"),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn shards_share_every_chunk_once() {
        let shards: Vec<_> = (0..3).filter_map(|index| Shard::new(index, 3)).collect();
        for chunk in 0..20 {
            assert_eq!(
                shards.iter().filter(|shard| shard.owns(chunk)).count(),
                1,
                "chunk {chunk}"
            );
        }
    }

    #[test]
    fn only_shards_that_exist_are_read() {
        assert_eq!(Shard::parse("1/3"), Shard::new(1, 3));
        for text in ["3/3", "1", "a/b", "/", "-1/3", "0/0"] {
            assert_eq!(Shard::parse(text), None, "{text}");
        }
    }
}
