//! Whether writers can be kept apart in a store, as trying it has shown; what that left there is removed beside whatever comes next.

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::warn;

use super::desk::RELEASE_TIME;
use super::{RunError, Surroundings, joined};
use crate::error::Error;
use crate::storage::{StorageError, Traces};
use crate::validate::Job;

/// What trying a store's conditions has shown.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Store {
    fault: Option<&'static str>,
    /// The removal of what it left, until that has been heard of.
    removing: Option<JoinHandle<Result<(), StorageError>>>,
}

impl Store {
    /// A store that was tried. Begins to remove what that left.
    pub(super) fn tried(fault: Option<&'static str>, traces: Traces, runtime: &Handle) -> Self {
        Self {
            fault,
            removing: Some(runtime.spawn(traces.remove())),
        }
    }

    /// Refuses a store that writers cannot be kept apart in.
    pub(super) fn admit(&self, job: &Job) -> Result<(), Error> {
        self.fault.map_or(Ok(()), |fault| {
            let state = job.state.to_string();
            Err(RunError::Conditions { state, fault }.into())
        })
    }

    /// Waits until nothing is left of trying it.
    pub(super) async fn clear(&mut self) -> Result<(), StorageError> {
        let Some(removing) = &mut self.removing else {
            return Ok(());
        };
        let removed = removing.await;
        self.removing = None;
        joined(removed)
    }

    /// As `clear`, for a short time, where something else decides how the process ends.
    pub(super) fn leave(mut self, around: &Surroundings<'_>) {
        around.runtime.block_on(async {
            tokio::select! {
                cleared = self.clear() => if let Err(error) = cleared {
                    warn!(%error, "what was written to try the store could not be removed; `gc` will");
                },
                () = around.clock.sleep(RELEASE_TIME) => {}
            }
        });
    }
}
