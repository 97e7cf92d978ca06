//! What the last part of a name says: Parquet, what writers leave beside it, or nothing, so that the file itself must be asked.

use super::table::{DELTA_LOG, HUDI_TIMELINE, STREAM_LOG};
use super::unfinished::{SUCCESS, is_transaction};

/// Endings of Parquet files, in any case.
const PARQUET: [&str; 3] = ["parquet", "parq", "pq"];

/// Files that writers and file browsers leave beside data. They hold no rows, so that passing them over is not worth a word.
const COMPANIONS: [&str; 7] = [
    SUCCESS,
    "_metadata",
    "_common_metadata",
    ".hoodie_partition_metadata",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
];

/// Folders with the logs of tables and streams, which hold no rows either.
const COMPANION_FOLDERS: [&str; 4] = [DELTA_LOG, HUDI_TIMELINE, STREAM_LOG, "_symlink_format_manifest"];

/// Endings of files that hold no rows: checksums of Hadoop, and the markers of folders that its clients leave in buckets.
const COMPANION_ENDINGS: [&str; 2] = [".crc", "_$folder$"];

/// What a name says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is input: where it is not Parquet, it is damaged.
    Input,
    /// The letters at its ends decide.
    Undecided,
    /// The job does not take such endings.
    OtherEnding,
    /// It is there for other purposes than holding rows.
    Companion,
}

/// What a file's name says, without its folders.
pub(super) fn meaning(name: &str, extensions: Option<&[String]>) -> Meaning {
    if is_companion(name) {
        return Meaning::Companion;
    }
    match extensions {
        Some(extensions) if extensions.iter().any(|extension| has_ending(name, extension)) => Meaning::Input,
        Some(_) => Meaning::OtherEnding,
        None if is_parquet(name) => Meaning::Input,
        None => Meaning::Undecided,
    }
}

/// Whether a name is that of a Parquet file.
pub(super) fn is_parquet(name: &str) -> bool {
    PARQUET.iter().any(|ending| has_ending(name, ending))
}

fn has_ending(name: &str, ending: &str) -> bool {
    let start = name.len().checked_sub(ending.len() + 1);
    let split = start.and_then(|start| name.split_at_checked(start));
    split.is_some_and(|(_, last)| last.starts_with('.') && last[1..].eq_ignore_ascii_case(ending))
}

/// Whether a name, of a file or of a folder, stands for something that writers leave and that holds no rows.
pub(super) fn is_companion(name: &str) -> bool {
    COMPANIONS.contains(&name)
        || COMPANION_FOLDERS.contains(&name)
        || COMPANION_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || is_transaction(name)
}

/// The ending by which files that are no input are told apart, where it looks like one.
pub(super) fn ending(name: &str) -> Option<String> {
    let (_, ending) = name.rsplit_once('.')?;
    let looks_so = (1..=8).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    looks_so.then(|| ending.to_ascii_lowercase())
}

/// The last part of a name, and the folder before it.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_of_parquet_are_input_in_any_case() {
        for name in ["a.parquet", "a.PARQ", "a.snappy.parquet", "x.Pq", ".parquet"] {
            assert_eq!(meaning(name, None), Meaning::Input, "{name}");
        }
        for name in ["a", "a.parquet.snappy", "parquet", "apq", "notes.txt", "ä"] {
            assert_eq!(meaning(name, None), Meaning::Undecided, "{name}");
        }
    }

    #[test]
    fn job_narrows_what_is_input() {
        let wanted = ["snappy".to_owned(), "gz.parquet".to_owned()];
        for (name, meant) in [
            ("a.snappy", Meaning::Input),
            ("a.GZ.parquet", Meaning::Input),
            ("a.parquet", Meaning::OtherEnding),
            ("snappy", Meaning::OtherEnding),
            ("_SUCCESS", Meaning::Companion),
        ] {
            assert_eq!(meaning(name, Some(&wanted)), meant, "{name}");
        }
    }

    #[test]
    fn what_every_writer_leaves_is_a_companion() {
        for name in [
            "_SUCCESS",
            "_metadata",
            ".a.parquet.crc",
            "_committed_1",
            "_delta_log",
            "a_$folder$",
        ] {
            assert!(is_companion(name), "{name}");
        }
        for name in ["_SUCCESSES", "a.parquet", "_old", "crc"] {
            assert!(!is_companion(name), "{name}");
        }
    }
}
