//! What of a store the input means: a folder and a pattern below it, and all that lies there, whichever store it is.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::names::{is_parquet, split};
use super::pattern::{Hidden, Pattern, is_hidden};
use super::table::{self, TableKind};
use super::unfinished::is_folder_sign;
use crate::plan::PlanError;
use crate::storage::{Found, Kind, Place, Visit};

/// Characters that make a path a pattern.
const SPECIAL: [char; 3] = ['*', '?', '['];

/// What clients of Hadoop put behind the name of a folder, to mark it in a bucket.
const FOLDER_MARK: &str = "_$folder$";

/// What lies below a folder.
pub(super) struct Below {
    pub(super) found: Vec<Found>,
    /// Folders of it that are tables.
    pub(super) tables: BTreeMap<String, TableKind>,
}

/// A folder, and which files below it are meant.
pub(super) struct Selection {
    /// The folder; for a pattern, the last before its first special character.
    pub(super) root: Place,
    pub(super) pattern: Pattern,
    pub(super) is_glob: bool,
}

impl Selection {
    /// By the path of a job's input.
    pub(super) fn of(input: &Place, date: NaiveDate) -> Result<Self, PlanError> {
        let path = input.path().as_ref();
        let Some(special) = path.find(SPECIAL) else {
            return Ok(Self {
                root: input.clone(),
                pattern: Pattern::all(),
                is_glob: false,
            });
        };
        let slash = path[..special].rfind('/');
        let (root, below) = slash.map_or(("", path), |slash| (&path[..slash], &path[slash + 1..]));
        let dates = ["%Y-%m-%d", "%Y%m%d"].map(|form| date.format(form).to_string());
        let pattern = Pattern::of(below, &dates).map_err(|source| PlanError::Pattern {
            pattern: path.to_owned(),
            source,
        })?;
        Ok(Self {
            root: input.at(Path::parse(root).unwrap_or_default()),
            pattern,
            is_glob: true,
        })
    }

    /// All below the folder that can matter.
    pub(super) async fn below(&self) -> Result<Below, PlanError> {
        if self.root.local().is_some() {
            let found = self.root.tree(&|folder| self.visit(folder))?;
            let tables = table::by_names(found.iter().map(|found| found.name.as_str()));
            return Ok(Below { found, tables });
        }
        let objects = self.root.list().await?.into_iter();
        let named: Vec<_> = objects.map(|meta| (self.name_of(&meta.location), meta)).collect();
        // Also by names that the pattern does not mean.
        let tables = table::by_names(named.iter().map(|(name, _)| name.as_str()));
        Ok(Below {
            found: self.of_objects(named),
            tables,
        })
    }

    /// What is done with a folder below.
    fn visit(&self, folder: &str) -> Visit {
        let (_, last) = split(folder);
        let hidden = is_hidden(last);
        let is_meant = self.pattern.reaches(folder, Hidden::Spelled);
        if is_folder_sign(last) && !(hidden && is_meant) {
            Visit::Date
        } else if is_meant {
            Visit::Enter
        } else if hidden && self.pattern.reaches(folder, Hidden::Taken) {
            Visit::Close
        } else {
            Visit::Skip
        }
    }

    /// The objects of a bucket in the form in which a disk gives them: folders that are not entered stand for all that is in them.
    fn of_objects(&self, named: Vec<(String, ObjectMeta)>) -> Vec<Found> {
        let folders: BTreeSet<String> = named
            .iter()
            .flat_map(|(name, _)| name.match_indices('/').map(|(at, _)| name[..at].to_owned()))
            .collect();
        let mut closed = BTreeMap::new();
        let mut found = Vec::new();
        for (name, meta) in named {
            let mut close = |folder: &str| {
                let newest = closed.entry(folder.to_owned()).or_insert(meta.last_modified);
                *newest = meta.last_modified.max(*newest);
            };
            let mut on_the_way = name.match_indices('/').map(|(at, _)| &name[..at]);
            let stopped = on_the_way.find_map(|folder| match self.visit(folder) {
                Visit::Enter => None,
                Visit::Skip => Some(None),
                Visit::Close | Visit::Date => Some(Some(folder)),
            });
            match stopped {
                Some(Some(folder)) => close(folder),
                Some(None) => {}
                None if meta.size == 0 && is_mark(&name, &folders) => {
                    let folder = name.strip_suffix(FOLDER_MARK).unwrap_or(&name);
                    if is_folder_sign(split(folder).1) {
                        close(folder);
                    }
                }
                None => found.push(Found {
                    kind: Kind::File { meta, identity: None },
                    name,
                }),
            }
        }
        found.extend(closed.into_iter().map(|(name, modified)| Found {
            name,
            kind: Kind::Closed { modified },
        }));
        found
    }

    fn name_of(&self, location: &Path) -> String {
        let path: &str = location.as_ref();
        let below = path.strip_prefix(self.root.path().as_ref()).unwrap_or(path);
        below.trim_start_matches('/').to_owned()
    }
}

/// Whether an empty object only says that a folder is there. The slash at the end of its name is lost in the listing.
fn is_mark(name: &str, folders: &BTreeSet<String>) -> bool {
    let (_, last) = split(name);
    let is_partition = || last.contains('=') && !is_parquet(last);
    name.is_empty() || is_partition() || name.ends_with(FOLDER_MARK) || folders.contains(name) || is_folder_sign(last)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::settings::StorageSettings;
    use crate::validate::Location;

    fn selection(path: &str) -> Selection {
        let location = Location::parse("path", path).unwrap();
        let place = Place::open(&location, &StorageSettings::default()).unwrap();
        Selection::of(&place, NaiveDate::from_ymd_opt(2026, 11, 19).unwrap()).unwrap()
    }

    fn found(path: &str, objects: &[(&str, i64, u64)]) -> Vec<String> {
        let selection = selection(path);
        let objects = objects.iter().map(|&(name, seconds, size)| {
            let meta = ObjectMeta {
                location: Path::from(name),
                last_modified: DateTime::from_timestamp(seconds, 0).unwrap(),
                size,
                e_tag: None,
                version: None,
            };
            (selection.name_of(&meta.location), meta)
        });
        let found = selection.of_objects(objects.collect()).into_iter();
        found
            .map(|found| match found.kind {
                Kind::Closed { modified } => format!("{}/ {}", found.name, modified.timestamp()),
                _ => found.name,
            })
            .collect()
    }

    #[test]
    fn folders_of_a_bucket_are_closed_with_their_newest_time() {
        let objects = [
            ("in/a.parquet", 1, 9),
            ("in/_temporary/0/b.parquet", 5, 9),
            ("in/_temporary/1/c.parquet", 3, 9),
            ("in/x/_old/d.parquet", 2, 9),
        ];
        assert_eq!(found("/in", &objects), ["a.parquet", "_temporary/ 5", "x/_old/ 2"]);
        assert_eq!(
            found("/in/*.parquet", &objects),
            ["a.parquet", "_temporary/ 5"],
            "nothing below x can match"
        );
        assert_eq!(
            found("/in/_temporary/**/*.parquet", &objects[1..3]),
            ["0/b.parquet", "1/c.parquet"],
            "the pattern names it"
        );
    }

    #[test]
    fn empty_objects_that_mark_folders_are_no_files() {
        let objects = [
            ("in", 1, 0),
            ("in/x", 1, 0),
            ("in/x/a.parquet", 1, 9),
            ("in/y_$folder$", 1, 0),
            ("in/region=eu", 1, 0),
            ("in/_temporary", 4, 0),
            ("in/z/_temporary_$folder$", 5, 0),
            ("in/day=1.parquet", 1, 0),
        ];
        let expected = ["x/a.parquet", "day=1.parquet", "_temporary/ 4", "z/_temporary/ 5"];
        assert_eq!(found("/in", &objects), expected);
    }
}
