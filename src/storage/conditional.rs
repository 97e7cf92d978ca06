//! Writes on a condition, judged by what is there afterwards and not by what the store answered.
//!
//! A client that repeats a request after a lost answer can be refused because of its own success, and a time-out says nothing. So after
//! anything but a success the object is read again: bytes equal to ours are ours. Records differ in at least one identifier, so equal bytes
//! have one writer, or it does not matter which.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use object_store::{
    Attribute, Attributes, Error as StoreError, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, UpdateVersion,
};

use super::patience::Patience;
use super::{Place, StorageError};
use crate::error::Seam;
use crate::exit::ExitCode;

/// Identity of an object's bytes: its `ETag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// A version that no object has.
    pub fn none() -> Self {
        Self("\"00000000000000000000000000000000\"".to_owned())
    }

    /// The `ETag` as the store gave it.
    pub fn etag(&self) -> &str {
        &self.0
    }

    /// The same in one form.
    pub(super) fn written(&self, form: Form) -> Self {
        match form {
            Form::Quoted => self.clone(),
            Form::Unquoted => Self(self.0.trim_matches('"').to_owned()),
        }
    }
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There is no object.
    Absent,
    /// The object is this version.
    Is(Version),
    /// Nothing: whatever is there is replaced.
    Any,
}

/// Whose record is there after an attempt to create it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// Ours.
    Ours,
    /// Somebody else's, with these bytes.
    Theirs(Bytes),
}

/// Whose record is there after an attempt to replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// Ours, as this version.
    Ours(Version),
    /// Somebody else's.
    Theirs,
}

/// What the store said to one write.
#[derive(Debug)]
pub enum Attempt {
    /// It is done.
    Done,
    /// It may be done or not: refused, timed out, broken off. Only a look tells.
    Unsure(StorageError),
}

/// How the store takes conditions. Found out by trying; shared by all places of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions(Arc<AtomicU8>);

/// How an `ETag` is written in a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In quotes, as the standard says.
    Quoted,
    /// Without, as Ceph's gateway compares it.
    Unquoted,
}

const QUOTED: u8 = 0;
const UNQUOTED: u8 = 1;
/// Not at all, and whoever runs us said that there is no other writer.
const NEVER: u8 = 2;

impl Conditions {
    /// From now on in this form.
    pub(super) fn write(&self, form: Form) {
        self.set(match form {
            Form::Quoted => QUOTED,
            Form::Unquoted => UNQUOTED,
        });
    }

    fn set(&self, form: u8) {
        self.0.store(form, Ordering::Relaxed);
    }

    pub(super) fn follow(&self, other: &Self) {
        self.set(other.0.load(Ordering::Relaxed));
    }

    fn never(&self) -> bool {
        self.0.load(Ordering::Relaxed) == NEVER
    }

    fn mode(&self, condition: &Condition) -> PutMode {
        let form = self.0.load(Ordering::Relaxed);
        match condition {
            _ if form == NEVER => PutMode::Overwrite,
            Condition::Any => PutMode::Overwrite,
            Condition::Absent => PutMode::Create,
            Condition::Is(version) => {
                let Version(etag) = match form {
                    UNQUOTED => version.written(Form::Unquoted),
                    _ => version.written(Form::Quoted),
                };
                PutMode::Update(UpdateVersion {
                    e_tag: Some(etag),
                    version: None,
                })
            }
        }
    }
}

impl Place {
    /// Creates the object unless there is one.
    pub async fn create(&self, bytes: Bytes) -> Result<Created, StorageError> {
        let (created, _) = self.create_version(bytes).await?;
        Ok(created)
    }

    /// As `create`, with the version of what is there, where the store named it.
    pub async fn create_version(&self, bytes: Bytes) -> Result<(Created, Option<Version>), StorageError> {
        let mut patience = Patience::new(self);
        loop {
            // Without conditions a look is all the protection there is.
            if self.door.conditions.never()
                && let Some((found, version)) = self.read_record().await?
            {
                return Ok((whose(&bytes, found), Some(version)));
            }
            let attempt = self
                .attempt("create", &bytes, &Condition::Absent, Attributes::new())
                .await?;
            let reason = match attempt {
                (Attempt::Done, version) => return Ok((Created::Ours, version)),
                (Attempt::Unsure(reason), _) => reason,
            };
            match self.read_record().await {
                Ok(Some((found, version))) => return Ok((whose(&bytes, found), Some(version))),
                Ok(None) => patience.or(reason).await?,
                Err(unread) => patience.or(unread).await?,
            }
        }
    }

    /// Replaces the object if it is still this version.
    pub async fn replace(&self, bytes: Bytes, over: &Version) -> Result<Replaced, StorageError> {
        let mut patience = Patience::new(self);
        let condition = Condition::Is(over.clone());
        loop {
            let reason = match self.attempt("replace", &bytes, &condition, Attributes::new()).await? {
                (Attempt::Done, Some(version)) => return Ok(Replaced::Ours(version)),
                (Attempt::Done, None) => self.unanswered(),
                (Attempt::Unsure(reason), _) => reason,
            };
            match self.read_record().await {
                Ok(Some((found, version))) if found == bytes => return Ok(Replaced::Ours(version)),
                Ok(Some((_, version))) if version == *over => patience.or(reason).await?,
                Ok(_) => return Ok(Replaced::Theirs),
                Err(unread) => patience.or(unread).await?,
            }
        }
    }

    /// The object and its version; `None` when there is none.
    pub async fn read_record(&self) -> Result<Option<(Bytes, Version)>, StorageError> {
        self.insist(|| self.read_record_once()).await
    }

    async fn read_record_once(&self) -> Result<Option<(Bytes, Version)>, StorageError> {
        self.before("read")?;
        let answer = match self.door.control.get(&self.path).await {
            Ok(answer) => {
                let etag = answer.meta.e_tag.clone().unwrap_or_default();
                answer.bytes().await.map(|bytes| (bytes, Version(etag)))
            }
            Err(source) => Err(source),
        };
        self.after("read");
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    /// One write of the object with user metadata. Whether it happened is for a look to tell.
    pub async fn put_if(
        &self,
        bytes: &Bytes,
        condition: &Condition,
        metadata: &[(&'static str, String)],
    ) -> Result<Attempt, StorageError> {
        let (attempt, _) = self.attempt("put", bytes, condition, attributes(metadata)).await?;
        Ok(attempt)
    }

    /// Size, version and user metadata of the object; `None` when there is none.
    pub async fn look(&self) -> Result<Option<Seen>, StorageError> {
        self.insist(|| self.look_once()).await
    }

    async fn look_once(&self) -> Result<Option<Seen>, StorageError> {
        self.before("look")?;
        let options = GetOptions::new().with_head(true);
        let answer = self.door.control.get_opts(&self.path, options).await;
        self.after("look");
        match answer {
            Ok(answer) => Ok(Some(Seen {
                size: answer.meta.size,
                version: Version(answer.meta.e_tag.clone().unwrap_or_default()),
                metadata: answer.attributes,
            })),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.error(source)),
        }
    }

    /// False after it was said that there are to be none.
    pub fn keeps_conditions(&self) -> bool {
        !self.door.conditions.never()
    }

    /// Goes on without conditions.
    pub fn without_conditions(&self) {
        self.door.conditions.set(NEVER);
    }

    pub(super) async fn attempt(
        &self,
        operation: &str,
        bytes: &Bytes,
        condition: &Condition,
        attributes: Attributes,
    ) -> Result<(Attempt, Option<Version>), StorageError> {
        let options = PutOptions {
            mode: self.door.conditions.mode(condition),
            attributes,
            ..PutOptions::default()
        };
        // Records are small and waited for; data goes the way of data.
        let store = match operation {
            "put" => &self.door.writes,
            _ => &self.door.control,
        };
        self.stays()?;
        self.before(operation)?;
        let answer = store
            .put_opts(&self.path, PutPayload::from(bytes.clone()), options)
            .await;
        self.after(operation);
        match answer {
            Ok(put) => Ok((Attempt::Done, put.e_tag.map(Version))),
            Err(source) => {
                let error = self.error(source);
                if hopeless(&error) {
                    Err(error)
                } else {
                    Ok((Attempt::Unsure(error), None))
                }
            }
        }
    }

    fn unanswered(&self) -> StorageError {
        self.error(StoreError::Generic {
            store: "store",
            source: "it is not known whether the write took place".into(),
        })
    }
}

/// An object as a look shows it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Bytes.
    pub size: u64,
    /// Its version.
    pub version: Version,
    metadata: Attributes,
}

impl Seen {
    /// One value of the user metadata.
    pub fn metadata(&self, name: &'static str) -> Option<&str> {
        let value = self.metadata.get(&Attribute::Metadata(name.into()))?;
        Some(value.as_ref())
    }
}

/// User metadata as the store's client takes it.
pub(super) fn attributes(metadata: &[(&'static str, String)]) -> Attributes {
    let attributes = metadata.iter();
    attributes
        .map(|(name, value)| (Attribute::Metadata((*name).into()), value.clone()))
        .collect()
}

fn whose(ours: &Bytes, found: Bytes) -> Created {
    if *ours == found {
        Created::Ours
    } else {
        Created::Theirs(found)
    }
}

/// Errors that no second try changes.
fn hopeless(error: &StorageError) -> bool {
    let last = matches!(
        error.exit(),
        ExitCode::StoragePermission | ExitCode::StorageConditions | ExitCode::Config | ExitCode::Disk
    );
    last && !error.is_refusal()
}
