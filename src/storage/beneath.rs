//! Keeps what is written below a folder below it: a link on the way may not lead out.
//!
//! The folder itself may be reached by links: where it is, is for whoever wrote the job to say. What lies in it may come from others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A link, and where it leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) path: PathBuf,
    pub(super) target: PathBuf,
}

/// The first link between a folder and a path below it that leads out of the folder, or to nothing. Both are absolute.
///
/// What does not exist yet is no link. Who may replace folders by links between this look and a write may write there already.
pub(super) fn way_out(root: &Path, path: &Path) -> io::Result<Option<Link>> {
    let Ok(below) = path.strip_prefix(root) else {
        return Ok(Some(Link {
            path: root.to_owned(),
            target: path.to_owned(),
        }));
    };
    let mut at = root.to_owned();
    for name in below.components() {
        at.push(name);
        match fs::symlink_metadata(&at) {
            Ok(facts) if facts.is_symlink() => {}
            Ok(_) => continue,
            Err(error) if missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let inside = match fs::canonicalize(&at) {
            Ok(real) => real.starts_with(fs::canonicalize(root)?),
            // What would be made through it lies wherever it points to.
            Err(error) if missing(&error) => false,
            Err(error) => return Err(error),
        };
        if !inside {
            let target = fs::read_link(&at)?;
            return Ok(Some(Link { path: at, target }));
        }
    }
    Ok(None)
}

fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_may_lead_anywhere_in_the_folder_and_nowhere_else() {
        let home = tempfile::TempDir::new().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        for folder in ["root/in/deep", "outside", "root2"] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        let link = |name: &str, target: &Path| symlink(target, home.join("root").join(name)).unwrap();
        link("to-in", &home.join("root/in"));
        link("relative", Path::new("in/deep"));
        link("out", &home.join("outside"));
        link("up", Path::new("../outside"));
        link("sibling", &home.join("root2"));
        link("to-root", &home.join("root"));
        link("nowhere", &home.join("outside/nothing"));
        link("loop", Path::new("in"));
        symlink(home.join("root"), home.join("by-link")).unwrap();
        let leads = |root: &str, path: &str| way_out(&home.join(root), &home.join(root).join(path)).unwrap();
        for path in ["in/a", "to-in/a", "relative/a", "to-root/in/a", "new/a/b", "in/deep"] {
            assert_eq!(leads("root", path), None, "{path}");
            assert_eq!(leads("by-link", path), None, "{path}");
        }
        for path in [
            "out",
            "out/a",
            "up/a/b",
            "sibling/a",
            "nowhere",
            "nowhere/a",
            "in/../out/a",
        ] {
            assert!(leads("root", path).is_some(), "{path}");
        }
        assert_eq!(leads("root", "up/a").unwrap().path, home.join("root/up"));
        assert!(way_out(&home.join("root"), &home.join("root2/a")).unwrap().is_some());
    }
}
