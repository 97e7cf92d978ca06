//! Settings as written become settings as used: each short text is read, or it is a problem.

use std::time::Duration;

use bytesize::ByteSize;

use super::spec::{AUTO, FormatSpec, LogSpec, ProgressSpec, SettingsSpec, StorageSettings};
use super::{DeviceRequest, DeviceSettings, LineSettings, LogFormat, LogSettings, ProgressMode, Settings};
use crate::problem::{Problem, kept, listed, meant};

/// Names of the levels of the log.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads every short text.
pub(super) fn settings(spec: SettingsSpec) -> Result<Settings, Vec<Problem>> {
    let mut found = Vec::new();
    let kind = kept(device(&spec.device.kind), &mut found);
    let memory = kept(memory(&spec.line.memory), &mut found);
    let level = kept(level(&spec.log.level), &mut found);
    let interval = kept(interval(&spec.log.interval), &mut found);
    let storage = kept(storage(spec.storage), &mut found);
    let (Some(kind), Some(memory), Some(level), Some(interval), Some(storage)) =
        (kind, memory, level, interval, storage)
    else {
        return Err(found);
    };
    Ok(Settings {
        device: DeviceSettings { kind },
        threads: spec.threads,
        line: LineSettings {
            chunk_rows: spec.line.chunk_rows,
            batch_rows: spec.line.batch_rows,
            memory,
        },
        storage,
        spool: spec.spool,
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

/// Bytes; `None` for a share of the machine's memory.
fn memory(text: &str) -> Result<Option<u64>, Problem> {
    if text == AUTO {
        return Ok(None);
    }
    match text.parse::<ByteSize>() {
        Ok(size) if size.as_u64() > 0 => Ok(Some(size.as_u64())),
        _ => {
            let fault = format!("is `{text}`, expected `auto` or a size such as `2GiB`");
            Err(Problem::new("line.memory", fault))
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
    match humantime::parse_duration(text) {
        Ok(interval) if !interval.is_zero() => Ok(interval),
        _ => {
            let fault = format!("is `{text}`, expected a time such as `10s` or `1m 30s`");
            Err(Problem::new("log.interval", fault))
        }
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
    let host = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"));
    match host {
        None | Some("") => {
            let problem = Problem::new("storage.endpoint", "is not a URL that starts with https:// or http://");
            Err(problem)
        }
        Some(host) if host.contains('@') => Err(Problem::new("storage.endpoint", "holds a user or a password")
            .hint("credentials come from the environment only, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")),
        Some(_) => Ok(settings),
    }
}
