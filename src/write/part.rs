//! Puts the column chunks of a part together.
//!
//! Only what the model said is encoded. Constants are copied from a column chunk that was encoded once for that number of rows, and carried
//! columns are copied as they lie in the input, where all rows of it are written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, OffsetIndexBuilder, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor, SchemaDescPtr};

use super::{WriteError, lineage, statistics};
use crate::batch::EncodedColumn;
use crate::output::{OutputSchema, copy_columns, is_place};

/// Numbers of rows for which constants are kept: most chunks of a plan have one of very few sizes.
const KEPT_CONSTANTS: usize = 4;

/// Encodes the parts of one run.
pub struct PartEncoder {
    schema: OutputSchema,
    descriptor: SchemaDescPtr,
    properties: WriterPropertiesPtr,
    /// Lineage columns that were encoded, by their rows; the latest last.
    constants: Mutex<Vec<(usize, Arc<Whole>)>>,
}

/// A Parquet file in memory.
struct Whole {
    bytes: Bytes,
    metadata: ParquetMetaData,
}

impl PartEncoder {
    /// An encoder for parts of these columns.
    pub fn new(schema: &OutputSchema) -> Result<Self, WriteError> {
        Ok(Self {
            descriptor: Arc::clone(schema.descriptor()),
            properties: Arc::new(schema.properties().build()),
            schema: schema.clone(),
            constants: Mutex::default(),
        })
    }

    /// Encodes the scored rows of a chunk, with lineage. Columns that lie encoded already are copied where they hold just these rows.
    pub fn encode(
        &self,
        scored: &RecordBatch,
        encoded: &BTreeMap<String, EncodedColumn>,
    ) -> Result<Vec<u8>, WriteError> {
        let root = self.descriptor.root_schema_ptr();
        let mut file = SerializedFileWriter::new(Vec::new(), root, Arc::clone(&self.properties))?;
        let rows = scored.num_rows();
        if rows > 0 {
            let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(self.schema.part()));
            let mut writers = factory.create_column_writers(0)?.into_iter();
            let mut group = file.next_row_group()?;
            let mut leaf = 0;
            for (field, array) in scored.schema_ref().fields().iter().zip(scored.columns()) {
                let descriptor = self.descriptor.column(leaf);
                let copied = encoded
                    .get(field.name())
                    .filter(|column| fits(column, &descriptor, rows));
                if let Some(column) = copied {
                    copy(&mut group, column, descriptor, array)?;
                    writers.next();
                    leaf += 1;
                    continue;
                }
                let leaves = compute_leaves(field, array)?;
                for (leaf, mut writer) in leaves.iter().zip(writers.by_ref().take(leaves.len())) {
                    writer.write(leaf)?;
                    writer.close()?.append_to_row_group(&mut group)?;
                }
                leaf += leaves.len();
            }
            let constants = self.constants(rows)?;
            copy_columns(&mut group, &constants.bytes, &constants.metadata, 0)?;
            group.close()?;
        }
        Ok(file.into_inner()?)
    }

    /// The lineage columns of so many rows.
    fn constants(&self, rows: usize) -> Result<Arc<Whole>, WriteError> {
        let mut kept = self.constants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = kept.iter().find(|(count, _)| *count == rows) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(self.make_constants(rows)?);
        if kept.len() == KEPT_CONSTANTS {
            kept.remove(0);
        }
        kept.push((rows, Arc::clone(&made)));
        Ok(made)
    }

    fn make_constants(&self, rows: usize) -> Result<Whole, WriteError> {
        let columns: Vec<ArrayRef> = self.schema.lineage().iter().map(|value| lineage(value, rows)).collect();
        let schema: SchemaRef = Arc::clone(self.schema.constants());
        let properties = self.properties.as_ref().clone();
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
        writer.write(&RecordBatch::try_new(schema, columns)?)?;
        Ok(Whole::of(writer.into_inner()?.into())?)
    }
}

impl Whole {
    fn of(bytes: Bytes) -> Result<Self, ParquetError> {
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = reader.parse_and_finish(&bytes)?;
        Ok(Self { bytes, metadata })
    }
}

/// Whether a reader of the output finds in the column's pages just the values of these rows.
fn fits(column: &EncodedColumn, wanted: &ColumnDescriptor, rows: usize) -> bool {
    let found = column.metadata.column_descr();
    let same_meaning = found.logical_type_ref() == wanted.logical_type_ref()
        || (found.logical_type_ref().is_none() && found.converted_type() == wanted.converted_type());
    same_meaning
        && found.physical_type() == wanted.physical_type()
        && found.type_length() == wanted.type_length()
        && found.max_def_level() == wanted.max_def_level()
        && found.max_rep_level() == 0
        && wanted.max_rep_level() == 0
        && column.pages.iter().map(|page| page.rows).sum::<usize>() == rows
}

/// Copies a column of the input. What the input says of its smallest and greatest values is not believed: these are found in the array.
fn copy(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    column: &EncodedColumn,
    descriptor: ColumnDescPtr,
    array: &ArrayRef,
) -> Result<(), WriteError> {
    let found = &column.metadata;
    let is_place = is_place(&descriptor);
    let start = offset(found.byte_range().0);
    let mut metadata = ColumnChunkMetaData::builder(descriptor)
        .set_compression_codec(found.compression_codec())
        .set_encodings_mask(*found.encodings_mask())
        .set_num_values(found.num_values())
        .set_total_compressed_size(offset(column.bytes.len() as u64))
        .set_total_uncompressed_size(found.uncompressed_size())
        .set_dictionary_page_offset(found.dictionary_page_offset().map(|at| at - start))
        .set_data_page_offset(found.data_page_offset() - start);
    if let Some(statistics) = statistics::of(array)?.filter(|_| !is_place) {
        metadata = metadata.set_statistics(statistics);
    }
    let mut pages = OffsetIndexBuilder::new();
    for page in &column.pages {
        let size = i32::try_from(page.size).unwrap_or(i32::MAX);
        pages.append_offset_and_size(offset(page.start as u64), size);
        pages.append_row_count(offset(page.rows as u64));
    }
    let close = ColumnCloseResult {
        bytes_written: column.bytes.len() as u64,
        rows_written: array.len() as u64,
        metadata: metadata.build()?,
        bloom_filter: None,
        column_index: None,
        offset_index: Some(pages.build()),
    };
    Ok(group.append_column(&column.bytes, close)?)
}

fn offset(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
