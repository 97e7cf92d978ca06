//! `validate`: checks a job file, and with a date its model and the input's columns.

use chrono::NaiveDate;
use serde::Serialize;

use super::args::ValidateArgs;
use super::context::Context;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::run;

/// A job file is checked for some date even when none is given: the rules for paths hold for all dates alike.
pub(super) const ANY_DATE: NaiveDate = NaiveDate::from_ymd_opt(2000, 2, 29).expect("a date of the calendar");

#[derive(Debug, Serialize)]
struct Validated {
    job: String,
    valid: bool,
    date: Option<NaiveDate>,
    rows: Option<u64>,
}

pub(super) fn validate(args: &ValidateArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&[])?;
    let job = context.job(&args.file, args.date.unwrap_or(ANY_DATE))?;
    let mut facts = Validated {
        job: job.name.clone(),
        valid: true,
        date: args.date,
        rows: None,
    };
    let text = match args.date {
        None => format!("{}: the job file is valid\n", job.name),
        Some(date) => {
            let terminal = context.terminal(&settings)?;
            let ready = terminal.around(&settings, |around| run::ready(&job, around))?;
            facts.rows = Some(ready.plan.rows);
            format!(
                "{}: the job file is valid, and the {} rows of {date} fit {} version {}\n",
                job.name, ready.plan.rows, ready.artifact.contract.name, ready.artifact.contract.version
            )
        }
    };
    context.print(&facts, &text);
    Ok(ExitCode::Success)
}
