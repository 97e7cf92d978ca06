//! The binary under test, started with an environment that holds nothing but what a test gave it.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use assert_cmd::Command;

/// Far more than any run here takes, so that a run that hangs is a failure and not a wait.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where a user may have put shared libraries; all else of the environment is left out.
const LOADER_PATH: &str = "LD_LIBRARY_PATH";

/// The folder of this package.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The binary, to be run to its end from a folder.
pub(crate) fn command(folder: &Path) -> Command {
    patient(process(folder))
}

/// A process, to be run to its end.
pub(crate) fn patient(process: Process) -> Command {
    let mut command = Command::from_std(process);
    command.timeout(PATIENCE);
    command
}

/// The binary in a folder, whose `tmp` takes temporary files.
pub(crate) fn process(folder: &Path) -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_batch-infer"));
    process.env_clear().current_dir(folder).env("TMPDIR", temporary(folder));
    if let Some(path) = variable(LOADER_PATH) {
        process.env(LOADER_PATH, path);
    }
    process
}

/// The folder for temporary files of a process that runs in `folder`.
pub(crate) fn temporary(folder: &Path) -> PathBuf {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).unwrap();
    temporary
}

/// A variable of the test's own environment.
#[expect(
    clippy::disallowed_methods,
    reason = "what the machine of the test has is said there"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Seconds since 1970, by the clock that files are stamped with.
pub(crate) fn now() -> i64 {
    let file = tempfile::tempfile().unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    i64::try_from(written.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}
