//! A chunk whose columns are ready, cut into batches of rows and filled into tensors.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;

use super::PreprocessError;
use super::column::{Column, Encoder};
use super::fill;
use crate::batch::{FeatureBatch, InputTensor};
use crate::contract::Contract;

/// Tokens of a batch of documents, padding counted in, unless the job fixes the rows: activations stay in cache.
const BATCH_TOKENS: usize = 4_096;

/// The features of one chunk, ready to fill tensors.
#[derive(Debug)]
pub struct Prepared {
    columns: Vec<(String, Column)>,
    rows: usize,
    /// Rows by falling length of their document; `None` when there are no documents.
    order: Option<UInt32Array>,
}

pub(super) fn prepare(
    contract: &Contract,
    encoders: &[Encoder],
    batch: &FeatureBatch,
) -> Result<Prepared, PreprocessError> {
    let rows = batch.columns.num_rows();
    let mut columns = Vec::with_capacity(encoders.len());
    let mut order = None;
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
            let values = column(&batch.columns, name).map_err(failed)?;
            if let (Some(order), false) = (&order, text) {
                let values = take(&values, order, None).map_err(failed)?;
                columns.push((name.to_owned(), encoder.encode(name, &values)?));
                continue;
            }
            let encoded = encoder.encode(name, &values)?;
            if order.is_none() {
                order = encoded.tokens().map(by_length);
            }
            columns.push((name.to_owned(), encoded));
        }
    }
    if let Some(order) = &order {
        for (_, column) in &mut columns {
            if let Column::Tokens(tokens, _) = column {
                *tokens = order
                    .values()
                    .iter()
                    .map(|&row| std::mem::take(&mut tokens[row as usize]))
                    .collect();
            }
        }
    }
    Ok(Prepared { columns, rows, order })
}

fn column(batch: &RecordBatch, name: &str) -> Result<ArrayRef, ArrowError> {
    let found = batch.column_by_name(name).cloned();
    found.ok_or_else(|| ArrowError::SchemaError(format!("no column `{name}` in the batch")))
}

/// Rows with the longest document first, so that neighbours need little padding and the largest batch comes first.
fn by_length(tokens: &[Vec<u32>]) -> UInt32Array {
    let mut order: Vec<u32> = (0u32..).take(tokens.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(tokens[row as usize].len()));
    UInt32Array::from(order)
}

impl Prepared {
    /// Rows of the chunk.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Cuts the rows into batches: of `batch_rows` rows, or, for documents, of as many as fit a number of tokens.
    pub fn batches(&self, batch_rows: usize) -> Vec<Range<usize>> {
        let mut batches = Vec::new();
        let mut start = 0;
        while start < self.rows {
            let end = self.rows.min(start + self.batch_rows(start, batch_rows));
            batches.push(start..end);
            start = end;
        }
        batches
    }

    fn batch_rows(&self, start: usize, batch_rows: usize) -> usize {
        let longest = self
            .columns
            .iter()
            .filter_map(|(_, column)| column.tokens())
            .map(|tokens| tokens[start].len())
            .max();
        match longest {
            Some(longest) => (BATCH_TOKENS / longest.max(1)).clamp(1, batch_rows.max(1)),
            None => batch_rows.max(1),
        }
    }

    /// Fills the tensors of one batch, reusing the memory of earlier ones.
    pub fn fill(&self, contract: &Contract, rows: &Range<usize>, tensors: &mut Vec<InputTensor>) {
        tensors.truncate(contract.inputs.len());
        for (position, input) in contract.inputs.iter().enumerate() {
            let columns = input.columns.iter().filter_map(|name| {
                let found = self.columns.iter().find(|(column, _)| column == name);
                found.map(|(_, column)| column)
            });
            let columns: Vec<_> = columns.collect();
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
