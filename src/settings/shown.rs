//! The settings in force as `config show` prints them: each key, its value, and where it came from.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::spec::SettingsSpec;
use crate::document::{Document, Origin};
use crate::schema;

/// The settings in force and their origins.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Shown(Vec<Setting>);

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The key, `table.key`.
    pub key: String,
    /// The value; null where none is set.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Shown {
    pub(super) fn new(spec: &SettingsSpec, document: &Document) -> Self {
        let values = serde_json::to_value(spec).expect("settings are strings, numbers and flags");
        let setting = |key: String| Setting {
            value: values
                .pointer(&format!("/{}", key.replace('.', "/")))
                .cloned()
                .unwrap_or_default(),
            origin: document.origin(&key),
            key,
        };
        let keys = schema::keys(&schema::of_toml::<SettingsSpec>());
        Self(keys.into_iter().map(setting).collect())
    }

    /// The settings, by key.
    pub fn settings(&self) -> &[Setting] {
        &self.0
    }

    /// For machines.
    pub fn json(&self) -> &impl Serialize {
        self
    }

    /// For people: a settings file with the origins as comments.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut table = "";
        for Setting { key, value, origin } in &self.0 {
            let (name, key) = key.rsplit_once('.').unwrap_or(("", key));
            if name != table {
                let gap = if table.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{name}]");
                table = name;
            }
            let line = match value {
                Value::Null => format!("# {key} is not set"),
                value => format!("{key} = {value}"),
            };
            let _ = writeln!(text, "{line:<28} # {origin}");
        }
        text
    }
}
