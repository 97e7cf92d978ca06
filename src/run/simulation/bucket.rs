//! A bucket in memory: requests take effect whole and in one order, as those of an object store do.
//!
//! It honours conditions, has an `ETag` that follows from the bytes, as stores do, and knows uploads in pieces.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attributes, Error, GetRange, PutMode};

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) etag: String,
    pub(super) attributes: Attributes,
    /// When it was written, since the simulation began.
    pub(super) written: Duration,
}

impl Object {
    pub(super) fn attribute(&self, name: &'static str) -> Option<&str> {
        let value = self.attributes.get(&object_store::Attribute::Metadata(name.into()))?;
        Some(value.as_ref())
    }
}

/// What a process asks of the bucket.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Get {
        path: Path,
        head: bool,
        range: Option<GetRange>,
        if_match: Option<String>,
    },
    List {
        prefix: Path,
    },
    Put {
        path: Path,
        bytes: Bytes,
        mode: PutMode,
        attributes: Attributes,
    },
    Delete {
        path: Path,
    },
    Begin {
        path: Path,
        attributes: Attributes,
    },
    Piece {
        upload: String,
        number: usize,
        bytes: Bytes,
    },
    Complete {
        path: Path,
        upload: String,
    },
    Abort {
        upload: String,
    },
}

impl Request {
    /// True when it changes something.
    pub(super) fn writes(&self) -> bool {
        !matches!(self, Self::Get { .. } | Self::List { .. })
    }

    /// The object that it would make or remove.
    pub(super) fn changes(&self) -> Option<&Path> {
        match self {
            Self::Put { path, .. } | Self::Delete { path } | Self::Complete { path, .. } => Some(path),
            _ => None,
        }
    }
}

/// A kind of write at which it matters who comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record of the log.
    Log,
    /// A file that readers see.
    File,
    /// The record of a chunk.
    Chunk,
    /// The announcement of an upload.
    Announcement,
    /// A removal.
    Removal,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Log, Self::File, Self::Chunk, Self::Announcement, Self::Removal];

    /// The kind of a request, if it is of one.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let path = match request {
            Request::Delete { .. } => return Some(Self::Removal),
            Request::Complete { .. } => return Some(Self::File),
            Request::Put { path, .. } => path,
            _ => return None,
        };
        match path.as_ref() {
            path if path.contains("/log/") => Some(Self::Log),
            path if path.contains("/uploads/") => Some(Self::Announcement),
            path if path.ends_with(".done.json") => Some(Self::Chunk),
            path if path.ends_with(".parquet") => Some(Self::File),
            _ => None,
        }
    }
}

/// What the bucket answers.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Object(Object, Range<u64>),
    Listed(Vec<(Path, Object)>),
    Written(String),
    Begun(String),
    Done,
}

/// The bucket.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<Path, Object>,
    uploads: BTreeMap<String, Upload>,
    begun: usize,
}

#[derive(Debug)]
struct Upload {
    attributes: Attributes,
    pieces: BTreeMap<usize, Bytes>,
}

impl Bucket {
    pub(super) fn get(&self, path: &Path) -> Option<&Object> {
        self.objects.get(path)
    }

    /// Objects below a folder.
    pub(super) fn below<'b>(&'b self, folder: &'b Path) -> impl Iterator<Item = (&'b Path, &'b Object)> {
        let below = move |path: &Path| path.prefix_match(folder).is_some_and(|mut rest| rest.next().is_some());
        let from = self.objects.range(folder.clone()..);
        from.take_while(|(path, _)| path.as_ref().starts_with(folder.as_ref()))
            .filter(move |(path, _)| below(path))
    }

    /// Lets a request take effect.
    pub(super) fn apply(&mut self, request: &Request, now: Duration) -> Result<Answer, Error> {
        match request {
            Request::Get {
                path,
                head,
                range,
                if_match,
            } => self.read(path, *head, range.as_ref(), if_match.as_deref()),
            Request::List { prefix } => {
                let found = self.below(prefix);
                Ok(Answer::Listed(
                    found.map(|(path, object)| (path.clone(), object.clone())).collect(),
                ))
            }
            Request::Put {
                path,
                bytes,
                mode,
                attributes,
            } => {
                self.permits(path, mode)?;
                Ok(self.place(path, bytes.clone(), attributes.clone(), now))
            }
            Request::Delete { path } => {
                self.objects.remove(path);
                Ok(Answer::Done)
            }
            Request::Begin { attributes, .. } => {
                self.begun += 1;
                let id = format!("upload-{}", self.begun);
                let upload = Upload {
                    attributes: attributes.clone(),
                    pieces: BTreeMap::new(),
                };
                self.uploads.insert(id.clone(), upload);
                Ok(Answer::Begun(id))
            }
            Request::Piece { upload, number, bytes } => {
                let found = self.uploads.get_mut(upload).ok_or_else(|| no_upload(upload))?;
                found.pieces.insert(*number, bytes.clone());
                Ok(Answer::Written(etag(bytes)))
            }
            Request::Complete { path, upload } => {
                let found = self.uploads.remove(upload).ok_or_else(|| no_upload(upload))?;
                let pieces: Vec<_> = found.pieces.into_values().collect();
                Ok(self.place(path, pieces.concat().into(), found.attributes, now))
            }
            Request::Abort { upload } => {
                let found = self.uploads.remove(upload);
                found.map(|_| Answer::Done).ok_or_else(|| no_upload(upload))
            }
        }
    }

    fn read(&self, path: &Path, head: bool, range: Option<&GetRange>, if_match: Option<&str>) -> Result<Answer, Error> {
        let object = self.get(path).ok_or_else(|| missing(path))?;
        if if_match.is_some_and(|wanted| wanted != object.etag) {
            return Err(changed(path));
        }
        let size = object.bytes.len() as u64;
        let range = match range {
            Some(range) if !head => range.as_range(size).map_err(|error| Error::Generic {
                store: "bucket",
                source: Box::new(error),
            })?,
            _ => 0..size,
        };
        Ok(Answer::Object(object.clone(), range))
    }

    fn permits(&self, path: &Path, mode: &PutMode) -> Result<(), Error> {
        match (mode, self.get(path)) {
            (PutMode::Create, Some(_)) => Err(exists(path)),
            (PutMode::Update(_), None) => Err(missing(path)),
            (PutMode::Update(version), Some(object)) if version.e_tag.as_deref() != Some(object.etag.as_str()) => {
                Err(changed(path))
            }
            _ => Ok(()),
        }
    }

    fn place(&mut self, path: &Path, bytes: Bytes, attributes: Attributes, now: Duration) -> Answer {
        let etag = etag(&bytes);
        let object = Object {
            bytes,
            etag: etag.clone(),
            attributes,
            written: now,
        };
        self.objects.insert(path.clone(), object);
        Answer::Written(etag)
    }
}

fn etag(bytes: &Bytes) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

fn missing(path: &Path) -> Error {
    Error::NotFound {
        path: path.to_string(),
        source: "no such key".into(),
    }
}

/// "The object exists", and also "somebody else is writing it" (409), which the client makes the same.
pub(super) fn exists(path: &Path) -> Error {
    Error::AlreadyExists {
        path: path.to_string(),
        source: "the key exists".into(),
    }
}

fn changed(path: &Path) -> Error {
    Error::Precondition {
        path: path.to_string(),
        source: "another version".into(),
    }
}

pub(super) fn no_upload(upload: &str) -> Error {
    Error::NotFound {
        path: upload.to_owned(),
        source: "no such upload".into(),
    }
}
