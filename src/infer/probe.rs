//! Tries the model on two made-up rows before any work, so that a wrong contract costs a second and not an hour.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::MutableBuffer;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use bytes::Bytes;

use super::{Model, ModelError, Packed, TorchModel, check};
use crate::batch::{InputTensor, Layout};
use crate::contract::{Contract, Input, TensorType, TextSource};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::settings::Precision;

/// Rows of the probe: two, since one row hides a batch dimension that is not there.
const ROWS: usize = 2;

/// Rows by which a frozen copy is compared with its model.
const COMPARED_ROWS: usize = 64;

/// The same of documents: they cost more, and all of them are alike.
const COMPARED_DOCUMENTS: usize = 8;

/// Tokens of the probe's documents.
const TOKENS: i64 = 4;

/// Runs the model on rows of zeros and compares the results with the contract. A model that does not take tensors as the line lays them
/// out gets copies.
///
/// Gives the outputs that are not finite for such rows. That is no fault: zeros may be rows that never occur.
pub fn probe(model: &mut TorchModel, file: &str, contract: &Contract) -> Result<Vec<String>, ProbeError> {
    let tried = attempt(model, contract);
    let tried = match tried {
        Err(ModelError::Forward { .. }) if contract.inputs.iter().any(|input| contract.is_transposed(input)) => {
            model.copy_row_major();
            // When that does not help either, the first failure is the one that says why.
            attempt(model, contract).or(tried)
        }
        tried => tried,
    };
    let failed = |source| ProbeError {
        file: file.to_owned(),
        given: given(contract),
        source,
    };
    let outputs = tried.map_err(failed)?;
    let outputs = contract.outputs.iter().zip(&outputs);
    let unfit = outputs.filter(|(_, values)| !is_finite(values));
    Ok(unfit.map(|(output, _)| output.column.clone()).collect())
}

/// Lets the model compute with fewer digits, and tries it so; the first batch will be compared with float32.
pub fn reduce(
    model: &mut TorchModel,
    bytes: &Bytes,
    precision: Precision,
    file: &str,
    contract: &Contract,
) -> Result<(), ProbeError> {
    let failed = |source| ProbeError {
        file: file.to_owned(),
        given: format!("{}, in {}", given(contract), precision.name()),
        source,
    };
    if let Some(unrounded) = model.reduce(bytes, precision).map_err(failed)? {
        attempt(model, contract).map_err(failed)?;
        model.compare_with(unrounded);
    }
    Ok(())
}

/// Freezes the model, if what comes of it agrees with the model on made-up rows. Says which layers run faster, or why it stays as it is.
pub fn freeze(model: &mut TorchModel, contract: &Contract) -> Result<Packed, String> {
    let rows = if contract.has_text() {
        COMPARED_DOCUMENTS
    } else {
        COMPARED_ROWS
    };
    let inputs = contract.inputs.iter();
    let inputs: Vec<_> = inputs.map(|input| filled(zeros(contract, input, rows))).collect();
    model.freeze(&inputs)
}

/// The tensor with numbers between -2 and 2 in the place of zeros, where it is of floats: positions in vocabularies stay what they are.
fn filled(mut tensor: InputTensor) -> InputTensor {
    // The low bits of multiples of a large odd number look like chance, and are the same each time.
    let made_up = |position: usize| {
        let number = u16::try_from(position.wrapping_mul(2_654_435_761) % 4_001).unwrap_or(0);
        f32::from(number) / 1_000.0 - 2.0
    };
    match tensor.dtype {
        TensorType::Float32 => {
            let values = tensor.data.typed_data_mut::<f32>().iter_mut();
            values
                .enumerate()
                .for_each(|(position, value)| *value = made_up(position));
        }
        TensorType::Float64 => {
            let values = tensor.data.typed_data_mut::<f64>().iter_mut();
            values
                .enumerate()
                .for_each(|(position, value)| *value = f64::from(made_up(position)));
        }
        _ => {}
    }
    tensor
}

fn attempt(model: &TorchModel, contract: &Contract) -> Result<Vec<ArrayRef>, ModelError> {
    let inputs: Vec<_> = contract
        .inputs
        .iter()
        .map(|input| zeros(contract, input, ROWS))
        .collect();
    let outputs = model.forward(&inputs)?;
    check(contract, &outputs, ROWS)?;
    Ok(outputs)
}

fn shape(input: &Input, rows: usize) -> Vec<i64> {
    let extents = input.shape.iter();
    let mut shape: Vec<i64> = extents
        .map(|&extent| if extent < 0 { TOKENS } else { extent })
        .collect();
    shape[0] = i64::try_from(rows).unwrap_or(1);
    shape
}

fn zeros(contract: &Contract, input: &Input, rows: usize) -> InputTensor {
    let shape = shape(input, rows);
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

/// The tensors in words.
fn given(contract: &Contract) -> String {
    let inputs = contract.inputs.iter();
    let inputs = inputs.map(|input| format!("{} {} {:?}", input.name, input.dtype, shape(input, ROWS)));
    inputs.collect::<Vec<_>>().join(", ")
}

fn is_finite(values: &ArrayRef) -> bool {
    match values.data_type() {
        DataType::Float16 => values
            .as_primitive::<Float16Type>()
            .values()
            .iter()
            .all(|value| value.is_finite()),
        DataType::Float32 => values
            .as_primitive::<Float32Type>()
            .values()
            .iter()
            .all(|value| value.is_finite()),
        DataType::Float64 => values
            .as_primitive::<Float64Type>()
            .values()
            .iter()
            .all(|value| value.is_finite()),
        _ => true,
    }
}

/// Why the model does not do what its contract says.
#[derive(Debug, thiserror::Error)]
#[error("try `{file}` on 2 rows of zeros, given {given}")]
pub struct ProbeError {
    /// The model file.
    file: String,
    /// The tensors by the contract.
    given: String,
    /// What came of it.
    source: ModelError,
}

impl Seam for ProbeError {
    fn exit(&self) -> ExitCode {
        self.source.exit()
    }

    fn hint(&self) -> Option<String> {
        self.source.hint()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::infer::device::Device;

    fn sample(model: &str, version: &str) -> (TorchModel, Contract) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("sample_data/models/{model}/{version}"));
        let metadata = std::fs::read(folder.join("metadata.json")).unwrap();
        let contract = Contract::from_json(&metadata, "metadata.json").unwrap_or_else(|error| panic!("{error}"));
        let bytes = std::fs::read(folder.join("model.pt")).unwrap().into();
        let model = TorchModel::load(&bytes, "model.pt", &contract, Device::Cpu).unwrap();
        (model, contract)
    }

    #[test]
    fn a_frozen_copy_gives_what_the_model_gives() {
        for (name, version) in [("fraud-detector", "2"), ("churn", "1"), ("ticket-embedding", "1")] {
            let (plain, contract) = sample(name, version);
            let (mut frozen, _) = sample(name, version);
            // `freeze` compares as well; here it is done once more, on other numbers of rows.
            freeze(&mut frozen, &contract).unwrap_or_else(|reason| panic!("{name}: {reason}"));
            for rows in [1, 7, 1_000] {
                let inputs: Vec<_> = contract
                    .inputs
                    .iter()
                    .map(|input| filled(zeros(&contract, input, rows)))
                    .collect();
                let (one, other) = (plain.forward(&inputs).unwrap(), frozen.forward(&inputs).unwrap());
                for (one, other) in one.iter().zip(&other) {
                    let values = |array: &ArrayRef| array.as_primitive::<Float32Type>().values().to_vec();
                    let pairs = values(one).into_iter().zip(values(other));
                    let furthest = pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
                    assert!(furthest < 1e-5, "{name}, {rows} rows: {furthest}");
                }
            }
        }
    }

    #[test]
    fn layers_of_the_sample_model_are_packed() {
        let (mut model, contract) = sample("fraud-detector", "2");
        let packed = freeze(&mut model, &contract).unwrap_or_else(|reason| panic!("{reason}"));
        assert!(packed.layers > 0 && packed.widest >= 16, "{packed:?}");
    }
}
