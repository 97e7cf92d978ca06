//! A job file exactly as it is written: what is scored, by which model, to where, and when.
//!
//! The doc comments here are also the descriptions in `configs/job.schema.json` and the hints of missing keys. Nothing
//! is checked beyond the form, nothing is read, and nothing depends on a machine; `validate` makes a `Job` of it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The form of job files that this program reads. A later form will have another number.
pub const VERSION: u32 = 1;

/// Form of a job's name: a `CronJob`'s name is cut at 52 characters, and folders and metrics carry it too.
pub const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9-]{0,51}$";

/// The alias that is scored unless the job says otherwise: moving it is a decision, a new version in the folder is not.
pub const MODEL_VERSION: &str = "champion";

/// Bad rows are an exception that somebody decides to accept, so none is allowed unless the job says so.
pub const MAX_BAD_ROWS: u64 = 0;

/// As for `MAX_BAD_ROWS`; both limits must hold.
pub const MAX_BAD_FRACTION: f64 = 0.0;

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
    /// What happens when the input has files and no rows.
    #[serde(default)]
    pub on_empty: OnEmpty,
    /// What happens when a file, or a part of it, cannot be decoded.
    #[serde(default)]
    pub on_corrupt_file: OnCorruptFile,
}

/// What happens when the input has files and no rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnEmpty {
    /// A partition without rows is published, so that readers can tell an empty day from a missing one.
    #[default]
    PublishEmpty,
    /// The run fails with exit code 14, since the input is not ready.
    Fail,
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

/// What happens to rows that cannot be scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RowsSpec {
    /// Rows that may be rejected before the run fails.
    pub max_bad_rows: u64,
    /// Share of the rows, 0 to 1, that may be rejected before the run fails. Both limits must hold.
    pub max_bad_fraction: f64,
    /// Whether rejected rows are kept with the values of their features. They are personal data in many jobs, so not unless asked.
    pub include_values: bool,
    /// What is done with a bad row, by reason.
    pub on: RowActions,
}

impl Default for RowsSpec {
    fn default() -> Self {
        Self {
            max_bad_rows: MAX_BAD_ROWS,
            max_bad_fraction: MAX_BAD_FRACTION,
            include_values: false,
            on: RowActions::default(),
        }
    }
}

/// What is done with a bad row, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "SCREAMING_SNAKE_CASE")]
pub struct RowActions {
    /// A key column is null.
    pub null_key: Action,
    /// A feature is null and its contract has no value for nulls.
    pub null_feature: Action,
    /// A feature is not a number.
    pub nan_feature: Action,
    /// A feature is infinite.
    pub inf_feature: Action,
    /// A list has another length than the contract says.
    pub bad_list_len: Action,
    /// A value does not fit the type in which the model takes it.
    pub cast_overflow: Action,
    /// A feature lies outside the `range` that the contract states.
    pub out_of_range: Action,
    /// A category is not in the vocabulary. With `impute`, the default, it takes the contract's `oov_index`.
    pub unknown_category: Action,
    /// The model's result is infinite or not a number.
    pub nonfinite_output: Action,
    /// A key stands in an earlier row of the input. Looked for only where it is set: the keys of the whole input are read for it before
    /// the first row is scored, and about 30 bytes of memory a row are needed.
    pub duplicate_key: Option<Action>,
    /// The model throws on the row by itself.
    pub model_error: Action,
}

impl Default for RowActions {
    fn default() -> Self {
        Self {
            null_key: Action::Fail,
            null_feature: Action::Fail,
            nan_feature: Action::Fail,
            inf_feature: Action::Fail,
            bad_list_len: Action::Fail,
            cast_overflow: Action::Fail,
            out_of_range: Action::Fail,
            unknown_category: Action::Impute,
            nonfinite_output: Action::Fail,
            duplicate_key: None,
            model_error: Action::Fail,
        }
    }
}

impl RowActions {
    /// What is done for that reason.
    pub fn action(self, reason: Reason) -> Action {
        match reason {
            Reason::NullKey => self.null_key,
            Reason::NullFeature => self.null_feature,
            Reason::NanFeature => self.nan_feature,
            Reason::InfFeature => self.inf_feature,
            Reason::BadListLen => self.bad_list_len,
            Reason::CastOverflow => self.cast_overflow,
            Reason::OutOfRange => self.out_of_range,
            Reason::UnknownCategory => self.unknown_category,
            Reason::NonfiniteOutput => self.nonfinite_output,
            Reason::DuplicateKey => self.duplicate_key.unwrap_or_default(),
            Reason::ModelError => self.model_error,
            // `input.on_corrupt_file` has decided before there is such a row.
            Reason::CorruptFile => Action::Reject,
        }
    }
}

/// What is done with a bad row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The run fails.
    #[default]
    Fail,
    /// The row goes to the rejects file and counts against the limits.
    Reject,
    /// What the contract has for nulls, or for unknown categories, takes its place. Only for values of features.
    Impute,
}

/// Why a row is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// A key column is null.
    NullKey,
    /// A feature is null and its contract has no value for nulls.
    NullFeature,
    /// A feature is not a number.
    NanFeature,
    /// A feature is infinite.
    InfFeature,
    /// A list has another length than the contract says.
    BadListLen,
    /// A value does not fit the type in which the model takes it.
    CastOverflow,
    /// A feature lies outside the contract's range.
    OutOfRange,
    /// A category is not in the vocabulary.
    UnknownCategory,
    /// The model's result is infinite or not a number.
    NonfiniteOutput,
    /// A key stands in an earlier row.
    DuplicateKey,
    /// The model throws on the row by itself.
    ModelError,
    /// The row group cannot be decoded.
    CorruptFile,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::NullKey,
        Self::NullFeature,
        Self::NanFeature,
        Self::InfFeature,
        Self::BadListLen,
        Self::CastOverflow,
        Self::OutOfRange,
        Self::UnknownCategory,
        Self::NonfiniteOutput,
        Self::DuplicateKey,
        Self::ModelError,
        Self::CorruptFile,
    ];

    /// The name in job files, rejects and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NullKey => "NULL_KEY",
            Self::NullFeature => "NULL_FEATURE",
            Self::NanFeature => "NAN_FEATURE",
            Self::InfFeature => "INF_FEATURE",
            Self::BadListLen => "BAD_LIST_LEN",
            Self::CastOverflow => "CAST_OVERFLOW",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::UnknownCategory => "UNKNOWN_CATEGORY",
            Self::NonfiniteOutput => "NONFINITE_OUTPUT",
            Self::DuplicateKey => "DUPLICATE_KEY",
            Self::ModelError => "MODEL_ERROR",
            Self::CorruptFile => "CORRUPT_FILE",
        }
    }

    /// What is wrong with such a row, in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::NullKey => "the key is null",
            Self::NullFeature => "the feature is null, or an element of it, and the contract has no value for nulls",
            Self::NanFeature => "the feature is not a number, or its logarithm would be none",
            Self::InfFeature => "the feature is infinite, or its logarithm would be",
            Self::BadListLen => "the list has another length than the contract says",
            Self::CastOverflow => "the value does not fit the type in which the model takes it",
            Self::OutOfRange => "the value lies outside the contract's range",
            Self::UnknownCategory => "the category is not in the vocabulary",
            Self::NonfiniteOutput => "the model's result is infinite or not a number",
            Self::DuplicateKey => "an earlier row has the same key",
            Self::ModelError => "the model throws on this row",
            Self::CorruptFile => "the row group cannot be decoded",
        }
    }

    /// True where another value can take the bad one's place.
    pub fn imputable(self) -> bool {
        match self {
            Self::NullFeature
            | Self::NanFeature
            | Self::InfFeature
            | Self::CastOverflow
            | Self::OutOfRange
            | Self::UnknownCategory => true,
            Self::NullKey
            | Self::BadListLen
            | Self::NonfiniteOutput
            | Self::DuplicateKey
            | Self::ModelError
            | Self::CorruptFile => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
    /// None is.
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
    #[serde(default = "reconcile_days")]
    #[schemars(range(max = MAX_RECONCILE_DAYS))]
    pub reconcile_days: u32,
}

fn catchup_max() -> usize {
    CATCHUP_MAX
}

fn reconcile_days() -> u32 {
    RECONCILE_DAYS
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

#[cfg(test)]
mod tests {
    use super::{Reason, RowActions};

    #[test]
    fn every_reason_is_a_key_of_the_table_of_actions() {
        let table = serde_json::to_value(RowActions::default()).unwrap();
        let mut keys: Vec<_> = table.as_object().unwrap().keys().cloned().collect();
        // `input.on_corrupt_file` decides about that one.
        keys.push(Reason::CorruptFile.name().to_owned());
        let mut names = Reason::ALL.map(|reason| reason.name().to_owned());
        keys.sort_unstable();
        names.sort_unstable();
        assert_eq!(keys, names);
    }

    #[test]
    fn reason_is_serialised_under_its_name() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
