//! A chunk whose columns are ready, cut into batches of rows and filled into tensors.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;

use super::PreprocessError;
use super::column::{Column, Encoder};
use super::fill;
use super::tokens::Document;
use crate::batch::{BatchSize, FeatureBatch, InputTensor, Parallelism, StandInsByFeature, places};
use crate::clock::{Clock, Elapsed, Stopwatch};
use crate::contract::Contract;

/// The features of one chunk, ready to fill tensors.
#[derive(Debug)]
pub struct Prepared {
    columns: Vec<Column>,
    /// For each tensor, which columns fill it, in order.
    inputs: Vec<Vec<usize>>,
    rows: usize,
    /// Rows by falling length of their document; `None` when there are no documents.
    order: Option<UInt32Array>,
    /// What stands for values.
    stand_ins: StandInsByFeature,
    /// What it took all threads.
    took: Elapsed,
}

pub(super) fn prepare(
    contract: &Contract,
    encoders: &[Encoder],
    batch: &FeatureBatch,
    parallelism: Parallelism,
    clock: &dyn Clock,
) -> Result<Prepared, PreprocessError> {
    let rows = batch.columns.num_rows();
    let schema = batch.columns.schema();
    let places = places(&schema);
    let mut columns = Vec::with_capacity(encoders.len());
    let mut names = Vec::with_capacity(encoders.len());
    let mut order = None;
    let mut stand_ins = StandInsByFeature::default();
    let mut took = Elapsed::default();
    let mut watch = Stopwatch::start(clock);
    // Documents first: their lengths decide the order of rows for every other column.
    for text in [true, false] {
        for (feature, encoder) in contract.features.iter().zip(encoders) {
            if matches!(encoder, Encoder::Text(_)) != text {
                continue;
            }
            let name = feature.name();
            let failed = |source| PreprocessError::Column {
                feature: name.to_owned(),
                source,
            };
            let values = places.get(name).map(|&place| Arc::clone(batch.columns.column(place)));
            let missing = || ArrowError::SchemaError(format!("no column `{name}` in the batch"));
            let values = values.ok_or_else(missing).map_err(failed)?;
            let values = match &order {
                Some(order) if !text => take(&values, order, None).map_err(failed)?,
                _ => values,
            };
            let encoded = match (encoder, parallelism) {
                (Encoder::Text(tokens), Parallelism::Rows) => {
                    // Who waits for others may do something else meanwhile.
                    took += watch.stop();
                    let (encoded, of_all) = tokens.cut_by_all(name, &values, clock)?;
                    took += of_all;
                    watch = Stopwatch::start(clock);
                    encoded
                }
                _ => encoder.encode(name, &values)?,
            };
            let of_feature = encoder.stand_ins(&values, &encoded).map_err(failed)?;
            stand_ins.add(name, of_feature);
            if order.is_none() {
                order = encoded.documents().map(by_length);
            }
            columns.push(encoded);
            names.push(name);
        }
    }
    if let Some(order) = &order {
        for column in &mut columns {
            if let Column::Tokens(documents, _) = column {
                *documents = order
                    .values()
                    .iter()
                    .map(|&row| std::mem::take(&mut documents[row as usize]))
                    .collect();
            }
        }
    }
    let names: HashMap<_, _> = (0..).zip(names).map(|(column, name)| (name, column)).collect();
    let place = |name: &String| names.get(name.as_str()).copied();
    let inputs = contract.inputs.iter();
    let inputs = inputs
        .map(|input| input.columns.iter().filter_map(place).collect())
        .collect();
    took += watch.stop();
    Ok(Prepared {
        columns,
        inputs,
        rows,
        order,
        stand_ins,
        took,
    })
}

/// Rows with the longest document first, so that neighbours need little padding and the largest batch comes first.
fn by_length(documents: &[Document]) -> UInt32Array {
    let mut order: Vec<u32> = (0u32..).take(documents.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(documents[row as usize].len()));
    UInt32Array::from(order)
}

impl Prepared {
    /// What it took all threads to make the columns ready.
    pub fn took(&self) -> Elapsed {
        self.took
    }

    /// What stands for values of the rows.
    pub fn stand_ins(&self) -> &StandInsByFeature {
        &self.stand_ins
    }

    /// Rows of the chunk.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The batch that begins with a row; `None` behind the last one.
    pub fn batch(&self, start: usize, size: BatchSize) -> Option<Range<usize>> {
        let rows = match size.tokens.zip(self.longest(start)) {
            Some((tokens, longest)) => (tokens / longest).clamp(1, size.rows.max(1)),
            None => size.rows.max(1),
        };
        (start < self.rows).then(|| start..self.rows.min(start + rows))
    }

    /// Rows of a batch, or tokens where there are documents: what its passes are measured by.
    pub fn units(&self, rows: &Range<usize>) -> usize {
        rows.len() * self.longest(rows.start).unwrap_or(1)
    }

    /// Tokens of the longest document from a row on: they come by falling length.
    fn longest(&self, start: usize) -> Option<usize> {
        let columns = self.columns.iter().filter_map(Column::documents);
        columns
            .filter_map(|documents| documents.get(start))
            .map(|document| document.len().max(1))
            .max()
    }

    /// Fills the tensors of one batch, reusing the memory of earlier ones.
    pub fn fill(&self, contract: &Contract, rows: &Range<usize>, tensors: &mut Vec<InputTensor>) {
        tensors.truncate(contract.inputs.len());
        for (position, input) in contract.inputs.iter().enumerate() {
            let columns: Vec<_> = self.inputs[position]
                .iter()
                .map(|&column| &self.columns[column])
                .collect();
            let reused = tensors.get_mut(position).map(|tensor| std::mem::take(&mut tensor.data));
            let tensor = fill::tensor(input, &columns, rows, reused.unwrap_or_default());
            match tensors.get_mut(position) {
                Some(slot) => *slot = tensor,
                None => tensors.push(tensor),
            }
        }
    }

    /// The row of the input that stands at a place among the prepared rows.
    pub fn place(&self, row: usize) -> usize {
        self.order.as_ref().map_or(row, |order| order.value(row) as usize)
    }

    /// Brings the values of an output, `width` a row, back to the order of the input.
    pub fn restore(&self, output: &ArrayRef, width: usize) -> Result<ArrayRef, ArrowError> {
        let Some(order) = &self.order else {
            return Ok(output.clone());
        };
        let mut from = vec![0u32; order.len()];
        for (sorted, &row) in (0u32..).zip(order.values()) {
            from[row as usize] = sorted;
        }
        let stride = u32::try_from(width).unwrap_or(1);
        let picks = from.iter().flat_map(|&row| row * stride..(row + 1) * stride);
        take(output, &UInt32Array::from_iter_values(picks), None)
    }
}
