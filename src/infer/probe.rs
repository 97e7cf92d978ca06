//! Tries the model on two made-up rows before any work, so that a wrong contract costs a second and not an hour.

use arrow::buffer::MutableBuffer;

use super::{Model, ModelError, check};
use crate::batch::{InputTensor, Layout};
use crate::contract::{Contract, Input, TensorType, TextSource};

/// Rows of the probe: two, since one row hides a batch dimension that is not there.
const ROWS: usize = 2;

/// Tokens of the probe's documents.
const TOKENS: i64 = 4;

/// Runs the model on rows of zeros and compares the results with the contract.
pub fn probe(model: &dyn Model, contract: &Contract) -> Result<(), ModelError> {
    let inputs: Vec<_> = contract.inputs.iter().map(zeros).collect();
    let outputs = model.forward(&inputs)?;
    check(contract, &outputs, ROWS)
}

fn zeros(input: &Input) -> InputTensor {
    let mut shape: Vec<i64> = input
        .shape
        .iter()
        .map(|&extent| if extent < 0 { TOKENS } else { extent })
        .collect();
    shape[0] = 2;
    let count: i64 = shape.iter().product();
    let count = usize::try_from(count).unwrap_or(0);
    let mut data = MutableBuffer::from_len_zeroed(count * input.dtype.host().bytes());
    // A mask of nothing would divide by zero in many models.
    if input.shape.len() == 2 && input.shape[1] == -1 && input.text_source() == TextSource::AttentionMask {
        match input.dtype {
            TensorType::Int32 => data.typed_data_mut::<i32>().fill(1),
            _ => data.typed_data_mut::<i64>().fill(1),
        }
    }
    InputTensor {
        dtype: input.dtype,
        shape,
        layout: Layout::RowMajor,
        data,
    }
}
