//! The plan: a job and the world consulted, everything resolved.
//!
//! Takes a [`Job`], its model and what the input's listing and footers say; gives the files, the chunks in order, the columns to read
//! and the columns to write. Reads footers only, scores nothing and writes nothing.

mod annotations;
mod accepts;
mod chunks;
mod claims;
mod column_type;
mod columns;
mod damage;
mod error;
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
mod valueless;
mod shapes;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use futures::future::ready;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::Type;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::batch::ChunkId;
use crate::preprocess::Preprocessor;
use crate::spec::{OnCorruptFile, OnEmpty};
use crate::storage::Place;
use crate::validate::Job;

pub use annotations::Annotations;
pub use chunks::{Chunk, Span};
pub use column_type::same_values;
pub use columns::Columns;
pub use damage::Damage;
pub use error::PlanError;
pub use fingerprint::{Earlier, earlier, fingerprint, generation, of_rejected};
pub use folders::{Overruled, folder_column};
pub use footers::{CorruptFile, Footers, read_footer};
pub use inventory::{Inventory, Item};
pub use listing::{Passed, PassedOver, Table, TableKind};
pub use mismatch::{Mismatch, Rule};
pub use names::OwnNames;
pub use valueless::{Valueless, retyped};
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
    /// What lies in the input and is not read.
    pub passed_over: PassedOver,
    /// Whether the input is a day without a file that its writer has marked as whole, so that no footer tells the types of columns.
    pub is_marked_empty: bool,
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
    /// Columns of it that hold no value, whose types do not count.
    pub valueless: Valueless,
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
            passed_over,
            ..
        } = footers;
        if job.case_insensitive {
            names::adopt(&names::wanted(job, preprocessor), &mut footers);
        }
        let strict = job.on_corrupt_file == OnCorruptFile::Fail;
        if let Some(at) = corrupt.iter().position(|file| file.damage.is_encryption()) {
            let CorruptFile { name, damage } = corrupt.swap_remove(at);
            return Err(PlanError::Encrypted { file: name, damage });
        }
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
            passed_over,
            is_marked_empty: false,
        })
    }

    /// The plan of a day that is marked as whole and has no file: no rows, and the columns that are carried, of types that are known from
    /// elsewhere.
    pub fn without_files(job: &Job, passed_over: PassedOver, known: &Schema) -> Result<Self, PlanError> {
        if job.on_empty == OnEmpty::Fail {
            return Err(PlanError::MarkedEmpty {
                input: job.input.to_string(),
            });
        }
        Ok(Self {
            files: Vec::new(),
            chunks: Vec::new(),
            columns: Columns::carried_as(&job.keys, &job.passthrough, known),
            rows: 0,
            bytes: 0,
            overruled: Vec::new(),
            corrupt: Vec::new(),
            passed_over,
            is_marked_empty: true,
        })
    }

    /// The plan of reading some files whole, in pieces of some numbers of rows.
    pub async fn of_files(places: Vec<Place>, pieces: &[usize]) -> Result<Self, PlanError> {
        let Footers {
            sound: footers,
            mut corrupt,
            ..
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
            passed_over: PassedOver::default(),
            is_marked_empty: false,
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
            // They are columns that the whole chunk is judged by, and need not be among these.
            in_seconds: None,
            ..file.clone()
        });
        Self {
            files: files.collect(),
            chunks: self.chunks.clone(),
            overruled: Vec::new(),
            corrupt: Vec::new(),
            passed_over: PassedOver::default(),
            is_marked_empty: self.is_marked_empty,
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
