//! Uploads in pieces, for objects too large for one request. Nothing is seen of them before the last step.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::multipart::{MultipartStore, PartId};
use object_store::{Error as StoreError, PutMultipartOptions};

use super::conditional::attributes;
use super::{Attempt, Place, StorageError};
use crate::error::Seam;
use crate::exit::ExitCode;

/// Smallest piece: a request should carry more than its own cost.
const SMALLEST_PIECE: u64 = 16 << 20;

/// A store takes 10,000 pieces; some are kept in reserve.
const MOST_PIECES: u64 = 9_000;

/// Pieces on the way at a time.
const CONCURRENT_PIECES: usize = 4;

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The store's name for it.
    pub id: String,
}

/// Pieces that the store has.
#[derive(Debug)]
pub struct Pieces(Vec<PartId>);

impl Place {
    /// Begins an upload with user metadata.
    pub async fn begin_upload(&self, metadata: &[(&'static str, String)]) -> Result<Upload, StorageError> {
        let options = PutMultipartOptions {
            attributes: attributes(metadata),
            ..PutMultipartOptions::default()
        };
        // An upload whose answer was lost stays behind without pieces; the bucket's own rules remove it.
        self.insist(|| self.begin_upload_once(options.clone())).await
    }

    async fn begin_upload_once(&self, options: PutMultipartOptions) -> Result<Upload, StorageError> {
        self.before("begin")?;
        let begun = self.pieces()?.create_multipart_opts(&self.path, options).await;
        self.after("begin");
        begun.map(|id| Upload { id }).map_err(|source| self.error(source))
    }

    /// Sends every piece of the object. All but the last have one size, as some stores require.
    pub async fn send_pieces(&self, upload: &Upload, bytes: &Bytes) -> Result<Pieces, StorageError> {
        let total = bytes.len() as u64;
        let size = usize::try_from(SMALLEST_PIECE.max(total.div_ceil(MOST_PIECES))).unwrap_or(usize::MAX);
        let pieces = (0..bytes.len().div_ceil(size).max(1)).map(|number| {
            let piece = bytes.slice(number * size..bytes.len().min((number + 1) * size));
            self.send_piece(upload, number, piece)
        });
        let pieces: Vec<_> = pieces.collect();
        let sent = stream::iter(pieces).buffered(CONCURRENT_PIECES).try_collect().await?;
        Ok(Pieces(sent))
    }

    async fn send_piece(&self, upload: &Upload, number: usize, piece: Bytes) -> Result<PartId, StorageError> {
        self.insist(|| self.send_piece_once(upload, number, piece.clone()))
            .await
    }

    async fn send_piece_once(&self, upload: &Upload, number: usize, piece: Bytes) -> Result<PartId, StorageError> {
        self.before("piece")?;
        let sent = self
            .pieces()?
            .put_part(&self.path, &upload.id, number, piece.into())
            .await;
        self.after("piece");
        sent.map_err(|source| self.error(source))
    }

    /// Makes the pieces the object. Whether it happened is for a look to tell.
    pub async fn complete_upload(&self, upload: &Upload, pieces: Pieces) -> Result<Attempt, StorageError> {
        self.before("complete")?;
        let completed = self
            .pieces()?
            .complete_multipart(&self.path, &upload.id, pieces.0)
            .await;
        self.after("complete");
        match completed.map_err(|source| self.error(source)) {
            Ok(_) => Ok(Attempt::Done),
            Err(error) if error.exit() == ExitCode::StoragePermission => Err(error),
            Err(error) => Ok(Attempt::Unsure(error)),
        }
    }

    /// Drops an upload and its pieces; one that is gone is dropped already.
    pub async fn abort_upload(&self, upload: &Upload) -> Result<(), StorageError> {
        self.insist(|| self.abort_upload_once(upload)).await
    }

    async fn abort_upload_once(&self, upload: &Upload) -> Result<(), StorageError> {
        self.before("abort")?;
        let aborted = self.pieces()?.abort_multipart(&self.path, &upload.id).await;
        self.after("abort");
        match aborted {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.error(source)),
        }
    }

    fn pieces(&self) -> Result<&dyn MultipartStore, StorageError> {
        self.door.pieces.as_deref().ok_or_else(|| {
            self.error(StoreError::NotSupported {
                source: "the store takes no uploads in pieces".into(),
            })
        })
    }
}
