//! Which files of the input are read, which are named and passed over, and which folders are refused.

mod empty;
mod links;
mod names;
mod table;
mod unfinished;

use std::fs;
use std::path::Path;

use crate::support::JobFixture;

/// The folder of the date.
const FOLDER: &str = "features/date=2026-11-19";

/// A job over 50 rows, and a second file of 50 rows that may be moved where a test wants it.
fn job() -> JobFixture {
    // Warnings are a part of what is claimed here.
    JobFixture::new().rows(100).files(2).setting("log.level", "warn")
}

/// Moves a file of the date's folder.
fn moved(folder: &Path, from: &str, to: &str) {
    let to = folder.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(folder.join(from), to).unwrap();
}

/// Writes a file of the date's folder.
fn write(folder: &Path, name: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"half a file").unwrap();
}
