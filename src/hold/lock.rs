//! The lock on a local disk: an exclusive `flock` on one file, for the whole run.
//!
//! The kernel gives it back when the process ends; one that is stopped keeps it, so no process can wake up late and find that it lost it.

use std::fs::{File, OpenOptions, TryLockError, create_dir_all};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::{Hold, HoldError, Holder, Seat, Taken};
use crate::records::DateFolder;
use crate::storage::{NO_FOLLOW, Place};

/// How often a lock that is held is tried again.
const POLL: Duration = Duration::from_millis(50);

/// A lock is tried for at least so long: each process that looks who has it holds it for a moment.
const LOOKS: Duration = Duration::from_millis(200);

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    pub(super) fn release(&self) {
        // Closing the file does it as well.
        let _ = self.file.unlock();
    }
}

/// The lock of a date.
pub(super) fn of_date(date: &DateFolder) -> Place {
    date.place().join("lock")
}

/// Takes a lock, waiting as long as patience lasts.
pub(super) async fn take(place: &Place, holder: &Holder, patience: Duration) -> Result<Taken, HoldError> {
    place.stays()?;
    let path = place.local().unwrap_or(Path::new("lock"));
    let failed = |source| HoldError::Lock {
        path: path.display().to_string(),
        source,
    };
    let mut file = opened(path).map_err(failed)?;
    let clock = place.clock();
    let until = clock.monotonic() + patience.max(LOOKS);
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if clock.monotonic() < until => clock.sleep(POLL).await,
            Err(TryLockError::WouldBlock) => return Ok(Taken::Busy(whoever(&mut file))),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    // For people, and for the message of a process that has to wait.
    let said = file
        .set_len(0)
        .and_then(|()| write!(file, "{} {} {}", holder.host, holder.pid, holder.id));
    said.map_err(failed)?;
    Ok(Taken::Held(Hold::Lock(Lock { file })))
}

/// Who has the lock. It is held for the moment of the look, which is why nobody gives up after one try.
pub(super) fn look(place: &Place) -> Result<Option<Seat>, HoldError> {
    let path = place.local().unwrap_or(Path::new("lock"));
    let failed = |source| HoldError::Lock {
        path: path.display().to_string(),
        source,
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(Seat {
            who: whoever(&mut file),
            seen_at: None,
        })),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn opened(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.custom_flags(NO_FOLLOW).read(true).append(true).create(true);
    options.open(path)
}

fn whoever(file: &mut File) -> String {
    let mut said = String::new();
    let _ = file.read_to_string(&mut said);
    let mut words = said.split(' ');
    match (words.next(), words.next()) {
        (Some(host), Some(pid)) => format!("process {pid} on {host}"),
        _ => "another process".to_owned(),
    }
}
