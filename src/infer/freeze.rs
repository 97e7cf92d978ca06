//! Asks libtorch for a frozen copy of a module, by the few lines of C++ in `freeze.cpp` that the bindings lack.
//!
//! Freezing makes constants of parameters. Then the weights of linear layers can be put, once, into the order in which oneDNN multiplies by
//! them, and the activation after a layer is computed with it. Results differ from those of the module itself by rounding alone.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;

/// Bytes of the reason why a module cannot be frozen.
const MESSAGE_BYTES: usize = 512;

/// A frozen copy of a module.
pub(super) struct Frozen {
    /// It, as libtorch holds it; whoever takes it deletes it.
    pub(super) module: NonNull<c_void>,
    /// Linear layers whose weights were put in order.
    pub(super) layers: i64,
}

#[expect(unsafe_code, reason = "declares the function of freeze.cpp")]
unsafe extern "C" {
    fn batch_infer_freeze(
        module: *const c_void,
        layers: *mut i64,
        message: *mut c_char,
        capacity: usize,
    ) -> *mut c_void;
}

/// Freezes a `torch::jit::Module` on the CPU, which stays as it is. The error is what libtorch says.
#[expect(unsafe_code, reason = "calls the function of freeze.cpp")]
pub(super) fn freeze(module: NonNull<c_void>) -> Result<Frozen, String> {
    let mut layers = 0;
    let mut message = [0; MESSAGE_BYTES];
    // SAFETY: `module` is alive and not run meanwhile, since its owner is borrowed by the caller; the function writes one number and at most
    // so many bytes of text with a zero at their end, keeps no pointer and throws nothing.
    let frozen = unsafe { batch_infer_freeze(module.as_ptr(), &raw mut layers, message.as_mut_ptr(), message.len()) };
    if let Some(module) = NonNull::new(frozen) {
        return Ok(Frozen { module, layers });
    }
    // SAFETY: the array was zero before the function wrote into it, and it never writes into the last byte but a zero.
    let said = unsafe { CStr::from_ptr(message.as_ptr()) };
    Err(said.to_string_lossy().into_owned())
}
