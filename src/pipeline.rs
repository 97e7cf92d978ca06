//! The line: bytes are fetched ahead, chunks are scored on all cores, parts come out in the order of the input.
//!
//! Each part is kept as soon as it is scored, before it waits for its turn; a chunk that was kept earlier is read back instead of scored.
//!
//! The only file with channels. Memory is bounded by a budget in bytes: a chunk holds its share from before it is fetched until it is kept, and
//! then what its part takes until that has been taken, so a fast store cannot run away from slow cores, nor fast cores from a slow disk. Stages
//! know nothing of this.

mod room;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use rayon::ThreadPool;
use tokio::runtime::Handle;
use tracing::warn;

use self::room::{Ahead, Held, Room};
use crate::batch::{ChunkId, Part, Stage};
use crate::checkpoint::Checkpoint;
use crate::clock::Elapsed;
use crate::error::{Error, Seam};
use crate::events::{Event, Monitor};
use crate::exit::ExitCode;
use crate::guard::message;
use crate::infer::{self, Watch};
use crate::read::{self, ReadError};
use crate::score::{Attempt, Fetched, Scorer};
use crate::shutdown::Shutdown;

/// Stack of a scoring thread, as the main thread has it: derived features descend into their expressions.
const STACK_BYTES: usize = 8 << 20;

/// How often the line looks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);

/// How much of the machine the line may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Chunks scored at a time: the threads of the pool.
    pub threads: usize,
    /// Threads of one forward pass.
    pub intra_op: usize,
    /// Bytes of chunks on the line.
    pub memory: u64,
}

/// Asked before a chunk is started; returns when it may be.
pub type Gate = Box<dyn Fn() -> BoxFuture<'static, Result<(), Error>> + Send + Sync>;

/// What is to be done.
pub struct Work {
    /// Scores a chunk.
    pub scorer: Arc<Scorer>,
    /// Keeps it, or has it already.
    pub checkpoint: Arc<Checkpoint>,
    /// Knows whether the model still comes back.
    pub watch: Arc<Watch>,
    /// Chunks, in order.
    pub chunks: Vec<ChunkId>,
    /// Whether to start another.
    pub gate: Gate,
}

impl Work {
    /// Whether all that is read lies on disks of this machine. What is mounted from elsewhere counts as that, too: it cannot be told apart.
    fn is_local(&self) -> bool {
        let rescore = self.scorer.rescore.as_ref();
        self.scorer.plan.is_local()
            && self.checkpoint.is_local()
            && rescore.is_none_or(|rescore| rescore.published.is_local())
    }
}

/// Scores every chunk and hands over the parts in order. The first error ends the line. When the process is asked to stop, chunks that are
/// being scored are kept, as far as `grace` allows.
pub fn run(
    work: Work,
    limits: Limits,
    runtime: &Handle,
    shutdown: &Shutdown,
    grace: Duration,
    monitor: &dyn Monitor,
    mut take: impl FnMut(Part) -> Result<(), Error>,
) -> Result<(), Error> {
    let chunks = work.chunks.clone();
    let watch = Arc::clone(&work.watch);
    let ahead = Ahead::of(limits.threads, work.is_local());
    let feeder = Arc::new(Feeder {
        room: Room::new(limits, ahead),
        fetches: ahead.fetches,
        pool: pool(limits)?,
        stop: AtomicBool::new(false),
        in_hand: AtomicUsize::new(0),
        runtime: runtime.clone(),
        work,
    });
    let (sender, receiver) = mpsc::channel();
    let feeding = runtime.spawn(Arc::clone(&feeder).feed(sender));
    let collected = collect(&chunks, &receiver, &watch, shutdown, monitor, &mut take);
    // Chunks that wait are dropped.
    feeder.stop.store(true, Ordering::Relaxed);
    feeding.abort();
    if shutdown.requested().is_some() {
        feeder.finish_in_hand(grace);
    }
    collected
}

fn pool(limits: Limits) -> Result<ThreadPool, LineError> {
    let Limits { threads, intra_op, .. } = limits;
    let builder = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        // What libtorch calls counts threads of its own for each thread that calls it.
        .start_handler(move |_| infer::set_intra_op_threads(intra_op))
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
    chunks: &[ChunkId],
    receiver: &Receiver<Scored>,
    watch: &Watch,
    shutdown: &Shutdown,
    monitor: &dyn Monitor,
    take: &mut impl FnMut(Part) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut waiting: BTreeMap<ChunkId, (Part, Held)> = BTreeMap::new();
    let mut due = chunks.iter();
    let mut next = due.next();
    while let Some(&chunk) = next {
        shutdown.go_on()?;
        watch.look()?;
        let scored = match receiver.recv_timeout(LOOK) {
            Ok(scored) => scored,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Err(LineError::Lost { chunk }.into()),
        };
        waiting.insert(scored.chunk, (scored.part?, scored.held));
        while let Some((part, held)) = next.and_then(|chunk| waiting.remove(chunk)) {
            let event = Event::Scored {
                chunk: part.chunk,
                rows_in: part.rows_in,
                rows_rejected: part.rows_rejected(),
                stages: part.stages,
            };
            take(part)?;
            drop(held);
            monitor.hear(&event);
            next = due.next();
        }
    }
    Ok(())
}

/// Fetches chunks in order, a few at a time, and gives each to the pool.
struct Feeder {
    work: Work,
    room: Room,
    /// Chunks fetched at a time.
    fetches: usize,
    pool: ThreadPool,
    /// Whether chunks that wait are dropped.
    stop: AtomicBool,
    /// Chunks that are being scored or kept.
    in_hand: AtomicUsize,
    runtime: Handle,
}

/// A chunk that was fetched, or its part.
struct Found {
    chunk: ChunkId,
    content: Result<Content, Error>,
    wall: Duration,
    held: Held,
}

/// A chunk that waits for a core.
struct ToScore {
    bytes: Fetched,
    attempt: Attempt,
    /// Time that its bytes took.
    wall: Duration,
    held: Held,
}

/// What was found of a chunk.
enum Content {
    /// Its input.
    Bytes(Fetched),
    /// Its part, which an earlier process has kept.
    Kept(Box<Part>),
}

impl Feeder {
    async fn feed(self: Arc<Self>, sender: Sender<Scored>) {
        let fetches = stream::iter(self.work.chunks.clone()).map(|chunk| self.fetch(chunk));
        let mut fetches = fetches.buffered(self.fetches);
        while let Some(fetched) = fetches.next().await {
            let Found {
                chunk,
                content,
                wall,
                held,
            } = fetched;
            match content {
                Ok(Content::Bytes(bytes)) => {
                    let attempt = Attempt::First;
                    self.score(
                        ToScore {
                            bytes,
                            attempt,
                            wall,
                            held,
                        },
                        sender.clone(),
                    );
                }
                // Nobody listens any more when another chunk has failed; so it is below.
                Ok(Content::Kept(part)) => drop(sender.send(Scored {
                    chunk,
                    part: Ok(*part),
                    held,
                })),
                Err(error) => drop(sender.send(Scored {
                    chunk,
                    part: Err(error),
                    held,
                })),
            }
        }
    }

    async fn fetch(&self, id: ChunkId) -> Found {
        let Work { scorer, .. } = &self.work;
        let mut held = self.room.hold(scorer.plan.memory(scorer.plan.chunk(id))).await;
        let start = scorer.clock.monotonic();
        let content = self.content(id).await;
        if let Ok(Content::Kept(part)) = &content {
            held.shrink(part.memory());
        }
        Found {
            chunk: id,
            content,
            wall: scorer.clock.monotonic().saturating_sub(start),
            held,
        }
    }

    async fn content(&self, id: ChunkId) -> Result<Content, Error> {
        if let Some(part) = self.work.checkpoint.load(id.0).await? {
            return Ok(Content::Kept(Box::new(part)));
        }
        (self.work.gate)().await?;
        Ok(Content::Bytes(self.bytes(id).await?))
    }

    async fn bytes(&self, id: ChunkId) -> Result<Fetched, ReadError> {
        let Scorer { plan, rescore, .. } = self.work.scorer.as_ref();
        let input = read::fetch(plan, plan.chunk(id)).await?;
        let published = match rescore {
            Some(rescore) => Some(read::fetch(&rescore.published, rescore.published.chunk(id)).await?),
            None => None,
        };
        Ok(Fetched { input, published })
    }

    /// Scores the chunk on the pool, keeps it, and gives it to the collector. Bytes that cannot be decoded are fetched once more.
    fn score(self: &Arc<Self>, fetched: ToScore, sender: Sender<Scored>) {
        let feeder = Arc::clone(self);
        // First in, first out: the chunk that is due first is scored first.
        self.pool.spawn_fifo(move || {
            feeder.in_hand.fetch_add(1, Ordering::AcqRel);
            // Asked after it is counted, so that whoever waits for chunks in hand misses none.
            if feeder.stop.load(Ordering::Acquire) {
                feeder.in_hand.fetch_sub(1, Ordering::AcqRel);
                return;
            }
            let ToScore {
                bytes,
                attempt,
                wall,
                mut held,
            } = fetched;
            let chunk = bytes.input.chunk();
            let scorer = &feeder.work.scorer;
            let decoded = caught(chunk, || scorer.decode(bytes, attempt));
            let runtime = feeder.runtime.clone();
            if let Ok(Err(error)) = &decoded
                && attempt == Attempt::First
                && error.is_damage()
            {
                warn!(%chunk, error = error.in_full(), "cannot be decoded; fetching it once more");
                runtime.spawn(feeder.again(chunk, wall, held, sender));
                return;
            }
            let part = decoded.map_err(Error::from).and_then(|decoded| {
                let decoded = decoded?;
                caught(chunk, || scorer.score(decoded))?
            });
            let part = part.map(|mut part| {
                let fetch = Elapsed {
                    wall,
                    cpu: Duration::ZERO,
                };
                part.stages.add(Stage::Fetch, fetch);
                part
            });
            runtime.spawn(async move {
                let part = match part {
                    Ok(part) => feeder.work.checkpoint.keep(part).await.map_err(Error::from),
                    Err(error) => Err(error),
                };
                if let Ok(part) = &part {
                    held.shrink(part.memory());
                }
                feeder.in_hand.fetch_sub(1, Ordering::AcqRel);
                let _ = sender.send(Scored { chunk, part, held });
            });
        });
    }

    /// Fetches a chunk for the second and last time.
    async fn again(self: Arc<Self>, chunk: ChunkId, wall: Duration, held: Held, sender: Sender<Scored>) {
        let clock = &self.work.scorer.clock;
        let start = clock.monotonic();
        let bytes = self.bytes(chunk).await;
        let wall = wall + clock.monotonic().saturating_sub(start);
        // The pool counts it anew.
        self.in_hand.fetch_sub(1, Ordering::AcqRel);
        match bytes {
            Ok(bytes) => {
                let fetched = ToScore {
                    bytes,
                    attempt: Attempt::Last,
                    wall,
                    held,
                };
                self.score(fetched, sender);
            }
            // Nobody listens any more when another chunk has failed.
            Err(error) => drop(sender.send(Scored {
                chunk,
                part: Err(error.into()),
                held,
            })),
        }
    }

    /// Waits for chunks that are being scored or kept, so that the next run need not score them again.
    fn finish_in_hand(&self, grace: Duration) {
        let clock = &self.work.scorer.clock;
        let until = clock.monotonic() + grace;
        while self.in_hand.load(Ordering::Acquire) > 0 && clock.monotonic() < until {
            std::thread::sleep(LOOK / 10);
        }
    }
}

/// A panic in a stage ends the run and not the thread.
fn caught<T>(chunk: ChunkId, work: impl FnOnce() -> T) -> Result<T, LineError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| LineError::Panic {
        chunk,
        message: message(panic.as_ref()),
    })
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
