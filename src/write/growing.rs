//! A part that is written a few rows at a time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::{WriteError, writer};
use crate::output::OutputSchema;

/// Bytes of a dictionary. Rows come in pieces where long texts repeat, and written out one by one they would fill the memory.
const DICTIONARY_BYTES: usize = 64 << 20;

/// A part to which rows are added.
#[derive(Debug)]
pub struct Growing {
    schema: OutputSchema,
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl Growing {
    /// A part without rows.
    pub fn new(schema: &OutputSchema) -> Self {
        Self {
            schema: schema.clone(),
            writer: None,
        }
    }

    /// Adds rows, with all columns.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), WriteError> {
        if let Some(writer) = &mut self.writer {
            return Ok(writer.write(rows)?);
        }
        let mut writer = writer(&self.schema, rows.schema(), self.properties())?;
        writer.write(rows)?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Bytes that it takes so far.
    pub fn memory(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.memory_size() as u64)
    }

    /// The bytes of a Parquet file with all rows in one row group.
    pub fn finish(self) -> Result<Vec<u8>, WriteError> {
        let properties = self.properties();
        let writer = self
            .writer
            .map_or_else(|| writer(&self.schema, Arc::clone(self.schema.part()), properties), Ok)?;
        Ok(writer.into_inner()?)
    }

    fn properties(&self) -> WriterProperties {
        let properties = self.schema.properties();
        properties.set_dictionary_page_size_limit(DICTIONARY_BYTES).build()
    }
}
