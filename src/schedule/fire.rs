//! When a schedule fires, and the date that each fire scores.
//!
//! A named time that clocks skip fires at the first instant afterwards, one that they show twice fires the first time. A line with a
//! wildcard for the hour follows the clock: it has nothing in the skipped hour and fires in both repeated ones.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::Schedule;
use super::zone::{Shown, wall};

/// How far back a fire before some instant is looked for: in steps, since frequent lines have one soon. The last step spans the nine
/// years around a year of the century that is no leap year.
const LOOKS_BACK: [TimeDelta; 5] = [
    TimeDelta::hours(2),
    TimeDelta::days(2),
    TimeDelta::days(40),
    TimeDelta::days(400),
    TimeDelta::days(3_300),
];

/// One fire of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fire {
    /// When.
    pub at: DateTime<Utc>,
    /// The time that the cron line names. Where clocks skip it, that is not what they show at the fire.
    pub wall: NaiveDateTime,
    /// The date that is scored.
    pub date: NaiveDate,
}

impl Schedule {
    /// The first fire later than an instant. None when the calendar ends.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<Fire> {
        let (at, wall) = if self.cron.every_hour() {
            self.next_of_the_clock(after)?
        } else {
            self.next_named(after)?
        };
        Some(Fire {
            at,
            wall,
            date: self.date_of_wall(wall)?,
        })
    }

    /// Fires later than an instant, in order.
    pub fn fires_after(&self, after: DateTime<Utc>) -> impl Iterator<Item = Fire> {
        std::iter::successors(self.next_after(after), |fire| self.next_after(fire.at))
    }

    /// The last fire at or before an instant.
    pub fn last_until(&self, until: DateTime<Utc>) -> Option<Fire> {
        LOOKS_BACK.into_iter().find_map(|back| {
            let fires = self.fires_after(until - back);
            fires.take_while(|fire| fire.at <= until).last()
        })
    }

    /// The date that a start at that time is for: the date of the fire, where the schedule has one then, else that of the day in its zone.
    pub fn date_of(&self, at: DateTime<Utc>) -> Option<NaiveDate> {
        let fire = self.next_after(at - TimeDelta::seconds(1)).filter(|fire| fire.at == at);
        match fire {
            Some(fire) => Some(fire.date),
            None => self.date_of_wall(wall(self.timezone, at)),
        }
    }

    /// Whether a fire scores this date.
    pub fn scores(&self, date: NaiveDate) -> bool {
        let days = Days::new(self.date_offset_days.unsigned_abs().into());
        let day = if self.date_offset_days < 0 {
            date.checked_add_days(days)
        } else {
            date.checked_sub_days(days)
        };
        let midnight = day.and_then(|day| self.midnight(day));
        let fire = midnight.and_then(|midnight| self.next_after(midnight - TimeDelta::seconds(1)));
        fire.is_some_and(|fire| fire.date == date)
    }

    /// The first instant of a day in the schedule's zone.
    pub fn midnight(&self, day: NaiveDate) -> Option<DateTime<Utc>> {
        let wall = day.and_hms_opt(0, 0, 0)?;
        Some(Shown::in_zone(self.timezone, wall).first())
    }

    fn date_of_wall(&self, wall: NaiveDateTime) -> Option<NaiveDate> {
        let days = Days::new(self.date_offset_days.unsigned_abs().into());
        if self.date_offset_days < 0 {
            wall.date().checked_sub_days(days)
        } else {
            wall.date().checked_add_days(days)
        }
    }

    /// Times with a name: later ones on the wall are never earlier in truth, so the first that is late enough is the next.
    fn next_named(&self, after: DateTime<Utc>) -> Option<(DateTime<Utc>, NaiveDateTime)> {
        let mut skipped = None;
        for wall in self.cron.after(wall(self.timezone, after)) {
            let shown = Shown::in_zone(self.timezone, wall);
            let at = shown.first();
            match (skipped, shown) {
                // Several times of one gap are one fire. It bears the last of their names.
                (Some((gap, _)), _) if at > gap => break,
                _ if at <= after => {}
                (_, Shown::Never(_)) => skipped = Some((at, wall)),
                (_, Shown::Once(_) | Shown::Twice(..)) => return Some((at, wall)),
            }
        }
        skipped
    }

    /// Times that the clock shows: those still to come, and where clocks go back soon those that they will show again.
    fn next_of_the_clock(&self, after: DateTime<Utc>) -> Option<(DateTime<Utc>, NaiveDateTime)> {
        let now = wall(self.timezone, after);
        let coming = self.cron.after(now).find_map(|wall| {
            let later = match Shown::in_zone(self.timezone, wall) {
                Shown::Once(at) => Some(at),
                Shown::Twice(first, second) => [first, second].into_iter().find(|at| *at > after),
                Shown::Never(_) => None,
            };
            later.map(|at| (at, wall))
        });
        [coming, self.shown_again(after, now)].into_iter().flatten().min()
    }

    /// The first time up to `now` that the clock will show a second time.
    fn shown_again(&self, after: DateTime<Utc>, now: NaiveDateTime) -> Option<(DateTime<Utc>, NaiveDateTime)> {
        let Shown::Twice(_, second) = Shown::in_zone(self.timezone, now) else {
            return None;
        };
        let repeated = second - after;
        if repeated <= TimeDelta::seconds(1) {
            return None;
        }
        let walls = self.cron.after(now - repeated).take_while(|wall| *wall <= now);
        walls
            .filter_map(|wall| again(self.timezone, wall).map(|at| (at, wall)))
            .find(|(at, _)| *at > after)
    }
}

fn again(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    match Shown::in_zone(zone, wall) {
        Shown::Twice(_, second) => Some(second),
        Shown::Once(_) | Shown::Never(_) => None,
    }
}
