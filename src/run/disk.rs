//! Whether folders of this machine can be locked and exchanged as publishing does.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;

use super::RunError;
use crate::validate::Job;

/// File systems of other machines, by the number that the kernel has for them (statfs(2)).
const NETWORK: [(u64, &str); 7] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x5346_414f, "AFS"),
];

/// Checks the folders of the state and of the data set.
pub(super) fn check(job: &Job, state: &Path, output: &Path, allow_network_fs: bool) -> Result<(), RunError> {
    for folder in [state, output] {
        network(folder, allow_network_fs)?;
    }
    let (real_state, real_output) = (real(state)?, real(output)?);
    if real_state.starts_with(&real_output) || real_output.starts_with(&real_state) {
        return Err(RunError::Overlap {
            state: real_state.display().to_string(),
            output: real_output.display().to_string(),
        });
    }
    if device(state)? != device(output)? {
        return Err(RunError::Devices {
            state: job.state.to_string(),
            output: job.output.to_string(),
        });
    }
    Ok(())
}

/// The part of a path that exists.
fn existing(folder: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(folder)?;
    let found = absolute.ancestors().find(|folder| folder.exists());
    Ok(found.unwrap_or(Path::new("/")).to_owned())
}

/// A path without links, whether or not all of it exists yet.
fn real(folder: &Path) -> Result<PathBuf, RunError> {
    let failed = |source| folder_error(folder, source);
    let absolute = std::path::absolute(folder).map_err(failed)?;
    let there = existing(folder).map_err(failed)?;
    let rest = absolute.strip_prefix(&there).unwrap_or(Path::new(""));
    Ok(fs::canonicalize(&there).map_err(failed)?.join(rest))
}

/// The file system that a folder is on, or will be on.
fn device(folder: &Path) -> Result<u64, RunError> {
    let facts = existing(folder).and_then(fs::metadata);
    Ok(facts.map_err(|source| folder_error(folder, source))?.dev())
}

fn network(folder: &Path, allowed: bool) -> Result<(), RunError> {
    let facts = existing(folder).and_then(|folder| Ok(statfs(&folder)?));
    let facts = facts.map_err(|source| folder_error(folder, source))?;
    // The number is signed or not, 32 bits or 64, by architecture.
    #[expect(clippy::cast_sign_loss, reason = "it is a pattern of 32 bits")]
    let kind = (facts.f_type as u64) & 0xffff_ffff;
    match NETWORK.iter().find(|(number, _)| *number == kind) {
        Some((_, kind)) if !allowed => Err(RunError::NetworkFs {
            folder: folder.display().to_string(),
            kind,
        }),
        _ => Ok(()),
    }
}

fn folder_error(folder: &Path, source: io::Error) -> RunError {
    RunError::Folder {
        folder: folder.display().to_string(),
        source,
    }
}
