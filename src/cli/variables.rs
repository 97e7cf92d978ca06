//! Variables of flags: each flag has one, `BATCH_INFER_` and its name, so that whoever starts containers need not build a command line.

use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, Command};

use crate::settings;

/// Flags that choose among what there is. In a container that is told its date they would hide the rest.
const FILTERS: [(&str, &str); 2] = [("list", "date"), ("gc", "date")];

/// The command with the variable of each flag.
pub(super) fn with_variables(command: Command) -> Command {
    let name = command.get_name().to_owned();
    command
        .mut_args(|flag| match variable(&name, &flag) {
            Some(variable) => with_variable(flag, variable),
            None => flag,
        })
        .mut_subcommands(with_variables)
}

fn variable(command: &str, flag: &Arg) -> Option<String> {
    let long = flag.get_long()?;
    if FILTERS.contains(&(command, long)) || matches!(flag.get_action(), ArgAction::Help | ArgAction::Version) {
        return None;
    }
    let variable = settings::variable_of(&long.replace('-', "_"));
    // An empty one counts as not set, as manifests often write it.
    (!settings::is_empty(&variable)).then_some(variable)
}

fn with_variable(flag: Arg, variable: String) -> Arg {
    let flag = if matches!(flag.get_action(), ArgAction::SetTrue) {
        flag.value_parser(FalseyValueParser::new())
    } else {
        flag
    };
    // Names of flags are few and live as long as the process.
    flag.env(&*variable.leak())
}
