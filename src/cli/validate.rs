//! `validate`: checks a job file, and with a date its model and the input's columns.

use chrono::NaiveDate;
use serde::Serialize;

use super::args::ValidateArgs;
use super::context::Context;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::output::{RefusedBySpark, refused_by_spark};
use crate::run;

/// A job file is checked for some date even when none is given: the rules for paths hold for all dates alike.
pub(super) const ANY_DATE: NaiveDate = NaiveDate::from_ymd_opt(2000, 2, 29).expect("a date of the calendar");

#[derive(Debug, Serialize)]
struct Validated {
    job: String,
    valid: bool,
    date: Option<NaiveDate>,
    rows: Option<u64>,
    /// Carried columns for which Spark would not open the predictions.
    refused_by_spark: Vec<RefusedBySpark>,
}

pub(super) fn validate(args: &ValidateArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&[])?;
    let job = context.job(&args.file, args.date.unwrap_or(ANY_DATE))?;
    let mut facts = Validated {
        job: job.name.clone(),
        valid: true,
        date: args.date,
        rows: None,
        refused_by_spark: Vec::new(),
    };
    let text = match args.date {
        None => format!("{}: the job file is valid\n", job.name),
        Some(date) => {
            let terminal = context.terminal(&settings)?;
            let ready = terminal.around(&settings, |around| run::ready(&job, around))?;
            facts.rows = Some(ready.plan.rows);
            facts.refused_by_spark = refused_by_spark(ready.plan.columns.carried());
            let fits = format!(
                "{}: the job file is valid, and the {} rows of {date} fit {} version {}\n",
                job.name, ready.plan.rows, ready.artifact.contract.name, ready.artifact.contract.version
            );
            fits + &for_spark(&facts.refused_by_spark)
        }
    };
    context.print(&facts, &text);
    Ok(ExitCode::Success)
}

fn for_spark(refused: &[RefusedBySpark]) -> String {
    if refused.is_empty() {
        return String::new();
    }
    let columns = refused
        .iter()
        .map(|refused| format!("`{}` ({})", refused.column, refused.kind));
    format!(
        "Spark will not open the predictions because of {}: leave it out of `input.passthrough`, or have it written in another type\n",
        columns.collect::<Vec<_>>().join(", ")
    )
}
