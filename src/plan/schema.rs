//! Compares every file's columns with what the job and the contract ask for, before anything is computed.
//!
//! Takes footers, gives the [`Columns`] of the run or every difference of every file in one answer.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

use super::accepts::{accepts, expected};
use super::column_type::{self, Reach};
use super::footers::Footer;
use super::names::Alike;
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
        )
    }
}

/// Differences to print before the rest is only counted.
const SHOWN: usize = 20;

/// What to do about all of the differences, where that is one thing. It is told once, and not with each of them.
pub(super) fn one_hint(mismatches: &[Mismatch]) -> Option<String> {
    let (first, others) = mismatches.split_first()?;
    let is_shared = others.iter().all(|other| other.hint == first.hint);
    first.hint.clone().filter(|_| is_shared)
}

/// The differences as lines.
pub(super) fn listed(mismatches: &[Mismatch]) -> String {
    let is_told_once = one_hint(mismatches).is_some();
    let line = |mismatch: &Mismatch| match (&mismatch.hint, is_told_once) {
        (Some(hint), false) => format!("  - {mismatch} ({hint})"),
        _ => format!("  - {mismatch}"),
    };
    let mut lines: Vec<_> = mismatches.iter().take(SHOWN).map(line).collect();
    if mismatches.len() > SHOWN {
        lines.push(format!("  - and {} more", mismatches.len() - SHOWN));
    }
    lines.join("\n")
}

/// Checks every file; gives the columns of the run.
pub(super) fn check(job: &Job, preprocessor: &Preprocessor, footers: &[Footer]) -> Result<Columns, PlanError> {
    let (kinds, kind_of) = kinds(footers);
    let mut check = Check {
        job,
        preprocessor,
        features: preprocessor.contract().by_name(),
        carried: job.keys.iter().chain(&job.passthrough).map(String::as_str).collect(),
        mismatches: Vec::new(),
    };
    let by_kind: Vec<_> = kinds
        .iter()
        .map(|kind| {
            check.file(kind);
            std::mem::take(&mut check.mismatches)
        })
        .collect();
    // Files whose columns are the same differ in the same way.
    let mut mismatches: Vec<_> = footers
        .iter()
        .zip(kind_of)
        .flat_map(|(footer, kind)| {
            by_kind[kind].iter().map(|mismatch| Mismatch {
                file: footer.file.name.clone(),
                ..mismatch.clone()
            })
        })
        .collect();
    let columns = check.columns(&kinds);
    mismatches.extend(check.mismatches);
    let nulls = nulls::intolerable(job, preprocessor, footers);
    if !mismatches.is_empty() {
        mismatches.extend(nulls);
        return Err(PlanError::Schema { mismatches });
    }
    if !nulls.is_empty() {
        return Err(PlanError::Nulls { mismatches: nulls });
    }
    Ok(columns)
}

/// The first of all files whose columns are the same, with its columns by name.
struct Kind<'a> {
    footer: &'a Footer,
    columns: HashMap<&'a str, &'a FieldRef>,
    folders: HashSet<&'a str>,
}

/// The kinds of file, in order of the first of each, and for each file its kind.
fn kinds(footers: &[Footer]) -> (Vec<Kind<'_>>, Vec<usize>) {
    let mut known = HashMap::new();
    let mut kinds = Vec::new();
    let kind_of = footers.iter().map(|footer| {
        let folders: Vec<&str> = footer.partition.iter().map(|(key, _)| key.as_str()).collect();
        let new = kinds.len();
        let key = (Arc::as_ptr(&footer.schema), folders);
        *known.entry(key).or_insert_with_key(|(_, folders)| {
            let mut columns = HashMap::new();
            for field in footer.schema.fields() {
                columns.entry(field.name().as_str()).or_insert(field);
            }
            kinds.push(Kind {
                footer,
                columns,
                folders: folders.iter().copied().collect(),
            });
            new
        })
    });
    let kind_of = kind_of.collect();
    (kinds, kind_of)
}

impl Kind<'_> {
    fn name(&self) -> &str {
        &self.footer.file.name
    }

    fn column(&self, name: &str) -> Option<&FieldRef> {
        self.columns.get(name).copied()
    }

    /// A column of the file, or a folder `name=value` on the way to it, which is a string.
    fn carried(&self, name: &str) -> Option<FieldRef> {
        match self.column(name) {
            Some(field) => Some(Arc::clone(field)),
            None if self.folders.contains(name) => Some(Arc::new(Field::new(name, DataType::Utf8, true))),
            None => None,
        }
    }
}

struct Check<'a> {
    job: &'a Job,
    preprocessor: &'a Preprocessor,
    features: HashMap<&'a str, &'a Feature>,
    carried: HashSet<&'a str>,
    mismatches: Vec<Mismatch>,
}

impl Check<'_> {
    fn file(&mut self, kind: &Kind<'_>) {
        self.duplicates(kind);
        let alike = Alike::of(kind.footer);
        if self.job.case_insensitive {
            self.ambiguous(kind, &alike);
        }
        let carried = self.job.keys.iter().chain(&self.job.passthrough);
        for name in carried {
            if kind.carried(name).is_none() {
                self.missing(kind, &alike, name, "a key or passthrough column");
            }
        }
        let contract = self.preprocessor.contract();
        let derivation = self.preprocessor.derivation();
        for name in derivation.required_columns() {
            if kind.column(name).is_none() {
                self.missing(kind, &alike, name, "a column that a derived feature reads");
            }
        }
        let derived = self.derived(kind);
        let derived: HashMap<_, _> = derived.iter().map(|field| (field.name().as_str(), field)).collect();
        for feature in &contract.features {
            let name = feature.name();
            match derived.get(name).copied().or_else(|| kind.column(name)) {
                None => self.missing(kind, &alike, name, &expected(feature)),
                Some(field) => {
                    if let Err(hint) = accepts(feature, field.data_type()) {
                        self.mismatches.push(Mismatch {
                            file: kind.name().to_owned(),
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
    fn derived(&mut self, kind: &Kind<'_>) -> Vec<FieldRef> {
        let derivation = self.preprocessor.derivation();
        let complete = derivation
            .required_columns()
            .iter()
            .all(|name| kind.column(name).is_some());
        if !complete {
            return derivation
                .names()
                .map(|name| Arc::new(Field::new(name, DataType::Float32, true)))
                .collect();
        }
        match derivation.output_fields(&kind.footer.schema) {
            Ok(fields) => fields.into_iter().map(Arc::new).collect(),
            Err(error) => {
                self.mismatches.push(Mismatch {
                    file: kind.name().to_owned(),
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

    fn missing(&mut self, kind: &Kind<'_>, alike: &Alike<'_>, name: &str, expected: &str) {
        if self.job.case_insensitive && alike.to(name).nth(1).is_some() {
            // That has been said.
            return;
        }
        let other_case = alike.to(name).find(|own| kind.columns.contains_key(own));
        self.mismatches.push(Mismatch {
            file: kind.name().to_owned(),
            column: name.to_owned(),
            expected: expected.to_owned(),
            found: "no such column".to_owned(),
            rule: if other_case.is_some() {
                Rule::Case
            } else {
                Rule::Missing
            },
            hint: other_case
                .map(|own| {
                    format!("there is `{own}`; names are compared by case, unless input.case_insensitive = true")
                })
                .or_else(|| names::hidden(kind.footer, name)),
        });
    }

    /// Columns that could be either of two of the file.
    fn ambiguous(&mut self, kind: &Kind<'_>, alike: &Alike<'_>) {
        let names: BTreeSet<_> = names::wanted(self.job, self.preprocessor).into_iter().collect();
        for name in names {
            let alike: BTreeSet<_> = alike.to(&name).collect();
            if alike.len() > 1 {
                let found = alike.iter().map(|own| format!("`{own}`"));
                self.mismatches.push(Mismatch {
                    file: kind.name().to_owned(),
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

    fn duplicates(&mut self, kind: &Kind<'_>) {
        let mut seen = HashSet::new();
        for field in kind.footer.schema.fields() {
            if !seen.insert(field.name()) {
                self.mismatches.push(Mismatch {
                    file: kind.name().to_owned(),
                    column: field.name().clone(),
                    expected: "one column of that name".to_owned(),
                    found: "two".to_owned(),
                    rule: Rule::Duplicate,
                    hint: None,
                });
            }
        }
    }

    fn columns(&mut self, kinds: &[Kind<'_>]) -> Columns {
        let mut seen = HashSet::new();
        let mut read = names::wanted(self.job, self.preprocessor);
        read.retain(|name| seen.insert(name.clone()));
        let in_sql = self.preprocessor.derivation().required_columns();
        let in_sql: HashSet<&str> = in_sql.iter().map(String::as_str).collect();
        let types: BTreeMap<_, _> = read
            .iter()
            .filter_map(|name| {
                let kind = self.one_type(kinds, name, &in_sql)?;
                Some((name.clone(), kind))
            })
            .collect();
        let in_files = |name: &&String| kinds.iter().all(|kind| kind.column(name).is_some());
        let carried = |names: &[String]| -> Vec<FieldRef> {
            let known = names.iter().filter_map(|name| types.get(name).map(|kind| (name, kind)));
            known
                .map(|(name, kind)| Arc::new(Field::new(name, kind.clone(), nullable(kinds, name))))
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

    /// The type in which every file gives the column; a mismatch where there is none. `in_sql` are the columns that derived ones read.
    fn one_type(&mut self, kinds: &[Kind<'_>], name: &str, in_sql: &HashSet<&str>) -> Option<DataType> {
        let reach = self.reach(name);
        let mut fields = kinds.iter().filter_map(|kind| Some((kind, kind.carried(name)?)));
        let (first, field) = fields.next()?;
        let mut found = column_type::plain(field.data_type());
        for (kind, field) in fields {
            let Some(common) = column_type::common(&found, field.data_type(), reach) else {
                self.mismatches.push(Mismatch {
                    file: kind.name().to_owned(),
                    column: name.to_owned(),
                    expected: format!("{found} as in `{}`", first.name()),
                    found: field.data_type().to_string(),
                    rule: Rule::Files,
                    hint: None,
                });
                return None;
            };
            found = common;
        }
        let looked_up = self.is_looked_up(name) && !in_sql.contains(name);
        Some(if looked_up && column_type::is_string(&found) {
            dictionary()
        } else {
            found
        })
    }

    fn reach(&self, name: &str) -> Reach {
        if self.carried.contains(name) {
            Reach::Names
        } else if matches!(self.features.get(name), Some(Feature::Raw(_))) {
            Reach::Numbers
        } else {
            Reach::Casts
        }
    }

    /// Whether the column is a category and not carried: where nothing else reads it, each distinct value is looked up once, and not once a
    /// row.
    fn is_looked_up(&self, name: &str) -> bool {
        matches!(self.features.get(name), Some(Feature::Categorical(_))) && !self.carried.contains(name)
    }
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Whether any file may have nulls in the column.
fn nullable(kinds: &[Kind<'_>], name: &str) -> bool {
    let mut fields = kinds.iter().filter_map(|kind| kind.carried(name));
    fields.any(|field| field.is_nullable() || field.data_type() == &DataType::Null)
}
