//! `runs`: what was published, and one date in full.

use std::fmt::Write;

use bytesize::ByteSize;
use chrono::{DateTime, Utc};

use super::args::{RunsCommand, RunsListArgs, RunsShowArgs};
use super::context::Context;
use super::validate::ANY_DATE;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::history::{DateHistory, History, Publications};
use crate::records::{Entry, PublishedRecord};

/// Digits of a plan that tell it from others.
const PLAN_DIGITS: usize = 12;

/// Unfinished dates that are named.
const MOST_UNFINISHED: usize = 10;

pub(super) fn runs(command: &RunsCommand, context: &Context) -> Result<ExitCode, Error> {
    match command {
        RunsCommand::List(args) => list(args, context),
        RunsCommand::Show(args) => show(args, context),
    }
}

fn list(args: &RunsListArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&[])?;
    let terminal = context.terminal(&settings)?;
    let job = context.job(&args.file, ANY_DATE)?;
    let history = History::open(&job, &settings)?;
    let from = args.date.or(args.from);
    let to = args.date.or(args.to);
    let wanted = |date| from.is_none_or(|from| date >= from) && to.is_none_or(|to| date <= to);
    let found = terminal.around(&settings, |around| around.wait(history.publications(wanted, args.most)))?;
    context.print(&found, &table(&found));
    Ok(ExitCode::Success)
}

fn show(args: &RunsShowArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&[])?;
    let terminal = context.terminal(&settings)?;
    let job = context.job(&args.file, args.date)?;
    let history = History::open(&job, &settings)?;
    let found = terminal.around(&settings, |around| around.wait(history.of_date(args.date, args.seq)))?;
    context.print(&found, &described(&found));
    Ok(ExitCode::Success)
}

fn table(found: &Publications) -> String {
    let mut text = String::new();
    if found.publications.is_empty() && found.unreadable.is_empty() {
        let _ = writeln!(text, "{}: nothing is published", found.job);
        text.push_str(&unfinished(found));
        return text;
    }
    let _ = writeln!(
        text,
        "  {:<10}  {:>5}  {:<19}  {:<12}  {:<10}  {:>12}  {:>12}  {:>9}  {:>5}  {:>10}  {:>8}  by",
        "date",
        "seq",
        "published (UTC)",
        "plan",
        "model",
        "rows in",
        "rows out",
        "rejected",
        "files",
        "bytes",
        "seconds"
    );
    for run in &found.publications {
        let _ = writeln!(
            text,
            "{} {:<10}  {:>5}  {:<19}  {:<12}  {:<10}  {:>12}  {:>12}  {:>9}  {:>5}  {:>10}  {:>8}  {}",
            if run.current { '*' } else { ' ' },
            run.date.to_string(),
            run.seq,
            moment(run.published_at),
            plan(&run.plan_id),
            run.model_version.as_deref().unwrap_or("-"),
            run.rows_in,
            run.rows_out,
            run.rows_rejected,
            run.files,
            ByteSize(run.bytes).to_string(),
            run.seconds
                .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}")),
            run.holder
        );
    }
    let shown = found.publications.len() + found.unreadable.len();
    let _ = writeln!(text, "{shown} of {} publications; * is what readers see", found.total);
    text.push_str(&unfinished(found));
    for record in &found.unreadable {
        let _ = writeln!(text, "{record} cannot be read");
    }
    text
}

/// The line about dates that were begun; none where there are none.
fn unfinished(found: &Publications) -> String {
    if found.unfinished.is_empty() {
        return String::new();
    }
    let dates: Vec<_> = found
        .unfinished
        .iter()
        .take(MOST_UNFINISHED)
        .map(ToString::to_string)
        .collect();
    let more = match found.unfinished.len() - dates.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "begun and not published by its last run: {}{more}; `runs show` tells how far each got\n",
        dates.join(", ")
    )
}

fn described(found: &DateHistory) -> String {
    let mut text = format!("{} for {}\n", found.job, found.date);
    if found.is_empty() {
        text.push_str("  nothing was begun for this date\n");
        return text;
    }
    if let Some(record) = &found.record {
        text.push_str(&publication(record, found.visible));
    }
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<11}{value}");
    };
    line(
        "visible",
        found
            .visible
            .map_or_else(|| "nothing".to_owned(), |seq| format!("publication {seq}")),
    );
    if let Some(seq) = found.pending {
        line(
            "pending",
            format!("publication {seq} is decided and not visible yet; the next run or `verify --repair` shows it"),
        );
    }
    line(
        "held by",
        match &found.held_by {
            None => "nobody".to_owned(),
            Some(seat) => match seat.seen_at {
                Some(at) => format!("{}, last sign of life {}", seat.who, moment(at)),
                None => seat.who.clone(),
            },
        },
    );
    for (number, entry) in found.log.iter().enumerate() {
        line(if number == 0 { "log" } else { "" }, logged(entry));
    }
    for number in &found.unreadable {
        line("", format!("{number:>5}  cannot be read"));
    }
    for plan_of in &found.unfinished {
        let of = plan_of
            .chunks
            .map_or_else(|| "?".to_owned(), |chunks| chunks.to_string());
        let made = plan_of
            .created_at
            .map_or_else(String::new, |at| format!(", begun {}", moment(at)));
        let value = format!("plan {}: {} of {of} chunks{made}", plan(&plan_of.plan_id), plan_of.done);
        line("unfinished", value);
    }
    text
}

fn publication(record: &PublishedRecord, visible: Option<u64>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<11}{value}");
    };
    let commit = &record.commit;
    let current = if visible == Some(commit.n) {
        ", which readers see"
    } else {
        ""
    };
    line("record", format!("publication {}{current}", commit.n));
    line("published", format!("{} by {}", moment(record.at), record.holder));
    line("committed", format!("{} by {}", moment(commit.at), commit.holder));
    line("run key", commit.run_key.clone());
    line("plan", format!("{} (generation {})", commit.plan_id, commit.generation));
    let model = &record.report["model"];
    if let (Some(name), Some(version)) = (model["name"].as_str(), model["version"].as_str()) {
        line("model", format!("{name} version {version}"));
    }
    line(
        "rows",
        format!(
            "{} in, {} out, {} rejected",
            commit.rows_in, commit.rows_out, commit.rows_rejected
        ),
    );
    for (number, file) in commit.files.iter().enumerate() {
        let value = format!(
            "{} ({} rows, {} row groups, {}, sha256 {})",
            file.name,
            file.rows,
            file.row_groups,
            ByteSize(file.size),
            file.sha256
        );
        line(if number == 0 { "files" } else { "" }, value);
    }
    if let Some(rejects) = record.report["output"]["rejects"].as_str() {
        line("rejects", rejects.to_owned());
    }
    if let Some(seq) = record.replaced {
        line("replaced", format!("publication {seq}"));
    }
    match record.report["seconds"].as_f64() {
        Some(seconds) => line("seconds", format!("{seconds:.2}")),
        None => line("report", "none: another process finished it".to_owned()),
    }
    text
}

fn logged(entry: &Entry) -> String {
    match entry {
        Entry::Open(open) => format!(
            "{:>5}  open    {}  plan {}  run {}",
            open.n,
            moment(open.at),
            plan(&open.plan_id),
            open.run_key
        ),
        Entry::Commit(commit) => format!(
            "{:>5}  commit  {}  plan {}  run {}, {} rows",
            commit.n,
            moment(commit.at),
            plan(&commit.plan_id),
            commit.run_key,
            commit.rows_out
        ),
    }
}

fn plan(plan_id: &str) -> &str {
    plan_id.get(..PLAN_DIGITS).unwrap_or(plan_id)
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}
