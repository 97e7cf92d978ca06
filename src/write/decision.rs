//! The decision drawn from an output: 0 or 1 by a threshold, or the label of the greatest element.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, DictionaryArray, Int8Array, Int32Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use half::f16;

use crate::contract::Verdict;

/// The decision for each row.
pub(super) fn column(verdict: Verdict<'_>, values: &ArrayRef, rows: usize) -> Result<ArrayRef, ArrowError> {
    match verdict {
        Verdict::Threshold(threshold) => at_least(values, threshold),
        Verdict::Labels(labels) => greatest(values, labels, rows),
    }
}

/// Compared in the precision of the values: 0.1 in float32 is less than 0.1 in float64, and a value at the threshold counts.
fn at_least(values: &ArrayRef, threshold: f64) -> Result<ArrayRef, ArrowError> {
    #[expect(clippy::cast_possible_truncation, reason = "the values are float32")]
    let threshold = match values.data_type() {
        DataType::Float16 => f16::from_f64(threshold).to_f64(),
        DataType::Float32 => f64::from(threshold as f32),
        _ => threshold,
    };
    let values = cast(values, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>().values().iter();
    Ok(Arc::new(Int8Array::from_iter_values(
        values.map(|&value| i8::from(value >= threshold)),
    )))
}

/// The first of equals wins, as in `torch.argmax` on CPU.
fn greatest(values: &ArrayRef, labels: &[String], rows: usize) -> Result<ArrayRef, ArrowError> {
    let values = cast(values, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>().values();
    let keys = values.chunks_exact(labels.len().max(1)).take(rows).map(|row| {
        let mut best = 0;
        for (element, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = element;
            }
        }
        i32::try_from(best).unwrap_or(0)
    });
    let keys = Int32Array::from_iter_values(keys);
    let labels = StringArray::from_iter_values(labels);
    Ok(Arc::new(DictionaryArray::try_new(keys, Arc::new(labels))?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Float16Array, Float32Array, Float64Array, Int64Array};
    use arrow::datatypes::Int8Type;

    use super::*;

    #[track_caller]
    fn decided(values: impl Array + 'static, threshold: f64) -> Vec<i8> {
        let rows = values.len();
        let values: ArrayRef = Arc::new(values);
        let decided = column(Verdict::Threshold(threshold), &values, rows).expect("numbers are compared");
        decided.as_primitive::<Int8Type>().values().to_vec()
    }

    #[test]
    fn a_value_at_the_threshold_counts_in_its_own_precision() {
        for threshold in [0.1, 0.37, 1.0 / 3.0] {
            #[expect(clippy::cast_possible_truncation, reason = "a float32 is wanted")]
            let single = threshold as f32;
            assert_eq!(decided(Float64Array::from(vec![threshold]), threshold), [1]);
            assert_eq!(decided(Float32Array::from(vec![single]), threshold), [1]);
            assert_eq!(
                decided(Float16Array::from(vec![f16::from_f64(threshold)]), threshold),
                [1]
            );
        }
        assert_eq!(decided(Float64Array::from(vec![0.37]), 0.37f64.next_up()), [0]);
    }

    #[test]
    fn integers_are_compared_beyond_the_digits_of_a_float32() {
        let values = Int64Array::from(vec![16_777_217, 16_777_218]);
        assert_eq!(decided(values, 16_777_218.0), [0, 1]);
    }

    #[test]
    fn the_first_of_equals_wins() {
        let values: ArrayRef = Arc::new(Float32Array::from(vec![0.5, 0.5, 0.1, 0.9]));
        let labels = ["stay".to_owned(), "leave".to_owned()];
        let decided = column(Verdict::Labels(&labels), &values, 2).expect("numbers are compared");
        let decided = cast(&decided, &DataType::Utf8).expect("a dictionary of strings");
        let decided: Vec<_> = decided.as_string::<i32>().iter().flatten().collect();
        assert_eq!(decided, ["stay", "leave"]);
    }
}
