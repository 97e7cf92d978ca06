//! Columns whose Parquet type says more than the reader's own choice: `INT96`, which Spark writes, `ENUM`, and bytes without annotation.

use std::fs::{self, File};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int8Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use batch_infer::exit::ExitCode;
use parquet::basic::{LogicalType, TimeUnit as ParquetUnit};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use crate::support::{DATE, JobFixture, Run, write_parquet};

const DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01.
const YEAR_1: i64 = -719_162;
const YEAR_9999: i64 = 2_932_896;

/// The Julian day of 1970-01-01, from which `INT96` counts.
const EPOCH: i64 = 2_440_588;

/// The first instant of each day but the last microsecond of it: as far from a whole second as can be.
fn stamp(day: i64) -> Int96 {
    let nanos: u64 = 86_399_999_999_000;
    let day = u32::from_ne_bytes(i32::try_from(day + EPOCH).unwrap().to_ne_bytes());
    let [low, high] = [nanos & 0xffff_ffff, nanos >> 32].map(|half| u32::try_from(half).unwrap());
    let mut stamp = Int96::new();
    stamp.set_data(low, high, day);
    stamp
}

fn micros(day: i64) -> i64 {
    day * DAY + 86_399_999_999
}

/// As Spark writes it: a file without Arrow's own schema. `inside.at` and `many[0]` are the same instants as `at`.
const MESSAGE: &str = "message spark_schema {
    required int64 k;
    required int32 small (INTEGER(8, true));
    required int32 medium;
    required int64 large;
    required int96 at;
    required group inside { required int96 at; }
    required group many (LIST) { repeated group list { required int96 element; } }
    required binary plan (ENUM);
    required binary bare;
}";

fn write(job: &JobFixture, file: &str, days: &[i64]) {
    let path = job.path(&format!("features/date={DATE}/{file}"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let message = Arc::new(parse_message_type(MESSAGE).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), message, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let numbers: Vec<_> = (0..i64::try_from(days.len()).unwrap()).collect();
    let stamps: Vec<_> = days.iter().map(|&day| stamp(day)).collect();
    let texts: Vec<_> = days
        .iter()
        .map(|day| ByteArray::from(format!("day {day}").as_str()))
        .collect();
    let mut leaf = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        match leaf {
            0 | 3 => column.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap(),
            1 | 2 => column
                .typed::<Int32Type>()
                .write_batch(&vec![1; days.len()], None, None)
                .unwrap(),
            6 => {
                let (levels, starts) = (vec![1; days.len()], vec![0; days.len()]);
                column
                    .typed::<Int96Type>()
                    .write_batch(&stamps, Some(&levels), Some(&starts))
                    .unwrap()
            }
            4 | 5 => column.typed::<Int96Type>().write_batch(&stamps, None, None).unwrap(),
            _ => column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap(),
        };
        column.close().unwrap();
        leaf += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
}

fn job() -> JobFixture {
    JobFixture::of_test_model("raw-integers")
}

fn instants(column: &ArrayRef) -> Vec<i64> {
    let expected = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(column.data_type(), &expected);
    column.as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

#[test]
fn int96_is_an_instant_as_a_feature_and_where_it_is_carried() {
    let job = job().job("input.passthrough", "['at', 'inside', 'many', 'plan']");
    let days = [YEAR_1, -1, 0, 20_776, YEAR_9999];
    write(&job, "part-00000.parquet", &days);
    let run = job.run();
    run.expect_success();
    let partition = run.partition();
    let expected: Vec<_> = days.map(micros).to_vec();
    assert_eq!(partition.integers("micros"), expected);
    assert_eq!(instants(partition.column("at")), expected);
    assert_eq!(instants(partition.column("inside").as_struct().column(0)), expected);
    assert_eq!(instants(partition.column("many").as_list::<i32>().values()), expected);
    assert_eq!(partition.texts("plan"), days.map(|day| format!("day {day}")));
    // Spark cannot open nanoseconds, nor an instant that claims to be a local time.
    let schema = partition.metadata().file_metadata().schema_descr();
    let at = (0..schema.num_columns())
        .map(|leaf| schema.column(leaf))
        .find(|column| column.name() == "at");
    match at.unwrap().logical_type_ref() {
        Some(LogicalType::Timestamp(stamp)) => assert!(stamp.is_adjusted_to_u_t_c && stamp.unit == ParquetUnit::MICROS),
        other => panic!("{other:?}"),
    }
}

/// A day whose microseconds do not fit 64 bits: the decoder would make another day of it.
const BEYOND: i64 = 200_000_000;

#[test]
fn an_int96_beyond_64_bits_of_microseconds_is_bad_wherever_it_stands() {
    for (passthrough, column) in [("[]", "at"), ("['inside']", "inside"), ("['many']", "many")] {
        let job = job().job("input.passthrough", passthrough);
        write(&job, "part-00000.parquet", &[0, BEYOND, 1]);
        let run = job.run();
        run.expect_refusal(ExitCode::BadRows);
        run.expect_said(&["CAST_OVERFLOW", "`at`"]);
        let job = job
            .job("rows.on.CAST_OVERFLOW", "'reject'")
            .job("rows.max_bad_rows", "1")
            .job("rows.max_bad_fraction", "0.5");
        let run = job.run();
        run.expect_success();
        assert_eq!(run.partition().integers("k"), [0, 2], "{column}");
        assert_eq!(run.partition().integers("micros"), [micros(0), micros(1)]);
    }
}

/// As a feature it is imputed as a null is, and in an expression it is a null. The rows beside it are as they were.
#[test]
fn an_int96_beyond_64_bits_is_a_null_where_the_job_imputes_it() {
    let job = job()
        .models(|models| {
            models.metadata("1", |metadata| {
                metadata["derived"] = json!([{ "name": "since", "sql": "COALESCE(CAST(at AS BIGINT), -7)" }]);
                metadata["features"][3]["name"] = json!("since");
                metadata["inputs"][2]["columns"][1] = json!("since");
            });
        })
        .job("rows.on.CAST_OVERFLOW", "'impute'");
    write(&job, "part-00000.parquet", &[0, BEYOND, 1]);
    let run = job.run();
    run.expect_success();
    assert_eq!(run.partition().integers("k"), [0, 1, 2]);
    assert_eq!(run.partition().integers("micros"), [micros(0), -7, micros(1)]);
    // What is carried is published as it was read, and this value cannot be.
    let run = job.job("input.passthrough", "['inside']").run();
    run.expect_refusal(ExitCode::BadRows);
    run.expect_said(&["CAST_OVERFLOW", "`inside`"]);
}

/// The keys are read without the columns beside them.
#[test]
fn keys_are_compared_where_another_column_is_int96() {
    let job = job()
        .job("rows.on.DUPLICATE_KEY", "'fail'")
        .job("input.passthrough", "['at']");
    write(&job, "part-00000.parquet", &[0, 1, 2]);
    let run = job.run();
    run.expect_success();
    assert_eq!(run.partition().integers("k"), [0, 1, 2]);
}

#[test]
fn files_with_int96_and_with_microseconds_are_of_one_type() {
    let job = job().job("input.passthrough", "['at']");
    write(&job, "part-00000.parquet", &[0]);
    let columns: [(&str, ArrayRef); 5] = [
        ("k", Arc::new(Int64Array::from(vec![1]))),
        ("small", Arc::new(Int8Array::from(vec![1]))),
        ("medium", Arc::new(Int32Array::from(vec![1]))),
        ("large", Arc::new(Int64Array::from(vec![1]))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![5]).with_timezone("UTC")),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = job.path(&format!("features/date={DATE}/part-00001.parquet"));
    write_parquet(&path, &batch, WriterProperties::builder());
    let run = job.run();
    run.expect_success();
    assert_eq!(instants(run.partition().column("at")), [micros(0), 5]);
}

#[test]
fn bytes_without_annotation_are_text_where_the_job_says_so() {
    let carried = |value: &str| {
        let job = job()
            .job("input.passthrough", "['bare']")
            .job("input.binary_as_string", value);
        write(&job, "part-00000.parquet", &[7, 8]);
        let run = job.run();
        run.expect_success();
        run
    };
    let kind = |run: &Run| run.partition().column("bare").data_type().clone();
    assert_eq!(kind(&carried("false")), DataType::Binary);
    let run = carried("true");
    assert_eq!(kind(&run), DataType::Utf8);
    assert_eq!(run.partition().texts("bare"), ["day 7", "day 8"]);
}

#[test]
fn the_ends_of_a_timestamp_are_no_instants() {
    for stamp in [i64::MAX, -i64::MAX, i64::MIN] {
        let job = job();
        let columns: [(&str, ArrayRef); 5] = [
            ("k", Arc::new(Int64Array::from(vec![1, 2]))),
            ("small", Arc::new(Int8Array::from(vec![1, 1]))),
            ("medium", Arc::new(Int32Array::from(vec![1, 1]))),
            ("large", Arc::new(Int64Array::from(vec![1, 1]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![5, stamp]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = job.path(&format!("features/date={DATE}/part-00000.parquet"));
        write_parquet(&path, &batch, WriterProperties::builder());
        let run = job.run();
        run.expect_refusal(ExitCode::BadRows);
        run.expect_said(&["CAST_OVERFLOW", "`at`"]);
    }
}
