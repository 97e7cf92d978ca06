//! Settings as written become settings as used: each short text is read, or it is a problem.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use super::spec::{
    AUTO, DaemonSpec, FormatSpec, LeaseSpec, LogSpec, MetricsSpec, OFF, ProgressSpec, RunSpec, SINGLE_PUT_LIMIT,
    SettingsSpec, StorageSettings, TaskSpec,
};
use super::{
    DaemonSettings, DeviceRequest, DeviceSettings, InferSettings, LeaseSettings, LineSettings, LogFormat, LogSettings,
    MetricsSettings, ProgressMode, PublishSettings, RunSettings, Settings, StateSettings, TaskSettings,
};
use crate::problem::{Problem, kept, listed, meant};

/// Longest key of a run: it stands in records and messages.
const LONGEST_KEY: usize = 200;

/// Names of the levels of the log.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads every short text.
pub(super) fn settings(spec: SettingsSpec) -> Result<Settings, Vec<Problem>> {
    let mut found = Vec::new();
    let kind = kept(device(&spec.device.kind), &mut found);
    let batch_timeout = kept(batch_timeout(&spec.infer.batch_timeout), &mut found);
    let memory = kept(bytes("line.memory", &spec.line.memory), &mut found);
    let max_decoded = kept(bytes("line.max_decoded", &spec.line.max_decoded), &mut found);
    let level = kept(level(&spec.log.level), &mut found);
    let interval = kept(interval(&spec.log.interval), &mut found);
    let storage = kept(storage(spec.storage), &mut found);
    let run = kept(run(spec.run), &mut found);
    let lease = lease(&spec.lease, &mut found);
    let single_put_max = kept(single_put_max(&spec.publish.single_put_max), &mut found);
    let retention = kept(time("state.retention", &spec.state.retention), &mut found);
    let (Some(kind), Some(memory), Some(max_decoded), Some(level), Some(interval), Some(storage)) =
        (kind, memory, max_decoded, level, interval, storage)
    else {
        return Err(found);
    };
    let metrics = kept(metrics(spec.metrics), &mut found);
    let (Some(run), Some(lease), Some(single_put_max), Some(retention), Some(batch_timeout)) =
        (run, lease, single_put_max, retention, batch_timeout)
    else {
        return Err(found);
    };
    let daemon = kept(daemon(&spec.daemon), &mut found);
    let (Some(metrics), Some(daemon)) = (metrics, daemon) else {
        return Err(found);
    };
    Ok(Settings {
        device: DeviceSettings { kind },
        threads: spec.threads,
        infer: InferSettings {
            batch_timeout,
            freeze: spec.infer.freeze,
        },
        line: LineSettings {
            chunk_rows: spec.line.chunk_rows,
            batch_rows: spec.line.batch_rows,
            tune: spec.line.tune,
            memory,
            max_decoded,
        },
        storage,
        spool: spec.spool,
        run,
        lease,
        publish: PublishSettings { single_put_max },
        state: StateSettings {
            unsafe_single_writer: spec.state.unsafe_single_writer,
            allow_network_fs: spec.state.allow_network_fs,
            retention,
        },
        task: task(spec.task),
        metrics,
        daemon,
        log: LogSettings {
            level,
            format: format(&spec.log),
            progress: progress(&spec.log),
            interval,
        },
    })
}

fn device(text: &str) -> Result<DeviceRequest, Problem> {
    let unknown = || {
        Problem::new(
            "device.kind",
            format!("is `{text}`, expected `auto`, `cpu`, `cuda` or `cuda:N`"),
        )
    };
    DeviceRequest::parse(text).ok_or_else(unknown)
}

/// Bytes; `None` where the machine decides.
fn bytes(key: &str, text: &str) -> Result<Option<u64>, Problem> {
    if text == AUTO {
        return Ok(None);
    }
    match text.parse::<ByteSize>() {
        Ok(size) if size.as_u64() > 0 => Ok(Some(size.as_u64())),
        _ => {
            let fault = format!("is `{text}`, expected `auto` or a size such as `2GiB`");
            Err(Problem::new(key, fault))
        }
    }
}

/// A level, or a list of `target=level` that the log itself will read.
fn level(text: &str) -> Result<String, Problem> {
    let word = text.trim().to_lowercase();
    if word.contains(['=', ',']) || LEVELS.contains(&word.as_str()) {
        return Ok(text.trim().to_owned());
    }
    let fault = format!("is `{text}`, expected {}", listed(LEVELS, "or"));
    let problem = Problem::new("log.level", fault);
    Err(match meant(&word, LEVELS) {
        Some(level) => problem.hint(format!("did you mean `{level}`?")),
        None => problem.hint("a list of targets is written `info,object_store=debug`"),
    })
}

fn interval(text: &str) -> Result<Duration, Problem> {
    time("log.interval", text).and_then(|interval| positive("log.interval", interval))
}

/// `None` for no limit.
fn batch_timeout(text: &str) -> Result<Option<Duration>, Problem> {
    const KEY: &str = "infer.batch_timeout";
    if text == OFF {
        return Ok(None);
    }
    let time = time(KEY, text).and_then(|time| positive(KEY, time));
    time.map(Some).map_err(|problem| problem.hint("`off` sets no limit"))
}

fn time(key: &str, text: &str) -> Result<Duration, Problem> {
    humantime::parse_duration(text)
        .map_err(|_| Problem::new(key, format!("is `{text}`, expected a time such as `10s` or `1m 30s`")))
}

fn positive(key: &str, time: Duration) -> Result<Duration, Problem> {
    if time.is_zero() {
        return Err(Problem::new(
            key,
            "is no time at all, expected a time such as `10s` or `1m 30s`",
        ));
    }
    Ok(time)
}

fn run(spec: RunSpec) -> Result<RunSettings, Problem> {
    if spec.shards == 0 {
        return Err(Problem::new("run.shards", "is 0, expected the number of processes"));
    }
    if let Some(key) = &spec.key
        && (key.is_empty() || key.len() > LONGEST_KEY || key.contains(char::is_control))
    {
        let fault = format!(
            "is `{}`, expected up to {LONGEST_KEY} visible characters",
            key.escape_debug()
        );
        return Err(Problem::new("run.key", fault));
    }
    let max_runtime = spec
        .max_runtime
        .map(|text| time("run.max_runtime", &text).and_then(|time| positive("run.max_runtime", time)));
    Ok(RunSettings {
        key: spec.key,
        shards: spec.shards,
        max_runtime: max_runtime.transpose()?,
        shutdown_grace: time("run.shutdown_grace", &spec.shutdown_grace)?,
        trace_id: None,
    })
}

fn lease(spec: &LeaseSpec, found: &mut Vec<Problem>) -> Option<LeaseSettings> {
    let ttl = kept(
        time("lease.ttl", &spec.ttl).and_then(|time| positive("lease.ttl", time)),
        found,
    );
    let busy_timeout = kept(time("lease.busy_timeout", &spec.busy_timeout), found);
    Some(LeaseSettings {
        on_busy: spec.on_busy,
        busy_timeout: busy_timeout?,
        ttl: ttl?,
        enabled: spec.enabled,
    })
}

fn single_put_max(text: &str) -> Result<u64, Problem> {
    match text.parse::<ByteSize>() {
        Ok(size) if (1..=SINGLE_PUT_LIMIT).contains(&size.as_u64()) => Ok(size.as_u64()),
        _ => {
            let fault = format!("is `{text}`, expected a size such as `1GiB`, at most `5GiB`");
            Err(Problem::new("publish.single_put_max", fault))
        }
    }
}

pub(super) fn task(spec: TaskSpec) -> TaskSettings {
    let path = |text: String| (text != OFF && !text.is_empty()).then(|| PathBuf::from(text));
    TaskSettings {
        summary_file: spec.summary_file.and_then(path),
        xcom: path(spec.xcom),
        termination_log: path(spec.termination_log),
    }
}

fn metrics(spec: MetricsSpec) -> Result<MetricsSettings, Problem> {
    if let Some(url) = &spec.pushgateway {
        url_without_user("metrics.pushgateway", url)?;
    }
    Ok(MetricsSettings {
        textfile: spec.textfile.map(PathBuf::from),
        pushgateway: spec.pushgateway,
    })
}

fn daemon(spec: &DaemonSpec) -> Result<DaemonSettings, Problem> {
    let listen = match spec.listen.as_str() {
        OFF => None,
        text => Some(text.parse().map_err(|_| {
            let fault = format!("is `{text}`, expected an address and a port such as `127.0.0.1:8735`, or `off`");
            Problem::new("daemon.listen", fault)
        })?),
    };
    Ok(DaemonSettings {
        listen,
        max_parallel_runs: spec.max_parallel_runs.max(1),
    })
}

fn url_without_user(key: &str, url: &str) -> Result<(), Problem> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match host {
        None | Some("") => Err(Problem::new(key, "is not a URL that starts with https:// or http://")),
        Some(host) if host.contains('@') => Err(Problem::new(key, "holds a user or a password")),
        Some(_) => Ok(()),
    }
}

/// The log's form; `None` where the terminal decides.
fn format(spec: &LogSpec) -> Option<LogFormat> {
    match spec.format {
        FormatSpec::Auto => None,
        FormatSpec::Text => Some(LogFormat::Text),
        FormatSpec::Json => Some(LogFormat::Json),
    }
}

fn progress(spec: &LogSpec) -> ProgressMode {
    match spec.progress {
        ProgressSpec::Auto => ProgressMode::Auto,
        ProgressSpec::Bar => ProgressMode::Bar,
        ProgressSpec::Lines => ProgressMode::Lines,
        ProgressSpec::Off => ProgressMode::Off,
    }
}

fn storage(settings: StorageSettings) -> Result<StorageSettings, Problem> {
    let Some(endpoint) = &settings.endpoint else {
        return Ok(settings);
    };
    url_without_user("storage.endpoint", endpoint).map_err(|problem| {
        let user = endpoint.contains('@');
        let hint = "credentials come from the environment only, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
        if user { problem.hint(hint) } else { problem }
    })?;
    if endpoint.contains(['?', '#']) {
        return Err(Problem::new("storage.endpoint", "holds a query")
            .hint("expected the address of the service alone, such as https://s3.example.org"));
    }
    Ok(settings)
}
