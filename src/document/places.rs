//! Where the keys of a document stand, and the text that a report may show of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use miette::NamedSource;
use toml::de::{DeTable, DeValue};

use super::check::looks_secret;
use crate::problem::meant;
use crate::schema::joined;

/// The bytes of each value, by its key.
pub(super) struct Places(BTreeMap<String, Range<usize>>);

impl Places {
    pub(super) fn of(table: &DeTable<'_>) -> Self {
        let mut places = Self(BTreeMap::new());
        places.add("", table);
        places
    }

    fn add(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = joined(path, key.get_ref());
            self.0.insert(path.clone(), value.span());
            match value.get_ref() {
                DeValue::Table(inner) => self.add(&path, inner),
                DeValue::Array(array) => {
                    for (index, element) in array.iter().enumerate() {
                        self.0.insert(format!("{path}[{index}]"), element.span());
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The value of the key, or of one that is spelt much like it, or the closest table around where it would stand.
    pub(super) fn shown_by(&self, key: &str) -> Option<Range<usize>> {
        let keys = std::iter::successors(Some(key), |key| key.rfind(['.', '[']).map(|end| &key[..end]));
        keys.into_iter()
            .find_map(|key| self.0.get(key).or_else(|| self.alike(key)))
            .cloned()
    }

    /// The value of the key in the same table whose name is nearly the same.
    fn alike(&self, key: &str) -> Option<&Range<usize>> {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        let names = self.0.keys().filter_map(|other| {
            let (others, other) = other.rsplit_once('.').unwrap_or(("", other));
            (others == table).then_some(other)
        });
        self.0.get(&joined(table, meant(name, names)?))
    }

    /// The values of the keys that are wanted.
    pub(super) fn of_keys(&self, wanted: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
        let wanted = self.0.iter().filter(|(key, _)| wanted(key));
        wanted.map(|(_, span)| span.clone()).collect()
    }
}

/// Texts that a report may show, by their first byte in the text of file and overlays together.
pub(super) struct Sources(BTreeMap<usize, Arc<NamedSource<String>>>);

impl Sources {
    /// Takes first byte, name and text of each, and the bytes that nobody may see.
    pub(super) fn new<'t>(texts: impl Iterator<Item = (usize, &'t str, &'t str)>, hidden: &[Range<usize>]) -> Self {
        let named = |(start, name, text)| (start, Arc::new(NamedSource::new(name, masked(start, text, hidden))));
        Self(texts.map(named).collect())
    }

    /// The text that holds the span, and the span in it.
    pub(super) fn at(&self, span: &Range<usize>) -> Option<(Arc<NamedSource<String>>, Range<usize>)> {
        let (start, source) = self.0.range(..=span.start).next_back()?;
        let end = source.inner().len();
        let within = (span.start - start).min(end)..(span.end - start).min(end);
        Some((Arc::clone(source), within))
    }
}

/// The text with stars in the place of what nobody may see: the given bytes, and users and passwords in URLs.
fn masked(start: usize, text: &str, hidden: &[Range<usize>]) -> String {
    let given = hidden.iter().filter_map(|hidden| {
        let from = hidden.start.checked_sub(start)?;
        Some(from..from + hidden.len())
    });
    let mut bytes = text.as_bytes().to_vec();
    for hidden in given.chain(users_in_urls(text)).chain(secrets_in_lines(text)) {
        if let Some(bytes) = bytes.get_mut(hidden) {
            bytes.fill(b'*');
        }
    }
    // What is hidden starts and ends between characters, so what is left is whole.
    String::from_utf8(bytes).unwrap_or_default()
}

/// What stands behind `key =` where the key looks secret. A file that cannot be parsed has no keys, and is shown all the same.
fn secrets_in_lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices('=').filter_map(|(equals, _)| {
        let before = text[..equals].trim_end_matches([' ', '\t', '"', '\'']);
        let name = before.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
        let name = name.map_or(before, |end| &before[end..]);
        if !looks_secret(name.trim_start_matches(|c: char| !c.is_alphanumeric())) {
            return None;
        }
        let value = &text[equals + 1..];
        let start = equals + 1 + value.len() - value.trim_start_matches([' ', '\t']).len();
        let value = &text[start..];
        let several = ["\"\"\"", "\'\'\'"]
            .into_iter()
            .find(|quotes| value.starts_with(quotes));
        let end = match several {
            Some(quotes) => value[3..].find(quotes).map_or(value.len(), |end| end + 6),
            None => value.find('\n').unwrap_or(value.len()),
        };
        Some(start..start + end)
    })
}

/// The bytes between `://` and `@`. A password may hold a slash, so a slash ends nothing.
fn users_in_urls(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(scheme, separator)| {
        let start = scheme + separator.len();
        let rest = &text[start..];
        let ends = |c: char| c.is_whitespace() || "\"'".contains(c);
        let url = &rest[..rest.find(ends).unwrap_or(rest.len())];
        url.rfind('@').map(|end| start..start + end)
    })
}
