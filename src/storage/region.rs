//! Memory for what is read of files and buckets, which is used again.
//!
//! The allocator gives large blocks back to the system, which hands out new ones page by page and clears them: that takes longer than to copy a
//! file into them. So what one chunk has left is given to the next one, as it is.

use std::io::Error as IoError;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use memmap2::MmapMut;

/// Bytes by which regions grow, so that one fits ranges of about the same length.
pub(super) const STEP: usize = 2 << 20;

/// Memory of chunks that have been read and scored.
pub(super) static REGIONS: Regions = Regions::new();

/// Regions that nobody uses now. Together with those in use they never take more than was in use at once.
#[derive(Debug)]
pub(super) struct Regions {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    spare: Vec<MmapMut>,
    /// Bytes in use.
    used: usize,
    /// Most bytes that were in use at once.
    most: usize,
}

impl Regions {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                spare: Vec::new(),
                used: 0,
                most: 0,
            }),
        }
    }

    /// A region of so many bytes or a few more.
    pub(super) fn region(&'static self, length: usize) -> Result<Region, IoError> {
        let length = length.next_multiple_of(STEP);
        // What is given back to the system takes its time, in which nobody is kept waiting.
        let (spare, surplus) = self.state().take(length);
        drop(surplus);
        let memory = match spare {
            Some(memory) => memory,
            None => MmapMut::map_anon(length).inspect_err(|_| self.state().used -= length)?,
        };
        Ok(Region {
            memory: Some(memory),
            back_to: self,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The smallest spare region of so many bytes, unless most of it would lie idle; else `None`, and so many bytes are in use from now on. With it
    /// comes what is to be given back to the system.
    fn take(&mut self, length: usize) -> (Option<MmapMut>, Vec<MmapMut>) {
        self.spare.sort_by_key(|memory| memory.len());
        let large = self.spare.partition_point(|memory| memory.len() < length);
        let fits = self.spare.get(large).is_some_and(|memory| memory.len() <= 2 * length);
        let spare = fits.then(|| self.spare.remove(large));
        self.used += spare.as_ref().map_or(length, |memory| memory.len());
        self.most = self.most.max(self.used);
        (spare, self.surplus())
    }

    /// A region that nobody uses any more. What is to be given back to the system comes back.
    fn end(&mut self, memory: MmapMut) -> Vec<MmapMut> {
        self.used -= memory.len();
        self.spare.push(memory);
        self.surplus()
    }

    /// What is too much beside what is in use.
    fn surplus(&mut self) -> Vec<MmapMut> {
        let mut room = self.most - self.used;
        let surplus = self
            .spare
            .extract_if(.., |memory| match room.checked_sub(memory.len()) {
                Some(left) => {
                    room = left;
                    false
                }
                None => true,
            });
        surplus.collect()
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
        if let Some(memory) = self.memory.take() {
            let surplus = self.back_to.state().end(memory);
            drop(surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(spare: &[usize], used: usize, most: usize) -> State {
        let mapped = spare.iter().map(|length| MmapMut::map_anon(*length).expect("map it"));
        State {
            spare: mapped.collect(),
            used,
            most,
        }
    }

    fn lengths(state: &State) -> Vec<usize> {
        let mut lengths: Vec<usize> = state.spare.iter().map(|memory| memory.len()).collect();
        lengths.sort_unstable();
        lengths
    }

    #[test]
    fn the_smallest_that_is_large_enough_is_taken() {
        let mut state = state(&[30, 10, 20], 0, 100);
        assert_eq!(state.take(11).0.map(|memory| memory.len()), Some(20));
        assert_eq!((lengths(&state), state.used), (vec![10, 30], 20));
        assert!(state.take(14).0.is_none(), "30 are too many for 14");
        assert_eq!((lengths(&state), state.used), (vec![10, 30], 34));
    }

    #[test]
    fn all_together_are_never_more_than_was_in_use_at_once() {
        let mut state = state(&[10, 20], 70, 100);
        // 70 in use and 25 more leave room for 5.
        let (spare, surplus) = state.take(25);
        assert!(spare.is_none());
        assert_eq!((surplus.len(), state.spare.len()), (2, 0));
        assert!(state.take(10).0.is_none());
        assert_eq!((state.used, state.most), (105, 105));
        assert!(state.end(MmapMut::map_anon(25).expect("map it")).is_empty());
        assert!(state.end(MmapMut::map_anon(10).expect("map it")).is_empty());
        assert_eq!((lengths(&state), state.used), (vec![10, 25], 70));
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
