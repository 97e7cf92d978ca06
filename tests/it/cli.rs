//! What the command line answers: help, schemas, and for everything that can go wrong the exit code and the message.

mod commands;
mod input;
mod job_file;
mod machine;
mod model;

use batch_infer::exit::ExitCode;

use crate::support::{command, repository};

/// Exit code, standard output and standard error of the binary, run in the folder of the package.
fn answer(arguments: &[&str]) -> (i32, String, String) {
    let output = command(repository()).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn expect_answer(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = answer(arguments);
    assert_eq!(code, 0, "{stderr}");
    stdout
}

#[track_caller]
fn expect_usage_error(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = answer(arguments);
    assert_eq!(code, i32::from(ExitCode::Usage.code()), "{stdout}{stderr}");
    assert_eq!(stdout, "", "an error is no result");
    stderr
}

#[test]
fn help_names_every_command() {
    insta::assert_snapshot!(expect_answer(&["-h"]), @"
    Scores a date's partition of Parquet features with a TorchScript model and publishes it whole.

    Usage: batch-infer [OPTIONS] <COMMAND>

    Commands:
      run          Scores a date's partition and publishes it
      plan         Shows what a run would do: reads footers, scores nothing, writes nothing
      backfill     Scores the dates of a range, each in a process of its own
      daemon       Runs the jobs of a folder by their schedules
      runs         Shows what was published
      rejects      Shows rejected rows
      verify       Compares what readers see of a date with what was decided
      gc           Removes what no run will ask for again from the state folder
      validate     Checks a job file; with a date also its model and the input's columns
      schedule     Shows when a job runs
      doctor       Checks this machine, and a job on it
      model        Looks into a model registry
      config       Shows settings and the schemas of files
      head         Prints the first rows of a Parquet file
      completions  Prints a shell's completion script
      help         Print this message or the help of the given subcommand(s)

    Options:
          --config <FILE>  Settings of this machine, a TOML file as in configs/ [env:
                           BATCH_INFER_CONFIG=]
          --format <FORM>  Form of what is printed on stdout [env: BATCH_INFER_FORMAT=] [default: text]
                           [possible values: text, json]
      -q, --quiet          Logs warnings and errors only, and shows no progress [env:
                           BATCH_INFER_QUIET=]
      -h, --help           Print help (see more with '--help')
      -V, --version        Print version
    ");
}

#[test]
fn help_of_run_names_its_flags() {
    insta::assert_snapshot!(expect_answer(&["run", "-h"]), @"
    Scores a date's partition and publishes it

    Usage: batch-infer run [OPTIONS] --job <FILE>

    Options:
          --config <FILE>            Settings of this machine, a TOML file as in configs/ [env:
                                     BATCH_INFER_CONFIG=]
          --job <FILE>               The job file [env: BATCH_INFER_JOB=]
          --format <FORM>            Form of what is printed on stdout [env: BATCH_INFER_FORMAT=]
                                     [default: text] [possible values: text, json]
          --set <KEY=VALUE>          Another value for a key of the job file, for this once; may be
                                     repeated [env: BATCH_INFER_SET=]
          --date <YYYY-MM-DD>        The date to score, or `yesterday` at a terminal; without it the one
                                     of the time for which this run was scheduled [env:
                                     BATCH_INFER_DATE=]
      -q, --quiet                    Logs warnings and errors only, and shows no progress [env:
                                     BATCH_INFER_QUIET=]
          --allow-relative-date      Takes `yesterday` where nobody watches, too [env:
                                     BATCH_INFER_ALLOW_RELATIVE_DATE=]
          --device <DEVICE>          Where the model runs: auto, cpu, cuda or cuda:N [env:
                                     BATCH_INFER_DEVICE=]
          --dry-run                  Looks at everything, loads and tries the model, scores nothing
                                     [env: BATCH_INFER_DRY_RUN=]
          --force                    Scores and publishes again what is published already [env:
                                     BATCH_INFER_FORCE=]
          --only-rejected            Scores again only the rows that were rejected, and publishes them
                                     together with those that are published [env:
                                     BATCH_INFER_ONLY_REJECTED=]
          --shard <I/N>              Scores one of N parts of the date; the process that finds all parts
                                     finished publishes [env: BATCH_INFER_SHARD=]
          --on-busy <WHAT>           What to do while another process works on the job and date: wait,
                                     skip or fail [env: BATCH_INFER_ON_BUSY=]
          --max-runtime <TIME>       Time after which the run stops, such as 2h; finished chunks are
                                     kept [env: BATCH_INFER_MAX_RUNTIME=]
          --run-key <KEY>            Names the intention that this process belongs to; all processes
                                     with one key are one run [env: BATCH_INFER_RUN_KEY=]
          --summary-file <FILE>      Also writes the report, or the error, as JSON into this file [env:
                                     BATCH_INFER_SUMMARY_FILE=]
          --allow-nonatomic-replace  Lets the number of a partition's files change in a bucket, where
                                     readers see each step of it [env:
                                     BATCH_INFER_ALLOW_NONATOMIC_REPLACE=]
      -h, --help                     Print help (see more with '--help')
    ");
}

#[test]
fn version_is_that_of_the_package() {
    let version = format!("batch-infer {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(expect_answer(&["--version"]), version);
}

#[test]
fn each_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = expect_answer(&["completions", shell]);
        assert!(
            script.contains("batch-infer") && script.contains("completions"),
            "{shell}: {script}"
        );
    }
}

#[test]
fn schemas_describe_every_kind_of_file() {
    for (kind, key) in [
        ("job", "passthrough"),
        ("settings", "batch_rows"),
        ("metadata", "features"),
    ] {
        let schema: serde_json::Value = serde_json::from_str(&expect_answer(&["config", "schema", kind])).unwrap();
        assert!(schema.to_string().contains(&format!("\"{key}\"")), "{kind}: {schema}");
    }
}

#[test]
fn what_is_no_command_line_is_a_usage_error() {
    for arguments in [
        &[][..],
        &["score"],
        &["run"],
        &["run", "--job", "jobs/churn.toml"],
        &["run", "--job", "jobs/churn.toml", "--date", "2026-02-30"],
        &["run", "--job", "jobs/churn.toml", "--date", "today"],
        &["run", "--job", "jobs/churn.toml", "--date", "2026-11-19", "--fast"],
        &["model", "list"],
        &["config", "schema", "model"],
        &["completions", "cmd"],
    ] {
        expect_usage_error(arguments);
    }
}

#[test]
fn misspelt_flag_is_answered_with_the_one_meant() {
    let message = expect_usage_error(&["run", "--job", "jobs/churn.toml", "--dates", "2026-11-19"]);
    insta::assert_snapshot!(message, @"
    error: unexpected argument '--dates' found

      tip: a similar argument exists: '--date'

    Usage: batch-infer run --job <FILE> --date <YYYY-MM-DD>

    For more information, try '--help'.
      exit code: 2 (command line not understood)
    ");
}
