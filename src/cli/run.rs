//! `run`: scores a date's partition and publishes it.

use tracing::info_span;

use super::args::RunArgs;
use super::context::Context;
use super::plan;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::run;

pub(super) fn run(args: &RunArgs, context: &Context) -> Result<ExitCode, Error> {
    if args.dry_run {
        return plan::dry_run(&args.job, context);
    }
    let settings = context.settings(args.job.device.as_deref())?;
    let terminal = context.terminal(&settings)?;
    let job = context.job(&args.job.file, args.job.date)?;
    let span = info_span!("run", job = job.name, date = %job.date);
    let report = span.in_scope(|| terminal.around(&settings, |around| run::run(&job, around)))?;
    context.print(&report, &report.text());
    Ok(ExitCode::Success)
}
