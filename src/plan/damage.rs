//! What is wrong with a file that cannot be read at all.

use parquet::errors::ParquetError;

use crate::guard::{Panicked, guarded};
use crate::thrift::Malformed;

/// What is wrong with a file. The text goes on after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// No room for a head, a footer and a tail.
    #[error("is {size} bytes long, and the smallest Parquet file has {smallest}")]
    Small {
        /// Bytes of the file.
        size: u64,
        /// Bytes of the smallest.
        smallest: u64,
    },
    /// It begins with something else.
    #[error("begins with `{found}`, and a Parquet file begins with `PAR1`: it is something else")]
    Head {
        /// The first four bytes.
        found: String,
    },
    /// It ends with something else.
    #[error(
        "ends with `{found}`, and a Parquet file ends with `PAR1`: it is cut off, still being written, or something else"
    )]
    Tail {
        /// The last four bytes.
        found: String,
    },
    /// Its footer is encrypted.
    #[error("has an encrypted footer (it ends with `PARE`), and encrypted files cannot be read")]
    Encrypted,
    /// A column that is to be read is encrypted, and its footer is not.
    #[error("encrypts the column `{column}`, and encrypted columns cannot be read")]
    EncryptedColumn {
        /// Path of the column.
        column: String,
    },
    /// The footer would not fit.
    #[error("claims a footer of {claimed} bytes, and at most {most} are possible in its {size} bytes")]
    FooterLength {
        /// Bytes by the tail.
        claimed: u64,
        /// Bytes that it may have.
        most: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The footer is no structure.
    #[error("has a damaged footer, {0}")]
    Footer(#[from] Malformed),
    /// A number in the footer cannot be.
    #[error("has a damaged footer: {0}")]
    Claim(String),
    /// The reader gives up.
    #[error("has a damaged footer: {}", plainly(.0))]
    Reader(#[source] ParquetError),
    /// The reader panics.
    #[error("has a damaged footer: {0}")]
    Panic(#[source] Panicked),
    /// The pages cannot be located.
    #[error("has damaged pages: {}", plainly(.0))]
    Pages(#[source] ParquetError),
}

impl Damage {
    /// Whether the file may be sound, and is only closed to this program.
    pub(super) fn is_encryption(&self) -> bool {
        matches!(self, Self::Encrypted | Self::EncryptedColumn { .. })
    }
}

/// Lets the Parquet reader work on a footer; it may panic.
pub(super) fn reading<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Damage> {
    guarded(work).map_err(Damage::Panic)?.map_err(Damage::Reader)
}

/// The reader's message without the class that it puts before it.
fn plainly(error: &ParquetError) -> String {
    let text = error.to_string();
    let known = ["Parquet error: ", "Arrow: ", "EOF: ", "External: "];
    let rest = known.iter().find_map(|class| text.strip_prefix(class));
    rest.unwrap_or(&text).to_owned()
}
