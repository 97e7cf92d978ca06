//! Why no plan can be made, how the process ends for it, and what to do about it.

use super::Damage;
use super::listing::{PassedOver, Table};
use super::mismatch::{self, Mismatch};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::storage::StorageError;

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing to score is there.
    #[error("no Parquet files at `{input}`{}", besides(passed_over))]
    NoInput {
        /// The input as the job names it, with the date in it.
        input: String,
        /// What is there and is not read.
        passed_over: PassedOver,
    },
    /// The input lies in a table, whose log says which of its rows are live.
    #[error(
        "`{}` is {} {} table (it holds `{}`), and its files are not read as a plain folder: they also hold rows that the table has replaced or deleted",
        .0.place,
        article(&.0.kind.to_string()),
        .0.kind,
        .0.kind.sign()
    )]
    Table(Table),
    /// A writer has not finished.
    #[error("the input is not finished: `{sign}` is what a writer leaves while it works{}", further_signs(*.others))]
    Unfinished {
        /// The first sign of it.
        sign: String,
        /// How many more.
        others: usize,
    },
    /// There are files, and no rows in them.
    #[error("the files at `{input}` hold no rows, and `input.on_empty` is \"fail\"")]
    Empty {
        /// The input as the job names it, with the date in it.
        input: String,
    },
    /// There is no file, the writer says that this is all, and the job wants rows.
    #[error("`_SUCCESS` at `{input}` says that the day is whole, and it has no file, and `input.on_empty` is \"fail\"")]
    MarkedEmpty {
        /// The input as the job names it, with the date in it.
        input: String,
    },
    /// A glob that is no glob.
    #[error("the pattern `{pattern}` in `input.path` is not valid")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// A file is not Parquet, or it is damaged.
    #[error("`{file}` {damage}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A file is encrypted, or a column of it that is to be read.
    #[error("`{file}` {damage}")]
    Encrypted {
        /// The file.
        file: String,
        /// What of it is encrypted.
        damage: Damage,
    },
    /// Several files are so.
    #[error("`{file}` {damage}; and {others} more of the input's files cannot be read")]
    ManyDamaged {
        /// The first of them.
        file: String,
        /// What is wrong with it.
        damage: Damage,
        /// How many more.
        others: usize,
    },
    /// No file of the input can be read.
    #[error("`{file}` {damage}; {}", whole(*.files))]
    AllDamaged {
        /// The first of them.
        file: String,
        /// What is wrong with it.
        damage: Damage,
        /// How many there are.
        files: usize,
    },
    /// Links in the input that lead to nothing.
    #[error("`{link}` is a link to nothing{}", further(*.others))]
    Dangling {
        /// The first of them.
        link: String,
        /// How many more.
        others: usize,
    },
    /// Files and contract do not fit one another.
    #[error("the input does not fit the job and the model:\n{}", mismatch::listed(mismatches))]
    Schema {
        /// Every difference, of every file.
        mismatches: Vec<Mismatch>,
    },
    /// Rows are bad that the job does not tolerate, and the footers say so already.
    #[error(
        "the input holds nulls that the job does not tolerate; nothing was scored:\n{}",
        mismatch::listed(mismatches)
    )]
    Nulls {
        /// Every column with such nulls, of every file.
        mismatches: Vec<Mismatch>,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What is said of an input of which nothing can be read.
fn whole(files: usize) -> String {
    match files {
        1 => "it is the only file of the input".to_owned(),
        files => format!("none of the {files} files of the input can be read"),
    }
}

/// What is said of files that are there and are not read.
fn besides(passed_over: &PassedOver) -> String {
    if passed_over.is_empty() {
        String::new()
    } else {
        format!("; passed over: {passed_over}")
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['A', 'E', 'I', 'O', 'U']) {
        "an"
    } else {
        "a"
    }
}

fn further_signs(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!(", and so are {others} more"),
    }
}

fn further(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!("; and so are {others} more of the input's files"),
    }
}

impl PlanError {
    pub(super) fn damaged(file: String, damage: Damage, others: usize) -> Self {
        match others {
            0 => Self::Damaged { file, damage },
            _ => Self::ManyDamaged { file, damage, others },
        }
    }
}

impl Seam for PlanError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::NoInput { .. }
            | Self::Empty { .. }
            | Self::MarkedEmpty { .. }
            | Self::Unfinished { .. }
            | Self::Dangling { .. } => ExitCode::InputNotReady,
            Self::Pattern { .. } => ExitCode::Config,
            Self::Damaged { .. }
            | Self::ManyDamaged { .. }
            | Self::AllDamaged { .. }
            | Self::Encrypted { .. }
            | Self::Nulls { .. } => ExitCode::BadRows,
            Self::Table(_) | Self::Schema { .. } => ExitCode::Schema,
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoInput { .. } => Some(
                "check `input.path` and the date; a file counts if its name ends in .parquet, .parq or .pq or it begins and ends with the letters PAR1, and names that begin with `_` or `.` are skipped"
                    .to_owned(),
            ),
            Self::Table(table) => Some(format!(
                "write the live rows out and score those: {}; input.table_format = \"ignore\" reads every file, live or not",
                table.kind.way_out()
            )),
            Self::Unfinished { .. } => Some(
                "run again once it has finished; if it was left behind, remove it, or write `_SUCCESS` beside it; input.unfinished = \"ignore\" scores what is there"
                    .to_owned(),
            ),
            Self::Encrypted { .. } => Some("have it written without encryption, or decrypt it before".to_owned()),
            Self::Empty { .. } | Self::MarkedEmpty { .. } => Some("wait for the rows, or publish an empty partition: input.on_empty = \"publish_empty\"".to_owned()),
            Self::Damaged { .. } | Self::ManyDamaged { .. } => Some(
                "have it written again; with `on_corrupt_file = \"reject\"` below [input] the rest is scored without it".to_owned(),
            ),
            Self::AllDamaged { .. } => Some(
                "check that `input.path` names what a Parquet writer has written and finished, and have it written again; with nothing that can be read there is nothing to score"
                    .to_owned(),
            ),
            Self::Dangling { .. } => Some("put back the file that it leads to, or remove the link".to_owned()),
            Self::Storage(error) => error.hint(),
            Self::Nulls { .. } => Some(
                "correct the input, give the feature an `impute` value in the contract, or tolerate such rows: [rows] max_bad_rows, max_bad_fraction and on.<reason> = \"reject\""
                    .to_owned(),
            ),
            Self::Schema { mismatches } => mismatch::one_hint(mismatches),
            Self::Pattern { .. } => None,
        }
    }
}
