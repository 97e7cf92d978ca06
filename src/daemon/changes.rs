//! Tells of published dates whose input is not what was scored: once for each date and change, beside the runs, which wait for none of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::changed::{Change, Input, Inputs, warn_of};
use crate::history::{History, HistoryError};

/// Inputs of many dates, some of them on a slow store.
const LOOK_TIME: Duration = Duration::from_mins(2);

/// What was told of a job.
#[derive(Default)]
pub(super) struct Changes {
    told: Arc<Mutex<BTreeMap<NaiveDate, Change>>>,
    looking: Option<JoinHandle<()>>,
}

impl Changes {
    /// Begins to look at the inputs of some dates. Nothing happens while an earlier look goes on.
    pub(super) fn look(&mut self, job: &str, dates: Vec<NaiveDate>, history: Arc<History>, inputs: Inputs) {
        let is_looking = self.looking.as_ref().is_some_and(|looking| !looking.is_finished());
        if dates.is_empty() || is_looking {
            return;
        }
        let (job, told) = (job.to_owned(), Arc::clone(&self.told));
        self.looking = Some(tokio::spawn(async move {
            let look = async {
                for date in dates {
                    one(&job, date, &history, &inputs, &told).await;
                }
            };
            if tokio::time::timeout(LOOK_TIME, look).await.is_err() {
                warn!(job, "the input of earlier dates could not be looked at in time");
            }
        }));
    }
}

async fn one(
    job: &str,
    date: NaiveDate,
    history: &History,
    inputs: &Inputs,
    told: &Mutex<BTreeMap<NaiveDate, Change>>,
) {
    let scored = async {
        let found = history.of_date(date, None).await?;
        Ok::<_, HistoryError>(history.visible_plan(&found).await?)
    };
    let scored = match scored.await {
        Ok(Some(scored)) => scored,
        Ok(None) => return,
        // Whoever looks whether the date is published tells that.
        Err(failure) => return debug!(job, %date, %failure, "an earlier date could not be looked at"),
    };
    let found = inputs.look(date, Some(&scored)).await;
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    match (found.change, found.input) {
        (Some(change), _) => {
            if told.insert(date, change.clone()).as_ref() != Some(&change) {
                warn_of(job, date, &change);
            }
        }
        (None, Input::Unknown { reason }) => {
            warn!(job, %date, reason, "the input of an earlier date could not be looked at");
        }
        (None, Input::NotReady { reason }) => debug!(job, %date, reason, "its input is not compared"),
        (None, Input::Present { .. } | Input::Absent) => {
            told.remove(&date);
        }
    }
}
