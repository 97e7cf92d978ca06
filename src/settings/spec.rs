//! A settings file exactly as it is written. The doc comments are also the descriptions in `configs/settings.schema.json`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Neither more nor fewer threads or rows than what is found best at run time.
pub const CHOSEN: usize = 0;

/// The first usable device or a share of the memory: right on most machines, and stated in the report.
pub const AUTO: &str = "auto";

/// Enough to follow a run and little enough to read.
pub const LOG_LEVEL: &str = "info";

/// Often enough to see that it lives, seldom enough to read the log.
pub const INTERVAL: &str = "10s";

/// How batch-infer runs on one machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "batch-infer settings")]
pub struct SettingsSpec {
    /// Where the model runs.
    pub device: DeviceSpec,
    /// How many threads work.
    pub threads: ThreadSettings,
    /// How much is in work at once.
    pub line: LineSpec,
    /// How buckets are reached.
    pub storage: StorageSettings,
    /// Where temporary files lie.
    pub spool: SpoolSettings,
    /// What is said while it runs.
    pub log: LogSpec,
}

/// Where the model runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceSpec {
    /// `auto` (CUDA where a device can be used, else CPU), `cpu`, `cuda` (the same as `cuda:0`), or `cuda:N`.
    pub kind: String,
}

impl Default for DeviceSpec {
    fn default() -> Self {
        Self { kind: AUTO.to_owned() }
    }
}

/// How many threads work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ThreadSettings {
    /// Chunks that are scored at the same time; 0: one for each core that the process may use.
    pub score: usize,
    /// Threads inside one forward pass; 0: chosen when it runs.
    pub intra_op: usize,
}

impl Default for ThreadSettings {
    fn default() -> Self {
        Self {
            score: CHOSEN,
            intra_op: CHOSEN,
        }
    }
}

/// How much is in work at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineSpec {
    /// Rows of a chunk, the unit of work; 0: 131072, or 2048 where a feature is text.
    pub chunk_rows: usize,
    /// Rows of one forward pass; 0: chosen when it runs.
    pub batch_rows: usize,
    /// Memory for data in work, such as `2GiB`; `auto`: a share of the memory limit of the container or machine.
    pub memory: String,
}

impl Default for LineSpec {
    fn default() -> Self {
        Self {
            chunk_rows: CHOSEN,
            batch_rows: CHOSEN,
            memory: AUTO.to_owned(),
        }
    }
}

/// How buckets are reached. Where a key is not set, the `AWS_...` variables hold; secrets are only there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSettings {
    /// URL of the S3 service. Default: `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, else that of the region.
    pub endpoint: Option<String>,
    /// Region of the buckets. Default: `AWS_REGION`, `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// Whether a service without TLS may be used. One on this machine always may.
    pub allow_http: bool,
    /// Where credentials come from.
    pub credentials: CredentialSource,
}

/// Where credentials come from. The one that is chosen is used alone: where it fails, no other is tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialSource {
    /// The first whose variables are set: `env`, `web_identity`, `pod_identity`, else `instance`.
    #[default]
    Auto,
    /// A role by a token file: `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`.
    WebIdentity,
    /// A role of the container: `AWS_CONTAINER_CREDENTIALS_...`.
    PodIdentity,
    /// Keys: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and `AWS_SESSION_TOKEN` where there is one.
    Env,
    /// The role of the machine.
    Instance,
    /// Requests are not signed, for public buckets.
    None,
}

/// Where temporary files lie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSettings {
    /// Folder with room for one date's predictions, for output in a bucket. Default: the system's folder for temporary
    /// files.
    pub path: Option<PathBuf>,
}

/// What is said while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSpec {
    /// The least important messages that are shown: `off`, `error`, `warn`, `info`, `debug` or `trace`; or a list such as
    /// `info,object_store=debug`.
    pub level: String,
    /// Form of the log.
    pub format: FormatSpec,
    /// How progress is shown.
    pub progress: ProgressSpec,
    /// Time between two lines of progress, such as `10s` or `1m 30s`.
    pub interval: String,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self {
            level: LOG_LEVEL.to_owned(),
            format: FormatSpec::Auto,
            progress: ProgressSpec::Auto,
            interval: INTERVAL.to_owned(),
        }
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatSpec {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProgressSpec {
    /// A bar on a terminal, else lines.
    Auto,
    /// A bar.
    Bar,
    /// A log line from time to time.
    Lines,
    /// Nothing.
    Off,
}
