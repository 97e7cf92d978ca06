//! What must hold after every single event, whoever did what.
//!
//! It looks at the bucket alone and believes nothing that a process says. A reader that looks at any moment sees exactly what the judge
//! sees: one whole version, each later than the one before; what was decided stays decided; who reports success is right.

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;

use super::bucket::{Bucket, Object, Request};
use super::fence::is_log;
use super::process::{DATASET, Ending, name};
use crate::digest::sha256;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::records::{Commit, Entry, decode};

/// What has been decided and seen so far.
#[derive(Debug)]
pub(super) struct Judge {
    entries: BTreeMap<u64, Entry>,
    /// Numbers that readers have seen.
    seen: BTreeSet<u64>,
    /// Collectors, and the plans that they found in use when they looked at the log last.
    collectors: BTreeMap<usize, BTreeSet<String>>,
    /// Plans of which a collector has removed something.
    collected: BTreeSet<String>,
    /// Objects that collectors have removed.
    pub(super) removals: u64,
    /// Whether nothing can go wrong, so that failing is a failure.
    calm: bool,
    lease: bool,
    /// Intentions of processes, by their number.
    keys: BTreeMap<usize, String>,
    failure: Option<String>,
}

impl Judge {
    pub(super) fn new(calm: bool, lease: bool) -> Self {
        Self {
            entries: BTreeMap::new(),
            seen: BTreeSet::new(),
            collectors: BTreeMap::new(),
            collected: BTreeSet::new(),
            removals: 0,
            calm,
            lease,
            keys: BTreeMap::new(),
            failure: None,
        }
    }

    /// A process begins, under an intention or as a collector.
    pub(super) fn begins(&mut self, process: usize, key: Option<String>) {
        match key {
            Some(key) => {
                self.keys.insert(process, key);
            }
            None => {
                self.collectors.insert(process, BTreeSet::new());
            }
        }
    }

    /// True for a process that removes what no run asks for.
    pub(super) fn collects(&self, process: usize) -> bool {
        self.collectors.contains_key(&process)
    }

    /// The first thing that was wrong.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Says that something is wrong.
    pub(super) fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    /// Everything that was decided, oldest first.
    pub(super) fn commits(&self) -> impl DoubleEndedIterator<Item = &Commit> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::Commit(commit) => Some(commit),
            Entry::Open(_) => None,
        })
    }

    /// Versions that readers have seen.
    pub(super) fn versions(&self) -> u64 {
        self.seen.len() as u64
    }

    fn head(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// A process has asked for something.
    pub(super) fn heard(&mut self, process: usize, request: &Request) {
        if let Request::List { prefix } = request
            && is_log(&prefix.clone().join("any"))
            && self.collects(process)
        {
            let newest = self.commits().next_back().map(|commit| commit.plan_id.clone());
            let opens = self.entries.values().rev();
            let open = opens.into_iter().find_map(|entry| match entry {
                Entry::Open(open) => Some(open.plan_id.clone()),
                Entry::Commit(_) => None,
            });
            self.collectors
                .insert(process, newest.into_iter().chain(open).collect());
        }
    }

    /// An object has been written or removed.
    pub(super) fn changed(&mut self, process: usize, path: &Path, before: Option<&Object>, bucket: &Bucket) {
        let after = bucket.get(path);
        if is_log(path) {
            self.log_changed(path, before, after);
        } else if path.as_ref().contains("/published/") {
            self.record_changed(path, after);
        } else if path.extension() == Some("parquet") && path.as_ref().starts_with(&format!("{DATASET}/")) {
            self.file_changed(path, before, after, bucket);
        } else if after.is_none() && self.collects(process) {
            self.removed(process, path, before);
        }
    }

    fn log_changed(&mut self, path: &Path, before: Option<&Object>, after: Option<&Object>) {
        let number = number(path);
        match (before, after) {
            (Some(before), Some(after)) if before.bytes == after.bytes => {}
            (None, Some(after)) => match decode::<Entry>(&after.bytes) {
                Some(entry) => self.entered(number, entry),
                None => self.fail(format!("record {number} of the log is no record")),
            },
            _ => self.fail(format!("record {number} of the log was changed")),
        }
    }

    fn entered(&mut self, number: u64, entry: Entry) {
        if number != self.head() + 1 {
            self.fail(format!("record {number} of the log came after record {}", self.head()));
        }
        if let Entry::Commit(commit) = &entry {
            let place = self.entries.get(&commit.open_n);
            let own = place.is_some_and(|place| {
                matches!(place, Entry::Open(_))
                    && (place.run_key() == commit.run_key || place.plan_id() == commit.plan_id)
            });
            if !own || commit.open_n + 1 != number {
                self.fail(format!("commit {number} is not in the slot after an `open` of its own"));
            }
            let before = self.commits().next_back().map(|before| before.n);
            if commit.prev_commit != before {
                self.fail(format!(
                    "commit {number} says that it comes after {:?}, and it comes after {before:?}",
                    commit.prev_commit
                ));
            }
            self.not_again(commit);
        }
        self.entries.insert(number, entry);
    }

    /// An intention is fulfilled once, unless what it decided cannot be shown.
    fn not_again(&mut self, commit: &Commit) {
        let before = self.commits().filter(|before| before.run_key == commit.run_key);
        let before: Vec<_> = before.map(|before| (before.n, before.plan_id.clone())).collect();
        for (n, plan_id) in before {
            if !self.collected.contains(&plan_id) {
                self.fail(format!(
                    "commit {} is the second of the intention {}, which had committed {n}",
                    commit.n, commit.run_key
                ));
            }
        }
    }

    fn record_changed(&mut self, path: &Path, after: Option<&Object>) {
        let number = number(path);
        if after.is_some() && !self.seen.contains(&number) {
            self.fail(format!(
                "a record says that {number} was published, which no reader has seen"
            ));
        }
    }

    fn file_changed(&mut self, path: &Path, before: Option<&Object>, after: Option<&Object>, bucket: &Bucket) {
        let Some(after) = after else {
            return self.fail(format!("the file {path} was removed"));
        };
        let (seq, nonce) = stamp(after);
        let commit = match self.entries.get(&seq) {
            Some(Entry::Commit(commit)) if commit.nonce == nonce => commit,
            _ => return self.fail(format!("readers see {seq} ({nonce}), which nobody has committed")),
        };
        let file = commit
            .files
            .iter()
            .find(|file| Some(file.name.as_str()) == path.filename());
        if file.is_none_or(|file| file.sha256 != sha256(&after.bytes)) {
            return self.fail(format!("readers see other bytes than those of commit {seq} in {path}"));
        }
        let names: Vec<_> = commit.files.iter().map(|file| file.name.clone()).collect();
        if let Some(before) = before {
            let (earlier, _) = stamp(before);
            if earlier > seq || (earlier == seq && before.bytes != after.bytes) {
                return self.fail(format!("readers saw {earlier} and see {seq} after it"));
            }
        }
        if path.filename() != Some("part-00000.parquet") {
            return;
        }
        self.seen.insert(seq);
        // The first file says that the others are there.
        for name in names {
            let other = bucket
                .get(&folder(path).join(name.as_str()))
                .map_or(0, |object| stamp(object).0);
            if other < seq {
                self.fail(format!("the first file is of {seq} and {name} of {other}"));
            }
        }
    }

    /// A collector has removed something.
    fn removed(&mut self, process: usize, path: &Path, before: Option<&Object>) {
        let parts: Vec<_> = path.parts().map(|part| part.as_ref().to_owned()).collect();
        let Some(at) = parts.iter().position(|part| part == "plans") else {
            return;
        };
        let (Some(plan), true) = (parts.get(at + 1), before.is_some()) else {
            return;
        };
        self.removals += 1;
        self.collected.insert(plan.clone());
        let used = self.collectors.get(&process).is_some_and(|used| used.contains(plan));
        // Of a plan in use only parts go that no record names.
        if used && path.extension() == Some("json") {
            self.fail(format!("{path} was removed while its plan was in use"));
        }
    }

    /// A process has ended.
    pub(super) fn ended(&mut self, process: usize, ending: &Result<Ending, Error>, bucket: &Bucket) {
        let visible = visible(bucket);
        match ending {
            Ok(Ending::Published(n) | Ending::Already(Some(n))) => {
                let holder = name(process);
                let own = self.commits().rev().find(|commit| commit.holder == holder);
                let wanted = own.map_or(*n, |commit| commit.n.max(*n));
                if visible < wanted {
                    self.fail(format!(
                        "process {process} says that {wanted} is published, and readers see {visible}"
                    ));
                }
            }
            Ok(Ending::Already(None)) => self.fail(format!("process {process} says that nothing is published")),
            Ok(Ending::Repaired(Some(n))) => {
                let commit = self.commits().find(|commit| commit.n == *n);
                if commit.is_none_or(|commit| !self.collected.contains(&commit.plan_id)) {
                    self.fail(format!("commit {n} is lost: nothing makes its bytes again"));
                }
            }
            Ok(Ending::ShardDone | Ending::Repaired(None) | Ending::Collected) => {}
            Err(error) => self.failed(process, error),
        }
    }

    fn failed(&mut self, process: usize, error: &Error) {
        let allowed = match error.exit() {
            ExitCode::Superseded => {
                if let Err(why) = self.is_superseded(process) {
                    self.fail(format!("process {process}: {error}; {why}"));
                }
                true
            }
            // Another process works, or has decided; or what a collector removed was still asked for.
            ExitCode::Busy => true,
            ExitCode::StorageTransient | ExitCode::InputNotReady => !self.calm,
            _ => false,
        };
        if !allowed {
            self.fail(format!("process {process} failed: {error}"));
        }
    }

    /// Whoever gives up its place says that a later run has taken it.
    fn is_superseded(&self, process: usize) -> Result<(), String> {
        let Some(key) = self.keys.get(&process) else {
            return Err("it has no place".to_owned());
        };
        let mut own = self.entries.iter().filter(|(_, entry)| entry.run_key() == key);
        let Some((first, _)) = own.next() else {
            return Err("it had no place".to_owned());
        };
        let mut later = self.entries.range(first + 1..);
        if later.any(|(_, entry)| entry.run_key() != key) {
            Ok(())
        } else {
            Err("it gave up its place, and no later run had taken it".to_owned())
        }
    }

    /// All processes have ended and what was decided has been brought to its end.
    pub(super) fn rests(&mut self, bucket: &Bucket) {
        let newest = self.commits().next_back().map_or(0, |commit| commit.n);
        let visible = visible(bucket);
        if visible != newest {
            return self.fail(format!("{newest} was committed last, and readers see {visible}"));
        }
        let Some(commit) = self.commits().next_back().cloned() else {
            return;
        };
        let below = Path::from(DATASET);
        let mut names: Vec<_> = bucket.below(&below).filter_map(|(path, _)| path.filename()).collect();
        names.sort_unstable();
        let mut wanted: Vec<_> = commit.files.iter().map(|file| file.name.as_str()).collect();
        wanted.insert(0, "_SUCCESS");
        if names != wanted {
            self.fail(format!("readers see the files {names:?}, not {wanted:?}"));
        }
        for (path, object) in bucket
            .below(&below)
            .filter(|(path, _)| path.extension() == Some("parquet"))
        {
            if stamp(object).0 != newest {
                self.fail(format!("{path} is not of {newest}"));
            }
        }
        let kept = bucket
            .objects
            .keys()
            .filter(|path| path.as_ref().contains("/published/"));
        if !kept.map(number).any(|number| number == newest) {
            self.fail(format!("nothing records that {newest} was published"));
        }
        if self.calm && self.lease && self.collectors.is_empty() {
            self.once_each();
        }
    }

    /// Where nothing goes wrong and leases are taken, a plan is done again only after another.
    fn once_each(&mut self) {
        let mut last: Option<(u64, String)> = None;
        let mut doubled = None;
        for (number, entry) in &self.entries {
            let same = last.as_ref().filter(|(_, plan_id)| plan_id == entry.plan_id());
            match (entry, same) {
                (Entry::Commit(_), Some((before, _))) => doubled = doubled.or(Some((*before, *number))),
                (Entry::Commit(commit), None) => last = Some((*number, commit.plan_id.clone())),
                (Entry::Open(_), Some(_)) => {}
                // Somebody wanted something else meanwhile.
                (Entry::Open(_), None) => last = None,
            }
        }
        if let Some((before, number)) = doubled {
            self.fail(format!("{before} and {number} are the same plan"));
        }
    }
}

/// The number that readers see; 0 when they see nothing.
pub(super) fn visible(bucket: &Bucket) -> u64 {
    let first = bucket.objects.iter().find(|(path, _)| {
        path.as_ref().starts_with(&format!("{DATASET}/")) && path.filename() == Some("part-00000.parquet")
    });
    first.map_or(0, |(_, object)| stamp(object).0)
}

fn stamp(object: &Object) -> (u64, String) {
    let seq = object.attribute("bi-seq").and_then(|seq| seq.parse().ok());
    let nonce = object.attribute("bi-nonce").unwrap_or_default().to_owned();
    (seq.unwrap_or(0), nonce)
}

fn number(path: &Path) -> u64 {
    let name = path.filename().and_then(|name| name.strip_suffix(".json"));
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}

fn folder(path: &Path) -> Path {
    let parts: Vec<_> = path.parts().collect();
    let above = parts.len().saturating_sub(1);
    parts.into_iter().take(above).collect()
}
