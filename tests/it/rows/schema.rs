//! Columns that do not fit: all of them, of all files, in one answer, before anything is computed.
//!
//! The rules are those of the table in the README; each case names the one that decides.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeListArray, Float32Array,
    Float64Array, Int8Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMillisecondArray, UInt64Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int32Type};
use batch_infer::exit::ExitCode;
use parquet::file::properties::WriterProperties;

use super::picky::job;
use crate::support::{DATE, JobFixture, write_parquet};

const ROWS: usize = 10;

type Columns = Vec<(&'static str, ArrayRef)>;

fn doubles(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value; ROWS]))
}

fn singles(value: f32) -> ArrayRef {
    Arc::new(Float32Array::from(vec![value; ROWS]))
}

fn strings(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value; ROWS]))
}

/// Lists of so many elements of any kind.
fn lists(elements: ArrayRef) -> ArrayRef {
    let width = elements.len() / ROWS;
    let field = Arc::new(Field::new_list_field(elements.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, ROWS));
    Arc::new(ListArray::try_new(field, offsets, elements, None).unwrap())
}

fn fixed_lists(width: usize) -> ArrayRef {
    let elements = Arc::new(Float32Array::from(vec![0.5; ROWS * width])) as ArrayRef;
    let field = Arc::new(Field::new_list_field(DataType::Float32, true));
    let width = i32::try_from(width).unwrap();
    Arc::new(FixedSizeListArray::try_new(field, width, elements, None).unwrap())
}

/// Columns as the contract has them.
fn columns() -> Columns {
    vec![
        ("k", Arc::new(Int64Array::from_iter_values(0..10))),
        ("a", doubles(1.0)),
        ("b", doubles(2.0)),
        ("plan", strings("pro")),
        ("v", lists(Arc::new(Float32Array::from(vec![0.5; ROWS * 2])))),
        ("r", singles(3.0)),
    ]
}

#[expect(clippy::needless_pass_by_value, reason = "what is given is made for it")]
fn with(name: &'static str, column: ArrayRef) -> Columns {
    let columns = columns().into_iter();
    columns
        .map(|(old, values)| {
            if old == name {
                (old, Arc::clone(&column))
            } else {
                (old, values)
            }
        })
        .collect()
}

fn without(name: &str) -> Columns {
    columns().into_iter().filter(|(old, _)| *old != name).collect()
}

fn renamed(from: &str, to: &'static str) -> Columns {
    let columns = columns().into_iter();
    columns
        .map(|(name, values)| (if name == from { to } else { name }, values))
        .collect()
}

fn write(job: &JobFixture, file: &str, columns: Columns) {
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, values)| Field::new(*name, values.data_type().clone(), true))
        .collect();
    let values = columns.into_iter().map(|(_, values)| values).collect();
    let batch = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), values).unwrap();
    let path = job.path(&format!("features/date={DATE}/{file}"));
    write_parquet(&path, &batch, WriterProperties::builder());
}

#[test]
fn columns_that_fit_or_can_be_widened_are_scored() {
    let whole: [(&str, Columns); 21] = [
        ("as the contract says", columns()),
        ("in another order", columns().into_iter().rev().collect()),
        (
            "with more columns",
            [columns(), vec![("extra", strings("x")), ("more", doubles(0.0))]].concat(),
        ),
        (
            "with a nested column beside",
            [columns(), vec![("nested", structs())]].concat(),
        ),
        ("number as float32", with("a", singles(1.0))),
        ("number as int8", with("a", Arc::new(Int8Array::from(vec![1; ROWS])))),
        ("number as int32", with("a", Arc::new(Int32Array::from(vec![1; ROWS])))),
        ("number as int64", with("a", Arc::new(Int64Array::from(vec![1; ROWS])))),
        (
            "number as uint64",
            with("a", Arc::new(UInt64Array::from(vec![1; ROWS]))),
        ),
        (
            "number as bool",
            with("a", Arc::new(BooleanArray::from(vec![true; ROWS]))),
        ),
        (
            "imputed number as null",
            with("b", new_null_array(&DataType::Float64, ROWS)),
        ),
        ("raw float32 as float64", with("r", doubles(3.0))),
        (
            "raw float32 as int8",
            with("r", Arc::new(Int8Array::from(vec![3; ROWS]))),
        ),
        (
            "category as dictionary",
            with(
                "plan",
                Arc::new(vec!["pro"; ROWS].into_iter().collect::<DictionaryArray<Int32Type>>()),
            ),
        ),
        (
            "category as large string",
            with(
                "plan",
                arrow::compute::cast(&strings("pro"), &DataType::LargeUtf8).unwrap(),
            ),
        ),
        (
            "category as string view",
            with(
                "plan",
                arrow::compute::cast(&strings("pro"), &DataType::Utf8View).unwrap(),
            ),
        ),
        ("category all null", with("plan", new_null_array(&DataType::Utf8, ROWS))),
        ("list as fixed-size list", with("v", fixed_lists(2))),
        ("list of float64", with("v", lists(doubles2(0.5)))),
        (
            "list of int32",
            with("v", lists(Arc::new(Int32Array::from(vec![1; ROWS * 2])))),
        ),
        (
            "key as string",
            with(
                "k",
                Arc::new(StringArray::from_iter_values((0..10).map(|row| row.to_string()))),
            ),
        ),
    ];
    for (case, columns) in whole {
        let job = job();
        write(&job, "part-00000.parquet", columns);
        let run = job.run();
        assert_eq!(run.report()["rows"]["out"], ROWS, "{case}: {}", run.message());
    }
}

fn doubles2(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value; ROWS * 2]))
}

fn structs() -> ArrayRef {
    let field = Arc::new(Field::new("inner", DataType::Float64, true));
    Arc::new(StructArray::from(vec![(field, doubles(1.0))]))
}

#[test]
fn columns_that_do_not_fit_are_refused_by_name_and_rule() {
    let wrong: Vec<(&str, Columns)> = vec![
        ("no feature", without("a")),
        ("no imputed feature", without("b")),
        ("no key", without("k")),
        ("no list", without("v")),
        ("feature in other case", renamed("a", "A")),
        ("key in other case", renamed("k", "K")),
        ("feature twice", [columns(), vec![("a", doubles(9.0))]].concat()),
        (
            "unused column twice",
            [columns(), vec![("x", doubles(9.0)), ("x", doubles(9.0))]].concat(),
        ),
        ("number as string", with("a", strings("1.0"))),
        (
            "number as decimal",
            with(
                "a",
                Arc::new(
                    Decimal128Array::from(vec![100; ROWS])
                        .with_precision_and_scale(10, 2)
                        .unwrap(),
                ),
            ),
        ),
        (
            "number as date",
            with("a", Arc::new(Date32Array::from(vec![20_000; ROWS]))),
        ),
        (
            "number as time",
            with("a", Arc::new(TimestampMillisecondArray::from(vec![0; ROWS]))),
        ),
        (
            "number as list",
            with("a", lists(Arc::new(Float32Array::from(vec![1.0; ROWS])))),
        ),
        ("number as struct", with("a", structs())),
        (
            "category as integer",
            with("plan", Arc::new(Int64Array::from(vec![1; ROWS]))),
        ),
        (
            "category as bool",
            with("plan", Arc::new(BooleanArray::from(vec![true; ROWS]))),
        ),
        (
            "raw float32 as int32",
            with("r", Arc::new(Int32Array::from(vec![1; ROWS]))),
        ),
        (
            "raw float32 as int64",
            with("r", Arc::new(Int64Array::from(vec![1; ROWS]))),
        ),
        ("raw number as string", with("r", strings("1"))),
        ("list of another fixed size", with("v", fixed_lists(3))),
        (
            "list of strings",
            with("v", lists(Arc::new(StringArray::from(vec!["x"; ROWS * 2])))),
        ),
        (
            "list of lists",
            with("v", lists(lists(Arc::new(Float32Array::from(vec![0.5; ROWS * 2]))))),
        ),
        ("number where a list is asked for", with("v", doubles(0.5))),
    ];
    let mut said = Vec::new();
    for (case, columns) in wrong {
        let job = job().published_before();
        write(&job, "part-00000.parquet", columns);
        let run = job.run();
        run.expect_refusal(ExitCode::Schema);
        said.push(format!("{case}\n{}", run.message()));
    }
    insta::assert_snapshot!("schema", said.join("\n"));
}

#[test]
fn all_differences_of_all_files_stand_in_one_answer_of_run_plan_and_validate() {
    let job = job();
    write(&job, "a.parquet", without("a"));
    write(&job, "b.parquet", with("b", strings("x")));
    write(&job, "c.parquet", with("k", new_null_array(&DataType::Int64, ROWS)));
    write(&job, "d.parquet", with("v", fixed_lists(4)));
    write(&job, "e.parquet", columns());
    let run = job.run();
    run.expect_refusal(ExitCode::Schema);
    insta::assert_snapshot!("all_differences", run.message());
    for command in ["plan", "validate"] {
        let output = job.command(command).args(["--date", DATE]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(12), "{said}");
        for file in ["a.parquet", "b.parquet", "c.parquet", "d.parquet"] {
            assert!(said.contains(file), "{command}: {said}");
        }
        assert!(!said.contains("e.parquet"), "{said}");
    }
}

#[test]
fn nulls_that_the_footers_count_end_the_run_before_anything_is_computed() {
    let mut said = Vec::new();
    for (case, columns, reason) in [
        (
            "null keys",
            with("k", new_null_array(&DataType::Int64, ROWS)),
            "NULL_KEY",
        ),
        (
            "null feature",
            with("a", new_null_array(&DataType::Float64, ROWS)),
            "NULL_FEATURE",
        ),
        (
            "null raw feature",
            with("r", new_null_array(&DataType::Float32, ROWS)),
            "NULL_FEATURE",
        ),
    ] {
        let strict = job().published_before();
        write(&strict, "part-00000.parquet", columns.clone());
        let run = strict.run();
        run.expect_refusal(ExitCode::BadRows);
        said.push(format!("{case}\n{}", run.message()));

        let lenient = super::picky::rejecting(job(), reason, 9);
        write(&lenient, "part-00000.parquet", columns.clone());
        let run = lenient.run();
        run.expect_refusal(ExitCode::BadRows);
        said.push(format!("{case}, more than tolerated\n{}", run.message()));

        let tolerant = super::picky::rejecting(job(), reason, 10).job("rows.max_bad_fraction", "1.0");
        write(&tolerant, "part-00000.parquet", columns);
        let run = tolerant.run();
        assert_eq!(run.report()["rows"]["rejected"], ROWS, "{}", run.message());
    }
    insta::assert_snapshot!("counted_nulls", said.join("\n"));
}

#[test]
fn empty_input_is_published_or_refused_as_the_job_says() {
    let empty: Columns = columns()
        .into_iter()
        .map(|(name, values)| (name, values.slice(0, 0)))
        .collect();
    let publishing = job();
    write(&publishing, "part-00000.parquet", empty.clone());
    publishing.run().expect_rows(0);
    let refusing = job().job("input.on_empty", "'fail'");
    write(&refusing, "part-00000.parquet", empty);
    refusing
        .run()
        .expect_refusal(ExitCode::InputNotReady)
        .expect_said(&["hold no rows"]);
}

fn without_rows(columns: Columns) -> Columns {
    let empty = columns.into_iter();
    empty.map(|(name, values)| (name, values.slice(0, 0))).collect()
}

#[test]
fn types_that_no_value_has_do_not_count() {
    let decimals = || Arc::new(Decimal128Array::from(vec![1; ROWS])) as ArrayRef;
    let nothing = |kind: DataType| new_null_array(&kind, ROWS);
    for (case, beside) in [
        ("a key in a file without rows", without_rows(with("k", decimals()))),
        (
            "a feature in a file without rows",
            without_rows(with("a", strings("x"))),
        ),
        ("a list in a file without rows", without_rows(with("v", strings("x")))),
        (
            "a file without rows and columns",
            Vec::from([("other", strings("x").slice(0, 0))]),
        ),
    ] {
        let job = job();
        write(&job, "part-00000.parquet", columns());
        write(&job, "part-00001.parquet", beside);
        let run = job.run();
        run.expect_success();
        assert_eq!(run.partition().integers("k"), (0..10).collect::<Vec<_>>(), "{case}");
    }
    for (name, kind) in [
        ("b", DataType::Utf8),
        ("plan", DataType::Int64),
        ("plan", DataType::Float64),
    ] {
        let job = job().job("input.passthrough", &format!("['{name}']"));
        write(&job, "part-00000.parquet", with(name, nothing(kind.clone())));
        write(&job, "part-00001.parquet", columns());
        let run = job.run();
        run.expect_success();
        let partition = run.partition();
        let carried = partition.column(name);
        assert_eq!((carried.len(), carried.null_count()), (2 * ROWS, ROWS), "{name} {kind}");
        let expected = if name == "b" { DataType::Float64 } else { DataType::Utf8 };
        assert_eq!(carried.data_type(), &expected);
    }
    // Where no file has a value, nothing is said against the type either.
    let job = job().job("input.passthrough", "['extra']");
    write(
        &job,
        "part-00000.parquet",
        [
            with("b", nothing(DataType::Utf8)),
            vec![("extra", nothing(DataType::Int16))],
        ]
        .concat(),
    );
    let run = job.run();
    run.expect_success();
    assert_eq!(run.partition().column("extra").data_type(), &DataType::Int16);
}

#[test]
fn keys_and_carried_columns_are_widened_where_no_value_changes() {
    let job = job().job("input.passthrough", "['b']");
    let small: ArrayRef = Arc::new(Int32Array::from_iter_values(10..20));
    let both = with("k", small).into_iter();
    let both = both.map(|(name, values)| {
        if name == "b" {
            (name, singles(0.5))
        } else {
            (name, values)
        }
    });
    write(&job, "part-00000.parquet", columns());
    write(&job, "part-00001.parquet", both.collect());
    let run = job.run();
    run.expect_success();
    let partition = run.partition();
    assert_eq!(partition.column("k").data_type(), &DataType::Int64);
    assert_eq!(partition.integers("k"), (0..20).collect::<Vec<_>>());
    assert_eq!(partition.numbers("b"), [vec![2.0; ROWS], vec![0.5; ROWS]].concat());
}

#[test]
fn a_difference_of_many_files_is_told_once() {
    let job = job();
    for file in ["a", "b", "c"] {
        write(&job, &format!("{file}.parquet"), with("a", strings("x")));
    }
    write(&job, "d.parquet", columns());
    let run = job.run();
    run.expect_refusal(ExitCode::Schema);
    insta::assert_snapshot!(run.message(), @"
    error: the input does not fit the job and the model:
      - `a.parquet`: column `a`: expected a number, found Utf8 [narrowing]; the same in 2 more files
      exit code: 12 (input columns do not fit the contract)
    ");
}

/// A job that takes names in whatever case.
fn case_insensitive() -> JobFixture {
    job().job("input.case_insensitive", "true")
}

/// Columns under other names.
fn called(names: &[(&str, &'static str)]) -> Columns {
    let columns = columns().into_iter();
    columns
        .map(|(name, values)| {
            let found = names.iter().find(|(old, _)| *old == name);
            (found.map_or(name, |(_, new)| new), values)
        })
        .collect()
}

#[test]
fn names_in_another_case_are_taken_where_the_job_says_so() {
    let upper = [
        ("k", "K"),
        ("a", "A"),
        ("b", "B"),
        ("plan", "Plan"),
        ("v", "V"),
        ("r", "R"),
    ];
    let exact = job();
    write(&exact, "part-00000.parquet", columns());
    let expected = exact.run().partition().numbers("score");
    let job = case_insensitive();
    // Each file in its own case.
    write(&job, "a.parquet", called(&upper));
    write(&job, "b.parquet", columns());
    write(
        &job,
        "c.parquet",
        [called(&upper[..2]), vec![("PLANS", strings("x"))]].concat(),
    );
    let run = job.run();
    run.expect_success();
    let partition = run.partition();
    let keys: Vec<i64> = (0..3).flat_map(|_| 0..10).collect();
    assert_eq!(partition.integers("k"), keys, "by the name of the job");
    assert_eq!(partition.numbers("score"), expected.repeat(3));
}

#[test]
fn names_in_another_case_are_judged_like_any_others() {
    let mut said = Vec::new();
    for (case, columns) in [
        (
            "feature twice",
            [called(&[("a", "A")]), vec![("a", doubles(9.0))]].concat(),
        ),
        (
            "two other cases",
            [called(&[("plan", "Plan")]), vec![("PLAN", strings("x"))]].concat(),
        ),
        ("wrong type", [without("a"), vec![("A", strings("x"))]].concat()),
        ("missing", without("a")),
    ] {
        let job = case_insensitive().published_before();
        write(&job, "part-00000.parquet", columns);
        let run = job.run();
        run.expect_refusal(ExitCode::Schema);
        said.push(format!("{case}\n{}", run.message()));
    }
    let nulls = case_insensitive().published_before();
    let columns = [without("k"), vec![("K", new_null_array(&DataType::Int64, ROWS))]].concat();
    write(&nulls, "part-00000.parquet", columns);
    let run = nulls.run();
    run.expect_refusal(ExitCode::BadRows);
    said.push(format!("null keys\n{}", run.message()));
    insta::assert_snapshot!("other_case", said.join("\n"));
}
