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

/// Longer than any pause of a healthy process, shorter than the patience of whoever waits.
pub(super) const LEASE_TTL: &str = "60s";

/// What a process waits for another one that works, beyond the time in which a dead one is noticed.
pub(super) const BUSY_TIMEOUT: &str = "5m";

/// Below the 30 seconds that Kubernetes waits by default.
pub(super) const SHUTDOWN_GRACE: &str = "20s";

/// Most dates are smaller, and one request is the simplest thing that is atomic.
pub(super) const SINGLE_PUT_MAX: &str = "1GiB";

/// Largest object that S3 takes in one request.
pub(super) const SINGLE_PUT_LIMIT: u64 = 5 << 30;

/// Far longer than any batch takes, and short enough to be noticed the same night.
pub(super) const BATCH_TIMEOUT: &str = "30m";

/// No limit.
pub(super) const OFF: &str = "off";

/// Long enough to look into a failure of last weekend.
pub(super) const RETENTION: &str = "7d";

/// This machine alone, until somebody decides otherwise.
pub(super) const LISTEN: &str = "127.0.0.1:8735";

/// One run uses all cores; a second beside it makes both slower.
pub(super) const MAX_PARALLEL_RUNS: usize = 1;

/// Where Airflow's sidecar looks for results.
pub(super) const XCOM: &str = "/airflow/xcom";

/// Where the kubelet looks for a message.
pub(super) const TERMINATION_LOG: &str = "/dev/termination-log";

/// How batch-infer runs on one machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "batch-infer settings")]
pub struct SettingsSpec {
    /// Where the model runs.
    pub device: DeviceSpec,
    /// How many threads work.
    pub threads: ThreadSettings,
    /// How the model runs.
    pub infer: InferSpec,
    /// How much is in work at once.
    pub line: LineSpec,
    /// How buckets are reached.
    pub storage: StorageSettings,
    /// Where temporary files lie.
    pub spool: SpoolSettings,
    /// How long a run may take, and which part of it this process does.
    pub run: RunSpec,
    /// What happens when another process works at the same job and date.
    pub lease: LeaseSpec,
    /// How finished files are put in place.
    pub publish: PublishSpec,
    /// How records are kept.
    pub state: StateSpec,
    /// Files in which a run says how it ended.
    pub task: TaskSpec,
    /// Where metrics of runs go.
    pub metrics: MetricsSpec,
    /// How the daemon runs.
    pub daemon: DaemonSpec,
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

/// How the model runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InferSpec {
    /// Time after which a forward pass that has not come back ends the run with exit code 11, such as `30m`; `off`: no limit. It holds for
    /// loading the model and for the try before a run, too.
    pub batch_timeout: String,
    /// Precision of the model's arithmetic. Less than float32 is refused where it is slower: on processors without AMX.
    pub precision: Precision,
    /// Runs a precision that is slower than float32 all the same.
    pub force_precision: bool,
    /// Whether a frozen copy of the model is run, on CPU: linear layers are faster then, and results differ by rounding alone. A model that
    /// cannot be frozen, or whose copy gives something else on made-up rows, is run as it is.
    pub freeze: bool,
}

impl Default for InferSpec {
    fn default() -> Self {
        Self {
            batch_timeout: BATCH_TIMEOUT.to_owned(),
            precision: Precision::Float32,
            force_precision: false,
            freeze: true,
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
    /// Whether batches of several sizes are tried on the first rows, so that the fastest is used for the rest.
    pub tune: Tune,
    /// Memory for data in work, such as `2GiB`; `auto`: a share of the memory limit of the container or machine.
    pub memory: String,
    /// Memory that rows of one chunk may take at a time once decoded, such as `2GiB`. A chunk of more is scored a few rows at a time; a single
    /// row or page of more, and a chunk of 32 times as much, are refused. `auto`: 1 GiB, or `memory` where that is less, but 256 MiB.
    pub max_decoded: String,
}

impl Default for LineSpec {
    fn default() -> Self {
        Self {
            chunk_rows: CHOSEN,
            batch_rows: CHOSEN,
            tune: Tune::Auto,
            memory: AUTO.to_owned(),
            max_decoded: AUTO.to_owned(),
        }
    }
}

/// Precision of the model's arithmetic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 24 binary digits, as models are trained.
    #[default]
    Float32,
    /// 8 binary digits, and the range of float32.
    Bf16,
    /// 11 binary digits, and a range up to 65,504.
    Fp16,
}

impl Precision {
    /// Its name in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        }
    }
}

/// Whether the size of batches is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tune {
    /// Where there are so many rows that it pays, and `batch_rows` does not say it.
    #[default]
    Auto,
    /// Never.
    Off,
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

/// How long a run may take, and which part of it this process does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunSpec {
    /// Names the intention that this run belongs to, such as the UID of a Kubernetes job: all processes with one key are one run, which
    /// publishes once. Default: a new one for each process.
    pub key: Option<String>,
    /// Processes that share the chunks of a date; each does its own, given by `--shard` or `JOB_COMPLETION_INDEX`, and the last one
    /// publishes.
    pub shards: usize,
    /// Time after which a run stops with exit code 50, such as `2h`. Default: none.
    pub max_runtime: Option<String>,
    /// Time in which a run that is asked to stop finishes the chunks that it has in hand.
    pub shutdown_grace: String,
}

impl Default for RunSpec {
    fn default() -> Self {
        Self {
            key: None,
            shards: 1,
            max_runtime: None,
            shutdown_grace: SHUTDOWN_GRACE.to_owned(),
        }
    }
}

/// What happens when another process works at the same job and date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseSpec {
    /// What to do while another process works.
    pub on_busy: OnBusy,
    /// How long a process that works is waited for, after the time in which a dead one would be noticed.
    pub busy_timeout: String,
    /// Time without a sign of life after which a lease in a bucket is taken over. On a local disk the system frees the lock at once.
    pub ttl: String,
    /// Whether a lease is taken in a bucket. Without one two processes may do the same work, and the result is right all the same.
    pub enabled: bool,
}

impl Default for LeaseSpec {
    fn default() -> Self {
        Self {
            on_busy: OnBusy::Wait,
            busy_timeout: BUSY_TIMEOUT.to_owned(),
            ttl: LEASE_TTL.to_owned(),
            enabled: true,
        }
    }
}

/// What to do while another process works at the same job and date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnBusy {
    /// Wait, then end with exit code 30.
    Wait,
    /// End with exit code 0.
    Skip,
    /// End with exit code 30.
    Fail,
}

/// How finished files are put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PublishSpec {
    /// Largest file that is sent to a bucket by one request, at most `5GiB`; a larger one is sent in pieces.
    pub single_put_max: String,
}

impl Default for PublishSpec {
    fn default() -> Self {
        Self {
            single_put_max: SINGLE_PUT_MAX.to_owned(),
        }
    }
}

/// How records are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StateSpec {
    /// Whether a store without conditional writes may be used: nothing then keeps two processes from publishing over one another.
    pub unsafe_single_writer: bool,
    /// Whether the state may lie on a network file system, whose locks and renames are not always what they should be.
    pub allow_network_fs: bool,
    /// How long `gc` keeps the chunks of plans that are neither published nor in progress.
    pub retention: String,
}

impl Default for StateSpec {
    fn default() -> Self {
        Self {
            unsafe_single_writer: false,
            allow_network_fs: false,
            retention: RETENTION.to_owned(),
        }
    }
}

/// Files in which a run says how it ended. A path that is `off` stands for none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskSpec {
    /// File for the report or the error as JSON. Default: none. `--summary-file`
    pub summary_file: Option<String>,
    /// Airflow's folder for results. Where it is there, the same goes into its `return.json`.
    pub xcom: String,
    /// The kubelet's file for the message of a container's end. Where it is there, it gets the text of an error.
    pub termination_log: String,
}

impl Default for TaskSpec {
    fn default() -> Self {
        Self {
            summary_file: None,
            xcom: XCOM.to_owned(),
            termination_log: TERMINATION_LOG.to_owned(),
        }
    }
}

/// Where metrics of runs go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSpec {
    /// Folder from which the Prometheus node exporter reads text files. Default: none.
    pub textfile: Option<String>,
    /// URL of a Prometheus Pushgateway, such as `http://pushgateway:9091`. Default: none.
    pub pushgateway: Option<String>,
}

/// How the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonSpec {
    /// Address and port of its pages, such as `127.0.0.1:8735`; `off`: none. Whoever can reach it can read what runs here, and nothing else.
    pub listen: String,
    /// Runs at a time, over all jobs. They share the cores and the memory.
    #[schemars(range(min = 1))]
    pub max_parallel_runs: usize,
}

impl Default for DaemonSpec {
    fn default() -> Self {
        Self {
            listen: LISTEN.to_owned(),
            max_parallel_runs: MAX_PARALLEL_RUNS,
        }
    }
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
