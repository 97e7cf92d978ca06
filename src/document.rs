//! A TOML file as written, with what the command line and the environment put over it.
//!
//! Takes text and gives a Rust value, or every problem with the line that shows it: syntax, unknown keys, missing keys,
//! types. It knows where each value came from. What a value means is not its business; `validate` and `settings` judge that.

mod check;
mod overlay;
mod places;

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use crate::error::Seam;
use crate::exit::ExitCode;
use crate::problem::{Located, Problem, Problems};
use crate::schema::{self, Rule};

use overlay::Overlay;
use places::{Places, Sources};

/// The flag that puts a value over any key of a job.
const SET: &str = "--set";

/// A file and what lies over it.
#[derive(Debug, Clone)]
pub struct Document {
    subject: String,
    name: String,
    text: String,
    overlays: Vec<Overlay>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The file.
    File,
    /// That variable.
    Environment(String),
    /// That flag.
    Flag(String),
}

impl Document {
    /// A document of that text; `kind` says in messages what it is (`job file`), `name` is its path.
    pub fn new(kind: &str, name: &str, text: impl Into<String>) -> Self {
        Self {
            subject: format!("{kind} `{name}`"),
            name: name.to_owned(),
            text: text.into(),
            overlays: Vec::new(),
        }
    }

    /// A document without a file: everything lies over it.
    pub fn without_file(subject: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            name: String::new(),
            text: String::new(),
            overlays: Vec::new(),
        }
    }

    /// Reads a file.
    pub fn open(kind: &str, path: &Path) -> Result<Self, DocumentError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::new(kind, &path.display().to_string(), text)),
            Err(source) => Err(DocumentError::Open {
                kind: kind.to_owned(),
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Puts a value over the key; a later one wins. The value is TOML, or a plain string where it is not.
    pub fn put(&mut self, origin: Origin, key: &str, value: &str) {
        let label = match &origin {
            Origin::Environment(name) => name.clone(),
            Origin::Flag(name) if name != SET => name.clone(),
            _ => key.to_owned(),
        };
        // One byte between pieces keeps the end of one apart from the start of the next.
        let start = self.overlays.last().map_or(self.text.len(), Overlay::end) + 1;
        self.overlays.push(Overlay::new(origin, key, &label, value, start));
    }

    /// Puts the `key=value` of a `--set` over the file.
    pub fn set(&mut self, argument: &str) {
        let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
        self.put(Origin::Flag(SET.to_owned()), key.trim(), value);
    }

    /// Where the value of a key came from.
    pub fn origin(&self, key: &str) -> Origin {
        let over = self.overlays.iter().rev().find(|over| over.decides(key));
        match over {
            Some(over) => over.origin.clone(),
            None if self.places().contains(key) => Origin::File,
            None => Origin::Default,
        }
    }

    /// The document as a Rust value, and everything that is wrong with its form.
    ///
    /// Wrong values give way to defaults and missing ones to empty ones, so that the value can be judged further and the reader
    /// hears of all problems at once. So the value is for use only where no problem came with it.
    pub fn read<T: DeserializeOwned + JsonSchema>(&self) -> (Option<T>, Vec<Problem>) {
        let schema = schema::of_toml::<T>();
        let (mut table, syntax) = self.table(Some(&schema));
        if !syntax.is_empty() {
            return (None, syntax.iter().map(parse_problem).collect());
        }
        let mut problems = check::mend(table.get_mut(), Rule(&schema));
        match T::deserialize(Deserializer::from(table)) {
            Ok(value) => (Some(value), problems),
            // The check leaves little to refuse, such as a number that is too great for its type.
            Err(error) => {
                problems.push(parse_problem(&error));
                (None, problems)
            }
        }
    }

    /// The report of problems, each with the line that shows it, in the order of the file.
    pub fn report(&self, problems: impl IntoIterator<Item = Problem>) -> Problems {
        let places = self.places();
        let shown = |problem: Problem| (problem.span.clone().or_else(|| places.shown_by(&problem.key)), problem);
        let mut sorted: Vec<_> = problems.into_iter().map(shown).collect();
        sorted.sort_by_key(|(span, _)| span.as_ref().map_or(usize::MAX, |span| span.start));
        let overlays = self
            .overlays
            .iter()
            .map(|over| (over.start, over.name(), over.text.as_str()));
        let texts = std::iter::once((0, self.name.as_str(), self.text.as_str())).chain(overlays);
        let sources = Sources::new(texts, &places.of_keys(check::looks_secret));
        let located = sorted.into_iter().map(|(span, problem)| Located {
            problem,
            place: span.and_then(|span| sources.at(&span)),
        });
        Problems {
            subject: self.subject.clone(),
            located: located.collect(),
        }
    }

    /// The file parsed, with everything put over it.
    fn table(&self, schema: Option<&Value>) -> (Spanned<DeTable<'_>>, Vec<toml::de::Error>) {
        let (mut table, errors) = DeTable::parse_recoverable(&self.text);
        for over in &self.overlays {
            over.apply(table.get_mut(), schema);
        }
        (table, errors)
    }

    fn places(&self) -> Places {
        Places::of(self.table(None).0.get_ref())
    }
}

fn parse_problem(error: &toml::de::Error) -> Problem {
    let problem = Problem::new("", error.message());
    error.span().into_iter().fold(problem, Problem::at)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file cannot be read.
    #[error("read the {kind} `{}`", path.display())]
    Open {
        /// What the file is for.
        kind: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Seam for DocumentError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Open { .. } => ExitCode::Config,
        }
    }
}

#[cfg(test)]
mod tests;
