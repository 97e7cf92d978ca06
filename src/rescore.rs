//! Scores again only the rows that were rejected, and takes all others from what is published.
//!
//! The published files hold the rows of the input in order, without the rejected ones. So the place of each row is known from the list of
//! rejects alone, and the keys are compared to be sure.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, cast_with_options, interleave_record_batch, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, UInt64Type};
use arrow::error::ArrowError;

use crate::batch::{BadRow, ChunkId, FeatureBatch, Lost, Origin, RowsByChunk, STRICT_CAST, Stretch};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::plan::{Chunk, Plan};
use crate::rejects::DESCRIBED;

/// Which rows are scored again, and where the others are.
#[derive(Debug)]
pub struct Rescore {
    /// The published rows, in the pieces that belong to the chunks of the input.
    pub published: Plan,
    /// Rejected rows of each chunk that has some, in order.
    rejected: RowsByChunk,
}

/// Rejected rows of each chunk of a plan that has some, in order; by the file that keeps them.
pub fn rejected(plan: &Plan, rejects: &RecordBatch) -> Result<RowsByChunk, RescoreError> {
    let [file, row, ..] = DESCRIBED;
    let column = |name| {
        rejects
            .column_by_name(name)
            .ok_or(RescoreError::Rejects { column: name })
    };
    let files = cast(column(file)?, &DataType::Utf8)?;
    let rows = cast(column(row)?, &DataType::UInt64)?;
    let mut wanted: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (file, row) in files.as_string::<i32>().iter().zip(rows.as_primitive::<UInt64Type>()) {
        wanted.entry(file.unwrap_or("")).or_default().extend(row);
    }
    let mut found = RowsByChunk::new();
    for chunk in &plan.chunks {
        let mut before = 0;
        for span in &chunk.spans {
            let length = span.rows.len();
            if let Some(rows) = wanted.get(plan.files[span.file].name.as_str()) {
                let rows = rows.range(span.first_row..span.first_row + length as u64);
                let rows = rows.map(|row| before + usize::try_from(row - span.first_row).unwrap_or(0));
                found.entry(chunk.id).or_default().extend(rows);
            }
            before += length;
        }
    }
    found.retain(|_, rows| !rows.is_empty());
    let located: usize = found.values().map(Vec::len).sum();
    if located == rejects.num_rows() {
        Ok(found)
    } else {
        Err(RescoreError::Rows {
            rejected: rejects.num_rows(),
            located,
        })
    }
}

/// Rows of each chunk that are published.
pub fn published_rows(plan: &Plan, rejected: &RowsByChunk) -> Vec<usize> {
    let gone = |chunk: &Chunk| rejected.get(&chunk.id).map_or(0, Vec::len);
    plan.chunks.iter().map(|chunk| chunk.rows - gone(chunk)).collect()
}

impl Rescore {
    /// Pieces of the published files, one for each chunk, and the rejected rows between them.
    pub fn new(published: Plan, rejected: RowsByChunk) -> Self {
        Self { published, rejected }
    }

    /// How many of some rows are published.
    pub fn published_among(&self, stretch: &Stretch) -> usize {
        stretch.rows.len() - stretch.among(&self.rejected).len()
    }

    /// The rejected rows of a batch, each with its own place in its file.
    pub fn pick(&self, batch: &FeatureBatch) -> Result<FeatureBatch, ArrowError> {
        let rows = batch.stretch().among(&self.rejected);
        let indices = rows.iter().map(|&row| u32::try_from(row).unwrap_or(u32::MAX));
        let origins = rows.iter().map(|&row| {
            let (file, first_row) = batch.origin(row);
            Origin {
                file: file.to_owned(),
                first_row,
                rows: 1,
            }
        });
        let place = |row: usize| rows.partition_point(|&rejected| rejected < row);
        let lost = batch.lost.iter().map(|lost| Lost {
            rows: place(lost.rows.start)..place(lost.rows.end),
            message: lost.message.clone(),
        });
        let unfit = batch.unfit.iter().filter_map(|bad| {
            let row = rows.binary_search(&bad.row).ok()?;
            Some(BadRow { row, ..bad.clone() })
        });
        Ok(FeatureBatch {
            chunk: batch.chunk,
            first: batch.first,
            columns: take_record_batch(&batch.columns, &UInt32Array::from_iter_values(indices))?,
            origins: origins.collect(),
            lost: lost.collect(),
            unfit: unfit.collect(),
            encoded: BTreeMap::new(),
        })
    }

    /// Rows of a stretch as places among those that were picked of it.
    pub fn picked(&self, stretch: &Stretch, rows: &[usize]) -> Vec<usize> {
        let rejected = stretch.among(&self.rejected);
        rows.iter().filter_map(|row| rejected.binary_search(row).ok()).collect()
    }

    /// Compares the keys of the rows that are not scored again with those that are published.
    pub fn compare(&self, batch: &FeatureBatch, published: &RecordBatch, keys: &[String]) -> Result<(), RescoreError> {
        let rejected = batch.stretch().among(&self.rejected);
        let rows = batch.columns.num_rows();
        let kept = (0..rows).filter(|row| rejected.binary_search(row).is_err());
        let kept = UInt32Array::from_iter_values(kept.map(|row| u32::try_from(row).unwrap_or(u32::MAX)));
        for key in keys {
            let (Some(here), Some(there)) = (batch.columns.column_by_name(key), published.column_by_name(key)) else {
                // No rows are published of a chunk that was rejected as a whole.
                if kept.is_empty() {
                    continue;
                }
                return Err(RescoreError::Columns { column: key.clone() });
            };
            let here = arrow::compute::take(here, &kept, None)?;
            let there = cast_with_options(there, here.data_type(), &STRICT_CAST)?;
            if here.to_data() != there.to_data() {
                let (file, row) = batch.origin(first_difference(&here, &there, &kept));
                return Err(RescoreError::Keys {
                    key: key.clone(),
                    file: file.to_owned(),
                    row,
                });
            }
        }
        Ok(())
    }

    /// Puts published rows and new ones together, in the order of the input. `bad` are the places, among the rejected rows, of those that
    /// are rejected again.
    pub fn merge(
        &self,
        stretch: &Stretch,
        schema: &SchemaRef,
        published: &RecordBatch,
        scored: &RecordBatch,
        bad: &[BadRow],
    ) -> Result<RecordBatch, ArrowError> {
        let rejected = stretch.among(&self.rejected);
        let scored = as_schema(scored, schema)?;
        if published.num_rows() == 0 {
            return Ok(scored);
        }
        let published = as_schema(published, schema)?;
        let rows = published.num_rows() + rejected.len();
        let mut rejected = rejected.iter().enumerate().peekable();
        let mut bad = bad.iter().map(|bad| bad.row).peekable();
        let mut from = Vec::with_capacity(rows);
        let (mut old, mut new) = (0, 0);
        for row in 0..rows {
            match rejected.next_if(|(_, gone)| **gone == row) {
                None => {
                    from.push((0, old));
                    old += 1;
                }
                Some((place, _)) if bad.next_if_eq(&place).is_none() => {
                    from.push((1, new));
                    new += 1;
                }
                Some(_) => {}
            }
        }
        interleave_record_batch(&[&published, &scored], &from)
    }
}

fn first_difference(here: &ArrayRef, there: &ArrayRef, rows: &UInt32Array) -> usize {
    let differs = |&place: &usize| here.slice(place, 1).to_data() != there.slice(place, 1).to_data();
    let common = here.len().min(there.len());
    let place = (0..common).find(differs).unwrap_or(common);
    rows.values().get(place).map_or(0, |&row| row as usize)
}

/// The same rows with the columns of a schema, in its types.
fn as_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        let column = batch
            .column_by_name(field.name())
            .ok_or_else(|| ArrowError::SchemaError(format!("no column `{}`", field.name())))?;
        cast_with_options(column, field.data_type(), &STRICT_CAST)
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}

/// Why rejected rows cannot be scored again by themselves.
#[derive(Debug, thiserror::Error)]
pub enum RescoreError {
    /// Nothing of ours is there.
    #[error("nothing is published for this date, so there is nothing to add rejected rows to")]
    Nothing,
    /// A commit is not visible yet.
    #[error("publication {seq} is decided and not visible yet")]
    Pending {
        /// Its number.
        seq: u64,
    },
    /// The rejected rows are gone.
    #[error("{rows} rows were rejected, and `{file}` is not there or cannot be read")]
    Gone {
        /// Rows rejected.
        rows: u64,
        /// The file.
        file: String,
    },
    /// The file lacks a column.
    #[error("the file of rejected rows has no column `{column}`")]
    Rejects {
        /// The column.
        column: &'static str,
    },
    /// Another model scored what is published.
    #[error("what is published was scored by version {published}, and the job asks for version {wanted}")]
    Model {
        /// Version and digest of what is published.
        published: String,
        /// Version and digest that the job resolves to.
        wanted: String,
    },
    /// The input has other rows.
    #[error("the input has other rows than when it was scored: of {rejected} rejected rows {located} are found in it")]
    Rows {
        /// Rows rejected.
        rejected: usize,
        /// Of them in the input.
        located: usize,
    },
    /// The numbers of rows do not fit.
    #[error(
        "the input has other rows than when it was scored: {input} rows now, {published} are published and {rejected} were rejected"
    )]
    Count {
        /// Rows of the input.
        input: u64,
        /// Rows published.
        published: u64,
        /// Rows rejected.
        rejected: usize,
    },
    /// A row has another key.
    #[error("the input has other rows than when it was scored: `{file}`, row {row}, has another `{key}`")]
    Keys {
        /// The key column.
        key: String,
        /// The file.
        file: String,
        /// Index of the row in the file, from 0.
        row: u64,
    },
    /// The output has other columns.
    #[error("what is published has other columns than the job and the model would write: `{column}`")]
    Columns {
        /// The first that differs.
        column: String,
    },
    /// A column has another type.
    #[error(
        "what is published has the column `{column}` as {published}, and the job and the model would write {wanted}"
    )]
    Types {
        /// The column.
        column: String,
        /// Its type in the published file.
        published: String,
        /// Its type from now on.
        wanted: String,
    },
    /// A published row has become a duplicate.
    #[error(
        "chunk {chunk} holds {rows} published rows whose key stands in an earlier row, and `rows.on.DUPLICATE_KEY` is set"
    )]
    Duplicates {
        /// The chunk.
        chunk: ChunkId,
        /// Rows.
        rows: usize,
    },
    /// Rows could not be put together.
    #[error("put published and new rows together")]
    Merge(#[from] ArrowError),
}

impl Seam for RescoreError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Nothing | Self::Pending { .. } | Self::Gone { .. } | Self::Rejects { .. } => ExitCode::InputNotReady,
            Self::Model { .. } | Self::Columns { .. } | Self::Types { .. } => ExitCode::Config,
            Self::Rows { .. } | Self::Count { .. } | Self::Keys { .. } | Self::Duplicates { .. } => ExitCode::Schema,
            Self::Merge(_) => ExitCode::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Pending { .. } => "show it first: batch-infer verify --repair",
            Self::Merge(_) => return None,
            _ => "run the date as a whole, without --only-rejected",
        };
        Some(hint.to_owned())
    }
}
