//! The door to files and buckets: a [`Location`] becomes an object store and a path in it.
//!
//! The only file that names S3 or the local file system of `object_store`. It holds no protocol: what is written in
//! which order is decided by those who call it. Writes on a condition are in `storage/conditional.rs`.

mod beneath;
mod client;
mod conditional;
mod credentials;
mod disk;
mod error;
mod failure;
mod multipart;
mod patience;
mod probe;
mod received;
mod region;
mod traffic;
mod tree;
mod trial;

use std::fmt;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::path::{Path, PathPart};
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, coalesce_ranges};

pub use conditional::{Attempt, Condition, Created, Replaced, Seen, Version};
pub use multipart::{Pieces, Upload};

use self::conditional::Conditions;
use self::received::Received;
use crate::clock::{Clock, SystemClock};
use crate::failpoint;
use crate::settings::StorageSettings;
use crate::validate::Location;

pub use self::error::StorageError;
pub use self::failure::{Answer, Failure, Refusal};
pub use self::traffic::{Counts, counts};
pub use self::tree::{Found, Identity, Kind, Visit};
pub use self::trial::Traces;

/// Ranges closer together than this are fetched in one request: a gap of this size costs less than a second round trip.
const COALESCE_BYTES: u64 = 512 * 1024;

/// For opening a file of this name and not what a link of this name leads to.
#[expect(clippy::cast_possible_wrap, reason = "a pattern of bits, which std takes as signed")]
pub const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

/// A place in a store: a folder, a prefix or a file.
#[derive(Debug, Clone)]
pub struct Place {
    door: Arc<Door>,
    path: Path,
    location: Location,
    /// What was opened. Nothing that is written here may lie outside of it.
    root: Path,
}

/// The ways into one store.
struct Door {
    /// Reads, lists and heads.
    reads: Arc<dyn ObjectStore>,
    /// Data that is written; each request has the time that its size needs.
    writes: Arc<dyn ObjectStore>,
    /// Records of a few hundred bytes, read and written, which fail within seconds and wait behind no data.
    control: Arc<dyn ObjectStore>,
    /// Uploads in pieces, where the store knows them.
    pieces: Option<Arc<dyn MultipartStore>>,
    /// How the store takes conditions.
    conditions: Conditions,
    clock: Arc<dyn Clock>,
}

impl Door {
    /// Files of this machine. Records are made durable; parts can be made again and need not be.
    fn to_disk() -> Self {
        let lasting = Arc::new(LocalFileSystem::new().with_fsync(true));
        let quick = Arc::new(LocalFileSystem::new());
        Self {
            reads: quick.clone(),
            writes: quick,
            control: lasting,
            pieces: None,
            conditions: Conditions::default(),
            clock: Arc::new(SystemClock),
        }
    }

    fn to_bucket(bucket: &str, settings: &StorageSettings) -> Result<Self, StorageError> {
        let clients = client::clients(bucket, settings)?;
        Ok(Self {
            reads: clients.data_in,
            writes: clients.data_out.clone(),
            control: clients.control,
            pieces: Some(clients.data_out),
            conditions: Conditions::default(),
            clock: Arc::new(SystemClock),
        })
    }

    /// The same stores behind another door.
    fn shared(&self) -> Self {
        Self {
            reads: Arc::clone(&self.reads),
            writes: Arc::clone(&self.writes),
            control: Arc::clone(&self.control),
            pieces: self.pieces.clone(),
            conditions: self.conditions.clone(),
            clock: Arc::clone(&self.clock),
        }
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
            root: path.clone(),
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
            root: self.root.clone(),
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
            root: self.root.clone(),
        }
    }

    /// Another prefix of the same bucket.
    pub fn at_prefix(&self, prefix: &str) -> Result<Self, StorageError> {
        let path = Path::parse(prefix).map_err(|source| StorageError::from_store(prefix, source.into()))?;
        Ok(self.at(path))
    }

    /// An error where a link on a local disk leads from this place out of the folder that was opened. Asked before anything is written.
    pub fn stays(&self) -> Result<(), StorageError> {
        let Location::Local(_) = self.location else {
            return Ok(());
        };
        let file = |path: &Path| PathBuf::from("/").join(decoded(path));
        let (root, path) = (file(&self.root), file(&self.path));
        match beneath::way_out(&root, &path) {
            Ok(None) => Ok(()),
            Ok(Some(link)) => Err(StorageError::LeadsOut {
                link: link.path,
                target: link.target,
                root,
            }),
            Err(source) => Err(StorageError::Disk { path, source }),
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
        self.insist(|| self.head_once()).await
    }

    async fn head_once(&self) -> Result<Option<ObjectMeta>, StorageError> {
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
        self.insist(|| self.list_once()).await
    }

    async fn list_once(&self) -> Result<Vec<ObjectMeta>, StorageError> {
        self.before("list")?;
        let listed = self.door.reads.list(Some(&self.path)).try_collect().await;
        self.after("list");
        listed.map_err(|source| self.error(source))
    }

    /// Names of the folders directly below this place, sorted.
    pub async fn folders(&self) -> Result<Vec<String>, StorageError> {
        self.insist(|| self.folders_once()).await
    }

    async fn folders_once(&self) -> Result<Vec<String>, StorageError> {
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
        self.insist(|| self.read_once()).await
    }

    async fn read_once(&self) -> Result<Option<Bytes>, StorageError> {
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
        let fetch = |range: Range<u64>| self.insist(move || self.read_range(range.clone(), etag));
        coalesce_ranges(ranges, fetch, COALESCE_BYTES).await
    }

    async fn read_range(&self, range: Range<u64>, etag: Option<&str>) -> Result<Bytes, StorageError> {
        let expected = range.end - range.start;
        let options = GetOptions::new().with_range(Some(range.clone())).with_if_match(etag);
        let answer = match self.door.reads.get_opts(&self.path, options).await {
            Ok(GetResult {
                payload: GetResultPayload::File(file, _),
                range,
                ..
            }) => disk::read(file, range).await.map(Received::from),
            Ok(answer) => received::receive(answer, expected).await,
            Err(source) => Err(source),
        };
        let Received { bytes, length: found } = answer.map_err(|source| self.error(source))?;
        // A server or proxy that ignores `Range` would otherwise hand over other bytes than those asked for.
        if found == expected {
            Ok(bytes)
        } else {
            Err(StorageError::WrongLength {
                place: self.location.to_string(),
                start: range.start,
                expected,
                found,
            })
        }
    }

    /// Replaces the object in one step that no reader sees half of.
    pub async fn write(&self, bytes: Bytes) -> Result<(), StorageError> {
        self.insist(|| self.write_once(bytes.clone())).await
    }

    async fn write_once(&self, bytes: Bytes) -> Result<(), StorageError> {
        self.stays()?;
        self.before("put")?;
        let written = self.door.writes.put(&self.path, bytes.into()).await;
        self.after("put");
        written.map(|_| ()).map_err(|source| self.error(source))
    }

    /// As `write`, and asks the store afterwards whether all of it is there.
    pub async fn write_checked(&self, bytes: Bytes) -> Result<(), StorageError> {
        if self.local().is_some() {
            return self.write(bytes).await;
        }
        self.insist(|| self.write_and_look(bytes.clone())).await
    }

    async fn write_and_look(&self, bytes: Bytes) -> Result<(), StorageError> {
        let expected = bytes.len() as u64;
        self.write(bytes).await?;
        match self.look().await?.map_or(0, |seen| seen.size) {
            found if found == expected => Ok(()),
            found => Err(StorageError::WrongLength {
                place: self.location.to_string(),
                start: 0,
                expected,
                found,
            }),
        }
    }

    /// Removes the object; one that is not there is removed already.
    pub async fn remove(&self) -> Result<(), StorageError> {
        self.insist(|| self.remove_once()).await
    }

    async fn remove_once(&self) -> Result<(), StorageError> {
        self.stays()?;
        self.before("remove")?;
        let removed = self.door.control.delete(&self.path).await;
        self.after("remove");
        match removed {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.error(source)),
        }
    }

    /// The same place for what can be made again: on a local disk, writing it does not wait for the disk.
    pub fn fleeting(&self) -> Self {
        let mut place = self.clone();
        if self.local().is_some() {
            place.door = Arc::new(Door {
                control: Arc::clone(&self.door.writes),
                ..self.door.shared()
            });
        }
        place
    }

    /// Takes conditions as the store of another place was found to.
    pub fn takes_conditions_like(&self, other: &Self) {
        self.door.conditions.follow(&other.door.conditions);
    }

    /// The time, as whoever uses this place should wait.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.door.clock
    }

    fn before(&self, operation: &str) -> Result<(), StorageError> {
        failpoint::before(operation, self.path.as_ref()).map_err(|source| StorageError::Disk {
            path: PathBuf::from(self.location.to_string()),
            source,
        })
    }

    fn after(&self, operation: &str) {
        failpoint::after(operation, self.path.as_ref());
    }

    fn error(&self, source: object_store::Error) -> StorageError {
        StorageError::from_store(&self.location.to_string(), source)
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("reads", &self.reads)
            .finish_non_exhaustive()
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

#[cfg(test)]
impl Place {
    /// A bucket that a test made, and its clock.
    pub(crate) fn made<S: ObjectStore + MultipartStore>(store: S, clock: Arc<dyn Clock>, location: Location) -> Self {
        let store = Arc::new(store);
        let Location::S3 { prefix, .. } = &location else {
            panic!("a bucket has a name");
        };
        Self {
            root: Path::from(prefix.as_str()),
            path: Path::from(prefix.as_str()),
            door: Arc::new(Door {
                reads: store.clone(),
                writes: store.clone(),
                control: store.clone(),
                pieces: Some(store),
                conditions: Conditions::default(),
                clock,
            }),
            location,
        }
    }
}
