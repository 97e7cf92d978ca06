//! `backfill`: scores the dates of a range.

use std::fmt::Write;

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::json;
use tracing::info_span;

use super::args::BackfillArgs;
use super::context::{Context, device_flag};
use super::validate::ANY_DATE;
use crate::backfill::{self, BackfillError, Range, Standing, Summary};
use crate::changed::Inputs;
use crate::child::{JobSource, Order, shares};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::history::History;
use crate::run::{self, Surroundings};
use crate::validate::Job;

/// What would be scored.
#[derive(Debug, Serialize)]
struct Planned {
    job: String,
    dates: Vec<Standing>,
    left_out: usize,
}

pub(super) fn backfill(args: &BackfillArgs, context: &Context) -> Result<ExitCode, Error> {
    let mut flags = device_flag(args.device.as_deref());
    flags.extend(
        args.summary_file
            .as_deref()
            .map(|file| ("--summary-file", "task.summary_file", file)),
    );
    let settings = context.settings(&flags)?;
    let terminal = context.terminal(&settings)?;
    let job = context.job(&args.file, ANY_DATE)?;
    let history = History::open(&job, &settings)?;
    let inputs = Inputs::of(&job, &settings.storage);
    let span = info_span!("backfill", job = job.name);
    let _entered = span.enter();
    let summary = terminal.around(&settings, |around| {
        let range = Range {
            dates: dates(args, &job, around)?,
            only: args.only,
            newest_first: args.newest_first,
        };
        let (dates, left_out) = around.wait(range.plan(&history, &inputs, args.plan))?;
        if args.plan {
            let planned = Planned {
                job: job.name.clone(),
                dates,
                left_out,
            };
            context.print(&planned, &planned.text());
            return Ok(None);
        }
        let order = order(args, context, around);
        let scored = around
            .runtime
            .block_on(backfill::score(&dates, &order, args.parallel.get(), around));
        let stopped = around.shutdown.requested();
        Ok(Some(Summary::of(&job.name, &range, left_out, scored, stopped)))
    })?;
    let Some(summary) = summary else {
        return Ok(ExitCode::Success);
    };
    context.channels(&settings).write_summary(&json!(summary));
    context.print(&summary, &summary.text());
    Ok(summary.exit)
}

/// The dates that are asked for: by a range, by the schedule, or by both.
fn dates(args: &BackfillArgs, job: &Job, around: &Surroundings<'_>) -> Result<Vec<NaiveDate>, BackfillError> {
    let schedule = || {
        let none = || BackfillError::NoSchedule { job: job.name.clone() };
        job.schedule.as_ref().ok_or_else(none)
    };
    match (args.within, args.from, args.to) {
        (Some(back), ..) => backfill::within(schedule()?, back, around.clock.now()),
        (None, Some(from), Some(to)) if args.scheduled => backfill::scheduled(schedule()?, from, to),
        (None, Some(from), Some(to)) => backfill::every_day(from, to),
        // Not without --within, by the command line.
        (None, ..) => Ok(Vec::new()),
    }
}

fn order(args: &BackfillArgs, context: &Context, around: &Surroundings<'_>) -> Order {
    let mut arguments = Vec::new();
    for set in &args.file.set {
        arguments.extend(["--set".to_owned(), set.clone()]);
    }
    if let Some(device) = &args.device {
        arguments.extend(["--device".to_owned(), device.clone()]);
    }
    arguments.extend(args.force.then(|| "--force".to_owned()));
    arguments.extend(context.quiet().then(|| "--quiet".to_owned()));
    let parallel = args.parallel.get();
    let shared = shares(
        around.settings,
        around.machine.cores(),
        run::limits(around).memory,
        parallel,
    );
    Order {
        job: JobSource::File(args.file.job.clone()),
        config: context.config().map(ToOwned::to_owned),
        arguments,
        variables: shared.into_iter().chain(Order::alone()).collect(),
    }
}

impl Planned {
    fn text(&self) -> String {
        let mut text = String::new();
        for standing in &self.dates {
            let _ = write!(text, "  {}  {:<10}", standing.date, standing.state.name());
            if let Some(input) = &standing.input {
                let _ = write!(text, "  input {input}");
            }
            if let Some(change) = &standing.change {
                let _ = write!(text, "; {change}");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "{}: dates that would be scored: {}, left out: {}",
            self.job,
            self.dates.len(),
            self.left_out
        );
        text
    }
}
