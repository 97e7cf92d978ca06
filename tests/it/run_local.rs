//! Whole runs on the local disk: what comes out is what the models' golden rows say, for any form of the same input.

mod again;
mod bad_rows;
mod column_types;
mod corrupt;
mod layout;
mod line;
mod pieces;
mod publication;
mod report;

use std::collections::HashMap;

use crate::support::{JobFixture, Partition, TOLERANCE, repository};

/// Scores the sample's date with one version and compares the golden rows, which are some of its rows.
#[track_caller]
fn expect_golden_rows(model: &str, version: &str, key: &str) {
    let run = JobFixture::of(model, key)
        .job("model.version", &format!("'{version}'"))
        .run();
    run.expect_success();
    let found = run.partition();
    let golden = Partition::read(&repository().join(format!("sample_data/models/{model}/{version}/golden.parquet")));
    let rows: HashMap<String, usize> = found.texts(key).into_iter().zip(0..).collect();
    let outputs = found.columns().into_iter().filter(|column| column != key);
    let outputs: Vec<_> = outputs.filter(|column| golden.columns().contains(column)).collect();
    assert!(!outputs.is_empty(), "the golden file of {model} states no output");
    for output in outputs {
        let (found, expected) = (cells(&found, &output), cells(&golden, &output));
        for (key, expected) in golden.texts(key).iter().zip(&expected) {
            let found = &found[rows[key]];
            assert!(
                found.is_like(expected),
                "{model} {version}, {output} of {key}: {found:?}, expected {expected:?}"
            );
        }
    }
}

/// A cell of an output column.
#[derive(Debug)]
enum Cell {
    Numbers(Vec<f64>),
    Text(String),
}

impl Cell {
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Numbers(a), Self::Numbers(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= TOLERANCE)
            }
            _ => false,
        }
    }
}

fn cells(partition: &Partition, column: &str) -> Vec<Cell> {
    if partition.column(column).data_type().is_string() {
        return partition.texts(column).into_iter().map(Cell::Text).collect();
    }
    let numbers = partition.numbers(column);
    let width = numbers.len() / partition.rows();
    numbers.chunks(width).map(|row| Cell::Numbers(row.to_vec())).collect()
}

#[test]
fn binary_model_with_a_threshold_gives_its_golden_rows() {
    expect_golden_rows("fraud-detector", "1", "transaction_id");
}

#[test]
fn model_with_a_derived_feature_gives_its_golden_rows() {
    expect_golden_rows("fraud-detector", "2", "transaction_id");
}

#[test]
fn model_of_several_classes_gives_its_golden_rows() {
    expect_golden_rows("churn", "1", "account_id");
}

#[test]
fn model_of_text_gives_its_golden_rows() {
    expect_golden_rows("ticket-embedding", "1", "ticket_id");
}
