//! Which fires since the last look are to be run, and which are given up, and why.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Fire, Schedule};
use crate::spec::Catchup;

/// A fire that is seen within this time was not missed: a daemon looks at least every 30 seconds, and a restart takes a moment.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// Fires since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// To be run, oldest first, one for each date.
    pub run: Vec<Fire>,
    /// Given up, oldest first.
    pub dropped: Vec<Dropped>,
}

/// A fire that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// The fire.
    pub fire: Fire,
    /// Why.
    pub reason: Reason,
}

/// Why a fire is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The schedule says not to catch up, or only the newest.
    Catchup,
    /// More dates were missed than may be caught up.
    Many,
    /// It is older than `misfire_grace`.
    Late,
}

impl Reason {
    /// The reason in words, as it is logged.
    pub fn text(self) -> &'static str {
        match self {
            Self::Catchup => "`catchup` leaves it out",
            Self::Many => "more dates wait than `catchup_max`",
            Self::Late => "it is older than `misfire_grace`",
        }
    }
}

impl Schedule {
    /// Fires later than the mark and not later than now.
    pub fn due(&self, mark: DateTime<Utc>, now: DateTime<Utc>) -> Due {
        let mut due = Due::default();
        for fire in self.fires_after(mark).take_while(|fire| fire.at <= now) {
            // Two fires of one date are one run.
            if due.run.last().is_some_and(|last| last.date == fire.date) {
                due.run.pop();
            }
            due.run.push(fire);
        }
        due.drop(Reason::Late, |fire| {
            self.misfire_grace.is_some_and(|grace| now - fire.at > delta(grace))
        });
        let missed = due.run.iter().filter(|fire| now - fire.at > ON_TIME).count();
        let kept = match self.catchup {
            Catchup::All => due.run.len(),
            Catchup::Latest => due.run.len() - missed.saturating_sub(usize::from(missed == due.run.len())),
            Catchup::None => due.run.len() - missed,
        };
        due.keep_newest(kept, Reason::Catchup);
        due.keep_newest(self.catchup_max, Reason::Many);
        due.dropped.sort_by_key(|dropped| dropped.fire.at);
        due
    }
}

impl Due {
    fn drop(&mut self, reason: Reason, given_up: impl Fn(&Fire) -> bool) {
        let dropped = self.run.extract_if(.., |fire| given_up(fire));
        self.dropped.extend(dropped.map(|fire| Dropped { fire, reason }));
    }

    fn keep_newest(&mut self, most: usize, reason: Reason) {
        let older = self.run.drain(..self.run.len().saturating_sub(most));
        self.dropped.extend(older.map(|fire| Dropped { fire, reason }));
    }
}

pub(super) fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX)
}
