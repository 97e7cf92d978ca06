//! The record of a run's plan: what it says.

use super::{Desk, Ready};
use crate::error::Error;
use crate::output::OutputSchema;
use crate::plan::{InputFile, Plan, generation};
use crate::records::{FORM, PlanInput, PlanModel, PlanRecord};
use crate::report::Tally;
use crate::validate::Job;

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
