//! Which names below a folder the input means: all of them, or those that match a glob. One rule for hidden names holds for both.
//!
//! `*` does not cross a folder, as in a shell; `**` does. A name that begins with `_` (without `=`) or with `.` is hidden: writers keep there
//! what is not data. It is taken only where the pattern spells that character.

use glob::{MatchOptions, Pattern as Glob, PatternError};

const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A pattern below the folder that is listed.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    /// Folders below the listed one down to the one that is the date's.
    date_depth: usize,
}

#[derive(Debug)]
enum Part {
    /// `**`: any number of folders, or, as the last part, all that is below.
    Any,
    /// A name.
    Name(Glob),
}

/// How hidden names are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    /// Where the pattern spells them.
    Spelled,
    /// As any other name.
    Taken,
}

impl Pattern {
    /// All that is below the folder.
    pub(super) fn all() -> Self {
        Self {
            parts: vec![Part::Any],
            date_depth: 0,
        }
    }

    /// A glob below the folder; `dates` are the forms of the date, by which its folder is known.
    pub(super) fn of(text: &str, dates: &[String]) -> Result<Self, PatternError> {
        let texts: Vec<_> = text.split('/').filter(|part| !part.is_empty()).collect();
        let folders = &texts[..texts.len().saturating_sub(1)];
        let date_depth = folders
            .iter()
            .rposition(|folder| dates.iter().any(|date| folder.contains(date)))
            .map_or(0, |at| at + 1);
        let parts = texts.iter().map(|text| match *text {
            "**" => Ok(Part::Any),
            text => Glob::new(text).map(Part::Name),
        });
        Ok(Self {
            parts: parts.collect::<Result<_, _>>()?,
            date_depth,
        })
    }

    /// Whether a file of that name is meant.
    pub(super) fn matches(&self, name: &str, hidden: Hidden) -> bool {
        matches(&self.parts, &parts_of(name), hidden)
    }

    /// Whether a file somewhere below a folder of that name can be meant.
    pub(super) fn reaches(&self, folder: &str, hidden: Hidden) -> bool {
        reaches(&self.parts, &parts_of(folder), hidden)
    }

    /// Whether a folder is the date's own or lies in it, and not above it, where other dates lie, too.
    pub(super) fn is_in_date(&self, folder: &str) -> bool {
        parts_of(folder).len() >= self.date_depth
    }

    /// Whether a folder is the date's own.
    pub(super) fn is_date(&self, folder: &str) -> bool {
        parts_of(folder).len() == self.date_depth && self.reaches(folder, Hidden::Spelled)
    }
}

fn parts_of(name: &str) -> Vec<&str> {
    name.split('/').filter(|part| !part.is_empty()).collect()
}

fn matches(pattern: &[Part], names: &[&str], hidden: Hidden) -> bool {
    match (pattern.split_first(), names.split_first()) {
        (None, None) => true,
        (None, Some(_)) | (Some((Part::Name(_), _)), None) => false,
        (Some((Part::Any, [])), _) => !names.is_empty() && names.iter().all(|name| passes(name, hidden)),
        (Some((Part::Any, rest)), None) => matches(rest, names, hidden),
        (Some((Part::Any, rest)), Some((name, names_left))) => {
            matches(rest, names, hidden) || (passes(name, hidden) && matches(pattern, names_left, hidden))
        }
        (Some((Part::Name(glob), rest)), Some((name, names_left))) => {
            fits(glob, name, hidden) && matches(rest, names_left, hidden)
        }
    }
}

fn reaches(pattern: &[Part], folders: &[&str], hidden: Hidden) -> bool {
    match (pattern.split_first(), folders.split_first()) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some((Part::Any, rest)), Some((folder, left))) => {
            (passes(folder, hidden) && reaches(pattern, left, hidden)) || reaches(rest, folders, hidden)
        }
        (Some((Part::Name(glob), rest)), Some((folder, left))) => {
            fits(glob, folder, hidden) && reaches(rest, left, hidden)
        }
    }
}

/// Whether a name that the pattern does not spell is taken.
fn passes(name: &str, hidden: Hidden) -> bool {
    hidden == Hidden::Taken || !is_hidden(name)
}

fn fits(glob: &Glob, name: &str, hidden: Hidden) -> bool {
    glob.matches_with(name, MATCH) && (passes(name, hidden) || spells(glob.as_str(), name))
}

/// Whether a pattern names the first character of a name, by itself or in brackets.
fn spells(pattern: &str, name: &str) -> bool {
    let Some(first) = name.chars().next() else {
        return false;
    };
    let Some(class) = pattern.strip_prefix('[') else {
        return pattern.starts_with(first);
    };
    !class.starts_with('!') && class.split(']').next().is_some_and(|class| class.contains(first))
}

/// Whether writers keep under such a name what is not data.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

/// The part of a path up to its first hidden name.
pub(super) fn up_to_hidden(name: &str) -> Option<&str> {
    let mut end = 0;
    for part in name.split('/') {
        end += part.len();
        if is_hidden(part) {
            return Some(&name[..end]);
        }
        end += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::of(text, &["2026-11-19".to_owned()]).unwrap()
    }

    #[test]
    fn hidden_names_are_taken_where_the_pattern_spells_them() {
        for (text, taken, left) in [
            ("**/*.parquet", "a.parquet", "_a.parquet"),
            ("**/*.parquet", "x/y/a.parquet", "x/_y/a.parquet"),
            ("**/*.parquet", "_region=eu/a.parquet", ".region=eu/a.parquet"),
            ("*.parquet", "a.parquet", ".a.parquet"),
            ("_*/*.parquet", "_old/a.parquet", "_old/_a.parquet"),
            ("**/_old/*.parquet", "x/_old/a.parquet", "_x/_old/a.parquet"),
            ("[_a]*/*", "_old/a", "_old/.a"),
            (".*", ".a", "a"),
            ("[!x]*", "a", "_a"),
            ("?old/a", "xold/a", "_old/a"),
            ("**", "a/b", "a/.b"),
        ] {
            let pattern = pattern(text);
            assert!(pattern.matches(taken, Hidden::Spelled), "{text} {taken}");
            assert!(!pattern.matches(left, Hidden::Spelled), "{text} {left}");
        }
        assert!(pattern("**/*.parquet").matches("_old/a.parquet", Hidden::Taken));
    }

    #[test]
    fn components_match_as_in_a_shell() {
        for (text, name, expected) in [
            ("*.parquet", "x/a.parquet", false),
            ("**/a", "a", true),
            ("x/**", "x", false),
            ("x/**", "x/a", true),
            ("x/**/y/*", "x/y/a", true),
            ("x/**/y/*", "x/1/2/y/a", true),
            ("x/*/a", "x/a", false),
        ] {
            assert_eq!(pattern(text).matches(name, Hidden::Spelled), expected, "{text} {name}");
        }
    }

    #[test]
    fn folders_are_entered_where_something_in_them_can_match() {
        for (text, folder, expected) in [
            ("*.parquet", "", true),
            ("*.parquet", "x", false),
            ("x*/y/*", "x1", true),
            ("x*/y/*", "x1/y", true),
            ("x*/y/*", "x1/z", false),
            ("x*/y/*", "z", false),
            ("**/*.parquet", "a/b", true),
            ("**/*.parquet", "a/_b", false),
            ("**", "_a", false),
        ] {
            assert_eq!(
                pattern(text).reaches(folder, Hidden::Spelled),
                expected,
                "{text} {folder}"
            );
        }
    }

    #[test]
    fn folder_of_the_date_is_the_last_that_names_it() {
        let below = pattern("*/date=2026-11-19/*/x.parquet");
        assert!(!below.is_in_date("") && !below.is_in_date("a"));
        assert!(below.is_in_date("a/date=2026-11-19") && below.is_in_date("a/date=2026-11-19/b"));
        assert!(below.is_date("a/date=2026-11-19") && !below.is_date("a/date=2026-11-20"));
        assert!(
            pattern("2026-11-19*.parquet").is_date(""),
            "names of files are no folders"
        );
        assert!(Pattern::all().is_date("") && !Pattern::all().is_date("a"));
    }

    #[test]
    fn hidden_part_of_a_path_is_its_first() {
        assert_eq!(up_to_hidden("a/_b/.c/d"), Some("a/_b"));
        assert_eq!(up_to_hidden("a/_b=1/c"), None);
        assert_eq!(up_to_hidden("_a"), Some("_a"));
    }
}
