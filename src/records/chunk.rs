//! Finished chunks: a part is written under a name of its own, then a record that is created once names it as the chunk's.
//!
//! However many processes score a chunk, one part counts. Neither parts nor records need to survive a power cut: a part is compared with
//! the digest in its record, and a record that does not hold is removed and the chunk scored again.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{DateFolder, FORM, PlanRecord, decode, encode};
use crate::batch::StandInsByFeature;
use crate::digest::sha256;
use crate::spec::Reason;
use crate::storage::{Created, Place, StorageError};

/// Records that are read at a time.
const CONCURRENT_READS: usize = 32;

/// Suffix of the records.
const DONE: &str = ".done.json";

/// A finished chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Form of the record.
    pub v: u32,
    /// The plan.
    pub plan_id: String,
    /// Run that the rows name: the one that made the plan's record. Where that record was lost and made anew, parts from before it do not
    /// count, since their rows carry another run and time.
    pub run_id: String,
    /// The chunk.
    pub chunk: usize,
    /// Names this attempt among others at the same chunk.
    pub attempt: String,
    /// The process.
    pub holder: String,
    /// The chunk's rows.
    pub part: PartFile,
    /// Its rejected rows, if there are any.
    pub rejects: Option<PartFile>,
    /// Rows read.
    pub rows_in: usize,
    /// Rows written.
    pub rows_out: usize,
    /// Rows not scored.
    pub rows_rejected: usize,
    /// Rows not scored, by reason.
    pub by_reason: BTreeMap<Reason, usize>,
    /// What stood for values of the rows that the model was given, by feature.
    #[serde(default, skip_serializing_if = "StandInsByFeature::is_empty")]
    pub stand_ins: StandInsByFeature,
    /// The device.
    pub device: String,
    /// Seconds by stage.
    pub seconds: BTreeMap<String, f64>,
}

/// A file of a chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFile {
    /// Its name in the folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

impl PartFile {
    /// Describes bytes that will be kept under a name.
    pub fn of(name: String, bytes: &[u8]) -> Self {
        Self {
            name,
            size: bytes.len() as u64,
            sha256: sha256(bytes),
        }
    }

    fn describes(&self, bytes: &[u8]) -> bool {
        self.size == bytes.len() as u64 && self.sha256 == sha256(bytes)
    }
}

/// The chunks of one plan.
#[derive(Debug, Clone)]
pub struct ChunkFolder {
    plan_id: String,
    run_id: String,
    chunks: Place,
    rejects: Place,
}

impl ChunkFolder {
    /// The chunks of a plan.
    pub fn new(date: &DateFolder, plan: &PlanRecord) -> Self {
        let folder = date.plan(&plan.plan_id);
        Self {
            plan_id: plan.plan_id.clone(),
            run_id: plan.run_id.clone(),
            chunks: folder.join("chunks").fleeting(),
            rejects: folder.join("rejects").fleeting(),
        }
    }

    /// Name of an attempt's file.
    pub fn file_name(chunk: usize, attempt: &str) -> String {
        format!("{chunk:06}.{attempt}.part")
    }

    /// Every finished chunk. A record that is damaged or of another plan is none.
    pub async fn done(&self) -> Result<BTreeMap<usize, Done>, StorageError> {
        let listed = self.chunks.list().await?;
        let names = listed.iter().filter_map(|meta| meta.location.filename());
        let chunks: Vec<usize> = names.filter_map(|name| name.strip_suffix(DONE)?.parse().ok()).collect();
        let read = stream::iter(chunks)
            .map(async |chunk| Ok((chunk, self.read_done(chunk).await?)))
            .buffer_unordered(CONCURRENT_READS);
        read.try_filter_map(async |(chunk, done)| Ok(done.map(|done| (chunk, done))))
            .try_collect()
            .await
    }

    async fn read_done(&self, chunk: usize) -> Result<Option<Done>, StorageError> {
        let found = self.record(chunk).read_record().await?;
        Ok(found.and_then(|(bytes, _)| self.parse(chunk, &bytes)))
    }

    /// The record, if it is one of this chunk and plan.
    fn parse(&self, chunk: usize, bytes: &[u8]) -> Option<Done> {
        let done: Done = decode(bytes)?;
        let ours = done.plan_id == self.plan_id && done.run_id == self.run_id;
        (done.v == FORM && done.chunk == chunk && ours).then_some(done)
    }

    /// Writes the files of an attempt; they count once a record names them.
    pub async fn write(
        &self,
        part: (&PartFile, Bytes),
        rejects: Option<(&PartFile, Bytes)>,
    ) -> Result<(), StorageError> {
        let of_part = self.chunks.join(&part.0.name);
        of_part.write_checked(part.1).await?;
        if let Some((file, bytes)) = rejects {
            self.rejects.join(&file.name).write_checked(bytes).await?;
        }
        Ok(())
    }

    /// Makes an attempt the chunk's own, unless another is; which one it is then. A record in the way that cannot be read is removed.
    pub async fn settle(&self, done: Done) -> Result<Done, StorageError> {
        loop {
            match self.record(done.chunk).create(encode(&done)).await? {
                Created::Ours => return Ok(done),
                Created::Theirs(bytes) => match self.parse(done.chunk, &bytes) {
                    Some(theirs) => return Ok(theirs),
                    None => self.forget(done.chunk).await?,
                },
            }
        }
    }

    /// The rows of a finished chunk; `None` when they are gone or damaged.
    pub async fn part(&self, done: &Done) -> Result<Option<Bytes>, StorageError> {
        let found = self.chunks.join(&done.part.name).read().await?;
        Ok(found.filter(|bytes| done.part.describes(bytes)))
    }

    /// The rejected rows of a finished chunk; `None` when they are gone or damaged.
    pub async fn rejects(&self, file: &PartFile) -> Result<Option<Bytes>, StorageError> {
        let found = self.rejects.join(&file.name).read().await?;
        Ok(found.filter(|bytes| file.describes(bytes)))
    }

    /// Removes a record that does not hold, so that its chunk is scored again.
    pub async fn forget(&self, chunk: usize) -> Result<(), StorageError> {
        self.record(chunk).remove().await
    }

    /// Whether it lies on a disk of this machine.
    pub fn is_local(&self) -> bool {
        self.chunks.local().is_some()
    }

    fn record(&self, chunk: usize) -> Place {
        self.chunks.join(&format!("{chunk:06}{DONE}"))
    }
}
