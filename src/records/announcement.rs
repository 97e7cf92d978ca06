//! Uploads in pieces that were begun.

use serde::{Deserialize, Serialize};

use super::{DateFolder, decode, encode};
use crate::storage::{Place, StorageError};

/// An upload in pieces, announced before its first piece is sent, so that whoever commits later can drop it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Number of the commit.
    pub seq: u64,
    /// Nonce of the data.
    pub nonce: String,
    /// The object, by its name below the partition.
    pub name: String,
    /// The store's name for the upload.
    pub upload_id: String,
}

impl Announcement {
    /// Every announced upload and its record.
    pub async fn all(date: &DateFolder) -> Result<Vec<(Place, Self)>, StorageError> {
        let mut found = Vec::new();
        for meta in date.uploads().list().await? {
            let place = date.uploads().at(meta.location);
            if let Some((bytes, _)) = place.read_record().await?
                && let Some(announcement) = decode(&bytes)
            {
                found.push((place, announcement));
            }
        }
        Ok(found)
    }

    /// Says that the upload is under way; where it was said.
    pub async fn make(&self, date: &DateFolder) -> Result<Place, StorageError> {
        let Self {
            seq,
            nonce,
            name,
            upload_id,
        } = self;
        let digest = crate::digest::sha256(upload_id.as_bytes());
        let place = date
            .uploads()
            .join(&format!("{seq:020}-{nonce}-{name}-{}.json", &digest[..8]));
        place.create(encode(self)).await?;
        Ok(place)
    }
}
