//! Runs the model on one batch of rows.
//!
//! Plain memory goes in, plain arrays come out: whoever uses a [`Model`] knows nothing of PyTorch, and only `infer/torch.rs` does. Which
//! rows make a batch, and on which thread it runs, is decided in `score`.

pub mod device;
mod module;
pub mod precision;
mod probe;
mod torch;
mod watch;
mod words;

use arrow::array::{Array, ArrayData, ArrayRef, make_array, new_empty_array};
use arrow::buffer::MutableBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

pub use module::Packed;
pub use probe::{ProbeError, freeze as freeze_model, probe, reduce};
pub use torch::{Owner, TORCH_VERSION, TorchModel, empty, runtime_versions, set_intra_op_threads};
pub use watch::{Doing, Overdue, Pass, Watch, Watched};

use crate::batch::{BatchSize, InputTensor};
use crate::contract::{Contract, TensorType};
use crate::error::Seam;
use crate::exit::ExitCode;

/// A batch on CPU where nothing was measured: small enough that activations stay in a core's cache.
pub const USUAL_BATCH: BatchSize = BatchSize {
    rows: 1_024,
    tokens: Some(512),
};

/// A batch on CUDA where nothing was measured: a small one leaves the device idle.
pub const USUAL_CUDA_BATCH: BatchSize = BatchSize {
    rows: 16_384,
    tokens: Some(32_768),
};

/// Computes results from tensors.
pub trait Model: Send + Sync {
    /// Runs the model on one batch. Gives one flat array for each output of the contract, rows times width values of its dtype; a `bool`
    /// output comes as 0 and 1 in `uint8`.
    fn forward(&self, inputs: &[InputTensor]) -> Result<Vec<ArrayRef>, ModelError>;

    /// Greatest difference to float32 on the first batch, where the model computes with fewer digits and that is known.
    fn deviation(&self) -> Option<f64> {
        None
    }
}

/// Zeros of an output's type, in the place of results that are not there.
pub fn zeros(dtype: TensorType, values: usize) -> ArrayRef {
    let host = dtype.host();
    let zeros = MutableBuffer::from_len_zeroed(values * host.bytes());
    let data = ArrayData::builder(host.arrow().unwrap_or(DataType::Float32))
        .len(values)
        .add_buffer(zeros.into());
    // A buffer of that length is what the type asks for.
    data.build()
        .map_or_else(|_| new_empty_array(&DataType::Null), make_array)
}

/// A model that lies about its rows would shift every prediction after them.
pub fn check(contract: &Contract, outputs: &[ArrayRef], rows: usize) -> Result<(), ModelError> {
    for (output, values) in contract.outputs.iter().zip(outputs) {
        let expected = rows * output.width();
        if values.len() != expected {
            return Err(ModelError::Values {
                output: output.column.clone(),
                expected,
                found: values.len(),
                rows,
            });
        }
    }
    Ok(())
}

/// Why the model gives no predictions.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The bytes are not a TorchScript archive that this libtorch can load.
    #[error("load the TorchScript archive `{file}`: {reason}")]
    Load {
        /// The model file.
        file: String,
        /// What libtorch says.
        reason: String,
    },
    /// The model threw.
    #[error("run the model on {rows} rows: {reason}")]
    Forward {
        /// Rows of the batch.
        rows: usize,
        /// What libtorch says.
        reason: String,
    },
    /// The model threw on whatever it was given.
    #[error("the model throws on all rows that it was tried on, in {tries} passes: {reason}")]
    Always {
        /// Passes that failed.
        tries: usize,
        /// What libtorch says.
        reason: String,
    },
    /// The result is not what the contract says.
    #[error("output `{output}`: expected {expected}, the model returned {found}")]
    Output {
        /// The output's column.
        output: String,
        /// By the contract.
        expected: String,
        /// By the model.
        found: String,
    },
    /// The result has another number of values than the batch has rows for.
    #[error("output `{output}`: expected {expected} values for {rows} rows, the model returned {found}")]
    Values {
        /// The output's column.
        output: String,
        /// Rows times width.
        expected: usize,
        /// Values returned.
        found: usize,
        /// Rows of the batch.
        rows: usize,
    },
    /// The accelerator failed.
    #[error("use the device `{device}`: {reason}")]
    Device {
        /// The device.
        device: String,
        /// What libtorch says.
        reason: String,
    },
    /// The accelerator has too little memory for so many rows at a time.
    #[error("get memory for {rows} rows on the device `{device}`: {reason}")]
    DeviceMemory {
        /// The device.
        device: String,
        /// Rows of the batch.
        rows: usize,
        /// What libtorch says.
        reason: String,
    },
    /// The machine has too little memory, whatever the model and its rows are.
    #[error("get memory for the model on this machine: {reason}")]
    HostMemory {
        /// What libtorch says.
        reason: String,
    },
    /// Results of several batches do not join.
    #[error("join the results of a chunk's batches")]
    Join(#[source] ArrowError),
}

impl ModelError {
    /// Whether the model threw, so that the rows may be at fault: never a device, nor a result of the wrong form.
    pub fn is_thrown(&self) -> bool {
        matches!(self, Self::Forward { .. })
    }

    /// Whether fewer rows at a time may do.
    pub fn is_device_memory(&self) -> bool {
        matches!(self, Self::DeviceMemory { .. })
    }

    /// What libtorch says, without what was being done.
    pub fn reason(&self) -> String {
        match self {
            Self::Load { reason, .. }
            | Self::Forward { reason, .. }
            | Self::Always { reason, .. }
            | Self::Device { reason, .. }
            | Self::DeviceMemory { reason, .. }
            | Self::HostMemory { reason } => reason.clone(),
            Self::Output { .. } | Self::Values { .. } | Self::Join(_) => self.to_string(),
        }
    }
}

impl Seam for ModelError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Load { .. }
            | Self::Forward { .. }
            | Self::Always { .. }
            | Self::Output { .. }
            | Self::Values { .. } => ExitCode::Model,
            Self::Device { .. } | Self::DeviceMemory { .. } => ExitCode::Device,
            Self::HostMemory { .. } => ExitCode::HostMemory,
            Self::Join(_) => ExitCode::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Load { reason, .. } => Some(words::of_load(reason).to_owned()),
            Self::Forward { reason, .. } => Some(words::of_forward(reason)),
            Self::HostMemory { .. } => Some(
                "give the process more memory, or less to do at a time: [line] batch_rows, [threads] score, [line] memory; finished chunks are kept"
                    .to_owned(),
            ),
            Self::Always { .. } => Some(
                "the model takes rows of zeros and none of these: compare the features with those it was trained on, such as the sizes of vocabularies"
                    .to_owned(),
            ),
            Self::Output { .. } | Self::Values { .. } => {
                Some("compare the contract's `outputs` with what forward() returns".to_owned())
            }
            Self::DeviceMemory { .. } => Some(
                "a single row is more than the device has left: end what else runs there, or use a device with more memory".to_owned(),
            ),
            Self::Device { .. } | Self::Join(_) => None,
        }
    }
}
