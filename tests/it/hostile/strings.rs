//! Hostile templates, paths, names and keys: each is refused, or what it names lies where it seems to lie.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use batch_infer::contract::Contract;
use batch_infer::document::Document;
use batch_infer::records::DateFolder;
use batch_infer::registry::Registry;
use batch_infer::run::Shard;
use batch_infer::settings::{self, StorageSettings};
use batch_infer::storage::Place;
use batch_infer::validate::{self, Job, Location};
use bytes::Bytes;
use chrono::NaiveDate;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::{Models, Tree};

/// What people and programs have tried elsewhere.
const FRAGMENTS: [&str; 90] = [
    "..",
    "../x",
    "../../x",
    "a/..",
    "a/../..",
    "a/../../x",
    "./../x",
    "../",
    "..//x",
    "/..",
    "/../x",
    "a/b/../../../x",
    "{date}/..",
    "{date}/../x",
    "{..}",
    "{../x}",
    "{date",
    "date}",
    "{{date}}",
    "{}",
    "{ date }",
    "{Date}",
    "{DATE}",
    "{date:%s}",
    "{date+1}",
    "{date}{",
    "{hour}",
    "{job}",
    "{HOME}",
    "{env.HOME}",
    "${HOME}",
    "$HOME",
    "$(touch x)",
    "`touch x`",
    "%HOME%",
    "{year}/{month}/../{day}",
    "{0}",
    "{date!r}",
    "{__class__}",
    "%2e%2e",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "..%2fx",
    "%252e%252e/x",
    "..%00/x",
    "..\\x",
    "a\\..\\..\\x",
    "\\..\\x",
    "\u{ff0e}\u{ff0e}/x",
    "\u{2024}\u{2024}/x",
    "..\u{200b}/x",
    ".\u{200b}./x",
    "\u{202e}x/..",
    "..\0/x",
    "a\0b",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "\u{1b}[2Jx",
    "\u{7f}",
    "\u{85}x",
    "\u{2028}x",
    "\u{feff}x",
    "~",
    "~/x",
    "~root/x",
    "/",
    "//",
    "//x",
    "a//b",
    "a/./b",
    "././a",
    ".",
    "...",
    ".../x",
    "..a/x",
    "a../x",
    " ",
    " ..",
    "..  /x",
    "-rf",
    "--help",
    "*",
    "a?",
    "[a",
    "**/x",
    "#x#1",
    "x#1",
    ":",
    "CON",
];

/// What stands before and behind a fragment.
const AROUND: [(&str, &str); 5] = [
    ("", ""),
    ("a/", ""),
    ("", "/b"),
    ("{date}/", "/c"),
    ("date={date}/", ""),
];

/// Whole paths that lead elsewhere by themselves.
const ELSEWHERE: [&str; 24] = [
    "s3://",
    "s3:///x",
    "s3://../x",
    "s3://b/../x",
    "s3://b//x",
    "s3://b/./x",
    "s3://key:secret@b/x",
    "s3://b:9000/x",
    "s3://b c/x",
    "s3://%2e%2e/x",
    "s3://b/x?X-Amz-Signature=0",
    "s3://b\0/x",
    "S3://b/x",
    "s3a://b/x",
    "s3n://b/x",
    "gs://b/x",
    "az://b/x",
    "file:///etc/passwd",
    "FILE:///etc",
    "http://169.254.169.254/latest/meta-data",
    "https://example.org/x",
    "ftp://h/x",
    "://x",
    "",
];

const JOB: &str = r#"version = 1
name = "fraud-detector"

[input]
path = "features/date={date}/"
keys = ["transaction_id"]

[model]
registry = "models"
name = "fraud-detector"

[output]
path = "predictions/fraud-detector"
"#;

fn date() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 19).unwrap()
}

/// The job with other values for some keys.
fn job(values: &[(&str, &str)]) -> Option<Job> {
    let mut document = Document::new("job file", "jobs/hostile.toml", JOB);
    for (key, value) in values {
        let value = toml_string(value);
        document.set(&format!("{key}={value}"));
    }
    validate::read(&document, date()).ok()
}

/// The text as TOML, so that nothing of it is taken for anything else.
fn toml_string(text: &str) -> String {
    let escaped: Vec<_> = text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
    format!("\"{}\"", escaped.concat())
}

/// Every hostile text: fragments in all surroundings, and whole paths.
fn hostile() -> BTreeSet<String> {
    let long = "a".repeat(300);
    let longer = "a/".repeat(600);
    let fragments = FRAGMENTS.into_iter().chain([long.as_str(), longer.as_str()]);
    let around = fragments.flat_map(|fragment| AROUND.map(|(before, behind)| format!("{before}{fragment}{behind}")));
    around.chain(ELSEWHERE.map(str::to_owned)).collect()
}

/// A folder with a tree in it that no job names.
struct Sandbox {
    home: TempDir,
    before: Tree,
}

impl Sandbox {
    fn new() -> Self {
        let home = TempDir::with_prefix("batch-infer-it-").unwrap();
        for file in [
            "sentinel",
            "outside/x",
            "outside/x/part-00000.parquet",
            "x/y",
            "etc/passwd",
            "roots.txt",
        ] {
            let path = home.path().join(file);
            if path.exists() || file == "outside/x" {
                continue;
            }
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::create_dir_all(home.path().join("roots")).unwrap();
        let before = Tree::of(home.path());
        Self { home, before }
    }

    /// A folder for what a job may write.
    fn roots(&self) -> PathBuf {
        self.home.path().join("roots")
    }

    /// What is written lies in the roots and nowhere else.
    #[track_caller]
    fn expect_unharmed(&self, text: &str) {
        let roots = self.roots();
        fs::remove_dir_all(&roots).unwrap();
        fs::create_dir_all(&roots).unwrap();
        assert!(
            Tree::of(self.home.path()) == self.before,
            "something was written outside by `{}`",
            text.escape_debug()
        );
    }
}

/// Nothing in the path leads up or is hidden from who reads it.
#[track_caller]
fn expect_plain(location: &Location, text: &str) {
    let shown = location.to_string();
    assert!(
        !shown.contains(char::is_control) && shown.len() <= 1_024,
        "{shown:?} of `{}`",
        text.escape_debug()
    );
    match location {
        Location::Local(path) => {
            let up = path.components().any(|part| part == Component::ParentDir);
            assert!(!up, "{shown:?} of `{}`", text.escape_debug());
            let again: PathBuf = path.components().collect();
            assert_eq!(again.as_os_str(), path.as_os_str(), "not in its normal form");
        }
        Location::S3 { prefix, .. } => {
            let odd = prefix.split('/').any(|name| matches!(name, "." | ".."));
            assert!(!odd, "{shown:?} of `{}`", text.escape_debug());
        }
    }
}

/// Writes what a run would write, by the same doors.
fn write(job: &Job, runtime: &Runtime) {
    let open = |location: &Location| Place::open(location, &StorageSettings::default());
    let (Ok(output), Ok(state)) = (open(&job.output), open(&job.state)) else {
        return;
    };
    runtime.block_on(async {
        let data = output.join(&format!("date={}", job.date)).join("part-00000.parquet");
        // Whether it can be written at all is for the file system to say.
        let _ = data.write(Bytes::from_static(b"data")).await;
        let records = DateFolder::new(&state, &job.name, job.date);
        for place in [
            records.log().join("1.json"),
            records.plan("p").join("plan.json"),
            records.rejects("p"),
        ] {
            let _ = place.create(Bytes::from_static(b"{}")).await;
            let _ = place.remove().await;
        }
    });
}

#[test]
fn hostile_paths_lead_nowhere_else() {
    let runtime = Runtime::new().unwrap();
    let sandbox = Sandbox::new();
    let roots = sandbox.roots();
    let texts = hostile();
    let mut accepted = 0;
    for text in &texts {
        // By itself: where it is accepted, it is what it seems to be.
        for key in ["output.path", "output.state", "input.path", "model.registry"] {
            if let Some(job) = job(&[(key, text)]) {
                for location in [&job.input, &job.output, &job.state, &job.registry] {
                    expect_plain(location, text);
                }
            }
        }
        // Below a folder, with everything that is written really written.
        let below = |folder: &str| format!("{}/{folder}/{text}", roots.display());
        let (data, state) = (below("data"), format!("{}/state", roots.display()));
        let plain = format!("{}/plain", roots.display());
        for values in [
            [("output.path", &data), ("output.state", &state)],
            [("output.path", &plain), ("output.state", &data)],
        ] {
            let values = values.map(|(key, value)| (key, value.as_str()));
            if let Some(job) = job(&values) {
                accepted += 1;
                for location in [&job.output, &job.state] {
                    expect_plain(location, text);
                    let Location::Local(path) = location else {
                        panic!("{location}")
                    };
                    assert!(path.starts_with(&roots), "{location} of `{}`", text.escape_debug());
                }
                write(&job, &runtime);
            }
        }
        sandbox.expect_unharmed(text);
    }
    assert!(texts.len() >= 300, "{}", texts.len());
    // Were all refused, nothing would have been shown.
    assert!(accepted >= 20, "{accepted}");
}

#[test]
fn hostile_names_are_no_folders() {
    let runtime = Runtime::new().unwrap();
    let sandbox = Sandbox::new();
    let roots = sandbox.roots();
    for text in &hostile() {
        assert!(
            job(&[("name", text)]).is_none() || !text.contains(['/', '.', '\\']),
            "`{}`",
            text.escape_debug()
        );
        let output = format!("{}/data", roots.display());
        for key in ["name", "model.name", "model.version"] {
            let Some(job) = job(&[(key, text), ("output.path", &output)]) else {
                continue;
            };
            assert!(!job.model_name.contains('/') && !job.model_version.contains('/'));
            assert!(![".", ".."].contains(&job.model_name.as_str()));
            write(&job, &runtime);
        }
        sandbox.expect_unharmed(text);
    }
}

#[test]
fn hostile_names_find_no_model_outside_of_the_registry() {
    let runtime = Runtime::new().unwrap();
    let sandbox = TempDir::new().unwrap();
    Models::copied("sample_data/models", "fraud-detector", sandbox.path().join("outside"));
    let inside = Models::copied("sample_data/models", "fraud-detector", sandbox.path().join("models"));
    inside.alias("sly", "../../outside/fraud-detector/2");
    inside.alias("slier", "..");
    let location = Location::Local(sandbox.path().join("models"));
    let registry = Registry::new(Place::open(&location, &StorageSettings::default()).unwrap());
    let names = hostile().into_iter().chain(["../outside/fraud-detector".to_owned()]);
    for name in names {
        let found = runtime.block_on(registry.resolve(&name, "2"));
        assert!(found.is_err(), "model `{}`", name.escape_debug());
        let found = runtime.block_on(registry.resolve("fraud-detector", &name));
        assert!(found.is_err(), "version `{}`", name.escape_debug());
    }
    for alias in ["sly", "slier", "../../outside/fraud-detector/2", "aliases"] {
        assert!(
            runtime.block_on(registry.resolve("fraud-detector", alias)).is_err(),
            "{alias}"
        );
    }
}

#[test]
fn files_beside_a_model_lie_beside_it() {
    let metadata = |file: &str| {
        let features = json!([{"name": "t", "kind": "text", "dtype": "string", "max_tokens": 8, "tokenizer": file}]);
        let contract = json!({
            "name": "m", "version": "1", "sha256": "0".repeat(64), "features": features,
            "inputs": [{"name": "ids", "dtype": "int64", "shape": [-1, -1], "columns": ["t"]}],
            "outputs": [{"column": "score", "dtype": "float32", "shape": [-1]}],
        });
        Contract::from_json(contract.to_string().as_bytes(), "metadata.json")
    };
    assert!(metadata("tokenizer.json").is_ok());
    for text in &hostile() {
        if metadata(text).is_ok() {
            let components: Vec<_> = Path::new(text).components().collect();
            assert!(
                matches!(components.as_slice(), [Component::Normal(_)]),
                "`{}`",
                text.escape_debug()
            );
        }
    }
}

#[test]
fn hostile_keys_and_values_of_the_command_line_are_no_panic() {
    let odd = [
        "",
        "=",
        "..=x",
        "output..path=x",
        ".=x",
        "output.path",
        "a.b.c.d.e.f=1",
        "output=1",
        "output.path.x=1",
        "version=[",
        "=x=y",
    ];
    for argument in odd.map(str::to_owned).into_iter().chain(hostile()) {
        let mut document = Document::new("job file", "jobs/hostile.toml", JOB);
        document.set(&argument);
        document.set(&format!("output.path={argument}"));
        document.set(&format!("{argument}=predictions"));
        if let Ok(job) = validate::read(&document, date()) {
            expect_plain(&job.output, &argument);
        }
    }
}

#[test]
fn hostile_run_keys_and_shards_are_refused_or_plain() {
    for text in hostile() {
        let key = toml_string(&text);
        if let Ok(settings) = settings::load(None, &[("--run-key", "run.key", &key)]) {
            let key = settings.run.key.unwrap();
            assert!(key.len() <= 200 && !key.contains(char::is_control), "{key:?}");
        }
        let shard = Shard::parse(&text);
        assert!(shard.is_none(), "{shard:?} of `{}`", text.escape_debug());
    }
    for text in [
        "1/1",
        "0/0",
        "-1/2",
        "2/1",
        "1/2/3",
        "1e0/2",
        "0x0/2",
        "٠/2",
        "18446744073709551616/2",
        "0/99999999999999999999",
    ] {
        assert_eq!(Shard::parse(text), None, "{text}");
    }
}

#[test]
fn years_that_are_not_written_in_four_digits_are_refused() {
    let document = Document::new("job file", "jobs/hostile.toml", JOB);
    for year in [-1, 0, 10_000, 262_142] {
        let date = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        assert!(validate::read(&document, date).is_err(), "{year}");
    }
}
