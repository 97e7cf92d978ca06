//! Kinds of file: files whose columns are the same, in the file and in the path, are judged once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};

use super::footers::Footer;

/// The first of all files whose columns are the same, with its columns by name.
pub(super) struct Kind<'a> {
    pub(super) footer: &'a Footer,
    pub(super) columns: HashMap<&'a str, &'a FieldRef>,
    pub(super) folders: HashSet<&'a str>,
    /// Columns that are asked for and hold no value.
    valueless: HashSet<&'a str>,
}

/// The kinds of file, in order of the first of each, and for each file its kind.
pub(super) fn kinds<'a>(footers: &[&'a Footer], wanted: &'a [String]) -> (Vec<Kind<'a>>, Vec<usize>) {
    let mut known = HashMap::new();
    let mut kinds = Vec::new();
    let kind_of = footers.iter().map(|&footer| {
        let folders: Vec<&str> = footer.partition.iter().map(|(key, _)| key.as_str()).collect();
        let valueless = wanted.iter().map(String::as_str);
        let valueless: Vec<&str> = valueless
            .filter(|name| footer.valueless.has(footer.own_names.of(name)))
            .collect();
        let new = kinds.len();
        let key = (Arc::as_ptr(&footer.schema), folders, valueless);
        *known.entry(key).or_insert_with_key(|(_, folders, valueless)| {
            let mut columns = HashMap::new();
            for field in footer.schema.fields() {
                columns.entry(field.name().as_str()).or_insert(field);
            }
            kinds.push(Kind {
                footer,
                columns,
                folders: folders.iter().copied().collect(),
                valueless: valueless.iter().copied().collect(),
            });
            new
        })
    });
    let kind_of = kind_of.collect();
    (kinds, kind_of)
}

impl Kind<'_> {
    pub(super) fn name(&self) -> &str {
        &self.footer.file.name
    }

    pub(super) fn column(&self, name: &str) -> Option<&FieldRef> {
        self.columns.get(name).copied()
    }

    /// Type of a column of the file as far as it counts: none where the column holds no value.
    pub(super) fn typed(&self, name: &str) -> Option<DataType> {
        let field = self.column(name)?;
        Some(if self.is_valueless(name) {
            DataType::Null
        } else {
            field.data_type().clone()
        })
    }

    /// Whether a column of the file holds no value.
    pub(super) fn is_valueless(&self, name: &str) -> bool {
        self.valueless.contains(name)
    }

    /// Whether it is a folder `name=value` on the way to the file; such a one goes before a column of the file.
    pub(super) fn is_folder(&self, name: &str) -> bool {
        self.folders.contains(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.is_folder(name) || self.columns.contains_key(name)
    }
}
