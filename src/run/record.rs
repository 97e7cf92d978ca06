//! The record of a run's plan: what it says, and which one counts.

use tracing::warn;

use super::{Desk, Ready, RunError, Surroundings};
use crate::error::Error;
use crate::output::OutputSchema;
use crate::plan::{InputFile, Plan, generation};
use crate::publish;
use crate::records::{FORM, PlanInput, PlanModel, PlanRecord};
use crate::report::Tally;
use crate::validate::Job;

/// Folders of one plan that may be damaged before it is given up.
const MOST_DAMAGED: u32 = 8;

/// What this run would write down of its plan.
pub(super) fn plan_record(
    job: &Job,
    ready: &Ready,
    shape: &OutputSchema,
    desk: &Desk,
    tally: &Tally,
    again: u32,
) -> Result<PlanRecord, Error> {
    let contract = ready.preprocessor.contract();
    let Plan {
        files, chunks, rows, ..
    } = &ready.plan;
    let input = |file: &InputFile| PlanInput {
        path: file.place.location().to_string(),
        size: file.size,
        etag: file.etag.clone(),
        rows: file.rows(),
        row_groups: file.row_groups(),
    };
    Ok(PlanRecord {
        v: FORM,
        job: job.name.clone(),
        date: job.date,
        plan_id: generation(&ready.base_id, again),
        base_id: ready.base_id.clone(),
        generation: again,
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: tally.started,
        run_id: desk.holder.id.clone(),
        inputs: files.iter().map(input).collect(),
        model: PlanModel {
            name: contract.name.clone(),
            version: contract.version.clone(),
            sha256: contract.sha256.clone(),
        },
        chunks: chunks.iter().map(|chunk| chunk.rows).collect(),
        total_rows: *rows,
        template: shape.template()?,
        files: job.files,
    })
}

/// The record that counts for this plan. A folder whose record is damaged is left alone, and the plan done in another.
pub(super) fn settled_plan(
    desk: &Desk,
    mut record: PlanRecord,
    around: &Surroundings<'_>,
) -> Result<PlanRecord, Error> {
    for _ in 0..MOST_DAMAGED {
        if let Some(settled) = around.wait(publish::settle_plan(&desk.date, record.clone()))? {
            return Ok(settled);
        }
        warn!(
            plan = record.plan_id,
            "the record of the plan cannot be used; its chunks are scored again"
        );
        record.generation += 1;
        record.plan_id = generation(&record.base_id, record.generation);
    }
    Err(RunError::Plans {
        plans: desk.date.plans().location().to_string(),
    }
    .into())
}
