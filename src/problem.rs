//! Problems of a configuration: what is wrong with which key, where it stands, and the way out.
//!
//! Whoever checks something gives [`Problem`]s that name a key; the `Document` knows the lines and makes the report,
//! [`Problems`], of all of them. Nothing is decided here about what is a problem.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use crate::error::Seam;
use crate::exit::ExitCode;

/// Words at least this alike (Jaro-Winkler, 0 to 1) are taken for a slip of the pen.
const ALIKE: f64 = 0.8;

/// Something wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, `table.key` from the top.
    pub key: String,
    /// What is wrong, as it goes on after the key: `is missing`.
    pub fault: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// Bytes of the document that show it, where the key alone does not say.
    pub(crate) span: Option<Range<usize>>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(key: impl Into<String>, fault: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            fault: fault.into(),
            hint: None,
            span: None,
        }
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// True when it is about the key, or about one element of its array.
    pub(crate) fn concerns(&self, key: &str) -> bool {
        let rest = self.key.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
    }

    /// Adds the bytes that show it.
    #[must_use]
    pub(crate) fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.fault)
        } else {
            write!(f, "`{}` {}", self.key, self.fault)
        }
    }
}

/// Every problem of one document, with the lines that show them.
#[derive(Debug, thiserror::Error)]
#[error("{subject} has {}", count(located.len()))]
pub struct Problems {
    pub(crate) subject: String,
    pub(crate) located: Vec<Located>,
}

/// A problem and the text that shows it.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct Located {
    pub(crate) problem: Problem,
    pub(crate) place: Option<(Arc<NamedSource<String>>, Range<usize>)>,
}

impl Problems {
    /// The problems without their places.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.located.iter().map(|located| &located.problem)
    }
}

impl Diagnostic for Problems {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        let located = self.located.iter();
        Some(Box::new(located.map(|located| located as &dyn Diagnostic)))
    }
}

impl Diagnostic for Located {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let hint = self.problem.hint.as_deref()?;
        Some(Box::new(hint))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let (source, _) = self.place.as_ref()?;
        Some(source.as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, span) = self.place.as_ref()?;
        let label = LabeledSpan::new_primary_with_span(None, span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

impl Seam for Problems {
    fn exit(&self) -> ExitCode {
        ExitCode::Config
    }

    fn diagnostic(&self) -> Option<&dyn Diagnostic> {
        Some(self)
    }
}

fn count(problems: usize) -> String {
    match problems {
        1 => "a problem".to_owned(),
        _ => format!("{problems} problems"),
    }
}

/// The value, or a note of the problem.
pub(crate) fn kept<T>(result: Result<T, Problem>, found: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| found.push(problem)).ok()
}

/// The candidate that was probably meant by `word`.
pub(crate) fn meant<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c` as a sentence lists them.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let mut words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    let tail = words.pop().unwrap_or_default();
    if words.is_empty() {
        tail
    } else {
        format!("{} {last} {tail}", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{listed, meant};

    #[test]
    fn slips_of_the_pen_are_recognised_and_other_words_are_not() {
        let keys = ["path", "keys", "passthrough"];
        assert_eq!(meant("pth", keys), Some("path"));
        assert_eq!(meant("KEYS", keys), Some("keys"));
        assert_eq!(meant("pass_through", keys), Some("passthrough"));
        assert_eq!(meant("colour", keys), None);
        assert_eq!(meant("", keys), None);
    }

    #[test]
    fn words_are_listed_as_in_a_sentence() {
        assert_eq!(listed(["a"], "or"), "`a`");
        assert_eq!(listed(["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
