//! How far the results of two runs are from one another.

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

/// Greatest difference between two arrays; infinite where only one of them has a number.
pub(super) fn furthest(one: &ArrayRef, other: &ArrayRef) -> f64 {
    let (Some(one), Some(other)) = (doubles(one), doubles(other)) else {
        return f64::INFINITY;
    };
    let pairs = one.values().iter().zip(other.values());
    let difference = |(one, other): (&f64, &f64)| match (one.is_nan(), other.is_nan()) {
        (true, true) => 0.0,
        (false, false) => (one - other).abs(),
        _ => f64::INFINITY,
    };
    pairs.map(difference).fold(0.0, f64::max)
}

/// Greatest magnitude of the finite values of an array, and at least 1.
pub(super) fn magnitude(array: &ArrayRef) -> f64 {
    let values = doubles(array);
    let values = values.iter().flat_map(|values| values.values().iter());
    values
        .filter(|value| value.is_finite())
        .fold(1.0, |most, value| most.max(value.abs()))
}

fn doubles(array: &ArrayRef) -> Option<Float64Array> {
    let values = cast(array, &DataType::Float64).ok()?;
    Some(values.as_primitive::<Float64Type>().clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn infinity_is_far_from_every_number_and_widens_no_tolerance() {
        let array = |values: [f64; 2]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
        let infinite = array([f64::INFINITY, 3.0]);
        assert!(furthest(&infinite, &infinite) <= 0.0);
        assert!(furthest(&infinite, &array([1.0, 3.0])).is_infinite());
        assert!(furthest(&array([f64::NAN, 3.0]), &array([1.0, 3.0])).is_infinite());
        assert!((magnitude(&infinite) - 3.0).abs() < f64::EPSILON);
    }
}
