//! Runs the model over a chunk, batch by batch.
//!
//! Takes prepared columns and gives [`Predictions`] in input order: the place where `preprocess` and `infer` meet, which do not know one
//! another.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::error::ArrowError;
use rayon::prelude::*;

use crate::batch::{InputTensor, Predictions, Stage, StageTimes};
use crate::clock::{Clock, Stopwatch};
use crate::infer::{Model, ModelError, check, empty};
use crate::preprocess::{Prepared, Preprocessor};

thread_local! {
    /// Tensors of this thread, whose memory is used again for every batch.
    static TENSORS: RefCell<Vec<InputTensor>> = const { RefCell::new(Vec::new()) };
}

/// Who runs the batches of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batches {
    /// The thread that runs the chunk, one after the other: every other thread has a chunk of its own.
    InOrder,
    /// Whoever is idle, since there are fewer chunks than threads. Otherwise a thread that waits for a stolen batch would take up a whole
    /// chunk in between, and hold its own back for as long.
    Spread,
}

/// Runs the model over a chunk.
pub fn forward(
    model: &dyn Model,
    preprocessor: &Preprocessor,
    prepared: &Prepared,
    batch_rows: usize,
    by: Batches,
    clock: &dyn Clock,
) -> Result<(Predictions, StageTimes), ModelError> {
    let contract = preprocessor.contract();
    let batches = prepared.batches(batch_rows);
    let batch = |rows: &Range<usize>| {
        // Nothing in here waits on the pool, so a thread never comes by a second time while it holds its tensors.
        TENSORS.with_borrow_mut(|tensors| {
            let mut times = StageTimes::default();
            let filled = Stopwatch::start(clock);
            prepared.fill(contract, rows, tensors);
            times.add(Stage::Preprocess, filled.stop());
            let forward = Stopwatch::start(clock);
            let outputs = model.forward(tensors)?;
            times.add(Stage::Infer, forward.stop());
            check(contract, &outputs, rows.len())?;
            Ok((outputs, times))
        })
    };
    let results: Result<Vec<(Vec<ArrayRef>, StageTimes)>, ModelError> = match by {
        Batches::InOrder => batches.iter().map(batch).collect(),
        Batches::Spread => batches.par_iter().map(batch).collect(),
    };
    let results = results?;
    let mut times = StageTimes::default();
    for (_, batch) in &results {
        times.merge(batch);
    }
    let outputs = contract.outputs.iter().enumerate().map(|(position, output)| {
        let pieces: Vec<&dyn Array> = results.iter().map(|(outputs, _)| outputs[position].as_ref()).collect();
        let whole = match pieces.as_slice() {
            [] => empty(output.dtype),
            [only] => Arc::clone(&results[0].0[position]).slice(0, only.len()),
            several => concat(several)?,
        };
        prepared.restore(&whole, output.width())
    });
    let outputs = outputs.collect::<Result<_, ArrowError>>().map_err(ModelError::Join)?;
    Ok((Predictions { outputs }, times))
}
