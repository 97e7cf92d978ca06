//! A job file exactly as it is written: what is scored, by which model, to where, and when.
//!
//! The doc comments here are also the descriptions in `configs/job.schema.json` and the hints of missing keys. Nothing
//! is checked beyond the form, nothing is read, and nothing depends on a machine; `validate` makes a `Job` of it.

mod rows;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use rows::{Action, MAX_BAD_FRACTION, MAX_BAD_ROWS, OnPrecisionLoss, Reason, RowActions, RowsSpec};

/// The form of job files that this program reads. A later form will have another number.
pub const VERSION: u32 = 1;

/// Form of a job's name: a `CronJob`'s name is cut at 52 characters, and folders and metrics carry it too.
pub const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9-]{0,51}$";

/// The alias that is scored unless the job says otherwise: moving it is a decision, a new version in the folder is not.
pub const MODEL_VERSION: &str = "champion";

/// The zone without gaps and repeated hours.
pub const TIMEZONE: &str = "UTC";

/// Names of files have five digits, and a partition of more files than this is a partition that nobody wants to open.
pub const MOST_FILES: usize = 10_000;

/// Offsets beyond a year are mistakes of sign or unit.
const MAX_OFFSET_DAYS: i32 = 366;

/// A week of downtime is made good; more is for a person to decide, with `backfill`.
pub const CATCHUP_MAX: usize = 7;

/// Input that is late by a long weekend is still found.
pub const RECONCILE_DAYS: u32 = 3;

/// Each of these days costs a look at its partition before every fire.
const MAX_RECONCILE_DAYS: u32 = 31;

/// A scoring job of batch-infer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "batch-infer job")]
pub struct JobSpec {
    /// Form of this file: 1.
    #[serde(default = "version")]
    pub version: u32,
    /// Name of the job, in folders, metrics and logs: lower-case letters, digits and hyphens, at most 52.
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// What is scored.
    pub input: InputSpec,
    /// The model that scores it.
    pub model: ModelSpec,
    /// Where predictions go.
    pub output: OutputSpec,
    /// What happens to rows that cannot be scored.
    #[serde(default)]
    pub rows: RowsSpec,
    /// When the daemon starts the job.
    #[serde(default)]
    pub schedule: Option<ScheduleSpec>,
}

/// What is scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// A Parquet file, a folder, a glob, or `s3://bucket/prefix`; may hold `{date}`, `{date_nodash}`, `{year}`, `{month}`,
    /// `{day}`.
    pub path: String,
    /// Columns that name a row. They travel to the output and are never null.
    pub keys: Vec<String>,
    /// Further columns that travel to the output as they are.
    #[serde(default)]
    pub passthrough: Vec<String>,
    /// Whether a column whose name differs only in case is taken under the name that the job or the model uses. Two such columns in one
    /// file are refused.
    #[serde(default)]
    pub case_insensitive: bool,
    /// Whether bytes of which a file does not say what they are count as UTF-8 text, as old Hive and Impala write text.
    #[serde(default)]
    pub binary_as_string: bool,
    /// Types of columns that stand in the path, such as `store` of `store=7/`. Such a column is text unless it stands here, and a feature
    /// parses it by its own dtype.
    #[serde(default)]
    pub path_types: BTreeMap<String, PathType>,
    /// What happens when the input has no rows: files without rows, or a folder that `_SUCCESS` marks as whole and that has no file.
    #[serde(default)]
    pub on_empty: OnEmpty,
    /// What happens when a writer has left signs that it has not finished, such as `_temporary/` or `part-0.parquet.tmp`, and no newer
    /// `_SUCCESS` beside them.
    #[serde(default)]
    pub unfinished: OnUnfinished,
    /// What happens when the input lies in a table, such as one of Delta, Iceberg, Hudi or Paimon, whose log says which files count.
    #[serde(default)]
    pub table_format: TableFormat,
    /// Endings of the files that are read, such as `["parquet"]`. Default: `.parquet`, `.parq` and `.pq`, and every file that begins and
    /// ends with the letters `PAR1`.
    #[serde(default)]
    pub extensions: Option<Vec<String>>,
    /// What happens when a file, or a part of it, cannot be decoded.
    #[serde(default)]
    pub on_corrupt_file: OnCorruptFile,
}

/// Type of a column that stands in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathType {
    /// Text, as it stands there.
    String,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A number.
    Float64,
    /// `true` or `false`.
    Bool,
    /// A day, `2026-11-19`.
    Date,
    /// An instant, `2026-11-19 10:00:00`.
    Timestamp,
}

impl fmt::Display for PathType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Bool => "bool",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        })
    }
}

/// What happens when the input has no rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnEmpty {
    /// A partition without rows is published, so that readers can tell an empty day from a missing one.
    #[default]
    PublishEmpty,
    /// The run fails with exit code 14, since the input is not ready.
    Fail,
}

/// What happens when a writer has not finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnfinished {
    /// The run fails with exit code 14, since the input is not ready.
    #[default]
    Fail,
    /// What is there is scored.
    Ignore,
}

/// What happens when the input lies in a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TableFormat {
    /// The run fails with exit code 12: the files also hold rows that the table has replaced or deleted.
    #[default]
    Refuse,
    /// Every file is read, as if it were a plain folder.
    Ignore,
}

/// What happens when a file, or a part of it, cannot be decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnCorruptFile {
    /// The run fails.
    #[default]
    Fail,
    /// The rows of a damaged row group are rejected and count against the limits. A file whose footer is damaged is left out and reported.
    Reject,
}

/// The model that scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The model registry: a folder, or `s3://bucket/prefix`.
    pub registry: String,
    /// Name of the model in the registry.
    pub name: String,
    /// A version, an alias, or `latest`.
    #[serde(default = "model_version")]
    pub version: String,
}

/// Where predictions go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The data set: a folder, or `s3://bucket/prefix`. A folder `date=YYYY-MM-DD` is made below it for each date.
    pub path: String,
    /// Where runs keep their records, beside the data set. Default: the path with `.batch-infer` after it.
    #[serde(default)]
    pub state: Option<String>,
    /// Whether an empty file `_SUCCESS` stands beside the data once it is whole. DuckDB, Polars, PyArrow, pandas and Spark do not need it.
    #[serde(default = "success_marker")]
    pub success_marker: bool,
    /// What happens when the date is published already.
    #[serde(default)]
    pub on_existing: OnExisting,
    /// Files that a partition is divided into. One is replaced in one step everywhere; several only on a local disk, and in a bucket one
    /// after the other, while `_SUCCESS` is away.
    #[serde(default = "files")]
    #[schemars(range(min = 1, max = MOST_FILES))]
    pub files: usize,
    /// Whether a file in the partition that something else wrote may be replaced.
    #[serde(default)]
    pub adopt_foreign: bool,
    /// Names of the columns that say where a prediction came from.
    #[serde(default)]
    pub columns: LineageNames,
}

/// What happens when the date is published already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExisting {
    /// The same plan is not repeated; another one, such as a new model or corrected input, replaces it.
    #[default]
    SkipSame,
    /// It is scored again and replaced, even by the same.
    Replace,
    /// The run fails with exit code 32.
    Fail,
}

/// Names of the columns that say where a prediction came from; an empty name drops the column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineageNames {
    /// Column with the name of the model.
    pub model_name: String,
    /// Column with the version of the model, never an alias.
    pub model_version: String,
    /// Column with the time of the inference, in microseconds UTC; one value for a whole date.
    pub inference_timestamp: String,
    /// Column with the run that wrote the row.
    pub run_id: String,
}

impl Default for LineageNames {
    fn default() -> Self {
        Self {
            model_name: "model_name".to_owned(),
            model_version: "model_version".to_owned(),
            inference_timestamp: "inference_timestamp".to_owned(),
            run_id: "run_id".to_owned(),
        }
    }
}

/// What becomes of fires that were missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Catchup {
    /// All dates are scored, oldest first, up to `catchup_max` of the newest.
    #[default]
    All,
    /// The newest date is scored.
    Latest,
    /// None is, and no fire looks at dates before it.
    None,
}

/// When the daemon starts the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// Five fields as in Kubernetes: minute, hour, day of month, month, day of week; or `@hourly`, `@daily`, `@weekly`,
    /// `@monthly`, `@yearly`.
    pub cron: String,
    /// IANA name of the zone in which the fields are meant.
    #[serde(default = "timezone")]
    pub timezone: String,
    /// Days from the day of the fire to the date that is scored: a fire on 2026-11-20 at 02:00 scores `date=2026-11-19`
    /// with -1 and `date=2026-11-20` with 0.
    #[schemars(range(min = -MAX_OFFSET_DAYS, max = MAX_OFFSET_DAYS))]
    pub date_offset_days: i32,
    /// What becomes of fires that were missed while no daemon ran: `all` dates are scored, oldest first, or only the `latest`, or `none`.
    #[serde(default)]
    pub catchup: Catchup,
    /// Most dates that are caught up, the newest, and most that wait while a run is under way.
    #[serde(default = "catchup_max")]
    #[schemars(range(min = 1))]
    pub catchup_max: usize,
    /// Age beyond which a missed fire is given up, such as `36h`. Default: none, since a date stays worth scoring.
    #[serde(default)]
    pub misfire_grace: Option<String>,
    /// Time over which starts are spread, such as `10m`: each date starts a fixed part of it later. Default: none.
    #[serde(default)]
    pub jitter: Option<String>,
    /// Days before the date of a fire in which dates of earlier fires are scored first, if they were never published and their input is there.
    /// Default: 3; with `catchup = "none"` 0, since it would bring back what that leaves out.
    #[serde(default)]
    #[schemars(range(max = MAX_RECONCILE_DAYS))]
    pub reconcile_days: Option<u32>,
}

fn catchup_max() -> usize {
    CATCHUP_MAX
}

fn success_marker() -> bool {
    true
}

fn files() -> usize {
    1
}

fn version() -> u32 {
    VERSION
}

fn model_version() -> String {
    MODEL_VERSION.to_owned()
}

fn timezone() -> String {
    TIMEZONE.to_owned()
}
