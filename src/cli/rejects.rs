//! `rejects`: the rows of a date that were not scored, and why.

use std::cmp::Reverse;

use arrow::array::RecordBatch;
use serde_json::{Value, json};

use super::args::{RejectsCommand, RejectsShowArgs};
use super::context::Context;
use crate::error::{Error, Seam};
use crate::exit::ExitCode;
use crate::records::{DateFolder, Log};
use crate::rejects;
use crate::storage::{Place, StorageError};
use crate::visible;

pub(super) fn rejects(command: &RejectsCommand, context: &Context) -> Result<ExitCode, Error> {
    match command {
        RejectsCommand::Show(args) => show(args, context),
    }
}

fn show(args: &RejectsShowArgs, context: &Context) -> Result<ExitCode, Error> {
    let settings = context.settings(&[])?;
    let terminal = context.terminal(&settings)?;
    let job = context.job(&args.file, args.date)?;
    let state = Place::open(&job.state, &settings.storage)?;
    let date = DateFolder::new(&state, &job.name, args.date);
    let wanted = args.plan.as_deref().unwrap_or("");
    let found = terminal.around(&settings, |around| around.wait(newest(&date, wanted)))?;
    let Some(file) = found else {
        let text = format!("{} for {}: no rows were rejected\n", job.name, args.date);
        context.print(
            &json!({ "job": job.name, "date": args.date, "rows": 0, "rejects": [] }),
            &text,
        );
        return Ok(ExitCode::Success);
    };
    let name = file.location().to_string();
    let bytes = terminal.around(&settings, |around| around.wait(file.read()))?;
    let rows = rejects::decode(bytes.unwrap_or_default())?;
    let shown = rows.slice(0, rows.num_rows().min(args.most));
    let text = table(&shown, &name, rows.num_rows())?;
    let document = json!({
        "job": job.name,
        "date": args.date,
        "file": name,
        "rows": rows.num_rows(),
        "rejects": objects(&shown)?,
    });
    context.print(&document, &text);
    Ok(ExitCode::Success)
}

/// The file of the plan that rejected rows last, of those whose name begins so. Where no name is given, what was rejected before the
/// newest publication is settled by it.
async fn newest(date: &DateFolder, wanted: &str) -> Result<Option<Place>, StorageError> {
    let folder = date.place().join("rejects");
    let mut files = folder.list().await?;
    files.retain(|file| file.location.filename().is_some_and(|name| name.starts_with(wanted)));
    let log = date.log();
    if wanted.is_empty()
        && let Some(commit) = Log::read(&log).await?.newest_commit()
        && let Some(decided) = Log::written(&log, commit.n).await?
    {
        let own = date.rejects(&commit.plan_id);
        files.retain(|file| file.location == *own.path() || file.last_modified > decided);
    }
    files.sort_by_key(|file| Reverse(file.last_modified));
    Ok(files.into_iter().next().map(|file| folder.at(file.location)))
}

fn table(shown: &RecordBatch, file: &str, rows: usize) -> Result<String, ShowError> {
    let table = visible::table(std::slice::from_ref(shown))?;
    Ok(format!(
        "{table}\n{} of {rows} rejected rows of {file}\n",
        shown.num_rows()
    ))
}

/// One object a row.
fn objects(shown: &RecordBatch) -> Result<Vec<Value>, ShowError> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    writer.write(shown)?;
    writer.finish()?;
    Ok(serde_json::from_slice(&writer.into_inner()).unwrap_or_default())
}

/// Rows cannot be shown.
#[derive(Debug, thiserror::Error)]
#[error("show the rejected rows")]
struct ShowError(#[from] arrow::error::ArrowError);

impl Seam for ShowError {
    fn exit(&self) -> ExitCode {
        ExitCode::Internal
    }
}
