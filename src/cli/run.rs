//! `run`: scores a date's partition and publishes it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tracing::info_span;
use uuid::Uuid;

use super::args::RunArgs;
use super::context::{Context, Terminal};
use super::plan;
use crate::announce::Channels;
use crate::clock::{Clock, SystemClock};
use crate::ending::Ending;
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::records;
use crate::run::{self, Options, Outcome, Shard};
use crate::settings::{self, Flag, Settings};
use crate::storage::Place;
use crate::validate::Job;

pub(super) fn run(args: &RunArgs, context: &Context) -> Result<ExitCode, Error> {
    if args.dry_run {
        return plan::dry_run(&args.job, context);
    }
    let settings = context.settings(&flags(args)).inspect_err(|error| {
        // Where the message belongs is not known then, so it goes where it belongs by default.
        Channels::default().write_error(&context.told(error));
    })?;
    let terminal = context.terminal(&settings)?;
    let channels = context.channels(&settings);
    let telling = Telling::begin(&channels, context.runtime()?.handle());
    let mut job = None;
    let outcome = score(args, &settings, &terminal, context, &mut job);
    let (exit, printed, error) = match &outcome {
        Ok(Outcome::Published(report)) => (ExitCode::Success, json!(report), None),
        Ok(Outcome::Nothing(notice)) => (ExitCode::Success, json!(notice), None),
        Err(error) => (error.exit(), context.document(error), Some(context.told(error))),
    };
    telling.end(job.as_ref(), &settings, exit, printed, error);
    match outcome? {
        Outcome::Published(report) => context.print(&report, &report.text()),
        Outcome::Nothing(notice) => context.print(&notice, &notice.text()),
    }
    Ok(ExitCode::Success)
}

/// Scores the date. The job is handed out as soon as it is known, for those who are told how it ended.
fn score(
    args: &RunArgs,
    settings: &Settings,
    terminal: &Terminal<'_>,
    context: &Context,
    known: &mut Option<Job>,
) -> Result<Outcome, Error> {
    let job = known.insert(context.dated(&args.job)?);
    let options = Options {
        force: args.force,
        only_rejected: args.only_rejected,
        shard: shard(args.shard, settings)?,
        allow_nonatomic_replace: args.allow_nonatomic_replace,
    };
    let trace_id = settings.run.trace_id.as_ref();
    let span = info_span!("run", job = job.name, date = %job.date, trace_id);
    span.in_scope(|| terminal.around(settings, |around| run::run(job, &options, around)))
}

/// What is told of a run: that it begins, and how it ended.
struct Telling<'a> {
    channels: &'a Channels,
    runtime: &'a Handle,
    /// Names the run to those who measure it from outside.
    id: String,
    started: Duration,
}

impl<'a> Telling<'a> {
    fn begin(channels: &'a Channels, runtime: &'a Handle) -> Self {
        let telling = Self {
            channels,
            runtime,
            id: Uuid::new_v4().to_string(),
            started: SystemClock.monotonic(),
        };
        channels.begin(&telling.id, runtime);
        telling
    }

    fn end(&self, job: Option<&Job>, settings: &Settings, exit: ExitCode, printed: Value, error: Option<String>) {
        let ending = Ending {
            job: job.map(|job| job.name.clone()),
            model: job.map(|job| job.model_name.clone()),
            date: job.map(|job| job.date),
            exit,
            at: SystemClock.now(),
            seconds: SystemClock.monotonic().saturating_sub(self.started).as_secs_f64(),
            trace_id: settings.run.trace_id.clone(),
            printed,
            error,
        };
        let records = job.and_then(|job| {
            let state = Place::open(&job.state, &settings.storage).ok()?;
            Some(records::jobs(&state).join(&job.name))
        });
        self.channels.tell(&ending, &self.id, records.as_ref(), self.runtime);
    }
}

/// Flags that stand for settings.
fn flags(args: &RunArgs) -> Vec<Flag<'_>> {
    let flags = [
        ("--device", "device.kind", &args.job.device),
        ("--on-busy", "lease.on_busy", &args.on_busy),
        ("--max-runtime", "run.max_runtime", &args.max_runtime),
        ("--run-key", "run.key", &args.run_key),
        ("--summary-file", "task.summary_file", &args.summary_file),
    ];
    let given = flags.into_iter();
    given
        .filter_map(|(flag, key, value)| Some((flag, key, value.as_deref()?)))
        .collect()
}

/// The shard of this process: as it was asked for, else its number in an indexed Kubernetes job.
fn shard(asked: Option<Shard>, settings: &Settings) -> Result<Option<Shard>, ShardError> {
    let of = settings.run.shards;
    match (asked, settings::completion_index()) {
        (Some(shard), _) => Ok((shard.of > 1).then_some(shard)),
        (None, _) if of == 1 => Ok(None),
        (None, None) => Err(ShardError::NoIndex { of }),
        (None, Some(index)) => {
            let shard = index.parse().ok().and_then(|number| Shard::new(number, of));
            shard.map(Some).ok_or(ShardError::Index { index, of })
        }
    }
}

/// Why it is not known which shard this process is.
#[derive(Debug, thiserror::Error)]
enum ShardError {
    #[error("[run] shards is {of}, and nothing says which of them this process is")]
    NoIndex { of: usize },
    #[error("JOB_COMPLETION_INDEX is `{index}`, expected a number below {of}, which is [run] shards")]
    Index { index: String, of: usize },
}

impl Seam for ShardError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::NoIndex { .. } | Self::Index { .. } => ExitCode::Config,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoIndex { .. } => {
                "give --shard I/N, or run it as an indexed Kubernetes job, which sets JOB_COMPLETION_INDEX"
            }
            Self::Index { .. } => "`completions` of the Kubernetes job and [run] shards must be the same number",
        };
        Some(hint.to_owned())
    }
}
