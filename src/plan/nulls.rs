//! Finds the nulls that no policy of the job tolerates, by the footers alone: such rows would end the run after their chunk has been
//! computed.
//!
//! Only what a writer has counted is known. A file without such counts is found out row by row.

use super::footers::Footer;
use super::schema::{Mismatch, Rule};
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
    let mut found = Vec::new();
    for (name, reason) in strict {
        let counts: Vec<_> = footers.iter().map(|footer| (footer, counted(footer, name))).collect();
        let all: u64 = counts.iter().map(|(_, nulls)| nulls).sum();
        let Some(expected) = tolerated(&job.rows, reason, all) else {
            continue;
        };
        let with_nulls = counts.into_iter().filter(|(_, nulls)| *nulls > 0);
        found.extend(with_nulls.map(|(footer, nulls)| Mismatch {
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

/// Nulls of a column that is no list and lies in no struct, so far as the footer counts them.
fn counted(footer: &Footer, name: &str) -> u64 {
    let schema = footer.metadata.file_metadata().schema_descr();
    let own = footer.own_names.of(name);
    let mut leaves = (0..schema.num_columns()).filter(|&leaf| schema.column(leaf).path().parts() == [own]);
    let Some(leaf) = leaves.next() else {
        return 0;
    };
    let groups = footer.metadata.row_groups().iter();
    let counts = groups.filter_map(|group| group.column(leaf).statistics()?.null_count_opt());
    counts.sum()
}
