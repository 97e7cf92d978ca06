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

use super::Tuner;
use super::isolate::{self, Evidence, Isolated, SAMPLE_OF_CHUNK, isolate};
use crate::batch::{BadRow, BatchSize, InputTensor, Parallelism, Predictions, Stage, StageTimes};
use crate::clock::{Clock, Stopwatch};
use crate::infer::{Model, ModelError, check, empty, zeros};
use crate::preprocess::{Prepared, Preprocessor};
use crate::spec::Reason;

thread_local! {
    /// Tensors of this thread, whose memory is used again for every batch.
    static TENSORS: RefCell<Vec<InputTensor>> = const { RefCell::new(Vec::new()) };
}

/// How a chunk is run.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// The contract made ready.
    pub preprocessor: &'a Preprocessor,
    /// How many rows make a batch.
    pub tuner: &'a Tuner,
    /// What runs side by side.
    pub parallelism: Parallelism,
    /// Whether the model has given results in this run.
    pub evidence: &'a Evidence,
    /// Rows on which the model may throw before the search for more of them ends.
    pub tolerated: u64,
    /// The time.
    pub clock: &'a dyn Clock,
}

/// What came of a chunk.
#[derive(Debug)]
pub struct Forwarded {
    /// Results of all rows; zeros for those on which the model throws.
    pub predictions: Predictions,
    /// Rows on which the model throws, in order.
    pub bad: Vec<BadRow>,
    /// Whether there may be more of them, since the search has ended early.
    pub is_cut_short: bool,
    /// What it took.
    pub times: StageTimes,
}

/// Runs the model over a chunk.
pub fn forward(prepared: &Prepared, pass: Pass<'_>) -> Result<Forwarded, ModelError> {
    let contract = pass.preprocessor.contract();
    let batches = match pass.parallelism {
        Parallelism::Chunks => in_order(prepared, pass)?,
        Parallelism::Rows => spread(prepared, pass)?,
    };
    let mut times = StageTimes::default();
    let mut bad = Vec::new();
    for batch in &batches {
        times.merge(&batch.times);
        bad.extend(batch.bad.iter().map(|(row, message)| BadRow {
            message: Some(message.clone()),
            ..BadRow::new(prepared.place(*row), Reason::ModelError, "")
        }));
    }
    bad.sort_by_key(|bad| bad.row);
    let is_cut_short = batches.iter().any(|batch| batch.is_cut_short);
    let outputs = contract.outputs.iter().enumerate().map(|(position, output)| {
        let pieces: Vec<&dyn Array> = batches.iter().map(|batch| batch.outputs[position].as_ref()).collect();
        let whole = match pieces.as_slice() {
            [] => empty(output.dtype),
            [only] => only.slice(0, only.len()),
            several => concat(several)?,
        };
        prepared.restore(&whole, output.width())
    });
    let outputs = if is_cut_short {
        Vec::new()
    } else {
        outputs.collect::<Result<_, ArrowError>>().map_err(ModelError::Join)?
    };
    Ok(Forwarded {
        predictions: Predictions { outputs },
        bad,
        is_cut_short,
        times,
    })
}

/// One batch after the other, each of the size that the tuner says.
fn in_order(prepared: &Prepared, pass: Pass<'_>) -> Result<Vec<Batch>, ModelError> {
    let mut batches = Vec::new();
    let mut next = 0;
    let mut size = pass.tuner.next();
    while let Some(rows) = prepared.batch(next, size) {
        let batch = scored(prepared, &rows, pass)?;
        next = rows.end;
        // The last batch of a chunk is shorter than its size.
        if next < prepared.rows() {
            let mut time = batch.times.of(Stage::Infer);
            time += batch.times.of(Stage::Preprocess);
            pass.tuner.took(size, prepared.units(&rows), time);
            size = pass.tuner.next();
        }
        batches.push(batch);
    }
    Ok(batches)
}

/// All batches of one size, by whoever is idle; of few rows each thread gets its share.
fn spread(prepared: &Prepared, pass: Pass<'_>) -> Result<Vec<Batch>, ModelError> {
    let usual = pass.tuner.chosen();
    let share = prepared.rows().div_ceil(rayon::current_num_threads()).max(1);
    let size = BatchSize {
        rows: usual.rows.min(share),
        ..usual
    };
    let batches: Vec<_> =
        std::iter::successors(prepared.batch(0, size), |rows| prepared.batch(rows.end, size)).collect();
    // One by one: a batch takes so long that several in a row, which nobody can take over, would leave the other threads idle in the end.
    let apart = batches.par_iter().with_max_len(1);
    apart.map(|rows| scored(prepared, rows, pass)).collect()
}

/// What came of a batch.
struct Batch {
    /// Results of all rows, unless the search for bad ones ended early.
    outputs: Vec<ArrayRef>,
    bad: Vec<(usize, String)>,
    is_cut_short: bool,
    times: StageTimes,
}

fn scored(prepared: &Prepared, rows: &Range<usize>, pass: Pass<'_>) -> Result<Batch, ModelError> {
    let times = RefCell::new(StageTimes::default());
    let run = |rows: &Range<usize>| run(prepared, rows, pass, &mut times.borrow_mut());
    let (outputs, bad, is_cut_short) = match run(rows) {
        Ok(outputs) => {
            pass.evidence.works();
            (outputs, Vec::new(), false)
        }
        Err(error) if error.is_thrown() => {
            let found = isolate(
                rows.clone(),
                0..prepared.rows(),
                error,
                pass.tolerated,
                pass.evidence,
                &run,
            )?;
            let outputs = filled(&found, rows, pass.preprocessor)?;
            (outputs, found.bad, found.is_cut_short)
        }
        Err(error) if error.is_device_memory() && rows.len() > 1 => return halved(prepared, rows, pass),
        Err(error) => return Err(error),
    };
    Ok(Batch {
        outputs,
        bad,
        is_cut_short,
        times: times.into_inner(),
    })
}

/// Whether the model takes any of some rows of a chunk that stand far apart.
pub(super) fn takes_any(prepared: &Prepared, pass: Pass<'_>) -> Result<bool, ModelError> {
    let times = RefCell::new(StageTimes::default());
    let run = |rows: &Range<usize>| run(prepared, rows, pass, &mut times.borrow_mut());
    isolate::takes_any(&(0..prepared.rows()), SAMPLE_OF_CHUNK, &run)
}

/// A batch that does not fit the device, as two; later ones are smaller from the start.
fn halved(prepared: &Prepared, rows: &Range<usize>, pass: Pass<'_>) -> Result<Batch, ModelError> {
    let has_text = pass.preprocessor.contract().has_text();
    pass.tuner.halve(BatchSize {
        rows: rows.len(),
        tokens: has_text.then(|| prepared.units(rows)),
    });
    let middle = rows.start + rows.len() / 2;
    let mut one = scored(prepared, &(rows.start..middle), pass)?;
    let other = scored(prepared, &(middle..rows.end), pass)?;
    one.is_cut_short |= other.is_cut_short;
    let pairs = one.outputs.iter().zip(&other.outputs);
    let joined = pairs.map(|(one, other)| concat(&[one.as_ref(), other.as_ref()]));
    one.outputs = if one.is_cut_short {
        Vec::new()
    } else {
        joined.collect::<Result<_, ArrowError>>().map_err(ModelError::Join)?
    };
    one.bad.extend(other.bad);
    one.times.merge(&other.times);
    Ok(one)
}

/// Runs the model on some rows together.
fn run(
    prepared: &Prepared,
    rows: &Range<usize>,
    pass: Pass<'_>,
    times: &mut StageTimes,
) -> Result<Vec<ArrayRef>, ModelError> {
    let contract = pass.preprocessor.contract();
    // Nothing in here waits on the pool, so a thread never comes by a second time while it holds its tensors.
    TENSORS.with_borrow_mut(|tensors| {
        let fill = Stopwatch::start(pass.clock);
        prepared.fill(contract, rows, tensors);
        times.add(Stage::Preprocess, fill.stop());
        let forward = Stopwatch::start(pass.clock);
        let outputs = pass.model.forward(tensors);
        times.add(Stage::Infer, forward.stop());
        let outputs = outputs?;
        check(contract, &outputs, rows.len())?;
        Ok(outputs)
    })
}

/// Results of all rows of a batch that was scored in pieces.
fn filled(found: &Isolated, rows: &Range<usize>, preprocessor: &Preprocessor) -> Result<Vec<ArrayRef>, ModelError> {
    if found.is_cut_short {
        return Ok(Vec::new());
    }
    let contract = preprocessor.contract();
    let outputs = contract.outputs.iter().enumerate().map(|(position, output)| {
        let gap = |rows: usize| zeros(output.dtype, rows * output.width());
        let mut next = rows.start;
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (piece, outputs) in &found.pieces {
            arrays.push(gap(piece.start - next));
            arrays.push(Arc::clone(&outputs[position]));
            next = piece.end;
        }
        arrays.push(gap(rows.end - next));
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        concat(&arrays)
    });
    outputs.collect::<Result<_, ArrowError>>().map_err(ModelError::Join)
}

#[cfg(test)]
mod tests;
