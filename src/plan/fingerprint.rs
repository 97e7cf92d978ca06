//! The identity of a plan: the same work has the same fingerprint, whenever and wherever it is done.
//!
//! Whatever could change a row of the output is in it, and nothing else: neither the machine, nor threads, nor the time.

mod earlier;

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{InputFile, Plan};
use crate::digest::hex;
use crate::registry::ModelArtifact;
use crate::spec::{OnCorruptFile, PathType, RowActions};
use crate::validate::Job;

pub use earlier::{Earlier, earlier};

/// The version that counts for rows: major and minor.
const ENGINE: &str = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

/// Bytes of the digest that are kept: enough to tell any two plans apart, short enough for a folder's name.
const KEPT_BYTES: usize = 16;

/// What makes a plan what it is.
#[derive(Serialize)]
struct Identity<'a> {
    job: &'a str,
    date: String,
    keys: &'a [String],
    passthrough: &'a [String],
    lineage: Vec<(&'static str, &'a str)>,
    on: RowActions,
    include_values: bool,
    #[serde(skip_serializing_if = "is_fail")]
    on_corrupt_file: OnCorruptFile,
    #[serde(skip_serializing_if = "is_false")]
    binary_as_string: bool,
    /// Where damaged rows are rejected, it decides which rows those are; elsewhere a run that meets it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_decoded: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    path_types: &'a BTreeMap<String, PathType>,
    /// Names and types of carried columns, where no file says them.
    #[serde(skip_serializing_if = "Option::is_none")]
    carried: Option<Vec<String>>,
    inputs: Vec<Input<'a>>,
    chunks: Vec<usize>,
    files: usize,
    model: Model<'a>,
    engine: &'static str,
}

#[derive(Serialize)]
struct Input<'a> {
    path: String,
    size: u64,
    etag: Option<&'a str>,
    schema: &'a str,
}

#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    version: &'a str,
    sha256: &'a str,
    metadata_sha256: &'a str,
}

/// Takes what is written into a digest.
struct Digested(Sha256);

impl Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_fail(on: &OnCorruptFile) -> bool {
    *on == OnCorruptFile::Fail
}

/// The first 32 hex digits of the SHA-256 over the plan's identity as JSON.
pub fn fingerprint(job: &Job, artifact: &ModelArtifact, plan: &Plan, max_decoded: u64) -> String {
    identity(job, artifact, plan, max_decoded, ENGINE, |file| &file.schema_text)
}

/// The identity of a plan in one version of this program, which decodes the columns of a file as `schema` says.
fn identity(
    job: &Job,
    artifact: &ModelArtifact,
    plan: &Plan,
    max_decoded: u64,
    engine: &'static str,
    schema: impl Fn(&InputFile) -> &str,
) -> String {
    let inputs = plan.files.iter().map(|file| Input {
        path: file.place.location().to_string(),
        size: file.size,
        etag: file.etag.as_deref(),
        schema: schema(file),
    });
    let carried = plan.columns.carried();
    let carried = carried.map(|field| format!("{}: {}, {}", field.name(), field.data_type(), field.is_nullable()));
    let identity = Identity {
        job: &job.name,
        date: job.date.to_string(),
        keys: &job.keys,
        passthrough: &job.passthrough,
        lineage: job.lineage.named().collect(),
        on: job.rows.on,
        include_values: job.rows.include_values,
        on_corrupt_file: job.on_corrupt_file,
        binary_as_string: job.binary_as_string,
        max_decoded: (job.on_corrupt_file == OnCorruptFile::Reject).then_some(max_decoded),
        path_types: &job.path_types,
        carried: plan.is_marked_empty.then(|| carried.collect()),
        inputs: inputs.collect(),
        chunks: plan.chunks.iter().map(|chunk| chunk.rows).collect(),
        files: job.files,
        model: Model {
            name: &artifact.contract.name,
            version: &artifact.contract.version,
            sha256: &artifact.contract.sha256,
            metadata_sha256: &artifact.metadata_sha256,
        },
        engine,
    };
    // Written piece by piece: of many wide files it is larger than all else that is planned.
    let mut digested = Digested(Sha256::new());
    serde_json::to_writer(&mut digested, &identity).expect("strings and numbers become JSON");
    hex(&digested.0.finalize()[..KEPT_BYTES])
}

/// The identity of the plan of those rows that another plan rejected.
pub fn of_rejected(base_id: &str, plan_id: &str) -> String {
    hex(&Sha256::digest(format!("{base_id}:rejected of:{plan_id}"))[..KEPT_BYTES])
}

/// The identity of a plan that is done again on purpose; the first time it is the plan's own.
pub fn generation(base_id: &str, generation: u32) -> String {
    match generation {
        0 => base_id.to_owned(),
        again => hex(&Sha256::digest(format!("{base_id}:{again}"))[..KEPT_BYTES]),
    }
}
