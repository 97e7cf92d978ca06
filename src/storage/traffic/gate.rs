//! How many requests are on the way at a time: fewer when the store asks for less, slowly more when it is content.
//!
//! It counts requests and halves; what an answer means is decided by who reports it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests at a time, at first and at most.
const WIDEST: usize = 64;

/// One burst of refusals, which all concern the same rate, halves once.
const BETWEEN_HALVINGS: Duration = Duration::from_secs(1);

/// Quiet time for which one more is let through.
const QUIET: Duration = Duration::from_secs(10);

/// Lets requests through.
#[derive(Debug)]
pub(super) struct Gate {
    passes: Arc<Semaphore>,
    width: Mutex<Width>,
}

#[derive(Debug)]
struct Width {
    /// Requests that may be on the way.
    wide: usize,
    /// Requests on the way beyond that; their passes are not given to others.
    over: usize,
    /// When it was halved.
    halved: Option<Duration>,
    /// Since when the store is content, or when it was last widened.
    quiet: Duration,
}

/// A request on the way, until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub(super) fn wide() -> Arc<Self> {
        Arc::new(Self {
            passes: Arc::new(Semaphore::new(WIDEST)),
            width: Mutex::new(Width {
                wide: WIDEST,
                over: 0,
                halved: None,
                quiet: Duration::ZERO,
            }),
        })
    }

    /// Waits for its turn, first come, first served.
    pub(super) async fn enter(self: &Arc<Self>) -> Pass {
        let permit = Arc::clone(&self.passes).acquire_owned().await;
        Pass {
            gate: Arc::clone(self),
            permit: Some(permit.expect("the gate is never closed")),
        }
    }

    /// The store asked for fewer requests.
    pub(super) fn narrow(&self, now: Duration) {
        let mut width = self.width();
        width.quiet = now;
        if width.halved.is_some_and(|last| now < last + BETWEEN_HALVINGS) {
            return;
        }
        width.halved = Some(now);
        let wide = (width.wide / 2).max(1);
        let fewer = width.wide - wide;
        width.wide = wide;
        width.over += fewer - self.passes.forget_permits(fewer);
    }

    /// Widens by one for each quiet time that has passed.
    pub(super) fn widen(&self, now: Duration) {
        let mut width = self.width();
        while width.wide < WIDEST && now >= width.quiet + QUIET {
            width.quiet += QUIET;
            width.wide += 1;
            if width.over > 0 {
                width.over -= 1;
            } else {
                self.passes.add_permits(1);
            }
        }
    }

    fn width(&self) -> MutexGuard<'_, Width> {
        // Numbers only, so a panic elsewhere leaves nothing half done.
        self.width.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut width = self.gate.width();
        if let (true, Some(permit)) = (width.over > 0, self.permit.take()) {
            width.over -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::{Gate, Pass, WIDEST};

    /// Enters as often as it can without waiting.
    fn fill(gate: &std::sync::Arc<Gate>) -> Vec<Pass> {
        std::iter::from_fn(|| gate.enter().now_or_never()).collect()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn burst_of_refusals_halves_once() {
        let gate = Gate::wide();
        (0..20).for_each(|_| gate.narrow(seconds(5)));
        assert_eq!(fill(&gate).len(), WIDEST / 2);
        gate.narrow(seconds(6));
        assert_eq!(fill(&gate).len(), WIDEST / 4);
    }

    #[test]
    fn at_least_one_request_is_let_through() {
        let gate = Gate::wide();
        (0..20).for_each(|second| gate.narrow(seconds(second)));
        assert_eq!(fill(&gate).len(), 1);
    }

    #[test]
    fn requests_on_the_way_count_when_it_is_halved() {
        let gate = Gate::wide();
        let mut passes = fill(&gate);
        assert_eq!(passes.len(), WIDEST);
        gate.narrow(seconds(1));
        passes.truncate(WIDEST / 2);
        assert_eq!(fill(&gate).len(), 0, "half of them are still on the way");
        passes.pop();
        assert_eq!(fill(&gate).len(), 1);
    }

    #[test]
    fn quiet_widens_by_one_at_a_time_and_not_beyond_what_it_was() {
        let gate = Gate::wide();
        gate.narrow(seconds(100));
        gate.widen(seconds(109));
        assert_eq!(fill(&gate).len(), WIDEST / 2);
        gate.widen(seconds(130));
        assert_eq!(fill(&gate).len(), WIDEST / 2 + 3);
        gate.narrow(seconds(131));
        gate.widen(seconds(140));
        assert_eq!(fill(&gate).len(), 17);
        gate.widen(seconds(1_000_000));
        assert_eq!(fill(&gate).len(), WIDEST);
    }
}
