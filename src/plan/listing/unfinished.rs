//! Signs of a write that has not finished: what writers and transfer programs leave in a folder while they work, and remove when they are done.
//!
//! A sign does not count where a `_SUCCESS` newer than it stands in the same folder: then it was left behind. An older `_SUCCESS` says nothing,
//! since an append leaves it in place. Names that begin with `.` are never signs; they are hidden, and named as what is passed over.

use chrono::{DateTime, Utc};

/// The marker of a folder that is whole.
pub(super) const SUCCESS: &str = "_SUCCESS";

/// How a name is recognised.
enum Rule {
    /// A folder of that name.
    Folder(&'static str),
    /// A folder whose name begins so.
    FolderPrefix(&'static str),
    /// A file whose name ends so, in any case; what stands before it is the name that the file will have.
    Suffix(&'static str),
    /// A file whose name holds this after the name that it will have.
    Infix(&'static str),
    /// A Parquet file whose name begins so.
    Prefix(&'static str),
    /// A Parquet file's name with something behind it that this function recognises.
    Behind(fn(&str) -> bool),
}

/// The signs, and who leaves them.
const SIGNS: &[(Rule, &str)] = &[
    (
        Rule::Folder("_temporary"),
        "Hadoop and Spark, FileOutputCommitter.PENDING_DIR_NAME",
    ),
    (
        Rule::Folder("__magic"),
        "the S3A magic committer up to Hadoop 3.3, CommitConstants.MAGIC",
    ),
    (
        Rule::FolderPrefix("__magic_job-"),
        "the S3A magic committer since Hadoop 3.4, CommitConstants.MAGIC_PATH_PREFIX",
    ),
    (Rule::FolderPrefix("_tmp."), "Hive, Utilities.toTempPath"),
    (Rule::FolderPrefix("_task_tmp."), "Hive, Utilities.toTaskTempPath"),
    (Rule::FolderPrefix("-ext-"), "Hive, Context.EXT_PREFIX"),
    (Rule::Folder("_impala_insert_staging"), "Impala, HdfsTableSink"),
    (Rule::Folder("+tmp"), "Kafka Connect HDFS, FileUtils.TEMPFILE_DIRECTORY"),
    (
        Rule::Suffix("._COPYING_"),
        "hdfs dfs -put and -cp, CommandWithDestination",
    ),
    (
        Rule::Suffix(".inprogress"),
        "Flink, OutputStreamBasedPartFileWriter, where a prefix hides the dot",
    ),
    (Rule::Infix(".inprogress."), "the same, with its identifier behind"),
    (Rule::Suffix(".in-progress"), "Flink's BucketingSink"),
    (Rule::Suffix(".pending"), "Flink's BucketingSink"),
    (
        Rule::Suffix(".tmp"),
        "Flume, DuckDB up to 0.9, and most programs that rename a file when it is whole",
    ),
    (Rule::Suffix(".temp"), "the same"),
    (
        Rule::Prefix("tmp_"),
        "DuckDB since 0.10, COPY with use_tmp_file, which is the default over a file that exists",
    ),
    (Rule::Suffix(".part"), "Firefox, curl-like download programs, Nextcloud"),
    (Rule::Suffix(".part.minio"), "mc and the SDKs of MinIO"),
    (Rule::Suffix(".partial"), "rclone, --partial-suffix"),
    (Rule::Suffix(".crdownload"), "Chrome and Edge"),
    (Rule::Suffix(".opdownload"), "Opera"),
    (Rule::Suffix(".download"), "Safari"),
    (Rule::Suffix(".aria2"), "aria2, beside the file that it fetches"),
    (Rule::Suffix(".filepart"), "WinSCP"),
    (
        Rule::Suffix(".gstmp"),
        "gsutil and gcloud storage, `_.gstmp` behind the name",
    ),
    (Rule::Suffix(".incomplete"), "huggingface_hub"),
    (
        Rule::Behind(is_random_of_aws),
        "the AWS CLI and boto3, s3transfer.utils.random_file_extension: eight hex digits",
    ),
    (
        Rule::Behind(is_staged_upload),
        "object_store on a local disk, and so delta-rs, Polars and DataFusion: `#` and a number",
    ),
];

/// Prefixes of the pair of files by which Databricks says that a transaction has begun and that it was committed.
const STARTED: &str = "_started_";
const COMMITTED: &str = "_committed_";

/// A sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sign {
    /// Its name below the folder that was listed.
    pub(super) name: String,
    /// The folder in which it stands.
    pub(super) folder: String,
    /// When it was written.
    pub(super) modified: DateTime<Utc>,
}

/// Whether a folder of that name is one in which a writer works.
pub(super) fn is_folder_sign(name: &str) -> bool {
    SIGNS.iter().any(|(rule, _)| match rule {
        Rule::Folder(folder) => name == *folder,
        Rule::FolderPrefix(prefix) => name.starts_with(prefix),
        _ => false,
    })
}

/// The name that a file will have once it is whole, where its name is that of an unfinished one.
pub(super) fn finished_name(name: &str) -> Option<&str> {
    if name.starts_with('.') {
        return None;
    }
    SIGNS.iter().find_map(|(rule, _)| match rule {
        Rule::Folder(_) | Rule::FolderPrefix(_) => None,
        Rule::Suffix(suffix) => {
            let start = name.len().checked_sub(suffix.len()).filter(|start| *start > 0)?;
            let (finished, ending) = name.split_at_checked(start)?;
            ending.eq_ignore_ascii_case(suffix).then_some(finished)
        }
        Rule::Infix(infix) => Some(name.split_once(infix)?.0).filter(|finished| !finished.is_empty()),
        Rule::Prefix(prefix) => name.strip_prefix(prefix).filter(|rest| super::names::is_parquet(rest)),
        Rule::Behind(recognised) => {
            let (finished, rest) = behind_parquet(name)?;
            recognised(rest).then_some(finished)
        }
    })
}

/// A Parquet file's name, and what stands behind it.
fn behind_parquet(name: &str) -> Option<(&str, &str)> {
    let starts = name.match_indices(['.', '#', '%']).map(|(at, _)| at);
    starts
        .filter(|at| super::names::is_parquet(&name[..*at]))
        .map(|at| name.split_at(at))
        .next_back()
}

fn is_random_of_aws(rest: &str) -> bool {
    let digits = rest.strip_prefix('.').unwrap_or_default();
    // Eight digits without a letter are a date, and one random ending in fifty.
    let has_letter = digits.bytes().any(|byte| byte.is_ascii_alphabetic());
    digits.len() == 8 && has_letter && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `#` stands in percent form in the paths of a store.
fn is_staged_upload(rest: &str) -> bool {
    let number = rest.strip_prefix('#').or_else(|| rest.strip_prefix("%23"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The name of the file that ends the transaction that this one begins.
pub(super) fn committed_name(name: &str) -> Option<String> {
    let transaction = name.strip_prefix(STARTED)?;
    Some(format!("{COMMITTED}{transaction}"))
}

/// Whether a file says how a transaction stands, and is no data.
pub(super) fn is_transaction(name: &str) -> bool {
    name.starts_with(STARTED) || name.starts_with(COMMITTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_are_known_by_their_names() {
        for (name, finished) in [
            ("a.parquet.tmp", "a.parquet"),
            ("a.TMP", "a"),
            ("a.parquet._COPYING_", "a.parquet"),
            ("_part-0-0.in-progress", "_part-0-0"),
            ("part-0-0.inprogress.6e1d", "part-0-0"),
            ("tmp_a.parquet", "a.parquet"),
            ("a.parquet.crdownload", "a.parquet"),
            ("a.parquet.1f00c0de.partial", "a.parquet.1f00c0de"),
            ("a.parquet.6eF5b5dA", "a.parquet"),
            ("a.parquet_.gstmp", "a.parquet_"),
            ("a.parquet#1", "a.parquet"),
            ("a.parquet%231", "a.parquet"),
        ] {
            assert_eq!(finished_name(name), Some(finished), "{name}");
        }
    }

    #[test]
    fn whole_files_and_hidden_names_are_no_signs() {
        for name in [
            "a.parquet",
            "a.snappy.parquet",
            "a.parquet.snappy",
            ".a.parquet.tmp",
            ".part-0.inprogress.6e1d",
            ".tmp",
            "tmp_a.csv",
            "tmp.parquet",
            "a.parquet.20261119",
            "part-00000.c000",
            "deadbeef",
            "department",
        ] {
            assert_eq!(finished_name(name), None, "{name}");
        }
    }

    #[test]
    fn folders_in_which_writers_work_are_known_by_their_names() {
        for name in [
            "_temporary",
            "__magic",
            "__magic_job-1f",
            "_tmp.-ext-10000",
            "-ext-10000",
            "+tmp",
        ] {
            assert!(is_folder_sign(name), "{name}");
        }
        for name in [
            "_temporary=1",
            "temporary",
            "_old",
            ".hive-staging_1",
            ".spark-staging-1",
        ] {
            assert!(!is_folder_sign(name), "{name}");
        }
    }

    #[test]
    fn transaction_that_has_begun_is_ended_by_its_own_number() {
        assert_eq!(committed_name("_started_42").as_deref(), Some("_committed_42"));
        assert_eq!(committed_name("_committed_42"), None);
    }
}
