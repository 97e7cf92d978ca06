//! Compares every file's columns with what the job and the contract ask for, before anything is computed.
//!
//! Takes footers, gives the [`Columns`] of the run or every difference of every file in one answer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

use super::accepts::{accepts, expected};
use super::footers::Footer;
use super::{Columns, PlanError};
use crate::contract::Feature;
use crate::preprocess::Preprocessor;
use crate::validate::Job;

/// One difference between a file and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The file, below the input.
    pub file: String,
    /// The column.
    pub column: String,
    /// What is asked for.
    pub expected: String,
    /// What the file has.
    pub found: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: column `{}`: expected {}, found {}",
            self.file, self.column, self.expected, self.found
        )?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Differences to print before the rest is only counted.
const SHOWN: usize = 20;

/// The differences as lines.
pub(super) fn listed(mismatches: &[Mismatch]) -> String {
    let mut lines: Vec<_> = mismatches
        .iter()
        .take(SHOWN)
        .map(|mismatch| format!("  - {mismatch}"))
        .collect();
    if mismatches.len() > SHOWN {
        lines.push(format!("  - and {} more", mismatches.len() - SHOWN));
    }
    lines.join("\n")
}

/// Checks every file; gives the columns of the run.
pub(super) fn check(job: &Job, preprocessor: &Preprocessor, footers: &[Footer]) -> Result<Columns, PlanError> {
    let mut check = Check {
        job,
        preprocessor,
        mismatches: Vec::new(),
    };
    for footer in footers {
        check.file(footer);
    }
    if let Some((first, rest)) = footers.split_first() {
        for footer in rest {
            check.same_carried(first, footer);
        }
    }
    if check.mismatches.is_empty() {
        Ok(check.columns(footers))
    } else {
        Err(PlanError::Schema {
            mismatches: check.mismatches,
        })
    }
}

struct Check<'a> {
    job: &'a Job,
    preprocessor: &'a Preprocessor,
    mismatches: Vec<Mismatch>,
}

impl Check<'_> {
    fn file(&mut self, footer: &Footer) {
        self.duplicates(footer);
        let carried = self.job.keys.iter().chain(&self.job.passthrough);
        for name in carried {
            if carried_field(footer, name).is_none() {
                self.missing(footer, name, "a key or passthrough column");
            }
        }
        let contract = self.preprocessor.contract();
        let derivation = self.preprocessor.derivation();
        for name in derivation.required_columns() {
            if column(footer, name).is_none() {
                self.missing(footer, name, "a column that a derived feature reads");
            }
        }
        let derived = self.derived(footer);
        for feature in &contract.features {
            let name = feature.name();
            match derived
                .iter()
                .find(|field| field.name() == name)
                .or_else(|| column(footer, name))
            {
                None => self.missing(footer, name, expected(feature)),
                Some(field) => {
                    if let Err(hint) = accepts(feature, field.data_type()) {
                        self.mismatches.push(Mismatch {
                            file: footer.file.name.clone(),
                            column: name.to_owned(),
                            expected: expected(feature).to_owned(),
                            found: field.data_type().to_string(),
                            hint,
                        });
                    }
                }
            }
        }
    }

    /// Types of the derived columns for this file; empty when they cannot be told, which is then a mismatch of its own.
    fn derived(&mut self, footer: &Footer) -> Vec<FieldRef> {
        let derivation = self.preprocessor.derivation();
        let complete = derivation
            .required_columns()
            .iter()
            .all(|name| column(footer, name).is_some());
        if !complete {
            return derivation
                .names()
                .map(|name| Arc::new(Field::new(name, DataType::Float32, true)))
                .collect();
        }
        match derivation.output_fields(&footer.schema) {
            Ok(fields) => fields.into_iter().map(Arc::new).collect(),
            Err(error) => {
                self.mismatches.push(Mismatch {
                    file: footer.file.name.clone(),
                    column: error.column().to_owned(),
                    expected: "an expression that fits the columns".to_owned(),
                    found: error.to_string(),
                    hint: None,
                });
                Vec::new()
            }
        }
    }

    fn missing(&mut self, footer: &Footer, name: &str, expected: &str) {
        let other_case = footer
            .schema
            .fields()
            .iter()
            .find(|field| field.name().eq_ignore_ascii_case(name));
        self.mismatches.push(Mismatch {
            file: footer.file.name.clone(),
            column: name.to_owned(),
            expected: expected.to_owned(),
            found: "no such column".to_owned(),
            hint: other_case.map(|field| format!("there is `{}`; names are compared by case", field.name())),
        });
    }

    fn duplicates(&mut self, footer: &Footer) {
        let mut seen = BTreeSet::new();
        for field in footer.schema.fields() {
            if !seen.insert(field.name()) {
                self.mismatches.push(Mismatch {
                    file: footer.file.name.clone(),
                    column: field.name().clone(),
                    expected: "one column of that name".to_owned(),
                    found: "two".to_owned(),
                    hint: None,
                });
            }
        }
    }

    /// A carried column has one type in the output, so it must have one in all files.
    fn same_carried(&mut self, first: &Footer, footer: &Footer) {
        for name in self.job.keys.iter().chain(&self.job.passthrough) {
            let (Some(expected), Some(found)) = (carried_field(first, name), carried_field(footer, name)) else {
                continue;
            };
            if expected.data_type() != found.data_type() {
                self.mismatches.push(Mismatch {
                    file: footer.file.name.clone(),
                    column: name.clone(),
                    expected: format!("{} as in `{}`", expected.data_type(), first.file.name),
                    found: found.data_type().to_string(),
                    hint: None,
                });
            }
        }
    }

    fn columns(&self, footers: &[Footer]) -> Columns {
        let contract = self.preprocessor.contract();
        let carried = |names: &[String]| -> Vec<FieldRef> {
            let fields = names
                .iter()
                .filter_map(|name| footers.iter().find_map(|footer| carried_field(footer, name)));
            fields.collect()
        };
        let mut read: Vec<String> = Vec::new();
        let features = self.preprocessor.required_columns();
        for name in self.job.keys.iter().chain(&self.job.passthrough).chain(features.iter()) {
            if !read.contains(name) {
                read.push(name.clone());
            }
        }
        let in_files = |name: &&String| footers.iter().all(|footer| column(footer, name).is_some());
        let partition = read.iter().filter(|name| !in_files(name)).cloned().collect();
        let categorical = contract
            .features
            .iter()
            .filter(|feature| matches!(feature, Feature::Categorical(_)));
        let dictionaries = categorical
            .map(|feature| feature.name().to_owned())
            // A column that is also carried is written as it was read, so it is read plainly.
            .filter(|name| !self.job.keys.contains(name) && !self.job.passthrough.contains(name))
            .filter(|name| !self.preprocessor.derivation().required_columns().contains(name));
        Columns {
            dictionaries: dictionaries.collect(),
            keys: carried(&self.job.keys),
            passthrough: carried(&self.job.passthrough),
            partition,
            read,
        }
    }
}

fn column<'a>(footer: &'a Footer, name: &str) -> Option<&'a FieldRef> {
    footer.schema.fields().iter().find(|field| field.name() == name)
}

/// A column of the file, or a folder `name=value` on the way to it, which is a string.
fn carried_field(footer: &Footer, name: &str) -> Option<FieldRef> {
    let in_path = || footer.partition.iter().any(|(key, _)| key == name);
    match column(footer, name) {
        Some(field) => Some(Arc::clone(field)),
        None if in_path() => Some(Arc::new(Field::new(name, DataType::Utf8, false))),
        None => None,
    }
}
