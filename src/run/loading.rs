//! A model that is made ready on a thread of its own, beside whatever is to be done before rows are scored.

use std::sync::Arc;
use std::thread::JoinHandle;

use tracing::{debug, warn};

use super::ready::device;
use super::{RunError, Surroundings, beside};
use crate::error::Error;
use crate::infer::device::Device;
use crate::infer::{self, Doing, Model, Owner, Packed, TorchModel, Watch, Watched};
use crate::registry::ModelArtifact;
use crate::settings::Precision;

/// A model that is being made ready. Where nobody waits for it, its thread is left behind.
pub(super) struct Loading {
    device: Device,
    watch: Arc<Watch>,
    thread: JoinHandle<Result<Tried, Error>>,
}

struct Tried {
    model: TorchModel,
    packed: Packed,
    /// Outputs that are not finite for rows of zeros.
    nonfinite: Vec<String>,
}

impl Loading {
    /// Begins to load the model onto the device that the settings ask for, and to try it on two rows.
    pub(super) fn begin(artifact: &ModelArtifact, around: &Surroundings<'_>) -> Result<Self, Error> {
        Self::begin_on(device(around.settings)?, artifact, around)
    }

    fn begin_on(device: Device, artifact: &ModelArtifact, around: &Surroundings<'_>) -> Result<Self, Error> {
        let settings = &around.settings;
        let intra_op = settings.threads.intra_op.max(1);
        infer::set_intra_op_threads(intra_op);
        let watch = Arc::new(Watch::new(settings.infer.batch_timeout, Arc::clone(&around.clock)));
        let file = artifact.place.join("model.pt").location().to_string();
        let precision = settings.infer.precision;
        let flags = around.machine.cpu().flags;
        infer::precision::admit(precision, device, &flags, settings.infer.force_precision)?;
        let freezing = settings.infer.freeze && precision == Precision::Float32;
        let (bytes, contract, watching) = (artifact.model.clone(), artifact.contract.clone(), Arc::clone(&watch));
        let thread = beside(move || -> Result<_, Error> {
            infer::set_intra_op_threads(intra_op);
            let loading = watching.begin(Doing::Loading);
            let mut model = TorchModel::load(&bytes, &file, &contract, device)?;
            drop(loading);
            let _trying = watching.begin(Doing::Trying);
            let nonfinite = infer::probe(&mut model, &file, &contract)?;
            infer::reduce(&mut model, &bytes, precision, &file, &contract)?;
            let mut packed = Packed::default();
            if freezing {
                match infer::freeze_model(&mut model, &contract) {
                    Ok(done) => {
                        debug!(layers = done.layers, "runs a frozen copy of the model");
                        packed = done;
                    }
                    Err(reason) => debug!(reason, "runs the model as it is"),
                }
            }
            Ok(Tried {
                model,
                packed,
                nonfinite,
            })
        })?;
        Ok(Self { device, watch, thread })
    }

    /// Where the model will run.
    pub(super) fn device(&self) -> Device {
        self.device
    }

    /// The model, once it is ready.
    pub(super) fn wait(self, around: &Surroundings<'_>) -> Result<Loaded, Error> {
        let Self { device, watch, thread } = self;
        let Tried {
            model,
            packed,
            nonfinite,
        } = around.attend_to(&watch, thread)??;
        for output in nonfinite {
            warn!(
                output,
                "the model gives NaN or infinity for rows of zeros; rows with such results are bad rows, NONFINITE_OUTPUT"
            );
        }
        let watching = Arc::clone(&watch);
        let model: Box<dyn Model> = match device {
            Device::Cpu => Box::new(Watched::new(Box::new(model), watching)),
            Device::Cuda(_) => Box::new(Owner::start(model, watching).map_err(|source| RunError::Thread { source })?),
        };
        Ok(Loaded { model, packed, watch })
    }
}

/// A model that has been tried.
pub struct Loaded {
    /// It.
    pub model: Box<dyn Model>,
    /// What was done for speed.
    pub packed: Packed,
    /// Who watches its passes.
    pub watch: Arc<Watch>,
}

/// Loads the model onto the device and tries it on two rows.
pub fn load(artifact: &ModelArtifact, device: Device, around: &Surroundings<'_>) -> Result<Loaded, Error> {
    Loading::begin_on(device, artifact, around)?.wait(around)
}
