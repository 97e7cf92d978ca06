//! What published data says about itself: number, plan and nonce, in the footer and, in a bucket, in the object's metadata.
//!
//! The footer is enough by itself; the metadata saves reading it. So data that was copied by a tool that drops metadata is still known.

use chrono::NaiveDate;
use parquet::file::metadata::{KeyValue, ParquetMetaData};

use crate::records::{Commit, PlanRecord};
use crate::storage::Seen;

/// Prefix of our keys in a Parquet footer.
const PREFIX: &str = "batch_infer.";

/// Identity of published data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Number of its commit in the log of its date.
    pub seq: u64,
    /// What was done.
    pub plan_id: String,
    /// Tells publications of one plan apart.
    pub nonce: String,
}

/// Whose data it is: numbers of one job and date mean nothing for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The job.
    pub job: String,
    /// The date.
    pub date: NaiveDate,
}

impl Owner {
    /// The owner in a footer.
    pub(super) fn of(metadata: &ParquetMetaData) -> Option<Self> {
        Some(Self {
            job: pair(metadata, "job")?,
            date: pair(metadata, "date")?.parse().ok()?,
        })
    }

    /// The owner in an object's metadata.
    pub(super) fn of_object(seen: &Seen) -> Option<Self> {
        Some(Self {
            job: seen.metadata("bi-job")?.to_owned(),
            date: seen.metadata("bi-date")?.parse().ok()?,
        })
    }
}

/// What the footer of one of our files says under a name.
pub fn pair(metadata: &ParquetMetaData, name: &str) -> Option<String> {
    let mut pairs = metadata.file_metadata().key_value_metadata()?.iter();
    let found = pairs.find(|pair| pair.key.strip_prefix(PREFIX) == Some(name));
    found.and_then(|pair| pair.value.clone())
}

impl Stamp {
    /// The key-values of the footer: those of the plan's template, and what says where the data is from.
    pub(super) fn footer(&self, plan: &PlanRecord, template: &[KeyValue]) -> Vec<KeyValue> {
        let pairs = [
            ("job", plan.job.clone()),
            ("date", plan.date.to_string()),
            ("plan_id", self.plan_id.clone()),
            ("seq", self.seq.to_string()),
            ("nonce", self.nonce.clone()),
            ("run_id", plan.run_id.clone()),
            ("model_name", plan.model.name.clone()),
            ("model_version", plan.model.version.clone()),
            ("model_sha256", plan.model.sha256.clone()),
            ("generated_at", plan.created_at.to_rfc3339()),
            ("engine", plan.engine.clone()),
        ];
        let pairs = pairs.map(|(key, value)| KeyValue::new(format!("{PREFIX}{key}"), value));
        template.iter().cloned().chain(pairs).collect()
    }

    /// The stamp in a footer. Data of ours from before there were numbers has number 0; other data has no stamp.
    pub fn of(metadata: &ParquetMetaData) -> Option<Self> {
        Some(Self {
            plan_id: pair(metadata, "plan_id")?,
            seq: pair(metadata, "seq").map_or(Some(0), |seq| seq.parse().ok())?,
            nonce: pair(metadata, "nonce").unwrap_or_default(),
        })
    }

    /// The stamp in an object's metadata.
    pub fn of_object(seen: &Seen) -> Option<Self> {
        Some(Self {
            seq: seen.metadata("bi-seq")?.parse().ok()?,
            plan_id: seen.metadata("bi-plan")?.to_owned(),
            nonce: seen.metadata("bi-nonce")?.to_owned(),
        })
    }

    /// The stamp that the files of a commit carry.
    pub fn of_commit(commit: &Commit) -> Self {
        Self {
            seq: commit.n,
            plan_id: commit.plan_id.clone(),
            nonce: commit.nonce.clone(),
        }
    }

    /// The user metadata of the object.
    pub(super) fn metadata(&self, owner: &Owner, sha256: &str) -> [(&'static str, String); 6] {
        [
            ("bi-job", owner.job.clone()),
            ("bi-date", owner.date.to_string()),
            ("bi-seq", self.seq.to_string()),
            ("bi-plan", self.plan_id.clone()),
            ("bi-nonce", self.nonce.clone()),
            ("bi-sha256", sha256.to_owned()),
        ]
    }
}
