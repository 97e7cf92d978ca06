//! Runs the model over a chunk, batch by batch; idle cores help.
//!
//! Takes prepared columns and gives [`Predictions`] in input order: the place where `preprocess` and `infer` meet, which do not know one
//! another.

use std::cell::RefCell;
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

/// Runs the model over a chunk.
pub fn forward(
    model: &dyn Model,
    preprocessor: &Preprocessor,
    prepared: &Prepared,
    batch_rows: usize,
    clock: &dyn Clock,
) -> Result<(Predictions, StageTimes), ModelError> {
    let contract = preprocessor.contract();
    let batches = prepared.batches(batch_rows);
    let results: Vec<(Vec<ArrayRef>, StageTimes)> = batches
        .par_iter()
        .map(|rows| {
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
        })
        .collect::<Result<_, ModelError>>()?;
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
