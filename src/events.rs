//! What happens on the line, told to whoever listens. Events go one way: nothing is asked back.
//!
//! They are per chunk, never per row.

use crate::batch::{ChunkId, StageTimes};

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The plan is made: so much is to be done.
    Planned {
        /// Rows of the input.
        rows: u64,
        /// Chunks of the plan.
        chunks: usize,
    },
    /// A chunk is scored and its part lies in the spool.
    Scored {
        /// The chunk.
        chunk: ChunkId,
        /// Rows read.
        rows_in: usize,
        /// Rows not scored.
        rows_rejected: usize,
        /// What each stage took.
        stages: StageTimes,
    },
    /// All chunks are in; the file is being closed, checked and published.
    Publishing,
    /// All is done; nothing more will come.
    Finished,
    /// The run failed, for a reason that is told elsewhere; nothing more will come.
    Failed,
}

/// Hears events.
pub trait Monitor: Send + Sync {
    /// Hears one. Called from the thread that runs the line, so it must not block.
    fn hear(&self, event: &Event);
}

/// Hears nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Monitor for Silent {
    fn hear(&self, _: &Event) {}
}

/// Passes each event on to several.
pub struct Several(pub Vec<Box<dyn Monitor>>);

impl Monitor for Several {
    fn hear(&self, event: &Event) {
        for monitor in &self.0 {
            monitor.hear(event);
        }
    }
}
