//! Files that others look for: summaries, the message of a container's end, metrics for the node exporter.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::settings::TaskSettings;

/// What Airflow reads below its folder for results.
const XCOM_FILE: &str = "return.json";

/// More than this the kubelet does not keep.
const TERMINATION_BYTES: usize = 4_096;

impl TaskSettings {
    /// Files that get the summary: the one that was asked for, and Airflow's where its folder is there.
    pub(super) fn summaries(&self) -> Vec<PathBuf> {
        let xcom = self.xcom.as_deref().filter(|folder| folder.is_dir());
        let xcom = xcom.map(|folder| folder.join(XCOM_FILE));
        self.summary_file.iter().cloned().chain(xcom).collect()
    }
}

/// Writes a document, whole or not at all.
pub(super) fn write_document(path: &Path, document: &Value) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(document).unwrap_or_default();
    put(path, &text)
}

/// Writes into the file that the kubelet has made. One that is not there is not made.
pub(super) fn write_termination(path: &Path, text: &str) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).truncate(true).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    file.write_all(&text.as_bytes()[..text.floor_char_boundary(TERMINATION_BYTES)])
}

/// Replaces the job's file in the folder that the node exporter reads.
pub(super) fn write_metrics(folder: &Path, job: &str, text: &str) -> io::Result<()> {
    put(
        &folder.join(format!("batch_infer_{}.prom", job.replace('-', "_"))),
        text.as_bytes(),
    )
}

/// Replaces a file in one step. The name in between ends with nothing that anybody looks for.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // What was begun may not even be there.
        let _ = fs::remove_file(&fresh);
    }
    written
}
