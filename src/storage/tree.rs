//! A folder on a local disk, walked: its files, the folders that are not entered, and the links in it.
//!
//! The listing of `object_store` leaves out empty folders and links to nothing, fails at a loop of links wherever one is, and does not tell
//! a file from a link to it. Sizes, times and `ETag`s are those that `object_store` gives, since a read asks for them again.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::probe::is_absent;
use super::{Place, StorageError};

/// Links that may lead from one to the next on the way to a file. More are made by accident or to keep the program busy.
const MOST_LINKS: usize = 16;

/// What is done with a folder that the walk comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// Its files are listed.
    Enter,
    /// It is named with its own time, and its files are not.
    Close,
    /// It is named with the newest time of all that is in it.
    Date,
    /// It is left out.
    Skip,
}

/// Something that the walk found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name below the folder, with slashes, as the store writes it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A file.
    File {
        /// Its size, time and `ETag`.
        meta: ObjectMeta,
        /// Which file it is, whatever its name; unknown in a bucket, which has no links.
        identity: Option<Identity>,
    },
    /// A folder that was not entered.
    Closed {
        /// When it was written, the folder or, where that was asked for, the newest file in it.
        modified: DateTime<Utc>,
    },
    /// A link to nothing, or to itself.
    Broken {
        /// Whether it is a loop, of itself or with others.
        is_loop: bool,
    },
}

/// Which file of a disk a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Device and inode.
    pub inode: (u64, u64),
    /// Whether a symbolic link is on the way to it.
    pub by_link: bool,
    /// Whether other names, by hard links, lead to it.
    pub has_hard_links: bool,
}

impl Place {
    /// What lies below this folder on a local disk, sorted by name; `visit` gets the names of folders. Empty where there is no such folder.
    pub fn tree(&self, visit: &dyn Fn(&str) -> Visit) -> Result<Vec<Found>, StorageError> {
        let at = self.on_disk();
        let mut walk = Walk {
            visit,
            root: self.path(),
            links: 0,
            found: Vec::new(),
        };
        let resolved = match fs::canonicalize(&at) {
            Ok(resolved) => resolved,
            Err(source) if is_absent(&source) => {
                if fs::symlink_metadata(&at).is_ok() {
                    walk.found.push(Found {
                        name: String::new(),
                        kind: Kind::Broken { is_loop: false },
                    });
                }
                return Ok(walk.found);
            }
            Err(source) if is_loop(&source) => {
                return Err(StorageError::Loop { link: at });
            }
            Err(source) => return Err(StorageError::Disk { path: at, source }),
        };
        if resolved.is_dir() {
            walk.folder(&at, &mut vec![resolved])?;
        }
        walk.found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(walk.found)
    }

    /// The places on a local disk at which this one really lies, beside its own path: where links on the way lead to.
    pub fn resolved(&self) -> Option<Self> {
        self.local()?;
        let at = self.on_disk();
        let resolved = Path::from_absolute_path(fs::canonicalize(at).ok()?).ok()?;
        (resolved != self.path).then(|| self.at(resolved))
    }
}

/// A walk on its way.
struct Walk<'a> {
    visit: &'a dyn Fn(&str) -> Visit,
    root: &'a Path,
    /// Links on the way to the folder that is walked.
    links: usize,
    found: Vec<Found>,
}

impl Walk<'_> {
    /// Walks a folder. `real` holds the resolved paths of the folders on the way to it, its own last.
    fn folder(&mut self, at: &FilePath, real: &mut Vec<PathBuf>) -> Result<(), StorageError> {
        let disk = |source| StorageError::Disk {
            path: at.to_owned(),
            source,
        };
        let entries = match fs::read_dir(at) {
            Ok(entries) => entries,
            Err(source) if is_absent(&source) => return Ok(()),
            Err(source) => return Err(disk(source)),
        };
        for entry in entries {
            let entry = entry.map_err(disk)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(disk)?);
            let name = self.name(&path)?;
            if kind.is_symlink() {
                self.link(&path, name, real)?;
            } else if kind.is_dir() {
                match (self.visit)(&name) {
                    Visit::Enter => {
                        let inside = real.last().map(|real| real.join(entry.file_name()));
                        real.extend(inside);
                        self.folder(&path, real)?;
                        real.pop();
                    }
                    other => self.closed(&path, name, other),
                }
            } else if kind.is_file() {
                self.file(&path, name, self.links > 0)?;
            }
        }
        Ok(())
    }

    fn link(&mut self, path: &FilePath, name: String, real: &mut Vec<PathBuf>) -> Result<(), StorageError> {
        let disk = |source| StorageError::Disk {
            path: path.to_owned(),
            source,
        };
        let facts = match fs::metadata(path) {
            Ok(facts) => facts,
            Err(source) if is_absent(&source) || is_loop(&source) => {
                let is_loop = is_loop(&source);
                self.found.push(Found {
                    name,
                    kind: Kind::Broken { is_loop },
                });
                return Ok(());
            }
            Err(source) => return Err(disk(source)),
        };
        if facts.is_file() {
            return self.file(path, name, true);
        }
        if !facts.is_dir() {
            return Ok(());
        }
        match (self.visit)(&name) {
            Visit::Enter => {
                let target = fs::canonicalize(path).map_err(disk)?;
                // A folder that holds the link would be entered by it again, and again in there.
                if self.links == MOST_LINKS || real.iter().any(|real| real.starts_with(&target)) {
                    return Err(StorageError::Loop { link: path.to_owned() });
                }
                real.push(target);
                self.links += 1;
                self.folder(path, real)?;
                self.links -= 1;
                real.pop();
                Ok(())
            }
            other => {
                self.closed(path, name, other);
                Ok(())
            }
        }
    }

    fn file(&mut self, path: &FilePath, name: String, by_link: bool) -> Result<(), StorageError> {
        let facts = match fs::metadata(path) {
            Ok(facts) => facts,
            // Removed since its folder was read.
            Err(source) if is_absent(&source) => return Ok(()),
            Err(source) => {
                return Err(StorageError::Disk {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        self.found.push(Found {
            kind: Kind::File {
                identity: Some(Identity {
                    inode: (facts.dev(), facts.ino()),
                    by_link,
                    has_hard_links: facts.nlink() > 1,
                }),
                meta: object(location(path)?, &facts),
            },
            name,
        });
        Ok(())
    }

    fn closed(&mut self, path: &FilePath, name: String, visit: Visit) {
        if visit == Visit::Skip {
            return;
        }
        let Ok(facts) = fs::metadata(path) else {
            return;
        };
        let own = time(&facts);
        let modified = if visit == Visit::Date { newest(path, own) } else { own };
        self.found.push(Found {
            name,
            kind: Kind::Closed {
                modified: modified.into(),
            },
        });
    }

    fn name(&self, path: &FilePath) -> Result<String, StorageError> {
        let location = location(path)?;
        let below = location.as_ref().strip_prefix(self.root.as_ref());
        Ok(below.unwrap_or(location.as_ref()).trim_start_matches('/').to_owned())
    }
}

/// The newest time in a folder, without following links. What cannot be looked at has no time.
fn newest(folder: &FilePath, mut newest_so_far: SystemTime) -> SystemTime {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(facts) = entry.metadata() else { continue };
        newest_so_far = newest_so_far.max(time(&facts));
        if facts.is_dir() {
            newest_so_far = newest(&entry.path(), newest_so_far);
        }
    }
    newest_so_far
}

fn time(facts: &Metadata) -> SystemTime {
    facts.modified().unwrap_or(UNIX_EPOCH)
}

fn location(path: &FilePath) -> Result<Path, StorageError> {
    Path::from_absolute_path(path)
        .map_err(|source| StorageError::from_store(&path.display().to_string(), source.into()))
}

/// More links one after the other than the system follows.
fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// What `object_store` says of a file. A read is made on the condition of this `ETag`.
fn object(location: Path, facts: &Metadata) -> ObjectMeta {
    let modified = time(facts);
    let micros = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    ObjectMeta {
        location,
        last_modified: modified.into(),
        size: facts.len(),
        e_tag: Some(format!("\"{:x}-{micros:x}-{:x}\"", facts.ino(), facts.len())),
        version: None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::settings::StorageSettings;
    use crate::validate::Location;

    fn place(path: &FilePath) -> Place {
        let location = Location::parse("path", path.to_str().unwrap()).unwrap();
        Place::open(&location, &StorageSettings::default()).unwrap()
    }

    fn home() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::TempDir::new().unwrap();
        let path = fs::canonicalize(home.path()).unwrap();
        (home, path)
    }

    fn enter(_: &str) -> Visit {
        Visit::Enter
    }

    fn broken(path: &FilePath) -> Vec<String> {
        let found = place(path).tree(&enter).unwrap();
        let broken = found
            .into_iter()
            .filter(|found| matches!(found.kind, Kind::Broken { .. }));
        broken.map(|found| found.name).collect()
    }

    #[test]
    fn links_to_nothing_are_found_below_folders_and_links_to_folders() {
        let (_home, home) = home();
        fs::create_dir_all(home.join("in/deep")).unwrap();
        fs::create_dir_all(home.join("other")).unwrap();
        fs::write(home.join("in/whole.parquet"), "x").unwrap();
        for (link, target) in [
            ("in/a.parquet", "gone.parquet"),
            ("in/b.parquet", "whole.parquet"),
            ("in/by-link", "../other"),
            ("other/d.parquet", "../../nothing"),
        ] {
            symlink(target, home.join(link)).unwrap();
        }
        assert_eq!(broken(&home.join("in")), ["a.parquet", "by-link/d.parquet"]);
        assert_eq!(broken(&home.join("in/a.parquet")), [""]);
        assert!(broken(&home.join("nowhere")).is_empty());
    }

    #[test]
    fn loops_are_told_wherever_they_begin() {
        for (link, target) in [("in/round", "../in"), ("in/deep/up", ".."), ("in/root", "/")] {
            let (_home, home) = home();
            fs::create_dir_all(home.join("in/deep")).unwrap();
            symlink(target, home.join(link)).unwrap();
            let error = place(&home.join("in")).tree(&enter).unwrap_err();
            assert!(
                matches!(&error, StorageError::Loop { link: told } if *told == home.join(link)),
                "{link}: {error:?}"
            );
        }
    }

    #[test]
    fn folders_that_are_not_entered_are_no_loop() {
        let (_home, home) = home();
        fs::create_dir_all(home.join("in")).unwrap();
        symlink(".", home.join("in/round")).unwrap();
        let found = place(&home.join("in")).tree(&|_| Visit::Close).unwrap();
        assert!(matches!(found[..], [Found { ref name, kind: Kind::Closed { .. } }] if name == "round"));
    }

    #[test]
    fn names_of_one_file_have_one_identity() {
        let (_home, home) = home();
        fs::create_dir_all(home.join("in/deep")).unwrap();
        for name in ["a", "b", "deep/e"] {
            fs::write(home.join("in").join(name), name).unwrap();
        }
        symlink("a", home.join("in/c")).unwrap();
        symlink("deep", home.join("in/f")).unwrap();
        fs::hard_link(home.join("in/b"), home.join("in/d")).unwrap();
        let found = place(&home.join("in")).tree(&enter).unwrap();
        let identity = |name: &str| match found.iter().find(|found| found.name == name).map(|found| &found.kind) {
            Some(Kind::File { identity, .. }) => identity.unwrap(),
            other => panic!("{name}: {other:?}"),
        };
        for (one, other, by_link) in [("a", "c", true), ("b", "d", false), ("deep/e", "f/e", true)] {
            assert_eq!(identity(one).inode, identity(other).inode, "{one}");
            assert!(!identity(one).by_link, "{one}");
            assert_eq!(identity(other).by_link, by_link, "{other}");
        }
        assert!(identity("b").has_hard_links && identity("d").has_hard_links);
        assert_ne!(identity("a").inode, identity("b").inode);
    }

    #[tokio::test]
    async fn files_are_as_object_store_lists_them() {
        let (_home, home) = home();
        fs::create_dir_all(home.join("in/a=1")).unwrap();
        for name in ["a=1/x y.parquet", "ö#b.parquet", "50%.parquet", "e=%2F"] {
            fs::write(home.join("in").join(name), name).unwrap();
        }
        let place = place(&home.join("in"));
        let mut expected = place.list().await.unwrap();
        expected.sort_by(|a, b| a.location.cmp(&b.location));
        let found = place.tree(&enter).unwrap().into_iter();
        let mut found: Vec<_> = found
            .filter_map(|found| match found.kind {
                Kind::File { meta, .. } => Some(meta),
                _ => None,
            })
            .collect();
        found.sort_by(|a, b| a.location.cmp(&b.location));
        assert_eq!(found, expected);
        assert_eq!(found.len(), 4);
    }
}
