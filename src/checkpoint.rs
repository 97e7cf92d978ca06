//! Keeps each chunk as soon as it is scored, and finds again what an earlier process has kept.
//!
//! A run that is killed loses the chunks that were being scored and no others. Two processes at the same chunk do no harm: the first record
//! names the chunk's part, and both go on with that.

use std::collections::BTreeMap;

use bytes::Bytes;
use tracing::warn;

use crate::batch::{ChunkId, Part, Stage, StageTimes};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::nonce::nonce;
use crate::records::{ChunkFolder, DateFolder, Done, FORM, PartFile, PlanRecord};
use crate::rejects::{self, RejectsError};
use crate::storage::StorageError;

/// The chunks of one plan that are finished, and the place of those that will be.
#[derive(Debug)]
pub struct Checkpoint {
    folder: ChunkFolder,
    plan_id: String,
    run_id: String,
    holder: String,
    device: String,
    done: BTreeMap<usize, Done>,
}

impl Checkpoint {
    /// Looks which chunks are finished.
    pub async fn open(date: &DateFolder, plan: &PlanRecord) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self::of_new(date, plan);
        checkpoint.done = checkpoint.folder.done().await?;
        Ok(checkpoint)
    }

    /// That of a plan which nobody knew before, so that there is nothing to look for.
    pub fn of_new(date: &DateFolder, plan: &PlanRecord) -> Self {
        Self {
            folder: ChunkFolder::new(date, plan),
            plan_id: plan.plan_id.clone(),
            run_id: plan.run_id.clone(),
            holder: String::new(),
            device: String::new(),
            done: BTreeMap::new(),
        }
    }

    /// Whether it lies on a disk of this machine.
    pub fn is_local(&self) -> bool {
        self.folder.is_local()
    }

    /// Who keeps chunks, and what scored them; for people who read the records.
    pub fn kept_by(mut self, holder: &str, device: &str) -> Self {
        holder.clone_into(&mut self.holder);
        device.clone_into(&mut self.device);
        self
    }

    /// Chunks that were finished when it was opened.
    pub fn finished(&self) -> usize {
        self.done.len()
    }

    /// A chunk that was finished when this was opened. What is missing or damaged is forgotten, and the chunk to be scored again.
    pub async fn load(&self, chunk: usize) -> Result<Option<Part>, CheckpointError> {
        let Some(done) = self.done.get(&chunk) else {
            return Ok(None);
        };
        let part = self.read(done).await?;
        if part.is_none() {
            warn!(
                chunk,
                plan = self.plan_id,
                "the part of a finished chunk is missing or damaged"
            );
            self.folder.forget(chunk).await?;
        }
        Ok(part)
    }

    /// Keeps a scored chunk, and gives back what counts from now on: this part, or the one of a process that was faster.
    pub async fn keep(&self, part: Part) -> Result<Part, CheckpointError> {
        loop {
            let rejects = match &part.rejects {
                Some(rejects) => rejects::encode(std::slice::from_ref(rejects))?,
                None => None,
            };
            let ours = self.describe(&part, rejects.as_ref());
            let files = ours.rejects.as_ref().zip(rejects);
            self.folder.write((&ours.part, part.bytes.clone()), files).await?;
            let attempt = ours.attempt.clone();
            let settled = self.folder.settle(ours).await?;
            if settled.attempt == attempt {
                return Ok(part);
            }
            match self.read(&settled).await? {
                Some(theirs) => return Ok(theirs),
                // Its record does not hold, so ours may take its place.
                None => self.folder.forget(part.chunk.0).await?,
            }
        }
    }

    async fn read(&self, done: &Done) -> Result<Option<Part>, CheckpointError> {
        let Some(bytes) = self.folder.part(done).await? else {
            return Ok(None);
        };
        let rejects = match &done.rejects {
            None => None,
            Some(file) => match self.folder.rejects(file).await? {
                Some(bytes) => Some(rejects::decode(bytes)?),
                None => return Ok(None),
            },
        };
        Ok(Some(Part {
            chunk: ChunkId(done.chunk),
            sha256: done.part.sha256.clone(),
            bytes,
            rejects,
            rows_in: done.rows_in,
            rows_out: done.rows_out,
            rejected: done.by_reason.iter().map(|(reason, rows)| (*reason, *rows)).collect(),
            stand_ins: done.stand_ins.clone(),
            stages: StageTimes::default(),
        }))
    }

    fn describe(&self, part: &Part, rejects: Option<&Bytes>) -> Done {
        // Its only purpose is to differ from that of any other attempt.
        let attempt = nonce();
        let name = ChunkFolder::file_name(part.chunk.0, &attempt);
        let seconds = |stage: &Stage| (stage.name().to_owned(), part.stages.of(*stage).wall.as_secs_f64());
        Done {
            v: FORM,
            plan_id: self.plan_id.clone(),
            run_id: self.run_id.clone(),
            chunk: part.chunk.0,
            holder: self.holder.clone(),
            rejects: rejects.map(|bytes| PartFile::of(name.clone(), bytes)),
            part: PartFile {
                name,
                size: part.bytes.len() as u64,
                sha256: part.sha256.clone(),
            },
            attempt,
            rows_in: part.rows_in,
            rows_out: part.rows_out,
            rows_rejected: part.rows_rejected(),
            by_reason: part.rejected.iter().copied().collect(),
            stand_ins: part.stand_ins.clone(),
            device: self.device.clone(),
            seconds: Stage::ALL.iter().map(seconds).collect(),
        }
    }
}

/// Why a chunk could not be kept or found again.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Rejected rows could not be encoded or decoded.
    #[error(transparent)]
    Rejects(#[from] RejectsError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Seam for CheckpointError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Rejects(error) => error.exit(),
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Rejects(_) => None,
            Self::Storage(error) => error.hint(),
        }
    }
}
