//! Asks files whose names do not say what they are: Parquet begins and ends with the letters `PAR1`.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::{Listed, names};
use crate::plan::claims::{ENCRYPTED, MAGIC, SMALLEST_FILE};
use crate::storage::StorageError;

/// Files that are asked at a time.
const CONCURRENT: usize = 32;

/// Files of one ending that are asked at first. Where none of them is Parquet the others are not asked: a folder may hold pictures without end.
const SAMPLE: usize = 1_000;

/// Bytes at each end.
const LETTERS: u64 = 4;

/// What the letters say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letters {
    /// It is Parquet, encrypted or not.
    Parquet,
    /// It begins so and does not end so.
    CutOff,
    /// It is something else.
    Other,
    /// It may not be read.
    Forbidden,
}

/// Asks every file, or enough of each ending to know that none is Parquet.
pub(super) async fn ask(files: Vec<Listed>) -> Result<Vec<(Listed, Letters)>, StorageError> {
    let mut by_ending = BTreeMap::<_, Vec<Listed>>::new();
    for file in files {
        let (_, last) = names::split(&file.name);
        by_ending.entry(names::ending(last)).or_default().push(file);
    }
    let mut asked = Vec::new();
    for mut sample in by_ending.into_values() {
        let rest = sample.split_off(sample.len().min(SAMPLE));
        let sample = ask_all(sample).await?;
        let any = sample.iter().any(|(_, letters)| *letters == Letters::Parquet);
        asked.extend(sample);
        if any {
            asked.extend(ask_all(rest).await?);
        } else {
            asked.extend(rest.into_iter().map(|file| (file, Letters::Other)));
        }
    }
    Ok(asked)
}

async fn ask_all(files: Vec<Listed>) -> Result<Vec<(Listed, Letters)>, StorageError> {
    let asked = stream::iter(files.into_iter().map(answered));
    asked.buffered(CONCURRENT).try_collect().await
}

async fn answered(file: Listed) -> Result<(Listed, Letters), StorageError> {
    let letters = letters(&file).await?;
    Ok((file, letters))
}

async fn letters(file: &Listed) -> Result<Letters, StorageError> {
    let size = file.meta.size;
    if size < SMALLEST_FILE {
        return Ok(Letters::Other);
    }
    let ends = [0..LETTERS, size - LETTERS..size];
    match file.place.read_ranges(&ends, file.meta.e_tag.as_deref()).await {
        Ok(read) => Ok(match &read[..] {
            [head, tail] => by_ends(head, tail),
            _ => Letters::Other,
        }),
        Err(error) if error.is_forbidden() => Ok(Letters::Forbidden),
        Err(error) => Err(error),
    }
}

fn by_ends(head: &Bytes, tail: &Bytes) -> Letters {
    match (head.as_ref(), tail.as_ref()) {
        (MAGIC, MAGIC) | (ENCRYPTED, ENCRYPTED) => Letters::Parquet,
        (MAGIC | ENCRYPTED, _) => Letters::CutOff,
        _ => Letters::Other,
    }
}
