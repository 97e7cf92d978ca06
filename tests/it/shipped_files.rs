//! Files that are shipped beside the code agree with it: jobs, settings, schemas, the tables of exit codes, the changelog.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use batch_infer::exit::ExitCode;
use serde_json::Value;

use crate::support::{command, repository};

/// Files of a folder with that extension, by name; at least one.
fn shipped(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(!files.is_empty(), "no *.{extension} in {folder}");
    files
}

/// What a command says that must succeed.
#[track_caller]
fn said(arguments: &[&str], file: Option<&Path>) -> String {
    let output = command(repository()).args(arguments).args(file).output().unwrap();
    assert!(
        output.status.success(),
        "{file:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_shipped_job_is_valid() {
    for job in shipped("jobs", "toml") {
        let name = job.file_stem().unwrap().to_str().unwrap();
        let said = said(&["validate", "--job"], Some(&job));
        assert_eq!(
            said,
            format!("{name}: the job file is valid\n"),
            "a job has the name of its file"
        );
    }
}

#[test]
fn every_shipped_job_fits_the_sample_data() {
    for job in shipped("jobs", "toml") {
        said(&["validate", "--date", "2026-11-19", "--job"], Some(&job));
    }
}

#[test]
fn every_shipped_settings_file_is_valid() {
    for settings in shipped("configs", "toml") {
        said(&["config", "show", "--config"], Some(&settings));
    }
}

#[test]
fn shipped_schemas_are_those_of_the_program() {
    for schema in shipped("configs", "json") {
        let name = schema.file_name().unwrap().to_str().unwrap();
        let kind = name
            .strip_suffix(".schema.json")
            .unwrap_or_else(|| panic!("{name} is no schema"));
        let shown = said(&["config", "schema", kind], None);
        assert_eq!(
            fs::read_to_string(&schema).unwrap(),
            shown,
            "write {name} anew: batch-infer config schema {kind}"
        );
    }
}

/// Settings by key: their value and where it came from.
fn settings(file: Option<&Path>) -> Vec<(String, Value, String)> {
    let mut arguments = vec!["config", "show", "--format", "json"];
    arguments.extend(file.map(|_| "--config"));
    let shown: Vec<Value> = serde_json::from_str(&said(&arguments, file)).unwrap();
    let field = |setting: &Value, name: &str| setting[name].as_str().unwrap().to_owned();
    shown
        .iter()
        .map(|setting| {
            (
                field(setting, "key"),
                setting["value"].clone(),
                field(setting, "origin"),
            )
        })
        .collect()
}

#[test]
fn full_settings_are_every_setting_with_its_default() {
    let full = settings(Some(&repository().join("configs/full.toml")));
    let defaults = settings(None);
    let file = text("configs/full.toml");
    assert_eq!(full.len(), defaults.len());
    for ((key, value, origin), (_, default, _)) in full.iter().zip(&defaults) {
        assert_eq!(value, default, "{key}");
        // What is not set by default can only stand there as a comment.
        let name = key.rsplit('.').next().unwrap();
        let shown = if default.is_null() {
            file.contains(&format!("# {name} = "))
        } else {
            origin == "file"
        };
        assert!(shown, "configs/full.toml does not show `{key}`");
    }
}

#[test]
fn table_of_exit_codes_in_the_readme_is_that_of_the_program() {
    let readme = text("README.md");
    let (_, section) = readme.split_once("\n## Exit codes\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let rows: Vec<_> = section
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(cells)
        .collect();
    let expected = ExitCode::ALL.map(|exit| {
        let retry = if exit.retryable() { "yes" } else { "no" };
        vec![exit.code().to_string(), exit.meaning().to_owned(), retry.to_owned()]
    });
    assert_eq!(rows, expected);
}

/// Every file below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] })
        .collect()
}

/// That each kind of thing that starts runs is among them, and means the same by it, is for tests/deploy.
#[test]
fn clusters_give_up_on_the_codes_for_which_a_retry_cannot_help() {
    let hopeless = ExitCode::ALL
        .into_iter()
        .filter(|exit| !exit.retryable() && *exit != ExitCode::Success);
    let hopeless: BTreeSet<_> = hopeless.map(|exit| exit.code().to_string()).collect();
    let mut policies = 0;
    for manifest in below(&repository().join("deploy")) {
        let text = fs::read_to_string(&manifest).unwrap();
        if !text.contains("onExitCodes") {
            continue;
        }
        policies += 1;
        let lists = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("values: [")?.strip_suffix(']'));
        let codes: BTreeSet<_> = lists.flat_map(|list| list.split(", ").map(str::to_owned)).collect();
        assert_eq!(codes, hopeless, "{}", manifest.display());
    }
    assert!(policies >= 3, "only {policies} manifests have a policy");
}

#[test]
fn changelog_has_a_section_for_this_version() {
    let section = format!("\n## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(text("CHANGELOG.md").contains(&section), "{section}");
}
