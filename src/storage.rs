//! The door to files and buckets: a [`Location`] becomes an object store and a path in it.
//!
//! The only file that names S3 or the local file system of `object_store`. It holds no protocol: what is written in
//! which order is decided by those who call it.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::{Path, PathPart};
use object_store::{
    ClientOptions, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart, coalesce_ranges,
};

use crate::error::Seam;
use crate::exit::ExitCode;
use crate::settings::StorageSettings;
use crate::validate::Location;

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
    store: Arc<dyn ObjectStore>,
    path: Path,
    location: Location,
}

impl Place {
    /// Opens the store that holds the location. Nothing is read yet.
    pub fn open(location: &Location, settings: &StorageSettings) -> Result<Self, StorageError> {
        let (store, path): (Arc<dyn ObjectStore>, Path) = match location {
            Location::Local(path) => (Arc::new(LocalFileSystem::new().with_fsync(true)), local_path(path)?),
            Location::S3 { bucket, prefix } => (
                Arc::new(bucket_store(bucket, settings)?),
                Path::parse(prefix).map_err(|source| StorageError::from_store(prefix, source.into()))?,
            ),
        };
        Ok(Self {
            store,
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
            store: Arc::clone(&self.store),
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
            store: Arc::clone(&self.store),
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
        match self.store.head(&self.path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            // A folder on a local disk is not an object.
            Err(_) if self.local().is_some_and(FilePath::is_dir) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    /// Every object below this place, in no particular order.
    pub async fn list(&self) -> Result<Vec<ObjectMeta>, StorageError> {
        let listed = self.store.list(Some(&self.path)).try_collect().await;
        listed.map_err(|source| self.error(source))
    }

    /// Names of the folders directly below this place, sorted.
    pub async fn folders(&self) -> Result<Vec<String>, StorageError> {
        match self.store.list_with_delimiter(Some(&self.path)).await {
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
        let answer = match self.store.get(&self.path).await {
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
        let answer = match self.store.get_opts(&self.path, options).await {
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
        let written = self.store.put(&self.path, bytes.into()).await;
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
        let upload = self.store.put_multipart(&self.path).await;
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

fn bucket_store(bucket: &str, settings: &StorageSettings) -> Result<object_store::aws::AmazonS3, StorageError> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if settings.allow_http {
        builder = builder.with_client_options(ClientOptions::new().with_allow_http(true));
    }
    let built = builder.build();
    built.map_err(|source| StorageError::from_store(&format!("s3://{bucket}"), source))
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

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store answered with an error, or not at all.
    #[error("reach `{place}`")]
    Store {
        /// The object or prefix.
        place: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// The answer was shorter or longer than what was asked for.
    #[error("`{place}` gave {found} bytes from offset {start}, expected {expected}")]
    WrongLength {
        /// The object.
        place: String,
        /// First byte asked for.
        start: u64,
        /// Bytes asked for.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
    /// A local file could not be read or written.
    #[error("use the local file `{}`", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl StorageError {
    fn from_store(place: &str, source: object_store::Error) -> Self {
        Self::Store {
            place: place.to_owned(),
            source,
        }
    }
}

/// What a store's answer means, where the library has no variant of its own for it: listings, for one, come back as a generic error that
/// only says so in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// 401 or 403.
    Refused,
    /// The bucket does not exist.
    NoBucket,
    /// The endpoint is plain HTTP, and the client was not told that this is in order.
    PlainHttp,
    /// Anything else.
    Other,
}

impl Answer {
    fn of(error: &object_store::Error) -> Self {
        let said = std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| {
            error.source()
        });
        let said: String = said.map(ToString::to_string).collect();
        let signs = [
            ("403 Forbidden", Self::Refused),
            ("401 Unauthorized", Self::Refused),
            ("<Code>NoSuchBucket</Code>", Self::NoBucket),
            ("URL scheme is not allowed", Self::PlainHttp),
        ];
        let found = signs.into_iter().find(|(sign, _)| said.contains(sign));
        found.map_or(Self::Other, |(_, answer)| answer)
    }
}

impl Seam for StorageError {
    fn exit(&self) -> ExitCode {
        use object_store::Error as E;
        match self {
            Self::Store { place, source } => match source {
                E::PermissionDenied { .. } | E::Unauthenticated { .. } => ExitCode::StoragePermission,
                E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => ExitCode::Config,
                E::NotImplemented { .. } | E::NotSupported { .. } => ExitCode::StorageConditions,
                _ => match Answer::of(source) {
                    Answer::Refused => ExitCode::StoragePermission,
                    Answer::NoBucket | Answer::PlainHttp => ExitCode::Config,
                    // Replaced or removed while it was being read: its writer has not finished.
                    Answer::Other if matches!(source, E::Precondition { .. } | E::NotFound { .. }) => {
                        ExitCode::InputNotReady
                    }
                    Answer::Other if place.starts_with("s3://") => ExitCode::StorageTransient,
                    Answer::Other => ExitCode::Disk,
                },
            },
            Self::WrongLength { .. } => ExitCode::StorageTransient,
            Self::Disk { .. } => ExitCode::Disk,
        }
    }

    fn hint(&self) -> Option<String> {
        let Self::Store { source, .. } = self else {
            return None;
        };
        let hint = match (source, Answer::of(source)) {
            (object_store::Error::Precondition { .. }, _) => {
                "the object was replaced while it was being read; run again once its writer has finished"
            }
            (_, Answer::NoBucket) => "check the bucket's name, and the endpoint and region that it is looked for at",
            (_, Answer::PlainHttp) => {
                "an endpoint without TLS is used only with [storage] allow_http = true or AWS_ALLOW_HTTP=true"
            }
            _ if self.exit() == ExitCode::StoragePermission => {
                "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a web identity, or the machine's role; \
                 profiles in ~/.aws are not read"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
