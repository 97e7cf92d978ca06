//! Looks up what is published, so that only its rejected rows are scored again.

use super::{Desk, Ready, Verdict};
use crate::digest::sha256;
use crate::error::Error;
use crate::output::OutputSchema;
use crate::plan::Plan;
use crate::publish::Shown;
use crate::records::Commit;
use crate::rejects;
use crate::rescore::{self, Rescore, RescoreError, published_rows, rejected};
use crate::run::Notice;
use crate::validate::Job;

/// Prefix of our keys in a Parquet footer.
const MODEL_SHA256: &str = "batch_infer.model_sha256";
const MODEL_VERSION: &str = "batch_infer.model_version";

impl Desk {
    /// Turns a plan of the whole date into one of its rejected rows. A notice when there are none.
    pub(super) async fn only_rejected(&self, job: &Job, ready: &mut Ready) -> Result<Option<Notice>, Error> {
        let standing = self.standing().await?;
        if let Some(pending) = standing.pending() {
            return Err(RescoreError::Pending { seq: pending.n }.into());
        }
        let Some(commit) = standing.log.newest_commit().filter(|commit| standing.shows(commit)) else {
            return Err(RescoreError::Nothing.into());
        };
        if !matches!(standing.shown, Shown::Ours(..)) {
            return Err(RescoreError::Nothing.into());
        }
        if commit.rows_rejected == 0 {
            return Ok(Some(Notice {
                outcome: Verdict::NothingRejected,
                ..self.notice_of(commit)
            }));
        }
        let rejects = self.rejects_of(commit).await?;
        let rejected = rejected(&ready.plan, &rejects)?;
        let published = self
            .published_plan(job, ready, commit, published_rows(&ready.plan, &rejected))
            .await?;
        // What is published is as much an input of this plan as the features are.
        let mut base_id = sha256(format!("{}:rejected of:{}", ready.base_id, commit.plan_id).as_bytes());
        base_id.truncate(ready.base_id.len());
        ready.base_id = base_id;
        ready.rescore = Some(Rescore::new(published, rejected));
        Ok(None)
    }

    async fn rejects_of(&self, commit: &Commit) -> Result<arrow::array::RecordBatch, Error> {
        let place = self.date.rejects(&commit.plan_id);
        let found = place.read().await?.map(rejects::decode);
        let found = found.and_then(Result::ok);
        Ok(found.ok_or_else(|| RescoreError::Gone {
            rows: commit.rows_rejected,
            file: place.location().to_string(),
        })?)
    }

    async fn published_plan(
        &self,
        job: &Job,
        ready: &Ready,
        commit: &Commit,
        pieces: Vec<usize>,
    ) -> Result<Plan, Error> {
        let published: usize = pieces.iter().sum();
        if published as u64 != commit.rows_out || ready.plan.rows != commit.rows_in {
            return Err(RescoreError::Count {
                input: ready.plan.rows,
                published: commit.rows_out,
                rejected: usize::try_from(commit.rows_rejected).unwrap_or(usize::MAX),
            }
            .into());
        }
        let places = commit.files.iter().map(|file| self.partition.file(&file.name));
        let plan = Plan::of_files(places.collect(), &pieces).await?;
        let contract = ready.preprocessor.contract();
        for file in &plan.files {
            let said = |key| file.key_value(key).unwrap_or("none");
            if said(MODEL_SHA256) != contract.sha256 || said(MODEL_VERSION) != contract.version {
                return Err(RescoreError::Model {
                    published: said(MODEL_VERSION).to_owned(),
                    wanted: contract.version.clone(),
                }
                .into());
            }
        }
        let wanted = OutputSchema::new(&ready.plan.columns, contract, &job.lineage, commit.at, "")?;
        let outputs = wanted.logical().clone();
        let names = |schema: &arrow::datatypes::SchemaRef| -> Vec<String> {
            schema.fields().iter().map(|field| field.name().clone()).collect()
        };
        let wanted = names(wanted.logical());
        let found = plan.columns.read.clone();
        if wanted != found {
            let differs = wanted.iter().find(|name| !found.contains(name));
            let differs = differs.or_else(|| found.iter().find(|name| !wanted.contains(name)));
            return Err(RescoreError::Columns {
                column: differs.cloned().unwrap_or_else(|| "their order".to_owned()),
            }
            .into());
        }
        let differs = outputs.fields().iter().find(|field| {
            let found = plan.columns.types.get(field.name());
            !found.is_some_and(|found| rescore::same_values(found, field.data_type()))
        });
        match differs {
            None => Ok(plan),
            Some(field) => Err(RescoreError::Types {
                column: field.name().clone(),
                published: plan.columns.types[field.name()].to_string(),
                wanted: field.data_type().to_string(),
            }
            .into()),
        }
    }
}
