//! A difference between a file and what a job and its contract ask for, and the rule that decided.

use std::collections::HashMap;
use std::fmt;

/// One difference between a file and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The file, below the input.
    pub file: String,
    /// The column.
    pub column: String,
    /// What is asked for.
    pub expected: String,
    /// What the file has.
    pub found: String,
    /// The rule that decided.
    pub rule: Rule,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

/// Rules by which a file's columns are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Each column that is asked for is there, and is never filled in.
    Missing,
    /// Names are compared by case.
    Case,
    /// A name stands once in a file.
    Duplicate,
    /// Values are taken as they are or widened; what would lose something needs a cast in the contract.
    Narrowing,
    /// Lists are of the contract's width and of numbers.
    List,
    /// Derived columns are expressions over the file's columns.
    Derived,
    /// All files of a date give one type to a column.
    Files,
    /// A null is bad where nothing can stand for it.
    Nulls,
    /// The text of a folder `name=value` is of the type in which it is taken.
    Folder,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing column",
            Self::Case => "other case",
            Self::Duplicate => "duplicate column",
            Self::Narrowing => "narrowing",
            Self::List => "list",
            Self::Derived => "derived column",
            Self::Files => "files differ",
            Self::Nulls => "nulls",
            Self::Folder => "column of the path",
        })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: column `{}`: expected {}, found {} [{}]",
            self.file, self.column, self.expected, self.found, self.rule
        )
    }
}

/// Differences to print before the rest is only counted.
const SHOWN: usize = 20;

/// What to do about all of the differences, where that is one thing. It is told once, and not with each of them.
pub(super) fn one_hint(mismatches: &[Mismatch]) -> Option<String> {
    let (first, others) = mismatches.split_first()?;
    let is_shared = others.iter().all(|other| other.hint == first.hint);
    first.hint.clone().filter(|_| is_shared)
}

/// The differences as lines. Files that differ in the same way are told of together.
pub(super) fn listed(mismatches: &[Mismatch]) -> String {
    let is_told_once = one_hint(mismatches).is_some();
    let mut groups: Vec<(&Mismatch, usize)> = Vec::new();
    let mut known = HashMap::new();
    for mismatch in mismatches {
        let kind = (&mismatch.column, &mismatch.expected, &mismatch.found);
        let group = *known.entry(kind).or_insert_with(|| {
            groups.push((mismatch, 0));
            groups.len() - 1
        });
        groups[group].1 += 1;
    }
    let line = |(mismatch, files): &(&Mismatch, usize)| {
        let others = match files {
            1 => String::new(),
            2 => "; the same in one more file".to_owned(),
            files => format!("; the same in {} more files", files - 1),
        };
        match (&mismatch.hint, is_told_once) {
            (Some(hint), false) => format!("  - {mismatch}{others} ({hint})"),
            _ => format!("  - {mismatch}{others}"),
        }
    };
    let mut lines: Vec<_> = groups.iter().take(SHOWN).map(line).collect();
    if groups.len() > SHOWN {
        lines.push(format!("  - and {} more", groups.len() - SHOWN));
    }
    lines.join("\n")
}
