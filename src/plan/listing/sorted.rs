//! What the names below the input's folder come to: rows to read, files to ask, signs of writers, markers, and what is passed over.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::Listed;
use super::names::{self, Meaning, split};
use super::passed_over::Passed;
use super::pattern::{Hidden, Pattern, is_hidden, up_to_hidden};
use super::selection::Selection;
use super::table::{self, TableKind};
use super::unfinished::{SUCCESS, Sign, committed_name, finished_name, is_folder_sign, is_transaction};
use crate::storage::{Found, Kind};

/// A link that leads to nothing, or to itself.
pub(super) struct Broken {
    pub(super) name: String,
    pub(super) is_loop: bool,
}

/// Names, each at its place.
#[derive(Default)]
pub(super) struct Sorted {
    /// Input by their names.
    pub(super) input: Vec<Listed>,
    /// The letters in them decide.
    pub(super) undecided: Vec<Listed>,
    /// Files that are unfinished by their names, and that name a sign each.
    pub(super) unfinished: Vec<Listed>,
    pub(super) signs: Vec<Sign>,
    /// Links to nothing that stand where input is expected.
    pub(super) broken: Vec<Broken>,
    pub(super) passed: Vec<Passed>,
    /// When each folder was marked as whole.
    successes: BTreeMap<String, DateTime<Utc>>,
    /// Files in plain sight that are no input of this job: with them, a folder is not empty.
    others: Vec<String>,
}

impl Sorted {
    /// Sorts what was found.
    pub(super) fn of(
        found: Vec<Found>,
        selection: &Selection,
        extensions: Option<&[String]>,
        tables: &BTreeMap<String, TableKind>,
    ) -> Self {
        let found_names = found.iter().map(|found| &found.name);
        let transactions: BTreeSet<String> = found_names
            .filter(|name| is_transaction(split(name).1))
            .cloned()
            .collect();
        let mut sorted = Self::default();
        for Found { name, kind } in found {
            if table::is_own_file(&name, tables) {
                continue;
            }
            match kind {
                Kind::Closed { modified } => sorted.closed(&name, modified),
                Kind::Broken { is_loop } => sorted.broken(Broken { name, is_loop }, selection, extensions),
                Kind::File { meta, identity } => {
                    let file = Listed {
                        place: selection.root.at(meta.location.clone()),
                        name,
                        meta,
                        identity,
                    };
                    sorted.file(file, &selection.pattern, extensions, &transactions);
                }
            }
        }
        sorted
    }

    fn closed(&mut self, name: &str, modified: DateTime<Utc>) {
        let (folder, last) = split(name);
        if is_folder_sign(last) {
            self.signs.push(Sign {
                folder: folder.to_owned(),
                name: format!("{name}/"),
                modified,
            });
        } else if !names::is_companion(last) {
            self.pass(format!("{name}/"), "hidden");
        }
    }

    fn broken(&mut self, link: Broken, selection: &Selection, extensions: Option<&[String]>) {
        let Broken { name, is_loop } = link;
        let (_, last) = split(&name);
        let is_file = selection.pattern.matches(&name, Hidden::Spelled)
            && (selection.is_glob
                || names::meaning(last, extensions) == Meaning::Input
                || names::ending(last).is_none());
        let is_folder = last.contains('=') && selection.pattern.reaches(&name, Hidden::Spelled);
        if name.is_empty() || is_file || is_folder {
            self.broken.push(Broken { name, is_loop });
        } else if selection.pattern.matches(&name, Hidden::Taken) {
            self.pass(name, "a link to nothing");
        }
    }

    /// Sorts one file; `transactions` are the files that say how a transaction stands.
    fn file(
        &mut self,
        file: Listed,
        pattern: &Pattern,
        extensions: Option<&[String]>,
        transactions: &BTreeSet<String>,
    ) {
        let (folder, last) = split(&file.name);
        let modified = file.meta.last_modified;
        if last == SUCCESS {
            self.successes.insert(folder.to_owned(), modified);
        }
        let joined = |last: &str| match folder {
            "" => last.to_owned(),
            folder => format!("{folder}/{last}"),
        };
        let meaning = names::meaning(last, extensions);
        let began = committed_name(last).is_some_and(|committed| !transactions.contains(&joined(&committed)));
        let is_named_by_job = extensions.is_some() && meaning == Meaning::Input;
        // A sign is about this input where the file that it will become is.
        let becomes = finished_name(last)
            .filter(|_| !is_named_by_job)
            .is_some_and(|finished| {
                [joined(finished), joined(&format!("{finished}.parquet"))]
                    .iter()
                    .any(|name| pattern.matches(name, Hidden::Taken))
            });
        if began || becomes {
            self.signs.push(Sign {
                name: file.name.clone(),
                folder: folder.to_owned(),
                modified,
            });
        }
        if becomes {
            self.unfinished.push(file);
            return;
        }
        if pattern.matches(&file.name, Hidden::Spelled) {
            match meaning {
                Meaning::Input => self.input.push(file),
                Meaning::Undecided => self.undecided.push(file),
                Meaning::OtherEnding => self.pass(file.name, "its ending is not among `input.extensions`"),
                Meaning::Companion => {}
            }
        } else if pattern.matches(&file.name, Hidden::Taken) {
            if meaning != Meaning::Companion {
                let hidden = up_to_hidden(&file.name).unwrap_or(&file.name).to_owned();
                self.pass(hidden, "hidden");
            }
        } else if meaning != Meaning::Companion && !is_hidden(last) {
            self.others.push(file.name);
        }
    }

    /// Names something that is not read.
    pub(super) fn pass(&mut self, name: String, reason: &str) {
        self.passed.push(Passed {
            name,
            reason: reason.to_owned(),
        });
    }

    /// Signs of writers that have not finished, without those that a newer marker in the same folder overrules.
    pub(super) fn at_work(&self) -> impl Iterator<Item = &Sign> {
        let is_whole = |sign: &Sign| {
            let marked = self.successes.get(&sign.folder);
            marked.is_some_and(|marked| *marked > sign.modified)
        };
        self.signs.iter().filter(move |sign| !is_whole(sign))
    }

    /// Unfinished files that stop nothing: those with the name of a Parquet file are read, and the others are passed over.
    pub(super) fn settle_unfinished(&mut self, pattern: &Pattern) {
        for file in std::mem::take(&mut self.unfinished) {
            let (_, last) = split(&file.name);
            if names::is_parquet(last) && pattern.matches(&file.name, Hidden::Spelled) {
                self.input.push(file);
            } else {
                self.pass(file.name, "an unfinished write");
            }
        }
        let signs = self.signs.iter().map(|sign| &sign.name);
        let folders: Vec<_> = signs.filter(|name| name.ends_with('/')).cloned().collect();
        for folder in folders {
            self.pass(folder, "an unfinished write");
        }
    }

    /// Whether the date's folder is marked as whole and holds nothing that somebody might take for data.
    pub(super) fn is_marked_empty(&self, pattern: &Pattern) -> bool {
        let is_hidden_or_folder = |passed: &Passed| passed.name.ends_with('/') || is_hidden(split(&passed.name).1);
        let mut marked = self.successes.keys().filter(|folder| pattern.is_date(folder));
        let holds = |folder: &str, name: &String| folder.is_empty() || name.starts_with(&format!("{folder}/"));
        self.passed.iter().all(is_hidden_or_folder)
            && marked.any(|folder| !self.others.iter().any(|name| holds(folder, name)))
    }
}
