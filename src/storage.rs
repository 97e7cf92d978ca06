//! The door to files and buckets: a [`Location`] becomes an object store and a path in it.
//!
//! The only file that names S3 or the local file system of `object_store`. It holds no protocol: what is written in
//! which order is decided by those who call it.

mod client;
mod credentials;
mod error;
mod failure;
mod traffic;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::{Path, PathPart};
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart, coalesce_ranges};

use crate::settings::StorageSettings;
use crate::validate::Location;

pub use self::error::StorageError;
pub use self::failure::{Answer, Failure, Refusal};
pub use self::traffic::{Counts, counts};

/// Ranges closer together than this are fetched in one request: a gap of this size costs less than a second round trip.
const COALESCE_BYTES: u64 = 512 * 1024;

/// Size of one piece of an upload. A bucket takes 10,000 of them, so objects of up to 320 GB.
const PIECE: usize = 32 * 1024 * 1024;

/// The same as a size of a file.
const PIECE_BYTES: u64 = PIECE as u64;

/// Pieces on the way at a time.
const CONCURRENT_PIECES: usize = 4;

/// A place in a store: a folder, a prefix or a file.
#[derive(Debug, Clone)]
pub struct Place {
    door: Arc<Door>,
    path: Path,
    location: Location,
}

/// The ways into one store. On a local disk they are one.
#[derive(Debug)]
struct Door {
    /// Reads, lists and heads.
    reads: Arc<dyn ObjectStore>,
    /// Data that is written; each request has the time that its size needs.
    writes: Arc<dyn ObjectStore>,
    /// Records of a few hundred bytes, read and written, which fail within seconds and wait behind no data.
    #[expect(
        dead_code,
        reason = "the first records that cannot wait come with the state of a publish"
    )]
    control: Arc<dyn ObjectStore>,
}

impl Door {
    fn to_disk() -> Self {
        let disk: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new().with_fsync(true));
        Self {
            reads: Arc::clone(&disk),
            writes: Arc::clone(&disk),
            control: disk,
        }
    }

    fn to_bucket(bucket: &str, settings: &StorageSettings) -> Result<Self, StorageError> {
        let clients = client::clients(bucket, settings)?;
        Ok(Self {
            reads: clients.data_in,
            writes: clients.data_out,
            control: clients.control,
        })
    }
}

impl Place {
    /// Opens the store that holds the location. Nothing is read yet.
    pub fn open(location: &Location, settings: &StorageSettings) -> Result<Self, StorageError> {
        let (door, path) = match location {
            Location::Local(path) => (Door::to_disk(), local_path(path)?),
            Location::S3 { bucket, prefix } => (
                Door::to_bucket(bucket, settings)?,
                Path::parse(prefix).map_err(|source| StorageError::from_store(prefix, source.into()))?,
            ),
        };
        Ok(Self {
            door: Arc::new(door),
            path,
            location: location.clone(),
        })
    }

    /// A place below this one; `name` may hold several segments.
    pub fn join(&self, name: &str) -> Self {
        let mut path = self.path.clone();
        for segment in name.split('/').filter(|segment| !segment.is_empty()) {
            // As it is: only what is no name at all, such as `..`, is written in percent form, and so names nothing.
            path = match PathPart::parse(segment) {
                Ok(part) => path.join(part),
                Err(_) => path.join(segment),
            };
        }
        let location = match &self.location {
            // As the user wrote it: relative to the folder in which the command runs.
            Location::Local(folder) => Location::Local(folder.join(name)),
            Location::S3 { bucket, .. } => Location::S3 {
                bucket: bucket.clone(),
                prefix: path.to_string(),
            },
        };
        Self {
            door: Arc::clone(&self.door),
            path,
            location,
        }
    }

    /// Another path in the same store.
    pub fn at(&self, path: Path) -> Self {
        let location = match &self.location {
            Location::Local(_) => Location::Local(PathBuf::from("/").join(decoded(&path))),
            Location::S3 { bucket, .. } => Location::S3 {
                bucket: bucket.clone(),
                prefix: path.to_string(),
            },
        };
        Self {
            door: Arc::clone(&self.door),
            path,
            location,
        }
    }

    /// The path in the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is, for messages and reports.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The file's path on this machine, if it is on this machine.
    pub fn local(&self) -> Option<&FilePath> {
        match &self.location {
            Location::Local(path) => Some(path),
            Location::S3 { .. } => None,
        }
    }

    /// Facts about the object at this place; `None` when there is none.
    pub async fn head(&self) -> Result<Option<ObjectMeta>, StorageError> {
        match self.door.reads.head(&self.path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            // A folder on a local disk is not an object.
            Err(_) if self.local().is_some_and(FilePath::is_dir) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    /// Every object below this place, in no particular order.
    pub async fn list(&self) -> Result<Vec<ObjectMeta>, StorageError> {
        let listed = self.door.reads.list(Some(&self.path)).try_collect().await;
        listed.map_err(|source| self.error(source))
    }

    /// Names of the folders directly below this place, sorted.
    pub async fn folders(&self) -> Result<Vec<String>, StorageError> {
        match self.door.reads.list_with_delimiter(Some(&self.path)).await {
            Ok(listed) => {
                let names = listed.common_prefixes.iter();
                let mut names: Vec<_> = names.filter_map(|path| path.filename().map(str::to_owned)).collect();
                names.sort_unstable();
                Ok(names)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(source) => Err(self.error(source)),
        }
    }

    /// The whole object; `None` when there is none.
    pub async fn read(&self) -> Result<Option<Bytes>, StorageError> {
        let answer = match self.door.reads.get(&self.path).await {
            Ok(answer) => answer.bytes().await,
            Err(source) => Err(source),
        };
        match answer {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    /// Ranges of an object whose `ETag` is still the given one, each of exactly the length asked for.
    pub async fn read_ranges(&self, ranges: &[Range<u64>], etag: Option<&str>) -> Result<Vec<Bytes>, StorageError> {
        let fetch = |range: Range<u64>| self.read_range(range, etag);
        coalesce_ranges(ranges, fetch, COALESCE_BYTES).await
    }

    async fn read_range(&self, range: Range<u64>, etag: Option<&str>) -> Result<Bytes, StorageError> {
        let expected = range.end - range.start;
        let options = GetOptions::new().with_range(Some(range.clone())).with_if_match(etag);
        let answer = match self.door.reads.get_opts(&self.path, options).await {
            Ok(answer) => answer.bytes().await,
            Err(source) => Err(source),
        };
        let bytes = answer.map_err(|source| self.error(source))?;
        // A server or proxy that ignores `Range` would otherwise hand over other bytes than those asked for.
        if bytes.len() as u64 == expected {
            Ok(bytes)
        } else {
            Err(StorageError::WrongLength {
                place: self.location.to_string(),
                start: range.start,
                expected,
                found: bytes.len() as u64,
            })
        }
    }

    /// Replaces the object in one step that no reader sees half of.
    pub async fn write(&self, bytes: Bytes) -> Result<(), StorageError> {
        let written = self.door.writes.put(&self.path, bytes.into()).await;
        written.map(|_| ()).map_err(|source| self.error(source))
    }

    /// Replaces the object by a file of this machine. A large one goes in pieces and appears when the last is in.
    pub async fn upload(&self, file: &FilePath) -> Result<(), StorageError> {
        let failed = |source| StorageError::Disk {
            path: file.to_owned(),
            source,
        };
        let mut source = File::open(file).map_err(failed)?;
        let size = source.metadata().map_err(failed)?.len();
        if size <= PIECE_BYTES {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            source.read_to_end(&mut bytes).map_err(failed)?;
            return self.write(bytes.into()).await;
        }
        let upload = self.door.writes.put_multipart(&self.path).await;
        let mut upload = WriteMultipart::new_with_chunk_size(upload.map_err(|source| self.error(source))?, PIECE);
        let mut rest = size;
        while rest > 0 {
            let mut piece = vec![0; usize::try_from(rest.min(PIECE_BYTES)).unwrap_or(0)];
            source.read_exact(&mut piece).map_err(failed)?;
            rest -= piece.len() as u64;
            let ready = upload.wait_for_capacity(CONCURRENT_PIECES).await;
            ready.map_err(|source| self.error(source))?;
            upload.put(piece.into());
        }
        upload.finish().await.map(|_| ()).map_err(|source| self.error(source))
    }

    fn error(&self, source: object_store::Error) -> StorageError {
        StorageError::from_store(&self.location.to_string(), source)
    }
}

/// The store's path of a file: absolute, whether or not the file exists yet.
fn local_path(path: &FilePath) -> Result<Path, StorageError> {
    let absolute = std::path::absolute(path).map_err(|source| StorageError::Disk {
        path: path.to_owned(),
        source,
    })?;
    Path::from_absolute_path(&absolute)
        .map_err(|source| StorageError::from_store(&absolute.display().to_string(), source.into()))
}

/// The store writes characters such as `#` in percent form; a file name has them as they are.
fn decoded(path: &Path) -> PathBuf {
    LocalFileSystem::new().path_to_filesystem(path).map_or_else(
        |_| PathBuf::from(path.as_ref()),
        |path| path.strip_prefix("/").map(FilePath::to_owned).unwrap_or(path),
    )
}
