//! A place that a job names: a path on this machine, or a prefix in a bucket.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};

use crate::problem::Problem;

/// Longest path or prefix in bytes; S3 allows no more for a key, and chunks and dates come on top of it only locally.
const MAX_BYTES: usize = 1_024;

/// Longest name of a file or folder on the file systems of this world.
const LONGEST_NAME: usize = 255;

/// Characters that make a path a pattern.
const PATTERN_CHARACTERS: [char; 3] = ['*', '?', '['];

/// A place that a job names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A path; where it is relative, to the folder the command is run in.
    Local(PathBuf),
    /// A prefix in a bucket, without a slash at its ends.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix; empty for the whole bucket.
        prefix: String,
    },
}

impl Location {
    /// Reads a path or an `s3://` URL; `key` names it in the problem.
    pub fn parse(key: &str, text: &str) -> Result<Self, Problem> {
        if text.trim().is_empty() {
            return Err(Problem::new(key, "is empty"));
        }
        if text.contains(unseen) {
            let fault = format!("holds a character that nobody sees: `{}`", text.escape_default());
            return Err(Problem::new(key, fault));
        }
        if text.len() > MAX_BYTES {
            let fault = format!("is {} bytes long, expected at most {MAX_BYTES}", text.len());
            return Err(Problem::new(key, fault));
        }
        match text.split_once("://") {
            Some(("s3", rest)) => Self::bucket(key, rest),
            Some((scheme, _)) => Err(other_scheme(key, scheme)),
            None => Self::path(key, text),
        }
    }

    fn bucket(key: &str, rest: &str) -> Result<Self, Problem> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains(['@', ':']) {
            let problem = Problem::new(key, "holds something other than a bucket after s3://");
            return Err(problem.hint("credentials come from the environment, the endpoint from `storage.endpoint`"));
        }
        if bucket.is_empty() {
            return Err(Problem::new(key, "names no bucket").hint("expected s3://bucket/prefix"));
        }
        if !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) || matches!(bucket, "." | "..") {
            let problem = Problem::new(key, format!("names the bucket `{bucket}`, which cannot be one"));
            return Err(problem.hint("buckets have letters, digits, dots, hyphens and underscores"));
        }
        if is_query(prefix) {
            let problem = Problem::new(key, "holds the query of a URL");
            return Err(problem.hint("signed URLs are not read; name the bucket and the prefix alone, and give credentials in the environment"));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let mut segments = prefix.split('/');
        if !prefix.is_empty() && segments.any(|segment| matches!(segment, "" | "." | "..")) {
            let problem = Problem::new(key, "holds an empty segment, `.` or `..`");
            return Err(problem.hint("a bucket has no folders to go up or stay in; write the prefix out"));
        }
        Ok(Self::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    fn path(key: &str, text: &str) -> Result<Self, Problem> {
        if text == "~" || text.starts_with("~/") {
            return Err(
                Problem::new(key, "starts with `~`, which only a shell understands").hint("write the folder out")
            );
        }
        let names = text.strip_prefix("./").unwrap_or(text);
        let names = names.strip_suffix('/').unwrap_or(names);
        let names = names.strip_prefix('/').unwrap_or(names);
        // Twice the same place in two spellings would be two places to whoever compares them.
        if text != "." && !names.is_empty() && names.split('/').any(|name| matches!(name, "" | ".")) {
            let problem = Problem::new(key, "holds an empty segment or `.`");
            return Err(problem.hint("write the path with one slash between its folders, such as `a/b`"));
        }
        if let Some(long) = names.split('/').find(|name| name.len() > LONGEST_NAME) {
            let fault = format!("holds a name of {} bytes, expected at most {LONGEST_NAME}", long.len());
            return Err(Problem::new(key, fault));
        }
        // Components leave out what says nothing: `./` at the start and a slash at the end.
        let components = Path::new(text).components().filter(|part| *part != Component::CurDir);
        let path: PathBuf = components.collect();
        if path.components().any(|part| part == Component::ParentDir) {
            let problem = Problem::new(key, "holds `..`");
            return Err(problem.hint("write a path below the folder the command is run in, or an absolute one"));
        }
        Ok(Self::Local(if path.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            path
        }))
    }

    /// The place whose last name has the suffix behind it; `None` where there is no last name.
    pub(super) fn with_suffix(&self, suffix: &str) -> Option<Self> {
        match self {
            Self::Local(path) => {
                let mut name = path.file_name()?.to_owned();
                name.push(suffix);
                Some(Self::Local(path.with_file_name(name)))
            }
            Self::S3 { prefix, .. } if prefix.is_empty() => None,
            Self::S3 { bucket, prefix } => Some(Self::S3 {
                bucket: bucket.clone(),
                prefix: format!("{prefix}{suffix}"),
            }),
        }
    }

    /// What is wrong with it as a pattern.
    pub(super) fn pattern_error(&self) -> Option<PatternError> {
        self.segments().iter().find_map(|segment| Pattern::new(segment).err())
    }

    /// Refuses a pattern where one place is meant.
    pub(super) fn refuse_pattern(&self, key: &str) -> Result<(), Problem> {
        let segments = self.segments();
        let Some(found) = segments
            .iter()
            .find_map(|segment| segment.chars().find(|c| PATTERN_CHARACTERS.contains(c)))
        else {
            return Ok(());
        };
        let problem = Problem::new(key, format!("holds `{found}`, and it must name one place"));
        Err(problem.hint("only `input.path` may be a pattern"))
    }

    /// True when both are the same place or one lies in the other. `self` is plain, `other` may be a pattern.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let roots = match (self, other) {
            (Self::Local(_), Self::Local(_)) => true,
            (Self::S3 { bucket: a, .. }, Self::S3 { bucket: b, .. }) => a == b,
            _ => false,
        };
        let (mine, theirs) = (self.segments(), other.segments());
        // `**` stands for any number of names, so what comes after it says nothing here.
        let theirs = theirs.iter().take_while(|name| *name != "**");
        roots && mine.iter().zip(theirs).all(|(mine, theirs)| may_match(theirs, mine))
    }

    /// Names between the slashes.
    fn segments(&self) -> Vec<String> {
        match self {
            Self::Local(path) => {
                // Relative and absolute paths are compared by where they lead from this folder.
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let names = path.components().filter_map(|part| match part {
                    Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                    _ => None,
                });
                names.collect()
            }
            Self::S3 { prefix, .. } => {
                let names = prefix.split('/').filter(|name| !name.is_empty());
                names.map(str::to_owned).collect()
            }
        }
    }
}

/// True when the segment of a pattern may stand for the name.
fn may_match(segment: &str, name: &str) -> bool {
    let options = MatchOptions::default();
    segment == name || Pattern::new(segment).is_ok_and(|pattern| pattern.matches_with(name, options))
}

/// True for characters that a terminal does not show, or shows somewhere else: a path with one is not the path that its reader sees.
pub fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// True for `?name=value`, which is no pattern and no name of an object, but a part of a signed URL.
fn is_query(prefix: &str) -> bool {
    prefix.match_indices('?').any(|(at, _)| {
        let name = prefix[at + 1..].split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    })
}

fn other_scheme(key: &str, scheme: &str) -> Problem {
    let problem = Problem::new(
        key,
        format!("has the scheme `{scheme}`, expected a path or s3://bucket/prefix"),
    );
    match scheme {
        "s3a" | "s3n" | "S3" => problem.hint("write s3://"),
        "file" => problem.hint("write the path without `file://`"),
        "http" | "https" => problem.hint("name the server in `storage.endpoint` and the bucket as s3://bucket/prefix"),
        _ => problem,
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Location;

    fn at(text: &str) -> Location {
        Location::parse("p", text).unwrap()
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        assert_eq!(at("./a/b/c/").to_string(), "a/b/c");
        assert_eq!(at("/a/").to_string(), "/a");
        assert_eq!(at(".").to_string(), ".");
        assert_eq!(at("s3://bucket/a/b/").to_string(), "s3://bucket/a/b");
        assert_eq!(at("s3://bucket").to_string(), "s3://bucket");
    }

    #[test]
    fn places_that_cannot_be_are_refused() {
        let long = "a".repeat(1_025);
        let refused = [
            "",
            " ",
            "a/../b",
            "..",
            "~/a",
            "a\nb",
            "s3://",
            "s3:///a",
            "a//b",
            "a/./b",
            "//a",
            "a//",
            "././a",
            "a/\u{202e}b",
            "a\u{200b}",
            "s3://b//a",
            "s3://b c/a",
            "s3://%2e%2e/a",
            "s3://../a",
            "s3://b/a?X-Amz-Signature=0",
            "s3://b/a/../c",
            "s3://key:secret@b/a",
            "gs://b/a",
            "file:///a",
            &long,
        ];
        for text in refused {
            assert!(Location::parse("p", text).is_err(), "{text}");
        }
    }

    #[test]
    fn pattern_with_a_question_mark_is_no_query() {
        for text in ["s3://b/date=1/part-?.parquet", "s3://b/a?/c=1", "s3://b/??"] {
            assert_eq!(at(text).to_string(), text);
        }
    }

    #[test]
    fn dots_inside_a_name_are_part_of_the_name() {
        assert_eq!(at("a..b/c").to_string(), "a..b/c");
    }

    #[test]
    fn a_place_overlaps_with_what_is_in_it_and_around_it() {
        for (a, b) in [
            ("a", "a"),
            ("a", "a/b"),
            ("a/b", "a"),
            (".", "a"),
            ("a/b", "a/*"),
            ("a/b", "**/x"),
            ("a", "*/date=2026-01-01/x.parquet"),
            ("s3://b/a", "s3://b/a/c"),
            ("s3://b", "s3://b/a"),
        ] {
            assert!(at(a).overlaps(&at(b)), "{a} {b}");
        }
        for (a, b) in [
            ("a", "ab"),
            ("a/b", "a/c"),
            ("a", "a.batch-infer"),
            ("a/b", "a/x-*/c"),
            ("/a", "a"),
            ("s3://b/a", "s3://c/a"),
            ("s3://b/a", "b/a"),
        ] {
            assert!(!at(a).overlaps(&at(b)), "{a} {b}");
        }
    }

    #[test]
    fn suffix_is_put_behind_the_last_name() {
        assert_eq!(at("p/fraud").with_suffix(".s"), Some(at("p/fraud.s")));
        assert_eq!(at("p/fraud.v1").with_suffix(".s"), Some(at("p/fraud.v1.s")));
        assert_eq!(at("s3://b/p").with_suffix(".s"), Some(at("s3://b/p.s")));
        assert_eq!(at("s3://b").with_suffix(".s"), None);
        assert_eq!(at(".").with_suffix(".s"), None);
        assert_eq!(at("/").with_suffix(".s"), None);
    }
}
