//! `config`: prints the schemas of files and the settings in force.

use super::args::{ConfigArgs, ConfigCommand, SchemaFile};
use super::context::Context;
use crate::contract::Contract;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::schema;
use crate::settings::SettingsSpec;
use crate::spec::JobSpec;

pub(super) fn config(args: &ConfigArgs, context: &Context) -> Result<ExitCode, Error> {
    match args.command {
        ConfigCommand::Schema { file } => {
            let schema = match file {
                SchemaFile::Job => schema::of_toml::<JobSpec>(),
                SchemaFile::Settings => schema::of_toml::<SettingsSpec>(),
                SchemaFile::Metadata => schema::of_json::<Contract>(),
            };
            context.write(&schema::schema_text(&schema));
        }
        ConfigCommand::Show => {
            let shown = context.shown_settings()?;
            context.print(&shown.json(), &shown.text());
        }
    }
    Ok(ExitCode::Success)
}
