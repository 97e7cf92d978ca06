//! `daemon`: runs the jobs of a folder by their schedules.

use uuid::Uuid;

use super::args::DaemonArgs;
use super::context::Context;
use crate::child::{JobSource, Order, shares};
use crate::daemon::{self, Watch};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::hold::Holder;
use crate::run;

pub(super) fn daemon(args: &DaemonArgs, context: &Context) -> Result<ExitCode, Error> {
    let mut flags = Vec::new();
    flags.extend(
        args.listen
            .as_deref()
            .map(|listen| ("--listen", "daemon.listen", listen)),
    );
    flags.extend(args.device.as_deref().map(|device| ("--device", "device.kind", device)));
    let parallel = args.max_parallel_runs.map(|parallel| parallel.to_string());
    flags.extend(
        parallel
            .as_deref()
            .map(|parallel| ("--max-parallel-runs", "daemon.max_parallel_runs", parallel)),
    );
    let settings = context.settings(&flags)?;
    let terminal = context.terminal(&settings)?;
    terminal.around(&settings, |around| {
        let parallel = settings.daemon.max_parallel_runs;
        let shared = shares(&settings, around.machine.cores(), run::limits(around).memory, parallel);
        let mut arguments = Vec::new();
        if let Some(device) = &args.device {
            arguments.extend(["--device".to_owned(), device.clone()]);
        }
        arguments.extend(context.quiet().then(|| "--quiet".to_owned()));
        let host = around.machine.host_name().unwrap_or_else(|| "this machine".to_owned());
        let id = Uuid::new_v4().to_string();
        let watch = Watch {
            jobs: args.jobs.clone(),
            order: Order {
                config: context.config().map(ToOwned::to_owned),
                arguments,
                variables: shared.into_iter().chain(Order::alone()).collect(),
                // Each run gets its own.
                job: JobSource::File(args.jobs.clone()),
            },
            holder: Holder {
                run_key: id.clone(),
                id,
                host,
                pid: std::process::id(),
            },
        };
        around.runtime.block_on(daemon::watch(&watch, around))
    })
}
