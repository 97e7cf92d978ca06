//! A run that has nothing to score: what is published already, or was published by another process meanwhile.

use super::claim::Intent;
use super::{Desk, Notice, RunError, Verdict};
use crate::error::Error;
use crate::plan::generation;
use crate::publish::{PublishError, Shown, Standing};
use crate::records::Commit;

impl Desk {
    /// What to say when there is nothing to do; an error when the job says that a published date is one.
    pub(super) async fn nothing_to_do(&self, intent: &Intent) -> Result<Option<Notice>, Error> {
        let standing = self.standing().await?;
        let settled = self.settled(&standing, intent);
        let mut notice = match settled {
            Some(commit) => Some(self.complete(&standing, commit).await?),
            None => None,
        };
        // A retry that finds what its own run has published is not a second publication.
        let own = settled.is_some_and(|commit| commit.run_key == self.holder.run_key);
        if let (Some(notice), Some(commit)) = (&mut notice, settled)
            && commit.base_id != intent.base_id
        {
            match intent.earlier.iter().find(|earlier| earlier.base_id == commit.base_id) {
                Some(earlier) => notice.published_by = Some(earlier.version),
                None => notice.used_key = Some(commit.run_key.clone()),
            }
        }
        if intent.only_once && standing.shown != Shown::Nothing && !own {
            return Err(self.already_published().into());
        }
        Ok(notice)
    }

    /// The error of a job that says that a published date is one.
    pub(super) fn already_published(&self) -> RunError {
        RunError::AlreadyPublished {
            file: self.partition.place().location().to_string(),
        }
    }

    /// What is published now, by whoever it was.
    pub(super) async fn published(&self) -> Result<Notice, PublishError> {
        let standing = self.standing().await?;
        match standing.visible() {
            Some(commit) => self.complete(&standing, commit).await,
            None => Ok(self.notice(Verdict::AlreadyPublished)),
        }
    }

    /// The publication that leaves a run nothing to do: visible, and of the same plan or of the same intention. The plan may be known by what
    /// an earlier version called it.
    pub(super) fn settled<'s>(&self, standing: &'s Standing, intent: &Intent) -> Option<&'s Commit> {
        let earlier = intent.earlier.iter().map(|earlier| &earlier.base_id);
        let mut settled = std::iter::once(&intent.base_id).chain(earlier).filter_map(|base_id| {
            let plan_id = generation(base_id, standing.log.generation(base_id).unwrap_or(0));
            standing.settled(&plan_id, &self.holder.run_key)
        });
        let commit = settled.next()?;
        (commit.run_key == self.holder.run_key || !intent.again).then_some(commit)
    }
}
