//! SHA-256 digests as hex text, the form in which they stand in contracts, records and footers.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// SHA-256 of bytes, hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The first 128 bits of the SHA-256 of bytes: no two inputs that anybody can find have the same.
pub fn sha256_prefix(bytes: &[u8]) -> u128 {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .take(16)
        .fold(0, |prefix, byte| prefix << 8 | u128::from(*byte))
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
