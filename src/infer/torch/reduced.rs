//! A model that computes with fewer digits, and how far that takes its results from those of float32.

use std::sync::{Mutex, OnceLock, PoisonError};

use arrow::array::ArrayRef;
use bytes::Bytes;
use tch::{CModule, Kind};

use super::distance::furthest;
use super::frozen::pointer;
use super::{TorchModel, loaded, short};
use crate::infer::ModelError;
use crate::infer::module::round;
use crate::settings::Precision;

/// How a module was rounded.
#[derive(Debug)]
pub(super) struct Reduced {
    kind: Kind,
    /// The module in float32, until the first batch has been compared.
    reference: Mutex<Option<CModule>>,
    deviation: OnceLock<f64>,
}

impl Reduced {
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn deviation(&self) -> Option<f64> {
        self.deviation.get().copied()
    }

    /// Compares a batch with what the module gives in float32, for the first batch that comes by. `run` gives the outputs of that module, and
    /// those of the rounded one.
    pub(super) fn compare_once(&self, run: impl FnOnce(&CModule) -> Option<(Vec<ArrayRef>, Vec<ArrayRef>)>) {
        let reference = self.reference.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((expected, found)) = reference.and_then(|reference| run(&reference)) {
            let furthest = expected.iter().zip(&found).map(|(one, other)| furthest(one, other));
            // Only one thread ever had the reference.
            let _ = self.deviation.set(furthest.fold(0.0, f64::max));
        }
    }
}

impl TorchModel {
    /// Rounds the model. Gives the module in float32, with which it can be compared.
    pub(in crate::infer) fn reduce(
        &mut self,
        bytes: &Bytes,
        precision: Precision,
    ) -> Result<Option<Unrounded>, ModelError> {
        let kind = match precision {
            Precision::Float32 => return Ok(None),
            Precision::Bf16 => Kind::BFloat16,
            Precision::Fp16 => Kind::Half,
        };
        let failed = |reason| ModelError::Load {
            file: "model.pt".to_owned(),
            reason,
        };
        let rounded = loaded(bytes, self.device).map_err(|error| failed(short(&error)))?;
        round(pointer(&rounded), kind == Kind::BFloat16).map_err(failed)?;
        self.reduced = Some(Reduced {
            kind,
            reference: Mutex::new(None),
            deviation: OnceLock::new(),
        });
        Ok(Some(Unrounded(std::mem::replace(&mut self.module, rounded))))
    }

    /// Compares the next batch with float32.
    pub(in crate::infer) fn compare_with(&self, Unrounded(module): Unrounded) {
        if let Some(reduced) = &self.reduced {
            *reduced.reference.lock().unwrap_or_else(PoisonError::into_inner) = Some(module);
        }
    }
}

/// A module as it was before it was rounded.
pub(in crate::infer) struct Unrounded(CModule);
