//! Brings a commit of a process that died to its end: the same files are made again from its plan and parts, and shown.

use tracing::{info, warn};

use super::{Partition, PublishError, Showing, Spool, SpoolFolder, Stamp, Visible};
use crate::checkpoint::Checkpoint;
use crate::records::{Commit, DateFolder, PlanRecord};

/// Shows a commit from its records alone. `None`: they do not give the committed bytes any more, so a new run has to replace it.
pub async fn roll_forward(
    date: &DateFolder,
    partition: &Partition,
    showing: &Showing,
    commit: &Commit,
    spool: &SpoolFolder,
) -> Result<Option<Visible>, PublishError> {
    let Some(plan) = PlanRecord::of(date, &commit.plan_id).await? else {
        warn!(
            commit = commit.n,
            plan = commit.plan_id,
            "a commit is not visible yet, and the record of its plan is gone"
        );
        return Ok(None);
    };
    let checkpoint = Checkpoint::open(date, &plan).await?;
    let stamp = Stamp::of_commit(commit);
    let mut files = Spool::create(spool, &plan, stamp)?;
    for chunk in 0..plan.chunks.len() {
        let Some(part) = checkpoint.load(chunk).await? else {
            warn!(
                commit = commit.n,
                chunk, "a commit is not visible yet, and one of its parts is gone"
            );
            return Ok(None);
        };
        files.append(&part)?;
    }
    let assembled = files.finish()?;
    if !assembled.files.iter().map(|file| &file.data).eq(&commit.files) {
        warn!(
            commit = commit.n,
            "a commit is not visible yet, and its parts give other bytes now"
        );
        return Ok(None);
    }
    info!(
        commit = commit.n,
        plan = commit.plan_id,
        "bringing to its end what another process had decided"
    );
    showing.show(date, partition, commit, assembled).await.map(Some)
}
