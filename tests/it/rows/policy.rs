//! Each reason under each policy: the exit code, the counters, the rows, and what people read.

use batch_infer::exit::ExitCode;
use batch_infer::spec::Reason;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;

use super::picky::{Row, expect_published, job, rejected, rejecting, rows, run, write};
use crate::support::{DATE, read_parquet, write_parquet};

/// A way to spoil the row of number 21, which is the sixth of the second chunk.
struct Spoiled {
    reason: Reason,
    column: &'static str,
    how: &'static str,
    spoil: fn(&mut Vec<Row>),
}

const ROW: usize = 21;

macro_rules! spoiled {
    ($reason:ident, $column:literal, $how:literal, $rows:ident, $spoil:expr) => {
        Spoiled {
            reason: Reason::$reason,
            column: $column,
            how: $how,
            spoil: |$rows| $spoil,
        }
    };
}

fn spoiled() -> Vec<Spoiled> {
    vec![
        spoiled!(NullKey, "k", "null key", rows, rows[ROW].key = None),
        spoiled!(NullFeature, "a", "null number", rows, rows[ROW].a = None),
        spoiled!(NullFeature, "v", "null list", rows, rows[ROW].v = None),
        spoiled!(
            NullFeature,
            "v",
            "null in a list",
            rows,
            rows[ROW].v = Some(vec![Some(1.0), None])
        ),
        spoiled!(NullFeature, "r", "null raw number", rows, rows[ROW].r = None),
        spoiled!(NanFeature, "a", "NaN", rows, rows[ROW].a = Some(f64::NAN)),
        spoiled!(
            NanFeature,
            "b",
            "NaN where a null is imputed",
            rows,
            rows[ROW].b = Some(f64::NAN)
        ),
        spoiled!(
            NanFeature,
            "v",
            "NaN in a list",
            rows,
            rows[ROW].v = Some(vec![Some(f32::NAN), Some(1.0)])
        ),
        spoiled!(NanFeature, "r", "raw NaN", rows, rows[ROW].r = Some(f32::NAN)),
        spoiled!(InfFeature, "a", "infinite", rows, rows[ROW].a = Some(f64::INFINITY)),
        spoiled!(
            InfFeature,
            "b",
            "minus infinite",
            rows,
            rows[ROW].b = Some(f64::NEG_INFINITY)
        ),
        spoiled!(
            InfFeature,
            "v",
            "infinite in a list",
            rows,
            rows[ROW].v = Some(vec![Some(f32::INFINITY), None.or(Some(1.0))])
        ),
        spoiled!(CastOverflow, "a", "beyond float32", rows, rows[ROW].a = Some(1e300)),
        spoiled!(
            CastOverflow,
            "b",
            "beyond float32, negative",
            rows,
            rows[ROW].b = Some(-1e39)
        ),
        spoiled!(
            BadListLen,
            "v",
            "list too short",
            rows,
            rows[ROW].v = Some(vec![Some(1.0)])
        ),
        spoiled!(
            BadListLen,
            "v",
            "list too long",
            rows,
            rows[ROW].v = Some(vec![Some(1.0); 3])
        ),
        spoiled!(BadListLen, "v", "empty list", rows, rows[ROW].v = Some(Vec::new())),
        spoiled!(OutOfRange, "b", "above the range", rows, rows[ROW].b = Some(1_000.5)),
        spoiled!(OutOfRange, "b", "below the range", rows, rows[ROW].b = Some(-1_000.5)),
        spoiled!(
            OutOfRange,
            "r",
            "raw number below the range",
            rows,
            rows[ROW].r = Some(-0.5)
        ),
        spoiled!(
            UnknownCategory,
            "plan",
            "unknown category",
            rows,
            rows[ROW].plan = Some("gold")
        ),
        spoiled!(
            NonfiniteOutput,
            "score",
            "result is NaN",
            rows,
            rows[ROW].b = Some(777.0)
        ),
        spoiled!(
            DuplicateKey,
            "k",
            "key of an earlier row",
            rows,
            rows[ROW].key = Some(3)
        ),
        spoiled!(ModelError, "", "model throws", rows, rows[ROW].a = Some(666.0)),
    ]
}

#[test]
fn tolerated_bad_row_costs_one_row_whatever_the_reason() {
    for Spoiled {
        reason,
        column,
        how,
        spoil,
    } in spoiled()
    {
        let mut rows = rows(40);
        spoil(&mut rows);
        let job = rejecting(job(), reason.name(), 1);
        let run = run(&job, &rows);
        let kept = rows
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != ROW)
            .map(|(_, row)| row);
        expect_published(&run, kept);
        let report = run.report();
        assert_eq!(report["rows"]["in"], 40, "{how}");
        assert_eq!(report["rows"]["out"], 39, "{how}");
        assert_eq!(report["rows"]["rejected_by_reason"][reason.name()], 1, "{how}");
        let expected = (rows[ROW].key, ROW as u64, reason.name().to_owned(), column.to_owned());
        assert_eq!(rejected(&job), [expected], "{how}");
    }
}

#[test]
fn bad_row_that_nobody_tolerates_ends_the_run_and_is_named() {
    let mut said = Vec::new();
    for Spoiled { reason, how, spoil, .. } in spoiled() {
        let mut rows = rows(40);
        spoil(&mut rows);
        let job = job().published_before().job(&format!("rows.on.{reason}"), "'fail'");
        let run = run(&job, &rows);
        run.expect_refusal(ExitCode::BadRows);
        said.push(format!("{how}\n{}", run.message()));
    }
    insta::assert_snapshot!("bad_rows", said.join("\n"));
}

#[test]
fn what_the_contract_has_for_nulls_takes_the_place_of_a_bad_value() {
    for Spoiled {
        reason,
        column,
        how,
        spoil,
    } in spoiled()
    {
        // Only numbers with an `impute`, and categories, have a stand-in.
        if !reason.imputable() || !["b", "plan"].contains(&column) {
            continue;
        }
        let mut rows = rows(40);
        spoil(&mut rows);
        let job = job().job(&format!("rows.on.{reason}"), "'impute'");
        let run = run(&job, &rows);
        match column {
            "b" => rows[ROW].b = None,
            _ => rows[ROW].plan = None,
        }
        run.expect_rows(40);
        expect_published(&run, &rows);
        assert_eq!(run.report()["rows"]["rejected"], 0, "{how}");
    }
}

#[test]
fn by_default_categories_are_imputed_keys_not_compared_and_all_else_fails() {
    for Spoiled { reason, how, spoil, .. } in spoiled() {
        let mut rows = rows(40);
        spoil(&mut rows);
        let run = run(&job(), &rows);
        match reason {
            Reason::UnknownCategory | Reason::DuplicateKey => drop(run.expect_rows(40)),
            _ => drop(
                run.expect_exit(ExitCode::BadRows)
                    .expect_said(&[reason.name(), "row 21"]),
            ),
        }
        let _ = how;
    }
}

#[test]
fn values_of_features_are_kept_only_where_they_are_asked_for() {
    let mut rows = rows(40);
    rows[ROW].a = Some(1e300);
    let silent = rejecting(job(), "CAST_OVERFLOW", 1);
    run(&silent, &rows).expect_success();
    let telling = rejecting(job(), "CAST_OVERFLOW", 1).job("rows.include_values", "true");
    run(&telling, &rows).expect_success();
    let columns = |job: &crate::support::JobFixture| -> Vec<String> {
        let run = job
            .command("rejects show")
            .args(["--date", crate::support::DATE, "--format", "json"])
            .output()
            .unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        shown["rejects"][0].as_object().unwrap().keys().cloned().collect()
    };
    let described = ["_column", "_file", "_message", "_reason", "_row"].map(str::to_owned);
    assert_eq!(columns(&silent), [&described[..], &["k".to_owned()]].concat());
    let values = ["a", "b", "k", "plan", "r", "v"].map(str::to_owned);
    assert_eq!(columns(&telling), [&described[..], &values].concat());
}

#[test]
fn rows_of_a_failed_run_can_be_looked_at() {
    let mut rows = rows(40);
    for row in [3, 20, 33] {
        rows[row].a = None;
    }
    let job = rejecting(job(), "NULL_FEATURE", 2);
    run(&job, &rows).expect_refusal(ExitCode::BadRows);
    let rejected = rejected(&job);
    assert_eq!(rejected.len(), 3, "{rejected:?}");
}

/// What is imputed is imputed for the model. The column that is carried keeps what was read, whether its pages are copied or encoded anew, and
/// what the file says of its greatest value is true.
#[test]
fn carried_column_keeps_what_was_read_where_the_model_gets_something_else() {
    for (compression, is_copied) in [(Compression::SNAPPY, true), (Compression::UNCOMPRESSED, false)] {
        let job = job()
            .setting("line.chunk_rows", "1000")
            .job("input.passthrough", "['b']")
            .job("rows.on.OUT_OF_RANGE", "'impute'");
        let mut rows = rows(40);
        rows[ROW].b = Some(1_000.5);
        write(&job, "part-00000.parquet", &rows, 1_000);
        let path = job.path(&format!("features/date={DATE}/part-00000.parquet"));
        let batch = read_parquet(&path);
        write_parquet(&path, &batch, WriterProperties::builder().set_compression(compression));
        let partition = job.run().expect_rows(40).partition();
        assert_eq!(partition.numbers("b")[ROW].to_bits(), 1_000.5f64.to_bits());
        let column = partition.columns().iter().position(|name| name == "b").unwrap();
        let column = partition.metadata().row_group(0).column(column);
        assert_eq!(column.compression() == Compression::SNAPPY, is_copied);
        if let Some(Statistics::Double(statistics)) = column.statistics() {
            assert_eq!(
                statistics.max_opt().map(|most| most.to_bits()),
                Some(1_000.5f64.to_bits())
            );
            assert_eq!(statistics.null_count_opt(), Some(0));
        }
    }
}
