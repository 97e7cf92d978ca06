//! One process's clock. Time is common, but wall clocks are off.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{BoxFuture, FutureExt};

use super::waiting::{Wait, Waiting};
use super::world::Shared;
use crate::clock::Clock;

/// The wall time at which every simulation begins.
pub(super) fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).expect("it is a time")
}

/// A process's clock.
#[derive(Debug, Clone)]
pub(super) struct WorldClock {
    pub(super) world: Arc<Shared>,
    pub(super) process: usize,
    pub(super) off: TimeDelta,
}

impl Clock for WorldClock {
    fn now(&self) -> DateTime<Utc> {
        beginning() + TimeDelta::from_std(self.monotonic()).unwrap_or(TimeDelta::MAX) + self.off
    }

    fn monotonic(&self) -> Duration {
        self.world.lock().now
    }

    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }

    fn process_cpu(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        async move {
            let until = clock.monotonic() + time;
            let _ = Waiting::new(&clock.world, clock.process, Wait::Until(until)).await;
        }
        .boxed()
    }
}
