//! Names by which one file is reached twice, through links. Its rows are read once.
//!
//! A symbolic link to a file or a folder is another name of what it leads to, and so is a hard link: both have one inode, and a row that is
//! changed under one name is changed under the other. A copy is a file of its own.

use std::collections::HashMap;

use super::Listed;
use super::passed_over::Passed;

/// Leaves out names of files that another name is kept of: the one without a symbolic link, else the first by name.
pub(super) fn once(mut files: Vec<Listed>, passed: &mut Vec<Passed>) -> Vec<Listed> {
    let by_link = |file: &Listed| file.identity.is_some_and(|identity| identity.by_link);
    files.sort_by(|a, b| (by_link(a), &a.name).cmp(&(by_link(b), &b.name)));
    let mut seen = HashMap::new();
    files.retain(|file| {
        let Some(identity) = file.identity else {
            return true;
        };
        match seen.get(&identity.inode) {
            // Some file systems give one number to several files, so that the number alone proves nothing.
            Some(kept) if identity.by_link || identity.has_hard_links => {
                passed.push(Passed {
                    name: file.name.clone(),
                    reason: format!("the same file as {kept}, by a link"),
                });
                false
            }
            Some(_) => true,
            None => {
                seen.insert(identity.inode, file.name.clone());
                true
            }
        }
    });
    files
}
