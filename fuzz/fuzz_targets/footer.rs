//! The bytes between the first and the last letters of a Parquet file, as a run meets them before it plans anything.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|footer: &[u8]| {
    // Either answer is right; a panic that gets here, an abort or a growth of memory is not.
    let _ = batch_infer::plan::read_footer(footer, 1 << 40);
});
