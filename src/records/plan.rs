//! The record of a plan: what is being done, so that another process can finish it without the job, the model or the input.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{DateFolder, decode};
use crate::storage::StorageError;

/// What is done under one plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// Form of the record.
    pub v: u32,
    /// The job.
    pub job: String,
    /// The date.
    pub date: NaiveDate,
    /// The identity of the work, with its generation.
    pub plan_id: String,
    /// The identity of the work.
    pub base_id: String,
    /// How often the same work was asked for again.
    pub generation: u32,
    /// Version of the program.
    pub engine: String,
    /// When it was made; rows carry this time, so that those of a resumed run carry one.
    pub created_at: DateTime<Utc>,
    /// The run that made it; rows carry it.
    pub run_id: String,
    /// The input's objects.
    pub inputs: Vec<PlanInput>,
    /// The model.
    pub model: PlanModel,
    /// Rows of each chunk, in order.
    pub chunks: Vec<usize>,
    /// Rows of the input.
    pub total_rows: u64,
    /// The output's columns: an output file without rows, as base64.
    pub template: String,
    /// Files that the output is divided into.
    pub files: usize,
}

/// An object of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanInput {
    /// Where it is.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Identity of its bytes.
    pub etag: Option<String>,
    /// Rows.
    pub rows: u64,
    /// Row groups.
    pub row_groups: usize,
}

/// The model of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanModel {
    /// Its name.
    pub name: String,
    /// Its version, never an alias.
    pub version: String,
    /// SHA-256 of `model.pt`, hex.
    pub sha256: String,
}

impl PlanRecord {
    /// The record of a plan; `None` when there is none that can be read.
    pub async fn of(date: &DateFolder, plan_id: &str) -> Result<Option<Self>, StorageError> {
        let found = date.plan(plan_id).join("plan.json").read_record().await?;
        Ok(found.and_then(|(bytes, _)| decode(&bytes)))
    }

    /// True when both say the same, whoever wrote them and when.
    pub fn agrees(&self, other: &Self) -> bool {
        let same_maker = Self {
            created_at: other.created_at,
            run_id: other.run_id.clone(),
            engine: other.engine.clone(),
            ..self.clone()
        };
        same_maker == *other
    }
}
