//! Puts committed files in place, and stops short of replacing anything newer.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::{debug, warn};

use super::{Assembled, Fences, Partition, PublishError, Shown, Spooled, Stamp};
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
    /// Whether a version with so many files may replace what is there. Asked before anything is scored, and again when it is shown.
    pub async fn permits(&self, partition: &Partition, files: usize) -> Result<(), PublishError> {
        let name = super::file_name(0);
        let shown = partition.look(&name).await?;
        partition.condition(&name, &shown)?;
        if partition.place().local().is_none() {
            let wanted: BTreeSet<_> = (0..files).map(super::file_name).collect();
            self.changes(partition, &wanted).await?;
        }
        Ok(())
    }

    /// Data files that are there, if they are others than are wanted; an error where their number may not change.
    async fn changes(
        &self,
        partition: &Partition,
        wanted: &BTreeSet<String>,
    ) -> Result<Option<BTreeSet<String>>, PublishError> {
        let found: BTreeSet<_> = partition.names().await?.into_iter().collect();
        if found.is_empty() || found == *wanted {
            return Ok(None);
        }
        if self.nonatomic {
            return Ok(Some(found));
        }
        Err(PublishError::Layout {
            partition: partition.place().location().to_string(),
            found: found.len(),
            wanted: wanted.len(),
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
        if let (Some(etags), true) = (&visible.ours(), self.marker) {
            debug!(files = etags.len(), "marking the partition");
            if let Err(error) = partition.mark().await {
                warn!(%error, "the date is published, and its marker could not be written");
            }
        }
        Ok(match visible {
            Seen::Newer(stamp) => Visible::Newer(stamp),
            Seen::Ours(etags) => Visible::Ours { etags, replaced },
        })
    }

    fn show_locally(
        partition: &Partition,
        commit: &Commit,
        assembled: Assembled,
        before: Shown,
    ) -> Result<Seen, PublishError> {
        let files = assembled.files.len();
        match before {
            Shown::Ours(stamp, _) if stamp.seq > commit.n => return Ok(Seen::Newer(stamp)),
            Shown::Ours(stamp, _) if stamp.seq == commit.n => {}
            shown => {
                partition.condition(&super::file_name(0), &shown)?;
                partition.rename(assembled.files)?;
            }
        }
        Ok(Seen::Ours(vec![None; files]))
    }

    async fn show_in_bucket(
        &self,
        date: &DateFolder,
        partition: &Partition,
        commit: &Commit,
        assembled: &Assembled,
        before: &Shown,
    ) -> Result<Seen, PublishError> {
        let wanted: BTreeSet<_> = assembled.files.iter().map(|file| file.data.name.clone()).collect();
        // Where something newer is there, its files are none of ours to judge.
        let changes = if before.seq() < commit.n {
            self.changes(partition, &wanted).await?
        } else {
            None
        };
        if self.fences.announced {
            abort_older(date, partition, commit).await?;
        }
        let stepwise = changes.is_some() || wanted.len() > 1;
        if stepwise && before.seq() < commit.n {
            partition.unmark().await?;
        }
        let mut etags = Vec::with_capacity(assembled.files.len());
        for file in &assembled.files {
            match self.show_file(date, partition, commit, file, &assembled.stamp).await? {
                FileSeen::Ours(etag) => etags.push(Some(etag)),
                FileSeen::Newer(stamp) => return Ok(Seen::Newer(stamp)),
            }
        }
        for name in changes.iter().flat_map(|found| found.difference(&wanted)) {
            partition.remove(name).await?;
        }
        Ok(Seen::Ours(etags))
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
                Shown::Ours(stamp, _) if stamp.seq > commit.n => return Ok(FileSeen::Newer(stamp.clone())),
                Shown::Ours(stamp, version) if stamp.seq == commit.n => {
                    return Ok(FileSeen::Ours(version.etag().to_owned()));
                }
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
        let upload = place.begin_upload(&stamp.metadata(&file.data.sha256)).await?;
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

impl Seen {
    fn ours(&self) -> Option<&Vec<Option<String>>> {
        match self {
            Self::Ours(etags) => Some(etags),
            Self::Newer(_) => None,
        }
    }
}

enum FileSeen {
    Ours(String),
    Newer(Stamp),
}
