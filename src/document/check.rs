//! Holds a parsed TOML table against a schema and notes every difference, mending each so that reading can go on.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeString, DeTable, DeValue};

use crate::problem::{Problem, listed, meant};
use crate::schema::{Kind, Rule, joined};

/// Parts of a key's name that say its value is a secret.
const SECRETS: [&str; 10] = [
    "secret",
    "token",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "accesskey",
    "apikey",
    "privatekey",
    "bearer",
];

/// True for a key whose value must not stand in a file.
pub(super) fn looks_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key).to_lowercase();
    let name = name.replace(['_', '-', ' '], "");
    // `storage.credentials` names a source and holds none.
    name != "credentials" && SECRETS.iter().any(|secret| name.contains(secret))
}

/// Checks a document; unknown keys and wrong values are taken out, missing keys get empty values.
pub(super) fn mend(document: &mut DeTable<'_>, schema: Rule<'_>) -> Vec<Problem> {
    let mut check = Check {
        schema,
        found: Vec::new(),
    };
    check.table("", document, schema, None);
    check.found
}

struct Check<'s> {
    schema: Rule<'s>,
    found: Vec<Problem>,
}

impl<'s> Check<'s> {
    /// One table; `span` is its header where it has one.
    fn table(&mut self, path: &str, table: &mut DeTable<'_>, rule: Rule<'s>, span: Option<&Range<usize>>) {
        let mut misspelt = Vec::new();
        let keys: Vec<_> = table.keys().cloned().collect();
        for key in keys {
            let name = key.get_ref().as_ref();
            let path = joined(path, name);
            match (rule.key(name), table.get_mut(name)) {
                (Some(rule), entry) => {
                    if !entry.is_none_or(|entry| self.value(&path, entry, rule)) {
                        table.remove(name);
                    }
                }
                (None, entry) => {
                    self.unknown(&path, name, rule, key.span());
                    self.secrets(&path, entry.map(|entry| entry.get_ref()), rule);
                    misspelt.extend(meant(name, rule.names()).zip(table.remove(name)));
                }
            }
        }
        for (name, entry) in misspelt {
            self.misspelt(&joined(path, name), name, entry, table, rule);
        }
        for name in rule.required() {
            self.required(&joined(path, name), name, table, rule, span);
        }
    }

    /// Reads on as if the key had its right name, unless that one is there too.
    fn misspelt<'t>(
        &mut self,
        path: &str,
        name: &str,
        mut entry: Spanned<DeValue<'t>>,
        table: &mut DeTable<'t>,
        rule: Rule<'s>,
    ) {
        if let (Some(rule), false) = (rule.key(name), table.contains_key(name))
            && self.value(path, &mut entry, rule)
        {
            table.insert(nowhere(DeString::Owned(name.to_owned())), entry);
        }
    }

    /// A key that must be there: where it is not, it is noted, and something empty takes its place.
    fn required(
        &mut self,
        path: &str,
        name: &str,
        table: &mut DeTable<'_>,
        rule: Rule<'s>,
        span: Option<&Range<usize>>,
    ) {
        let (Some(rule), false) = (rule.key(name), table.contains_key(name)) else {
            return;
        };
        let mut empty = empty(rule);
        if let DeValue::Table(inner) = &mut empty {
            self.table(path, inner, rule, None);
        } else if !self.found.iter().any(|problem| problem.concerns(path)) {
            let problem = Problem::new(path, "is missing");
            let problem = span.cloned().into_iter().fold(problem, Problem::at);
            self.found
                .push(rule.description().into_iter().fold(problem, Problem::hint));
        }
        table.insert(nowhere(DeString::Owned(name.to_owned())), nowhere(empty));
    }

    /// One value; false when it must be taken out.
    fn value(&mut self, path: &str, entry: &mut Spanned<DeValue<'_>>, rule: Rule<'s>) -> bool {
        let span = entry.span();
        let problem = match (rule.kind(), entry.get_mut()) {
            (Kind::Table, DeValue::Table(inner)) => {
                self.table(path, inner, rule, Some(&span));
                return true;
            }
            (Kind::Array, DeValue::Array(array)) => return self.elements(path, array, rule),
            (Kind::String, DeValue::String(text)) => choice(path, text, rule),
            (Kind::Integer | Kind::Number, DeValue::Integer(integer)) => bounds(path, number(integer), rule),
            (Kind::Number, DeValue::Float(float)) => bounds(path, float.as_str().parse().unwrap_or(f64::NAN), rule),
            (Kind::Boolean, DeValue::Boolean(_)) => None,
            (kind, other) => Some(wrong_type(path, kind, other)),
        };
        let fits = problem.is_none();
        self.found.extend(problem.map(|problem| problem.at(span)));
        fits
    }

    fn elements(&mut self, path: &str, array: &mut DeArray<'_>, rule: Rule<'s>) -> bool {
        let mut fit = true;
        for (index, element) in array.iter_mut().enumerate() {
            if let Some(rule) = rule.items() {
                fit &= self.value(&format!("{path}[{index}]"), element, rule);
            }
        }
        fit
    }

    fn unknown(&mut self, path: &str, name: &str, table: Rule<'s>, span: Range<usize>) {
        if looks_secret(name) {
            let problem = Problem::new(path, "looks like a secret, and no file may hold one");
            let hint = "secrets come from the environment only, for S3 as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            self.found.push(problem.hint(hint).at(span));
            return;
        }
        let hint = match (meant(name, table.names()), self.elsewhere(name)) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, Some(path)) => format!("did you mean `{path}`?"),
            (None, None) => format!("known here: {}", listed(table.names(), "and")),
        };
        self.found
            .push(Problem::new(path, "is not a known key").hint(hint).at(span));
    }

    /// Secrets inside of something unknown, which is not looked into otherwise.
    fn secrets(&mut self, path: &str, unknown: Option<&DeValue<'_>>, rule: Rule<'s>) {
        for (key, value) in unknown.and_then(DeValue::as_table).into_iter().flatten() {
            let path = joined(path, key.get_ref());
            if looks_secret(key.get_ref()) {
                self.unknown(&path, key.get_ref(), rule, key.span());
            }
            self.secrets(&path, Some(value.get_ref()), rule);
        }
    }

    /// The key of that name in another table.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let ending = format!(".{name}");
        self.schema.keys().into_iter().find(|path| path.ends_with(&ending))
    }
}

fn number(integer: &DeInteger<'_>) -> f64 {
    let value = i64::from_str_radix(integer.as_str(), integer.radix());
    #[expect(
        clippy::cast_precision_loss,
        reason = "only compared with small bounds, which the nearest float decides rightly"
    )]
    value.map_or(f64::INFINITY, |value| value as f64)
}

fn bounds(path: &str, number: f64, rule: Rule<'_>) -> Option<Problem> {
    let fault = match rule.bounds() {
        (Some(least), _) if number < least => format!("is {number}, expected at least {least}"),
        (_, Some(greatest)) if number > greatest => format!("is {number}, expected at most {greatest}"),
        _ => return None,
    };
    Some(Problem::new(path, fault))
}

fn choice(path: &str, text: &str, rule: Rule<'_>) -> Option<Problem> {
    let choices = rule.choices();
    if choices.is_empty() || choices.contains(&text) {
        return None;
    }
    let expected = listed(choices.iter().copied(), "or");
    let problem = Problem::new(path, format!("is `{text}`, expected {expected}"));
    Some(match meant(text, choices) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem,
    })
}

fn wrong_type(path: &str, wanted: Kind, found: &DeValue<'_>) -> Problem {
    let noun = found.type_str();
    let article = if noun.starts_with(['a', 'i']) { "an" } else { "a" };
    let problem = Problem::new(path, format!("is {article} {noun}, expected {wanted}"));
    match (wanted, found) {
        (Kind::String, DeValue::Array(_) | DeValue::Table(_)) => problem,
        (Kind::String, _) => problem.hint("put it in quotes"),
        (Kind::Array, DeValue::String(text)) => problem.hint(format!("write [\"{text}\"]")),
        (Kind::Integer | Kind::Number | Kind::Boolean, DeValue::String(_)) => problem.hint("write it without quotes"),
        _ => problem,
    }
}

/// A value of the right type that says nothing.
fn empty(rule: Rule<'_>) -> DeValue<'static> {
    match rule.kind() {
        Kind::String => {
            let text = rule.choices().first().copied().unwrap_or_default();
            DeValue::String(DeString::Owned(text.to_owned()))
        }
        Kind::Integer | Kind::Number => DeValue::Integer(DeInteger::default()),
        Kind::Boolean => DeValue::Boolean(false),
        Kind::Array => DeValue::Array(DeArray::new()),
        Kind::Table => DeValue::Table(DeTable::new()),
    }
}

/// Something that stands in no text.
fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(usize::MAX..usize::MAX, value)
}
