//! Memory for what is read of files, which is used again.
//!
//! The allocator gives large blocks back to the system, which hands out new ones page by page and clears them: that takes longer than to copy a
//! file into them. So what one chunk has left is given to the next one, as it is.

use std::io::Error as IoError;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use bytes::Bytes;
use memmap2::MmapMut;

/// Bytes by which regions grow, so that one fits ranges of about the same length.
pub(super) const STEP: usize = 2 << 20;

/// Regions that nobody uses now.
#[derive(Debug)]
pub(super) struct Regions {
    spare: Mutex<Vec<MmapMut>>,
}

impl Regions {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self {
            spare: Mutex::new(Vec::new()),
        }
    }

    /// A region of so many bytes or a few more.
    pub(super) fn region(&'static self, length: usize) -> Result<Region, IoError> {
        let length = length.next_multiple_of(STEP);
        let spare = take(&mut self.spare.lock().unwrap_or_else(PoisonError::into_inner), length);
        let memory = match spare {
            Some(memory) => memory,
            None => MmapMut::map_anon(length)?,
        };
        Ok(Region {
            memory: Some(memory),
            back_to: self,
        })
    }
}

/// Memory whose content is whatever was there before.
#[derive(Debug)]
pub(super) struct Region {
    memory: Option<MmapMut>,
    /// Who gets it when it is dropped.
    back_to: &'static Regions,
}

impl Region {
    /// Its memory.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }

    /// Its first bytes; the region is given back with the last of them.
    pub(super) fn freeze(self, length: usize) -> Bytes {
        Bytes::from_owner(self).slice(..length)
    }
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let mut spare = self.back_to.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.extend(self.memory.take());
        if spare.len() > most_spare() {
            spare.sort_by_key(|memory| memory.len());
            spare.remove(0);
        }
    }
}

/// Regions that are worth keeping: while threads score, about every second of them has left a region that the next chunk has not taken yet.
fn most_spare() -> usize {
    available_parallelism().map_or(1, NonZero::get).div_ceil(2)
}

/// The smallest spare region of so many bytes, unless most of it would lie idle. Where there is none, as many bytes are given back to the system as
/// will be asked for, so that all regions together are never larger than twice what was in use at once.
fn take(spare: &mut Vec<MmapMut>, length: usize) -> Option<MmapMut> {
    spare.sort_by_key(|memory| memory.len());
    let large = spare.partition_point(|memory| memory.len() < length);
    if spare.get(large).is_some_and(|memory| memory.len() <= 2 * length) {
        return Some(spare.remove(large));
    }
    let mut freed = 0;
    while freed < length {
        let Some(memory) = spare.pop() else { break };
        freed += memory.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(lengths: &[usize]) -> Vec<MmapMut> {
        let mapped = lengths.iter().map(|length| MmapMut::map_anon(*length).expect("map it"));
        mapped.collect()
    }

    fn lengths(regions: &[MmapMut]) -> Vec<usize> {
        regions.iter().map(|memory| memory.len()).collect()
    }

    #[test]
    fn the_smallest_that_is_large_enough_is_taken() {
        let mut spare = regions(&[30, 10, 20]);
        assert_eq!(take(&mut spare, 11).map(|memory| memory.len()), Some(20));
        assert_eq!(lengths(&spare), [10, 30]);
        assert!(take(&mut spare, 14).is_none(), "30 are too many for 14");
        assert_eq!(lengths(&spare), [10]);
    }

    #[test]
    fn before_a_larger_one_is_mapped_as_much_is_given_back() {
        let mut spare = regions(&[10, 20, 30, 40]);
        assert!(take(&mut spare, 60).is_none());
        assert_eq!(lengths(&spare), [10, 20]);
        assert!(take(&mut spare, 60).is_none());
        assert_eq!(lengths(&spare), Vec::<usize>::new());
    }

    #[test]
    fn a_region_is_used_again_when_its_last_bytes_are_dropped() {
        static REGIONS: Regions = Regions::new();
        let mut region = REGIONS.region(STEP + 7).expect("get one");
        region.bytes_mut().fill(7);
        let place = region.as_ref().as_ptr();
        let bytes = region.freeze(100);
        assert_eq!(bytes.len(), 100);
        let some = bytes.slice(10..20);
        drop(bytes);
        let other = REGIONS.region(STEP).expect("get another");
        assert_ne!(other.as_ref().as_ptr(), place, "it is in use");
        drop(some);
        let again = REGIONS.region(2 * STEP).expect("get it again");
        assert_eq!(again.as_ref().as_ptr(), place);
    }
}
