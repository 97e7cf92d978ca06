//! Reads a range of a file on this machine into memory that costs little to get.

use std::fs::File;
use std::io::{Error as IoError, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use object_store::Error as StoreError;

use super::region::{REGIONS, STEP};

/// The range, or what there is of it where the file ends earlier.
pub(super) async fn read(file: File, range: Range<u64>) -> Result<Bytes, StoreError> {
    let read = tokio::task::spawn_blocking(move || read_now(&file, &range)).await;
    read.map_err(|source| StoreError::JoinError { source })?
        .map_err(|source| StoreError::Generic {
            store: "LocalFileSystem",
            source: Box::new(source),
        })
}

fn read_now(file: &File, range: &Range<u64>) -> Result<Bytes, IoError> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(IoError::other)?;
    // Shorter ranges come from the heap, which keeps blocks of their size.
    if length < STEP {
        let mut buffer = vec![0; length];
        let read = read_into(&mut buffer, file, range.start)?;
        buffer.truncate(read);
        return Ok(buffer.into());
    }
    let mut region = REGIONS.region(length)?;
    let read = read_into(&mut region.bytes_mut()[..length], file, range.start)?;
    Ok(region.freeze(read))
}

/// Fills the buffer from a place in the file; says how far that went, which is less where the file ends.
fn read_into(buffer: &mut [u8], file: &File, start: u64) -> Result<usize, IoError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A file of so many bytes, no two pages alike.
    fn file(bytes: usize) -> (File, Vec<u8>) {
        let content: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        let mut file = tempfile::tempfile().expect("make a file");
        file.write_all(&content).expect("write it");
        (file, content)
    }

    #[test]
    fn a_range_is_read_whole_whatever_its_length() {
        let (file, content) = file(3 * STEP + 5);
        for range in [0..0, 7..8, 1..STEP, 3..STEP + 3, 4095..content.len()] {
            let read = read_now(&file, &(range.start as u64..range.end as u64)).expect("read it");
            assert!(read == content[range.clone()], "{range:?}");
        }
    }

    #[test]
    fn of_a_file_that_ends_earlier_there_is_what_it_has() {
        let (file, content) = file(STEP + 5);
        for (start, end) in [(10, 2 * STEP), (STEP, STEP + 6), (content.len() + 1, content.len() + 9)] {
            let read = read_now(&file, &(start as u64..end as u64)).expect("read it");
            assert!(read == content[start.min(content.len())..], "{start}..{end}");
        }
    }
}
