//! A job file and a date become a [`Job`]: every value checked, typed and rendered, or every problem with its key and hint.
//!
//! After this nobody looks at the spec again. Nothing of the world is consulted: whether a path exists, a model has a
//! version or a column is there is found out later, by `plan` and `registry`.

mod columns;
mod location;
mod places;
mod schedule;
mod template;

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};

use crate::document::Document;
use crate::problem::{Problem, Problems, kept};
use crate::schedule::Schedule;
use crate::spec::{
    Action, JobSpec, MOST_FILES, ModelSpec, NAME_PATTERN, OnCorruptFile, OnEmpty, OnExisting, OnUnfinished, PathType,
    Reason, RowsSpec, TableFormat, VERSION,
};

pub use columns::LineageColumns;
pub use location::{Location, unseen};
pub use places::STATE_SUFFIX;

/// A job for one date, ready to be planned.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the job file on its own")]
pub struct Job {
    /// Name of the job.
    pub name: String,
    /// The date that is scored.
    pub date: NaiveDate,
    /// File, folder, glob or prefix of the features, with the date in it.
    pub input: Location,
    /// The same for any date, as the job file spells it.
    pub input_template: String,
    /// Columns that name a row.
    pub keys: Vec<String>,
    /// Further columns that travel to the output.
    pub passthrough: Vec<String>,
    /// Whether names of columns may differ in case.
    pub case_insensitive: bool,
    /// Whether bytes without an annotation are text.
    pub binary_as_string: bool,
    /// Types of columns that stand in the path.
    pub path_types: BTreeMap<String, PathType>,
    /// What happens when there are no rows.
    pub on_empty: OnEmpty,
    /// What happens when a writer has not finished.
    pub unfinished: OnUnfinished,
    /// What happens when the input lies in a table.
    pub table_format: TableFormat,
    /// Endings of the files that are read, without a dot before them; `None` where names and letters decide.
    pub extensions: Option<Vec<String>>,
    /// What happens when a file, or a part of it, cannot be decoded.
    pub on_corrupt_file: OnCorruptFile,
    /// The model registry.
    pub registry: Location,
    /// Name of the model.
    pub model_name: String,
    /// Version, alias or `latest`.
    pub model_version: String,
    /// The data set; the date's folder is below it.
    pub output: Location,
    /// Where runs keep their records.
    pub state: Location,
    /// Whether an empty `_SUCCESS` is written beside the data.
    pub success_marker: bool,
    /// What happens when the date is published already.
    pub on_existing: OnExisting,
    /// Files that the partition is divided into.
    pub files: usize,
    /// Whether a file that something else wrote may be replaced.
    pub adopt_foreign: bool,
    /// Columns that say where a prediction came from.
    pub lineage: LineageColumns,
    /// What happens to rows that cannot be scored.
    pub rows: RowsSpec,
    /// When the daemon starts it.
    pub schedule: Option<Schedule>,
}

impl Job {
    /// The same job for another date.
    pub fn at(&self, date: NaiveDate) -> Result<Self, Problem> {
        Ok(Self {
            date,
            input: places::input(&self.input_template, date)?,
            ..self.clone()
        })
    }
}

/// Reads a job file for a date: what is wrong with its form and what is wrong with its content, in one answer.
pub fn read(document: &Document, date: NaiveDate) -> Result<Job, Problems> {
    let (spec, mut problems) = document.read::<JobSpec>();
    let job = match spec.map(|spec| validate(&spec, date)) {
        Some(Ok(job)) => Some(job),
        Some(Err(further)) => {
            // A value that was missing or of a wrong type stands for nothing, so there is nothing to say about it.
            let sound = |problem: &Problem| !problems.iter().any(|mended| mended.concerns(&problem.key));
            let further: Vec<_> = further.into_iter().filter(sound).collect();
            problems.extend(further);
            None
        }
        None => None,
    };
    match job {
        Some(job) if problems.is_empty() => Ok(job),
        _ => Err(document.report(problems)),
    }
}

/// Checks a job for a date.
pub fn validate(spec: &JobSpec, date: NaiveDate) -> Result<Job, Vec<Problem>> {
    let mut found = Vec::new();
    if !(1..=9_999).contains(&date.year()) {
        // Folders are named date=YYYY-MM-DD, which sorts and is read back only so.
        found.push(Problem::new(
            "",
            format!("the date is {date}, expected a year from 1 to 9999"),
        ));
    }
    identity(spec, &mut found);
    model(&spec.model, &mut found);
    rows(&spec.rows, &mut found);
    if !(1..=MOST_FILES).contains(&spec.output.files) {
        let fault = format!("is {}, expected 1 to {MOST_FILES}", spec.output.files);
        found.push(Problem::new("output.files", fault));
    }
    let lineage = LineageColumns::from_names(&spec.output.columns);
    columns::check(spec, &lineage, &mut found);
    let schedule = spec.schedule.as_ref();
    let schedule = schedule.and_then(|schedule| schedule::check(schedule, &mut found));
    let extensions = extensions(spec.input.extensions.as_deref(), &mut found);
    let registry = kept(Location::parse("model.registry", &spec.model.registry), &mut found);
    let places = places::check(&spec.input, &spec.output, date, &mut found);
    let (Some(registry), Some(places), true) = (registry, places, found.is_empty()) else {
        return Err(found);
    };
    Ok(Job {
        name: spec.name.clone(),
        date,
        input: places.input,
        input_template: spec.input.path.clone(),
        keys: spec.input.keys.clone(),
        passthrough: spec.input.passthrough.clone(),
        case_insensitive: spec.input.case_insensitive,
        binary_as_string: spec.input.binary_as_string,
        path_types: spec.input.path_types.clone(),
        on_empty: spec.input.on_empty,
        unfinished: spec.input.unfinished,
        table_format: spec.input.table_format,
        extensions,
        on_corrupt_file: spec.input.on_corrupt_file,
        registry,
        model_name: spec.model.name.clone(),
        model_version: spec.model.version.clone(),
        output: places.output,
        state: places.state,
        success_marker: spec.output.success_marker,
        on_existing: spec.output.on_existing,
        files: spec.output.files,
        adopt_foreign: spec.output.adopt_foreign,
        lineage,
        rows: spec.rows.clone(),
        schedule,
    })
}

fn identity(spec: &JobSpec, found: &mut Vec<Problem>) {
    if spec.version != VERSION {
        let fault = format!("is {}, and this program reads form {VERSION}", spec.version);
        found.push(Problem::new("version", fault));
    }
    let characters = spec
        .name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !characters || spec.name.is_empty() || spec.name.starts_with('-') || spec.name.len() > 52 {
        let fault = format!("is `{}`, expected the form {NAME_PATTERN}", spec.name);
        let hint = "lower-case letters, digits and hyphens, not a hyphen first, at most 52";
        found.push(Problem::new("name", fault).hint(hint));
    }
}

fn model(spec: &ModelSpec, found: &mut Vec<Problem>) {
    for (key, name) in [("model.name", &spec.name), ("model.version", &spec.version)] {
        if name.is_empty() {
            found.push(Problem::new(key, "is empty"));
        } else if name.contains(['/', '\\']) || name == "." || name == ".." || name.contains(unseen) || name.len() > 255
        {
            let fault = format!("is `{}`, which cannot be the name of one folder", name.escape_debug());
            found.push(Problem::new(key, fault).hint("folders above the model belong to `model.registry`"));
        }
    }
}

/// The endings without the dot that people put before them.
fn extensions(endings: Option<&[String]>, found: &mut Vec<Problem>) -> Option<Vec<String>> {
    let endings = endings?;
    if endings.is_empty() {
        let problem = Problem::new("input.extensions", "is empty, so that no file would be read");
        found.push(problem.hint("name endings such as [\"parquet\"], or leave the key out"));
    }
    let plain = endings.iter().enumerate().map(|(index, ending)| {
        let plain = ending.strip_prefix('.').unwrap_or(ending);
        if plain.is_empty() || plain.contains(['/', '*', '?']) || plain.contains(unseen) {
            let fault = format!("is `{}`, which is no ending of a name", ending.escape_debug());
            found.push(
                Problem::new(format!("input.extensions[{index}]"), fault)
                    .hint("write \"parquet\" or \"snappy.parquet\""),
            );
        }
        plain.to_owned()
    });
    Some(plain.collect())
}

fn rows(spec: &RowsSpec, found: &mut Vec<Problem>) {
    if !(0.0..=1.0).contains(&spec.max_bad_fraction) {
        let fault = format!("is {}, expected a share from 0 to 1", spec.max_bad_fraction);
        found.push(Problem::new("rows.max_bad_fraction", fault).hint("one percent is 0.01"));
    }
    let shares = [
        ("max_unknown_fraction", spec.max_unknown_fraction),
        ("max_imputed_fraction", spec.max_imputed_fraction),
    ];
    for (key, share) in shares {
        if let Some(share) = share.filter(|share| !(0.0..=1.0).contains(share)) {
            let fault = format!("is {share}, expected a share from 0 to 1");
            found.push(Problem::new(format!("rows.{key}"), fault).hint("one percent is 0.01"));
        }
    }
    for reason in Reason::ALL {
        if spec.on.action(reason) == Action::Impute && !reason.imputable() {
            let problem = Problem::new(
                format!("rows.on.{reason}"),
                "is `impute`, and no value can take its place",
            );
            found.push(problem.hint("use `fail` or `reject`"));
        }
    }
}

#[cfg(test)]
mod tests;
