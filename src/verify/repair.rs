//! Brings back what was decided, as the one who may work at the date.
//!
//! A commit that is not visible is shown. A file that was altered carries the right number already, so nothing may take its place under
//! that number: the same parts are committed again under the next one, in the log, and shown as any publication is. Nothing is written
//! behind the log's back, and a process that dies on the way leaves what the next run brings to its end.

use serde_json::Value;
use tracing::info;

use super::{Severity, Subject, Verified, compare, verify};
use crate::error::Error;
use crate::hold::Taken;
use crate::nonce::nonce;
use crate::publish::{self, PublishError, Stamp};
use crate::records::{Commit, PlanRecord, PublishedRecord};
use crate::run::{Desk, RunError, Surroundings};
use crate::validate::Job;

/// Brings back what was decided, and compares again.
pub fn repair(job: &Job, desk: &mut Desk, around: &Surroundings<'_>) -> Result<Verified, Error> {
    desk.check_disk(job, around)?;
    desk.check_store(job, around)?;
    // A repair is an intention of its own, whatever key the environment gives to runs.
    desk.holder.run_key.clone_from(&desk.holder.id);
    let hold = match around.take(desk, None)? {
        Taken::Held(hold) => hold,
        Taken::Busy(who) => return Err(RunError::Busy { who }.into()),
    };
    let repaired = bring_back(job, desk, around);
    around.runtime.block_on(hold.release());
    let repaired = repaired?;
    Ok(Verified {
        repaired,
        ..verify(desk, &job.name, around)?
    })
}

fn bring_back(job: &Job, desk: &mut Desk, around: &Surroundings<'_>) -> Result<Vec<String>, Error> {
    let mut repaired = Vec::new();
    let before = around.wait(compare(desk, &job.name))?;
    // Whatever something else wrote stays unless the job says that it may be replaced.
    if before.seq.is_none() || (before.is_wrong(Subject::Foreign) && !job.adopt_foreign) {
        return Ok(repaired);
    }
    // Readers see doubled or missing rows already where there is a file too many or too few.
    desk.showing.nonatomic = around.wait(only_ours(desk, &before))?;
    let pending = around.wait(desk.standing())?.pending().map(|commit| commit.n);
    if let Some(seq) = pending {
        around.wait(desk.roll_forward())?;
        if around.wait(desk.standing())?.shown.seq() == seq {
            repaired.push(format!("made publication {seq} visible"));
        }
    }
    let between = around.wait(compare(desk, &job.name))?;
    let wrong = between.is_wrong(Subject::File) || (between.is_wrong(Subject::Surplus) && desk.showing.nonatomic);
    // Loading a part that is gone removes the record of its chunk, so what cannot be done is not begun.
    let whole = between.findings.iter().all(|finding| finding.subject != Subject::Parts);
    if wrong
        && whole
        && let Some(commit) = again(desk, around)?
    {
        repaired.push(format!(
            "published the same parts again as publication {}, in place of {}",
            commit.n,
            commit.prev_commit.unwrap_or(0)
        ));
    }
    repaired.extend(around.wait(beside(desk, &job.name))?);
    Ok(repaired)
}

/// True when all files that would be removed were written by this program.
async fn only_ours(desk: &Desk, before: &Verified) -> Result<bool, PublishError> {
    let surplus = before.findings.iter();
    let surplus: Vec<_> = surplus
        .filter(|finding| finding.subject == Subject::Surplus && finding.severity == Severity::Error)
        .collect();
    let mut ours = Vec::new();
    for name in desk.partition.names().await? {
        if let publish::Shown::Ours(..) = desk.partition.look(&name).await? {
            ours.push(desk.partition.file(&name).location().to_string());
        }
    }
    Ok(surplus.iter().all(|finding| ours.contains(&finding.place)))
}

/// Commits the parts of the newest commit again and shows them. `None`: they are not all there, or not what was committed.
fn again(desk: &Desk, around: &Surroundings<'_>) -> Result<Option<Commit>, Error> {
    let standing = around.wait(desk.standing())?;
    let Some(newest) = standing.log.newest_commit() else {
        return Ok(None);
    };
    let Some(plan) = around.wait(PlanRecord::of(&desk.date, &newest.plan_id))? else {
        return Ok(None);
    };
    // Under the hold the next two numbers are ours; if they are not, `commit` writes the files under those that are.
    let seq = standing.log.head().max(standing.shown.seq()) + 2;
    let stamp = Stamp {
        seq,
        plan_id: plan.plan_id.clone(),
        nonce: nonce(),
    };
    let assembled = around.wait(publish::again(&desk.date, &plan, stamp, &desk.spool))?;
    let Some(assembled) = assembled.filter(|assembled| assembled.chunks_digest == newest.chunks_digest) else {
        return Ok(None);
    };
    info!(
        commit = newest.n,
        plan = newest.plan_id,
        "publishing the same parts again"
    );
    let wanted = desk.wish(plan.plan_id.clone(), plan.base_id.clone(), plan.generation);
    let opened = around.wait(publish::open(
        &desk.date,
        &desk.partition,
        &wanted,
        None,
        Some(standing),
    ))?;
    let stop = around.stop();
    let published = desk.publish(&plan, &opened, assembled, &stop, |_, _| Value::Null);
    around.wait_through(published)
}

/// Writes the record and the marker of what is visible, where they are missing or wrong.
async fn beside(desk: &Desk, job: &str) -> Result<Vec<String>, PublishError> {
    let now = compare(desk, job).await?;
    let mut repaired = Vec::new();
    let standing = desk.standing().await?;
    let Some(commit) = standing.log.newest_commit() else {
        return Ok(repaired);
    };
    if now.is_wrong(Subject::Record) {
        PublishedRecord::forget(&desk.date, commit.n).await?;
        desk.keep_record_again(commit).await?;
        repaired.push(format!("wrote the record of publication {}", commit.n));
    }
    if now.is_wrong(Subject::Marker) && !now.is_wrong(Subject::File) {
        desk.showing.mark(&desk.partition, commit).await?;
        repaired.push("wrote the marker".to_owned());
    }
    Ok(repaired)
}
