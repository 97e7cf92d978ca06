//! Room on the line: how many chunks are on it, and how many bytes they may take.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;

/// Chunks fetched at a time from a bucket, so that the latency of one request hides behind the bytes of others.
const CONCURRENT_FETCHES: usize = 4;

/// Threads that one reader of a local disk keeps busy: it copies a chunk in a fraction of the time in which one is scored.
const THREADS_OF_READER: usize = 4;

/// Threads of which one finds its next chunk waiting. Others find it soon; what waits for longer is only memory lost, and out of the caches.
const THREADS_OF_WAITING: usize = 2;

/// The unit of the memory budget: a semaphore counts in 32 bits.
const PERMIT_BYTES: u64 = 1 << 16;

/// How far fetching is ahead of scoring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    /// Chunks fetched at a time.
    pub(super) fetches: usize,
    /// Chunks on the line that are not being scored.
    pub(super) chunks: usize,
}

impl Ahead {
    /// For so many threads.
    pub(super) fn of(threads: usize, is_local: bool) -> Self {
        let waiting = threads.div_ceil(THREADS_OF_WAITING);
        if is_local {
            // What is read is what waits next.
            Self {
                fetches: threads.div_ceil(THREADS_OF_READER),
                chunks: waiting,
            }
        } else {
            Self {
                fetches: CONCURRENT_FETCHES,
                chunks: waiting + CONCURRENT_FETCHES,
            }
        }
    }
}

/// Room on the line: a budget of bytes, and a number of chunks, since more than the cores can use soon is only memory lost.
pub(super) struct Room {
    chunks: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    total: u32,
}

/// A place on the line, given back when it is dropped.
pub(super) struct Held {
    chunk: Option<OwnedSemaphorePermit>,
    bytes: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Keeps only what a part takes until its turn comes, so that a chunk that takes long does not hold up those behind it.
    pub(super) fn shrink(&mut self, bytes: u64) {
        self.chunk = None;
        let left = permits(bytes) as usize;
        if let Some(held) = &mut self.bytes
            && let Some(surplus) = held.num_permits().checked_sub(left)
        {
            drop(held.split(surplus));
        }
    }
}

impl Room {
    pub(super) fn new(limits: Limits, ahead: Ahead) -> Self {
        let total = permits(limits.memory);
        Self {
            chunks: Arc::new(Semaphore::new(limits.threads + ahead.chunks)),
            bytes: Arc::new(Semaphore::new(total as usize)),
            total,
        }
    }

    /// Waits until there is room. A chunk larger than the whole budget gets all of it and runs alone.
    pub(super) async fn hold(&self, bytes: u64) -> Held {
        let wanted = permits(bytes).min(self.total);
        // Neither semaphore is ever closed. Both are fair, so the chunk that is due first gets its place first.
        Held {
            chunk: Arc::clone(&self.chunks).acquire_owned().await.ok(),
            bytes: Arc::clone(&self.bytes).acquire_many_owned(wanted).await.ok(),
        }
    }
}

fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PERMIT_BYTES))
        .unwrap_or(u32::MAX >> 3)
        .clamp(1, u32::MAX >> 3)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn room_of_one_chunk(permits: u64) -> Room {
        let limits = Limits {
            threads: 1,
            intra_op: 1,
            memory: permits * PERMIT_BYTES,
        };
        Room::new(limits, Ahead { fetches: 1, chunks: 0 })
    }

    #[test]
    fn scored_chunk_makes_room_for_the_next_before_its_turn() {
        let room = room_of_one_chunk(10);
        let mut first = room.hold(8 * PERMIT_BYTES).now_or_never().expect("there is room");
        assert!(
            room.hold(PERMIT_BYTES).now_or_never().is_none(),
            "one is scored at a time"
        );
        first.shrink(3 * PERMIT_BYTES);
        assert!(room.hold(8 * PERMIT_BYTES).now_or_never().is_none(), "its part takes 3");
        let next = room.hold(7 * PERMIT_BYTES).now_or_never().expect("there is room");
        drop((first, next));
        let all = room.hold(u64::MAX).now_or_never().expect("there is room");
        assert_eq!(all.bytes.map(|held| held.num_permits()), Some(10));
    }

    #[test]
    fn part_that_is_larger_than_its_chunk_keeps_what_the_chunk_had() {
        let room = room_of_one_chunk(4);
        let mut held = room.hold(PERMIT_BYTES).now_or_never().expect("there is room");
        held.shrink(100 * PERMIT_BYTES);
        assert_eq!(held.bytes.map(|held| held.num_permits()), Some(1));
    }

    #[test]
    fn few_chunks_are_ahead_of_many_threads() {
        let ahead = |threads, is_local| {
            let Ahead { fetches, chunks } = Ahead::of(threads, is_local);
            (fetches, chunks)
        };
        assert_eq!(ahead(1, true), (1, 1));
        assert_eq!(ahead(16, true), (4, 8));
        assert_eq!(ahead(2, false), (4, 5));
    }
}
