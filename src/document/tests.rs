//! Documents that are read, mended and laid over, and what is said of those that cannot be.

use super::{Document, Origin};
use crate::error::Error;
use crate::settings::SettingsSpec;
use crate::spec::JobSpec;

fn job(text: &str) -> Document {
    Document::new("job file", "jobs/fraud.toml", text)
}

/// What a reader is told about the form of a job file.
fn told(document: &Document) -> String {
    let (_, problems) = document.read::<JobSpec>();
    Error::from(document.report(problems)).to_string()
}

const WHOLE: &str = r#"name = "fraud"
[input]
path = "features"
keys = ["id"]
[model]
registry = "models"
name = "fraud"
[output]
path = "predictions"
"#;

#[test]
fn syntax_errors_are_shown_all_at_once() {
    insta::assert_snapshot!(told(&job("name = fraud\n[input\npath = \"a\"\n[model]\n[model]\n")), @r#"
    error: job file `jobs/fraud.toml` has 3 problems

      × invalid boolean, expected `false`
       ╭─[jobs/fraud.toml:1:8]
     1 │ name = fraud
       ·        ─────
     2 │ [input
       ╰────

      × unclosed table, expected `]`
       ╭─[jobs/fraud.toml:2:7]
     1 │ name = fraud
     2 │ [input
       ·       ▲
     3 │ path = "a"
       ╰────

      × duplicate key
       ╭─[jobs/fraud.toml:5:2]
     4 │ [model]
     5 │ [model]
       ·  ─────
       ╰────
    "#);
}

#[test]
fn unknown_keys_are_answered_with_known_ones() {
    let text = format!("timezone = \"UTC\"\nwhatever = 1\n{WHOLE}sucess_marker = true\n");
    insta::assert_snapshot!(told(&job(&text)), @r#"
    error: job file `jobs/fraud.toml` has 3 problems

      × `timezone` is not a known key
       ╭─[jobs/fraud.toml:1:1]
     1 │ timezone = "UTC"
       · ────────
     2 │ whatever = 1
       ╰────
      help: did you mean `schedule.timezone`?

      × `whatever` is not a known key
       ╭─[jobs/fraud.toml:2:1]
     1 │ timezone = "UTC"
     2 │ whatever = 1
       · ────────
     3 │ name = "fraud"
       ╰────
      help: known here: `input`, `model`, `name`, `output`, `rows`, `schedule` and `version`

      × `output.sucess_marker` is not a known key
        ╭─[jobs/fraud.toml:12:1]
     11 │ path = "predictions"
     12 │ sucess_marker = true
        · ─────────────
        ╰────
      help: did you mean `success_marker`?
    "#);
}

#[test]
fn wrong_types_are_shown_all_at_once() {
    let text = "version = \"1\"\nname = 7\n[input]\npath = [\"a\"]\nkeys = [\"id\", 3]\n[model]\nregistry = 2026-11-19\nname = \"m\"\n[output]\npath = \"p\"\nsuccess_marker = \"yes\"\n[rows]\nmax_bad_rows = 1.5\n";
    insta::assert_snapshot!(told(&job(text)), @r#"
    error: job file `jobs/fraud.toml` has 7 problems

      × `version` is a string, expected an integer
       ╭─[jobs/fraud.toml:1:11]
     1 │ version = "1"
       ·           ───
     2 │ name = 7
       ╰────
      help: write it without quotes

      × `name` is an integer, expected a string
       ╭─[jobs/fraud.toml:2:8]
     1 │ version = "1"
     2 │ name = 7
       ·        ─
     3 │ [input]
       ╰────
      help: put it in quotes

      × `input.path` is an array, expected a string
       ╭─[jobs/fraud.toml:4:8]
     3 │ [input]
     4 │ path = ["a"]
       ·        ─────
     5 │ keys = ["id", 3]
       ╰────

      × `input.keys[1]` is an integer, expected a string
       ╭─[jobs/fraud.toml:5:15]
     4 │ path = ["a"]
     5 │ keys = ["id", 3]
       ·               ─
     6 │ [model]
       ╰────
      help: put it in quotes

      × `model.registry` is a datetime, expected a string
       ╭─[jobs/fraud.toml:7:12]
     6 │ [model]
     7 │ registry = 2026-11-19
       ·            ──────────
     8 │ name = "m"
       ╰────
      help: put it in quotes

      × `output.success_marker` is a string, expected true or false
        ╭─[jobs/fraud.toml:11:18]
     10 │ path = "p"
     11 │ success_marker = "yes"
        ·                  ─────
     12 │ [rows]
        ╰────
      help: write it without quotes

      × `rows.max_bad_rows` is a float, expected an integer
        ╭─[jobs/fraud.toml:13:16]
     12 │ [rows]
     13 │ max_bad_rows = 1.5
        ·                ───
        ╰────
    "#);
}

#[test]
fn secrets_are_refused_and_not_shown() {
    let text = format!("{WHOLE}[storage]\naws_secret_access_key = \"wJalrXUtnFEMI\"\n");
    let mut document = job(&text);
    document.set("input.api_token=geheim");
    let told = told(&document);
    assert!(!told.contains("wJalrXUtnFEMI") && !told.contains("geheim"), "{told}");
    insta::assert_snapshot!(told, @r#"
    error: job file `jobs/fraud.toml` has 3 problems

      × `storage` is not a known key
        ╭─[jobs/fraud.toml:10:2]
      9 │ path = "predictions"
     10 │ [storage]
        ·  ───────
     11 │ aws_secret_access_key = ***************
        ╰────
      help: known here: `input`, `model`, `name`, `output`, `rows`, `schedule` and `version`

      × `storage.aws_secret_access_key` looks like a secret, and no file may hold one
        ╭─[jobs/fraud.toml:11:1]
     10 │ [storage]
     11 │ aws_secret_access_key = ***************
        · ─────────────────────
        ╰────
      help: secrets come from the environment only, for S3 as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY

      × `input.api_token` looks like a secret, and no file may hold one
       ╭─[--set:1:1]
     1 │ input.api_token=******
       · ───────────────
       ╰────
      help: secrets come from the environment only, for S3 as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    "#);
}

#[test]
fn unknown_key_of_a_set_is_shown_where_it_was_typed() {
    let mut document = job(WHOLE);
    document.set("output.pth=elsewhere");
    document.set("input.keys.x=1");
    insta::assert_snapshot!(told(&document), @r"
    error: job file `jobs/fraud.toml` has 2 problems

      × `output.pth` is not a known key
       ╭─[--set:1:1]
     1 │ output.pth=elsewhere
       · ──────────
       ╰────
      help: did you mean `path`?

      × `input.keys` is a table, expected an array
       ╭─[--set:1:1]
     1 │ input.keys.x=1
       · ────────────
       ╰────
    ");
}

#[test]
fn empty_file_lacks_every_required_key() {
    insta::assert_snapshot!(told(&job("")), @r"
    error: job file `jobs/fraud.toml` has 6 problems

      × `name` is missing
      help: Name of the job, in folders, metrics and logs: lower-case letters, digits and hyphens, at most 52.

      × `input.path` is missing
      help: A Parquet file, a folder, a glob, or `s3://bucket/prefix`; may hold `{date}`, `{date_nodash}`,
            `{year}`, `{month}`, `{day}`.

      × `input.keys` is missing
      help: Columns that name a row. They travel to the output and are never null.

      × `model.registry` is missing
      help: The model registry: a folder, or `s3://bucket/prefix`.

      × `model.name` is missing
      help: Name of the model in the registry.

      × `output.path` is missing
      help: The data set: a folder, or `s3://bucket/prefix`. A folder `date=YYYY-MM-DD` is made below it for
            each date.
    ");
}

#[test]
fn later_value_wins_and_a_string_stays_a_string() {
    let mut document = job(WHOLE);
    for set in [
        "model.version=1",
        "model.version=2026-11-19",
        "rows.max_bad_rows=5",
        "input.keys=[\"a\", \"b\"]",
        "output.path=x=y",
    ] {
        document.set(set);
    }
    let (spec, problems) = document.read::<JobSpec>();
    assert_eq!(problems, []);
    let spec = spec.unwrap();
    assert_eq!(spec.model.version, "2026-11-19");
    assert_eq!(spec.rows.max_bad_rows, 5);
    assert_eq!(spec.input.keys, ["a", "b"]);
    assert_eq!(spec.output.path, "x=y");
}

#[test]
fn value_of_a_misspelt_key_is_judged_as_if_it_were_spelt_right() {
    let document = job(&WHOLE.replace("path = \"features\"", "pth = 3"));
    let (_, problems) = document.read::<JobSpec>();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["input.pth", "input.path"]);
}

#[test]
fn file_that_is_not_there_is_named() {
    let error = Document::open("job file", std::path::Path::new("jobs/none.toml")).map_err(Error::from);
    insta::assert_snapshot!(error.unwrap_err(), @r"
    error: read the job file `jobs/none.toml`
      caused by: No such file or directory (os error 2)
    ");
}

#[test]
fn text_of_any_form_is_answered_without_a_panic() {
    let parts = [
        "name", "=", "[", "]", "\"", "é", ".", "input", "\n", "{", "}", "3", ",", "path", "\u{0}", "keys", "://@",
        "token",
    ];
    let mut state = 7_u64;
    for _ in 0..2_000 {
        let mut text = String::new();
        for _ in 0..12 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let part = usize::try_from(state >> 33).unwrap() % parts.len();
            text.push_str(parts[part]);
        }
        let mut document = job(&text);
        document.set(&text);
        assert!(told(&document).starts_with("error: job file"));
    }
}

#[test]
fn number_too_great_for_its_type_is_a_problem() {
    let (spec, problems) = job(&format!("version = 99999999999\n{WHOLE}")).read::<JobSpec>();
    assert_eq!((spec, problems.len()), (None, 1));
}

#[test]
fn origins_follow_what_was_put_last() {
    let mut document = Document::new("settings file", "c.toml", "[line]\nbatch_rows = 1\nmemory = \"1GiB\"\n");
    document.put(Origin::Environment("V".to_owned()), "line.memory", "2GiB");
    document.put(Origin::Flag("--device".to_owned()), "device.kind", "cpu");
    assert_eq!(document.origin("line.batch_rows"), Origin::File);
    assert_eq!(document.origin("line.memory"), Origin::Environment("V".to_owned()));
    assert_eq!(document.origin("device.kind"), Origin::Flag("--device".to_owned()));
    assert_eq!(document.origin("line.chunk_rows"), Origin::Default);
    let (spec, problems) = document.read::<SettingsSpec>();
    assert_eq!(problems, []);
    assert_eq!(spec.unwrap().line.memory, "2GiB");
}
