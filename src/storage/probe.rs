//! Whether a folder is there, and whether it holds a file of some name: asked with few requests, and without a listing of what lies beside it.

use std::fs;
use std::io;
use std::path::{Path as FilePath, PathBuf};

use futures::TryStreamExt;

use super::{Answer, Place, StorageError, decoded};

/// Names that are looked at in a folder of a bucket. What is looked for stands among the first names where it stands at all, and a folder of
/// that name that belongs to somebody else may hold millions.
const MOST_NAMES: usize = 20_000;

impl Place {
    /// Whether something lies below a folder of that name: one request to a bucket.
    pub async fn has_folder(&self, name: &str) -> Result<bool, StorageError> {
        let folder = self.join(name);
        if self.local().is_some() {
            return folder.is_folder();
        }
        folder
            .insist(|| async {
                let first = folder.door.reads.list(Some(&folder.path)).try_next().await;
                Ok(first.map_err(|source| folder.error(source))?.is_some())
            })
            .await
    }

    /// Whether a folder of that name holds, directly in it, a file whose name is looked for.
    pub async fn has_file(&self, folder: &str, wanted: fn(&str) -> bool) -> Result<bool, StorageError> {
        let folder = self.join(folder);
        if self.local().is_some() {
            return folder.holds(wanted);
        }
        folder
            .insist(|| async {
                let mut objects = folder.door.reads.list(Some(&folder.path));
                let depth = folder.path.parts().count() + 1;
                for _ in 0..MOST_NAMES {
                    let next = objects.try_next().await;
                    let Some(meta) = next.map_err(|source| folder.error(source))? else {
                        return Ok(false);
                    };
                    let is_direct = meta.location.parts().count() == depth;
                    if is_direct && meta.location.filename().is_some_and(wanted) {
                        return Ok(true);
                    }
                }
                Ok(false)
            })
            .await
    }

    fn is_folder(&self) -> Result<bool, StorageError> {
        let at = self.on_disk();
        match fs::metadata(&at) {
            Ok(facts) => Ok(facts.is_dir()),
            Err(source) => absent(at, source),
        }
    }

    fn holds(&self, wanted: fn(&str) -> bool) -> Result<bool, StorageError> {
        let at = self.on_disk();
        match fs::read_dir(&at) {
            Ok(mut entries) => Ok(entries.any(|entry| {
                let name = entry.map(|entry| entry.file_name()).unwrap_or_default();
                name.to_str().is_some_and(wanted)
            })),
            Err(source) => absent(at, source),
        }
    }

    /// Where it lies on a disk of this machine.
    pub(super) fn on_disk(&self) -> PathBuf {
        FilePath::new("/").join(decoded(&self.path))
    }
}

/// What is not there is no folder.
fn absent(path: PathBuf, source: io::Error) -> Result<bool, StorageError> {
    if is_absent(&source) {
        Ok(false)
    } else {
        Err(StorageError::Disk { path, source })
    }
}

/// Whether nothing is there.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl StorageError {
    /// True where the store or the system does not allow it.
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::Disk { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            error => matches!(
                error.answer(),
                Some(Answer::Refused(_) | Answer::Local(io::ErrorKind::PermissionDenied))
            ),
        }
    }
}
