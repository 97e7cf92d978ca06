//! The jobs in force: what was read from the files of a folder, and the text of each as it was read.
//!
//! Runs are started with these texts. So a file that is being edited, or that was refused, is seen by nobody before it is read as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;

use super::DaemonError;
use crate::document::Document;
use crate::error::Error;
use crate::validate::{self, Job};

/// Rules for paths hold for all dates alike.
const ANY_DATE: NaiveDate = NaiveDate::from_ymd_opt(2000, 2, 29).expect("a date of the calendar");

/// The jobs in force.
#[derive(Debug, Clone)]
pub(super) struct Board {
    entries: BTreeMap<String, Entry>,
}

/// A job and its file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) job: Job,
    pub(super) file: PathBuf,
    pub(super) text: Arc<str>,
}

impl Board {
    /// Reads every `*.toml` of a folder. The first file with mistakes is an error that tells all of its mistakes.
    pub(super) fn read(folder: &Path) -> Result<Self, Error> {
        let failed = |source| DaemonError::Folder {
            folder: folder.display().to_string(),
            source,
        };
        let mut files = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
            .map_err(failed)?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for file in files {
            let text = fs::read_to_string(&file).map_err(failed)?;
            let document = Document::new("job file", &file.display().to_string(), &text);
            let job = validate::read(&document, ANY_DATE)?;
            if let Some(other) = entries.get(&job.name) {
                return Err(DaemonError::Twice {
                    name: job.name,
                    first: other.file.display().to_string(),
                    second: file.display().to_string(),
                }
                .into());
            }
            let text = text.into();
            entries.insert(job.name.clone(), Entry { job, file, text });
        }
        if entries.is_empty() {
            return Err(DaemonError::NoJobs {
                folder: folder.display().to_string(),
            }
            .into());
        }
        Ok(Self { entries })
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The text of a job's file.
    pub(super) fn text(&self, job: &str) -> Option<Arc<str>> {
        self.entries.get(job).map(|entry| Arc::clone(&entry.text))
    }
}
