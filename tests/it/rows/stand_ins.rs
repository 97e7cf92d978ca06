//! What stands for a value that the model cannot be given leaves a trace: counts by feature, a warning, and limits.

use batch_infer::exit::ExitCode;
use serde_json::{Value, json};

use super::picky::{self, Row, rejecting, rows, run};
use crate::support::{JobFixture, Run};

const ROWS: usize = 100;

/// Of the rows, so many with a plan that the model does not know, and so many with a null that it has a value for.
fn rows_with(unknown: usize, nulls: usize) -> Vec<Row> {
    let mut rows = rows(ROWS);
    rows.iter_mut().take(unknown).for_each(|row| row.plan = Some("PRO"));
    rows.iter_mut().rev().take(nulls).for_each(|row| row.b = None);
    rows
}

/// A job that tells its warnings.
fn job() -> JobFixture {
    picky::job().setting("log.level", "warn")
}

#[track_caller]
fn stand_ins(run: &Run) -> Value {
    run.expect_success();
    run.report()["rows"]["stand_ins"].clone()
}

fn counts(unknown: usize, imputed: usize) -> Value {
    json!({ "unknown": unknown, "imputed": imputed, "precision_loss": 0 })
}

#[test]
fn unknown_categories_and_imputed_values_are_counted_by_feature() {
    let mut rows = rows_with(31, 7);
    rows[50].plan = None;
    let run = run(&job(), &rows);
    picky::expect_published(&run, &rows);
    assert_eq!(stand_ins(&run), json!({ "b": counts(0, 7), "plan": counts(31, 1) }));
    assert!(!run.message().contains("reached the model"), "{}", run.message());
    assert_eq!(stand_ins(&picky::run(&job(), &rows_with(0, 0))), json!({}));
}

/// A row that is rejected was not scored with anything.
#[test]
fn rejected_rows_do_not_count() {
    let mut rows = rows_with(10, 0);
    for row in rows.iter_mut().take(4) {
        row.a = None;
    }
    let run = run(&rejecting(job(), "NULL_FEATURE", 10), &rows);
    assert_eq!(stand_ins(&run), json!({ "plan": counts(6, 0) }));
    let run = picky::run(&rejecting(job(), "UNKNOWN_CATEGORY", 10), &rows_with(10, 0));
    assert_eq!(stand_ins(&run), json!({}));
}

#[test]
fn feature_of_which_no_value_reaches_the_model_is_told() {
    let run = run(&job(), &rows_with(ROWS, ROWS));
    run.expect_success().expect_said(&[
        "no value of the feature `plan` reached the model: it was unknown in 100 of 100 rows",
        "no value of the feature `b` reached the model: it was imputed in 100 of 100 rows",
    ]);
}

#[test]
fn share_beyond_a_limit_publishes_nothing() {
    for (key, said) in [
        (
            "max_unknown_fraction",
            "the feature `plan` is unknown in 20 of 100 rows",
        ),
        ("max_imputed_fraction", "the feature `b` is imputed in 20 of 100 rows"),
    ] {
        let run = |share: &str| picky::run(&job().job(&format!("rows.{key}"), share), &rows_with(20, 20));
        run("0.2").expect_success();
        let limit = format!("the job allows {key} = 0.199");
        run("0.199")
            .expect_refusal(ExitCode::BadRows)
            .expect_said(&[said, &limit]);
        run("1.5")
            .expect_refusal(ExitCode::Config)
            .expect_said(&[key, "a share from 0 to 1"]);
    }
}

#[test]
fn counts_of_chunks_that_an_earlier_process_finished_are_kept() {
    let job = job();
    picky::write(&job, "part-00000.parquet", &rows_with(31, 7), ROWS);
    let killed = job.variable("FAILPOINTS", "done.create.after=3*off->1*return(kill)");
    killed.run().expect_killed();
    let run = killed.variable("FAILPOINTS", "").run();
    assert_eq!(stand_ins(&run), json!({ "b": counts(0, 7), "plan": counts(31, 0) }));
    assert!(run.report()["line"]["resumed_chunks"].as_u64().unwrap() > 0);
}
