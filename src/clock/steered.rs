//! A clock that a file steers, so that a test can set the time of a daemon, step it, and let it run faster. Only with the feature `failpoints`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{BoxFuture, FutureExt};

use super::{Clock, SystemClock};

/// How often the file is looked at while somebody sleeps.
const LOOK: Duration = Duration::from_millis(50);

/// Says what the file says: `<time> <machine time> <speed>`, the time that it was at a time of the machine, and how fast it runs.
#[derive(Debug, Clone)]
pub struct SteeredClock {
    file: PathBuf,
}

struct Steering {
    time: DateTime<Utc>,
    since: DateTime<Utc>,
    speed: f64,
}

impl SteeredClock {
    /// A clock that this file steers.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into() }
    }

    fn steering(&self) -> Option<Steering> {
        let text = fs::read_to_string(&self.file).ok()?;
        let mut words = text.split_whitespace();
        Some(Steering {
            time: words.next()?.parse().ok()?,
            since: words.next()?.parse().ok()?,
            speed: words.next()?.parse().ok()?,
        })
    }
}

impl Clock for SteeredClock {
    fn now(&self) -> DateTime<Utc> {
        let now = SystemClock.now();
        let Some(Steering { time, since, speed }) = self.steering() else {
            return now;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "milliseconds of a test"
        )]
        let passed = ((now - since).num_milliseconds() as f64 * speed) as i64;
        time + TimeDelta::milliseconds(passed)
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    fn thread_cpu(&self) -> Duration {
        SystemClock.thread_cpu()
    }

    fn process_cpu(&self) -> Duration {
        SystemClock.process_cpu()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        SystemClock.sleep(time.min(LOOK)).boxed()
    }
}
