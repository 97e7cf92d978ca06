//! Tries the model on two made-up rows before any work, so that a wrong contract costs a second and not an hour.

use arrow::buffer::MutableBuffer;

use super::{Model, ModelError, TorchModel, check};
use crate::batch::{InputTensor, Layout};
use crate::contract::{Contract, Input, TensorType, TextSource};

/// Rows of the probe: two, since one row hides a batch dimension that is not there.
const ROWS: usize = 2;

/// Tokens of the probe's documents.
const TOKENS: i64 = 4;

/// Runs the model on rows of zeros and compares the results with the contract. A model that does not take tensors as the line lays them
/// out gets copies.
pub fn probe(model: &mut TorchModel, contract: &Contract) -> Result<(), ModelError> {
    let tried = attempt(model, contract);
    if tried.is_ok() || !contract.inputs.iter().any(|input| contract.is_transposed(input)) {
        return tried;
    }
    model.copy_row_major();
    // When that does not help either, the first failure is the one that says why.
    attempt(model, contract).or(tried)
}

fn attempt(model: &TorchModel, contract: &Contract) -> Result<(), ModelError> {
    let inputs: Vec<_> = contract.inputs.iter().map(|input| zeros(contract, input)).collect();
    let outputs = model.forward(&inputs)?;
    check(contract, &outputs, ROWS)
}

fn zeros(contract: &Contract, input: &Input) -> InputTensor {
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
        layout: if contract.is_transposed(input) {
            Layout::ColumnMajor
        } else {
            Layout::RowMajor
        },
        data,
    }
}
