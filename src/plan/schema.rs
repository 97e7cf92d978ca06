//! Compares every file's columns with what the job and the contract ask for, before anything is computed.
//!
//! Takes footers, gives the [`Columns`] of the run or every difference of every file in one answer.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use super::accepts::{accepts, expected};
use super::annotations::Annotations;
use super::column_type::{self, Reach};
use super::footers::Footer;
use super::kinds::{Kind, kinds};
use super::mismatch::{Mismatch, Rule};
use super::names::Alike;
use super::{Columns, PlanError, folders, names, nulls};
use crate::contract::Feature;
use crate::preprocess::Preprocessor;
use crate::validate::Job;

/// Checks every file; gives the columns of the run.
pub(super) fn check(job: &Job, preprocessor: &Preprocessor, footers: &[Footer]) -> Result<Columns, PlanError> {
    // A file without rows refuses no date.
    let with_rows: Vec<&Footer> = footers
        .iter()
        .filter(|footer| !footer.valueless.is_whole_file())
        .collect();
    let judged = if with_rows.is_empty() {
        footers.iter().collect()
    } else {
        with_rows
    };
    let wanted = names::wanted(job, preprocessor);
    let (kinds, kind_of) = kinds(&judged, &wanted);
    let mut check = Check {
        job,
        preprocessor,
        wanted: &wanted,
        features: preprocessor.contract().by_name(),
        carried: job.keys.iter().chain(&job.passthrough).map(String::as_str).collect(),
        in_sql: preprocessor
            .derivation()
            .required_columns()
            .iter()
            .map(String::as_str)
            .collect(),
        mismatches: Vec::new(),
    };
    let columns = check.columns(&kinds);
    let between = std::mem::take(&mut check.mismatches);
    let by_kind: Vec<_> = kinds
        .iter()
        .map(|kind| {
            check.file(kind, &columns.types);
            std::mem::take(&mut check.mismatches)
        })
        .collect();
    // Files whose columns are the same differ in the same way.
    let mut mismatches: Vec<_> = judged
        .iter()
        .zip(kind_of)
        .flat_map(|(footer, kind)| {
            by_kind[kind].iter().map(|mismatch| Mismatch {
                file: footer.file.name.clone(),
                ..mismatch.clone()
            })
        })
        .collect();
    check.folders(footers);
    check.declared(&kinds);
    mismatches.extend(check.mismatches);
    // A column that does not fit as it is differs from the others for that reason.
    let told: HashSet<String> = mismatches.iter().map(|mismatch| mismatch.column.clone()).collect();
    mismatches.extend(between.into_iter().filter(|mismatch| !told.contains(&mismatch.column)));
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

pub(super) struct Check<'a> {
    pub(super) job: &'a Job,
    pub(super) preprocessor: &'a Preprocessor,
    /// Names that the job and the contract use.
    wanted: &'a [String],
    pub(super) features: HashMap<&'a str, &'a Feature>,
    carried: HashSet<&'a str>,
    /// Columns that derived ones read.
    in_sql: HashSet<&'a str>,
    pub(super) mismatches: Vec<Mismatch>,
}

impl Check<'_> {
    /// Compares one file with the job and the contract. `types` are those of the run.
    fn file(&mut self, kind: &Kind<'_>, types: &BTreeMap<String, DataType>) {
        self.duplicates(kind);
        let alike = Alike::of(kind.footer);
        if self.job.case_insensitive {
            self.ambiguous(kind, &alike);
        }
        let carried = self.job.keys.iter().chain(&self.job.passthrough);
        for name in carried {
            if !kind.has(name) {
                self.missing(kind, &alike, name, "a key or passthrough column");
            }
        }
        let contract = self.preprocessor.contract();
        let derivation = self.preprocessor.derivation();
        for name in derivation.required_columns() {
            if !kind.has(name) {
                self.missing(kind, &alike, name, "a column that a derived feature reads");
            }
        }
        let derived = self.derived(kind, types);
        let derived: HashMap<_, _> = derived.iter().map(|field| (field.name().as_str(), field)).collect();
        for feature in &contract.features {
            let name = feature.name();
            let found = match derived.get(name) {
                Some(field) => Some(field.data_type().clone()),
                // Whether the text of each folder fits is another question.
                None if kind.is_folder(name) => Some(self.folder(name)),
                None => kind.typed(name),
            };
            match found {
                None => self.missing(kind, &alike, name, &expected(feature)),
                Some(found) => {
                    if let Err(hint) = accepts(feature, &found) {
                        self.mismatches.push(Mismatch {
                            file: kind.name().to_owned(),
                            column: name.to_owned(),
                            expected: expected(feature),
                            found: found.to_string(),
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

    /// Types of the derived columns for this file. Where they cannot be told, which is a mismatch of its own, nothing is said against them.
    fn derived(&mut self, kind: &Kind<'_>, types: &BTreeMap<String, DataType>) -> Vec<FieldRef> {
        let derivation = self.preprocessor.derivation();
        let complete = derivation.required_columns().iter().all(|name| kind.has(name));
        let untold = || -> Vec<FieldRef> {
            let names = derivation.names();
            names
                .map(|name| Arc::new(Field::new(name, DataType::Null, true)))
                .collect()
        };
        if !complete {
            return untold();
        }
        match derivation.output_fields(&self.as_sql_sees(kind, types)) {
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
                untold()
            }
        }
    }

    /// The columns of a file and of the path to it. Those without a value have the types that the other files give them.
    fn as_sql_sees(&self, kind: &Kind<'_>, types: &BTreeMap<String, DataType>) -> Arc<Schema> {
        let columns = kind.footer.schema.fields().iter();
        let columns = columns.filter(|field| !kind.is_folder(field.name())).map(|field| {
            let planned = types.get(field.name()).filter(|_| kind.is_valueless(field.name()));
            match planned {
                Some(planned) => Arc::new(Field::new(field.name(), planned.clone(), true)),
                None => Arc::clone(field),
            }
        });
        let mut fields: Vec<FieldRef> = columns.collect();
        for &name in &kind.folders {
            fields.push(Arc::new(Field::new(name, self.carried_folder(name), true)));
        }
        Arc::new(Schema::new(fields))
    }

    /// Type of a column of the path where it is carried, and in SQL.
    fn carried_folder(&self, name: &str) -> DataType {
        self.job
            .path_types
            .get(name)
            .map_or(DataType::Utf8, |&kind| folders::declared(kind))
    }

    /// Type of a column of the path as a feature takes it.
    pub(super) fn folder(&self, name: &str) -> DataType {
        let feature = self
            .features
            .get(name)
            .filter(|_| !self.job.path_types.contains_key(name));
        let of_feature = feature.and_then(|feature| folders::of_feature(feature));
        of_feature.unwrap_or_else(|| self.carried_folder(name))
    }

    /// A hint where the column stands in the input's own path, above what is listed.
    pub(super) fn above(&self, name: &str) -> Option<String> {
        let input = self.job.input.to_string();
        let mut folders = input.split('/');
        let found = folders.find(|folder| folder.split_once('=').is_some_and(|(key, _)| key == name))?;
        Some(format!(
            "`{found}` stands in `input.path` itself, and only folders below it are columns; a glob there, `{name}=*`, makes it one"
        ))
    }

    fn missing(&mut self, kind: &Kind<'_>, alike: &Alike<'_>, name: &str, expected: &str) {
        if self.job.case_insensitive && alike.to(name).nth(1).is_some() {
            // That has been said.
            return;
        }
        let other_case = alike.to(name).find(|own| *own != name);
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
                    let place = if kind.is_folder(own) { " in the path" } else { "" };
                    format!("there is `{own}`{place}; names are compared by case, unless input.case_insensitive = true")
                })
                .or_else(|| self.above(name))
                .or_else(|| names::hidden(kind.footer, name)),
        });
    }

    /// Columns that could be either of two of the file.
    fn ambiguous(&mut self, kind: &Kind<'_>, alike: &Alike<'_>) {
        let names: BTreeSet<&String> = self.wanted.iter().collect();
        for name in names {
            let alike: BTreeSet<_> = alike.to(name).collect();
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
                    column: name.clone(),
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
        let mut read = self.wanted.to_vec();
        read.retain(|name| seen.insert(name.clone()));
        let types: BTreeMap<_, _> = read
            .iter()
            .filter_map(|name| {
                let kind = self.one_type(kinds, name)?;
                Some((name.clone(), kind))
            })
            .collect();
        let carried = |names: &[String]| -> Vec<FieldRef> {
            let known = names.iter().filter_map(|name| types.get(name).map(|kind| (name, kind)));
            known
                // In other dates a file may have nulls there, and readers of all dates want one schema.
                .map(|(name, kind)| Arc::new(Field::new(name, kind.clone(), true)))
                .collect()
        };
        let carried_names = self.job.keys.iter().chain(&self.job.passthrough);
        let annotations = carried_names.filter_map(|name| Some((name.clone(), annotations(kinds, name)?)));
        Columns {
            annotations: annotations.collect(),
            keys: carried(&self.job.keys),
            passthrough: carried(&self.job.passthrough),
            parsed: self.parsed(kinds, &types),
            read,
            types,
        }
    }

    /// Columns of the path that are text for one purpose and something else for a feature.
    fn parsed(&self, kinds: &[Kind<'_>], types: &BTreeMap<String, DataType>) -> BTreeMap<String, DataType> {
        let features = self.features.keys().map(|&name| (name, self.folder(name)));
        let parsed = features.filter(|(name, kind)| {
            kinds.iter().any(|kind| kind.is_folder(name))
                && types
                    .get(*name)
                    .is_some_and(|carried| carried == &DataType::Utf8 && carried != kind)
        });
        parsed.map(|(name, kind)| (name.to_owned(), kind)).collect()
    }

    /// Type of a column of one kind of file, where it is there.
    fn type_in(&self, kind: &Kind<'_>, name: &str) -> Option<DataType> {
        if !kind.is_folder(name) {
            return kind.typed(name);
        }
        Some(if self.carried.contains(name) || self.in_sql.contains(name) {
            self.carried_folder(name)
        } else {
            self.folder(name)
        })
    }

    /// The type in which every file gives the column; a mismatch where there is none.
    fn one_type(&mut self, kinds: &[Kind<'_>], name: &str) -> Option<DataType> {
        let reach = self.reach(name);
        let own = |kind| Some((kind, self.type_in(kind, name)?));
        let mut found = kinds.iter().filter_map(own).collect::<Vec<_>>().into_iter();
        let (first, kind) = found.next()?;
        let types = found;
        let mut found = column_type::plain(&kind);
        for (kind, own) in types {
            let Some(common) = column_type::common(&found, &own, reach) else {
                self.mismatches.push(Mismatch {
                    file: kind.name().to_owned(),
                    column: name.to_owned(),
                    expected: format!("{found} as in `{}`", first.name()),
                    found: own.to_string(),
                    rule: Rule::Files,
                    hint: kinds.iter().any(|kind| kind.is_folder(name)).then(|| {
                        format!("in some files it stands in the path, as text; `input.path_types` can declare the type of `{name}`")
                    }),
                });
                return None;
            };
            found = common;
        }
        if found == DataType::Null {
            found = self.guessed(kinds, name);
        }
        Some(if self.is_looked_up(name) && column_type::is_string(&found) {
            dictionary()
        } else {
            found
        })
    }

    /// The type of a column without a value in any file: the first file's own, unless the feature could not take it.
    fn guessed(&self, kinds: &[Kind<'_>], name: &str) -> DataType {
        let own = kinds.iter().find_map(|kind| kind.column(name));
        let own = own.map_or(DataType::Null, |field| column_type::plain(field.data_type()));
        match self.features.get(name) {
            Some(feature) if !self.carried.contains(name) && accepts(feature, &own).is_err() => DataType::Null,
            _ => own,
        }
    }

    fn reach(&self, name: &str) -> Reach {
        if self.carried.contains(name) {
            Reach::Exact
        } else if matches!(self.features.get(name), Some(Feature::Raw(_))) {
            Reach::Numbers
        } else {
            Reach::Casts
        }
    }

    /// Whether the column is for a vocabulary and for nothing else: then each distinct value is looked up once, and not once a row.
    fn is_looked_up(&self, name: &str) -> bool {
        matches!(self.features.get(name), Some(Feature::Categorical(_)))
            && !self.carried.contains(name)
            && !self.in_sql.contains(name)
    }
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// What Parquet says of a column and Arrow does not, where all files with values of it say the same.
fn annotations(kinds: &[Kind<'_>], name: &str) -> Option<Annotations> {
    let of_file = |kind: &Kind<'_>| {
        let root = kind.footer.metadata.file_metadata().schema_descr().root_schema();
        let own = kind.footer.own_names.of(name);
        let column = root.get_fields().iter().find(|field| field.name() == own);
        column.map(|column| Annotations::of(column)).unwrap_or_default()
    };
    let kinds = kinds
        .iter()
        .filter(|kind| kind.is_folder(name) || !kind.is_valueless(name));
    let mut found = kinds.map(of_file);
    let first = found.next().filter(|first| !first.is_empty())?;
    found.all(|other| other == first).then_some(first)
}
