//! How many rows make a batch: measured on the first rows of the run, whose results count like all others.
//!
//! Small batches keep activations in the cache of a core, large ones spread the cost of a call; where the best size lies depends on model
//! and machine. So batches of several sizes take turns until each has had its share of rows, and the fastest is kept. Nothing is computed
//! twice: what tuning costs is the difference between the sizes, on a few rows.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::batch::BatchSize;
use crate::clock::Elapsed;

/// Times that each size is tried on a thread that has run it before: the first pass of a size allocates and plans.
const TRIALS: usize = 6;

/// Passes of each size after which it is decided by what is known: of small chunks every batch may be the last, which is not measured.
const ENOUGH: usize = 4 * TRIALS;

/// A size is only taken in place of the usual one when it saves more than this share of the time; less may be chance.
const WORTH: f64 = 0.02;

/// Knows the size of the next batch.
#[derive(Debug)]
pub struct Tuner {
    usual: BatchSize,
    by: Measure,
    state: Mutex<State>,
}

/// What a pass costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Time of its processor, which a busy machine does not change: where the thread does all the work itself.
    Processor,
    /// Time that passes: where others, or a device, work for it.
    Wall,
}

#[derive(Debug)]
enum State {
    Measuring(Vec<Trial>),
    Chosen(BatchSize, Vec<Measured>),
}

/// A size, and what its passes took: nanoseconds a row, or a token where there are documents.
#[derive(Debug)]
struct Trial {
    size: BatchSize,
    started: usize,
    nanos: Vec<f64>,
}

/// What was found out about a size.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Rows of a batch; with documents, tokens.
    pub batch: usize,
    /// Nanoseconds of a row; with documents, of a token.
    pub nanoseconds: f64,
}

impl Tuner {
    /// Passes of each size until it is known.
    pub const PASSES: usize = TRIALS + 1;

    /// One size for all batches.
    pub fn fixed(size: BatchSize) -> Self {
        Self {
            usual: size,
            by: Measure::Wall,
            state: Mutex::new(State::Chosen(size, Vec::new())),
        }
    }

    /// Several sizes, of which the fastest is found; the usual one is among them.
    pub fn measuring(usual: BatchSize, sizes: &[BatchSize], by: Measure) -> Self {
        let trials = sizes.iter().map(|&size| Trial {
            size,
            started: 0,
            nanos: Vec::with_capacity(TRIALS + 1),
        });
        Self {
            usual,
            by,
            state: Mutex::new(State::Measuring(trials.collect())),
        }
    }

    /// The size of the next batch.
    pub fn next(&self) -> BatchSize {
        let mut state = self.state();
        if let State::Measuring(trials) = &*state
            && trials.iter().all(|trial| trial.started >= ENOUGH)
        {
            *state = self.decided(trials);
        }
        match &mut *state {
            State::Chosen(size, _) => *size,
            State::Measuring(trials) => match trials.iter_mut().min_by_key(|trial| trial.started) {
                Some(trial) => {
                    trial.started += 1;
                    trial.size
                }
                None => self.usual,
            },
        }
    }

    /// Takes note of a pass over `units` rows, or tokens, in a batch of that size.
    pub fn took(&self, size: BatchSize, units: usize, time: Elapsed) {
        let mut state = self.state();
        let State::Measuring(trials) = &mut *state else {
            return;
        };
        if let Some(trial) = trials.iter_mut().find(|trial| trial.size == size) {
            trial.nanos.push(nanoseconds(self.by.of(time), units));
        }
        if trials.iter().all(|trial| trial.nanos.len() > TRIALS) {
            *state = self.decided(trials);
        }
    }

    /// The choice by what is known of the sizes; the first pass of each does not count.
    fn decided(&self, trials: &[Trial]) -> State {
        let known = trials.iter().filter(|trial| trial.nanos.len() > 1);
        let found: Vec<_> = known.map(|trial| (trial.size, median(&trial.nanos[1..]))).collect();
        State::Chosen(self.best(&found), found.iter().map(Measured::of).collect())
    }

    /// From now on at most half as many rows, or tokens where there are documents: a batch of that size did not fit the device. Others of that
    /// size may be on their way, so the same size halves once.
    pub fn halve(&self, failed: BatchSize) {
        let mut state = self.state();
        let (size, measured) = match &*state {
            State::Chosen(size, measured) => (*size, measured.clone()),
            State::Measuring(_) => (self.usual, Vec::new()),
        };
        let half = match failed.tokens {
            Some(failed) => BatchSize {
                tokens: Some(size.tokens.unwrap_or(failed).min(failed / 2).max(1)),
                ..size
            },
            None => BatchSize {
                rows: size.rows.min(failed.rows / 2).max(1),
                ..size
            },
        };
        *state = State::Chosen(half, measured);
    }

    /// The size in use: the usual one until all have been measured.
    pub fn chosen(&self) -> BatchSize {
        match &*self.state() {
            State::Chosen(size, _) => *size,
            State::Measuring(_) => self.usual,
        }
    }

    /// What the sizes took; empty where nothing was measured.
    pub fn measured(&self) -> Vec<Measured> {
        match &*self.state() {
            State::Chosen(_, measured) => measured.clone(),
            State::Measuring(_) => Vec::new(),
        }
    }

    fn best(&self, found: &[(BatchSize, f64)]) -> BatchSize {
        let usual = found.iter().find(|(size, _)| *size == self.usual);
        let best = found.iter().min_by(|one, other| one.1.total_cmp(&other.1));
        match (usual, best) {
            (Some(usual), Some(best)) if best.1 < usual.1 * (1.0 - WORTH) => best.0,
            (None, Some(best)) => best.0,
            _ => self.usual,
        }
    }

    /// A panic while this is locked leaves it whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measure {
    fn of(self, time: Elapsed) -> Duration {
        match self {
            Self::Processor => time.cpu,
            Self::Wall => time.wall,
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a batch has fewer rows than a float has digits for"
)]
fn nanoseconds(time: Duration, units: usize) -> f64 {
    time.as_secs_f64() * 1e9 / units.max(1) as f64
}

impl Measured {
    fn of(&(size, nanoseconds): &(BatchSize, f64)) -> Self {
        Self {
            batch: size.tokens.unwrap_or(size.rows),
            nanoseconds,
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: usize) -> BatchSize {
        BatchSize { rows, tokens: None }
    }

    /// Plays batches until a size is chosen, and says how many there were.
    fn play(tuner: &Tuner, nanos: impl Fn(usize) -> u64) -> usize {
        for passes in 0.. {
            if !matches!(*tuner.state(), State::Measuring(_)) {
                return passes;
            }
            let size = tuner.next();
            let wall = Duration::from_nanos(nanos(size.rows) * size.rows as u64);
            let time = Elapsed {
                wall,
                ..Elapsed::default()
            };
            tuner.took(size, size.rows, time);
        }
        0
    }

    #[test]
    fn the_fastest_size_is_kept() {
        let tuner = Tuner::measuring(rows(1_024), &[rows(256), rows(1_024), rows(4_096)], Measure::Wall);
        let passes = play(&tuner, |rows| if rows == 4_096 { 500 } else { 800 });
        assert_eq!(passes, 3 * (TRIALS + 1));
        assert_eq!(tuner.chosen(), rows(4_096));
        assert_eq!(tuner.next(), rows(4_096));
        assert_eq!(tuner.measured().len(), 3);
    }

    #[test]
    fn a_difference_that_may_be_chance_changes_nothing() {
        let tuner = Tuner::measuring(rows(1_024), &[rows(256), rows(1_024)], Measure::Wall);
        play(&tuner, |rows| if rows == 256 { 990 } else { 1_000 });
        assert_eq!(tuner.chosen(), rows(1_024));
    }

    #[test]
    fn one_slow_pass_decides_nothing() {
        let tuner = Tuner::measuring(rows(1_024), &[rows(256), rows(1_024)], Measure::Wall);
        let slow = std::cell::Cell::new(true);
        play(&tuner, |rows| match rows {
            256 if slow.replace(false) => 90_000,
            256 => 500,
            _ => 1_000,
        });
        assert_eq!(tuner.chosen(), rows(256));
    }

    #[test]
    fn what_does_not_fit_is_halved_and_remembered() {
        let tuner = Tuner::measuring(rows(1_024), &[rows(256), rows(4_096)], Measure::Wall);
        tuner.halve(rows(4_096));
        assert_eq!(tuner.next(), rows(1_024));
        tuner.halve(rows(1_024));
        tuner.halve(rows(1));
        assert_eq!(tuner.next(), rows(1));
    }

    #[test]
    fn documents_are_halved_by_tokens_and_once_for_all_batches_that_were_on_their_way() {
        let size = BatchSize {
            rows: 1_024,
            tokens: Some(512),
        };
        let tuner = Tuner::fixed(size);
        let failed = BatchSize {
            rows: 3,
            tokens: Some(510),
        };
        let half = BatchSize {
            tokens: Some(255),
            ..size
        };
        for _ in 0..5 {
            tuner.halve(failed);
            // Few long documents say nothing of short ones.
            assert_eq!(tuner.next(), half);
        }
    }

    #[test]
    fn sizes_whose_batches_are_always_the_last_of_their_chunk_do_not_take_turns_for_ever() {
        let tuner = Tuner::measuring(rows(256), &[rows(64), rows(256), rows(4_096)], Measure::Wall);
        for _ in 0..3 * ENOUGH {
            let size = tuner.next();
            if size.rows < 4_096 {
                let wall = Duration::from_nanos(size.rows as u64 * if size.rows == 64 { 100 } else { 900 });
                let time = Elapsed {
                    wall,
                    ..Elapsed::default()
                };
                tuner.took(size, size.rows, time);
            }
        }
        assert_eq!(tuner.next(), rows(64));
        assert_eq!(tuner.measured().len(), 2);
    }

    #[test]
    fn a_fixed_size_is_not_measured() {
        let tuner = Tuner::fixed(rows(7));
        tuner.took(rows(7), 7, Elapsed::default());
        assert_eq!((tuner.next(), tuner.measured().len()), (rows(7), 0));
    }
}
