//! TorchScript on CPU or CUDA. Only this file and those below it name `tch`.
//!
//! Only the fallible twins of tensor methods are used (`f_…`): the others panic.

mod distance;
mod fitted;
mod frozen;
mod owner;
mod reduced;
mod results;

use arrow::array::{ArrayData, ArrayRef, make_array, new_empty_array};
use arrow::buffer::MutableBuffer;
use arrow::datatypes::DataType;
use bytes::Bytes;
use tch::{CModule, Device as TorchDevice, IValue, Kind, TchError, Tensor};

pub use self::owner::Owner;

use self::fitted::fitted;
use self::frozen::adopt;
use self::reduced::Reduced;
use self::results::{Failure, results};
use super::device::Device;
use super::{Model, ModelError, module, words};
use crate::batch::{InputTensor, Layout};
use crate::contract::{Contract, Output, TensorType};

/// A TorchScript module on a device.
#[derive(Debug)]
pub struct TorchModel {
    module: CModule,
    /// A copy that does the same faster. What it throws on is given to the module itself, whose messages name what its author knows.
    frozen: Option<CModule>,
    /// How the module was rounded, where it was.
    reduced: Option<Reduced>,
    device: Device,
    outputs: Vec<Output>,
    row_major: bool,
}

impl TorchModel {
    /// Loads the archive from the bytes whose digest was checked.
    pub fn load(bytes: &Bytes, file: &str, contract: &Contract, device: Device) -> Result<Self, ModelError> {
        let failed = |error: TchError| {
            hardware(&error, device).unwrap_or_else(|| ModelError::Load {
                file: file.to_owned(),
                reason: short(&error),
            })
        };
        // Shapes differ from batch to batch: the profiling executor would compile anew in the middle of a run.
        tch::jit::f_set_profiling_mode(false).map_err(failed)?;
        Ok(Self {
            module: loaded(bytes, device).map_err(failed)?,
            frozen: None,
            reduced: None,
            device,
            outputs: contract.outputs.clone(),
            row_major: false,
        })
    }

    /// Hands over row-major copies from now on, for a model that looks at memory as it lies, as `view` does.
    pub(super) fn copy_row_major(&mut self) {
        self.row_major = true;
    }

    /// The tensors of a batch, in the batch's own memory and no longer good than that.
    fn tensors(&self, inputs: &[InputTensor]) -> Result<Vec<Tensor>, TchError> {
        inputs.iter().map(|input| self.tensor(input)).collect()
    }

    fn tensor(&self, input: &InputTensor) -> Result<Tensor, TchError> {
        let host = input.dtype.host();
        let strides = strides(&input.shape, input.layout);
        // SAFETY: `data` holds at least as many elements as `shape` states: both were made together in `preprocess`. The tensor does not
        // outlive the batch: `forward` and `on_batch` drop it before they return, `Owner` makes a copy of it, and results are copied.
        #[expect(unsafe_code, reason = "the batch is handed over without a copy")]
        let view = unsafe {
            Tensor::f_from_blob(
                input.data.as_ptr(),
                &input.shape,
                &strides,
                kind(host),
                TorchDevice::Cpu,
            )
        }?;
        let view = if host == input.dtype {
            view
        } else {
            view.f_to_kind(kind(input.dtype))?
        };
        if self.row_major { view.f_contiguous() } else { Ok(view) }
    }

    /// Runs a module on tensors, whose floating-point numbers are rounded to a kind first where one is given. Gives the tensor of each output,
    /// on the device, which may still be at work on it.
    fn run(&self, module: &CModule, tensors: &[Tensor], rounded: Option<Kind>) -> Result<Vec<Tensor>, Failure> {
        let _no_grad = tch::no_grad_guard();
        let inputs = tensors.iter().map(|tensor| {
            let tensor = match self.device {
                Device::Cpu => tensor.shallow_clone(),
                Device::Cuda(_) => tensor.f_to_device_(torch_device(self.device), tensor.f_kind()?, true, false)?,
            };
            Ok::<_, TchError>(IValue::Tensor(match rounded {
                Some(kind) if matches!(tensor.f_kind()?, Kind::Float | Kind::Double) => tensor.f_to_kind(kind)?,
                _ => tensor,
            }))
        });
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let mut results = results(module.forward_is(&inputs)?)?;
        let rows = rows(tensors);
        let outputs = self.outputs.iter().enumerate();
        outputs
            .map(|(position, output)| fitted(&results.take(position, output)?, output, rows))
            .collect()
    }

    /// Runs the model on tensors: the copy that is faster, or the module itself.
    fn score(&self, tensors: &[Tensor]) -> Result<Vec<Tensor>, Failure> {
        if let Some(frozen) = &self.frozen
            && let Ok(found) = self.run(frozen, tensors, None)
        {
            return Ok(found);
        }
        let rounded = self.reduced.as_ref().map(Reduced::kind);
        let found = self.run(&self.module, tensors, rounded)?;
        if let Some(reduced) = &self.reduced {
            reduced.compare_once(|reference| {
                let expected = self.run(reference, tensors, None).ok()?;
                Some((self.arrays(&expected).ok()?, self.arrays(&found).ok()?))
            });
        }
        Ok(found)
    }

    /// The values of each output, once the device has them.
    fn arrays(&self, found: &[Tensor]) -> Result<Vec<ArrayRef>, Failure> {
        let outputs = self.outputs.iter().zip(found);
        outputs.map(|(output, found)| array(found, output)).collect()
    }

    /// What a module makes of a batch.
    fn on_batch(&self, module: &CModule, inputs: &[InputTensor]) -> Result<Vec<ArrayRef>, Failure> {
        self.arrays(&self.run(module, &self.tensors(inputs)?, None)?)
    }

    /// What is told of a batch that gave nothing.
    fn error(&self, failure: Failure, inputs: &[InputTensor]) -> ModelError {
        let rows = inputs.first().and_then(|input| input.shape.first());
        match failure {
            Failure::Torch(error) => thrown(&error, self.device, rows.copied().unwrap_or(0)),
            Failure::Output {
                output,
                expected,
                found,
            } => ModelError::Output {
                output,
                expected,
                found,
            },
        }
    }
}

impl Model for TorchModel {
    fn forward(&self, inputs: &[InputTensor]) -> Result<Vec<ArrayRef>, ModelError> {
        let tensors = self.tensors(inputs).map_err(Failure::Torch);
        let found = tensors.and_then(|tensors| self.arrays(&self.score(&tensors)?));
        found.map_err(|failure| self.error(failure, inputs))
    }

    fn deviation(&self) -> Option<f64> {
        self.reduced.as_ref().and_then(Reduced::deviation)
    }
}

/// The module of an archive.
fn loaded(bytes: &Bytes, device: Device) -> Result<CModule, TchError> {
    let cuda = match device {
        Device::Cpu => None,
        Device::Cuda(number) => Some(number),
    };
    let mut module = adopt(module::load(bytes, cuda).map_err(TchError::Torch)?);
    module.f_set_eval()?;
    Ok(module)
}

/// Rows of a batch.
fn rows(tensors: &[Tensor]) -> i64 {
    let extents = tensors.first().map(Tensor::size);
    extents.and_then(|extents| extents.first().copied()).unwrap_or(0)
}

fn thrown(error: &TchError, device: Device, rows: i64) -> ModelError {
    let rows = usize::try_from(rows).unwrap_or(0);
    match hardware(error, device) {
        Some(ModelError::Device { device, reason }) if words::is_device_memory(&reason) => {
            ModelError::DeviceMemory { device, rows, reason }
        }
        Some(error) => error,
        None => ModelError::Forward {
            rows,
            reason: short(error),
        },
    }
}

/// The failure of a device, or of a machine with too little memory: neither the model's fault nor a row's.
fn hardware(error: &TchError, device: Device) -> Option<ModelError> {
    let text = error.to_string();
    let reason = short(error);
    if words::is_host_memory(&reason) {
        return Some(ModelError::HostMemory { reason });
    }
    let is_cuda = text.contains("CUDA") || text.contains("cuDNN");
    (is_cuda && matches!(device, Device::Cuda(_))).then(|| ModelError::Device {
        device: device.to_string(),
        reason,
    })
}

/// The line of a C++ stack trace that says what is wrong.
fn short(error: &TchError) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("Internal torch error:").unwrap_or(&text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.clone().next().unwrap_or("no message");
    // What an operator says stands before the trace, what the model itself raises behind it.
    let said = lines.find_map(|line| {
        let (kind, said) = line.split_once(": ")?;
        let kind = kind.rsplit('.').next()?;
        let is_word = kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_kind = is_word && (kind.ends_with("Error") || kind.ends_with("Exception"));
        is_kind.then_some(if kind == "RuntimeError" { said } else { line })
    });
    let said = said.unwrap_or(first);
    // The place in libtorch's own source says nothing to anybody here.
    let place = said
        .strip_prefix("[enforce fail at ")
        .and_then(|rest| rest.split_once("] "));
    let said = place.map_or(said, |(_, rest)| rest.trim_start_matches(". "));
    said.trim_start_matches("err == 0. ").to_owned()
}

/// The tensor's values. Waits for the device that computes them.
fn array(tensor: &Tensor, output: &Output) -> Result<ArrayRef, Failure> {
    let host = output.dtype.host();
    let tensor = tensor.f_to_device(TorchDevice::Cpu)?.f_contiguous()?;
    let count = tensor.numel();
    let mut values = MutableBuffer::from_len_zeroed(count * host.bytes());
    tensor.f_copy_data_u8(values.as_slice_mut(), count)?;
    let data = ArrayData::builder(host.arrow().unwrap_or(DataType::Float32))
        .len(count)
        .add_buffer(values.into());
    let data = data.build().map_err(|error| Failure::Output {
        output: output.column.clone(),
        expected: host.to_string(),
        found: error.to_string(),
    })?;
    Ok(make_array(data))
}

/// No values of an output's type.
pub fn empty(dtype: TensorType) -> ArrayRef {
    new_empty_array(&dtype.host().arrow().unwrap_or(DataType::Float32))
}

/// Elements to skip from one index to the next, for each extent.
fn strides(shape: &[i64], layout: Layout) -> Vec<i64> {
    if layout == Layout::ColumnMajor {
        return vec![1, shape[0]];
    }
    let mut strides = vec![1; shape.len()];
    for extent in (1..shape.len()).rev() {
        strides[extent - 1] = strides[extent] * shape[extent];
    }
    strides
}

fn kind(dtype: TensorType) -> Kind {
    match dtype {
        TensorType::Float16 => Kind::Half,
        TensorType::Bfloat16 => Kind::BFloat16,
        TensorType::Float32 => Kind::Float,
        TensorType::Float64 => Kind::Double,
        TensorType::Int8 => Kind::Int8,
        TensorType::Int16 => Kind::Int16,
        TensorType::Int32 => Kind::Int,
        TensorType::Int64 => Kind::Int64,
        TensorType::Uint8 => Kind::Uint8,
        TensorType::Bool => Kind::Bool,
    }
}

fn torch_device(device: Device) -> TorchDevice {
    match device {
        Device::Cpu => TorchDevice::Cpu,
        Device::Cuda(index) => TorchDevice::Cuda(index),
    }
}

/// CUDA devices that libtorch sees. Ask only after `libtorch_cuda.so` has been loaded: libtorch remembers its first answer.
pub(super) fn cuda_devices() -> usize {
    usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

/// Sets the threads of one operator, for the thread that calls this and for those that have not run one yet.
pub fn set_intra_op_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
}

/// What libtorch was built with, for `doctor`.
pub fn runtime_versions() -> Vec<(&'static str, String)> {
    vec![
        ("libtorch", TORCH_VERSION.to_owned()),
        ("oneDNN", tch::utils::has_mkldnn().to_string()),
        ("OpenMP", tch::utils::has_openmp().to_string()),
        ("MKL", tch::utils::has_mkl().to_string()),
    ]
}

/// The PyTorch version that this binary is built against, the only one it runs with.
pub const TORCH_VERSION: &str = "2.11.0";
