//! What can be asked: the types that clap fills.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::backfill::Only;
use crate::date::Asked;
use crate::run::Shard;

/// Scores a date's partition of Parquet features with a TorchScript model and publishes it whole.
#[derive(Debug, Parser)]
#[command(name = "batch-infer", version, about, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Settings of this machine, a TOML file as in configs/
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Form of what is printed on stdout
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    pub(super) format: Format,
    /// Logs warnings and errors only, and shows no progress
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
}

/// Form of what is printed on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Scores a date's partition and publishes it
    Run(RunArgs),
    /// Shows what a run would do: reads footers, scores nothing, writes nothing
    Plan(JobArgs),
    /// Scores the dates of a range, each in a process of its own
    Backfill(BackfillArgs),
    /// Runs the jobs of a folder by their schedules
    Daemon(DaemonArgs),
    /// Shows what was published
    Runs(RunsArgs),
    /// Shows rejected rows
    Rejects(RejectsArgs),
    /// Compares what readers see of a date with what was decided
    Verify(VerifyDateArgs),
    /// Removes what no run will ask for again from the state folder
    Gc(GcArgs),
    /// Checks a job file; with a date also its model and the input's columns
    Validate(ValidateArgs),
    /// Shows when a job runs
    Schedule(ScheduleArgs),
    /// Checks this machine, and a job on it
    Doctor(DoctorArgs),
    /// Looks into a model registry
    Model(ModelArgs),
    /// Shows settings and the schemas of files
    Config(ConfigArgs),
    /// Prints the first rows of a Parquet file
    Head(HeadArgs),
    /// Prints a shell's completion script
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Which job, and how it differs this once.
#[derive(Debug, Args)]
pub(super) struct JobFile {
    /// The job file
    #[arg(long, value_name = "FILE")]
    pub(super) job: PathBuf,
    /// Another value for a key of the job file, for this once; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct JobArgs {
    #[command(flatten)]
    pub(super) file: JobFile,
    /// The date to score, or `yesterday` at a terminal; without it the one of the time for which this run was scheduled
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(super) date: Option<Asked>,
    /// Takes `yesterday` where nobody watches, too
    #[arg(long)]
    pub(super) allow_relative_date: bool,
    /// Where the model runs: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<String>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) job: JobArgs,
    /// Looks at everything, loads and tries the model, scores nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Scores and publishes again what is published already
    #[arg(long)]
    pub(super) force: bool,
    /// Scores again only the rows that were rejected, and publishes them together with those that are published
    #[arg(long, conflicts_with = "force")]
    pub(super) only_rejected: bool,
    /// Scores one of N parts of the date; the process that finds all parts finished publishes
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(super) shard: Option<Shard>,
    /// What to do while another process works on the job and date: wait, skip or fail
    #[arg(long, value_name = "WHAT")]
    pub(super) on_busy: Option<String>,
    /// Time after which the run stops, such as 2h; finished chunks are kept
    #[arg(long, value_name = "TIME")]
    pub(super) max_runtime: Option<String>,
    /// Names the intention that this process belongs to; all processes with one key are one run
    #[arg(long, value_name = "KEY")]
    pub(super) run_key: Option<String>,
    /// Also writes the report, or the error, as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub(super) summary_file: Option<String>,
    /// Lets the number of a partition's files change in a bucket, where readers see each step of it
    #[arg(long)]
    pub(super) allow_nonatomic_replace: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct BackfillArgs {
    #[command(flatten)]
    pub(super) file: JobFile,
    /// The first date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date, required_unless_present = "within")]
    pub(super) from: Option<NaiveDate>,
    /// The last date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date, required_unless_present = "within")]
    pub(super) to: Option<NaiveDate>,
    /// Only days of the range that the schedule of the job scores, for jobs that do not run each day
    #[arg(long)]
    pub(super) scheduled: bool,
    /// Instead of a range: the dates of the fires of its schedule within this time, such as 3d, up to now
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with_all = ["from", "to"])]
    pub(super) within: Option<Duration>,
    /// Which dates: those that readers do not see, those whose last run published nothing, those whose input is not what was scored, or all
    #[arg(long, value_name = "WHICH", default_value = "missing")]
    pub(super) only: Only,
    /// Says which dates would be scored and whether their input is there, and scores none
    #[arg(long)]
    pub(super) plan: bool,
    /// Dates that are scored at a time; they share the cores and the memory
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) parallel: NonZeroUsize,
    /// Begins with the newest date
    #[arg(long)]
    pub(super) newest_first: bool,
    /// Scores and publishes again what is published already
    #[arg(long)]
    pub(super) force: bool,
    /// Also writes the summary as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub(super) summary_file: Option<String>,
    /// Where the model runs: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct DaemonArgs {
    /// The folder with the job files, *.toml
    #[arg(value_name = "FOLDER")]
    pub(super) jobs: PathBuf,
    /// Address and port of the pages, or `off`
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
    /// Runs at a time, over all jobs
    #[arg(long, value_name = "N")]
    pub(super) max_parallel_runs: Option<NonZeroUsize>,
    /// Where models run: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<String>,
}

fn date(text: &str) -> Result<NaiveDate, String> {
    match text.parse() {
        Ok(Asked::Date(date)) => Ok(date),
        Ok(Asked::Nothing | Asked::DaysAgo(_)) | Err(_) => Err("expected a date such as 2026-11-19".to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a time such as 3d or 36h".to_owned())
}

fn shard(text: &str) -> Result<Shard, String> {
    Shard::parse(text)
        .ok_or_else(|| "expected I/N, the number of the part from 0 and the number of parts, such as 0/4".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    #[command(subcommand)]
    pub(super) command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RunsCommand {
    /// Lists publications, newest first
    List(RunsListArgs),
    /// Shows one date in full: its publication, its log, who works on it
    Show(RunsShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunsListArgs {
    #[command(flatten)]
    pub(super) file: JobFile,
    /// Only this date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date, conflicts_with_all = ["from", "to"])]
    pub(super) date: Option<NaiveDate>,
    /// Only this date and later ones
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub(super) from: Option<NaiveDate>,
    /// Only this date and earlier ones
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub(super) to: Option<NaiveDate>,
    /// Publications to list
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(super) most: usize,
}

#[derive(Debug, Args)]
pub(super) struct RunsShowArgs {
    #[command(flatten)]
    pub(super) file: JobFile,
    /// The date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub(super) date: NaiveDate,
    /// The publication; without it the one that readers see
    #[arg(long, value_name = "N")]
    pub(super) seq: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct RejectsArgs {
    #[command(subcommand)]
    pub(super) command: RejectsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum RejectsCommand {
    /// Shows the rejected rows of a date: key, file, row, reason, column and message
    Show(RejectsShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct RejectsShowArgs {
    #[command(flatten)]
    pub(super) file: JobFile,
    /// The date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date, env = "BATCH_INFER_DATE")]
    pub(super) date: NaiveDate,
    /// The plan, or the beginning of its name; without it the newest that rejected rows
    #[arg(long, value_name = "PLAN")]
    pub(super) plan: Option<String>,
    /// Rows to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(super) most: usize,
}

#[derive(Debug, Args)]
pub(super) struct VerifyDateArgs {
    #[command(flatten)]
    pub(super) file: JobFile,
    /// The date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub(super) date: NaiveDate,
    /// Brings back what was decided, from the parts of its plan
    #[arg(long)]
    pub(super) repair: bool,
}

#[derive(Debug, Args)]
pub(super) struct GcArgs {
    #[command(flatten)]
    pub(super) file: JobFile,
    /// Only this date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub(super) date: Option<NaiveDate>,
    /// Says what would be removed, and removes nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    pub(super) file: JobFile,
    /// Also compares the columns of this date's input with the model's contract
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date)]
    pub(super) date: Option<NaiveDate>,
}

#[derive(Debug, Args)]
pub(super) struct ScheduleArgs {
    #[command(subcommand)]
    pub(super) command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ScheduleCommand {
    /// Shows the coming times, in the schedule's zone and in UTC, and the date that each scores
    Next(ScheduleNextArgs),
}

#[derive(Debug, Args)]
pub(super) struct ScheduleNextArgs {
    #[command(flatten)]
    pub(super) file: JobFile,
    /// Times to show
    #[arg(long, short = 'n', value_name = "N", default_value_t = 5)]
    pub(super) most: usize,
    /// Only later ones: a time such as 2026-11-20T02:00:00Z, or a date of the schedule's zone; without it now
    #[arg(long, value_name = "TIME")]
    pub(super) after: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Also checks this job's model and places
    #[arg(long, value_name = "FILE")]
    pub(super) job: Option<PathBuf>,
    /// The date for which the job's input is looked for
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = date, requires = "job")]
    pub(super) date: Option<NaiveDate>,
    /// Where the model would run: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    #[command(subcommand)]
    pub(super) command: ModelCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelCommand {
    /// Lists models, versions and aliases
    List {
        /// The registry: a folder or `s3://bucket/prefix`
        #[arg(long, value_name = "PATH")]
        registry: String,
    },
    /// Shows the contract of a version
    Show(VersionArgs),
    /// Checks a version: digest, contract, a try on two rows, and its golden rows
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// The registry: a folder or `s3://bucket/prefix`
    #[arg(long, value_name = "PATH")]
    pub(super) registry: String,
    /// The model
    pub(super) name: String,
    /// A version, an alias, or latest
    #[arg(default_value = "latest")]
    pub(super) version: String,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    pub(super) version: VersionArgs,
    /// Where the model runs: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    pub(super) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Prints the JSON Schema of a kind of file
    Schema {
        /// The kind of file
        #[arg(default_value = "job")]
        file: SchemaFile,
    },
    /// Prints the settings in force and where each came from
    Show,
}

/// A kind of file that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaFile {
    /// jobs/*.toml
    Job,
    /// configs/*.toml
    Settings,
    /// metadata.json beside a model
    Metadata,
}

#[derive(Debug, Args)]
pub(super) struct HeadArgs {
    /// A Parquet file: a path or `s3://bucket/key`
    pub(super) path: String,
    /// Rows to print
    #[arg(long, short = 'n', default_value_t = 10)]
    pub(super) rows: usize,
}
