//! The line: bytes are fetched ahead, chunks are scored on all cores, parts come out in the order of the input.
//!
//! The only file with channels. Memory is bounded by a budget in bytes that a chunk holds from before it is fetched until its part has been
//! taken, so a fast store cannot run away from slow cores, nor fast cores from a slow disk. Stages know nothing of this.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use futures::{StreamExt, stream};
use rayon::ThreadPool;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::batch::{ChunkId, Part, Stage};
use crate::clock::Elapsed;
use crate::error::{Error, Seam};
use crate::events::{Event, Monitor};
use crate::exit::ExitCode;
use crate::plan::Chunk;
use crate::read;
use crate::score::Scorer;
use crate::shutdown::Shutdown;

/// Chunks fetched at a time, so that the latency of one request hides behind the bytes of others.
const CONCURRENT_FETCHES: usize = 4;

/// Chunks on the line for each thread: one that is scored, and one that waits.
const CHUNKS_PER_THREAD: usize = 2;

/// The unit of the memory budget: a semaphore counts in 32 bits.
const PERMIT_BYTES: u64 = 1 << 16;

/// Stack of a scoring thread, as the main thread has it: derived features descend into their expressions.
const STACK_BYTES: usize = 8 << 20;

/// How often the line looks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);

/// How much of the machine the line may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Chunks scored at a time: the threads of the pool.
    pub threads: usize,
    /// Bytes of chunks on the line.
    pub memory: u64,
}

/// Scores every chunk and hands over the parts in order. The first error ends the line.
pub fn run(
    scorer: &Arc<Scorer>,
    limits: Limits,
    runtime: &Handle,
    shutdown: &Shutdown,
    monitor: &dyn Monitor,
    mut take: impl FnMut(Part) -> Result<(), Error>,
) -> Result<(), Error> {
    let pool = pool(limits.threads)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let feeder = Feeder {
        scorer: Arc::clone(scorer),
        room: Room::new(limits),
        pool: Arc::new(pool),
        stop: Arc::clone(&stop),
        sender,
    };
    let feeding = runtime.spawn(feeder.feed());
    let collected = collect(scorer.plan.chunks.len(), &receiver, shutdown, monitor, &mut take);
    // Chunks that wait are dropped; those that are being scored come to their end and are not heard.
    stop.store(true, Ordering::Relaxed);
    feeding.abort();
    collected
}

fn pool(threads: usize) -> Result<ThreadPool, LineError> {
    let builder = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        .thread_name(|thread| format!("score-{thread}"));
    builder.build().map_err(|error| LineError::Threads {
        threads,
        reason: error.to_string(),
    })
}

/// A scored chunk, or why it was not; with its place on the line.
struct Scored {
    chunk: ChunkId,
    part: Result<Part, Error>,
    held: Held,
}

/// Receives parts as they are finished and hands them on in order.
fn collect(
    chunks: usize,
    receiver: &Receiver<Scored>,
    shutdown: &Shutdown,
    monitor: &dyn Monitor,
    take: &mut impl FnMut(Part) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut waiting: BTreeMap<ChunkId, (Part, Held)> = BTreeMap::new();
    let mut next = ChunkId(0);
    while next.0 < chunks {
        shutdown.go_on()?;
        let scored = match receiver.recv_timeout(LOOK) {
            Ok(scored) => scored,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Err(LineError::Lost { chunk: next }.into()),
        };
        waiting.insert(scored.chunk, (scored.part?, scored.held));
        while let Some((part, held)) = waiting.remove(&next) {
            let event = Event::Scored {
                chunk: part.chunk,
                rows_in: part.rows_in,
                rows_rejected: part.rows_rejected(),
                stages: part.stages,
            };
            take(part)?;
            drop(held);
            monitor.hear(&event);
            next = ChunkId(next.0 + 1);
        }
    }
    Ok(())
}

/// Fetches chunks in order, a few at a time, and gives each to the pool.
struct Feeder {
    scorer: Arc<Scorer>,
    room: Room,
    pool: Arc<ThreadPool>,
    stop: Arc<AtomicBool>,
    sender: Sender<Scored>,
}

impl Feeder {
    async fn feed(self) {
        let fetches = stream::iter(0..self.scorer.plan.chunks.len()).map(|chunk| self.fetch(ChunkId(chunk)));
        let mut fetches = fetches.buffered(CONCURRENT_FETCHES);
        while let Some(fetched) = fetches.next().await {
            self.give(fetched);
        }
    }

    async fn fetch(&self, id: ChunkId) -> Fetched {
        let plan = &self.scorer.plan;
        let chunk = plan.chunk(id);
        let held = self.room.hold(plan.memory(chunk)).await;
        let clock = &self.scorer.clock;
        let start = clock.monotonic();
        let bytes = self.bytes(chunk).await;
        Fetched {
            chunk: id,
            bytes,
            wall: clock.monotonic().saturating_sub(start),
            held,
        }
    }

    async fn bytes(&self, chunk: &Chunk) -> Result<read::ChunkBytes, Error> {
        let plan = &self.scorer.plan;
        let ranges = read::ranges(plan, chunk)?;
        Ok(read::fetch(plan, chunk, ranges).await?)
    }

    /// Scores the chunk on the pool; its result goes to the collector.
    fn give(&self, fetched: Fetched) {
        let scorer = Arc::clone(&self.scorer);
        let sender = self.sender.clone();
        let stop = Arc::clone(&self.stop);
        // First in, first out: the chunk that is due first is scored first.
        self.pool.spawn_fifo(move || {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let Fetched {
                chunk,
                bytes,
                wall,
                held,
            } = fetched;
            let outcome = catch_unwind(AssertUnwindSafe(|| bytes.and_then(|bytes| scorer.score(bytes))));
            let part = match outcome {
                Ok(part) => part,
                Err(panic) => Err(LineError::Panic {
                    chunk,
                    message: message(panic.as_ref()),
                }
                .into()),
            };
            let part = part.map(|mut part| {
                let fetch = Elapsed {
                    wall,
                    cpu: Duration::ZERO,
                };
                part.stages.add(Stage::Fetch, fetch);
                part
            });
            // Nobody listens any more when another chunk has failed.
            let _ = sender.send(Scored { chunk, part, held });
        });
    }
}

struct Fetched {
    chunk: ChunkId,
    bytes: Result<read::ChunkBytes, Error>,
    wall: Duration,
    held: Held,
}

/// Room on the line: a budget of bytes, and a number of chunks, since more than the cores can use soon is only memory lost.
struct Room {
    chunks: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    total: u32,
}

/// A place on the line, given back when it is dropped.
struct Held {
    _chunk: Option<OwnedSemaphorePermit>,
    _bytes: Option<OwnedSemaphorePermit>,
}

impl Room {
    fn new(limits: Limits) -> Self {
        let total = permits(limits.memory);
        Self {
            chunks: Arc::new(Semaphore::new(CHUNKS_PER_THREAD * limits.threads + CONCURRENT_FETCHES)),
            bytes: Arc::new(Semaphore::new(total as usize)),
            total,
        }
    }

    /// Waits until there is room. A chunk larger than the whole budget gets all of it and runs alone.
    async fn hold(&self, bytes: u64) -> Held {
        let wanted = permits(bytes).min(self.total);
        // Neither semaphore is ever closed. Both are fair, so the chunk that is due first gets its place first.
        let chunk = Arc::clone(&self.chunks).acquire_owned().await.ok();
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(wanted).await.ok();
        Held {
            _chunk: chunk,
            _bytes: bytes,
        }
    }
}

fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PERMIT_BYTES))
        .unwrap_or(u32::MAX >> 3)
        .clamp(1, u32::MAX >> 3)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Why the line ended early, apart from what its stages say.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The threads could not be started.
    #[error("start {threads} scoring threads: {reason}")]
    Threads {
        /// Threads wanted.
        threads: usize,
        /// What the system says.
        reason: String,
    },
    /// A mistake in this program or in a library.
    #[error("scoring chunk {chunk} panicked: {message}")]
    Panic {
        /// The chunk.
        chunk: ChunkId,
        /// What the panic says.
        message: String,
    },
    /// A chunk never came back.
    #[error("chunk {chunk} got lost on the line")]
    Lost {
        /// The chunk.
        chunk: ChunkId,
    },
}

impl Seam for LineError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Threads { .. } | Self::Panic { .. } | Self::Lost { .. } => ExitCode::Internal,
        }
    }
}
