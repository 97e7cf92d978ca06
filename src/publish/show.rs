//! Puts committed files in place, and stops short of replacing anything newer.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::try_join;

use super::pieces::abort_older;
use super::{Assembled, Fences, Partition, PublishError, Shown, Spooled, Stamp, Standing};
use crate::records::{Commit, DateFolder};
use crate::storage::{Attempt, Condition, Version};

/// Pauses between tries at a file whose fate is unknown.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Tries at one file. Each has its own time-outs and retries below it.
const TRIES: u32 = 20;

/// How files are put in place.
#[derive(Debug, Clone, Copy)]
pub struct Showing {
    /// Largest file that is sent by one request.
    pub single_put_max: u64,
    /// Whether an empty marker stands beside the data.
    pub marker: bool,
    /// Whether files may be added or removed one by one.
    pub nonatomic: bool,
    /// What keeps writers apart.
    pub fences: Fences,
}

/// What readers see after an attempt to show a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// The commit.
    Ours {
        /// Number of the publication that was there before; `None` when there was none, or the commit was visible already.
        replaced: Option<u64>,
        /// `ETag`s of its files as they were seen there, where the store has them.
        etags: ETags,
    },
    /// Something newer.
    Newer(Stamp),
}

/// What is there after files were put in place.
enum There<T> {
    /// Ours, and how it is known.
    Ours(T),
    /// Something newer.
    Newer(Stamp),
}

/// `ETag`s of files, where the store has them.
type ETags = Vec<Option<String>>;

impl Showing {
    /// Whether a version with so many files may replace what is there, by what is decided and by whether something else lies there. Asked
    /// before anything is scored: what is decided is shown.
    pub async fn permits(
        &self,
        partition: &Partition,
        standing: &Standing,
        strangers: Result<(), PublishError>,
        files: usize,
    ) -> Result<(), PublishError> {
        partition.condition(&super::file_name(0), &standing.shown)?;
        strangers?;
        if partition.place().local().is_some() || self.nonatomic {
            return Ok(());
        }
        // The number of files is pinned by the last commit. Without a log it is what is there, if that is whole.
        let found = match (standing.log.newest_commit(), &standing.shown) {
            (Some(commit), _) => commit.files.len(),
            (None, Shown::Nothing) => files,
            (None, Shown::Ours(..) | Shown::Foreign(_)) => partition.names().await?.len(),
        };
        if found == files {
            return Ok(());
        }
        Err(PublishError::Layout {
            partition: partition.place().location().to_string(),
            found,
            wanted: files,
        })
    }

    /// Shows a commit to readers. Safe to repeat, and safe to do by several processes at once.
    pub async fn show(
        &self,
        date: &DateFolder,
        partition: &Partition,
        commit: &Commit,
        assembled: Assembled,
    ) -> Result<Visible, PublishError> {
        let name = super::file_name(0);
        let (before, there) = if partition.place().local().is_some() {
            let before = partition.look(&name).await?;
            (before.seq(), Self::show_locally(partition, commit, assembled, before)?)
        } else {
            // Uploads are dropped before the files are listed: one that was completed first is listed, the others never will be.
            let surplus = async {
                if self.fences.announced {
                    abort_older(date, partition, commit).await?;
                }
                surplus(partition, &assembled).await
            };
            let (before, surplus) = try_join(partition.look(&name), surplus).await?;
            let shown = self.show_in_bucket(date, partition, commit, &assembled, (&before, &surplus));
            let there = shown.await?;
            (before.seq(), there)
        };
        let replaced = Some(before).filter(|seq| *seq != 0 && *seq < commit.n);
        let etags = match there {
            There::Ours(etags) => etags,
            There::Newer(stamp) => return Ok(Visible::Newer(stamp)),
        };
        self.mark(partition, commit).await?;
        Ok(Visible::Ours { replaced, etags })
    }

    /// Marks a whole version. Where files are replaced one after the other, a process that slept must not mark the middle of a later
    /// replacement, so every file is looked at before and after.
    pub async fn mark(&self, partition: &Partition, commit: &Commit) -> Result<(), PublishError> {
        if !self.marker {
            return Ok(());
        }
        let stepwise = partition.place().local().is_none() && commit.files.len() > 1;
        if stepwise && !is_whole(partition, commit).await? {
            return Ok(());
        }
        partition.mark().await.map_err(|error| error.incomplete("its marker"))?;
        if stepwise && !is_whole(partition, commit).await? {
            partition.unmark().await?;
        }
        Ok(())
    }

    /// Renames the files to their places, unless something newer is there.
    fn show_locally(
        partition: &Partition,
        commit: &Commit,
        assembled: Assembled,
        before: Shown,
    ) -> Result<There<ETags>, PublishError> {
        match before {
            Shown::Ours(stamp, _) if stamp == Stamp::of_commit(commit) => {}
            Shown::Ours(stamp, _) if stamp.seq == commit.n => return Err(PublishError::Decided { seq: stamp.seq }),
            Shown::Ours(stamp, _) if stamp.seq > commit.n => return Ok(There::Newer(stamp)),
            shown => {
                partition.condition(&super::file_name(0), &shown)?;
                partition.rename(assembled.files)?;
            }
        }
        Ok(There::Ours(vec![None; commit.files.len()]))
    }

    /// Puts the files in place, or says what is newer. The first file comes last: it is the one that is looked at, so it says that the others are there.
    async fn show_in_bucket(
        &self,
        date: &DateFolder,
        partition: &Partition,
        commit: &Commit,
        assembled: &Assembled,
        (before, surplus): (&Shown, &[String]),
    ) -> Result<There<ETags>, PublishError> {
        let mut etags = vec![None; assembled.files.len()];
        let stepwise = assembled.files.len() > 1 || !surplus.is_empty();
        if stepwise && before.seq() < commit.n {
            partition.unmark().await?;
        }
        for (number, file) in assembled.files.iter().enumerate().rev() {
            if number == 0 {
                for name in surplus {
                    remove_older(partition, name, commit).await?;
                }
            }
            // The first look was at the first file, and is as good as a new one unless other files took their time since.
            let shown = if stepwise {
                partition.look(&file.data.name).await?
            } else {
                before.clone()
            };
            let stamp = &assembled.stamp;
            match self.show_file(date, partition, commit, file, stamp, shown).await? {
                There::Ours(version) => etags[number] = Some(version.etag().to_owned()),
                There::Newer(stamp) => return Ok(There::Newer(stamp)),
            }
        }
        Ok(There::Ours(etags))
    }

    /// Puts one file in place; only a look says whether it is there.
    async fn show_file(
        &self,
        date: &DateFolder,
        partition: &Partition,
        commit: &Commit,
        file: &Spooled,
        stamp: &Stamp,
        mut shown: Shown,
    ) -> Result<There<Version>, PublishError> {
        let clock = partition.place().clock();
        let mut pause = PAUSE;
        let mut tries = 0;
        loop {
            match &shown {
                Shown::Ours(shown, version) if shown == stamp => return Ok(There::Ours(version.clone())),
                // Another log has given out the same number: this state was copied, or deleted while it was in use.
                Shown::Ours(shown, _) if shown.seq == commit.n => {
                    return Err(PublishError::Decided { seq: commit.n });
                }
                Shown::Ours(shown, _) if shown.seq > commit.n => return Ok(There::Newer(shown.clone())),
                _ => {}
            }
            let condition = partition.condition(&file.data.name, &shown)?;
            let attempt = if file.data.size <= self.single_put_max {
                let condition = if self.fences.conditional {
                    condition
                } else {
                    Condition::Any
                };
                partition.put(file, stamp, &condition).await?
            } else {
                self.put_in_pieces(date, partition, commit, file, stamp).await?
            };
            if let Attempt::Unsure(reason) = attempt {
                tries += 1;
                if tries == TRIES {
                    return Err(reason.into());
                }
                clock.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            shown = partition.look(&file.data.name).await?;
        }
    }
}

/// Names of the files that readers see and the new version does not have.
async fn surplus(partition: &Partition, assembled: &Assembled) -> Result<Vec<String>, PublishError> {
    let wanted: BTreeSet<_> = assembled.files.iter().map(|file| file.data.name.as_str()).collect();
    let mut names = partition.names().await?;
    names.retain(|name| !wanted.contains(name.as_str()));
    Ok(names)
}

/// True when every file of a commit is what readers see.
async fn is_whole(partition: &Partition, commit: &Commit) -> Result<bool, PublishError> {
    let stamp = Stamp::of_commit(commit);
    for file in &commit.files {
        let shown = partition.look(&file.name).await?;
        if !matches!(shown, Shown::Ours(found, _) if found == stamp) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a file that the new version does not have, unless something newer has written it.
async fn remove_older(partition: &Partition, name: &str, commit: &Commit) -> Result<(), PublishError> {
    let shown = partition.look(name).await?;
    partition.condition(name, &shown)?;
    if shown != Shown::Nothing && shown.seq() < commit.n {
        partition.remove(name).await?;
    }
    Ok(())
}
