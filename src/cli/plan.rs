//! `plan`: shows what a run would do.

use std::fmt::Write;

use serde::Serialize;

use super::args::JobArgs;
use super::context::{Context, device_flag};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::infer::device::Device;
use crate::plan::{InputFile, PassedOver};
use crate::run::{self, Ready, Surroundings};
use crate::validate::Job;

/// A plan for people and machines.
#[derive(Debug, Serialize)]
struct PlanFacts {
    job: String,
    date: String,
    plan_id: String,
    model: String,
    version: String,
    sha256: String,
    input: String,
    files: usize,
    bytes: u64,
    rows: u64,
    row_groups: usize,
    passed_over: PassedOver,
    chunks: usize,
    largest_chunk_rows: usize,
    memory_bytes: u64,
    columns: Vec<String>,
    output: String,
    state: String,
    device: Option<String>,
}

pub(super) fn plan(args: &JobArgs, context: &Context) -> Result<ExitCode, Error> {
    look(args, context, false)
}

/// As `plan`, and loads and tries the model.
pub(super) fn dry_run(args: &JobArgs, context: &Context) -> Result<ExitCode, Error> {
    look(args, context, true)
}

fn look(args: &JobArgs, context: &Context, load: bool) -> Result<ExitCode, Error> {
    let settings = context.settings(&device_flag(args.device.as_deref()))?;
    let terminal = context.terminal(&settings)?;
    let job = context.dated(args)?;
    let facts = terminal.around(&settings, |around| {
        let ready = run::ready(&job, around)?;
        let device = if load {
            let device = run::device(&settings)?;
            run::load(&ready.artifact, device, around)?;
            Some(device)
        } else {
            None
        };
        Ok(PlanFacts::of(&job, &ready, device, around))
    })?;
    context.print(&facts, &facts.text());
    Ok(ExitCode::Success)
}

impl PlanFacts {
    fn of(job: &Job, ready: &Ready, device: Option<Device>, around: &Surroundings<'_>) -> Self {
        let contract = &ready.artifact.contract;
        let plan = &ready.plan;
        Self {
            job: job.name.clone(),
            date: job.date.to_string(),
            plan_id: ready.base_id.clone(),
            model: contract.name.clone(),
            version: contract.version.clone(),
            sha256: contract.sha256.clone(),
            input: job.input.to_string(),
            files: plan.files.len(),
            bytes: plan.bytes,
            rows: plan.rows,
            row_groups: plan.files.iter().map(InputFile::row_groups).sum(),
            passed_over: plan.passed_over.clone(),
            chunks: plan.chunks.len(),
            largest_chunk_rows: plan.chunks.iter().map(|chunk| chunk.rows).max().unwrap_or(0),
            memory_bytes: run::limits(around).memory,
            columns: plan.columns.read.clone(),
            output: format!("{}/date={}", job.output, job.date),
            state: job.state.to_string(),
            device: device.map(|device| device.to_string()),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("plan of {} for {} ({})\n", self.job, self.date, self.plan_id);
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<11}{value}");
        };
        line(
            "model",
            format!(
                "{} version {} (sha256 {})",
                self.model,
                self.version,
                &self.sha256[..12]
            ),
        );
        if let Some(device) = &self.device {
            line("device", format!("{device}, the model loads and runs"));
        }
        line(
            "input",
            format!("{} ({} files, {} row groups)", self.input, self.files, self.row_groups),
        );
        if !self.passed_over.is_empty() {
            line("not read", self.passed_over.to_string());
        }
        line(
            "rows",
            format!(
                "{} in {} chunks of at most {}",
                self.rows, self.chunks, self.largest_chunk_rows
            ),
        );
        line("columns", self.columns.join(", "));
        line("output", self.output.clone());
        line("state", self.state.clone());
        text
    }
}
