//! The file that grows part by part: column chunks are copied as they are, nothing is encoded twice.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Error as IoError, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::{ArrowSchemaConverter, encode_arrow_schema};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::writer::SerializedFileWriter;
use sha2::{Digest, Sha256};

use super::PublishError;
use crate::batch::Part;
use crate::output::OutputSchema;
use crate::registry::hex;

/// Key under which Arrow keeps its own types in a Parquet footer.
const ARROW_SCHEMA: &str = "ARROW:schema";

/// An output file in the making. It disappears when it is dropped unfinished.
pub struct Spool {
    writer: SerializedFileWriter<Hashed>,
    file: SpoolFile,
    rows_in: u64,
    rows_out: u64,
    rows_rejected: u64,
}

/// A finished output file that nobody reads yet. It disappears when it is dropped unpublished.
#[derive(Debug)]
pub struct Spooled {
    file: SpoolFile,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it, hex.
    pub sha256: String,
    /// Its rows.
    pub rows: u64,
    /// Its row groups.
    pub row_groups: usize,
}

impl Spool {
    /// Starts a file in a folder, with footer key-values.
    pub fn create(
        folder: &Path,
        name: &str,
        schema: &OutputSchema,
        footer: &[(&str, String)],
    ) -> Result<Self, PublishError> {
        fs::create_dir_all(folder).map_err(|source| disk("create the folder", folder, source))?;
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o640).open(&path);
        let file = opened.map_err(|source| disk("create the file", &path, source))?;
        let guard = SpoolFile { path, moved: false };
        let writer = parquet_writer(file, schema, footer).map_err(|source| guard.failed(source))?;
        Ok(Self {
            writer,
            file: guard,
            rows_in: 0,
            rows_out: 0,
            rows_rejected: 0,
        })
    }

    /// Appends a part. Parts come in the order of their chunks.
    pub fn append(&mut self, part: &Part) -> Result<(), PublishError> {
        self.rows_in += part.rows_in as u64;
        self.rows_out += part.rows_out as u64;
        self.rows_rejected += part.rows_rejected() as u64;
        if part.rows_in != part.rows_out + part.rows_rejected() {
            return Err(self.unbalanced());
        }
        if part.rows_out == 0 {
            return Ok(());
        }
        copy(&mut self.writer, &part.bytes).map_err(|source| self.file.failed(source))
    }

    fn unbalanced(&self) -> PublishError {
        PublishError::Rows {
            rows_in: self.rows_in,
            rows_out: self.rows_out,
            rows_rejected: self.rows_rejected,
        }
    }

    /// Closes the file, makes it durable and reads it back.
    pub fn finish(self, planned_rows: u64) -> Result<Spooled, PublishError> {
        if self.rows_in != planned_rows || self.rows_in != self.rows_out + self.rows_rejected {
            return Err(self.unbalanced());
        }
        let Self {
            mut writer,
            file,
            rows_out,
            ..
        } = self;
        let finished = writer.finish().and_then(|_| Ok(writer.inner_mut().finish()?));
        let (bytes, sha256) = finished.map_err(|source| file.failed(source))?;
        let metadata = footer_of(&file.path).map_err(|source| file.failed(source))?;
        let found = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        if found != rows_out {
            return Err(PublishError::Verify {
                path: file.path.display().to_string(),
                expected: rows_out,
                found,
            });
        }
        Ok(Spooled {
            row_groups: metadata.num_row_groups(),
            file,
            bytes,
            sha256,
            rows: rows_out,
        })
    }
}

impl Spooled {
    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Moves the file to its final name, in place of what is there, and makes the move durable.
    pub(super) fn rename_to(mut self, path: &Path) -> Result<(), PublishError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(|source| disk("create the folder", folder, source))?;
        fs::rename(&self.file.path, path).map_err(|source| disk("rename the finished file to", path, source))?;
        self.file.moved = true;
        // The folder's own parent too: the date's folder may be new.
        for folder in [Some(folder), folder.parent()].into_iter().flatten() {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|source| disk("make durable the folder", folder, source))?;
        }
        Ok(())
    }
}

fn parquet_writer(
    file: File,
    schema: &OutputSchema,
    footer: &[(&str, String)],
) -> Result<SerializedFileWriter<Hashed>, ParquetError> {
    let mut pairs = vec![KeyValue::new(
        ARROW_SCHEMA.to_owned(),
        encode_arrow_schema(schema.logical()),
    )];
    pairs.extend(
        footer
            .iter()
            .map(|(key, value)| KeyValue::new(format!("batch_infer.{key}"), value.clone())),
    );
    let properties = schema.properties().set_key_value_metadata(Some(pairs)).build();
    let descriptor = ArrowSchemaConverter::new().convert(schema.part())?;
    SerializedFileWriter::new(Hashed::new(file), descriptor.root_schema_ptr(), Arc::new(properties))
}

/// Copies the column chunks of a part's row groups, with their page indexes.
fn copy(writer: &mut SerializedFileWriter<Hashed>, part: &Bytes) -> Result<(), ParquetError> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = reader.parse_and_finish(part)?;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let index = metadata.page_index_for_row_group(number);
        let mut to = writer.next_row_group()?;
        for (leaf, column) in group.columns().iter().enumerate() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: index.column_index(leaf).cloned(),
                offset_index: index.offset_index(leaf).cloned(),
            };
            to.append_column(part, close)?;
        }
        to.close()?;
    }
    Ok(())
}

fn footer_of(path: &Path) -> Result<ParquetMetaData, ParquetError> {
    let file = File::open(path)?;
    ParquetMetaDataReader::new().parse_and_finish(&file)
}

/// Writes through to a file and computes the digest on the way, so that nothing is read again for it.
struct Hashed {
    file: BufWriter<File>,
    digest: Sha256,
    bytes: u64,
}

impl Hashed {
    fn new(file: File) -> Self {
        Self {
            file: BufWriter::with_capacity(1 << 20, file),
            digest: Sha256::new(),
            bytes: 0,
        }
    }

    fn finish(&mut self) -> Result<(u64, String), IoError> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok((self.bytes, hex(&std::mem::take(&mut self.digest).finalize())))
    }
}

impl Write for Hashed {
    fn write(&mut self, buffer: &[u8]) -> Result<usize, IoError> {
        let count = self.file.write(buffer)?;
        self.digest.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), IoError> {
        self.file.flush()
    }
}

/// A file that is removed unless it was moved to where it belongs.
#[derive(Debug)]
struct SpoolFile {
    path: PathBuf,
    moved: bool,
}

impl SpoolFile {
    fn failed(&self, source: ParquetError) -> PublishError {
        PublishError::Assemble {
            path: self.path.display().to_string(),
            source,
        }
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        if !self.moved {
            // A file that stays behind costs space and nothing else: readers never look here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn disk(action: &'static str, path: &Path, source: IoError) -> PublishError {
    PublishError::Disk {
        action,
        path: path.display().to_string(),
        source,
    }
}
