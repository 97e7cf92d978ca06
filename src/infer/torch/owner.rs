//! One thread that owns the device: batches come to it in turn, and it starts one after the other without waiting for results.
//!
//! Threads that prepare batches would otherwise share the device, each with the activations of a batch of its own on it. They copy their batch
//! into memory that the device reads by itself, hand that over, and wait for their results; meanwhile the owner has the device at work on
//! the next batch.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use arrow::array::ArrayRef;
use tch::{Device as TorchDevice, TchError, Tensor};

use super::results::Failure;
use super::{TorchModel, torch_device};
use crate::batch::InputTensor;
use crate::infer::device::Device;
use crate::infer::{Doing, Model, ModelError, Watch};

/// Batches that lie ready for the device beside the one that it is at work on.
const READY: usize = 1;

/// A model that one thread runs for all others.
pub struct Owner {
    model: Arc<TorchModel>,
    watch: Arc<Watch>,
    batches: SyncSender<Batch>,
}

/// A batch on its way to the device.
struct Batch {
    inputs: Vec<Tensor>,
    doing: Doing,
    results: SyncSender<Started>,
}

/// Results that the device may still be computing; or the panic that came of it.
type Started = Result<Result<Vec<Tensor>, Failure>, Box<dyn Any + Send>>;

impl Owner {
    /// Starts the thread. It ends when the model is dropped. The time in which a batch waits for its turn is not watched.
    pub fn start(model: TorchModel, watch: Arc<Watch>) -> std::io::Result<Self> {
        let model = Arc::new(model);
        let (batches, coming) = sync_channel(READY);
        let (owned, watching) = (Arc::clone(&model), Arc::clone(&watch));
        thread::Builder::new()
            .name("device".to_owned())
            .spawn(move || work(&owned, &watching, &coming))?;
        Ok(Self { model, watch, batches })
    }

    /// Copies of a batch's tensors, which outlive it: where there is a device, in memory that it reads while the processor does other things.
    fn copies(&self, inputs: &[InputTensor]) -> Result<Vec<Tensor>, TchError> {
        let tensors = self.model.tensors(inputs)?.into_iter();
        let copied = tensors.map(|tensor| match self.model.device {
            Device::Cpu => tensor.f_to_device_(TorchDevice::Cpu, tensor.f_kind()?, false, true),
            Device::Cuda(_) => tensor.f_pin_memory(torch_device(self.model.device)),
        });
        copied.collect()
    }

    fn gone(&self) -> ModelError {
        ModelError::Device {
            device: self.model.device.to_string(),
            reason: "the thread that owns it has ended".to_owned(),
        }
    }
}

impl Model for Owner {
    fn forward(&self, inputs: &[InputTensor]) -> Result<Vec<ArrayRef>, ModelError> {
        let failed = |failure| self.model.error(failure, inputs);
        let copies = self.copies(inputs).map_err(Failure::Torch).map_err(failed)?;
        let (results, answer) = sync_channel(1);
        let doing = Doing::scoring(inputs);
        let batch = Batch {
            inputs: copies,
            doing,
            results,
        };
        self.batches.send(batch).map_err(|_| self.gone())?;
        let started = answer.recv().map_err(|_| self.gone())?;
        // A panic there is a panic here.
        let found = started.unwrap_or_else(|panic| resume_unwind(panic));
        let _pass = self.watch.begin(doing);
        found.and_then(|found| self.model.arrays(&found)).map_err(failed)
    }

    fn deviation(&self) -> Option<f64> {
        self.model.deviation()
    }
}

/// Starts one batch after the other, until nobody can hand over any more.
fn work(model: &TorchModel, watch: &Watch, coming: &Receiver<Batch>) {
    for Batch { inputs, doing, results } in coming {
        let pass = watch.begin(doing);
        let started = catch_unwind(AssertUnwindSafe(|| model.score(&inputs)));
        drop(pass);
        // Whoever handed it over may have panicked meanwhile.
        let _ = results.send(started);
    }
}
