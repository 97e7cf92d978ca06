//! The retry quota of the process: failures cost, successes pay back, and when it is used up requests fail at once.
//!
//! So a store that is down is noticed in minutes and not in hours. It only counts; it sends nothing and knows no clock.

use std::time::Duration;

/// Tokens at first, and never more.
const FULL: u32 = 500;

/// What a failed attempt costs. With less than this the quota is used up.
const FAILURE: u32 = 5;

/// What an attempt costs that ran out of time, which holds others up.
const TIME_OUT: u32 = 10;

/// While the quota is used up, one request in this time still goes out. Without it a process that runs for days would
/// never learn that the store is back.
const BETWEEN_TRIALS: Duration = Duration::from_secs(10);

/// Leave to send one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// The quota has tokens.
    Granted,
    /// It has none, and this request finds out whether the store is back.
    Trial,
}

/// The tokens.
#[derive(Debug)]
pub(super) struct Quota {
    tokens: u32,
    /// When the next trial may go out.
    next_trial: Duration,
}

impl Quota {
    pub(super) fn full() -> Self {
        Self {
            tokens: FULL,
            next_trial: Duration::ZERO,
        }
    }

    /// Leave to send a request at this time, or none.
    pub(super) fn leave(&mut self, now: Duration) -> Option<Leave> {
        if self.tokens >= FAILURE {
            return Some(Leave::Granted);
        }
        if now < self.next_trial {
            return None;
        }
        self.next_trial = now + BETWEEN_TRIALS;
        Some(Leave::Trial)
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, timed_out: bool, now: Duration) {
        let had = self.tokens;
        self.tokens = had.saturating_sub(if timed_out { TIME_OUT } else { FAILURE });
        if had >= FAILURE && self.tokens < FAILURE {
            self.next_trial = now + BETWEEN_TRIALS;
        }
    }

    /// An attempt was answered.
    pub(super) fn succeeded(&mut self, leave: Leave) {
        self.tokens = match leave {
            Leave::Granted => FULL.min(self.tokens + 1),
            Leave::Trial => FULL,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FAILURE, FULL, Leave, Quota, TIME_OUT};

    const NOW: Duration = Duration::from_secs(100);

    /// How many failures the quota bears.
    fn borne(quota: &mut Quota, timed_out: bool) -> u32 {
        let mut failures = 0;
        while quota.leave(NOW).is_some() {
            quota.failed(timed_out, NOW);
            failures += 1;
        }
        failures
    }

    #[test]
    fn failures_use_it_up_and_time_outs_twice_as_fast() {
        assert_eq!(borne(&mut Quota::full(), false), FULL / FAILURE);
        assert_eq!(borne(&mut Quota::full(), true), FULL / TIME_OUT);
    }

    #[test]
    fn successes_pay_back_up_to_what_there_was() {
        let mut quota = Quota::full();
        quota.failed(false, NOW);
        (0..3).for_each(|_| quota.succeeded(Leave::Granted));
        assert_eq!(quota.tokens, FULL - 2);
        (0..9).for_each(|_| quota.succeeded(Leave::Granted));
        assert_eq!(quota.tokens, FULL);
    }

    #[test]
    fn one_failure_in_ten_never_uses_it_up() {
        let mut quota = Quota::full();
        for attempt in 0..100_000 {
            let leave = quota.leave(NOW).expect("one in ten is borne");
            if attempt % 10 == 0 {
                quota.failed(false, NOW);
            } else {
                quota.succeeded(leave);
            }
        }
    }

    #[test]
    fn one_request_now_and_then_finds_out_that_the_store_is_back() {
        let mut quota = Quota::full();
        borne(&mut quota, false);
        assert_eq!(quota.leave(NOW + Duration::from_secs(9)), None);
        let later = NOW + Duration::from_secs(10);
        assert_eq!(quota.leave(later), Some(Leave::Trial));
        assert_eq!(quota.leave(later), None, "one at a time");
        quota.failed(false, later);
        assert_eq!(quota.leave(later + Duration::from_secs(9)), None);
        let leave = quota.leave(later + Duration::from_secs(10)).expect("the next trial");
        quota.succeeded(leave);
        assert_eq!(quota.leave(later), Some(Leave::Granted));
        assert_eq!(borne(&mut quota, false), FULL / FAILURE);
    }
}
