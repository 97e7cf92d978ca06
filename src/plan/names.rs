//! Takes columns whose names differ only in case under the names that the job and the contract use, where the job says so.
//!
//! The Parquet reader wants the names of the file, so both are kept. Names in folders, `Region=eu/`, are names of columns as well.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::footers::Footer;
use crate::preprocess::Preprocessor;
use crate::validate::{Job, unseen};

/// Columns that a file calls otherwise: their names here, and in the file.
#[derive(Debug, Clone, Default)]
pub struct OwnNames(Arc<BTreeMap<String, String>>);

impl OwnNames {
    /// What the file calls a column.
    pub fn of<'a>(&'a self, name: &'a str) -> &'a str {
        self.0.get(name).map_or(name, String::as_str)
    }

    /// What the job and the contract call a column of the file.
    pub fn planned<'a>(&'a self, own: &'a str) -> &'a str {
        let found = self.0.iter().find(|(_, name)| *name == own);
        found.map_or(own, |(name, _)| name.as_str())
    }
}

/// Names that the job and the contract use.
pub(super) fn wanted(job: &Job, preprocessor: &Preprocessor) -> Vec<String> {
    let mut names: Vec<String> = job.keys.iter().chain(&job.passthrough).cloned().collect();
    names.extend(preprocessor.required_columns());
    names
}

/// Names of a file, by themselves in lower case.
pub(super) struct Alike<'a>(HashMap<String, BTreeSet<&'a str>>);

impl<'a> Alike<'a> {
    pub(super) fn of(footer: &'a Footer) -> Self {
        let mut names: HashMap<_, BTreeSet<_>> = HashMap::new();
        let columns = footer.schema.fields().iter().map(|field| field.name().as_str());
        let folders = footer.partition.iter().map(|(key, _)| key.as_str());
        for own in columns.chain(folders) {
            names.entry(own.to_lowercase()).or_default().insert(own);
        }
        Self(names)
    }

    /// Names that differ from a name in case alone, itself among them.
    pub(super) fn to(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.get(&name.to_lowercase()).into_iter().flatten().copied()
    }
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
    let mut renamed: HashMap<_, Renamed> = HashMap::new();
    for footer in footers {
        let keys: Vec<_> = footer.partition.iter().map(|(key, _)| key.clone()).collect();
        let renamed = renamed
            .entry((Arc::as_ptr(&footer.schema), keys))
            .or_insert_with(|| Renamed::new(wanted, footer));
        footer.schema = Arc::clone(&renamed.schema);
        footer.own_names = renamed.own_names.clone();
        for (key, _) in &mut footer.partition {
            if let Some(name) = renamed.names.get(key) {
                name.clone_into(key);
            }
        }
    }
}

/// The columns of files under the names that are wanted.
struct Renamed {
    /// Held so that no other schema comes to lie in its place.
    _own: SchemaRef,
    schema: SchemaRef,
    own_names: OwnNames,
    /// Names by own names.
    names: HashMap<String, String>,
}

impl Renamed {
    fn new(wanted: &[String], footer: &Footer) -> Self {
        let alike = Alike::of(footer);
        let mut names = HashMap::new();
        for name in wanted {
            let mut alike = alike.to(name);
            if let (Some(own), None) = (alike.next(), alike.next())
                && own != name
            {
                names.insert(own.to_owned(), name.clone());
            }
        }
        let mut own_names = BTreeMap::new();
        let fields = footer
            .schema
            .fields()
            .iter()
            .map(|field| match names.get(field.name()) {
                Some(name) => {
                    own_names.insert(name.clone(), field.name().clone());
                    Arc::new(Field::clone(field).with_name(name))
                }
                None => Arc::clone(field),
            });
        let fields: Vec<_> = fields.collect();
        Self {
            _own: Arc::clone(&footer.schema),
            schema: if own_names.is_empty() {
                Arc::clone(&footer.schema)
            } else {
                Arc::new(Schema::new_with_metadata(fields, footer.schema.metadata().clone()))
            },
            own_names: OwnNames(Arc::new(own_names)),
            names,
        }
    }
}
