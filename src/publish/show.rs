//! Puts committed files in place, and stops short of replacing anything newer.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tracing::debug;

use super::{Assembled, Fences, Partition, PublishError, Shown, Spooled, Stamp, Standing};
use crate::records::{Announcement, Commit, DateFolder, Log};
use crate::storage::{Attempt, Condition, Place, StorageError, Upload};

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
        /// `ETag` of each file, in a bucket.
        etags: Vec<Option<String>>,
        /// Number of the publication that was there before; `None` when there was none, or the commit was visible already.
        replaced: Option<u64>,
    },
    /// Something newer.
    Newer(Stamp),
}

impl Showing {
    /// Whether a version with so many files may replace what is there. Asked before anything is scored: what is decided is shown.
    pub async fn permits(&self, partition: &Partition, standing: &Standing, files: usize) -> Result<(), PublishError> {
        partition.condition(&super::file_name(0), &standing.shown)?;
        partition.expect_no_strangers().await?;
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
        let before = partition.look(&super::file_name(0)).await?;
        let replaced = Some(before.seq()).filter(|seq| *seq != 0 && *seq < commit.n);
        let visible = if partition.place().local().is_some() {
            Self::show_locally(partition, commit, assembled, before)?
        } else {
            self.show_in_bucket(date, partition, commit, &assembled, &before)
                .await?
        };
        if matches!(visible, Seen::Ours(_)) {
            self.mark(partition, commit).await?;
        }
        Ok(match visible {
            Seen::Newer(stamp) => Visible::Newer(stamp),
            Seen::Ours(etags) => Visible::Ours { etags, replaced },
        })
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

    fn show_locally(
        partition: &Partition,
        commit: &Commit,
        assembled: Assembled,
        before: Shown,
    ) -> Result<Seen, PublishError> {
        let files = assembled.files.len();
        match before {
            Shown::Ours(stamp, _) if stamp == Stamp::of_commit(commit) => {}
            Shown::Ours(stamp, _) if stamp.seq == commit.n => return Err(PublishError::Decided { seq: stamp.seq }),
            Shown::Ours(stamp, _) if stamp.seq > commit.n => return Ok(Seen::Newer(stamp)),
            shown => {
                partition.condition(&super::file_name(0), &shown)?;
                partition.rename(assembled.files)?;
            }
        }
        Ok(Seen::Ours(vec![None; files]))
    }

    /// The first file comes last: it is the one that is looked at, so it says that the others are there.
    async fn show_in_bucket(
        &self,
        date: &DateFolder,
        partition: &Partition,
        commit: &Commit,
        assembled: &Assembled,
        before: &Shown,
    ) -> Result<Seen, PublishError> {
        if self.fences.announced {
            abort_older(date, partition, commit).await?;
        }
        let wanted: BTreeSet<_> = assembled.files.iter().map(|file| file.data.name.clone()).collect();
        let mut surplus = partition.names().await?;
        surplus.retain(|name| !wanted.contains(name));
        let stepwise = wanted.len() > 1 || !surplus.is_empty();
        if stepwise && before.seq() < commit.n {
            partition.unmark().await?;
        }
        let mut etags = VecDeque::with_capacity(assembled.files.len());
        for (number, file) in assembled.files.iter().enumerate().rev() {
            if number == 0 {
                for name in &surplus {
                    remove_older(partition, name, commit).await?;
                }
            }
            match self.show_file(date, partition, commit, file, &assembled.stamp).await? {
                FileSeen::Ours(etag) => etags.push_front(Some(etag)),
                FileSeen::Newer(stamp) => return Ok(Seen::Newer(stamp)),
            }
        }
        Ok(Seen::Ours(etags.into()))
    }

    /// Puts one file in place; only a look says whether it is there.
    async fn show_file(
        &self,
        date: &DateFolder,
        partition: &Partition,
        commit: &Commit,
        file: &Spooled,
        stamp: &Stamp,
    ) -> Result<FileSeen, PublishError> {
        let clock = partition.place().clock();
        let mut pause = PAUSE;
        let mut tries = 0;
        loop {
            let shown = partition.look(&file.data.name).await?;
            match &shown {
                Shown::Ours(shown, version) if shown == stamp => return Ok(FileSeen::Ours(version.etag().to_owned())),
                // Another log has given out the same number: this state was copied, or deleted while it was in use.
                Shown::Ours(shown, _) if shown.seq == commit.n => {
                    return Err(PublishError::Decided { seq: commit.n });
                }
                Shown::Ours(shown, _) if shown.seq > commit.n => return Ok(FileSeen::Newer(shown.clone())),
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
            let Attempt::Unsure(reason) = attempt else {
                continue;
            };
            tries += 1;
            if tries == TRIES {
                return Err(reason.into());
            }
            clock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// An upload in pieces cannot be made on a condition. So it is announced first, and the log looked at after that: of two writers that
    /// announce before they look, at least one sees the other.
    async fn put_in_pieces(
        &self,
        date: &DateFolder,
        partition: &Partition,
        commit: &Commit,
        file: &Spooled,
        stamp: &Stamp,
    ) -> Result<Attempt, PublishError> {
        let place = partition.file(&file.data.name);
        let upload = place
            .begin_upload(&stamp.metadata(partition.owner(), &file.data.sha256))
            .await?;
        if self.fences.announced {
            let announcement = Announcement {
                seq: commit.n,
                nonce: stamp.nonce.clone(),
                name: file.data.name.clone(),
                upload_id: upload.id.clone(),
            };
            announcement.make(date).await?;
            let log = Log::read(&date.log()).await?;
            if let Some(newest) = log.newest_commit().filter(|newest| newest.n > commit.n) {
                place.abort_upload(&upload).await?;
                return Err(if newest.plan_id == commit.plan_id {
                    PublishError::Decided { seq: newest.n }
                } else {
                    PublishError::Superseded { slot: commit.n }
                });
            }
            abort_older(date, partition, commit).await?;
        }
        let pieces = match place.send_pieces(&upload, &file.content()?).await {
            Ok(pieces) => pieces,
            Err(error) => {
                drop_upload(&place, &upload).await;
                return transient(error);
            }
        };
        if partition.look(&file.data.name).await?.seq() >= commit.n {
            drop_upload(&place, &upload).await;
            return Ok(Attempt::Done);
        }
        Ok(place.complete_upload(&upload, pieces).await?)
    }
}

/// Pieces may be sent again, unless the store will never take them.
fn transient(error: StorageError) -> Result<Attempt, PublishError> {
    use crate::error::Seam;
    use crate::exit::ExitCode;
    match error.exit() {
        ExitCode::StorageTransient | ExitCode::InputNotReady => Ok(Attempt::Unsure(error)),
        _ => Err(error.into()),
    }
}

/// What cannot be dropped now runs out by the bucket's own rules, or is dropped by the next writer.
async fn drop_upload(place: &Place, upload: &Upload) {
    if let Err(error) = place.abort_upload(upload).await {
        debug!(%error, "an upload could not be dropped");
    }
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

/// Drops every upload that was announced for an earlier commit, so that none of them can come to its end any more.
async fn abort_older(date: &DateFolder, partition: &Partition, commit: &Commit) -> Result<(), PublishError> {
    for (record, announcement) in Announcement::all(date).await? {
        if announcement.seq < commit.n {
            let upload = Upload {
                id: announcement.upload_id,
            };
            partition.file(&announcement.name).abort_upload(&upload).await?;
            record.remove().await?;
        }
    }
    Ok(())
}

enum Seen {
    Ours(Vec<Option<String>>),
    Newer(Stamp),
}

enum FileSeen {
    Ours(String),
    Newer(Stamp),
}
