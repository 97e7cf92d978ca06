//! JSON Schemas of our files, made from the Rust types, so that keys, defaults and descriptions are written once.
//!
//! Editors complete keys with them and `document` checks files against them. Only the part of JSON Schema that our own
//! types produce is understood here; this is no general validator.

use std::fmt;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

/// The schema of a TOML file. TOML has no null: an optional key is left out.
pub fn of_toml<T: JsonSchema>() -> Value {
    // Draft 7 is what the TOML extensions of editors understand.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let settings = settings.with_transform(RecursiveTransform(without_null));
    let settings = settings.with_transform(RecursiveTransform(on_one_line));
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The schema of a JSON file.
pub fn of_json<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(on_one_line));
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// A schema as the text of a file.
pub fn schema_text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

/// Every key that holds a value and not a table, `table.key` from the top, in the order of the schema.
pub fn keys(schema: &Value) -> Vec<String> {
    Rule(schema).keys()
}

fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            let kind = kind.clone();
            schema.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                schema.ensure_object().entry(key).or_insert(value);
            }
        }
    }
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
}

/// Lines of a doc comment end where the source is full; readers have other widths.
fn on_one_line(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}

/// What a schema says about one value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule<'s>(pub(crate) &'s Value);

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Table,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Array => "an array",
            Self::Table => "a table",
        })
    }
}

impl<'s> Rule<'s> {
    /// The type that it asks for.
    pub(crate) fn kind(self) -> Kind {
        match self.0.get("type").and_then(Value::as_str) {
            Some("integer") => Kind::Integer,
            Some("number") => Kind::Number,
            Some("boolean") => Kind::Boolean,
            Some("array") => Kind::Array,
            Some("object") => Kind::Table,
            // Enumerations state their type at each choice; all of ours are strings.
            _ => Kind::String,
        }
    }

    /// Strings that it allows; empty where it allows any.
    pub(crate) fn choices(self) -> Vec<&'s str> {
        let listed = self.0.get("enum").or_else(|| self.0.get("oneOf"));
        let listed = listed.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let names = listed.iter().map(|choice| choice.get("const").unwrap_or(choice));
        names.filter_map(Value::as_str).collect()
    }

    /// The rule of a key of this table.
    pub(crate) fn key(self, name: &str) -> Option<Self> {
        let named = self.properties().and_then(|properties| properties.get(name));
        // A table whose keys are the user's own says what each of them is.
        let any = || self.0.get("additionalProperties").filter(|any| any.is_object());
        named.or_else(any).map(Rule)
    }

    /// Names of the keys of this table.
    pub(crate) fn names(self) -> impl Iterator<Item = &'s str> {
        self.properties().into_iter().flat_map(Map::keys).map(String::as_str)
    }

    /// Names of the keys that this table must have.
    pub(crate) fn required(self) -> impl Iterator<Item = &'s str> {
        let names = self.0.get("required").and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str)
    }

    /// The rule of an element of this array.
    pub(crate) fn items(self) -> Option<Self> {
        self.0.get("items").map(Rule)
    }

    /// Least and greatest number.
    pub(crate) fn bounds(self) -> (Option<f64>, Option<f64>) {
        let bound = |name| self.0.get(name).and_then(Value::as_f64);
        (bound("minimum"), bound("maximum"))
    }

    /// What it is for.
    pub(crate) fn description(self) -> Option<&'s str> {
        self.0.get("description").and_then(Value::as_str)
    }

    /// The rule at `table.key` from here.
    pub(crate) fn at(self, path: &str) -> Option<Self> {
        path.split('.').try_fold(self, Rule::key)
    }

    /// Every key below it that holds a value and not a table.
    pub(crate) fn keys(self) -> Vec<String> {
        let mut keys = Vec::new();
        self.add_keys("", &mut keys);
        keys
    }

    fn properties(self) -> Option<&'s Map<String, Value>> {
        self.0.get("properties").and_then(Value::as_object)
    }

    fn add_keys(self, path: &str, keys: &mut Vec<String>) {
        for name in self.names() {
            let path = joined(path, name);
            match self.key(name) {
                Some(rule) if rule.kind() == Kind::Table && rule.properties().is_some() => rule.add_keys(&path, keys),
                _ => keys.push(path),
            }
        }
    }
}

/// A key below a table's path.
pub(crate) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Rule, keys, of_toml, schema_text};
    use crate::settings::SettingsSpec;
    use crate::spec::JobSpec;

    #[test]
    fn shipped_schemas_are_those_of_the_types() {
        let configs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        for (name, schema) in [("job", of_toml::<JobSpec>()), ("settings", of_toml::<SettingsSpec>())] {
            let shipped = std::fs::read_to_string(configs.join(format!("{name}.schema.json"))).unwrap_or_default();
            let remedy = format!("write it anew: batch-infer config schema {name} > configs/{name}.schema.json");
            assert!(shipped == schema_text(&schema), "{remedy}");
        }
    }

    #[test]
    fn optional_tables_are_tables() {
        let schema = of_toml::<JobSpec>();
        let schedule = Rule(&schema).key("schedule").unwrap();
        assert_eq!(schedule.kind(), Kind::Table);
        assert_eq!(schedule.required().collect::<Vec<_>>(), ["cron", "date_offset_days"]);
    }

    #[test]
    fn keys_reach_into_tables_of_tables() {
        let keys = keys(&of_toml::<JobSpec>());
        assert!(keys.iter().any(|key| key == "rows.on.NULL_FEATURE"));
        assert!(keys.iter().all(|key| key != "rows.on"));
    }

    #[test]
    fn enumerations_list_their_choices() {
        let schema = of_toml::<JobSpec>();
        let action = Rule(&schema).at("rows.on.NULL_KEY").unwrap();
        assert_eq!(action.choices(), ["fail", "reject", "impute"]);
    }
}
