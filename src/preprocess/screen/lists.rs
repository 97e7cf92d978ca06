//! Judges lists: their length, and their elements.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

use super::numbers;
use crate::batch::BadRow;
use crate::spec::Reason;

/// What is wrong with the lists of a column, nulls apart. A row may stand more than once.
pub(super) fn judge(column: &ArrayRef, width: usize, greatest: f64, name: &str) -> Vec<BadRow> {
    let mut bad = lengths(column, width, name);
    let sound = |elements: &ArrayRef| elements.null_count() == 0 && numbers::worst(elements, greatest).is_none();
    // All elements at once: only where something is wrong, it is looked for list by list.
    if elements(column).is_none_or(sound) {
        return bad;
    }
    for row in (0..column.len()).filter(|&row| column.is_valid(row)) {
        let reason = list(column, row).and_then(|elements| match elements.null_count() {
            0 => numbers::worst(&elements, greatest),
            _ => Some(Reason::NullFeature),
        });
        bad.extend(reason.map(|reason| BadRow::new(row, reason, name)));
    }
    bad
}

fn lengths(column: &ArrayRef, width: usize, name: &str) -> Vec<BadRow> {
    let lengths: Box<dyn Iterator<Item = usize>> = match column.data_type() {
        DataType::List(_) => Box::new(column.as_list::<i32>().offsets().lengths()),
        DataType::LargeList(_) => Box::new(column.as_list::<i64>().offsets().lengths()),
        _ => return Vec::new(),
    };
    let wrong = lengths.enumerate().filter(|&(_, length)| length != width);
    let wrong = wrong.filter(|&(row, _)| column.is_valid(row));
    wrong
        .map(|(row, length)| BadRow {
            message: Some(format!("{length} elements, the contract says {width}")),
            ..BadRow::new(row, Reason::BadListLen, name)
        })
        .collect()
}

/// The elements of all lists.
fn elements(column: &ArrayRef) -> Option<&ArrayRef> {
    match column.data_type() {
        DataType::List(_) => Some(column.as_list::<i32>().values()),
        DataType::LargeList(_) => Some(column.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => Some(column.as_fixed_size_list().values()),
        _ => None,
    }
}

/// The elements of one list.
fn list(column: &ArrayRef, row: usize) -> Option<ArrayRef> {
    match column.data_type() {
        DataType::List(_) => Some(column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => Some(column.as_fixed_size_list().value(row)),
        _ => None,
    }
}
