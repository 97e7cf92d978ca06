//! A job file or settings that cannot be used: exit code 10, every problem with its line and a way out.

use batch_infer::exit::ExitCode;

use crate::support::JobFixture;

#[test]
fn unknown_key_is_refused_with_the_one_meant() {
    let run = JobFixture::new().job("rows.max_bad_row", "3").run();
    run.expect_refusal(ExitCode::Config);
    insta::assert_snapshot!(run.message(), @"
    error: job file `job.toml` has a problem

      × `rows.max_bad_row` is not a known key
       ╭─[job.toml:8:6]
     7 │ output.path = 'predictions'
     8 │ rows.max_bad_row = 3
       ·      ───────────
     9 │ version = 1
       ╰────
      help: did you mean `max_bad_rows`?
      exit code: 10 (configuration invalid)
    ");
}

#[test]
fn all_problems_of_a_job_file_come_in_one_answer() {
    let run = JobFixture::new()
        .job("name", "'Fraud Detector'")
        .job("input.path", "'features/date={dat}'")
        .job("input.keys", "'transaction_id'")
        .job("rows.max_bad_fraction", "2")
        .job("rows.on.NULL_KEY", "'impute'")
        .job("output.patth", "'predictions'")
        .run();
    run.expect_refusal(ExitCode::Config);
    insta::assert_snapshot!(run.message(), @r#"
    error: job file `job.toml` has 6 problems

      × `input.keys` is a string, expected an array
       ╭─[job.toml:1:14]
     1 │ input.keys = 'transaction_id'
       ·              ────────────────
     2 │ input.path = 'features/date={dat}'
       ╰────
      help: write ["transaction_id"]

      × `input.path` holds the unknown variable `{dat}`
       ╭─[job.toml:2:14]
     1 │ input.keys = 'transaction_id'
     2 │ input.path = 'features/date={dat}'
       ·              ─────────────────────
     3 │ model.name = 'fraud-detector'
       ╰────
      help: did you mean `{date}`?

      × `name` is `Fraud Detector`, expected the form ^[a-z0-9][a-z0-9-]{0,51}$
       ╭─[job.toml:6:8]
     5 │ model.version = 'latest'
     6 │ name = 'Fraud Detector'
       ·        ────────────────
     7 │ output.path = 'predictions'
       ╰────
      help: lower-case letters, digits and hyphens, not a hyphen first, at most 52

      × `output.patth` is not a known key
       ╭─[job.toml:8:8]
     7 │ output.path = 'predictions'
     8 │ output.patth = 'predictions'
       ·        ─────
     9 │ rows.max_bad_fraction = 2
       ╰────
      help: did you mean `path`?

      × `rows.max_bad_fraction` is 2, expected a share from 0 to 1
        ╭─[job.toml:9:25]
      8 │ output.patth = 'predictions'
      9 │ rows.max_bad_fraction = 2
        ·                         ─
     10 │ rows.on.NULL_KEY = 'impute'
        ╰────
      help: one percent is 0.01

      × `rows.on.NULL_KEY` is `impute`, and no value can take its place
        ╭─[job.toml:10:20]
      9 │ rows.max_bad_fraction = 2
     10 │ rows.on.NULL_KEY = 'impute'
        ·                    ────────
     11 │ version = 1
        ╰────
      help: use `fail` or `reject`
      exit code: 10 (configuration invalid)
    "#);
}

#[test]
fn each_problem_is_in_the_json_document_with_its_line() {
    let report = JobFixture::new().job("rows.max_bad_rows", "'many'").run().report();
    let problem = &report["problems"][0];
    assert_eq!(problem["file"], "job.toml");
    assert!(problem["line"].as_u64().is_some_and(|line| line > 1), "{report:#}");
    assert!(
        problem["message"].as_str().unwrap().contains("rows.max_bad_rows"),
        "{report:#}"
    );
}

#[test]
fn file_that_is_no_toml_is_refused_at_its_line() {
    let run = JobFixture::new().job("input.passthrough", "[").run();
    run.expect_refusal(ExitCode::Config).expect_said(&["job.toml:"]);
}

#[test]
fn settings_file_that_is_not_there_is_named() {
    let run = JobFixture::new().argument("--config").argument("here.toml").run();
    run.expect_refusal(ExitCode::Config)
        .expect_said(&["read the settings file `here.toml`", "No such file"]);
}

#[test]
fn unknown_key_of_a_set_argument_is_refused() {
    let run = JobFixture::new()
        .argument("--set")
        .argument("output.pth=elsewhere")
        .run();
    run.expect_refusal(ExitCode::Config)
        .expect_said(&["`output.pth`", "did you mean `path`?"]);
}

#[test]
fn unknown_key_of_a_settings_file_is_refused() {
    let fixture = JobFixture::new().file("here.toml", b"[line]\nchunk_row = 7\n");
    let run = fixture.argument("--config").argument("here.toml").run();
    run.expect_refusal(ExitCode::Config).expect_said(&[
        "here.toml:2",
        "`line.chunk_row`",
        "did you mean `chunk_rows`?",
    ]);
}

#[test]
fn setting_of_the_environment_is_checked_like_one_of_a_file() {
    let run = JobFixture::new().setting("line.memory", "much").run();
    run.expect_refusal(ExitCode::Config)
        .expect_said(&["BATCH_INFER_LINE_MEMORY", "2GiB"]);
}

#[test]
fn secret_in_a_file_is_refused_and_not_shown() {
    let fixture = JobFixture::new().file("here.toml", b"[storage]\nsecret_access_key = \"hunter2\"\n");
    let run = fixture.argument("--config").argument("here.toml").run();
    run.expect_refusal(ExitCode::Config)
        .expect_said(&["looks like a secret", "environment"]);
    assert!(!run.message().contains("hunter2") && !run.report().to_string().contains("hunter2"));
}

#[test]
fn output_column_that_exists_already_is_refused() {
    let run = JobFixture::new().job("output.columns.run_id", "'probability'").run();
    run.expect_refusal(ExitCode::Config)
        .expect_said(&["two columns `probability`"]);
}

#[test]
fn output_inside_of_the_input_is_refused() {
    let run = JobFixture::new().job("output.path", "'features'").run();
    run.expect_refusal(ExitCode::Config)
        .expect_said(&["`output.path`", "overlaps"]);
}
