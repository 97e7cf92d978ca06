//! Notes when each forward pass begins, so that one that never comes back is found.
//!
//! A pass cannot be broken off: it is foreign code on a thread of ours. So nothing is stopped here; whoever waits for results asks, and the
//! process ends with the thread still in the model.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::ArrayRef;

use super::{Model, ModelError};
use crate::batch::InputTensor;
use crate::clock::Clock;
use crate::error::Seam;
use crate::exit::ExitCode;

/// Looks further apart than this mean that the process was stopped meanwhile, the model with it: that time is not the model's.
const STOPPED: Duration = Duration::from_secs(10);

/// When each pass that is running began.
pub struct Watch {
    limit: Option<Duration>,
    clock: Arc<dyn Clock>,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// Number of the next pass.
    next: u64,
    /// Passes by number: what they do, and since when.
    passes: BTreeMap<u64, (Doing, Duration)>,
    /// The last look.
    looked: Option<Duration>,
}

/// What the model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It is being loaded, in which code of its own may run.
    Loading,
    /// It is tried on rows of zeros.
    Trying,
    /// It scores rows.
    Scoring(usize),
}

/// A pass that is running. It is over when this is dropped.
pub struct Pass<'w> {
    watch: &'w Watch,
    number: u64,
}

impl Watch {
    /// A watch that finds passes longer than the limit; none where there is no limit.
    pub fn new(limit: Option<Duration>, clock: Arc<dyn Clock>) -> Self {
        Self {
            limit,
            clock,
            running: Mutex::default(),
        }
    }

    /// Notes that a pass begins.
    pub fn begin(&self, doing: Doing) -> Pass<'_> {
        let now = self.clock.monotonic();
        let mut running = self.running();
        let number = running.next;
        running.next += 1;
        running.passes.insert(number, (doing, now));
        Pass { watch: self, number }
    }

    /// An error when a pass has taken longer than it may. To be asked often.
    pub fn look(&self) -> Result<(), Overdue> {
        let Some(limit) = self.limit else {
            return Ok(());
        };
        let now = self.clock.monotonic();
        let mut running = self.running();
        // Before the first look nobody had to look.
        let since = now.saturating_sub(running.looked.replace(now).unwrap_or(now));
        if since > STOPPED {
            for (_, began) in running.passes.values_mut() {
                *began = (*began + since).min(now);
            }
        }
        let late = running
            .passes
            .values()
            .find(|(_, began)| now.saturating_sub(*began) > limit);
        match late {
            None => Ok(()),
            Some((doing, _)) => Err(Overdue { doing: *doing, limit }),
        }
    }

    /// A panic while this is locked leaves it whole.
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.watch.running().passes.remove(&self.number);
    }
}

/// A model whose passes are watched.
pub struct Watched {
    model: Box<dyn Model>,
    watch: Arc<Watch>,
}

impl Watched {
    /// Watches a model.
    pub fn new(model: Box<dyn Model>, watch: Arc<Watch>) -> Self {
        Self { model, watch }
    }
}

impl Model for Watched {
    fn forward(&self, inputs: &[InputTensor]) -> Result<Vec<ArrayRef>, ModelError> {
        let _pass = self.watch.begin(Doing::scoring(inputs));
        self.model.forward(inputs)
    }

    fn deviation(&self) -> Option<f64> {
        self.model.deviation()
    }
}

impl Doing {
    /// A pass over the rows of these tensors.
    pub(super) fn scoring(inputs: &[InputTensor]) -> Self {
        let rows = inputs.first().and_then(|input| input.shape.first()).copied();
        Self::Scoring(rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(0))
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loading => f.write_str("loading the model"),
            Self::Trying => f.write_str("trying the model on 2 rows of zeros"),
            Self::Scoring(rows) => write!(f, "a forward pass over {rows} rows"),
        }
    }
}

/// The model takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{doing} takes longer than {}, the limit that `infer.batch_timeout` sets", humantime::format_duration(*limit))]
pub struct Overdue {
    /// What takes so long.
    pub doing: Doing,
    /// The limit.
    pub limit: Duration,
}

impl Seam for Overdue {
    fn exit(&self) -> ExitCode {
        ExitCode::Model
    }

    fn hint(&self) -> Option<String> {
        let hint = match self.doing {
            Doing::Loading | Doing::Trying => {
                "look for a loop in the model's code that does not end; if it is only slow, raise [infer] batch_timeout"
            }
            Doing::Scoring(_) => {
                "look for a loop in the model's code that does not end on some rows; if it is only slow, give it fewer rows at a \
                 time, [line] batch_rows, or raise [infer] batch_timeout"
            }
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::HandClock;

    /// Lets seconds pass, with a look at each.
    fn pass(hand: &HandClock, watch: &Watch, seconds: u64) -> Result<(), Overdue> {
        for _ in 0..seconds {
            hand.forward(1);
            watch.look()?;
        }
        Ok(())
    }

    fn watch(limit: Option<u64>) -> (Arc<HandClock>, Watch) {
        let hand = Arc::new(HandClock::default());
        let watch = Watch::new(limit.map(Duration::from_secs), hand.clone());
        (hand, watch)
    }

    #[test]
    fn pass_is_late_when_it_alone_takes_longer_than_the_limit() {
        let (hand, watch) = watch(Some(60));
        for _ in 0..5 {
            let _pass = watch.begin(Doing::Scoring(7));
            assert_eq!(pass(&hand, &watch, 50), Ok(()));
        }
        assert_eq!(pass(&hand, &watch, 1_000), Ok(()), "nothing runs");
        let _quick = watch.begin(Doing::Trying);
        let _slow = watch.begin(Doing::Scoring(9));
        let late = pass(&hand, &watch, 61).unwrap_err();
        assert_eq!(late.doing, Doing::Trying);
        assert_eq!(late.exit(), ExitCode::Model);
    }

    #[test]
    fn time_in_which_the_process_was_stopped_is_not_the_models() {
        let (hand, watch) = watch(Some(60));
        let _pass = watch.begin(Doing::Scoring(7));
        pass(&hand, &watch, 30).unwrap();
        hand.forward(3_600);
        assert_eq!(pass(&hand, &watch, 25), Ok(()));
        assert!(pass(&hand, &watch, 60).is_err());
    }

    #[test]
    fn without_a_limit_nothing_is_late() {
        let (hand, watch) = watch(None);
        let _pass = watch.begin(Doing::Loading);
        assert_eq!(pass(&hand, &watch, 100_000), Ok(()));
    }
}
