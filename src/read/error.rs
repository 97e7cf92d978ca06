//! Why a chunk cannot be read.

use std::fmt;

use arrow::error::ArrowError;
use bytesize::ByteSize;
use parquet::errors::ParquetError;

use crate::error::Seam;
use crate::exit::ExitCode;
use crate::guard::Panicked;
use crate::storage::StorageError;
use crate::thrift::Malformed;

/// Why a chunk cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not what a Parquet file would hold.
    #[error("decode row group {row_group} of `{file}`")]
    Corrupt {
        /// The file.
        file: String,
        /// Index of the row group.
        row_group: usize,
        /// What is wrong.
        source: Fault,
    },
    /// The footer and the pages disagree.
    #[error("row group {row_group} of `{file}` gave {found} rows, its footer says {expected}")]
    Rows {
        /// The file.
        file: String,
        /// Index of the row group.
        row_group: usize,
        /// Rows by the footer.
        expected: usize,
        /// Rows decoded.
        found: usize,
    },
    /// The footer counts as many nulls as rows, and there are values.
    #[error("column `{column}` of `{file}` holds values, its footer says that all of them are null")]
    NotNull {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// It would fill the memory.
    #[error("{}row group {row_group} of `{file}` {what}, most of it column `{column}`", what.part())]
    TooLarge {
        /// The file.
        file: String,
        /// Index of the row group.
        row_group: usize,
        /// The column that takes most.
        column: String,
        /// What is too large.
        what: TooLarge,
    },
    /// Columns of several row groups do not join.
    #[error("join the row groups of a chunk")]
    Join(#[source] ArrowError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What would fill the memory, and the bytes that it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLarge {
    /// One row: rows are decoded a few at a time, but none in parts.
    Row(u64),
    /// Pages, which are decompressed as a whole.
    Pages(u64),
    /// All rows of a chunk, one after the other.
    Chunk(u64),
}

impl TooLarge {
    fn part(self) -> &'static str {
        match self {
            Self::Row(_) => "one row of ",
            Self::Pages(_) => "a page of each column of ",
            Self::Chunk(_) => "",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Row(_) => "if the file is as it should be, raise `[line] max_decoded`; if not, have it written again",
            Self::Pages(_) => {
                "if the file is as it should be, raise `[line] max_decoded`, or have it written with smaller pages; if not, have it written again"
            }
            Self::Chunk(_) => {
                "if the file is as it should be, raise `[line] max_decoded`, lower `[line] chunk_rows`, or have it written with smaller row groups; if not, have it written again"
            }
        }
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, bytes) = match self {
            Self::Row(bytes) | Self::Chunk(bytes) => ("decoded", bytes),
            Self::Pages(bytes) => ("decompressed", bytes),
        };
        write!(f, "takes more than {} once {done}", ByteSize(*bytes))
    }
}

/// What is wrong with bytes that cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// What the decoder says.
    #[error(transparent)]
    Decoder(#[from] ParquetError),
    /// The decoder panicked.
    #[error(transparent)]
    Panic(#[from] Panicked),
    /// The header of a page is no structure.
    #[error("column `{column}`, page header at byte {offset}: {fault}")]
    Header {
        /// The column.
        column: String,
        /// Where the header begins in the file.
        offset: u64,
        /// What is wrong with it.
        #[source]
        fault: Malformed,
    },
    /// A page says what cannot be.
    #[error("column `{column}`, page at byte {offset}: {claim}")]
    Page {
        /// The column.
        column: String,
        /// Where the page begins in the file.
        offset: u64,
        /// What it says.
        claim: String,
    },
}

impl ReadError {
    /// Whether the bytes are at fault, and neither the store nor the plan. Bytes that were damaged on their way may be whole the next time.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Rows { .. } | Self::NotNull { .. } | Self::TooLarge { .. } => true,
            Self::Join(_) | Self::Storage(_) => false,
        }
    }

    /// The error with what is below it, on one line.
    pub fn in_full(&self) -> String {
        match self {
            Self::Corrupt { source, .. } => format!("{self}: {source}"),
            Self::Rows { .. } | Self::NotNull { .. } | Self::TooLarge { .. } | Self::Join(_) | Self::Storage(_) => {
                self.to_string()
            }
        }
    }
}

impl Seam for ReadError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Corrupt { .. } | Self::Rows { .. } | Self::NotNull { .. } | Self::TooLarge { .. } => {
                ExitCode::BadRows
            }
            Self::Join(_) => ExitCode::Schema,
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Storage(error) => error.hint(),
            Self::Corrupt { .. } | Self::Rows { .. } | Self::NotNull { .. } => Some(
                "the file is damaged: have it written again; with `on_corrupt_file = \"reject\"` below [input] its rows are rejected and the rest is scored"
                    .to_owned(),
            ),
            Self::TooLarge { what, .. } => Some(what.hint().to_owned()),
            Self::Join(_) => None,
        }
    }
}
