//! What becomes of a wall time in a zone: it is there once, twice where clocks go back, or not at all where they go forward.

use chrono::offset::LocalResult;
use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

/// Instants at which a clock on the wall shows a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The usual case.
    Once(DateTime<Utc>),
    /// Clocks go back over it: before and after that.
    Twice(DateTime<Utc>, DateTime<Utc>),
    /// Clocks go forward over it: the first instant afterwards.
    Never(DateTime<Utc>),
}

impl Shown {
    /// When clocks of the zone show the time.
    pub(super) fn in_zone(zone: Tz, wall: NaiveDateTime) -> Self {
        match zone.from_local_datetime(&wall) {
            LocalResult::Single(at) => Self::Once(at.to_utc()),
            LocalResult::Ambiguous(first, second) => Self::Twice(first.to_utc(), second.to_utc()),
            LocalResult::None => {
                let gap = GapInfo::new(&wall, &zone).and_then(|gap| gap.end);
                Self::Never(gap.expect("a time that is not shown is in a gap").to_utc())
            }
        }
    }

    /// The first instant, or the one at which clocks had gone over it.
    pub(super) fn first(self) -> DateTime<Utc> {
        match self {
            Self::Once(at) | Self::Twice(at, _) | Self::Never(at) => at,
        }
    }
}

/// What a clock on the wall of the zone shows, to the second.
pub(super) fn wall(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    let whole = DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at);
    whole.with_timezone(&zone).naive_local()
}
