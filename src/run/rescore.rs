//! Looks up what is published, so that only its rejected rows are scored again.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::{Desk, Ready, Verdict};
use crate::error::Error;
use crate::output::OutputSchema;
use crate::plan::{Earlier, Plan, of_rejected, same_values};
use crate::publish;
use crate::records::{Commit, Log};
use crate::rejects;
use crate::rescore::{Rescore, RescoreError, published_rows, rejected};
use crate::run::Notice;
use crate::spec::OnExisting;
use crate::validate::Job;

impl Desk {
    /// Turns a plan of the whole date into one of its rejected rows. A notice when there are none, or when nothing was corrected since,
    /// unless the job says that what is published is scored again all the same.
    pub(super) async fn only_rejected(
        &self,
        job: &Job,
        ready: &mut Ready,
        earlier: &[Earlier],
    ) -> Result<Option<Notice>, Error> {
        let standing = self.standing().await?;
        if let Some(pending) = standing.pending() {
            return Err(RescoreError::Pending { seq: pending.n }.into());
        }
        let Some(commit) = standing.log.newest_commit().filter(|commit| standing.shows(commit)) else {
            return Err(RescoreError::Nothing.into());
        };
        if commit.rows_rejected == 0 {
            return Ok(Some(Notice {
                outcome: Verdict::NothingRejected,
                ..self.notice_of(commit)
            }));
        }
        let mut same = std::iter::once(&ready.base_id).chain(earlier.iter().map(|earlier| &earlier.base_id));
        if job.on_existing != OnExisting::Replace && same.any(|base_id| is_unchanged(&standing.log, commit, base_id)) {
            return Ok(Some(Notice {
                outcome: Verdict::NothingCorrected,
                ..self.notice_of(commit)
            }));
        }
        let rejects = self.rejects_of(commit).await?;
        let rejected = rejected(&ready.plan, &rejects)?;
        let published = self
            .published_plan(job, ready, commit, published_rows(&ready.plan, &rejected))
            .await?;
        // What is published is as much an input of this plan as the features are.
        ready.base_id = of_rejected(&ready.base_id, &commit.plan_id);
        ready.rescore = Some(Rescore::new(published, rejected));
        Ok(None)
    }

    async fn rejects_of(&self, commit: &Commit) -> Result<RecordBatch, Error> {
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
            let said = |name| publish::pair(file.metadata.metadata(), name).unwrap_or_else(|| "none".to_owned());
            if said("model_sha256") != contract.sha256 || said("model_version") != contract.version {
                return Err(RescoreError::Model {
                    published: said("model_version"),
                    wanted: contract.version.clone(),
                }
                .into());
            }
        }
        let wanted = OutputSchema::new(&ready.plan.columns, contract, &job.lineage, commit.at, "")?;
        same_columns(&plan, wanted.logical())?;
        Ok(plan)
    }
}

/// Whether input, model and policy are those by which these rows were rejected: in a run of the whole date, or of what an earlier
/// publication had rejected.
fn is_unchanged(log: &Log, commit: &Commit, base_id: &str) -> bool {
    let of = |earlier: &Commit| commit.base_id == of_rejected(base_id, &earlier.plan_id);
    commit.base_id == base_id || log.commits().any(of)
}

/// An error when the published files have other columns than would be written.
fn same_columns(published: &Plan, wanted: &Schema) -> Result<(), RescoreError> {
    let found = &published.columns.read;
    let names: Vec<&String> = wanted.fields().iter().map(|field| field.name()).collect();
    if !names.iter().copied().eq(found) {
        let missing = names.iter().copied().find(|name| !found.contains(name));
        let differs = missing.or_else(|| found.iter().find(|name| !names.contains(name)));
        return Err(RescoreError::Columns {
            column: differs.cloned().unwrap_or_else(|| "their order".to_owned()),
        });
    }
    for field in wanted.fields() {
        let found = &published.columns.types[field.name()];
        if !same_values(found, field.data_type()) {
            return Err(RescoreError::Types {
                column: field.name().clone(),
                published: found.to_string(),
                wanted: field.data_type().to_string(),
            });
        }
    }
    Ok(())
}
