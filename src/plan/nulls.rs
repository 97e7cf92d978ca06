//! Finds the nulls that no policy of the job tolerates, by the footers alone: such rows would end the run after their chunk has been
//! computed.
//!
//! Only what a writer has counted is known. A file without such counts is found out row by row.

use std::collections::HashMap;

use parquet::file::metadata::ParquetMetaData;

use super::footers::Footer;
use super::mismatch::{Mismatch, Rule};
use crate::preprocess::Preprocessor;
use crate::spec::{Action, Reason, RowsSpec};
use crate::validate::Job;

/// Columns with more nulls than the job tolerates.
pub(super) fn intolerable(job: &Job, preprocessor: &Preprocessor, footers: &[Footer]) -> Vec<Mismatch> {
    let imputing = job.rows.on.null_feature == Action::Impute;
    let features = preprocessor.contract().features.iter();
    let features = features.filter(|feature| !feature.takes_nulls(imputing));
    let features = features.map(|feature| (feature.name(), Reason::NullFeature));
    let keys = job.keys.iter().map(|key| (key.as_str(), Reason::NullKey));
    let strict: Vec<_> = keys.chain(features).collect();
    let counts = counts(&strict, footers);
    let mut found = Vec::new();
    for ((name, reason), counts) in strict.into_iter().zip(counts) {
        let all = counts.iter().fold(0, |sum: u64, (_, nulls)| sum.saturating_add(*nulls));
        let Some(expected) = tolerated(&job.rows, reason, all) else {
            continue;
        };
        found.extend(counts.into_iter().map(|(footer, nulls)| Mismatch {
            file: footer.file.name.clone(),
            column: name.to_owned(),
            expected: expected.clone(),
            found: if nulls == all {
                format!("{nulls} by the footer")
            } else {
                format!("{nulls} by the footer, and {all} in all files")
            },
            rule: Rule::Nulls,
            hint: None,
        }));
    }
    found
}

/// For each column the files that have nulls in it, and how many.
fn counts<'a>(strict: &[(&str, Reason)], footers: &'a [Footer]) -> Vec<Vec<(&'a Footer, u64)>> {
    let mut counts: Vec<_> = strict.iter().map(|_| Vec::new()).collect();
    for footer in footers {
        let leaves = leaves(&footer.metadata);
        let folders: HashMap<_, _> = footer
            .partition
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        for (&(name, _), counts) in strict.iter().zip(&mut counts) {
            let nulls = match folders.get(name) {
                Some(Some(_)) => 0,
                Some(None) => u64::try_from(footer.metadata.file_metadata().num_rows()).unwrap_or(0),
                None => {
                    let leaf = leaves.get(footer.own_names.of(name));
                    leaf.map_or(0, |&leaf| counted(&footer.metadata, leaf))
                }
            };
            if nulls > 0 {
                counts.push((footer, nulls));
            }
        }
    }
    counts
}

/// What the job tolerates, in words, if that is less than there is.
fn tolerated(rows: &RowsSpec, reason: Reason, nulls: u64) -> Option<String> {
    match rows.on.action(reason) {
        Action::Reject if nulls > rows.max_bad_rows => Some(format!(
            "no more than are tolerated ({reason} = \"reject\", max_bad_rows = {})",
            rows.max_bad_rows
        )),
        Action::Fail if nulls > 0 => Some(format!("no nulls ({reason} = \"fail\")")),
        _ => None,
    }
}

/// The columns of a file that are no lists and lie in no struct, by their names in it.
pub(super) fn leaves(metadata: &ParquetMetaData) -> HashMap<&str, usize> {
    flat(metadata).collect()
}

/// The same in the order of the file.
pub(super) fn flat(metadata: &ParquetMetaData) -> impl Iterator<Item = (&str, usize)> {
    let columns = metadata.file_metadata().schema_descr().columns();
    columns.iter().enumerate().filter_map(|(leaf, column)| {
        let [name] = column.path().parts() else {
            return None;
        };
        Some((name.as_str(), leaf))
    })
}

/// Nulls of a column, so far as the footer counts them.
fn counted(metadata: &ParquetMetaData, leaf: usize) -> u64 {
    let groups = metadata.row_groups().iter();
    let counts = groups.filter_map(|group| group.column(leaf).statistics()?.null_count_opt());
    counts.fold(0, u64::saturating_add)
}
