//! Finds the integers that a float does not hold: it takes the nearest that it holds, and says nothing.

use arrow::array::{Array, ArrayRef, ArrowNumericType, AsArray, Float64Array, PrimitiveArray};
use arrow::compute::{max, min};
use arrow::datatypes::{
    DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

/// Positions of the values of a column of integers that are others with so many binary digits. Of other columns there are none.
pub(super) fn inexact(values: &ArrayRef, digits: u32) -> Vec<usize> {
    match values.data_type() {
        DataType::Int8 => inexact_in::<Int8Type>(values.as_primitive(), digits),
        DataType::Int16 => inexact_in::<Int16Type>(values.as_primitive(), digits),
        DataType::Int32 => inexact_in::<Int32Type>(values.as_primitive(), digits),
        DataType::Int64 => inexact_in::<Int64Type>(values.as_primitive(), digits),
        DataType::UInt8 => inexact_in::<UInt8Type>(values.as_primitive(), digits),
        DataType::UInt16 => inexact_in::<UInt16Type>(values.as_primitive(), digits),
        DataType::UInt32 => inexact_in::<UInt32Type>(values.as_primitive(), digits),
        DataType::UInt64 => inexact_in::<UInt64Type>(values.as_primitive(), digits),
        _ => Vec::new(),
    }
}

fn inexact_in<T: ArrowNumericType>(values: &PrimitiveArray<T>, digits: u32) -> Vec<usize>
where
    T::Native: Into<i128>,
{
    let is_exact = |value: T::Native| {
        let magnitude = value.into().unsigned_abs();
        // From the highest binary digit to the lowest that is not 0.
        magnitude == 0 || magnitude.ilog2() + 1 - magnitude.trailing_zeros() <= digits
    };
    let all = -(1_i128 << digits)..=1_i128 << digits;
    let ends = [min(values), max(values)].map(|end| end.is_none_or(|end| all.contains(&end.into())));
    // The common case, told several values at a time.
    if ends == [true, true] {
        return Vec::new();
    }
    let valid = (0..values.len()).filter(|&position| values.is_valid(position));
    valid.filter(|&position| !is_exact(values.value(position))).collect()
}

/// Positions of the floats that are others with so many binary digits.
pub(super) fn inexact_floats(values: &Float64Array, digits: u32) -> Vec<usize> {
    let is_exact = |value: f64| {
        // One digit stands before the point and is not written; 52 stand behind it.
        let fraction = value.to_bits() & ((1 << 52) - 1);
        fraction == 0 || 53 - fraction.trailing_zeros() <= digits
    };
    let valid = (0..values.len()).filter(|&position| values.is_valid(position));
    valid.filter(|&position| !is_exact(values.value(position))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, UInt64Array};

    use super::*;

    #[test]
    fn an_integer_is_exact_where_its_digits_fit() {
        let power = 1_i64 << 24;
        let values: ArrayRef = Arc::new(Int64Array::from(vec![
            Some(0),
            Some(power),
            Some(power + 1),
            Some(-power - 1),
            None,
            Some(power + 2),
            Some(i64::MIN),
            Some(i64::MAX),
        ]));
        assert_eq!(inexact(&values, 24), [2, 3, 7]);
        assert_eq!(inexact(&values, 53), [7]);
        let values: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1 << 63, 3]));
        assert_eq!(inexact(&values, 53), [0]);
    }

    #[test]
    fn integers_agree_with_what_a_cast_gives() {
        let values: Vec<i64> = (0..63)
            .flat_map(|bit| (-3..=3).map(move |more| (1_i64 << bit) + more))
            .collect();
        let column: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        let expected = |to: fn(i64) -> i128| -> Vec<usize> {
            (0..values.len())
                .filter(|&at| to(values[at]) != i128::from(values[at]))
                .collect()
        };
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "as above")]
        let (single, double) = (
            expected(|value| value as f32 as i128),
            expected(|value| value as f64 as i128),
        );
        assert_eq!(inexact(&column, 24), single);
        assert_eq!(inexact(&column, 53), double);
    }

    #[test]
    fn a_float_is_exact_where_its_digits_fit() {
        let values = Float64Array::from(vec![0.5, 1_763_510_400.0, 16_777_217.0, 0.1, -0.0, 3.0]);
        // 1,763,510,400 is 13,777,425 times 128.
        assert_eq!(inexact_floats(&values, 24), [2, 3]);
        assert!(inexact_floats(&values, 53).is_empty());
    }
}
