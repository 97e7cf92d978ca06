//! `run`: scores a date's partition and publishes it.

use tracing::info_span;

use super::args::RunArgs;
use super::context::Context;
use super::plan;
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::run::{self, Options, Outcome, Shard};
use crate::settings::{self, Flag, Settings};

pub(super) fn run(args: &RunArgs, context: &Context) -> Result<ExitCode, Error> {
    if args.dry_run {
        return plan::dry_run(&args.job, context);
    }
    let settings = context.settings(&flags(args))?;
    let terminal = context.terminal(&settings)?;
    let job = context.dated(&args.job)?;
    let options = Options {
        force: args.force,
        only_rejected: args.only_rejected,
        shard: shard(args.shard, &settings)?,
        allow_nonatomic_replace: args.allow_nonatomic_replace,
    };
    let span = info_span!("run", job = job.name, date = %job.date);
    let outcome = span.in_scope(|| terminal.around(&settings, |around| run::run(&job, &options, around)))?;
    match outcome {
        Outcome::Published(report) => context.print(&report, &report.text()),
        Outcome::Nothing(notice) => context.print(&notice, &notice.text()),
    }
    Ok(ExitCode::Success)
}

/// Flags that stand for settings.
fn flags(args: &RunArgs) -> Vec<Flag<'_>> {
    let flags = [
        ("--device", "device.kind", &args.job.device),
        ("--on-busy", "lease.on_busy", &args.on_busy),
        ("--max-runtime", "run.max_runtime", &args.max_runtime),
        ("--run-key", "run.key", &args.run_key),
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
