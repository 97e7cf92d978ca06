//! Brings a commit of a process that died to its end: the same files are made again from its plan and parts, and shown.

use tracing::{info, warn};

use super::{Assembled, Partition, PublishError, Showing, Spool, SpoolFolder, Stamp, Visible};
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
    let assembled = match again(date, &plan, Stamp::of_commit(commit), spool).await {
        Ok(assembled) => assembled.filter(|again| again.files.iter().map(|file| &file.data).eq(&commit.files)),
        // Records that contradict themselves are as good as lost.
        Err(PublishError::Rows { .. } | PublishError::Verify { .. } | PublishError::Assemble { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(assembled) = assembled else {
        warn!(
            commit = commit.n,
            plan = commit.plan_id,
            "a commit is not visible yet, and its records do not give its bytes any more"
        );
        return Ok(None);
    };
    info!(
        commit = commit.n,
        plan = commit.plan_id,
        "bringing to its end what another process had decided"
    );
    showing.show(date, partition, commit, assembled).await.map(Some)
}

/// The files of a plan, from its parts; `None` when one is gone.
pub async fn again(
    date: &DateFolder,
    plan: &PlanRecord,
    stamp: Stamp,
    spool: &SpoolFolder,
) -> Result<Option<Assembled>, PublishError> {
    let checkpoint = Checkpoint::open(date, plan).await?;
    let mut files = Spool::create(spool, plan, stamp)?;
    for chunk in 0..plan.chunks.len() {
        let Some(part) = checkpoint.load(chunk).await? else {
            return Ok(None);
        };
        files.append(&part)?;
    }
    files.finish().map(Some)
}
