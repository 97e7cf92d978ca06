//! What happened in many simulations, so that one sees that something did.

use std::fmt;

use super::fault::Fate;

/// Counts over simulations.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) schedules: u64,
    pub(super) processes: u64,
    pub(super) requests: u64,
    pub(super) killed: u64,
    pub(super) paused: u64,
    pub(super) lost: u64,
    pub(super) unanswered: u64,
    pub(super) late: u64,
    pub(super) twice: u64,
    pub(super) conflicts: u64,
    pub(super) commits: u64,
    pub(super) shown: u64,
    pub(super) published: u64,
    pub(super) already: u64,
    pub(super) superseded: u64,
    pub(super) decided: u64,
    pub(super) failed: u64,
    pub(super) collected: u64,
    pub(super) unshowable: u64,
}

impl Tally {
    /// Counts what happened to a request.
    pub(super) fn fate(&mut self, fate: Fate) {
        match fate {
            Fate::Served => {}
            Fate::Lost => self.lost += 1,
            Fate::Unanswered => self.unanswered += 1,
            Fate::Late => self.late += 1,
            Fate::Twice => self.twice += 1,
            Fate::Conflict => self.conflicts += 1,
        }
    }

    fn counts(&mut self) -> [(&'static str, &mut u64); 19] {
        [
            ("schedules", &mut self.schedules),
            ("processes", &mut self.processes),
            ("requests", &mut self.requests),
            ("killed", &mut self.killed),
            ("stopped for long", &mut self.paused),
            ("requests lost", &mut self.lost),
            ("answers lost", &mut self.unanswered),
            ("requests late", &mut self.late),
            ("requests twice", &mut self.twice),
            ("conflicts", &mut self.conflicts),
            ("commits", &mut self.commits),
            ("versions shown", &mut self.shown),
            ("runs that published", &mut self.published),
            ("runs with nothing to do", &mut self.already),
            ("runs superseded", &mut self.superseded),
            ("runs decided by others", &mut self.decided),
            ("runs that failed", &mut self.failed),
            ("objects collected", &mut self.collected),
            ("commits that could not be shown", &mut self.unshowable),
        ]
    }

    /// Adds another.
    pub(super) fn add(&mut self, mut other: Self) {
        for ((_, sum), (_, more)) in self.counts().into_iter().zip(other.counts()) {
            *sum += *more;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tally = *self;
        let counts = tally.counts().map(|(name, count)| format!("{name} {count}"));
        f.write_str(&counts.join(", "))
    }
}
