//! The plan: a job and the world consulted, everything resolved.
//!
//! Takes a [`Job`], its model and what the input's listing and footers say; gives the files, the chunks in order, the columns to read
//! and the columns to write. Reads footers only, scores nothing and writes nothing.

mod accepts;
mod chunks;
mod claims;
mod column_type;
mod columns;
mod damage;
mod fingerprint;
mod folder_check;
mod folders;
mod footers;
mod inventory;
mod kinds;
mod listing;
mod meant;
mod mismatch;
mod names;
mod nulls;
mod page_index;
mod pages;
mod pruned;
mod schema;
mod shapes;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::future::ready;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::Type;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::batch::ChunkId;
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::preprocess::Preprocessor;
use crate::spec::{OnCorruptFile, OnEmpty};
use crate::storage::{Place, StorageError};
use crate::validate::Job;

pub use chunks::{Chunk, Span};
pub use column_type::same_values;
pub use columns::Columns;
pub use damage::Damage;
pub use fingerprint::{Earlier, earlier, fingerprint, generation, of_rejected};
pub use folders::{Overruled, folder_column};
pub use footers::{CorruptFile, Footers, read_footer};
pub use inventory::{Inventory, Item};
pub use mismatch::{Mismatch, Rule};
pub use names::OwnNames;
pub use wanted::Wanted;

/// Rows of a chunk unless the settings say otherwise: a row group of a size that every reader likes.
pub const CHUNK_ROWS: usize = 131_072;

/// Rows of a chunk when a feature is text, whose rows cost a thousand times more.
pub const TEXT_CHUNK_ROWS: usize = 2_048;

/// Memory of a row on the line beside its columns: offsets, tensors and the part, about.
const ROW_BYTES: u64 = 64;

/// What will be done.
#[derive(Debug)]
pub struct Plan {
    /// Files with rows, in order.
    pub files: Vec<InputFile>,
    /// Units of work, in input order; together they cover each row once.
    pub chunks: Vec<Chunk>,
    /// Columns that are read and carried along.
    pub columns: Columns,
    /// Rows of the input.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Columns that stand in the path and in files, where these may hold something else.
    pub overruled: Vec<Overruled>,
    /// Files that are left out, since their footers cannot be read and the job says so.
    pub corrupt: Vec<CorruptFile>,
}

/// One file of the input.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// The object.
    pub place: Place,
    /// Its name below the input, for messages and rejects.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Identity of its bytes when it was planned.
    pub etag: Option<String>,
    /// The columns of it that are read.
    pub projection: ProjectionMask,
    /// Columns that it calls otherwise than the job and the contract do.
    pub own_names: OwnNames,
    /// Its footer as far as it is read, with what the reader needs to decode it.
    pub metadata: ArrowReaderMetadata,
    /// Arrow types of all its columns as they would be decoded, also of those that are not read, in words.
    pub schema_text: Arc<str>,
    /// The same as version 0.1 decoded them, where that differs.
    pub earlier_schema_text: Option<Arc<str>>,
    /// Its `INT96` columns that are read, as seconds; `None` where it has none.
    pub in_seconds: Option<OtherTypes>,
    /// `key=value` folders on the way to it.
    pub partition: Vec<(String, Option<String>)>,
    /// For each row group, whether a row range of it can be read without the rest.
    pub divisible: Vec<bool>,
}

/// Some columns of a file in other types than those in which they are scored.
#[derive(Debug, Clone)]
pub struct OtherTypes {
    /// The footer, with those types.
    pub metadata: ArrowReaderMetadata,
    /// The columns.
    pub projection: ProjectionMask,
}

impl Plan {
    /// Whether the input lies on a disk of this machine.
    pub fn is_local(&self) -> bool {
        self.files.iter().all(|file| file.place.local().is_some())
    }

    /// Makes a plan of what the input's footers say.
    pub async fn make(
        job: &Job,
        footers: Footers,
        preprocessor: &Preprocessor,
        chunk_rows: usize,
    ) -> Result<Self, PlanError> {
        let Footers {
            sound: mut footers,
            mut corrupt,
        } = footers;
        if job.case_insensitive {
            names::adopt(&names::wanted(job, preprocessor), &mut footers);
        }
        let strict = job.on_corrupt_file == OnCorruptFile::Fail;
        if !corrupt.is_empty() && (strict || footers.is_empty()) {
            let others = corrupt.len() - 1;
            let CorruptFile { name, damage } = corrupt.swap_remove(0);
            return Err(if footers.is_empty() {
                PlanError::AllDamaged {
                    file: name,
                    damage,
                    files: others + 1,
                }
            } else {
                PlanError::damaged(name, damage, others)
            });
        }
        let columns = schema::check(job, preprocessor, &footers)?;
        let overruled = folders::overruled(&columns.read, &footers);
        let mut files = footers::open(footers, &columns)?;
        files.retain(|file| file.rows() > 0 || file.row_groups() > 0);
        pages::locate(&mut files, chunk_rows, strict).await?;
        let chunks = chunks::cut(&files, chunk_rows);
        let rows = files.iter().map(InputFile::rows).sum();
        if rows == 0 && job.on_empty == OnEmpty::Fail {
            return Err(PlanError::Empty {
                input: job.input.to_string(),
            });
        }
        Ok(Self {
            rows,
            bytes: files.iter().map(|file| file.size).sum(),
            files,
            chunks,
            columns,
            overruled,
            corrupt,
        })
    }

    /// The plan of reading some files whole, in pieces of some numbers of rows.
    pub async fn of_files(places: Vec<Place>, pieces: &[usize]) -> Result<Self, PlanError> {
        let Footers {
            sound: footers,
            mut corrupt,
        } = Footers::read(listing::of_places(places).await?, ready(Wanted::all())).await?;
        if let Some(CorruptFile { name, damage }) = corrupt.pop() {
            return Err(PlanError::damaged(name, damage, corrupt.len()));
        }
        let columns = Columns::of_schema(footers.first().map(|footer| footer.schema.as_ref()));
        let mut files = footers::open(footers, &columns)?;
        pages::locate(&mut files, CHUNK_ROWS, true).await?;
        Ok(Self {
            rows: files.iter().map(InputFile::rows).sum(),
            bytes: files.iter().map(|file| file.size).sum(),
            chunks: chunks::cut_at(&files, pieces),
            files,
            overruled: Vec::new(),
            corrupt,
            columns,
        })
    }

    /// Memory that a chunk takes while it is on the line, about: its columns encoded and decoded, and its part.
    pub fn memory(&self, chunk: &Chunk) -> u64 {
        let spans = chunk.spans.iter().map(|span| {
            let file = &self.files[span.file];
            let whole = file.row_group_rows(span.row_group).max(1) as u64;
            let rows = span.rows.len() as u64;
            let decoded = file.row_bytes(span.row_group).saturating_mul(rows);
            // The file has these bytes, so that they are neither negative nor many.
            let encoded: u64 = file
                .read_columns(span.row_group)
                .map(|column| column.byte_range().1)
                .sum();
            decoded.saturating_add(
                u64::try_from(u128::from(encoded) * u128::from(rows) / u128::from(whole)).unwrap_or(u64::MAX),
            )
        });
        let spans = spans.fold(0, u64::saturating_add);
        spans.saturating_add(chunk.rows as u64 * ROW_BYTES)
    }

    /// The same chunks with fewer columns.
    pub fn narrowed(&self, names: &[String]) -> Self {
        let columns = Columns {
            read: names.to_vec(),
            parsed: BTreeMap::new(),
            ..self.columns.clone()
        };
        let files = self.files.iter().map(|file| InputFile {
            projection: columns.projection(file.metadata.parquet_schema(), &file.own_names, &file.partition),
            ..file.clone()
        });
        Self {
            files: files.collect(),
            chunks: self.chunks.clone(),
            overruled: Vec::new(),
            corrupt: Vec::new(),
            columns,
            rows: self.rows,
            bytes: self.bytes,
        }
    }

    /// Name of the file of a chunk's row, and the row's index in it.
    pub fn origin(&self, chunk: ChunkId, row: usize) -> Option<(&str, u64)> {
        let mut before = 0;
        let span = self.chunk(chunk).spans.iter().find(|span| {
            before += span.rows.len();
            row < before
        })?;
        let place = row + span.rows.len() - before;
        Some((&self.files[span.file].name, span.first_row + place as u64))
    }

    /// The chunk of that number.
    pub fn chunk(&self, id: ChunkId) -> &Chunk {
        &self.chunks[id.0]
    }
}

impl InputFile {
    /// Rows of the file.
    pub fn rows(&self) -> u64 {
        let rows = self.metadata.metadata().file_metadata().num_rows();
        u64::try_from(rows).unwrap_or(0)
    }

    /// Row groups of the file.
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Rows of one row group.
    pub fn row_group_rows(&self, row_group: usize) -> usize {
        let rows = self.metadata.metadata().row_group(row_group).num_rows();
        usize::try_from(rows).unwrap_or(0)
    }

    /// Numbers of the columns of the file that are read.
    pub fn leaves(&self) -> impl Iterator<Item = usize> {
        let leaves = 0..self.metadata.parquet_schema().num_columns();
        leaves.filter(|&leaf| self.projection.leaf_included(leaf))
    }

    /// The columns of a row group that are read.
    pub fn read_columns(&self, row_group: usize) -> impl Iterator<Item = &ColumnChunkMetaData> {
        let group = self.metadata.metadata().row_group(row_group);
        self.leaves().map(|leaf| group.column(leaf))
    }

    /// Bytes of a row once decoded, about, by what the footer says.
    fn row_bytes(&self, row_group: usize) -> u64 {
        let columns = self.read_columns(row_group).map(|column| {
            let stored = u64::try_from(column.uncompressed_size()).unwrap_or(0);
            let values = u64::try_from(column.num_values()).unwrap_or(0);
            stored.max(values.saturating_mul(value_bytes(column)))
        });
        columns.fold(0, u64::saturating_add) / (self.row_group_rows(row_group).max(1) as u64)
    }

    /// Arrow types of the columns that are asked for, as they will be decoded.
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }
}

/// Bytes of a value, or of what points to it.
fn value_bytes(column: &ColumnChunkMetaData) -> u64 {
    match column.column_type() {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(column.column_descr().type_length()).unwrap_or(0),
    }
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing to score is there.
    #[error("no Parquet files at `{input}`")]
    NoInput {
        /// The input as the job names it, with the date in it.
        input: String,
    },
    /// There are files, and no rows in them.
    #[error("the files at `{input}` hold no rows, and `input.on_empty` is \"fail\"")]
    Empty {
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

fn further(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!("; and so are {others} more of the input's files"),
    }
}

impl PlanError {
    fn damaged(file: String, damage: Damage, others: usize) -> Self {
        match others {
            0 => Self::Damaged { file, damage },
            _ => Self::ManyDamaged { file, damage, others },
        }
    }
}

impl Seam for PlanError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::NoInput { .. } | Self::Empty { .. } | Self::Dangling { .. } => ExitCode::InputNotReady,
            Self::Pattern { .. } => ExitCode::Config,
            Self::Damaged { .. } | Self::ManyDamaged { .. } | Self::AllDamaged { .. } | Self::Nulls { .. } => {
                ExitCode::BadRows
            }
            Self::Schema { .. } => ExitCode::Schema,
            Self::Storage(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoInput { .. } => Some(
                "check `input.path` and the date; names that start with `_` or `.` are skipped, and in a folder only `*.parquet` counts"
                    .to_owned(),
            ),
            Self::Empty { .. } => Some("wait for the rows, or publish an empty partition: input.on_empty = \"publish_empty\"".to_owned()),
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
