//! What killed processes leave on a local disk beside records: files in the making, and halves of files.
//!
//! The store's own listing hides its halves (`name#1`), so the folders are walked here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::publish::PublishError;
use crate::storage::Place;

/// A file on this machine.
#[derive(Debug)]
pub(super) struct Leftover {
    path: PathBuf,
    /// Its bytes.
    pub(super) bytes: u64,
    /// When it was written last.
    pub(super) written: DateTime<Utc>,
}

impl Leftover {
    /// True for half a file, by the name that the store gives it.
    pub(super) fn is_staging(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        name.rsplit_once('#')
            .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
    }

    pub(super) fn remove(&self) -> Result<(), PublishError> {
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove the file", &self.path, source))
            }
            _ => Ok(()),
        }
    }
}

/// Every file below a folder; none when there is no folder.
pub(super) fn files(folder: &Path) -> Result<Vec<Leftover>, PublishError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed("list the folder", &folder, source)),
        };
        for entry in entries {
            let path = entry
                .map_err(|source| failed("list the folder", &folder, source))?
                .path();
            match fs::symlink_metadata(&path) {
                Ok(facts) if facts.is_dir() => folders.push(path),
                Ok(facts) => found.push(Leftover {
                    bytes: facts.len(),
                    written: facts.modified().map_or(DateTime::<Utc>::MIN_UTC, DateTime::from),
                    path,
                }),
                // It was there a moment ago, and its writer has finished.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed("look at the file", &path, source)),
            }
        }
    }
    Ok(found)
}

/// Removes a folder and those below it, as far as they are empty. In a bucket there is none.
pub(super) fn remove_empty(place: &Place) {
    let Some(folder) = place.local() else {
        return;
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            // One that is not empty stays, and so does the one above.
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> PublishError {
    PublishError::Disk {
        action,
        path: path.display().to_string(),
        source,
    }
}
