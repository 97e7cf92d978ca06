//! Trying again: what may pass is waited for, with pauses that grow, and given up when it has lasted too long.
//!
//! The client below repeats a single request within seconds. This is for what it gives up or never repeats: an answer cut off, a conflict, a
//! store that restarts.

use std::time::Duration;

use super::{Answer, Place, StorageError};
use crate::error::Seam;
use crate::exit::ExitCode;

/// How long an operation is tried again: longer than a hiccup of the store, shorter than anybody waits.
const PATIENCE: Duration = Duration::from_mins(1);

/// First and longest pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Pauses that grow, until patience ends.
pub(super) struct Patience<'a> {
    place: &'a Place,
    until: Option<Duration>,
    pause: Duration,
}

impl<'a> Patience<'a> {
    pub(super) fn new(place: &'a Place) -> Self {
        Self {
            place,
            until: None,
            pause: PAUSE,
        }
    }

    /// Waits before the next try, or gives up with the reason for it. Time counts from the first failure.
    pub(super) async fn or(&mut self, reason: StorageError) -> Result<(), StorageError> {
        let clock = self.place.clock();
        let now = clock.monotonic();
        let until = *self.until.get_or_insert(now + PATIENCE);
        if now >= until || matches!(reason.answer(), Some(Answer::QuotaUsedUp)) {
            return Err(reason);
        }
        // Anywhere in the second half of the pause, so that processes that failed together do not come back together.
        clock.sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

impl Place {
    /// Does what may be repeated without harm until it succeeds, fails for good, or patience ends.
    pub(super) async fn insist<T, F>(&self, work: impl Fn() -> F) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let mut patience = Patience::new(self);
        loop {
            match work().await {
                Err(error) if error.exit() == ExitCode::StorageTransient => patience.or(error).await?,
                done => return done,
            }
        }
    }
}
