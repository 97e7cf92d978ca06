//! Rows for the model `picky`, each of which can be made bad in a way of its own.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float32Builder, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray,
};
use parquet::file::properties::WriterProperties;

use crate::support::{DATE, JobFixture, Run, repository, write_parquet};

/// A row that `picky` takes, unless it is changed.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: Option<i64>,
    pub(super) a: Option<f64>,
    pub(super) b: Option<f64>,
    pub(super) plan: Option<&'static str>,
    pub(super) v: Option<Vec<Option<f32>>>,
    pub(super) r: Option<f32>,
}

impl Row {
    /// The row of that number.
    pub(super) fn new(number: usize) -> Self {
        let number = i64::try_from(number).unwrap();
        let small = f32::from(i16::try_from(number % 8).unwrap());
        Self {
            key: Some(number),
            a: Some(f64::from(small) * 0.5),
            b: Some(2.0),
            plan: Some("pro"),
            v: Some(vec![Some(small), Some(0.25)]),
            r: Some(1.0),
        }
    }

    /// What the model makes of it.
    pub(super) fn score(&self) -> f64 {
        let position = match self.plan {
            Some("basic") => 1.0,
            Some("pro") => 2.0,
            _ => 0.0,
        };
        let elements = self.v.iter().flatten().flatten().map(|&element| f64::from(element));
        self.a.unwrap() + self.b.unwrap_or(0.0) + 10.0 * position + elements.sum::<f64>() + f64::from(self.r.unwrap())
    }
}

/// Good rows, as many.
pub(super) fn rows(count: usize) -> Vec<Row> {
    (0..count).map(Row::new).collect()
}

/// A job of `picky`, without its input: chunks of 16 rows, batches of 4.
pub(super) fn job() -> JobFixture {
    let registry = repository().join("tests/models");
    JobFixture::new()
        .without_features()
        .job("name", "'picky'")
        .job("input.keys", "['k']")
        .job("model.registry", &format!("'{}'", registry.display()))
        .job("model.name", "'picky'")
        .setting("line.chunk_rows", "16")
        .setting("line.batch_rows", "4")
}

/// The job may reject so many rows for a reason.
pub(super) fn rejecting(job: JobFixture, reason: &str, rows: usize) -> JobFixture {
    job.job(&format!("rows.on.{reason}"), "'reject'")
        .job("rows.max_bad_rows", &rows.to_string())
        .job("rows.max_bad_fraction", "0.5")
}

/// Writes rows as one file of the input.
pub(super) fn write(job: &JobFixture, file: &str, rows: &[Row], row_group_rows: usize) {
    let mut vectors = ListBuilder::new(Float32Builder::new());
    for row in rows {
        vectors.append_option(row.v.clone());
    }
    let columns: [(&str, ArrayRef); 6] = [
        ("k", Arc::new(rows.iter().map(|row| row.key).collect::<Int64Array>())),
        ("a", Arc::new(rows.iter().map(|row| row.a).collect::<Float64Array>())),
        ("b", Arc::new(rows.iter().map(|row| row.b).collect::<Float64Array>())),
        (
            "plan",
            Arc::new(rows.iter().map(|row| row.plan).collect::<StringArray>()),
        ),
        ("v", Arc::new(vectors.finish())),
        ("r", Arc::new(rows.iter().map(|row| row.r).collect::<Float32Array>())),
    ];
    let columns = columns.map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let path = job.path(&format!("features/date={DATE}/{file}"));
    // Without statistics, so that nulls are met where rows are scored and not in the footer.
    let properties = WriterProperties::builder()
        .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
        .set_max_row_group_row_count(Some(row_group_rows));
    write_parquet(&path, &batch, properties);
}

/// Scores rows that lie in one file.
pub(super) fn run(job: &JobFixture, rows: &[Row]) -> Run {
    write(job, "part-00000.parquet", rows, 1_000);
    job.run()
}

/// The published rows are just these, in this order, with the scores that they must have.
#[track_caller]
pub(super) fn expect_published<'r>(run: &Run, expected: impl IntoIterator<Item = &'r Row>) {
    run.expect_success();
    let expected: Vec<_> = expected.into_iter().collect();
    let partition = run.partition();
    let keys: Vec<_> = expected.iter().map(|row| row.key.unwrap()).collect();
    assert_eq!(partition.integers("k"), keys);
    let scores: Vec<_> = expected.iter().map(|row| row.score()).collect();
    assert_eq!(partition.numbers("score"), scores);
}

/// Rejected rows of the newest plan, as (key, row, reason, column).
#[track_caller]
pub(super) fn rejected(job: &JobFixture) -> Vec<(Option<i64>, u64, String, String)> {
    let output = job
        .command("rejects show")
        .args(["--date", DATE, "--format", "json", "-n", "1000"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rejects = shown["rejects"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    rejects
        .map(|reject| {
            assert!(!text(&reject["_message"]).is_empty());
            (
                reject["k"].as_i64(),
                reject["_row"].as_u64().unwrap(),
                text(&reject["_reason"]),
                text(&reject["_column"]),
            )
        })
        .collect()
}
