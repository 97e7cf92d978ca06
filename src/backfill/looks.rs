//! Looks at the inputs of many dates, and gives up after a few that cannot be looked at: a store that is away would be asked for hours.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::NaiveDate;
use tracing::{info, warn};

use super::Standing;
use crate::changed::{Input, Inputs};
use crate::records::PlanRecord;

/// Dates whose input cannot be looked at before the rest is left alone.
const MOST_FAILURES: usize = 3;

/// Why the input of a date is not looked at.
pub(super) const GIVEN_UP: &str = "not looked at, since those of other dates could not be";

/// The inputs, and what went wrong so far.
pub(super) struct Looks<'a> {
    inputs: &'a Inputs,
    failures: Mutex<Vec<(NaiveDate, String)>>,
}

impl<'a> Looks<'a> {
    pub(super) fn at(inputs: &'a Inputs) -> Self {
        Self {
            inputs,
            failures: Mutex::new(Vec::new()),
        }
    }

    /// The date with what is known of its input.
    pub(super) async fn look(&self, standing: Standing, scored: Option<&PlanRecord>) -> Standing {
        let date = standing.date;
        if self.failures().len() >= MOST_FAILURES {
            return standing;
        }
        let found = self.inputs.look(date, scored).await;
        match &found.input {
            Input::Unknown { reason } => self.failures().push((date, reason.clone())),
            Input::NotReady { reason } if scored.is_some() => info!(%date, reason, "its input is not compared"),
            Input::NotReady { .. } | Input::Present { .. } | Input::Absent => {}
        }
        Standing {
            input: Some(found.input),
            change: found.change,
            ..standing
        }
    }

    /// Warns once of all that could not be looked at.
    pub(super) fn tell(&self) {
        let failures = self.failures();
        let given_up = failures.len() >= MOST_FAILURES;
        if let Some((date, reason)) = failures.first() {
            warn!(job = self.inputs.job(), %date, dates = failures.len(), given_up, reason, "the input of dates could not be looked at, so it is not known whether it has changed");
        }
    }

    fn failures(&self) -> MutexGuard<'_, Vec<(NaiveDate, String)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
