//! The log: what the program says while it runs, as text for people or as JSON lines for machines, cleaned of secrets.
//!
//! [`init`] takes a filter, a format and a writer and sets the log of the process, once. The fields that identify a run (job,
//! date, `run_id`) stand on the root span, which the caller opens. Nothing here decides what is logged, and results never go
//! this way: they belong on stdout.

mod format;
mod redact;

use std::ffi::OsStr;
use std::sync::Arc;

use thiserror::Error;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry};

use self::format::{JsonLine, TextLine};
pub use self::redact::{MASK, Redacting, RedactingWriter, Redactor};
use crate::clock::{Clock, SystemClock};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::settings::LogFormat;

/// Who names it in the level hears all that the library says.
const STORE_LIBRARY: &str = "object_store";

/// The library tells of each attempt that failed, at info. `storage` tells of it too, at debug, and counts it.
const QUIET_RETRIES: &str = "object_store::client::retry=warn";

/// Whether text may be coloured: on a terminal, unless `NO_COLOR` has a value.
pub fn colour_wanted(stderr_is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    stderr_is_terminal && no_color.is_none_or(OsStr::is_empty)
}

/// Sets the log of the process. `level` is a level or a list of `target=level`; `ansi` colours text and is ignored for JSON.
pub fn init<W>(level: &str, format: LogFormat, ansi: bool, writer: W) -> Result<(), TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    dispatch(level, format, ansi, writer, &clock)?
        .try_init()
        .map_err(|source| TelemetryError::AlreadySet { source })
}

fn dispatch<W>(
    level: &str,
    format: LogFormat,
    ansi: bool,
    writer: W,
    clock: &Arc<dyn Clock>,
) -> Result<Dispatch, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filtered = Registry::default().with(filter(level)?);
    // A closed stderr must not end a run: the layer would tell of it by a print, and that print would panic.
    let layer = fmt::layer().with_writer(writer).log_internal_errors(false);
    Ok(match format {
        LogFormat::Text => {
            let layer = layer.with_ansi(ansi).event_format(TextLine::new(clock));
            Dispatch::new(filtered.with(layer))
        }
        LogFormat::Json => {
            let layer = layer.with_ansi(false).fmt_fields(JsonFields::new());
            Dispatch::new(filtered.with(layer.event_format(JsonLine::new(clock))))
        }
    })
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let level = level.trim();
    // The filter would take a lone word as a target and be silent about everything else; here it is a level with a typo.
    let is_word = level.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word && level.parse::<LevelFilter>().is_err() {
        return Err(TelemetryError::UnknownLevel {
            level: level.to_owned(),
        });
    }
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|source| TelemetryError::Filter {
            level: level.to_owned(),
            source,
        })?;
    if level.contains(STORE_LIBRARY) {
        return Ok(filter);
    }
    Ok(filter.add_directive(QUIET_RETRIES.parse().expect("a target and a level")))
}

/// The log cannot be set.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// One word that is no level.
    #[error("unknown log level `{level}`")]
    UnknownLevel {
        /// The word.
        level: String,
    },
    /// A list that cannot be read.
    #[error("read the log level `{level}`")]
    Filter {
        /// The list.
        level: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Something else has set it before.
    #[error("set the log of the process a second time")]
    AlreadySet {
        /// What the log said.
        source: TryInitError,
    },
}

impl Seam for TelemetryError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::UnknownLevel { .. } | Self::Filter { .. } => ExitCode::Config,
            Self::AlreadySet { .. } => ExitCode::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownLevel { .. } | Self::Filter { .. } => Some(
                "use off, error, warn, info, debug or trace, or a list such as `warn,batch_infer=debug`".to_owned(),
            ),
            Self::AlreadySet { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
