//! The partition as readers see it: what is there, and how it is replaced.
//!
//! The only writer below the root of a data set. In a bucket each file is replaced by one request, on the condition that it is still what
//! was looked at; on a local disk by a rename, and several files by exchanging their folder, under the lock.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::spool::{disk, footer_of};
use super::{Owner, PublishError, Spooled, Stamp};
use crate::failpoint;
use crate::storage::{Attempt, Condition, NO_FOLLOW, Place, Seen, Version};

/// Name of the marker that some readers wait for. It is empty: Polars refuses a folder with a marker that is not.
pub const SUCCESS: &str = "_SUCCESS";

/// Bytes at the end of a file in which its footer most likely is.
const TAIL: u64 = 64 << 10;

/// The partition of one date.
#[derive(Debug, Clone)]
pub struct Partition {
    place: Place,
    owner: Owner,
    /// Whether data that we did not write may be replaced.
    adopt_foreign: bool,
}

/// A file as readers see it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// There is none.
    Nothing,
    /// One of ours.
    Ours(Stamp, Version),
    /// One that something else wrote.
    Foreign(Version),
}

impl Shown {
    /// The number of the publication; 0 where there is none of ours.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Ours(stamp, _) => stamp.seq,
            Self::Nothing | Self::Foreign(_) => 0,
        }
    }
}

impl Partition {
    /// The partition at a place.
    pub fn new(place: Place, owner: Owner, adopt_foreign: bool) -> Self {
        Self {
            place,
            owner,
            adopt_foreign,
        }
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> Place {
        self.place.join(name)
    }

    /// What readers see under a name.
    pub async fn look(&self, name: &str) -> Result<Shown, PublishError> {
        let file = self.file(name);
        if let Some(path) = file.local() {
            return self.look_locally(path);
        }
        let Some(seen) = file.look().await? else {
            return Ok(Shown::Nothing);
        };
        let named = Owner::of_object(&seen).zip(Stamp::of_object(&seen));
        let named = match named {
            Some(named) => Some(named),
            None => self.footer(name, &seen).await?.as_ref().and_then(named_by),
        };
        Ok(self.shown(named, seen.version))
    }

    fn shown(&self, named: Option<(Owner, Stamp)>, version: Version) -> Shown {
        match named {
            Some((owner, stamp)) if owner == self.owner => Shown::Ours(stamp, version),
            _ => Shown::Foreign(version),
        }
    }

    fn look_locally(&self, path: &Path) -> Result<Shown, PublishError> {
        // The lock stands for the version: nobody else replaces the file meanwhile.
        let version = Version::none();
        match footer_of(path) {
            Ok(footer) => Ok(self.shown(named_by(&footer), version)),
            Err(ParquetError::External(source)) => match source.downcast::<io::Error>() {
                Ok(error) if error.kind() == io::ErrorKind::NotFound => Ok(Shown::Nothing),
                Ok(error) => Err(disk("look at the published file", path, *error)),
                Err(_) => Ok(Shown::Foreign(version)),
            },
            Err(_) => Ok(Shown::Foreign(version)),
        }
    }

    /// The footer of a file that was looked at; `None` when it has none that can be read.
    pub async fn footer(&self, name: &str, seen: &Seen) -> Result<Option<ParquetMetaData>, PublishError> {
        if seen.size == 0 {
            return Ok(None);
        }
        let file = self.file(name);
        let mut wanted = TAIL;
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
        loop {
            let range = seen.size.saturating_sub(wanted)..seen.size;
            let tail = file.read_ranges(&[range], Some(seen.version.etag())).await?;
            let tail = tail.into_iter().next().unwrap_or_default();
            match reader.try_parse_sized(&tail, seen.size) {
                Ok(()) => return Ok(reader.finish().ok()),
                Err(ParquetError::NeedMoreData(more)) if (more as u64) <= seen.size && more as u64 > wanted => {
                    wanted = more as u64;
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// What may be replaced: an error when something else wrote it and the job does not say that it may be.
    pub fn condition(&self, name: &str, shown: &Shown) -> Result<Condition, PublishError> {
        match shown {
            Shown::Nothing => Ok(Condition::Absent),
            Shown::Ours(_, version) => Ok(Condition::Is(version.clone())),
            Shown::Foreign(version) if self.adopt_foreign => Ok(Condition::Is(version.clone())),
            Shown::Foreign(_) => Err(PublishError::Foreign {
                file: self.file(name).location().to_string(),
            }),
        }
    }

    /// Sends a file to a bucket by one request. Whether readers see it is for a look to tell.
    pub(super) async fn put(
        &self,
        spooled: &Spooled,
        stamp: &Stamp,
        condition: &Condition,
    ) -> Result<Attempt, PublishError> {
        let file = self.file(&spooled.data.name);
        let content = spooled.content()?;
        let metadata = stamp.metadata(&self.owner, &spooled.data.sha256);
        Ok(file.put_if(&content, condition, &metadata).await?)
    }

    /// Moves finished files to their names on a local disk, in one step, and makes it durable.
    pub(super) fn rename(&self, files: Vec<Spooled>) -> Result<(), PublishError> {
        let Some(folder) = self.place.local() else {
            return Ok(());
        };
        self.place.stays()?;
        let root = folder.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(root).map_err(|source| disk("create the folder", root, source))?;
        let mut files = files;
        match (files.pop(), files.is_empty()) {
            (Some(only), true) if !other_files(folder, &only.data.name) => {
                fs::create_dir_all(folder).map_err(|source| disk("create the folder", folder, source))?;
                let path = folder.join(&only.data.name);
                only.rename_to(&path)?;
            }
            (last, _) => {
                files.extend(last);
                exchange(folder, files)?;
            }
        }
        // The folder's parent too: the date's folder may be new.
        for folder in [folder, root] {
            sync(folder).map_err(|source| disk("make durable the folder", folder, source))?;
        }
        Ok(())
    }

    /// An error when something lies in the partition that is none of ours: readers would see it beside the predictions, and a folder that is
    /// exchanged would take it along.
    pub async fn expect_no_strangers(&self) -> Result<(), PublishError> {
        for meta in self.place.list().await? {
            let below: Vec<_> = meta
                .location
                .prefix_match(self.place.path())
                .into_iter()
                .flatten()
                .collect();
            match below.as_slice() {
                [name] if name.as_ref() == SUCCESS => {}
                [name] if super::is_file_name(name.as_ref()) => {
                    let shown = self.look(name.as_ref()).await?;
                    self.condition(name.as_ref(), &shown)?;
                }
                _ => {
                    return Err(PublishError::Stray {
                        file: self.place.at(meta.location).location().to_string(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Names of the data files that readers see.
    pub async fn names(&self) -> Result<Vec<String>, PublishError> {
        let listed = self.place.list().await?;
        let names = listed.iter().filter_map(|meta| meta.location.filename());
        let mut names: Vec<_> = names
            .filter(|name| super::is_file_name(name))
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a file that a narrower layout no longer has.
    pub(super) async fn remove(&self, name: &str) -> Result<(), PublishError> {
        Ok(self.file(name).remove().await?)
    }

    /// Says that a whole version is visible.
    pub async fn mark(&self) -> Result<(), PublishError> {
        let marker = self.file(SUCCESS);
        let Some(path) = marker.local() else {
            return Ok(marker.write(Bytes::new()).await?);
        };
        marker.stays()?;
        // Not by way of a file under another name, which a reader could take for data.
        let name = path.to_string_lossy();
        let mut options = OpenOptions::new();
        options.custom_flags(NO_FOLLOW).write(true).create(true).truncate(true);
        let made = failpoint::before("put", &name).and_then(|()| options.open(path).map(drop));
        failpoint::after("put", &name);
        made.map_err(|source| disk("create the marker", path, source))
    }

    /// True when the marker is there.
    pub async fn is_marked(&self) -> Result<bool, PublishError> {
        Ok(self.file(SUCCESS).head().await?.is_some())
    }

    /// Says that files are being replaced, where that takes more than one step.
    pub(super) async fn unmark(&self) -> Result<(), PublishError> {
        self.remove(SUCCESS).await
    }
}

/// What a footer says of itself.
fn named_by(footer: &ParquetMetaData) -> Option<(Owner, Stamp)> {
    Owner::of(footer).zip(Stamp::of(footer))
}

/// True when the folder holds data files beside the one of that name.
fn other_files(folder: &Path, name: &str) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    names.any(|other| other != name && super::is_file_name(&other))
}

/// Puts a whole folder in the place of another.
fn exchange(folder: &Path, files: Vec<Spooled>) -> Result<(), PublishError> {
    let Some(spool) = files.first().map(|file| file.folder().to_owned()) else {
        return Ok(());
    };
    let new = spool.join("partition");
    let failed = |source| disk("put together the folder", &new, source);
    // What a killed process left.
    match fs::remove_dir_all(&new) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(source)),
        _ => {}
    }
    fs::create_dir_all(&new).map_err(failed)?;
    for file in files {
        let name = file.data.name.clone();
        file.rename_to(&new.join(name))?;
    }
    sync(&new).map_err(failed)?;
    let name = folder.join(super::file_name(0)).to_string_lossy().into_owned();
    let failed = |source| disk("exchange the folder", folder, source);
    failpoint::before("exchange", &name).map_err(failed)?;
    if folder.exists() {
        renameat_with(CWD, &new, CWD, folder, RenameFlags::EXCHANGE).map_err(|error| failed(error.into()))?;
        // The old version; it is in the state folder now, where nobody reads.
        fs::remove_dir_all(&new).map_err(failed)?;
    } else {
        fs::rename(&new, folder).map_err(failed)?;
    }
    failpoint::after("exchange", &name);
    Ok(())
}

fn sync(folder: &Path) -> io::Result<()> {
    let name = folder.join(super::file_name(0));
    failpoint::before("sync", &name.to_string_lossy())?;
    File::open(folder)?.sync_all()
}
