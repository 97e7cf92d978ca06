//! What can be asked of the state and the store while model and input are being looked at: none of it depends on them.
//!
//! Requests to a bucket take tens of milliseconds each, and a run makes many before its first row. These go beside the others.

use std::panic::resume_unwind;
use std::sync::Arc;

use futures::future::try_join;
use tokio::task::JoinHandle;

use super::desk::{RELEASE_TIME, Store};
use super::{Desk, Surroundings};
use crate::error::Error;
use crate::publish::{PublishError, Shown, Standing};

/// Questions that are on their way.
pub(super) struct Ahead {
    asking: JoinHandle<Result<Known, Error>>,
}

/// What they were answered.
pub(super) struct Known {
    /// Whether the state says that it is of this data set.
    pub(super) is_claimed: bool,
    /// What is decided and what readers see.
    pub(super) standing: Standing,
    /// What became of trying the store, where nothing is published yet, so that there will be something to write.
    pub(super) store: Option<Store>,
}

impl Ahead {
    /// Asks.
    pub(super) fn ask(desk: &Arc<Desk>, around: &Surroundings<'_>) -> Self {
        let unsafe_single_writer = around.settings.state.unsafe_single_writer;
        let desk = Arc::clone(desk);
        let asking = around.runtime.spawn(async move {
            let standing = async { desk.standing().await.map_err(PublishError::into) };
            let (is_claimed, standing) = try_join(desk.belongs(), standing).await?;
            let store = if standing.shown == Shown::Nothing {
                Some(desk.try_store(unsafe_single_writer).await?)
            } else {
                None
            };
            Ok(Known {
                is_claimed,
                standing,
                store,
            })
        });
        Self { asking }
    }

    /// The answers.
    pub(super) fn answers(self, around: &Surroundings<'_>) -> Result<Known, Error> {
        around.wait(async {
            match self.asking.await {
                Ok(answered) => answered,
                // Nobody aborts it, so it has panicked; and a panic there is a panic here.
                Err(error) => resume_unwind(error.into_panic()),
            }
        })
    }

    /// Lets what was begun come to its end, for a short time, so that it leaves nothing behind.
    pub(super) fn leave(self, around: &Surroundings<'_>) {
        around.runtime.block_on(async {
            tokio::select! {
                _ = self.asking => {}
                () = around.clock.sleep(RELEASE_TIME) => {}
            }
        });
    }
}
