//! Many dates of one job: which of them are to be scored, in which order, and how it ended for each.
//!
//! Each date is a run in a process of its own. Nothing is kept between calls: what is published is what readers see, so the same command again
//! goes on where the last one ended.

mod dates;
mod looks;
mod summary;

use std::time::Duration;

use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

pub use dates::{every_day, scheduled, within};
pub use summary::{Outcome, Scored, Summary};

use crate::changed::{Change, Input, Inputs, warn_of};
use crate::child::Order;
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::history::{DateHistory, History, HistoryError};
use crate::records::Entry;
use crate::run::Surroundings;
use looks::Looks;

/// Dates that are looked at a time.
const CONCURRENT_LOOKS: usize = 8;

/// Dates that are asked for.
#[derive(Debug, Clone)]
pub struct Range {
    /// The dates, oldest first.
    pub dates: Vec<NaiveDate>,
    /// Which of them.
    pub only: Only,
    /// Whether the newest comes first.
    pub newest_first: bool,
}

/// Which dates are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// Those of which readers see nothing.
    Missing,
    /// Those whose last run published nothing.
    Failed,
    /// Those that readers see, and whose input is not what was scored.
    Changed,
    /// All.
    All,
}

/// A date before its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The date.
    pub date: NaiveDate,
    /// What there is of it.
    pub state: State,
    /// What there is of its input, where that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    /// How its input differs from what was scored, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// What there is of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Readers see it.
    Published,
    /// Readers see it, and a later run ended without publishing, or is under way.
    Unfinished,
    /// Readers see nothing, and a run ended without publishing, or is under way.
    Failed,
    /// Nothing was begun.
    Missing,
}

impl State {
    /// The state by the records.
    fn of(history: &DateHistory) -> Self {
        let open = matches!(history.log.last(), Some(Entry::Open(_)));
        let begun = !history.log.is_empty() || !history.unfinished.is_empty();
        match history.visible {
            Some(_) if open => Self::Unfinished,
            Some(_) => Self::Published,
            None if begun => Self::Failed,
            None => Self::Missing,
        }
    }

    /// The word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Unfinished => "unfinished",
            Self::Failed => "failed",
            Self::Missing => "missing",
        }
    }
}

impl Only {
    fn takes(self, standing: &Standing) -> bool {
        let state = standing.state;
        match self {
            Self::All => true,
            Self::Missing => matches!(state, State::Missing | State::Failed),
            Self::Failed => matches!(state, State::Failed | State::Unfinished),
            // The run of a date whose input cannot be looked at tells why, and its exit code does.
            Self::Changed => standing.change.is_some() || matches!(standing.input, Some(Input::Unknown { .. })),
        }
    }

    /// Whether it is asked if the input of published dates is what was scored.
    fn compares(self) -> bool {
        matches!(self, Self::Missing | Self::Changed)
    }
}

impl Range {
    /// The dates that are to be scored, in order, and how many are left out. Where `is_told`, it is looked at the input of each date that is
    /// to be scored.
    pub async fn plan(
        &self,
        history: &History,
        inputs: &Inputs,
        is_told: bool,
    ) -> Result<(Vec<Standing>, usize), BackfillError> {
        let mut dates = self.dates.clone();
        if self.newest_first {
            dates.reverse();
        }
        let all = dates.len();
        let input_looks = Looks::at(inputs);
        let looks = stream::iter(dates).map(async |date| {
            let found = history.of_date(date, None).await?;
            let standing = Standing {
                date,
                state: State::of(&found),
                input: None,
                change: None,
            };
            let scored = if self.only.compares() || is_told {
                history.visible_plan(&found).await?
            } else {
                None
            };
            let compares = self.only.compares() && scored.is_some();
            let tells = is_told && self.only.takes(&standing);
            Ok::<_, HistoryError>(if compares || tells {
                input_looks.look(standing, scored.as_ref()).await
            } else {
                standing
            })
        });
        let standings: Vec<_> = looks.buffered(CONCURRENT_LOOKS).try_collect().await?;
        let (mut wanted, left): (Vec<_>, Vec<_>) =
            standings.into_iter().partition(|standing| self.only.takes(standing));
        for standing in &left {
            if let Some(change) = &standing.change {
                warn_of(inputs.job(), standing.date, change);
            }
        }
        input_looks.tell();
        if is_told {
            for standing in &mut wanted {
                let unknown = || Input::Unknown {
                    reason: looks::GIVEN_UP.to_owned(),
                };
                standing.input.get_or_insert_with(unknown);
            }
        }
        let left_out = all - wanted.len();
        Ok((wanted, left_out))
    }
}

/// Scores dates, so many at a time. Once the process is asked to stop, no further one is started.
pub async fn score(dates: &[Standing], order: &Order, parallel: usize, around: &Surroundings<'_>) -> Vec<Scored> {
    let runs = stream::iter(dates).enumerate().map(async |(place, standing)| {
        let date = standing.date;
        if around.shutdown.requested().is_some() {
            return (place, Scored::not_started(standing));
        }
        info!(%date, "starting");
        let finished = order.run(date, None, around.shutdown, around.clock.as_ref()).await;
        let scored = Scored::of(standing, finished);
        match scored.exit {
            Some(ExitCode::Success) => info!(%date, outcome = scored.outcome.name(), "ended"),
            exit => warn!(%date, exit_code = exit.map(ExitCode::code), error = scored.error, "ended"),
        }
        (place, scored)
    });
    let mut scored: Vec<_> = runs.buffer_unordered(parallel).collect().await;
    scored.sort_by_key(|(place, _)| *place);
    scored.into_iter().map(|(_, scored)| scored).collect()
}

/// Why dates cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The range runs backwards.
    #[error("--from {from} is after --to {to}")]
    Backwards {
        /// The first date.
        from: NaiveDate,
        /// The last date.
        to: NaiveDate,
    },
    /// The range is longer than anybody means.
    #[error("{from} to {to} are more than {} dates", dates::MOST_DATES)]
    TooMany {
        /// The first date.
        from: NaiveDate,
        /// The last date.
        to: NaiveDate,
    },
    /// The time is longer than anybody means.
    #[error("--within {} is longer than {} days", humantime::format_duration(*back), dates::MOST_DATES)]
    TooFar {
        /// The time.
        back: Duration,
    },
    /// The job does not say when it runs.
    #[error("the job {job} has no [schedule] that says which dates it scores")]
    NoSchedule {
        /// The job.
        job: String,
    },
    /// The records could not be read.
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl Seam for BackfillError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Backwards { .. } | Self::TooMany { .. } | Self::TooFar { .. } => ExitCode::Usage,
            Self::NoSchedule { .. } => ExitCode::Config,
            Self::History(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Backwards { .. } => Some("the order of the runs is --newest-first".to_owned()),
            Self::TooMany { .. } => Some("check the years, or divide the range".to_owned()),
            Self::TooFar { .. } => Some("give a time such as 3d".to_owned()),
            Self::NoSchedule { .. } => {
                Some("add [schedule] with cron and date_offset_days, or name the dates by --from and --to".to_owned())
            }
            Self::History(error) => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests;
