//! The rules of the house that a look at the source can check: who imports whom, and which file is the door to what.
//!
//! A rule that has to give way gets a line in a table here, where a reader of the change sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::repository;

/// Modules that any other may import: what an error is, how a process ends, what a time, a digest or a nonce is, how text of others
/// is shown, where a test may interfere.
const WORDS: [&str; 9] = [
    "clock",
    "digest",
    "error",
    "exit",
    "failpoint",
    "guard",
    "nonce",
    "thrift",
    "visible",
];

/// What else each module may import. Modules stand in the order of `lib.rs`.
const MAY_IMPORT: &[(&str, &str)] = &[
    // Words. A batch carries types of the contract and reasons of the job file, which import no more than words themselves.
    ("batch", "contract spec"),
    ("clock", ""),
    ("digest", ""),
    ("error", ""),
    ("events", "batch"),
    ("exit", ""),
    ("failpoint", ""),
    ("guard", ""),
    ("machine", ""),
    ("nonce", ""),
    ("shutdown", ""),
    ("thrift", ""),
    ("visible", ""),
    // What is asked.
    ("document", "problem schema"),
    ("problem", ""),
    ("schema", ""),
    ("settings", "document problem schema"),
    ("spec", ""),
    ("schedule", "spec"),
    ("date", "schedule"),
    ("validate", "document problem schedule spec"),
    // Doors to the world.
    ("storage", "settings validate"),
    ("records", "batch schedule spec storage validate"),
    ("hold", "records shutdown storage"),
    ("contract", ""),
    ("registry", "contract storage"),
    // The line. A plan asks the preprocessor which columns the contract needs.
    ("plan", "batch contract preprocess registry spec storage validate"),
    ("read", "batch plan spec storage"),
    ("preprocess", "batch contract registry spec"),
    ("infer", "batch contract settings"),
    ("output", "contract plan validate"),
    ("write", "batch contract output"),
    ("rejects", "batch"),
    ("duplicates", "batch plan read"),
    ("rescore", "batch plan rejects"),
    ("checkpoint", "batch records rejects storage"),
    ("publish", "batch checkpoint output records storage"),
    (
        "score",
        "batch infer output plan preprocess read rejects rescore spec validate write",
    ),
    ("pipeline", "batch checkpoint events infer read score shutdown"),
    // The sentence, and what is said afterwards.
    ("golden", "batch contract infer preprocess score"),
    (
        "report",
        "batch infer machine pipeline plan publish score settings spec storage validate",
    ),
    (
        "run",
        "batch checkpoint contract duplicates events hold infer machine output pipeline plan preprocess publish read records registry rejects report rescore score settings shutdown spec storage validate write",
    ),
    // Looking after what is there.
    ("history", "hold publish records settings storage validate"),
    ("changed", "plan records settings spec storage validate"),
    ("verify", "hold publish records run storage validate"),
    ("gc", "hold publish records run storage validate"),
    // What others are told.
    ("ending", "records storage"),
    ("metrics", "ending infer schedule"),
    ("announce", "ending metrics settings storage"),
    // Many runs.
    ("child", "settings shutdown"),
    ("backfill", "changed child history records run schedule shutdown"),
    (
        "daemon",
        "changed child document ending history hold metrics records run schedule settings storage validate",
    ),
    // Beside the line.
    ("progress", "events machine settings"),
    ("telemetry", "settings"),
    // The surface, which shows what the others know.
    (
        "cli",
        "announce backfill changed child contract daemon date document ending events gc golden history hold infer machine output plan preprocess progress records registry rejects run schedule \
         schema settings shutdown spec storage telemetry validate verify",
    ),
];

/// Stages of the line: rows go from one to the next, and none knows another.
const STAGES: [&str; 5] = ["read", "preprocess", "infer", "write", "publish"];

/// Two modules that import one another, to be taken apart.
const KNOWN_CIRCLES: [(&str, &str); 0] = [];

/// Names that only some files may say, each the door to something foreign.
const DOORS: &[(&[&str], &[&str])] = &[
    (&["tch::"], &["infer/torch.rs"]),
    (&["libloading"], &["infer/device.rs"]),
    (&["polars::", "polars_"], &["preprocess/derive/expression.rs"]),
    (&["cron::Schedule"], &["schedule/cron.rs"]),
    (&["tokenizers::"], &["preprocess/tokens.rs"]),
    (&["prometheus::"], &["metrics.rs"]),
    (&["reqwest::"], &["announce/http.rs"]),
    (&["indicatif"], &["progress.rs"]),
    (
        &[
            "AmazonS3",
            "LocalFileSystem",
            "object_store::aws",
            "object_store::local",
        ],
        &["storage.rs"],
    ),
    (
        &[
            "Instant::now",
            "SystemTime::now",
            "Utc::now",
            "Local::now",
            "clock_gettime",
        ],
        &["clock.rs"],
    ),
    (&["env::var", "env::set_var"], &["settings.rs"]),
    (
        &["mpsc", "tokio::spawn", "runtime.spawn"],
        &[
            "daemon/changes.rs",
            "daemon/http.rs",
            "hold/lease.rs",
            "infer/torch/owner.rs",
            "pipeline.rs",
            "run.rs",
            "shutdown.rs",
        ],
    ),
    (
        &["unsafe_code", "unsafe {", "unsafe impl", "unsafe fn", "unsafe extern"],
        &[
            "infer/device.rs",
            "infer/module.rs",
            "infer/torch.rs",
            "machine/allocator.rs",
            "preprocess/derive/expression.rs",
            "publish/spool.rs",
            "shutdown.rs",
        ],
    ),
    (&["_exit(", "process::exit"], &["shutdown.rs"]),
    (&["stdout()"], &["cli.rs", "cli/context.rs", "shutdown.rs"]),
];

/// Lines of code that a file may have before its tests.
const MOST_LINES: usize = 400;

/// A file of the source.
struct Source {
    /// Its path below `src`.
    path: String,
    text: String,
}

impl Source {
    /// Every file of the source, by path.
    fn all() -> Vec<Self> {
        let root = repository().join("src");
        let files = glob::glob(root.join("**/*.rs").to_str().unwrap()).unwrap();
        let source = |file: &Path| Self {
            path: file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(file).unwrap(),
        };
        files.map(|file| source(&file.unwrap())).collect()
    }

    /// Files that are not tests, nor the simulation that is one.
    fn all_code() -> Vec<Self> {
        let mut sources = Self::all();
        sources.retain(|source| !source.path.ends_with("tests.rs") && !source.path.starts_with("run/simulation"));
        sources
    }

    /// The top-level module that it belongs to.
    fn module(&self) -> &str {
        let (first, _) = self.path.split_once(['/', '.']).unwrap();
        first
    }

    /// Lines of code: no tests, no comments, nothing empty.
    fn code(&self) -> impl Iterator<Item = &str> {
        // Other things that only tests use, such as a clock in a file of its own, may stand further up.
        let code = self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines();
        lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
    }

    /// Top-level modules that its code names.
    fn imports(&self) -> BTreeSet<String> {
        let code = self.code().collect::<Vec<_>>().join("\n");
        let named = code.split("crate::").skip(1).flat_map(|rest| {
            let group = rest.strip_prefix('{').and_then(|group| group.split('}').next());
            let paths = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
            let word = |path: &str| {
                path.trim()
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap_or("")
                    .to_owned()
            };
            paths.into_iter().map(word).collect::<Vec<_>>()
        });
        named.filter(|name| !name.is_empty() && name != self.module()).collect()
    }
}

/// Modules and what they import, over all their files.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in Source::all_code() {
        if !["lib", "main"].contains(&source.module()) {
            imports
                .entry(source.module().to_owned())
                .or_default()
                .extend(source.imports());
        }
    }
    imports
}

#[track_caller]
fn expect_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn table_of_imports_names_the_modules_in_reading_order() {
    let library = fs::read_to_string(repository().join("src/lib.rs")).unwrap();
    let modules = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let table = MAY_IMPORT.iter().map(|(module, _)| *module);
    assert_eq!(modules.collect::<Vec<_>>(), table.collect::<Vec<_>>());
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let allowed: BTreeMap<_, Vec<_>> = MAY_IMPORT
        .iter()
        .map(|(module, allowed)| (*module, allowed.split(' ').collect()))
        .collect();
    let mut broken = Vec::new();
    for (module, imported) in imports() {
        let may = |name: &&String| WORDS.contains(&name.as_str()) || allowed[module.as_str()].contains(&name.as_str());
        broken.extend(
            imported
                .iter()
                .filter(|name| !may(name))
                .map(|name| format!("{module} imports {name}")),
        );
    }
    expect_none(&broken, "not in the table of allowed imports");
}

#[test]
fn table_of_imports_allows_no_more_than_is_used() {
    let imports = imports();
    let unused = MAY_IMPORT.iter().flat_map(|(module, allowed)| {
        let imported = &imports[*module];
        let unused = allowed.split_whitespace().filter(|name| !imported.contains(*name));
        unused.map(move |name| format!("{module} does not import {name}"))
    });
    expect_none(&unused.collect::<Vec<_>>(), "the table of allowed imports is too wide");
}

#[test]
fn stages_of_the_line_do_not_know_one_another() {
    let imports = imports();
    let known = STAGES.iter().flat_map(|stage| {
        let others = STAGES.iter().filter(|other| imports[*stage].contains(**other));
        others.map(move |other| format!("{stage} imports {other}"))
    });
    expect_none(&known.collect::<Vec<_>>(), "a stage knows another");
}

#[test]
fn modules_import_one_another_in_no_circle() {
    let mut left = imports();
    for (a, b) in KNOWN_CIRCLES {
        assert!(
            left[a].contains(b) && left[b].contains(a),
            "{a} and {b} are no circle any more; forget it"
        );
        left.get_mut(a).unwrap().remove(b);
    }
    // Takes away what imports nothing that is left, until nothing can be taken away.
    loop {
        let names: BTreeSet<_> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, imported| !imported.is_disjoint(&names));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "a circle among {:?}", left.keys());
}

#[test]
fn foreign_things_are_named_in_their_door_only() {
    let mut broken = Vec::new();
    for source in Source::all_code() {
        for (names, doors) in DOORS {
            let folder = |door: &&str| source.path.starts_with(&format!("{}/", door.trim_end_matches(".rs")));
            if doors.iter().any(|door| source.path == *door || folder(door)) {
                continue;
            }
            let said = names.iter().filter(|name| source.code().any(|line| says(line, name)));
            broken.extend(said.map(|name| format!("src/{} says `{name}`", source.path)));
        }
    }
    expect_none(&broken, "not in its door");
}

/// True where the name stands by itself and not at the end of a longer word.
fn says(line: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(word) && !line.contains("unsafe_code"))
}

#[test]
fn each_door_is_used() {
    let sources = Source::all_code();
    for (names, doors) in DOORS {
        for door in *doors {
            let source = sources
                .iter()
                .find(|source| source.path == *door)
                .unwrap_or_else(|| panic!("no src/{door}"));
            let used = source.code().any(|line| names.iter().any(|name| says(line, name)));
            assert!(used, "src/{door} says none of {names:?} any more");
        }
    }
}

#[test]
fn every_file_starts_with_what_it_is_for() {
    let silent = Source::all()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "));
    let silent: Vec<_> = silent.map(|source| format!("src/{}", source.path)).collect();
    expect_none(&silent, "no `//!` at the start");
}

#[test]
fn no_file_is_too_long_to_read() {
    let long = Source::all_code()
        .into_iter()
        .map(|source| (source.code().count(), source.path));
    let long = long
        .filter(|(lines, _)| *lines > MOST_LINES)
        .map(|(lines, path)| format!("src/{path}: {lines} lines"));
    expect_none(&long.collect::<Vec<_>>(), "too long; cut it by noun");
}

#[test]
fn nothing_is_unwrapped_outside_of_tests() {
    let unwrapping = Source::all_code()
        .into_iter()
        .filter(|source| source.code().any(|line| line.contains(".unwrap()")));
    let unwrapping: Vec<_> = unwrapping.map(|source| format!("src/{}", source.path)).collect();
    expect_none(&unwrapping, "`expect` says why it cannot fail");
}

#[test]
fn no_file_is_a_bag() {
    const BAGS: [&str; 8] = [
        "util", "utils", "helper", "helpers", "common", "misc", "types", "manager",
    ];
    let name = |path: &str| path.rsplit('/').next().unwrap().trim_end_matches(".rs").to_owned();
    let bags = Source::all()
        .into_iter()
        .filter(|source| BAGS.contains(&name(&source.path).as_str()));
    let bags: Vec<_> = bags.map(|source| source.path).collect();
    expect_none(&bags, "a file is named for the noun that it holds");
}
