//! What keeps writers apart, each by itself, so that it can be taken away: a simulation that does not miss it proves nothing.

use bytes::Bytes;
use object_store::{PutMode, path::Path};

use super::bucket::Request;
use crate::publish::Fences;

/// One thing that keeps writers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fence {
    /// A commit goes into the slot after its own `open` and into no later one.
    OwnSlot,
    /// A file is replaced only if it is still the one that was looked at.
    Conditional,
    /// An upload in pieces is announced before the log is looked at for the last time.
    Announced,
    /// The bucket creates an `open` only where there is no record.
    OpenOnce,
    /// The bucket creates a commit only where there is no record.
    CommitOnce,
    /// The bucket creates the record of a plan only once.
    PlanOnce,
    /// The bucket creates the record of a chunk only once.
    ChunkOnce,
    /// The bucket creates a first file only where there is none.
    FirstOnce,
    /// The bucket replaces a file only if it has the `ETag` that was asked for.
    IfMatch,
    /// What readers see is compared by its number before it is replaced.
    NumberSeen,
    /// After a time-out a write is read back, and not taken for done.
    ReadBack,
    /// Before it removes anything, the collector looks at the log again.
    LookAgain,
}

impl Fence {
    /// Every fence.
    pub(super) const ALL: [Self; 12] = [
        Self::OwnSlot,
        Self::Conditional,
        Self::Announced,
        Self::OpenOnce,
        Self::CommitOnce,
        Self::PlanOnce,
        Self::ChunkOnce,
        Self::FirstOnce,
        Self::IfMatch,
        Self::NumberSeen,
        Self::ReadBack,
        Self::LookAgain,
    ];

    /// What is left to the program without this one.
    pub(super) fn left(without: Option<Self>) -> Fences {
        Fences {
            own_slot: without != Some(Self::OwnSlot),
            conditional: without != Some(Self::Conditional),
            announced: without != Some(Self::Announced),
        }
    }

    /// The request as a bucket takes it that lacks this fence.
    pub(super) fn ignored(self, request: &Request) -> Option<Request> {
        let Request::Put {
            path,
            bytes,
            mode,
            attributes,
        } = request
        else {
            return None;
        };
        let creates = matches!(mode, PutMode::Create);
        let ignored = match self {
            Self::OpenOnce => creates && is_log(path) && says(bytes, "open"),
            Self::CommitOnce => creates && is_log(path) && says(bytes, "commit"),
            Self::PlanOnce => creates && path.filename() == Some("plan.json"),
            Self::ChunkOnce => creates && path.as_ref().ends_with(".done.json"),
            Self::FirstOnce => creates && path.extension() == Some("parquet"),
            Self::IfMatch => matches!(mode, PutMode::Update(_)) && path.extension() == Some("parquet"),
            _ => false,
        };
        ignored.then(|| Request::Put {
            path: path.clone(),
            bytes: bytes.clone(),
            mode: PutMode::Overwrite,
            attributes: attributes.clone(),
        })
    }
}

/// True for a record of the log.
pub(super) fn is_log(path: &Path) -> bool {
    path.as_ref().contains("/log/")
}

fn says(bytes: &Bytes, kind: &str) -> bool {
    let record: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    record.is_some_and(|record| record["kind"] == kind)
}
