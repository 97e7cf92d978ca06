//! How much later than its fire a run starts, so that many jobs of one minute do not all begin in it.

use std::time::Duration;

use chrono::NaiveDate;

use super::Schedule;
use crate::digest::sha256;

/// Hex digits of a digest that make a number.
const DIGITS: usize = 15;

impl Schedule {
    /// The delay of a date: below `jitter`, and the same each time.
    pub fn delay(&self, job: &str, date: NaiveDate) -> Duration {
        let jitter = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        let digest = sha256(format!("{job} {date}").as_bytes());
        let number = u64::from_str_radix(&digest[..DIGITS], 16).expect("hex digits");
        Duration::from_millis(number.checked_rem(jitter).unwrap_or(0))
    }
}
