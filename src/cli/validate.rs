//! `validate`: checks a job file, and with a date its model and the input's columns.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use serde::Serialize;

use super::args::ValidateArgs;
use super::context::Context;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::output::{OutputSchema, Refusal, refusals};
use crate::run;

/// A job file is checked for some date even when none is given: the rules for paths hold for all dates alike.
pub(super) const ANY_DATE: NaiveDate = NaiveDate::from_ymd_opt(2000, 2, 29).expect("a date of the calendar");

#[derive(Debug, Serialize)]
struct Validated {
    job: String,
    valid: bool,
    date: Option<NaiveDate>,
    rows: Option<u64>,
    /// Columns for which a reader would not open the predictions.
    refusals: Vec<Refusal>,
}

pub(super) fn validate(args: &ValidateArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&[])?;
    let job = context.job(&args.file, args.date.unwrap_or(ANY_DATE))?;
    let mut facts = Validated {
        job: job.name.clone(),
        valid: true,
        date: args.date,
        rows: None,
        refusals: Vec::new(),
    };
    let text = match args.date {
        None => format!("{}: the job file is valid\n", job.name),
        Some(date) => {
            let terminal = context.terminal(&settings)?;
            let ready = terminal.around(&settings, |around| run::ready(&job, around))?;
            facts.rows = Some(ready.plan.rows);
            let contract = ready.preprocessor.contract();
            let output = OutputSchema::new(&ready.plan.columns, contract, &job.lineage, DateTime::UNIX_EPOCH, "")?;
            facts.refusals = refusals(output.descriptor());
            let fits = format!(
                "{}: the job file is valid, and the {} rows of {date} fit {} version {}\n",
                job.name, ready.plan.rows, ready.artifact.contract.name, ready.artifact.contract.version
            );
            fits + &for_readers(&facts.refusals)
        }
    };
    context.print(&facts, &text);
    Ok(ExitCode::Success)
}

/// One line for each reader.
fn for_readers(refusals: &[Refusal]) -> String {
    let mut columns: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Refusal { reader, column, kind } in refusals {
        columns.entry(reader).or_default().push(format!("`{column}` ({kind})"));
    }
    let lines = columns.into_iter().map(|(reader, columns)| {
        format!(
            "{reader} will not open the predictions, because of {}: leave such columns out of `input.passthrough`, have them written as another type, or take another `dtype` for an output\n",
            columns.join(", ")
        )
    });
    lines.collect()
}
