//! Integers on their way into tensors: the very number, a bad row, or a count where people look.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int8Array, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array,
};
use batch_infer::exit::ExitCode;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use crate::support::{DATE, JobFixture, Run, write_parquet};

fn write(job: &JobFixture, columns: Vec<(&str, ArrayRef)>) {
    let rows = columns[0].1.len();
    let key: ArrayRef = Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows).unwrap()));
    let columns = std::iter::once(("k", key)).chain(columns);
    let path = job.path(&format!("features/date={DATE}/part-00000.parquet"));
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    write_parquet(&path, &batch, WriterProperties::builder());
}

fn integers<T: Into<Option<i64>>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(values.into_iter().map(Into::into).collect::<Int64Array>())
}

/// The model adds an int8, an int32 and an int64, and hands `at`, an int64, back.
fn job(medium: Value, at: Value) -> JobFixture {
    JobFixture::of_test_model("raw-integers").models(|models| {
        models.metadata("1", |metadata| {
            metadata["features"][1] = medium;
            metadata["features"][3] = at;
        });
    })
}

fn numeric(name: &str, dtype: &str, further: &Value) -> Value {
    let mut feature = json!({ "name": name, "kind": "numeric", "dtype": dtype });
    feature
        .as_object_mut()
        .unwrap()
        .append(&mut further.as_object().unwrap().clone());
    feature
}

fn run_with(job: &JobFixture, medium: ArrayRef, at: ArrayRef) -> Run {
    let rows = medium.len();
    write(
        job,
        vec![
            ("small", Arc::new(Int8Array::from(vec![0; rows]))),
            ("medium", medium),
            ("large", integers(vec![0; rows])),
            ("at", at),
        ],
    );
    job.run()
}

fn tolerating(job: JobFixture, reason: &str) -> JobFixture {
    job.job(&format!("rows.on.{reason}"), "'reject'")
        .job("rows.max_bad_rows", "10")
        .job("rows.max_bad_fraction", "1.0")
}

#[test]
fn integer_that_a_tensor_cannot_hold_is_a_bad_row_and_not_the_nearest_it_holds() {
    let fixture = || {
        job(
            numeric("medium", "int64", &json!({})),
            numeric("at", "int64", &json!({})),
        )
    };
    let ends = [i64::from(i32::MIN), i64::from(i32::MAX), 0];
    let run = run_with(
        &fixture(),
        integers(ends),
        integers([i64::MIN, i64::MAX, (1 << 53) + 1]),
    );
    run.expect_success();
    assert_eq!(run.partition().integers("sum"), ends);
    assert_eq!(run.partition().integers("micros"), [i64::MIN, i64::MAX, (1 << 53) + 1]);
    for beyond in [i64::from(i32::MAX) + 1, i64::from(i32::MIN) - 1, i64::MAX] {
        let run = run_with(&fixture(), integers([1, beyond, 5]), integers([0; 3]));
        run.expect_refusal(ExitCode::BadRows)
            .expect_said(&["CAST_OVERFLOW", "row 1", "`medium`"]);
        let run = run_with(
            &tolerating(fixture(), "CAST_OVERFLOW"),
            integers([1, beyond, 5]),
            integers([0; 3]),
        );
        run.expect_success();
        assert_eq!(run.partition().integers("k"), [0, 2]);
        assert_eq!(run.partition().integers("sum"), [1, 5]);
    }
    let unsigned: ArrayRef = Arc::new(UInt64Array::from(vec![1, u64::MAX]));
    let run = run_with(&fixture(), integers([0; 2]), unsigned);
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["CAST_OVERFLOW", "`at`"]);
}

#[test]
fn fraction_is_not_cut_off_for_a_tensor_of_integers() {
    let fixture = || {
        job(
            numeric("medium", "int32", &json!({})),
            numeric("at", "float64", &json!({})),
        )
    };
    let floats = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
    let run = run_with(
        &fixture(),
        integers([0; 3]),
        floats(vec![1.0, -3.0, 9_007_199_254_740_992.0]),
    );
    run.expect_success();
    assert_eq!(run.partition().integers("micros"), [1, -3, 9_007_199_254_740_992]);
    for cut in [2.5, -0.25, 1e300, 9_223_372_036_854_775_808.0] {
        let run = run_with(&fixture(), integers([0; 2]), floats(vec![1.0, cut]));
        run.expect_refusal(ExitCode::BadRows)
            .expect_said(&["CAST_OVERFLOW", "row 1", "`at`"]);
    }
}

#[test]
fn arithmetic_ends_in_integers_or_the_row_is_bad() {
    let halved = numeric("medium", "int32", &json!({ "mean": 1.0, "std": 2.0, "impute": 5.0 }));
    let fixture = || job(halved.clone(), numeric("at", "int64", &json!({})));
    let run = run_with(&fixture(), integers([Some(1), Some(7), None]), integers([0; 3]));
    run.expect_success();
    assert_eq!(run.partition().integers("sum"), [0, 3, 2]);
    let run = run_with(&fixture(), integers([1, 2]), integers([0; 2]));
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["CAST_OVERFLOW", "row 1", "`medium`"]);
    let run = run_with(
        &job(
            numeric("medium", "int32", &json!({ "impute": 0.25 })),
            numeric("at", "int64", &json!({})),
        ),
        integers([1]),
        integers([0]),
    );
    run.expect_refusal(ExitCode::Model)
        .expect_said(&["feature `medium`", "stands for a null is no integer that int32 holds"]);
}

#[test]
fn instant_becomes_whole_units_downwards() {
    for (cast, unit) in [
        ("epoch_seconds", 1_000_000),
        ("epoch_millis", 1_000),
        ("epoch_days", 86_400_000_000),
    ] {
        let at = numeric("at", "int64", &json!({ "cast": cast }));
        let stamps = vec![-1, 0, 1_763_510_400_999_999, unit];
        let expected: Vec<i64> = stamps.iter().map(|stamp: &i64| stamp.div_euclid(unit)).collect();
        let stamps: ArrayRef = Arc::new(TimestampMicrosecondArray::from(stamps));
        let run = run_with(
            &job(numeric("medium", "int32", &json!({})), at),
            integers([0; 4]),
            stamps,
        );
        run.expect_success();
        assert_eq!(run.partition().integers("micros"), expected, "{cast}");
    }
}

/// A ratio of two columns that the model takes as float32, or as the type given.
fn ratio(a: Value) -> JobFixture {
    JobFixture::of_test_model("ratio")
        .setting("log.level", "warn")
        .models(|models| {
            models.metadata("1", |metadata| metadata["features"][0] = a);
        })
}

fn run_ratio(job: &JobFixture, a: ArrayRef) -> Run {
    let ones: ArrayRef = Arc::new(Float64Array::from(vec![1.0; a.len()]));
    write(job, vec![("a", a), ("b", ones)]);
    job.run()
}

fn lost(run: &Run) -> Value {
    run.expect_success();
    run.report()["rows"]["stand_ins"]["a"]["precision_loss"].clone()
}

#[test]
fn integers_that_a_float_does_not_hold_are_counted_and_told() {
    let fixture = || ratio(numeric("a", "int64", &json!({})));
    let exact = 1_i64 << 24;
    let run = run_ratio(
        &fixture(),
        integers([Some(exact), None, Some(-exact), Some(exact + 2)].into_iter().flatten()),
    );
    assert_eq!(lost(&run), Value::Null);
    let values = || integers([exact + 1, 7, -exact - 1]);
    let run = run_ratio(&fixture(), values());
    assert_eq!(lost(&run), 2);
    run.expect_said(&["`a` has integers that its float does not hold in 2 of 3 rows"]);
    let run = run_ratio(&fixture().job("rows.on.PRECISION_LOSS", "'fail'"), values());
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["PRECISION_LOSS", "row 0", "`a`"]);
    let run = run_ratio(&tolerating(fixture(), "PRECISION_LOSS"), values());
    assert_eq!(lost(&run), Value::Null);
    assert_eq!(run.partition().integers("k"), [1]);
    assert_eq!(run.rejects().num_rows(), 2);
}

#[test]
fn instants_that_are_standardised_are_no_integers() {
    let stamps = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![1_763_510_401_000_000; 2])) };
    let seconds = |further: &Value| {
        let mut feature = numeric("a", "int64", &json!({ "cast": "epoch_seconds" }));
        feature
            .as_object_mut()
            .unwrap()
            .append(&mut further.as_object().unwrap().clone());
        ratio(feature)
    };
    let standardised = seconds(&json!({ "mean": 1_763_510_000.0, "std": 100.0 }));
    assert_eq!(lost(&run_ratio(&standardised, stamps())), Value::Null);
    assert_eq!(lost(&run_ratio(&seconds(&json!({})), stamps())), 2);
}

#[test]
fn action_for_integers_is_one_of_three() {
    let run = run_ratio(
        &ratio(numeric("a", "int64", &json!({}))).job("rows.on.PRECISION_LOSS", "'impute'"),
        integers([1]),
    );
    run.expect_refusal(ExitCode::Config)
        .expect_said(&["PRECISION_LOSS", "`warn`", "`fail`", "`reject`"]);
}
