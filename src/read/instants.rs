//! Finds the rows of a span whose `INT96` instants are beyond what 64 bits of microseconds hold.
//!
//! The decoder wraps such a value round to another instant and says nothing. Whole seconds hold each value that `INT96` can name, so the
//! same columns are decoded once more as seconds, and both must agree. Only files with such columns pay for it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch};
use arrow::datatypes::{ArrowNativeType, DataType, TimestampMicrosecondType, TimestampSecondType};

use crate::batch::BadRow;
use crate::plan::InputFile;
use crate::spec::Reason;

const MICROS: i64 = 1_000_000;

/// The rows of a batch with such a value, once for each column that has one. `seconds` are the same rows as seconds.
pub(super) fn beyond(file: &InputFile, micros: &RecordBatch, seconds: &RecordBatch) -> Vec<BadRow> {
    let mut bad = Vec::new();
    for (field, seconds) in seconds.schema_ref().fields().iter().zip(seconds.columns()) {
        let Some(micros) = micros.column_by_name(field.name()) else {
            continue;
        };
        let planned = file.own_names.planned(field.name());
        let rows = differing(micros, seconds).into_iter();
        bad.extend(rows.map(|row| BadRow::new(row, Reason::CastOverflow, planned)));
    }
    bad.sort_by_key(|bad| bad.row);
    bad
}

/// Rows in which the instants of two columns, which may be nested, are not the same.
fn differing(micros: &ArrayRef, seconds: &ArrayRef) -> Vec<usize> {
    match (micros.data_type(), seconds.data_type()) {
        (DataType::Timestamp(..), DataType::Timestamp(..)) => {
            let (micros, seconds) = (
                micros.as_primitive::<TimestampMicrosecondType>(),
                seconds.as_primitive::<TimestampSecondType>(),
            );
            let agrees = |row: usize| micros.value(row).div_euclid(MICROS) == seconds.value(row);
            (0..micros.len())
                .filter(|&row| micros.is_valid(row) && !agrees(row))
                .collect()
        }
        (DataType::Struct(_), DataType::Struct(_)) => {
            let fields = micros.as_struct().columns().iter().zip(seconds.as_struct().columns());
            let mut rows: Vec<_> = fields
                .flat_map(|(micros, seconds)| differing(micros, seconds))
                .collect();
            rows.sort_unstable();
            rows.dedup();
            rows
        }
        (DataType::List(_), DataType::List(_)) => {
            let (micros, seconds) = (micros.as_list::<i32>(), seconds.as_list::<i32>());
            in_lists(
                (micros.value_offsets(), micros.values()),
                (seconds.value_offsets(), seconds.values()),
            )
        }
        (DataType::LargeList(_), DataType::LargeList(_)) => {
            let (micros, seconds) = (micros.as_list::<i64>(), seconds.as_list::<i64>());
            in_lists(
                (micros.value_offsets(), micros.values()),
                (seconds.value_offsets(), seconds.values()),
            )
        }
        (DataType::Map(..), DataType::Map(..)) => {
            let (micros, seconds) = (micros.as_map(), seconds.as_map());
            let entries = |map: &MapArray| -> ArrayRef { Arc::new(map.entries().clone()) };
            in_lists(
                (micros.value_offsets(), &entries(micros)),
                (seconds.value_offsets(), &entries(seconds)),
            )
        }
        (DataType::FixedSizeList(_, size), DataType::FixedSizeList(..)) => {
            let size = usize::try_from(*size).unwrap_or(0).max(1);
            let (micros, seconds) = (micros.as_fixed_size_list(), seconds.as_fixed_size_list());
            let first = micros.offset() * size;
            let elements = differing(micros.values(), seconds.values()).into_iter();
            let mut rows: Vec<_> = elements
                .filter_map(|element| Some(element.checked_sub(first)? / size))
                .filter(|&row| row < micros.len())
                .collect();
            rows.dedup();
            rows
        }
        // Everything else is no instant, and was decoded the same way twice.
        _ => Vec::new(),
    }
}

/// Rows of lists of which an element differs. The elements of each side begin where its own batch began.
fn in_lists<O: ArrowNativeType>(micros: (&[O], &ArrayRef), seconds: (&[O], &ArrayRef)) -> Vec<usize> {
    let elements = |(offsets, values): (&[O], &ArrayRef)| {
        let bounds = offsets.first().zip(offsets.last());
        let (first, last) = bounds.map_or((0, 0), |(first, last)| (first.as_usize(), last.as_usize()));
        (first, values.slice(first, last - first))
    };
    let (first, ours) = elements(micros);
    let (_, theirs) = elements(seconds);
    let mut rows = Vec::new();
    for element in differing(&ours, &theirs) {
        // The last list that begins at or before the element has it.
        let row = micros.0.partition_point(|offset| offset.as_usize() <= first + element) - 1;
        if rows.last() != Some(&row) {
            rows.push(row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, ListArray, StructArray, TimestampMicrosecondArray, TimestampSecondArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;

    use super::*;

    /// The same instants in both units, except where they are said to differ.
    fn instants(rows: usize, differ: &[usize]) -> (ArrayRef, ArrayRef) {
        let seconds = (0..rows).map(|row| 100 - 60 * i64::try_from(row).unwrap());
        let micros = seconds.clone().enumerate().map(|(row, second)| {
            let wrapped = if differ.contains(&row) { 7 * MICROS } else { 0 };
            // Within the second: also before 1970 the second is the one that began before it.
            second * MICROS + 250_000 + wrapped
        });
        (
            Arc::new(TimestampMicrosecondArray::from_iter_values(micros)),
            Arc::new(TimestampSecondArray::from_iter_values(seconds)),
        )
    }

    #[test]
    fn instants_that_agree_are_left_alone_on_both_sides_of_1970() {
        let (micros, seconds) = instants(10, &[]);
        assert!(differing(&micros, &seconds).is_empty());
        let (micros, seconds) = instants(10, &[3, 9]);
        assert_eq!(differing(&micros, &seconds), [3, 9]);
    }

    fn list(lengths: &[usize], values: ArrayRef) -> ArrayRef {
        let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
        Arc::new(ListArray::new(field, offsets, values, None))
    }

    fn inside(values: ArrayRef) -> ArrayRef {
        let number: ArrayRef = Arc::new(Int32Array::from_iter_values(0..i32::try_from(values.len()).unwrap()));
        let at = Arc::new(Field::new("at", values.data_type().clone(), true));
        let n = Arc::new(Field::new("n", DataType::Int32, true));
        Arc::new(StructArray::from(vec![(n, number), (at, values)]))
    }

    #[test]
    fn an_instant_within_lists_and_structs_marks_its_row() {
        let (micros, seconds) = instants(6, &[2, 5]);
        let lengths = [2, 0, 1, 3];
        let (micros, seconds) = (list(&lengths, inside(micros)), list(&lengths, inside(seconds)));
        assert_eq!(differing(&micros, &seconds), [2, 3]);
        // Cut in the middle, the rows count from there.
        assert_eq!(differing(&micros.slice(1, 3), &seconds.slice(1, 3)), [1, 2]);
    }
}
