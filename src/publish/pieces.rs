//! Files too large for one request are uploaded in pieces, which cannot be done on a condition: so the upload is announced first.

use tracing::debug;

use super::{Partition, PublishError, Showing, Spooled, Stamp};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::records::{Announcement, Commit, DateFolder, Log};
use crate::storage::{Attempt, Place, StorageError, Upload};

impl Showing {
    /// An upload in pieces cannot be made on a condition. So it is announced first, and the log looked at after that: of two writers that
    /// announce before they look, at least one sees the other.
    pub(super) async fn put_in_pieces(
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
pub(super) async fn abort_older(date: &DateFolder, partition: &Partition, commit: &Commit) -> Result<(), PublishError> {
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
