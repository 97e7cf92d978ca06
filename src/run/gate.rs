//! Asked before each chunk: whether this process may work, and now and then whether a later run has taken its place.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use super::RunError;
use crate::clock::Clock;
use crate::error::Error;
use crate::hold::Hold;
use crate::pipeline::Gate;
use crate::records::{DateFolder, Log, Open};

/// How often a run looks whether a later one has taken its place.
const LOOK: Duration = Duration::from_secs(10);

/// The gate of a run that has its place in the log. The first who asks looks; the others need not wait for that.
pub(super) fn gate(
    date: &DateFolder,
    opened: &Open,
    plan_id: &str,
    hold: Option<Arc<Hold>>,
    clock: &Arc<dyn Clock>,
) -> Gate {
    let (date, opened, plan_id) = (date.clone(), opened.clone(), plan_id.to_owned());
    let clock = Arc::clone(clock);
    let looked: Mutex<Option<Duration>> = Mutex::new(None);
    Box::new(move || -> BoxFuture<'static, Result<(), Error>> {
        let hold = hold.clone();
        let due = looked.lock().is_ok_and(|mut looked| {
            let now = clock.monotonic();
            let due = looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK);
            if due {
                *looked = Some(now);
            }
            due
        });
        let look = due.then(|| superseded(date.clone(), opened.clone(), plan_id.clone()));
        async move {
            if let Some(hold) = hold {
                hold.ready().await?;
            }
            match look {
                Some(look) => look.await,
                None => Ok(()),
            }
        }
        .boxed()
    })
}

/// An error once a later run wants another plan. Processes of one intention are not later than one another.
pub(super) async fn superseded(date: DateFolder, opened: Open, plan_id: String) -> Result<(), Error> {
    let log = Log::read(&date.log()).await?;
    let mut later = log.entries().filter(|(number, _)| *number > opened.n);
    let other = later.any(|(_, entry)| entry.plan_id() != plan_id && entry.run_key() != opened.run_key);
    if other {
        Err(RunError::Superseded.into())
    } else {
        Ok(())
    }
}
