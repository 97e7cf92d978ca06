//! Rows that cannot be scored: they are counted, kept where they can be looked at, and never lost.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array};
use arrow::compute::nullif;
use arrow::datatypes::{Float32Type, Float64Type};
use batch_infer::exit::ExitCode;

use crate::support::{Features, JobFixture, Run, column_of, integers, map_column, texts};

/// Every hundredth value is gone.
fn holes(values: &ArrayRef) -> ArrayRef {
    let gone: BooleanArray = (0..values.len()).map(|row| Some(row % 100 == 0)).collect();
    nullif(values, &gone).unwrap()
}

/// Every hundredth amount is another number.
fn amounts(values: &ArrayRef, number: f64) -> ArrayRef {
    let values = values.as_primitive::<Float64Type>().iter().enumerate();
    let changed = values.map(|(row, value)| if row % 100 == 0 { Some(number) } else { value });
    Arc::new(changed.collect::<Float64Array>())
}

/// 500 rows in two files, of which five have no amount.
fn with_holes() -> JobFixture {
    let fixture = JobFixture::new()
        .rows(500)
        .files(2)
        .row_group_rows(60)
        .setting("line.chunk_rows", "100");
    fixture.features(|features| features.changed(None, |batch| map_column(batch, "amount", holes)))
}

fn rejecting(fixture: JobFixture, reason: &str) -> JobFixture {
    let fixture = fixture.job(&format!("rows.on.{reason}"), "'reject'");
    fixture
        .job("rows.max_bad_rows", "10")
        .job("rows.max_bad_fraction", "0.05")
}

#[track_caller]
fn expect_rejected(run: &Run, rows: usize, reason: &str) {
    let report = run.expect_success().report();
    assert_eq!(report["rows"]["in"], 500);
    assert_eq!(report["rows"]["out"], 500 - rows);
    assert_eq!(report["rows"]["rejected"], rows);
    assert_eq!(report["rows"]["rejected_by_reason"][reason], rows);
    assert_eq!(run.partition().rows(), 500 - rows);
    assert_eq!(run.rejects().num_rows(), rows);
}

#[test]
fn rejected_rows_are_kept_with_key_file_row_reason_and_column() {
    let run = rejecting(with_holes(), "NULL_FEATURE").run();
    // 250 rows a file: 0, 100 and 200 of each.
    expect_rejected(&run, 6, "NULL_FEATURE");
    let rejects = run.rejects();
    let names: Vec<_> = rejects
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(
        names,
        ["transaction_id", "_file", "_row", "_reason", "_column", "_message"]
    );
    let (first, second) = ("part-00000.parquet", "part-00001.parquet");
    assert_eq!(
        texts(column_of(&rejects, "_file")),
        [first, first, first, second, second, second]
    );
    assert_eq!(integers(column_of(&rejects, "_row")), [0, 100, 200, 0, 100, 200]);
    assert_eq!(texts(column_of(&rejects, "_reason")), ["NULL_FEATURE"; 6]);
    assert_eq!(texts(column_of(&rejects, "_column")), ["amount"; 6]);
    let ids = [1_000_000, 1_000_100, 1_000_200, 1_000_250, 1_000_350, 1_000_450];
    assert_eq!(integers(column_of(&rejects, "transaction_id")), ids);
    assert!(
        run.partition()
            .integers("transaction_id")
            .iter()
            .all(|id| !ids.contains(id))
    );
}

#[test]
fn report_names_the_file_of_rejected_rows() {
    let run = rejecting(with_holes(), "NULL_FEATURE").run();
    let report = run.expect_success().report();
    let id = report["plan_id"].as_str().unwrap();
    let path = format!("predictions.batch-infer/v1/fraud-detector/date=2026-11-19/rejects/{id}.parquet");
    assert_eq!(report["output"]["rejects"], path);
    run.bytes(&path);
    assert_eq!(
        run.published(),
        ["date=2026-11-19/_SUCCESS", "date=2026-11-19/part-00000.parquet"],
        "readers do not meet rejected rows"
    );
}

#[test]
fn rows_beside_a_rejected_one_are_scored_as_without_it() {
    let run = rejecting(with_holes(), "NULL_FEATURE").run();
    let whole = JobFixture::new().rows(500).run();
    let (left, whole) = (run.partition(), whole.partition());
    let position = |id: &i64| usize::try_from(id - 1_000_000).unwrap();
    let rows: Vec<_> = left.integers("transaction_id").iter().map(position).collect();
    let probabilities = whole.numbers("probability");
    let expected: Vec<_> = rows.iter().map(|&row| probabilities[row]).collect();
    crate::support::assert_close(&left.numbers("probability"), &expected, "probability");
}

#[test]
fn more_bad_rows_than_allowed_publish_nothing() {
    let run = rejecting(with_holes(), "NULL_FEATURE")
        .job("rows.max_bad_rows", "5")
        .published_before()
        .run();
    run.expect_refusal(ExitCode::BadRows);
    run.expect_said(&["max_bad_rows = 5", "NULL_FEATURE", "nothing was scored"]);
}

#[test]
fn greater_share_of_bad_rows_than_allowed_publishes_nothing() {
    let run = rejecting(with_holes(), "NULL_FEATURE")
        .job("rows.max_bad_fraction", "0.011")
        .published_before()
        .run();
    run.expect_refusal(ExitCode::BadRows);
    insta::assert_snapshot!(run.message(), @"
    error: 6 of 500 rows are bad (NULL_FEATURE 6), the job allows max_bad_fraction = 0.011
      hint: correct the input, or raise both [rows] max_bad_rows and max_bad_fraction; nothing was published
      exit code: 13 (more bad rows or damaged files than allowed)
    ");
}

#[test]
fn limits_that_are_just_met_are_met() {
    let fixture = rejecting(with_holes(), "NULL_FEATURE").job("rows.max_bad_rows", "6");
    expect_rejected(&fixture.job("rows.max_bad_fraction", "0.012").run(), 6, "NULL_FEATURE");
}

#[test]
fn rejecting_without_raising_the_limits_allows_no_bad_row() {
    let run = with_holes().job("rows.on.NULL_FEATURE", "'reject'").run();
    run.expect_refusal(ExitCode::BadRows).expect_said(&["max_bad_rows = 0"]);
}

#[test]
fn nan_is_a_bad_row_unless_the_job_says_otherwise() {
    let nan = |features: Features| {
        features.changed(1, |batch| {
            map_column(batch, "amount", |values| amounts(values, f64::NAN))
        })
    };
    let fixture = || JobFixture::new().rows(500).files(2).features(nan);
    let run = fixture().run();
    run.expect_refusal(ExitCode::BadRows)
        .expect_said(&["NAN_FEATURE in `part-00001.parquet`, row 0, column `amount`"]);
    expect_rejected(&rejecting(fixture(), "NAN_FEATURE").run(), 3, "NAN_FEATURE");
}

#[test]
fn infinity_is_a_reason_of_its_own() {
    let infinite = |features: Features| {
        features.changed(0, |batch| {
            map_column(batch, "amount", |values| amounts(values, f64::INFINITY))
        })
    };
    let fixture = JobFixture::new().rows(500).features(infinite);
    expect_rejected(&rejecting(fixture, "INF_FEATURE").run(), 5, "INF_FEATURE");
}

/// Every hundredth distance is `number`.
fn distances(number: Option<f32>) -> JobFixture {
    let change = move |values: &ArrayRef| -> ArrayRef {
        let values = values.as_primitive::<Float32Type>().iter().enumerate();
        let changed = values.map(|(row, value)| if row % 100 == 0 { number } else { value });
        Arc::new(changed.collect::<Float32Array>())
    };
    JobFixture::new()
        .rows(500)
        .features(|features| features.changed(None, move |batch| map_column(batch, "distance_from_home_km", change)))
}

#[test]
fn imputed_nan_is_scored_as_a_null() {
    let imputed = distances(Some(f32::NAN)).job("rows.on.NAN_FEATURE", "'impute'").run();
    let null = distances(None).run();
    imputed
        .expect_rows(500)
        .partition()
        .expect_predictions_of(&null.expect_rows(500).partition());
}

#[test]
fn imputed_infinity_is_scored_as_a_null() {
    let imputed = distances(Some(f32::NEG_INFINITY))
        .job("rows.on.INF_FEATURE", "'impute'")
        .run();
    imputed
        .expect_rows(500)
        .partition()
        .expect_predictions_of(&distances(None).run().partition());
}

/// The amount has no value for nulls but a mean, that of its logarithm.
#[test]
fn null_imputed_without_a_value_for_nulls_is_the_mean() {
    // The first version derives nothing from the amount, which would stay null.
    let fixture = || {
        JobFixture::new()
            .rows(500)
            .job("model.version", "'1'")
            .job("rows.on.NULL_FEATURE", "'impute'")
    };
    let imputed = fixture()
        .features(|features| features.changed(None, |batch| map_column(batch, "amount", holes)))
        .run();
    let metadata = imputed.metadata("1");
    assert_eq!(metadata["features"][0]["name"], "amount");
    let mean = metadata["features"][0]["mean"].as_f64().unwrap().exp_m1();
    let change = move |values: &ArrayRef| amounts(values, mean);
    let average = fixture()
        .features(|features| features.changed(None, move |batch| map_column(batch, "amount", change)))
        .run();
    imputed
        .expect_rows(500)
        .partition()
        .expect_predictions_of(&average.expect_rows(500).partition());
}

#[test]
fn impute_where_no_value_can_stand_is_refused() {
    for reason in ["NULL_KEY", "BAD_LIST_LEN", "NONFINITE_OUTPUT"] {
        let run = JobFixture::new().job(&format!("rows.on.{reason}"), "'impute'").run();
        run.expect_refusal(ExitCode::Config)
            .expect_said(&[reason, "no value can take its place"]);
    }
}
