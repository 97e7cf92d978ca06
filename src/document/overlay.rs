//! One value that the command line or the environment puts over a file.
//!
//! File and overlays are counted as one text, so that a single range of bytes names a place in any of them.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Origin;
use crate::schema::{Kind, Rule};

/// A value put over the file, written as `label=value`.
#[derive(Debug, Clone)]
pub(super) struct Overlay {
    pub(super) origin: Origin,
    key: String,
    pub(super) text: String,
    /// Bytes of `text` before the value.
    before: usize,
    /// First byte of `text` in the text of file and overlays together.
    pub(super) start: usize,
}

impl Overlay {
    pub(super) fn new(origin: Origin, key: &str, label: &str, value: &str, start: usize) -> Self {
        Self {
            origin,
            key: key.to_owned(),
            text: format!("{label}={value}"),
            before: label.len() + 1,
            start,
        }
    }

    /// First byte after it.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// What it is called where a file has its path.
    pub(super) fn name(&self) -> &str {
        match &self.origin {
            Origin::Environment(_) => "environment",
            Origin::Flag(name) => name,
            Origin::Default | Origin::File => "",
        }
    }

    /// True when it decides the value of `key`: it sets the key, or a table that holds it.
    pub(super) fn decides(&self, key: &str) -> bool {
        let rest = key.strip_prefix(&self.key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Puts the value into the table. With a schema, a key that wants a string gets the text as it is.
    pub(super) fn apply<'t>(&'t self, table: &mut DeTable<'t>, schema: Option<&Value>) {
        let label = self.start..self.start + self.before - 1;
        let wanted = schema.and_then(|schema| Rule(schema).at(&self.key)).map(Rule::kind);
        let value = spanned(self.value(wanted), &(self.start + self.before..self.end()));
        let (tables, last) = match self.key.rsplit_once('.') {
            Some((tables, last)) => (tables.split('.').collect(), last),
            None => (Vec::new(), self.key.as_str()),
        };
        let table = tables
            .into_iter()
            .fold(table, |table, name| inner_table(table, name, &label));
        // Inserting alone would keep the old key and with it the place of that key in the file.
        table.remove(last);
        table.insert(Spanned::new(label, DeString::Borrowed(last)), value);
    }

    fn value(&self, wanted: Option<Kind>) -> DeValue<'_> {
        let raw = &self.text[self.before..];
        match DeValue::parse(raw).map(Spanned::into_inner) {
            Ok(DeValue::String(text)) => DeValue::String(text),
            Ok(value) if wanted != Some(Kind::String) => value,
            _ => DeValue::String(DeString::Borrowed(raw)),
        }
    }
}

/// The table of that name, made where there is none.
fn inner_table<'a, 't>(table: &'a mut DeTable<'t>, name: &'t str, label: &Range<usize>) -> &'a mut DeTable<'t> {
    let empty = || Spanned::new(label.clone(), DeValue::Table(DeTable::new()));
    if !table.get(name).is_some_and(|entry| entry.get_ref().is_table()) {
        table.remove(name);
    }
    let key = Spanned::new(label.clone(), DeString::Borrowed(name));
    match table.entry(key).or_insert_with(empty).get_mut() {
        DeValue::Table(table) => table,
        _ => unreachable!("whatever else stood there has been removed"),
    }
}

/// The value with all of its parts at one place.
fn spanned<'t>(value: DeValue<'t>, span: &Range<usize>) -> Spanned<DeValue<'t>> {
    let value = match value {
        DeValue::Array(array) => {
            let elements = array.into_iter().map(|element| spanned(element.into_inner(), span));
            DeValue::Array(elements.collect())
        }
        DeValue::Table(table) => {
            let entries = table.into_iter().map(|(key, value)| {
                let key = Spanned::new(span.clone(), key.into_inner());
                (key, spanned(value.into_inner(), span))
            });
            DeValue::Table(entries.collect())
        }
        scalar => scalar,
    };
    Spanned::new(span.clone(), value)
}
