//! When a job runs by itself, and for which date: fires of a cron line in a zone, and what becomes of fires that were missed.
//!
//! Everything here is a function of the schedule and of times that are handed in. Nothing waits, runs or writes: the daemon does.

mod agenda;
mod cron;
mod fire;
mod jitter;
mod missed;
mod zone;

use std::time::Duration;

use chrono_tz::Tz;

pub use self::cron::{Cron, CronError};
pub use agenda::{Agenda, Cause, Ended, Look, Task};
pub use fire::Fire;
pub use missed::{Dropped, Due, Reason};

use crate::spec::Catchup;

/// When a job runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The cron line.
    pub cron: Cron,
    /// The zone in which it is meant.
    pub timezone: Tz,
    /// Days from the day of the fire to the date that is scored.
    pub date_offset_days: i32,
    /// What becomes of fires that were missed.
    pub catchup: Catchup,
    /// Most dates that are caught up, and most that wait.
    pub catchup_max: usize,
    /// Age beyond which a missed fire is given up.
    pub misfire_grace: Option<Duration>,
    /// Time over which starts are spread.
    pub jitter: Duration,
    /// Days before a scheduled date that are looked at again for dates that were never published.
    pub reconcile_days: u32,
}

impl Schedule {
    /// What its author may not have meant.
    pub fn warning(&self) -> Option<&'static str> {
        let either = "day of month and day of week are both restricted, so it fires on days that match either";
        self.cron.either_day().then_some(either)
    }
}

/// Edition of the zone data that is compiled in.
pub const ZONE_DATA: &str = chrono_tz::IANA_TZDB_VERSION;

#[cfg(test)]
mod tests;
