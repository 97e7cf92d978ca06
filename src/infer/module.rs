//! Asks libtorch for what the bindings lack, by the few lines of C++ in `module.cpp`: a module from memory, a frozen copy of it, and one with
//! fewer digits.
//!
//! Freezing makes constants of parameters. Then the weights of linear layers can be put, once, into the order in which oneDNN multiplies by
//! them, and the activation after a layer is computed with it. Results differ from those of the module itself by rounding alone.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;

/// Bytes of what libtorch says; a trace through the model's code stands before what was wrong.
const MESSAGE_BYTES: usize = 16 << 10;

/// A frozen copy of a module.
pub(super) struct Frozen {
    /// It, as libtorch holds it; whoever takes it deletes it.
    pub(super) module: NonNull<c_void>,
    /// What was done for speed.
    pub(super) packed: Packed,
}

/// Linear layers whose weights were put in order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Packed {
    /// How many.
    pub layers: i64,
    /// The most numbers of a row that one of them takes or gives.
    pub widest: i64,
}

#[expect(unsafe_code, reason = "declares the functions of module.cpp")]
unsafe extern "C" {
    fn batch_infer_load(
        archive: *const c_void,
        size: usize,
        device: c_int,
        message: *mut c_char,
        capacity: usize,
    ) -> *mut c_void;

    fn batch_infer_freeze(
        module: *const c_void,
        layers: *mut i64,
        widest: *mut i64,
        message: *mut c_char,
        capacity: usize,
    ) -> *mut c_void;

    fn batch_infer_round(module: *mut c_void, bfloat16: bool, message: *mut c_char, capacity: usize) -> bool;
}

/// Loads the module of an archive: onto the CPU, or the CUDA device of a number. Whoever takes it deletes it. The error is what libtorch says.
#[expect(unsafe_code, reason = "calls a function of module.cpp")]
pub(super) fn load(archive: &[u8], cuda: Option<usize>) -> Result<NonNull<c_void>, String> {
    let device = cuda.map_or(-1, |number| c_int::try_from(number).unwrap_or(c_int::MAX));
    let mut message = [0; MESSAGE_BYTES];
    // SAFETY: the archive is borrowed until the function has returned, and a module holds copies of what it needs of it; of the message the same
    // holds as below.
    let module = unsafe {
        batch_infer_load(
            archive.as_ptr().cast(),
            archive.len(),
            device,
            message.as_mut_ptr(),
            message.len(),
        )
    };
    NonNull::new(module).ok_or_else(|| said(&message))
}

/// Freezes a `torch::jit::Module` on the CPU, which stays as it is. The error is what libtorch says.
#[expect(unsafe_code, reason = "calls a function of module.cpp")]
pub(super) fn freeze(module: NonNull<c_void>) -> Result<Frozen, String> {
    let mut packed = Packed::default();
    let mut message = [0; MESSAGE_BYTES];
    // SAFETY: `module` is alive and not run meanwhile, since its owner is borrowed by the caller; the function writes two numbers and at most
    // so many bytes of text with a zero at their end, keeps no pointer and throws nothing.
    let frozen = unsafe {
        batch_infer_freeze(
            module.as_ptr(),
            &raw mut packed.layers,
            &raw mut packed.widest,
            message.as_mut_ptr(),
            message.len(),
        )
    };
    if let Some(module) = NonNull::new(frozen) {
        return Ok(Frozen { module, packed });
    }
    Err(said(&message))
}

/// Rounds the floating-point numbers of a `torch::jit::Module` that nobody else holds. The error is what libtorch says.
#[expect(unsafe_code, reason = "calls a function of module.cpp")]
pub(super) fn round(module: NonNull<c_void>, bfloat16: bool) -> Result<(), String> {
    let mut message = [0; MESSAGE_BYTES];
    // SAFETY: `module` is alive and borrowed mutably by the caller; of the rest the same holds as above.
    let done = unsafe { batch_infer_round(module.as_ptr(), bfloat16, message.as_mut_ptr(), message.len()) };
    if done { Ok(()) } else { Err(said(&message)) }
}

/// What the other side wrote.
#[expect(unsafe_code, reason = "reads what was written on the other side")]
fn said(message: &[c_char; MESSAGE_BYTES]) -> String {
    // SAFETY: the array was zero before the function wrote into it, and it never writes into the last byte but a zero.
    let said = unsafe { CStr::from_ptr(message.as_ptr()) };
    said.to_string_lossy().into_owned()
}
