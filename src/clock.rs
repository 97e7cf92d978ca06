//! The only door to time: wall time for what is written down, monotonic and processor time for what is measured.
//!
//! Everything that needs a time, or time to pass, takes a [`Clock`], so that a test owns it.

#[cfg(feature = "failpoints")]
mod steered;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{BoxFuture, FutureExt, ready};

#[cfg(feature = "failpoints")]
pub use steered::SteeredClock;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Wall time, for timestamps that people and rows will carry.
    fn now(&self) -> DateTime<Utc>;
    /// Time since an arbitrary start that never goes back, for durations.
    fn monotonic(&self) -> Duration;
    /// Processor time that the calling thread has used.
    fn thread_cpu(&self) -> Duration;
    /// Processor time that all threads of this process have used.
    fn process_cpu(&self) -> Duration;
    /// Lets time pass without holding a thread.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's own clocks.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the door that the rule protects")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        clock(rustix::time::ClockId::Monotonic)
    }

    fn thread_cpu(&self) -> Duration {
        clock(rustix::time::ClockId::ThreadCPUTime)
    }

    fn process_cpu(&self) -> Duration {
        clock(rustix::time::ClockId::ProcessCPUTime)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        // Made when it is first waited for: before that there need be no runtime.
        async move { tokio::time::sleep(time).await }.boxed()
    }
}

fn clock(id: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(id);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// A clock that stands still, for tests.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub DateTime<Utc>);

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }

    fn process_cpu(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}

/// Time that passed, and the processor time that a thread used of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Elapsed {
    /// Time that passed.
    pub wall: Duration,
    /// Processor time.
    pub cpu: Duration,
}

impl std::ops::AddAssign for Elapsed {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// Measures a stage on the calling thread.
pub struct Stopwatch<'a> {
    clock: &'a dyn Clock,
    wall: Duration,
    cpu: Duration,
}

impl<'a> Stopwatch<'a> {
    /// Starts.
    pub fn start(clock: &'a dyn Clock) -> Self {
        Self {
            clock,
            wall: clock.monotonic(),
            cpu: clock.thread_cpu(),
        }
    }

    /// What has passed since.
    pub fn stop(self) -> Elapsed {
        Elapsed {
            wall: self.clock.monotonic().saturating_sub(self.wall),
            cpu: self.clock.thread_cpu().saturating_sub(self.cpu),
        }
    }
}

/// Rounds a wall time down to microseconds, the unit in which rows carry it.
pub fn micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time - TimeDelta::nanoseconds(i64::from(time.timestamp_subsec_nanos() % 1_000))
}

#[cfg(test)]
mod hand;

#[cfg(test)]
pub(crate) use hand::HandClock;
