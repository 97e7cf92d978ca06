//! Models of other forms than the sample's: dicts, tuples, several tensors, vectors, images, raw integers.
//!
//! Each model of `tests/models` is a closed formula, so what a row must give is computed here from the row alone. Values are multiples of
//! a quarter, which every float type here holds exactly: nothing is hidden by a tolerance.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array, Int8Array, Int32Array,
    Int64Array, LargeListArray, ListArray, RecordBatch, StringArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use parquet::file::properties::WriterProperties;

use crate::support::{DATE, JobFixture, Partition, repository, write_parquet};

/// Seven batches of seven rows, and one of a single row.
const ROWS: i32 = 50;

/// Rows of a batch.
const BATCH_ROWS: &str = "7";

/// A job of one of the models, without its input.
fn job_of(model: &str) -> JobFixture {
    let registry = repository().join("tests/models");
    JobFixture::new()
        .without_features()
        .job("name", &format!("'{model}'"))
        .job("input.keys", "['k']")
        .job("model.registry", &format!("'{}'", registry.display()))
        .job("model.name", &format!("'{model}'"))
        .setting("line.batch_rows", BATCH_ROWS)
}

/// Writes one file of the input.
fn write(fixture: &JobFixture, file: &str, columns: Vec<(&str, ArrayRef)>) {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let path = fixture.path(&format!("features/date={DATE}/{file}"));
    write_parquet(&path, &batch, WriterProperties::builder());
}

/// What the model makes of the columns, which the key is put before.
#[track_caller]
fn scored(model: &str, columns: Vec<(&str, ArrayRef)>) -> Partition {
    let fixture = job_of(model);
    let key: ArrayRef = Arc::new(Int32Array::from_iter_values(0..ROWS));
    write(&fixture, "part-00000.parquet", [vec![("k", key)], columns].concat());
    let run = fixture.run();
    run.expect_rows(rows().count());
    run.partition()
}

fn rows() -> impl Iterator<Item = i32> {
    0..ROWS
}

fn a(row: i32) -> f32 {
    f32::from(i16::try_from(row).unwrap()) * 0.5 - 3.0
}

fn b(row: i32) -> f32 {
    2.0 - f32::from(i16::try_from(row).unwrap()) * 0.25
}

fn singles(value: impl Fn(i32) -> f32) -> ArrayRef {
    Arc::new(Float32Array::from_iter_values(rows().map(value)))
}

/// The columns `a` and `b`.
fn a_and_b() -> Vec<(&'static str, ArrayRef)> {
    vec![("a", singles(a)), ("b", singles(b))]
}

/// Each row's numbers are those of the formula, to the last digit.
#[track_caller]
fn expect(partition: &Partition, column: &str, formula: impl Fn(i32) -> f32) {
    let expected: Vec<_> = rows().map(|row| f64::from(formula(row))).collect();
    assert_eq!(partition.numbers(column), expected, "{column}");
}

#[test]
fn dict_is_read_by_key_and_else_by_the_name_of_the_column() {
    let found = scored("dict-result", a_and_b());
    expect(&found, "first", |row| 3.0 * a(row) - b(row));
    expect(&found, "second", |row| a(row) + b(row));
    expect(&found, "product", |row| a(row) * b(row));
}

#[test]
fn tuple_is_read_by_position_also_where_one_row_loses_its_extent() {
    let found = scored("tuple-result", a_and_b());
    expect(&found, "sum", |row| a(row) + 2.0 * b(row));
    expect(&found, "product", |row| a(row) * b(row));
    let parts = rows().flat_map(|row| [a(row), b(row), a(row) - b(row)]);
    assert_eq!(found.numbers("parts"), parts.map(f64::from).collect::<Vec<_>>());
}

#[test]
fn three_tensors_have_each_its_own_type() {
    let i = |row: i32| row % 7;
    let j = |row: i32| row % 3;
    let half = |row: i32| half::f16::from_f32(a(row) * 0.5);
    let mut columns = a_and_b();
    columns.extend([
        ("i", Arc::new(Int32Array::from_iter_values(rows().map(i))) as ArrayRef),
        (
            "j",
            Arc::new(Int64Array::from_iter_values(rows().map(j).map(i64::from))),
        ),
        ("h", Arc::new(Float16Array::from_iter_values(rows().map(half)))),
    ]);
    let found = scored("three-tensors", columns);
    let whole = |value: i32| f32::from(i16::try_from(value).unwrap());
    expect(&found, "score", |row| {
        a(row) + 2.0 * b(row) + 10.0 * whole(i(row)) + 100.0 * whole(j(row)) + half(row).to_f32()
    });
}

/// Four numbers of a row.
fn four(row: i32) -> [f32; 4] {
    [a(row), b(row), a(row) + 1.0, b(row) - 1.0]
}

/// What the model makes of them.
fn weighted(row: i32) -> f32 {
    let [first, second, third, fourth] = four(row);
    10.0 * first + 20.0 * second + 30.0 * third + 40.0 * fourth
}

/// The four numbers in the three forms in which files hold vectors.
fn vectors() -> [ArrayRef; 3] {
    let element: FieldRef = Arc::new(Field::new_list_field(DataType::Float32, true));
    let values = || -> ArrayRef { Arc::new(Float32Array::from_iter_values(rows().flat_map(four))) };
    let lengths = || rows().map(|_| 4);
    [
        Arc::new(FixedSizeListArray::new(Arc::clone(&element), 4, values(), None)),
        Arc::new(ListArray::new(
            Arc::clone(&element),
            OffsetBuffer::from_lengths(lengths()),
            values(),
            None,
        )),
        Arc::new(LargeListArray::new(
            element,
            OffsetBuffer::from_lengths(lengths()),
            values(),
            None,
        )),
    ]
}

#[test]
fn vector_of_any_kind_of_list_stands_between_scalars() {
    let plan = |row: i32| ["basic", "pro", "gone"][usize::try_from(row % 3).unwrap()];
    let known = |row: i32| (row % 5 > 0).then(|| a(row));
    for vector in vectors() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(rows().map(known).collect::<Float32Array>())),
            ("plan", Arc::new(StringArray::from_iter_values(rows().map(plan)))),
            ("v", vector),
        ];
        let found = scored("vector-and-scalars", columns);
        expect(&found, "score", |row| {
            let code = [1.0, 2.0, 0.0][usize::try_from(row % 3).unwrap()];
            known(row).unwrap_or(-1.0) + weighted(row) + 1000.0 * code
        });
    }
}

#[test]
fn raw_integers_and_times_pass_without_a_float_between() {
    let large = |row: i32| (1 << 53) + 1 + i64::from(row);
    let small = |row: i32| i8::try_from(row - 25).unwrap();
    let medium = |row: i32| row - 1_000_000_000;
    let millis = |row: i32| 1_700_000_000_001 + i64::from(row);
    let found = scored(
        "raw-integers",
        vec![
            ("small", Arc::new(Int8Array::from_iter_values(rows().map(small)))),
            ("medium", Arc::new(Int32Array::from_iter_values(rows().map(medium)))),
            ("large", Arc::new(Int64Array::from_iter_values(rows().map(large)))),
            (
                "at",
                Arc::new(TimestampMillisecondArray::from_iter_values(rows().map(millis)).with_timezone("Asia/Kolkata")),
            ),
        ],
    );
    let sums = rows().map(|row| large(row) + i64::from(medium(row)) + i64::from(small(row)));
    assert_eq!(found.integers("sum"), sums.collect::<Vec<_>>());
    let micros = rows().map(|row| millis(row) * 1_000);
    assert_eq!(found.integers("micros"), micros.collect::<Vec<_>>());
}

#[test]
fn image_and_grid_have_their_extents_in_order() {
    let pixels = |row: i32| (0i16..12).map(move |place| f32::from(place) * 0.25 + a(row));
    let values: ArrayRef = Arc::new(Float32Array::from_iter_values(rows().flat_map(pixels)));
    let element = Arc::new(Field::new_list_field(DataType::Float32, true));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("pixels", Arc::new(FixedSizeListArray::new(element, 12, values, None))),
        ("a", singles(a)),
        ("b", singles(b)),
        ("c", singles(|row| a(row) + 1.0)),
        ("d", singles(|row| b(row) + 1.0)),
    ];
    let found = scored("image", columns);
    expect(&found, "score", |row| {
        let channels = [100.0, 200.0, 300.0].iter();
        let places = channels.flat_map(|channel| [11.0, 12.0, 21.0, 22.0].map(|place| channel + place));
        let image: f32 = pixels(row).zip(places).map(|(pixel, weight)| pixel * weight).sum();
        image + a(row) + 10.0 * b(row) + 100.0 * (a(row) + 1.0) + 1000.0 * (b(row) + 1.0)
    });
}

#[test]
fn flags_and_counts_are_results() {
    let found = scored("flag-and-count", a_and_b());
    let flags = cast(found.column("flag"), &DataType::Boolean).unwrap();
    let expected: ArrayRef = Arc::new(rows().map(|row| Some(a(row) > b(row))).collect::<BooleanArray>());
    assert_eq!(&flags, &expected);
    let decided = rows().map(|row| i64::from(a(row) > b(row)));
    assert_eq!(found.integers("prediction"), decided.collect::<Vec<_>>());
    // Four times a(row), in the high bits, and 1.
    let counts = rows().map(|row| (i64::from(row) * 2 - 12) * (1 << 40) + 1);
    assert_eq!(found.integers("count"), counts.collect::<Vec<_>>());
}

#[test]
fn model_that_looks_at_memory_as_it_lies_gets_it_row_by_row() {
    let found = scored("flattened", a_and_b());
    expect(&found, "score", |row| a(row) + 5.0 * b(row));
}

#[test]
fn files_may_differ_in_type_whether_they_share_a_chunk_or_not() {
    // Cast to the type of the first, the others would be 1, nothing, and true.
    let files: [(ArrayRef, [f64; 2]); 4] = [
        (Arc::new(Int8Array::from(vec![1, 2])), [1.0, 2.0]),
        (Arc::new(Float64Array::from(vec![1.5, -2.5])), [1.5, -2.5]),
        (Arc::new(Int64Array::from(vec![1_000, 2_000])), [1_000.0, 2_000.0]),
        (Arc::new(BooleanArray::from(vec![true, false])), [1.0, 0.0]),
    ];
    for chunk_rows in ["1", "100"] {
        let fixture = job_of("dict-result").setting("line.chunk_rows", chunk_rows);
        for (file, (a, _)) in (0..).zip(&files) {
            let key: ArrayRef = Arc::new(Int32Array::from(vec![2 * file, 2 * file + 1]));
            let b: ArrayRef = Arc::new(Float32Array::from(vec![0.25; 2]));
            let columns = vec![("k", key), ("a", Arc::clone(a)), ("b", b)];
            write(&fixture, &format!("part-{file}.parquet"), columns);
        }
        let run = fixture.run();
        let expected = files.iter().flat_map(|(_, a)| a.map(|a| a + 0.25));
        let found = run.expect_rows(8).partition();
        assert_eq!(found.numbers("second"), expected.collect::<Vec<_>>(), "{chunk_rows}");
    }
}

#[test]
fn column_of_nothing_but_nulls_takes_the_type_of_other_files() {
    for chunk_rows in ["1", "100"] {
        let fixture = job_of("vector-and-scalars").setting("line.chunk_rows", chunk_rows);
        let [vector, ..] = vectors();
        let of = |file: i32, a: ArrayRef, plan: ArrayRef| {
            let key: ArrayRef = Arc::new(Int32Array::from(vec![file]));
            let columns = vec![("k", key), ("a", a), ("plan", plan), ("v", vector.slice(0, 1))];
            write(&fixture, &format!("part-{file}.parquet"), columns);
        };
        let nothing = || new_null_array(&DataType::Null, 1);
        of(0, nothing(), nothing());
        of(
            1,
            Arc::new(Float32Array::from(vec![0.5])),
            Arc::new(StringArray::from(vec!["pro"])),
        );
        let weighted = f64::from(weighted(0));
        let run = fixture.run();
        let found = run.expect_rows(2).partition();
        assert_eq!(found.numbers("score"), [weighted - 1.0, weighted + 0.5 + 2_000.0]);
    }
}
