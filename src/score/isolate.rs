//! Finds the rows on which the model throws, when it throws on a batch.
//!
//! The batch is halved and halved again. Rows that are fine by themselves are scored on the way, so all that is lost is the passes that
//! fail: for one bad row among n, at most log2(n) of them after the first.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::ArrayRef;

use crate::infer::ModelError;

/// Passes that may fail before one has succeeded. A model that throws on everything is at fault itself, and is not tried on each row.
const MOST_FAILURES: usize = 32;

/// Rows of a batch, far apart, that are tried before the model is said to be at fault: bad rows stand together more often than not.
const SAMPLE: usize = 16;

/// Rows of the chunk that are tried when those of the batch do not help.
pub(super) const SAMPLE_OF_CHUNK: usize = 64;

/// Whether the model has given results for rows of this run; shared by all threads.
#[derive(Debug, Default)]
pub struct Evidence {
    works: AtomicBool,
    failures: AtomicUsize,
    doubted: AtomicBool,
}

impl Evidence {
    /// The model has given results.
    pub fn works(&self) {
        self.works.store(true, Ordering::Relaxed);
    }

    /// Whether it has ever.
    pub fn is_there(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    /// Whether a chunk was given up since the model seemed to be at fault; asked once for each time. Rows of other chunks may prove it wrong.
    pub fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::Relaxed)
    }

    /// A pass has failed. So many have by now.
    fn failed(&self) -> usize {
        self.failures.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Runs the model on some rows of the chunk together.
pub(super) type Run<'a> = dyn Fn(&Range<usize>) -> Result<Vec<ArrayRef>, ModelError> + 'a;

/// A batch that was scored in pieces.
#[derive(Debug, Default)]
pub(super) struct Isolated {
    /// Results of the pieces, in the order of the rows.
    pub(super) pieces: Vec<(Range<usize>, Vec<ArrayRef>)>,
    /// Rows on which the model throws, in order, and what it says.
    pub(super) bad: Vec<(usize, String)>,
    /// Whether the search has ended early, since more rows are bad than are tolerated.
    pub(super) is_cut_short: bool,
}

/// Scores the rows of a batch on which the model has thrown, apart from those that it throws on by themselves.
pub(super) fn isolate(
    rows: Range<usize>,
    chunk: Range<usize>,
    error: ModelError,
    tolerated: u64,
    evidence: &Evidence,
    run: &Run<'_>,
) -> Result<Isolated, ModelError> {
    let mut search = Search {
        run,
        evidence,
        tolerated,
        batch: rows.clone(),
        chunk,
        found: Isolated::default(),
    };
    search.doubt(&error)?;
    search.halve(rows, error)?;
    Ok(search.found)
}

struct Search<'a> {
    run: &'a Run<'a>,
    evidence: &'a Evidence,
    tolerated: u64,
    batch: Range<usize>,
    chunk: Range<usize>,
    found: Isolated,
}

impl Search<'_> {
    /// Searches rows that cannot be scored together.
    fn halve(&mut self, rows: Range<usize>, error: ModelError) -> Result<(), ModelError> {
        if rows.len() == 1 {
            self.found.bad.push((rows.start, error.reason()));
            // Until the model has worked once, a bad row says as much about the model as about the row.
            self.found.is_cut_short = self.evidence.is_there() && self.found.bad.len() as u64 > self.tolerated;
            return Ok(());
        }
        let middle = rows.start + rows.len() / 2;
        let (left, right) = (rows.start..middle, middle..rows.end);
        let is_sound = self.attempt(left)?;
        if self.found.is_cut_short {
            return Ok(());
        }
        // What is wrong is in the right half then, and to try all of it again would only fail again.
        if is_sound && right.len() > 1 {
            self.halve(right, error)
        } else {
            self.attempt(right).map(drop)
        }
    }

    /// Scores rows together, or searches them. True when they could be scored together.
    fn attempt(&mut self, rows: Range<usize>) -> Result<bool, ModelError> {
        match (self.run)(&rows) {
            Ok(outputs) => {
                self.evidence.works();
                self.found.pieces.push((rows, outputs));
                Ok(true)
            }
            Err(error) if error.is_thrown() => {
                self.doubt(&error)?;
                self.halve(rows, error)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Counts a pass that failed. An error when the model is at fault and not the rows.
    fn doubt(&self, error: &ModelError) -> Result<(), ModelError> {
        let tries = self.evidence.failed();
        if tries < MOST_FAILURES || self.evidence.is_there() {
            return Ok(());
        }
        if takes_any(&self.batch, SAMPLE, self.run)? || takes_any(&self.chunk, SAMPLE_OF_CHUNK, self.run)? {
            self.evidence.works();
            return Ok(());
        }
        self.evidence.doubted.store(true, Ordering::Relaxed);
        Err(ModelError::Always {
            tries,
            reason: error.reason(),
        })
    }
}

/// Whether the model takes any of some rows that stand far apart.
pub(super) fn takes_any(rows: &Range<usize>, most: usize, run: &Run<'_>) -> Result<bool, ModelError> {
    let places = rows.len().min(most);
    for place in 0..places {
        let row = rows.start + place * rows.len() / places;
        match run(&(row..row + 1)) {
            Ok(_) => return Ok(true),
            Err(error) if error.is_thrown() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    /// A model that gives the numbers of its rows, and throws where one of the bad is among them.
    fn search(rows: usize, bad: &[usize], tolerated: u64) -> (Result<Isolated, ModelError>, usize) {
        let failures = RefCell::new(0);
        let run = |rows: &Range<usize>| -> Result<Vec<ArrayRef>, ModelError> {
            match bad.iter().find(|bad| rows.contains(bad)) {
                None => {
                    let numbers = rows.clone().map(|row| i64::try_from(row).unwrap());
                    Ok(vec![Arc::new(Int64Array::from_iter_values(numbers))])
                }
                Some(bad) => {
                    *failures.borrow_mut() += 1;
                    Err(thrown(rows.len(), &format!("row {bad}")))
                }
            }
        };
        let found = isolate(
            0..rows,
            0..rows,
            thrown(rows, "a batch"),
            tolerated,
            &Evidence::default(),
            &run,
        );
        (found, failures.into_inner())
    }

    fn thrown(rows: usize, reason: &str) -> ModelError {
        ModelError::Forward {
            rows,
            reason: reason.to_owned(),
        }
    }

    fn scored(found: &Isolated) -> Vec<i64> {
        let pieces = found.pieces.iter();
        pieces
            .flat_map(|(_, outputs)| outputs[0].as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    #[test]
    fn each_bad_row_is_found_and_every_other_scored_once_and_in_order() {
        for rows in [2, 3, 7, 64, 100] {
            for bad in [vec![0], vec![rows - 1], vec![rows / 2], vec![0, rows - 1], vec![0, 1]] {
                if bad.len() == rows {
                    continue;
                }
                let (found, _) = search(rows, &bad, 10);
                let found = found.unwrap();
                let numbers: Vec<_> = found.bad.iter().map(|(row, _)| *row).collect();
                assert_eq!(numbers, bad, "{rows}");
                assert_eq!(found.bad[0].1, format!("row {}", bad[0]));
                let expected = (0..rows).filter(|row| !bad.contains(row));
                let expected: Vec<_> = expected.map(|row| i64::try_from(row).unwrap()).collect();
                assert_eq!(scored(&found), expected, "{rows} without {bad:?}");
            }
        }
    }

    #[test]
    fn one_bad_row_costs_at_most_log2_passes_after_the_first() {
        for row in 0..1_024 {
            let (found, failures) = search(1_024, &[row], 10);
            assert_eq!(found.unwrap().bad.len(), 1);
            assert!(failures <= 10, "{failures} passes failed for row {row}");
        }
    }

    #[test]
    fn model_that_throws_on_everything_is_tried_a_few_times_only() {
        let all: Vec<_> = (0..100_000).collect();
        let (found, failures) = search(all.len(), &all, 1_000_000);
        assert!(matches!(found, Err(ModelError::Always { .. })));
        assert!(failures < MOST_FAILURES + SAMPLE + SAMPLE_OF_CHUNK);
    }

    #[test]
    fn many_bad_rows_at_the_beginning_are_no_fault_of_the_model() {
        let bad: Vec<_> = (0..100).collect();
        let (found, _) = search(1_024, &bad, 1_000);
        assert_eq!(found.unwrap().bad.len(), 100);
    }

    #[test]
    fn search_ends_when_more_rows_are_bad_than_are_tolerated() {
        let bad: Vec<_> = (500..1_000).collect();
        let (found, failures) = search(1_000, &bad, 3);
        let found = found.unwrap();
        assert!(found.is_cut_short);
        assert_eq!(found.bad.len(), 4);
        assert!(failures < 40, "{failures}");
    }
}
