//! Links on a local disk that lead to nothing. A listing leaves them out, as if nobody had put them there.

use std::collections::HashSet;
use std::fs;
use std::path::{Path as FilePath, PathBuf};

use object_store::path::Path;

use super::{Place, decoded};

impl Place {
    /// Such links below this place, or at it, sorted; as paths of the store. In a bucket there are no links.
    pub fn dangling(&self) -> Vec<Path> {
        if self.local().is_none() {
            return Vec::new();
        }
        let at = PathBuf::from("/").join(decoded(self.path()));
        let mut found = Vec::new();
        look(&at, &mut HashSet::new(), &mut found);
        found.sort_unstable();
        found
            .iter()
            .filter_map(|link| Path::from_absolute_path(link).ok())
            .collect()
    }
}

/// What cannot be looked at is left to the listing, which says so.
fn look(at: &FilePath, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) {
    let Ok(facts) = fs::symlink_metadata(at) else {
        return;
    };
    let is_folder = if facts.is_symlink() {
        match fs::metadata(at) {
            Ok(facts) => facts.is_dir(),
            Err(_) => return found.push(at.to_owned()),
        }
    } else {
        facts.is_dir()
    };
    // Links may lead in circles.
    if !is_folder || !fs::canonicalize(at).is_ok_and(|folder| seen.insert(folder)) {
        return;
    }
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        // Whether it is a file is known without another question, and most of what is there are files.
        if entry.file_type().is_ok_and(|kind| !kind.is_file()) {
            look(&entry.path(), seen, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::settings::StorageSettings;
    use crate::validate::Location;

    #[test]
    fn links_to_nothing_are_found_below_folders_and_links_to_folders() {
        let home = tempfile::TempDir::new().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        fs::create_dir_all(home.join("in/deep")).unwrap();
        fs::create_dir_all(home.join("other")).unwrap();
        fs::write(home.join("in/whole.parquet"), "x").unwrap();
        for (link, target) in [
            ("in/a.parquet", "gone.parquet"),
            ("in/b.parquet", "whole.parquet"),
            ("in/deep/c.parquet", "c.parquet"),
            ("in/by-link", "../other"),
            ("in/round", "../in"),
            ("other/d.parquet", "../../nothing"),
        ] {
            symlink(target, home.join(link)).unwrap();
        }
        let dangling = |path: &str| {
            let location = Location::parse("path", home.join(path).to_str().unwrap()).unwrap();
            let place = Place::open(&location, &StorageSettings::default()).unwrap();
            let found = place.dangling().into_iter();
            found
                .map(|link| link.filename().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(dangling("in"), ["a.parquet", "d.parquet", "c.parquet"]);
        assert_eq!(dangling("in/a.parquet"), ["a.parquet"]);
        assert!(dangling("in/whole.parquet").is_empty());
        assert!(dangling("nowhere").is_empty());
    }
}
