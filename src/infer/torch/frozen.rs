//! The frozen copy of a model, and whether it does what the model does.

use std::ffi::c_void;
use std::ptr::NonNull;

use arrow::array::ArrayRef;
use tch::CModule;

use super::TorchModel;
use super::distance::{furthest, magnitude};
use crate::batch::InputTensor;
use crate::infer::device::Device;
use crate::infer::module::{Frozen, Packed, freeze};

impl TorchModel {
    /// Runs a frozen copy from now on, if there can be one and it agrees with the module on the inputs given. Says which layers it runs
    /// faster, or why there is none. On the CPU alone.
    pub(in crate::infer) fn freeze(&mut self, inputs: &[InputTensor]) -> Result<Packed, String> {
        if self.device != Device::Cpu {
            return Err("the device is not the CPU".to_owned());
        }
        let expected = self.on_batch(&self.module, inputs);
        let Ok(expected) = expected else {
            return Err("the module throws on the rows that it is tried on".to_owned());
        };
        let Frozen { module, packed } = freeze(pointer(&self.module))?;
        let frozen = adopt(module);
        match self.on_batch(&frozen, inputs) {
            Ok(found) if agree(&expected, &found) => {
                self.frozen = Some(frozen);
                Ok(packed)
            }
            Ok(_) => Err("its results differ from those of the module by more than rounding".to_owned()),
            Err(_) => Err("it throws where the module does not".to_owned()),
        }
    }
}

/// The module as libtorch holds it, alive as long as `module` is.
#[expect(unsafe_code, reason = "the bindings keep the pointer to themselves")]
pub(super) fn pointer(module: &CModule) -> NonNull<c_void> {
    const { assert!(size_of::<CModule>() == size_of::<NonNull<c_void>>()) };
    // SAFETY: a `CModule` is one pointer and nothing else, which was asserted; it is never null, since loading fails instead.
    unsafe { std::mem::transmute_copy(module) }
}

/// Takes over a module of libtorch.
#[expect(unsafe_code, reason = "the bindings make modules in ways of their own alone")]
pub(super) fn adopt(module: NonNull<c_void>) -> CModule {
    const { assert!(size_of::<CModule>() == size_of::<NonNull<c_void>>()) };
    // SAFETY: as above; the module was made by `new`, as the bindings make theirs, and nobody else deletes it.
    unsafe { std::mem::transmute(module) }
}

/// Greatest difference that other orders of the same sums can make, as a share of the greatest value, or of 1.
const ROUNDING: f64 = 1e-4;

/// Whether two runs gave the same, rounding apart.
fn agree(expected: &[ArrayRef], found: &[ArrayRef]) -> bool {
    let mut pairs = expected.iter().zip(found);
    pairs.all(|(expected, found)| furthest(expected, found) <= ROUNDING * magnitude(expected))
}
