//! Models that are no TorchScript, do not fit their contract, or misbehave: each ends with its own message and the way out.
//!
//! Files that are no TorchScript are those of `tests/not-models`, models that misbehave those of `tests/models`; `tests/models/make.py` makes
//! both. A row that the model cannot score is another matter and has its own tests.

mod behaviour;
mod contract;
mod file;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array, RecordBatch};
use batch_infer::exit::ExitCode;
use parquet::file::properties::WriterProperties;

use crate::support::{DATE, JobFixture, write_parquet};

/// The message of a run that is refused for its model.
#[track_caller]
fn refused(fixture: &JobFixture) -> String {
    let run = fixture.run();
    run.expect_refusal(ExitCode::Model);
    run.message()
}

/// A job of a model of `tests/models` over the columns `a` and `b`.
fn over(model: &str, a: &[f32], b: &[f32]) -> JobFixture {
    let fixture = JobFixture::of_test_model(model).setting("line.batch_rows", "7");
    let keys = Int32Array::from_iter_values(0..i32::try_from(a.len()).unwrap());
    let columns: [(&str, ArrayRef); 3] = [
        ("k", Arc::new(keys)),
        ("a", Arc::new(Float32Array::from(a.to_vec()))),
        ("b", Arc::new(Float32Array::from(b.to_vec()))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = fixture.path(&format!("features/date={DATE}/part-00000.parquet"));
    write_parquet(&path, &batch, WriterProperties::builder());
    fixture
}
