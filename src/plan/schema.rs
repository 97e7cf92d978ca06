//! Compares every file's columns with what the job and the contract ask for, before anything is computed.
//!
//! Takes footers, gives the [`Columns`] of the run or every difference of every file in one answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

use super::accepts::{accepts, expected};
use super::column_type::{self, Reach};
use super::footers::Footer;
use super::{Columns, PlanError, names, nulls};
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
    /// The rule that decided.
    pub rule: Rule,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

/// Rules by which a file's columns are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Each column that is asked for is there, and is never filled in.
    Missing,
    /// Names are compared by case.
    Case,
    /// A name stands once in a file.
    Duplicate,
    /// Values are taken as they are or widened; what would lose something needs a cast in the contract.
    Narrowing,
    /// Lists are of the contract's width and of numbers.
    List,
    /// Derived columns are expressions over the file's columns.
    Derived,
    /// All files of a date give one type to a column.
    Files,
    /// A null is bad where nothing can stand for it.
    Nulls,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing column",
            Self::Case => "other case",
            Self::Duplicate => "duplicate column",
            Self::Narrowing => "narrowing",
            Self::List => "list",
            Self::Derived => "derived column",
            Self::Files => "files differ",
            Self::Nulls => "nulls",
        })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: column `{}`: expected {}, found {} [{}]",
            self.file, self.column, self.expected, self.found, self.rule
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
    let columns = check.columns(footers);
    let nulls = nulls::intolerable(job, preprocessor, footers);
    if !check.mismatches.is_empty() {
        let mut mismatches = check.mismatches;
        mismatches.extend(nulls);
        return Err(PlanError::Schema { mismatches });
    }
    if !nulls.is_empty() {
        return Err(PlanError::Nulls { mismatches: nulls });
    }
    Ok(columns)
}

struct Check<'a> {
    job: &'a Job,
    preprocessor: &'a Preprocessor,
    mismatches: Vec<Mismatch>,
}

impl Check<'_> {
    fn file(&mut self, footer: &Footer) {
        self.duplicates(footer);
        if self.job.case_insensitive {
            self.ambiguous(footer);
        }
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
                None => self.missing(footer, name, &expected(feature)),
                Some(field) => {
                    if let Err(hint) = accepts(feature, field.data_type()) {
                        self.mismatches.push(Mismatch {
                            file: footer.file.name.clone(),
                            column: name.to_owned(),
                            expected: expected(feature),
                            found: field.data_type().to_string(),
                            rule: match feature {
                                Feature::Vector(_) => Rule::List,
                                _ => Rule::Narrowing,
                            },
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
                    rule: Rule::Derived,
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
            .find(|field| field.name().to_lowercase() == name.to_lowercase());
        if self.job.case_insensitive && names::alike(footer, name).len() > 1 {
            // That has been said.
            return;
        }
        self.mismatches.push(Mismatch {
            file: footer.file.name.clone(),
            column: name.to_owned(),
            expected: expected.to_owned(),
            found: "no such column".to_owned(),
            rule: if other_case.is_some() {
                Rule::Case
            } else {
                Rule::Missing
            },
            hint: other_case
                .map(|field| {
                    let own = field.name();
                    format!("there is `{own}`; names are compared by case, unless input.case_insensitive = true")
                })
                .or_else(|| names::hidden(footer, name)),
        });
    }

    /// Columns that could be either of two of the file.
    fn ambiguous(&mut self, footer: &Footer) {
        let names: BTreeSet<_> = names::wanted(self.job, self.preprocessor).into_iter().collect();
        for name in names {
            let alike = names::alike(footer, &name);
            if alike.len() > 1 {
                let found = alike.iter().map(|own| format!("`{own}`"));
                self.mismatches.push(Mismatch {
                    file: footer.file.name.clone(),
                    expected: "one column of that name, in whatever case".to_owned(),
                    found: found.collect::<Vec<_>>().join(" and "),
                    rule: Rule::Case,
                    hint: alike
                        .contains(name.as_str())
                        .then(|| format!("input.case_insensitive = false takes `{name}`")),
                    column: name,
                });
            }
        }
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
                    rule: Rule::Duplicate,
                    hint: None,
                });
            }
        }
    }

    fn columns(&mut self, footers: &[Footer]) -> Columns {
        let mut read: Vec<String> = Vec::new();
        let features = self.preprocessor.required_columns();
        for name in self.carried_names().chain(&features) {
            if !read.contains(name) {
                read.push(name.clone());
            }
        }
        let types: BTreeMap<_, _> = read
            .iter()
            .filter_map(|name| self.one_type(footers, name).map(|kind| (name.clone(), kind)))
            .collect();
        let in_files = |name: &&String| footers.iter().all(|footer| column(footer, name).is_some());
        let carried = |names: &[String]| -> Vec<FieldRef> {
            let known = names.iter().filter_map(|name| types.get(name).map(|kind| (name, kind)));
            known
                .map(|(name, kind)| Arc::new(Field::new(name, kind.clone(), nullable(footers, name))))
                .collect()
        };
        Columns {
            keys: carried(&self.job.keys),
            passthrough: carried(&self.job.passthrough),
            partition: read.iter().filter(|name| !in_files(name)).cloned().collect(),
            read,
            types,
        }
    }

    fn carried_names(&self) -> impl Iterator<Item = &String> {
        self.job.keys.iter().chain(&self.job.passthrough)
    }

    /// The type in which every file gives the column; a mismatch where there is none.
    fn one_type(&mut self, footers: &[Footer], name: &str) -> Option<DataType> {
        let reach = self.reach(name);
        let mut fields = footers
            .iter()
            .filter_map(|footer| Some((footer, carried_field(footer, name)?)));
        let (first, field) = fields.next()?;
        let mut kind = column_type::plain(field.data_type());
        for (footer, field) in fields {
            let Some(common) = column_type::common(&kind, field.data_type(), reach) else {
                self.mismatches.push(Mismatch {
                    file: footer.file.name.clone(),
                    column: name.to_owned(),
                    expected: format!("{kind} as in `{}`", first.file.name),
                    found: field.data_type().to_string(),
                    rule: Rule::Files,
                    hint: None,
                });
                return None;
            };
            kind = common;
        }
        Some(if self.is_looked_up(name) && column_type::is_string(&kind) {
            dictionary()
        } else {
            kind
        })
    }

    fn reach(&self, name: &str) -> Reach {
        let contract = self.preprocessor.contract();
        if self.carried_names().any(|carried| carried == name) {
            Reach::Names
        } else if matches!(contract.feature(name), Some(Feature::Raw(_))) {
            Reach::Numbers
        } else {
            Reach::Casts
        }
    }

    /// Whether the column is for a vocabulary and for nothing else: then each distinct value is looked up once, and not once a row.
    fn is_looked_up(&self, name: &str) -> bool {
        matches!(
            self.preprocessor.contract().feature(name),
            Some(Feature::Categorical(_))
        ) && !self.carried_names().any(|carried| carried == name)
            && !self
                .preprocessor
                .derivation()
                .required_columns()
                .iter()
                .any(|column| column == name)
    }
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Whether any file may have nulls in the column.
fn nullable(footers: &[Footer], name: &str) -> bool {
    let mut fields = footers.iter().filter_map(|footer| carried_field(footer, name));
    fields.any(|field| field.is_nullable() || field.data_type() == &DataType::Null)
}

fn column<'a>(footer: &'a Footer, name: &str) -> Option<&'a FieldRef> {
    footer.schema.fields().iter().find(|field| field.name() == name)
}

/// A column of the file, or a folder `name=value` on the way to it, which is a string.
fn carried_field(footer: &Footer, name: &str) -> Option<FieldRef> {
    let in_path = || footer.partition.iter().any(|(key, _)| key == name);
    match column(footer, name) {
        Some(field) => Some(Arc::clone(field)),
        None if in_path() => Some(Arc::new(Field::new(name, DataType::Utf8, true))),
        None => None,
    }
}
