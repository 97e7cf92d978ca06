//! Parts become the files of a partition: column chunks are copied as they are, nothing is encoded twice.
//!
//! The files grow in a folder that no reader looks into. They are made from the record of the plan and the parts alone, so that any process
//! can make them again, byte for byte.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Error as IoError, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::writer::SerializedFileWriter;
use sha2::{Digest, Sha256};

use super::{PublishError, Stamp};
use crate::batch::Part;
use crate::digest::hex;
use crate::failpoint;
use crate::nonce::nonce;
use crate::output;
use crate::records::{DataFile, PlanRecord};
use crate::storage::NO_FOLLOW;

/// Where files grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolFolder {
    /// In the state folder, from where they can be renamed; whoever works there has the lock.
    Renamed(PathBuf),
    /// In a folder for temporary files, from where they are sent to a bucket. They have no names there, so that nothing stays behind
    /// when the process is killed.
    Sent(PathBuf),
}

/// The files of a partition in the making. They disappear when this is dropped.
pub struct Spool {
    plan: PlanRecord,
    stamp: Stamp,
    folder: SpoolFolder,
    finished: Vec<Spooled>,
    current: Option<Growing>,
    /// Chunk after the last one of each file.
    ends: Vec<usize>,
    next_chunk: usize,
    digest: Sha256,
    rows: Rows,
}

/// Rows of a run, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// Rows read.
    pub read: u64,
    /// Rows written.
    pub written: u64,
    /// Rows not scored.
    pub rejected: u64,
}

/// A finished file that nobody reads yet. It disappears when it is dropped unpublished.
#[derive(Debug)]
pub struct Spooled {
    file: SpoolFile,
    /// What is known of it.
    pub data: DataFile,
}

/// A finished partition that nobody reads yet.
#[derive(Debug)]
pub struct Assembled {
    /// Identity that its footers carry.
    pub stamp: Stamp,
    /// Its files.
    pub files: Vec<Spooled>,
    /// Its rows.
    pub rows: Rows,
    /// SHA-256 over the digests of all parts, in order.
    pub chunks_digest: String,
    plan: PlanRecord,
    folder: SpoolFolder,
}

/// One file that grows.
struct Growing {
    writer: SerializedFileWriter<Hashed>,
    file: SpoolFile,
    first_chunk: usize,
    rows: u64,
}

impl Spool {
    /// Starts the files of a plan in a folder.
    pub fn create(folder: &SpoolFolder, plan: &PlanRecord, stamp: Stamp) -> Result<Self, PublishError> {
        folder.make()?;
        Ok(Self {
            plan: plan.clone(),
            stamp,
            folder: folder.clone(),
            finished: Vec::new(),
            current: None,
            ends: ends(&plan.chunks, plan.files),
            next_chunk: 0,
            digest: Sha256::new(),
            rows: Rows::default(),
        })
    }

    /// Appends a part. Parts come in the order of their chunks.
    pub fn append(&mut self, part: &Part) -> Result<(), PublishError> {
        self.rows.read += part.rows_in as u64;
        self.rows.written += part.rows_out as u64;
        self.rows.rejected += part.rows_rejected() as u64;
        if part.rows_in != part.rows_out + part.rows_rejected() {
            return Err(self.unbalanced());
        }
        self.digest.update(part.sha256.as_bytes());
        let mut growing = match self.current.take() {
            Some(growing) => growing,
            None => self.start_file()?,
        };
        growing.rows += part.rows_out as u64;
        if part.rows_out > 0 {
            copy(&mut growing.writer, &part.bytes).map_err(|source| growing.file.failed(source))?;
        }
        self.next_chunk += 1;
        if self.ends.get(self.finished.len()) == Some(&self.next_chunk) {
            self.finished.push(self.finish_file(growing)?);
        } else {
            self.current = Some(growing);
        }
        Ok(())
    }

    fn start_file(&self) -> Result<Growing, PublishError> {
        let file = SpoolFile::create(&self.folder)?;
        let writer = writer(&file, &self.plan, &self.stamp).map_err(|source| file.failed(source))?;
        Ok(Growing {
            writer,
            file,
            first_chunk: self.next_chunk,
            rows: 0,
        })
    }

    /// Closes a file, makes it durable and reads it back.
    fn finish_file(&self, growing: Growing) -> Result<Spooled, PublishError> {
        let Growing {
            mut writer,
            file,
            first_chunk,
            rows,
        } = growing;
        let finished = writer.finish().and_then(|_| Ok(writer.inner_mut().finish(&file)?));
        let (size, sha256) = finished.map_err(|source| file.failed(source))?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file.file);
        let metadata = metadata.map_err(|source| file.failed(source))?;
        let found = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
        if found != rows {
            return Err(PublishError::Verify {
                path: file.path.display().to_string(),
                expected: rows,
                found,
            });
        }
        Ok(Spooled {
            file,
            data: DataFile {
                name: super::file_name(self.finished.len()),
                size,
                sha256,
                rows,
                row_groups: metadata.num_row_groups(),
                chunks: (first_chunk, self.next_chunk),
            },
        })
    }

    fn unbalanced(&self) -> PublishError {
        PublishError::Rows {
            rows_in: self.rows.read,
            rows_out: self.rows.written,
            rows_rejected: self.rows.rejected,
        }
    }

    /// Closes the last file and checks that nothing is missing.
    pub fn finish(mut self) -> Result<Assembled, PublishError> {
        if self.rows.read != self.plan.total_rows || self.next_chunk != self.plan.chunks.len() {
            return Err(self.unbalanced());
        }
        // A date without rows is a file without rows.
        if self.finished.is_empty() {
            let growing = self.start_file()?;
            let spooled = self.finish_file(growing)?;
            self.finished.push(spooled);
        }
        Ok(Assembled {
            stamp: self.stamp,
            files: self.finished,
            rows: self.rows,
            chunks_digest: hex(&self.digest.finalize()),
            plan: self.plan,
            folder: self.folder,
        })
    }
}

impl SpoolFolder {
    /// The folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Renamed(path) | Self::Sent(path) => path,
        }
    }

    /// Removes what a process left there that was killed. Only whoever has the lock may do this.
    pub fn clear(&self) {
        if let Self::Renamed(path) = self {
            // What cannot be removed costs space and nothing else.
            let _ = fs::remove_dir_all(path);
        }
    }

    fn make(&self) -> Result<(), PublishError> {
        let path = self.path();
        fs::create_dir_all(path).map_err(|source| disk("create the folder", path, source))
    }
}

impl Assembled {
    /// The same data under another number or nonce: only footers differ.
    pub fn restamped(self, stamp: Stamp) -> Result<Self, PublishError> {
        if self.stamp == stamp {
            return Ok(self);
        }
        let files = self.files.iter().map(|spooled| {
            let file = SpoolFile::create(&self.folder)?;
            let failed = |source| file.failed(source);
            let mut writer = writer(&file, &self.plan, &stamp).map_err(failed)?;
            copy(&mut writer, &spooled.content()?).map_err(failed)?;
            let finished = writer.finish().and_then(|_| Ok(writer.inner_mut().finish(&file)?));
            let (size, sha256) = finished.map_err(failed)?;
            let data = DataFile {
                size,
                sha256,
                ..spooled.data.clone()
            };
            Ok(Spooled { file, data })
        });
        Ok(Self {
            files: files.collect::<Result<_, PublishError>>()?,
            stamp,
            ..self
        })
    }
}

impl Spooled {
    /// The file's bytes, mapped and not read.
    pub fn content(&self) -> Result<Bytes, PublishError> {
        mapped(&self.file.file).map_err(|source| disk("read the finished file", &self.file.path, source))
    }

    /// Folder in which it lies.
    pub(super) fn folder(&self) -> &Path {
        self.file.path.parent().unwrap_or(Path::new("."))
    }

    /// Moves the file to its final name, in place of what is there.
    pub(super) fn rename_to(mut self, path: &Path) -> Result<(), PublishError> {
        let failed = |source| disk("rename the finished file to", path, source);
        let name = path.to_string_lossy();
        failpoint::before("rename", &name).map_err(failed)?;
        // It has a name, so that somebody else may have come by it since it was checked.
        let found = self.file.file.metadata().map_err(failed)?.len();
        if found != self.data.size {
            return Err(PublishError::Changed {
                path: self.file.path.display().to_string(),
                expected: self.data.size,
                found,
            });
        }
        fs::rename(&self.file.path, path).map_err(failed)?;
        self.file.named = false;
        failpoint::after("rename", &name);
        Ok(())
    }
}

/// Files that a plan gives.
pub fn file_count(chunks: &[usize], files: usize) -> usize {
    ends(chunks, files).len().max(1)
}

/// Chunk after the last one of each file: files get about as many rows as one another.
fn ends(chunks: &[usize], files: usize) -> Vec<usize> {
    let total: usize = chunks.iter().sum();
    let mut ends = Vec::with_capacity(files);
    let mut rows = 0;
    for (chunk, count) in chunks.iter().enumerate() {
        rows += count;
        // The file is full when its share of the rows is reached; the last one takes what is left.
        let full = rows * files >= total * (ends.len() + 1);
        if (full && ends.len() + 1 < files) || chunk + 1 == chunks.len() {
            ends.push(chunk + 1);
        }
    }
    ends
}

fn writer(file: &SpoolFile, plan: &PlanRecord, stamp: &Stamp) -> Result<SerializedFileWriter<Hashed>, ParquetError> {
    let file = file.file.try_clone()?;
    let template = output::template(&plan.template)?;
    let template = template.file_metadata();
    let pairs = template.key_value_metadata().map_or(&[][..], Vec::as_slice);
    let properties = output::properties().set_key_value_metadata(Some(stamp.footer(plan, pairs)));
    let schema = template.schema_descr().root_schema_ptr();
    SerializedFileWriter::new(Hashed::new(file), schema, Arc::new(properties.build()))
}

/// Copies the column chunks of a file's row groups, with their page indexes.
fn copy(writer: &mut SerializedFileWriter<Hashed>, part: &Bytes) -> Result<(), ParquetError> {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = reader.parse_and_finish(part)?;
    for number in 0..metadata.num_row_groups() {
        let mut to = writer.next_row_group()?;
        output::copy_columns(&mut to, part, &metadata, number)?;
        to.close()?;
    }
    Ok(())
}

/// The footer of a file on this machine.
pub(super) fn footer_of(path: &Path) -> Result<ParquetMetaData, ParquetError> {
    let file = File::open(path)?;
    ParquetMetaDataReader::new().parse_and_finish(&file)
}

#[expect(
    unsafe_code,
    reason = "a file that only this process knows need not be copied to memory to be sent"
)]
fn mapped(file: &File) -> Result<Bytes, IoError> {
    // SAFETY: the file was created by this process under a name of its own or none, is finished, and nobody writes to it any more.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
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

    fn finish(&mut self, spool: &SpoolFile) -> Result<(u64, String), IoError> {
        let name = spool.path.to_string_lossy();
        failpoint::before("write", &name)?;
        self.file.flush()?;
        failpoint::before("sync", &name)?;
        self.file.get_ref().sync_all()?;
        failpoint::after("sync", &name);
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
    file: File,
    /// Its name, or what it is called in messages.
    path: PathBuf,
    /// Whether there is a name to be removed.
    named: bool,
}

impl SpoolFile {
    fn create(folder: &SpoolFolder) -> Result<Self, PublishError> {
        // No other process, dead or alive, has a file of this name.
        let path = folder.path().join(format!("{}.spool", nonce()));
        let mut options = OpenOptions::new();
        let opened = failpoint::before("create", &path.to_string_lossy()).and_then(|()| match folder {
            SpoolFolder::Renamed(_) => {
                options.custom_flags(NO_FOLLOW).mode(0o640);
                options.read(true).write(true).create_new(true).open(&path)
            }
            SpoolFolder::Sent(folder) => tempfile::tempfile_in(folder),
        });
        let file = opened.map_err(|source| disk("create the file", &path, source))?;
        let named = matches!(folder, SpoolFolder::Renamed(_));
        Ok(Self { file, path, named })
    }

    fn failed(&self, source: ParquetError) -> PublishError {
        PublishError::Assemble {
            path: self.path.display().to_string(),
            source,
        }
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        if self.named {
            // A file that stays behind costs space and nothing else: readers never look here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) fn disk(action: &'static str, path: &Path, source: IoError) -> PublishError {
    PublishError::Disk {
        action,
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::ends;

    #[test]
    fn files_get_about_as_many_rows_as_one_another() {
        assert_eq!(ends(&[10, 10, 10, 10], 2), [2, 4]);
        assert_eq!(ends(&[10, 10, 10, 10, 5], 3), [2, 3, 5]);
        assert_eq!(ends(&[100, 1, 1], 3), [1, 2, 3]);
        assert_eq!(ends(&[1, 1, 100], 2), [3]);
        assert_eq!(ends(&[5], 8), [1]);
        assert_eq!(ends(&[], 1), [0; 0]);
    }
}
