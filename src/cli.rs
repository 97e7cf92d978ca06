//! The command line: what can be asked, and one function for each answer.
//!
//! Results go to stdout, logs and progress to stderr. No logic lives here: a command reads files, calls the library and prints.

mod args;
mod backfill;
mod config;
mod context;
mod daemon;
mod doctor;
mod gc;
mod head;
mod model;
mod plan;
mod refused;
mod rejects;
mod run;
mod runs;
mod schedule;
mod validate;
mod variables;
mod verify;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Command};
use context::Context;

use crate::error::Error;
use crate::exit::ExitCode;
use crate::machine;

/// Answers the command line of this process.
pub fn main() -> ExitCode {
    machine::keep_to_group();
    machine::keep_freed_memory(machine::Machine::here().cores());
    let matches = variables::with_variables(Cli::command()).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return refused::refused(&error),
    };
    let context = Context::new(&cli.common);
    context::clean_panics();
    let ended = match catch_unwind(AssertUnwindSafe(|| answer(cli.command, &context))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            context.report(&error);
            error.exit()
        }
        // The panic hook has said what it was. The code of a panic by itself stands in no table.
        Err(_) => ExitCode::Internal,
    };
    // The process ends now, in the middle of whatever its threads do. A runtime that is taken down under them would only make them panic.
    std::mem::forget(context);
    ended
}

fn answer(command: Command, context: &Context) -> Result<ExitCode, Error> {
    match command {
        Command::Run(args) => run::run(&args, context),
        Command::Plan(args) => plan::plan(&args, context),
        Command::Backfill(args) => backfill::backfill(&args, context),
        Command::Daemon(args) => daemon::daemon(&args, context),
        Command::Runs(args) => runs::runs(&args.command, context),
        Command::Rejects(args) => rejects::rejects(&args.command, context),
        Command::Verify(args) => verify::verify(&args, context),
        Command::Gc(args) => gc::gc(&args, context),
        Command::Validate(args) => validate::validate(&args, context),
        Command::Schedule(args) => schedule::schedule(&args.command, context),
        Command::Doctor(args) => doctor::doctor(&args, context),
        Command::Model(args) => model::model(&args, context),
        Command::Config(args) => config::config(&args, context),
        Command::Head(args) => head::head(&args, context),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "batch-infer", &mut script);
            // A closed pipe is the reader's choice.
            let _ = std::io::stdout().write_all(&script);
            Ok(ExitCode::Success)
        }
    }
}
