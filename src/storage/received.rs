//! What a store sends of a range, in memory that costs little to get.

use bytes::Bytes;
use futures::StreamExt;
use object_store::{Error as StoreError, GetResult};

use super::region::{REGIONS, STEP};

/// What was sent.
pub(super) struct Received {
    /// The bytes, as far as they were asked for.
    pub(super) bytes: Bytes,
    /// How many were sent.
    pub(super) length: u64,
}

impl From<Bytes> for Received {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self { bytes, length }
    }
}

/// Receives a range of which so many bytes are expected. Of a longer answer only the beginning is kept.
pub(super) async fn receive(answer: GetResult, expected: u64) -> Result<Received, StoreError> {
    let memory = usize::try_from(expected).ok().filter(|expected| *expected >= STEP);
    // Shorter ranges come from the heap, which keeps blocks of their size.
    let Some(expected) = memory else {
        return answer.bytes().await.map(Received::from);
    };
    let mut region = REGIONS.region(expected).map_err(|source| StoreError::Generic {
        store: "store",
        source: Box::new(source),
    })?;
    let (mut filled, mut length) = (0, 0);
    let mut pieces = answer.into_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let kept = piece.len().min(expected - filled);
        region.bytes_mut()[filled..filled + kept].copy_from_slice(&piece[..kept]);
        filled += kept;
        length += piece.len() as u64;
    }
    Ok(Received {
        bytes: region.freeze(filled),
        length,
    })
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{GetOptions, ObjectStore, ObjectStoreExt};

    use super::*;

    /// What is received of an object of so many bytes, no two pages of which are alike, and the object.
    async fn received(length: usize, expected: usize) -> (Received, Vec<u8>) {
        let content: Vec<u8> = (0..length)
            .map(|byte| u8::try_from(byte / 4096 % 251).unwrap())
            .collect();
        let (store, path) = (InMemory::new(), Path::from("features.parquet"));
        store.put(&path, content.clone().into()).await.unwrap();
        let answer = store.get_opts(&path, GetOptions::default()).await.unwrap();
        (receive(answer, expected as u64).await.unwrap(), content)
    }

    #[tokio::test]
    async fn a_range_is_received_as_it_was_sent() {
        for length in [1, STEP - 1, STEP, 3 * STEP + 17] {
            let (Received { bytes, length: sent }, content) = received(length, length).await;
            assert_eq!((bytes.as_ref(), sent), (content.as_slice(), length as u64));
        }
    }

    #[tokio::test]
    async fn of_what_was_not_asked_for_only_the_length_is_known() {
        let (Received { bytes, length }, content) = received(2 * STEP, STEP + 1).await;
        assert_eq!((bytes.as_ref(), length), (&content[..=STEP], 2 * STEP as u64));
        let (Received { bytes, length }, content) = received(STEP, 2 * STEP).await;
        assert_eq!((bytes.as_ref(), length), (content.as_slice(), STEP as u64));
    }
}
