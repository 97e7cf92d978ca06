//! Takes columns whose names differ only in case under the names that the job and the contract use, where the job says so.
//!
//! The Parquet reader wants the names of the file, so both are kept. Names in folders, `Region=eu/`, are names of columns as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};

use super::footers::Footer;
use crate::preprocess::Preprocessor;
use crate::validate::{Job, unseen};

/// Columns that a file calls otherwise: their names here, and in the file.
#[derive(Debug, Clone, Default)]
pub struct OwnNames(BTreeMap<String, String>);

impl OwnNames {
    /// What the file calls a column.
    pub fn of<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(name).map_or(name, String::as_str)
    }
}

/// Names that the job and the contract use.
pub(super) fn wanted(job: &Job, preprocessor: &Preprocessor) -> Vec<String> {
    let mut names: Vec<String> = job.keys.iter().chain(&job.passthrough).cloned().collect();
    names.extend(preprocessor.required_columns());
    names
}

/// Names of a file that differ from a name in case alone, itself among them.
pub(super) fn alike<'a>(footer: &'a Footer, name: &str) -> BTreeSet<&'a str> {
    let lower = name.to_lowercase();
    let columns = footer.schema.fields().iter().map(|field| field.name().as_str());
    let folders = footer.partition.iter().map(|(key, _)| key.as_str());
    columns
        .chain(folders)
        .filter(|own| own.to_lowercase() == lower)
        .collect()
}

/// A hint where a column has the name and characters beside it that nobody sees: a byte order mark that came from a CSV file, or a space.
pub(super) fn hidden(footer: &Footer, name: &str) -> Option<String> {
    let plain = |name: &str| -> String {
        let seen = name.chars().filter(|c| !c.is_whitespace() && !unseen(*c));
        seen.flat_map(char::to_lowercase).collect()
    };
    let wanted = plain(name);
    let mut own = footer.schema.fields().iter().map(|field| field.name());
    let found = own.find(|own| plain(own) == wanted)?;
    Some(format!(
        "there is `{}`, with characters in it that are not seen",
        found.escape_default()
    ))
}

/// Gives columns the names that are wanted. One that could be either of two is left as it is.
pub(super) fn adopt(wanted: &[String], footers: &mut [Footer]) {
    for footer in footers {
        for name in wanted {
            let alike = alike(footer, name);
            let (Some(own), 1) = (alike.first().copied(), alike.len()) else {
                continue;
            };
            if own != name {
                let own = own.to_owned();
                rename(footer, &own, name);
            }
        }
    }
}

fn rename(footer: &mut Footer, own: &str, name: &str) {
    let fields = footer.schema.fields().iter().map(|field| {
        if field.name() == own {
            Arc::new(Field::clone(field).with_name(name))
        } else {
            Arc::clone(field)
        }
    });
    let fields: Vec<_> = fields.collect();
    if fields.iter().any(|field| field.name() == name) {
        footer.own_names.0.insert(name.to_owned(), own.to_owned());
    }
    footer.schema = Arc::new(Schema::new_with_metadata(fields, footer.schema.metadata().clone()));
    for (key, _) in &mut footer.partition {
        if key == own {
            name.clone_into(key);
        }
    }
}
