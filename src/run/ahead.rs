//! What can be asked of the state and the store while model and input are being looked at: none of it depends on them.
//!
//! Requests to a bucket take tens of milliseconds each, and a run makes many before its first row. These go beside the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join;
use tokio::task::JoinHandle;

use super::desk::RELEASE_TIME;
use super::store::Store;
use super::{Desk, Options, Surroundings, joined};
use crate::error::Error;
use crate::hold::{Hold, Vacancy};
use crate::publish::Shown;
use crate::storage::StorageError;

/// Questions that are on their way.
pub(super) struct Ahead {
    asking: JoinHandle<Result<Known, Error>>,
    /// Whether it is known by now that all rows are to be scored.
    will_score: Arc<AtomicBool>,
}

/// What they were answered.
pub(super) struct Known {
    /// Whether the state says that it is of this data set.
    pub(super) is_claimed: bool,
    /// What readers saw then.
    pub(super) shown: Shown,
    /// What became of trying the store, where nothing is published yet, so that there will be something to write.
    pub(super) store: Option<Store>,
    /// The lease, if it was free.
    pub(super) vacancy: Option<Vacancy>,
}

impl Ahead {
    /// Asks.
    pub(super) fn ask(desk: &Arc<Desk>, options: &Options, around: &Surroundings<'_>) -> Self {
        let unsafe_single_writer = around.settings.state.unsafe_single_writer;
        // A run about rejected rows has something to do only where something is published.
        let may_try = !options.only_rejected;
        let (desk, runtime) = (Arc::clone(desk), around.runtime.clone());
        let will_score = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&will_score);
        let asking = around.runtime.spawn(async move {
            let told = join(desk.belongs(), desk.standing());
            let vacancy = Hold::vacancy(&desk.date, desk.terms);
            let ((is_claimed, standing), vacancy) = join(told, vacancy).await;
            let is_claimed = is_claimed?;
            let shown = standing?.shown;
            let is_new = may_try && shown == Shown::Nothing;
            // Whoever waits for another process would hold a model meanwhile, and find nothing to do afterwards.
            let is_free = is_new
                && match &vacancy {
                    Ok(Some(_)) => true,
                    _ => Hold::look(&desk.date).await.is_ok_and(|seat| seat.is_none()),
                };
            tells.store(is_free, Ordering::Relaxed);
            let store = if is_new {
                Some(desk.try_store(unsafe_single_writer, &runtime).await?)
            } else {
                None
            };
            Ok(Known {
                is_claimed,
                shown,
                store,
                // Whoever takes it without an answer looks himself.
                vacancy: vacancy.unwrap_or(None),
            })
        });
        Self { asking, will_score }
    }

    /// Whether it is known by now that all rows are to be scored: nothing is published, and nobody else is at work.
    pub(super) fn will_score(&self) -> bool {
        self.will_score.load(Ordering::Relaxed)
    }

    /// The answers.
    pub(super) fn answers(mut self, around: &Surroundings<'_>) -> Result<Known, Error> {
        let (asking, mut heard) = (&mut self.asking, false);
        let answered = around.wait(async {
            let answered = asking.await;
            heard = true;
            joined(answered)
        });
        // The process is asked to stop.
        if !heard {
            self.leave(around);
        }
        answered
    }

    /// Lets what was begun come to its end, for a short time, so that it leaves nothing behind.
    pub(super) fn leave(self, around: &Surroundings<'_>) {
        let asked = around.runtime.block_on(async {
            tokio::select! {
                asked = self.asking => asked.ok(),
                () = around.clock.sleep(RELEASE_TIME) => None,
            }
        });
        if let Some(Ok(known)) = asked {
            known.leave(around);
        }
    }
}

impl Known {
    /// Waits until nothing is left of trying the store.
    pub(super) async fn clear(&mut self) -> Result<(), StorageError> {
        match &mut self.store {
            Some(store) => store.clear().await,
            None => Ok(()),
        }
    }

    /// As `Ahead::leave`, once all is answered.
    pub(super) fn leave(self, around: &Surroundings<'_>) {
        if let Some(store) = self.store {
            store.leave(around);
        }
    }
}
