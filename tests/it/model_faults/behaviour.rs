//! Models that give no numbers, do not come back, or want more memory than there is.

use std::time::{Duration, Instant};

use batch_infer::exit::ExitCode;
use rustix::process::Signal;

use super::{over, refused};
use crate::support::{JobFixture, command, repository};

/// A value that sends the models `endless` and `hungry` astray.
const ASTRAY: f32 = 1_000.0;

/// Rows of which the last is the one that a model stumbles over.
fn with_a_stone(model: &str) -> JobFixture {
    let mut a = vec![1.0; 50];
    a[49] = ASTRAY;
    over(model, &a, &[2.0; 50])
}

/// Time that a process may need beside the limit on a busy machine; far below the limit of 30 minutes that holds by default.
const SOON: Duration = Duration::from_mins(1);

#[expect(clippy::disallowed_methods, reason = "how long a process takes is the claim")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn result_that_is_never_a_number_is_a_matter_of_rows() {
    let run = over("ratio", &[0.0; 20], &[0.0; 20]).run();
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["NONFINITE_OUTPUT", "`score`"]);
}

#[test]
fn result_that_is_no_number_for_zeros_alone_is_a_warning() {
    let run = over("ratio", &[1.0; 20], &[2.0; 20]).setting("log.level", "warn").run();
    run.expect_rows(20);
    run.expect_said(&["NaN or infinity for rows of zeros", "score"]);
}

#[test]
fn model_that_does_not_come_back_from_a_batch_ends_the_run() {
    let fixture = with_a_stone("endless").setting("infer.batch_timeout", "5s");
    let start = now();
    let message = refused(&fixture);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    insta::assert_snapshot!(message, @"
    error: a forward pass over 1 rows takes longer than 5s, the limit that `infer.batch_timeout` sets
      hint: look for a loop in the model's code that does not end on some rows; if it is only slow, give it fewer rows at a time, [line] batch_rows, or raise [infer] batch_timeout
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn model_that_does_not_come_back_from_the_try_ends_the_run() {
    let fixture = over("endless-at-once", &[1.0], &[2.0]).setting("infer.batch_timeout", "5s");
    insta::assert_snapshot!(refused(&fixture), @"
    error: trying the model on 2 rows of zeros takes longer than 5s, the limit that `infer.batch_timeout` sets
      hint: look for a loop in the model's code that does not end; if it is only slow, raise [infer] batch_timeout
      exit code: 11 (model missing, damaged, or not as its contract says)
    ");
}

#[test]
fn model_that_does_not_come_back_is_found_by_verify_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let registry = repository().join("tests/models");
    let mut verify = command(folder.path());
    verify
        .args(["model", "verify", "endless-at-once", "--registry"])
        .arg(registry);
    let output = verify.env("BATCH_INFER_INFER_BATCH_TIMEOUT", "5s").output().unwrap();
    assert_eq!(output.status.code(), Some(11));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("trying the model on 2 rows of zeros takes longer than 5s"),
        "{said}"
    );
}

#[test]
fn process_with_a_model_that_does_not_come_back_ends_when_it_is_asked_to() {
    let run = with_a_stone("endless").setting("run.shutdown_grace", "1s").start();
    let run = run.until_it_has_a_plan();
    std::thread::sleep(Duration::from_millis(500));
    let start = now();
    let run = run.signal(Signal::TERM).end();
    run.expect_refusal(ExitCode::Terminated);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn process_that_tries_such_a_model_ends_when_it_is_asked_to() {
    let run = over("endless-at-once", &[1.0], &[2.0]).start().until_it_loads();
    // Longer than it takes to come to the try; it stays there.
    std::thread::sleep(Duration::from_secs(2));
    let start = now();
    run.signal(Signal::TERM).end().expect_refusal(ExitCode::Terminated);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn machine_without_enough_memory_is_no_fault_of_a_row() {
    let fixture = with_a_stone("hungry")
        .job("rows.max_bad_rows", "50")
        .job("rows.max_bad_fraction", "1.0")
        .job("rows.on.MODEL_ERROR", "'reject'");
    let run = fixture.run();
    run.expect_refusal(ExitCode::HostMemory);
    insta::assert_snapshot!(run.message(), @"
    error: get memory for the model on this machine: DefaultCPUAllocator: can't allocate memory: you tried to allocate 70368744177664 bytes. Error code 12 (Cannot allocate memory)
      hint: give the process more memory, or less to do at a time: [line] batch_rows, [threads] score, [line] memory; finished chunks are kept
      exit code: 41 (memory limit near)
    ");
}

#[test]
fn machine_without_enough_memory_is_no_fault_of_the_model() {
    let run = over("hungry-at-once", &[1.0], &[2.0]).run();
    run.expect_refusal(ExitCode::HostMemory);
    insta::assert_snapshot!(run.message(), @"
    error: try `models/hungry-at-once/1/model.pt` on 2 rows of zeros, given x float32 [2, 2]
      caused by: get memory for the model on this machine: DefaultCPUAllocator: can't allocate memory: you tried to allocate 70368744177664 bytes. Error code 12 (Cannot allocate memory)
      hint: give the process more memory, or less to do at a time: [line] batch_rows, [threads] score, [line] memory; finished chunks are kept
      exit code: 41 (memory limit near)
    ");
}
