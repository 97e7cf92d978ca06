//! A command line that cannot be read, and those who are told of it all the same: whoever waits for a summary gets one.
//!
//! Flags are looked for by their names alone, since there is nothing that has read them.

use std::io::{Write, stderr};

use super::args::{Common, Format};
use super::context::Context;
use crate::clock::{Clock, SystemClock};
use crate::ending::Ending;
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::settings;

/// Commands that leave a summary.
const TOLD: [&str; 2] = ["run", "backfill"];

/// Says what is wrong with the command line, on stderr and wherever the end of such a command is told.
pub(super) fn refused(error: &clap::Error) -> ExitCode {
    // Help and version are answers too; clap writes each to where it belongs.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::Success;
    }
    let _ = writeln!(stderr(), "  exit code: {}", ExitCode::Usage);
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let json = value(&words, "--format").is_some_and(|form| form == "json");
    let context = Context::new(&Common {
        config: value(&words, "--config").map(Into::into),
        format: if json { Format::Json } else { Format::Text },
        quiet: false,
    });
    let error = Error::from(UsageError {
        what: sentence(&error.to_string()),
    });
    let document = context.document(&error);
    if json {
        context.print(&document, "");
    }
    if words.iter().any(|word| TOLD.contains(&word.as_str())) {
        let file = value(&words, "--summary-file").map(str::to_owned);
        let file = file.or_else(settings::summary_file);
        let flags: Vec<_> = file
            .iter()
            .map(|file| ("--summary-file", "task.summary_file", file.as_str()))
            .collect();
        // Settings that cannot be used are not what this process ends for.
        let channels = context.settings(&flags).map(|settings| context.channels(&settings));
        let channels = channels.unwrap_or_default();
        let ending = Ending {
            job: None,
            model: None,
            date: None,
            exit: ExitCode::Usage,
            at: SystemClock.now(),
            seconds: 0.0,
            trace_id: None,
            printed: document,
            error: None,
        };
        channels.write_summary(&ending.document());
        channels.write_error(&context.told(&error));
    }
    ExitCode::Usage
}

/// The value of a flag.
fn value<'w>(words: &'w [String], flag: &str) -> Option<&'w str> {
    let apart = |place: usize| words.get(place + 1).map(String::as_str);
    words
        .iter()
        .enumerate()
        .find_map(|(place, word)| match word.strip_prefix(flag)? {
            "" => apart(place),
            rest => rest.strip_prefix('='),
        })
}

/// What is wrong, without the usage that follows it.
fn sentence(text: &str) -> String {
    let first = text.split("\n\n").next().unwrap_or(text);
    let first = first.strip_prefix("error: ").unwrap_or(first);
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The command line cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct UsageError {
    what: String,
}

impl Seam for UsageError {
    fn exit(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("`--help` after the command tells its flags".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{sentence, value};

    #[test]
    fn flags_are_found_by_their_names() {
        let words = ["run", "--format=json", "--summary-file", "out.json", "--format-of", "x"].map(str::to_owned);
        assert_eq!(value(&words, "--format"), Some("json"));
        assert_eq!(value(&words, "--summary-file"), Some("out.json"));
        assert_eq!(value(&words, "--config"), None);
        assert_eq!(value(&words[2..3], "--summary-file"), None);
    }

    #[test]
    fn usage_is_no_part_of_what_is_wrong() {
        let text =
            "error: the following required arguments were not provided:\n  --job <FILE>\n\nUsage: batch-infer run";
        assert_eq!(
            sentence(text),
            "the following required arguments were not provided: --job <FILE>"
        );
    }
}
