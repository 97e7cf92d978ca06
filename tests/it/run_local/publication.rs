//! What readers meet: one file a date, replaced whole, with nothing beside it.

use arrow::datatypes::{DataType, TimeUnit};
use parquet::basic::Compression;

use crate::support::{Features, JobFixture, column_of, read_parquet};

const FILE: &str = "date=2026-11-19/part-00000.parquet";
const MARKER: &str = "date=2026-11-19/_SUCCESS";

#[test]
fn dataset_holds_the_file_of_the_date_and_nothing_else() {
    let run = JobFixture::new().run();
    run.expect_rows(100);
    assert_eq!(run.published(), [MARKER, FILE]);
    assert_eq!(run.bytes("predictions/date=2026-11-19/_SUCCESS"), b"");
}

#[test]
fn success_marker_can_be_left_out() {
    let run = JobFixture::new().job("output.success_marker", "false").run();
    run.expect_rows(100);
    assert_eq!(run.published(), [FILE]);
}

#[test]
fn second_run_replaces_the_partition_whole() {
    let fixture = JobFixture::new().rows(500);
    fixture.run().expect_rows(500);
    let run = fixture.damaged(|folder| Features::new().rows(40).write(folder)).run();
    run.expect_rows(40);
    assert_eq!(run.published(), [MARKER, FILE]);
}

#[test]
fn partition_of_another_date_is_left_alone() {
    let run = JobFixture::new()
        .file("predictions/date=2026-11-18/part-00000.parquet", b"yesterday")
        .run();
    run.expect_rows(100);
    assert_eq!(
        run.bytes("predictions/date=2026-11-18/part-00000.parquet"),
        b"yesterday"
    );
}

#[test]
fn report_of_each_publication_is_kept_beside_the_dataset() {
    let fixture = JobFixture::new();
    let runs = [fixture.run(), fixture.argument("--force").run()];
    for (run, number) in runs.iter().zip([2, 4]) {
        let kept = run.publication(number);
        assert_eq!(kept["commit"]["n"], number);
        assert_eq!(kept["report"]["run_id"], run.report()["run_id"]);
        assert_eq!(kept["report"]["rows"]["out"], 100);
    }
    assert_eq!(runs[1].publication(4)["replaced"], 2);
    let ids = runs.each_ref().map(|run| run.report()["run_id"].clone());
    assert_ne!(ids[0], ids[1], "each run has a name of its own");
}

#[test]
fn state_goes_where_the_job_says() {
    let run = JobFixture::new().job("output.state", "'elsewhere/state'").run();
    run.expect_rows(100);
    run.bytes("elsewhere/state/v1/fraud-detector/date=2026-11-19/published/00000000000000000002.json");
    assert_eq!(run.records(), [""; 0]);
}

#[test]
fn columns_are_keys_passthrough_results_and_lineage() {
    let run = JobFixture::new()
        .job("input.passthrough", "['event_time', 'customer_id']")
        .run();
    let partition = run.expect_rows(100).partition();
    let expected = [
        "transaction_id",
        "event_time",
        "customer_id",
        "probability",
        "prediction",
        "model_name",
        "model_version",
        "inference_timestamp",
        "run_id",
    ];
    assert_eq!(partition.columns(), expected);
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let kind = |column: &str| partition.column(column).data_type();
    assert_eq!(
        [kind("transaction_id"), kind("event_time"), kind("customer_id")],
        [&DataType::Int64, &micros, &DataType::Utf8]
    );
    assert_eq!(
        [kind("probability"), kind("prediction")],
        [&DataType::Float32, &DataType::Int8]
    );
    assert_eq!(
        [kind("model_version"), kind("inference_timestamp")],
        [&DataType::Utf8, &micros]
    );
}

#[test]
fn column_that_is_also_a_feature_travels_as_it_is() {
    let plain = JobFixture::new().rows(500).run();
    let fixture = JobFixture::new()
        .rows(500)
        .job("input.passthrough", "['country', 'amount']");
    let run = fixture.run();
    let partition = run.expect_rows(500).partition();
    let input = read_parquet(&fixture.path("features/date=2026-11-19/part-00000.parquet"));
    for column in ["country", "amount"] {
        assert_eq!(partition.column(column), column_of(&input, column));
    }
    partition.expect_predictions_of(&plain.partition());
}

#[test]
fn every_row_says_which_model_and_run_it_is_from_and_never_an_alias() {
    let run = JobFixture::new().job("model.version", "'challenger'").run();
    let (partition, report) = (run.expect_rows(100).partition(), run.report());
    assert_eq!(partition.texts("model_name"), ["fraud-detector"; 100]);
    assert_eq!(partition.texts("model_version"), ["1"; 100]);
    assert_eq!(partition.texts("run_id"), vec![report["run_id"].as_str().unwrap(); 100]);
    let mut times = partition.integers("inference_timestamp");
    times.dedup();
    let started = chrono::DateTime::parse_from_rfc3339(report["started_at"].as_str().unwrap()).unwrap();
    assert_eq!(times, [started.timestamp_micros()], "one time for the whole run");
}

#[test]
fn names_of_lineage_columns_can_be_changed_and_dropped() {
    let run = JobFixture::new()
        .job("output.columns.model_version", "'version'")
        .job("output.columns.model_name", "''")
        .job("output.columns.run_id", "''")
        .run();
    let columns = run.expect_rows(100).partition().columns();
    assert_eq!(
        columns,
        [
            "transaction_id",
            "probability",
            "prediction",
            "version",
            "inference_timestamp"
        ]
    );
}

#[test]
fn file_is_compressed_and_says_in_its_footer_where_it_is_from() {
    let run = JobFixture::new().run();
    let (partition, report) = (run.expect_rows(100).partition(), run.report());
    let metadata = partition.metadata();
    assert!(matches!(
        metadata.row_group(0).column(0).compression(),
        Compression::ZSTD(_)
    ));
    let pairs = metadata.file_metadata().key_value_metadata().unwrap();
    let value = |key: &str| {
        pairs
            .iter()
            .find(|pair| pair.key == key)
            .and_then(|pair| pair.value.clone())
            .unwrap_or_default()
    };
    assert_eq!(value("batch_infer.job"), "fraud-detector");
    assert_eq!(value("batch_infer.date"), "2026-11-19");
    assert_eq!(value("batch_infer.model_version"), "2");
    assert_eq!(
        value("batch_infer.model_sha256"),
        report["model"]["sha256"].as_str().unwrap()
    );
    assert_eq!(value("batch_infer.run_id"), report["run_id"].as_str().unwrap());
}
