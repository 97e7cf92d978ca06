//! What a run does that has nothing to score: it says what is published, and completes what a killed process left undone behind it.

use serde_json::Value;

use super::{Desk, Notice, Outcome, Ready, RunError, Surroundings, Verdict};
use crate::error::Error;
use crate::events::Event;
use crate::publish::{PublishError, Shown, Standing};
use crate::records::{Commit, FORM, PublishedRecord};
use crate::spec::OnExisting;
use crate::validate::Job;

/// What to say when there is nothing to do; an error when the job says that a published date is one.
pub(super) fn nothing_to_do(
    job: &Job,
    desk: &Desk,
    ready: &Ready,
    again: bool,
    around: &Surroundings<'_>,
) -> Result<Option<Notice>, Error> {
    let standing = around.wait(desk.standing())?;
    let settled = desk.settled(&standing, &ready.base_id, again);
    let notice = match settled {
        Some(commit) => Some(around.wait(complete(desk, &standing, commit))?),
        None => None,
    };
    // A retry that finds what its own run has published is not a second publication.
    let own = settled.is_some_and(|commit| commit.run_key == desk.holder.run_key);
    if job.on_existing == OnExisting::Fail && standing.shown != Shown::Nothing && !own {
        return Err(RunError::AlreadyPublished {
            file: desk.partition.place().location().to_string(),
        }
        .into());
    }
    Ok(notice)
}

/// What is published now, by whoever it was.
pub(super) fn published(desk: &Desk, around: &Surroundings<'_>) -> Result<Outcome, Error> {
    let standing = around.wait(desk.standing())?;
    let notice = match standing.log.newest_commit() {
        Some(commit) => around.wait(complete(desk, &standing, commit))?,
        None => desk.notice(Verdict::AlreadyPublished),
    };
    around.monitor.hear(&Event::Finished);
    Ok(Outcome::Nothing(notice))
}

/// Writes the record and the marker of a publication if the process that made it died before it could.
async fn complete(desk: &Desk, standing: &Standing, commit: &Commit) -> Result<Notice, PublishError> {
    if standing.shown.seq() == commit.n {
        if PublishedRecord::of(&desk.date, commit.n).await?.is_none() {
            keep_record(desk, commit, None, Value::Null).await?;
        }
        if desk.showing.marker && !desk.partition.is_marked().await? {
            desk.showing.mark(&desk.partition, commit).await?;
        }
    }
    Ok(desk.notice_of(commit))
}

/// Keeps the record of a publication. Data that is visible does not depend on it, but the next run completes what is missing, so a failure is
/// one.
pub async fn keep_record(
    desk: &Desk,
    commit: &Commit,
    replaced: Option<u64>,
    report: Value,
) -> Result<(), PublishError> {
    let etags = desk.etags(commit).await;
    let record = PublishedRecord {
        v: FORM,
        commit: commit.clone(),
        etags,
        replaced: replaced.or(commit.prev_commit),
        holder: desk.holder.id.clone(),
        at: desk.now(),
        report,
    };
    let kept = record.keep(&desk.date).await;
    kept.map(drop)
        .map_err(|error| PublishError::from(error).incomplete("its record"))
}
