//! A model that throws: the rows at fault are found, and a model at fault is not blamed on rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array, RecordBatch};
use batch_infer::exit::ExitCode;
use parquet::file::properties::WriterProperties;

use super::picky::{expect_published, job, rejected, rejecting, rows, run};
use crate::support::{DATE, write_parquet};

#[test]
fn rows_on_which_the_model_throws_are_rejected_with_what_it_says() {
    let mut rows = rows(100);
    let bad = [0, 1, 17, 50, 63, 99];
    for row in bad {
        rows[row].a = Some(666.0);
    }
    let job = rejecting(job(), "MODEL_ERROR", 10);
    let run = run(&job, &rows);
    let kept = rows
        .iter()
        .enumerate()
        .filter(|(number, _)| !bad.contains(number))
        .map(|(_, row)| row);
    expect_published(&run, kept);
    assert_eq!(
        rejected(&job).iter().map(|reject| reject.1).collect::<Vec<_>>(),
        bad.map(|row| row as u64)
    );
    let shown = job.command("rejects show").args(["--date", DATE]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("the fan is on fire"), "{shown}");
    assert!(shown.contains("6 of 6 rejected rows"), "{shown}");
}

#[test]
fn more_rows_than_tolerated_end_the_search() {
    let mut rows = rows(100);
    for row in &mut rows[40..] {
        row.a = Some(666.0);
    }
    let run = run(&rejecting(job(), "MODEL_ERROR", 3).published_before(), &rows);
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["max_bad_rows = 3", "the fan is on fire"]);
}

#[test]
fn first_chunks_of_nothing_but_bad_rows_are_no_fault_of_the_model() {
    for (threads, batch_rows) in [("1", "4"), ("2", "4"), ("1", "16")] {
        // Chunks have at most 16 rows: the first of nothing but bad ones, and good ones between them or at the end.
        for good in [
            vec![96..100],
            vec![98..99],
            vec![40..41],
            vec![0..1],
            vec![97..98, 50..60],
        ] {
            let mut rows = rows(100);
            let is_good = |row: usize| good.iter().any(|good| good.contains(&row));
            for (number, row) in rows.iter_mut().enumerate() {
                if !is_good(number) {
                    row.a = Some(666.0);
                }
            }
            let job = rejecting(job(), "MODEL_ERROR", 100)
                .job("rows.max_bad_fraction", "1.0")
                .setting("threads.score", threads)
                .setting("line.batch_rows", batch_rows);
            let run = run(&job, &rows);
            let kept = rows.iter().enumerate().filter(|(number, _)| is_good(*number));
            expect_published(&run, kept.map(|(_, row)| row));
        }
    }
}

#[test]
fn more_bad_rows_at_the_beginning_than_tolerated_are_bad_rows() {
    let mut rows = rows(100);
    for row in &mut rows[..80] {
        row.a = Some(666.0);
    }
    let run = run(&rejecting(job(), "MODEL_ERROR", 60).published_before(), &rows);
    run.expect_refusal(ExitCode::BadRows);
    let strict = super::picky::run(&job().published_before(), &rows);
    strict
        .expect_refusal(ExitCode::BadRows)
        .expect_said(&["MODEL_ERROR", "the fan is on fire"]);
}

#[test]
fn model_that_throws_on_everything_is_at_fault_itself() {
    for batch_rows in ["1", "4", "64"] {
        let job = rejecting(job(), "MODEL_ERROR", 1_000)
            .job("rows.max_bad_fraction", "1.0")
            .job("name", "'stubborn'")
            .job("model.name", "'stubborn'")
            .setting("line.batch_rows", batch_rows);
        let ones = || Arc::new(Float32Array::from(vec![1.0; 100])) as ArrayRef;
        let keys = Arc::new(Int32Array::from_iter_values(0..100)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("k", keys), ("a", ones()), ("b", ones())]).unwrap();
        let path = job.path(&format!("features/date={DATE}/part-00000.parquet"));
        write_parquet(&path, &batch, WriterProperties::builder());
        let run = job.run();
        run.expect_refusal(ExitCode::Model);
        run.expect_said(&["throws on all rows", "nothing but zeros, please"]);
    }
}

#[test]
fn model_without_a_single_number_is_at_fault_itself() {
    let mut rows = rows(20);
    for row in &mut rows {
        row.b = Some(777.0);
    }
    let job = rejecting(job(), "NONFINITE_OUTPUT", 100).job("rows.max_bad_fraction", "1.0");
    let run = run(&job.published_before(), &rows);
    run.expect_refusal(ExitCode::Model)
        .expect_said(&["NaN or infinity for 20"]);
}
