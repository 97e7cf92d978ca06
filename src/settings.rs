//! How this machine runs jobs: device, threads, memory, storage, logs. Never what a job is; that is `spec`.
//!
//! A file of `configs/`, variables `BATCH_INFER_...` and flags become [`Settings`]. A flag wins over a variable, a variable
//! over the file, the file over the default, and [`Shown`] says for each value which it was. The only file that reads the
//! environment. Secrets are no settings: [`store_variables`] hands them to the store, and nothing else holds them.

mod check;
mod shown;
mod spec;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::{Document, Origin};
use crate::error::Error;
use crate::problem::Problems;
use crate::schema;

pub use shown::{Setting, Shown};
pub use spec::{
    AUTO, CHOSEN, CredentialSource, DeviceSpec, FormatSpec, INTERVAL, InferSpec, LOG_LEVEL, LineSpec, LogSpec, OnBusy,
    ProgressSpec, SettingsSpec, SpoolSettings, StorageSettings, ThreadSettings, Tune,
};

/// What the names of our variables start with.
const VARIABLE_PREFIX: &str = "BATCH_INFER_";

/// The variable with the URL for pings.
const PING_URL: &str = "BATCH_INFER_PING_URL";

/// The variable with the URL that is told of failures.
const WEBHOOK_URL: &str = "BATCH_INFER_WEBHOOK_URL";

/// Variables whose values must never be seen in a log. File names of tokens are no secrets.
const SECRET_VARIABLES: [&str; 8] = [
    PING_URL,
    WEBHOOK_URL,
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_SSE_CUSTOMER_KEY_BASE64",
];

/// Variables of proxies, whose URLs may hold a password.
const PROXY_VARIABLES: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Variables that name files with a token in them.
const TOKEN_FILES: [&str; 2] = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];

/// What the names of the variables start with that say how a bucket is reached.
const STORE_PREFIX: &str = "AWS_";

/// How jobs run here.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the model runs.
    pub device: DeviceSettings,
    /// How many threads work.
    pub threads: ThreadSettings,
    /// How the model runs.
    pub infer: InferSettings,
    /// How much is in work at once.
    pub line: LineSettings,
    /// How buckets are reached.
    pub storage: StorageSettings,
    /// Where temporary files lie.
    pub spool: SpoolSettings,
    /// How long a run may take, and which part of it this process does.
    pub run: RunSettings,
    /// What happens when another process works at the same job and date.
    pub lease: LeaseSettings,
    /// How finished files are put in place.
    pub publish: PublishSettings,
    /// How records are kept.
    pub state: StateSettings,
    /// Files in which a run says how it ended.
    pub task: TaskSettings,
    /// Where metrics of runs go.
    pub metrics: MetricsSettings,
    /// How the daemon runs.
    pub daemon: DaemonSettings,
    /// What is said while it runs.
    pub log: LogSettings,
}

/// Where the model runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSettings {
    /// The device.
    pub kind: DeviceRequest,
}

/// How the model runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferSettings {
    /// Time after which a forward pass ends the run; `None`: never.
    pub batch_timeout: Option<Duration>,
    /// Whether a frozen copy of the model is run.
    pub freeze: bool,
}

/// How much is in work at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSettings {
    /// Rows of a chunk; 0: chosen by the plan.
    pub chunk_rows: usize,
    /// Rows of one forward pass; 0: chosen when it runs.
    pub batch_rows: usize,
    /// Whether the size of batches is measured.
    pub tune: Tune,
    /// Bytes for data in work; `None`: a share of the memory limit.
    pub memory: Option<u64>,
    /// Bytes that a chunk may take once decoded; `None`: as many as are usual and in the memory for data.
    pub max_decoded: Option<u64>,
}

/// How long a run may take, and which part of it this process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSettings {
    /// The intention that the run belongs to; `None`: one of its own.
    pub key: Option<String>,
    /// Processes that share the chunks of a date.
    pub shards: usize,
    /// Time after which a run stops.
    pub max_runtime: Option<Duration>,
    /// Time in which a run that is asked to stop finishes what it has in hand.
    pub shutdown_grace: Duration,
    /// The trace that this process belongs to, by `TRACEPARENT`.
    pub trace_id: Option<String>,
}

/// What happens when another process works at the same job and date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSettings {
    /// What to do then.
    pub on_busy: OnBusy,
    /// How long it is waited for, after the time in which a dead one would be noticed.
    pub busy_timeout: Duration,
    /// How long a lease holds without a sign of life.
    pub ttl: Duration,
    /// Whether a lease is taken in a bucket.
    pub enabled: bool,
}

/// How finished files are put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishSettings {
    /// Largest file that is sent to a bucket by one request, in bytes.
    pub single_put_max: u64,
}

/// How records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateSettings {
    /// Whether a store without conditional writes may be used.
    pub unsafe_single_writer: bool,
    /// Whether the state may lie on a network file system.
    pub allow_network_fs: bool,
    /// How long chunks of plans are kept that are neither published nor in progress.
    pub retention: Duration,
}

/// Files in which a run says how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSettings {
    /// File for the report or the error.
    pub summary_file: Option<PathBuf>,
    /// Airflow's folder for results.
    pub xcom: Option<PathBuf>,
    /// The kubelet's file for a message.
    pub termination_log: Option<PathBuf>,
}

impl Default for TaskSettings {
    fn default() -> Self {
        check::task(spec::TaskSpec::default())
    }
}

/// Where metrics of runs go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Folder of the node exporter.
    pub textfile: Option<PathBuf>,
    /// URL of a Pushgateway.
    pub pushgateway: Option<String>,
}

/// How the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Address of its pages; `None`: there are none.
    pub listen: Option<SocketAddr>,
    /// Runs at a time, over all jobs.
    pub max_parallel_runs: usize,
}

/// What is said while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or a list of `target=level`.
    pub level: String,
    /// Form of the log; `None`: text on a terminal, else JSON.
    pub format: Option<LogFormat>,
    /// How progress is shown.
    pub progress: ProgressMode,
    /// Time between two lines of progress.
    pub interval: Duration,
}

/// The device that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceRequest {
    /// CUDA where a device can be used, else CPU.
    Auto,
    /// CPU.
    Cpu,
    /// The CUDA device of that index.
    Cuda(usize),
}

impl DeviceRequest {
    /// Reads `auto`, `cpu`, `cuda` or `cuda:N`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            other => other.strip_prefix("cuda:")?.parse().ok().map(Self::Cuda),
        }
    }
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object.
    Json,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    /// A bar on a terminal, lines elsewhere.
    Auto,
    /// A bar; lines where no bar can be drawn.
    Bar,
    /// Log lines.
    Lines,
    /// Nothing.
    Off,
}

/// A flag that sets a key, the key, and the value as it was typed: `("--device", "device.kind", "cpu")`.
pub type Flag<'a> = (&'a str, &'a str, &'a str);

/// The settings in force: a file, if there is one, with this process's variables and the flags over it.
pub fn load(file: Option<&Path>, flags: &[Flag<'_>]) -> Result<Settings, Error> {
    let document = document(file, environment, flags)?;
    let (_, mut settings) = read(&document)?;
    settings.run.trace_id = environment("TRACEPARENT").as_deref().and_then(trace_id);
    Ok(settings)
}

/// The settings in force, with where each came from.
pub fn show(file: Option<&Path>, flags: &[Flag<'_>]) -> Result<Shown, Error> {
    let document = document(file, environment, flags)?;
    let (spec, _) = read(&document)?;
    Ok(Shown::new(&spec, &document))
}

/// Number of this pod among those of an indexed Kubernetes job.
pub fn completion_index() -> Option<String> {
    environment("JOB_COMPLETION_INDEX")
}

/// The time for which this run was scheduled.
pub fn scheduled_time() -> Option<String> {
    environment("BATCH_INFER_SCHEDULED_TIME")
}

/// Name of the Kubernetes Job of this pod.
pub fn kubernetes_job() -> Option<String> {
    environment("BATCH_INFER_KUBERNETES_JOB")
}

/// A URL that is pinged when a run begins and ends, in the manner of healthchecks.io. Whoever knows it can use it, so it is no setting.
pub fn ping_url() -> Option<String> {
    environment(PING_URL)
}

/// A URL that is told of failures and recoveries. A secret like that for pings.
pub fn webhook_url() -> Option<String> {
    environment(WEBHOOK_URL)
}

/// The trace of a `traceparent` of W3C Trace Context, version 00 or one that begins like it. None where it is not one.
fn trace_id(traceparent: &str) -> Option<String> {
    let mut parts = traceparent.trim().split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, digits| {
        text.len() == digits
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let whole = version != "00" || parts.next().is_none();
    let sound = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    (whole && sound && !zero(trace) && !zero(parent)).then(|| trace.to_owned())
}

/// The file that steers the clock of a daemon under test.
#[cfg(feature = "failpoints")]
pub fn test_clock() -> Option<PathBuf> {
    environment("BATCH_INFER_TEST_CLOCK").map(PathBuf::from)
}

/// True for a variable that is set to nothing.
#[expect(clippy::disallowed_methods, reason = "this is the door that the rule protects")]
pub fn is_empty(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// True when `NO_COLOR` asks for plain text.
pub fn no_color() -> bool {
    environment("NO_COLOR").is_some()
}

/// Values that must never be seen in a log: those of variables, the tokens in the files that variables name, and what is secret in the URLs
/// of services and proxies.
pub fn secrets() -> Vec<String> {
    let files = TOKEN_FILES.into_iter().filter_map(environment);
    // A file that cannot be read is a matter for whoever needs it.
    let tokens = files.filter_map(|file| fs::read_to_string(file).ok());
    let proxies = PROXY_VARIABLES.into_iter().filter_map(environment);
    let urls = store_variables().into_values().chain(proxies);
    let in_urls = urls.flat_map(|url| secrets_of_url(&url));
    let plain = SECRET_VARIABLES.into_iter().filter_map(environment);
    plain.chain(tokens).chain(in_urls).collect()
}

/// The user with its password, the password, and the values of the query, which libraries name without the rest of the URL.
fn secrets_of_url(url: &str) -> Vec<String> {
    let Some((_, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let user = before.rsplit_once('@').map(|(user, _)| user);
    let password = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
    let values = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(_, value)| value);
    user.into_iter()
        .chain(password)
        .chain(values)
        .map(str::to_owned)
        .collect()
}

/// The variables that say how a bucket is reached, by name. Secrets are among them.
#[expect(clippy::disallowed_methods, reason = "this is the door that the rule protects")]
pub fn store_variables() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let all = std::env::vars_os().filter_map(text);
    all.filter(|(name, value)| name.starts_with(STORE_PREFIX) && !value.is_empty())
        .collect()
}

/// The variable of a key: `BATCH_INFER_LINE_CHUNK_ROWS` for `line.chunk_rows`.
pub fn variable_of(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// A variable of this process. An empty one counts as not set, as manifests often write it.
#[expect(clippy::disallowed_methods, reason = "this is the door that the rule protects")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn document(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
    flags: &[Flag<'_>],
) -> Result<Document, Error> {
    let mut document = match file {
        Some(path) => Document::open("settings file", path)?,
        None => Document::without_file("the configuration"),
    };
    lay_over(&mut document, variable, flags);
    Ok(document)
}

/// Puts variables and then flags over a file.
fn lay_over(document: &mut Document, variable: impl Fn(&str) -> Option<String>, flags: &[Flag<'_>]) {
    for key in schema::keys(&schema::of_toml::<SettingsSpec>()) {
        let name = variable_of(&key);
        if let Some(value) = variable(&name) {
            document.put(Origin::Environment(name), &key, &value);
        }
    }
    for (flag, key, value) in flags {
        document.put(Origin::Flag((*flag).to_owned()), key, value);
    }
}

/// The settings as written and as used.
fn read(document: &Document) -> Result<(SettingsSpec, Settings), Problems> {
    let (spec, mut problems) = document.read::<SettingsSpec>();
    let settings = match spec.clone().map(check::settings) {
        Some(Ok(settings)) => Some(settings),
        Some(Err(further)) => {
            problems.extend(further);
            None
        }
        None => None,
    };
    match (spec, settings) {
        (Some(spec), Some(settings)) if problems.is_empty() => Ok((spec, settings)),
        _ => Err(document.report(problems)),
    }
}

#[cfg(test)]
mod tests;
