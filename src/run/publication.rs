//! From finished files to what readers see and what is kept of it: the one way for all who publish.

use serde_json::Value;

use super::{Desk, Notice, RunError, Stop};
use crate::error::Error;
use crate::publish::{self, Assembled, Opened, PublishError, Shown, Standing, Visible};
use crate::records::{Commit, FORM, PlanRecord, PublishedRecord};

/// What is there to go on from, once nothing is left to be brought to its end.
#[derive(Debug)]
pub struct Forward {
    /// Number of a commit that cannot be shown any more.
    pub lost: Option<u64>,
    /// What is decided and what readers see, where nothing had to be done, so that this has not changed by it.
    pub(super) standing: Option<Standing>,
}

impl Forward {
    /// Something was done.
    fn done(lost: Option<u64>) -> Self {
        Self { lost, standing: None }
    }
}

impl Desk {
    /// Decides that these files are what readers see, shows them, and keeps the record with the report that is made then. `None`: before
    /// readers could see them, another process has published the same plan under a later number.
    pub async fn publish(
        &self,
        plan: &PlanRecord,
        opened: &Opened,
        assembled: Assembled,
        stop: &Stop<'_>,
        report: impl FnOnce(&Commit, Option<u64>) -> Value,
    ) -> Result<Option<Commit>, Error> {
        let fences = self.showing.fences;
        let decided = publish::commit(&self.date, plan, opened, assembled, &self.holder.id, fences);
        let (commit, assembled) = stop.or(decided).await?;
        let shown = self.showing.show(&self.date, &self.partition, &commit, assembled);
        let (replaced, etags) = match stop.after(shown).await? {
            Visible::Ours { replaced, etags } => (replaced, etags),
            Visible::Newer(stamp) if stamp.plan_id == plan.plan_id => {
                // Of several files, one that is newer does not say that readers see the others.
                let seq = stamp.seq;
                let whole = self.standing().await?.shown.seq() >= seq;
                return if whole {
                    Ok(None)
                } else {
                    Err(PublishError::Decided { seq }.into())
                };
            }
            Visible::Newer(_) => return Err(RunError::Superseded.into()),
        };
        let report = report(&commit, replaced);
        stop.after(self.keep_record(&commit, replaced, etags, report)).await?;
        Ok(Some(commit))
    }

    /// Brings to its end what another process had decided.
    pub async fn roll_forward(&self) -> Result<Forward, PublishError> {
        let mut is_first = true;
        loop {
            let standing = self.standing().await?;
            let Some(commit) = standing.pending() else {
                // Whoever asks something else meanwhile believes both answers only if nothing has happened between them.
                return Ok(Forward {
                    lost: None,
                    standing: is_first.then_some(standing),
                });
            };
            is_first = false;
            match publish::roll_forward(&self.date, &self.partition, &self.showing, commit, &self.spool).await {
                Ok(None) => return Ok(Forward::done(Some(commit.n))),
                Ok(Some(Visible::Newer(_))) => return Ok(Forward::done(None)),
                Ok(Some(Visible::Ours { replaced, etags })) => {
                    self.keep_record(commit, replaced, etags, Value::Null).await?;
                    return Ok(Forward::done(None));
                }
                // Something else has been decided meanwhile, and it is not this run that was superseded: now that is to be shown.
                Err(PublishError::Superseded { .. }) => {}
                Err(PublishError::Decided { seq }) if seq > commit.n => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the record and the marker of a publication if the process that made it died before it could.
    pub(super) async fn complete(&self, standing: &Standing, commit: &Commit) -> Result<Notice, PublishError> {
        if standing.shown.seq() == commit.n {
            if PublishedRecord::of(&self.date, commit.n).await?.is_none() {
                self.keep_record_again(commit).await?;
            }
            if self.showing.marker && !self.partition.is_marked().await? {
                self.showing.mark(&self.partition, commit).await?;
            }
        }
        Ok(self.notice_of(commit))
    }

    /// Keeps the record of a publication that another process has shown; what readers see tells the `ETag`s.
    pub async fn keep_record_again(&self, commit: &Commit) -> Result<(), PublishError> {
        let etags = self.etags(commit).await;
        self.keep_record(commit, None, etags, Value::Null).await
    }

    /// Keeps the record of a publication. Data that is visible does not depend on it, but the next run completes what is missing, so a
    /// failure is one.
    async fn keep_record(
        &self,
        commit: &Commit,
        replaced: Option<u64>,
        etags: Vec<Option<String>>,
        report: Value,
    ) -> Result<(), PublishError> {
        let record = PublishedRecord {
            v: FORM,
            commit: commit.clone(),
            etags,
            replaced: replaced.or(commit.prev_commit),
            holder: self.holder.id.clone(),
            at: self.now(),
            report,
        };
        let kept = record.keep(&self.date).await;
        kept.map(drop)
            .map_err(|error| PublishError::from(error).incomplete("its record"))
    }

    /// `ETag`s of the files of a commit, where the store has them.
    async fn etags(&self, commit: &Commit) -> Vec<Option<String>> {
        let mut etags = Vec::with_capacity(commit.files.len());
        for file in &commit.files {
            let shown = self.partition.look(&file.name).await;
            etags.push(match shown {
                Ok(Shown::Ours(_, version)) if self.partition.place().local().is_none() => {
                    Some(version.etag().to_owned())
                }
                _ => None,
            });
        }
        etags
    }
}
