//! Judges single numbers: finite, and within what a tensor holds.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type};
use half::f16;

use crate::spec::Reason;

/// What is wrong with each row of a column of floats; `None` when no value of it is beyond the magnitude that its tensors hold.
pub(super) fn beyond(column: &ArrayRef, greatest: f64) -> Option<Box<dyn Fn(usize) -> Option<Reason>>> {
    match column.data_type() {
        DataType::Float16 => beyond_in::<Float16Type>(column, greatest),
        DataType::Float32 => beyond_in::<Float32Type>(column, greatest),
        DataType::Float64 => beyond_in::<Float64Type>(column, greatest),
        _ => None,
    }
}

fn beyond_in<T: ArrowPrimitiveType>(column: &ArrayRef, greatest: f64) -> Option<Box<dyn Fn(usize) -> Option<Reason>>>
where
    T::Native: Float,
{
    let values = column.as_primitive::<T>().values().clone();
    let greatest = T::Native::nearest(greatest);
    if all_within(&values, greatest) {
        return None;
    }
    Some(Box::new(move |row| fault(values[row], greatest)))
}

/// Whether a column is of floats that are all greater; what stands in the place of a null counts, too.
pub(super) fn all_above(column: &ArrayRef, least: f32) -> bool {
    match column.data_type() {
        DataType::Float32 => all(column.as_primitive::<Float32Type>().values(), |value| value > least),
        DataType::Float64 => {
            let least = f64::from(least);
            all(column.as_primitive::<Float64Type>().values(), |value| value > least)
        }
        _ => false,
    }
}

/// Whether something holds for all; without a branch a value, so that the compiler can do several at a time.
fn all<T: Copy>(values: &[T], holds: impl Fn(T) -> bool) -> bool {
    values.iter().fold(true, |all, &value| all & holds(value))
}

/// The worst that is wrong with any of some elements.
pub(super) fn worst(elements: &ArrayRef, greatest: f64) -> Option<Reason> {
    match elements.data_type() {
        DataType::Float16 => worst_in(elements.as_primitive::<Float16Type>(), greatest),
        DataType::Float32 => worst_in(elements.as_primitive::<Float32Type>(), greatest),
        DataType::Float64 => worst_in(elements.as_primitive::<Float64Type>(), greatest),
        _ => None,
    }
}

fn worst_in<T: ArrowPrimitiveType>(elements: &PrimitiveArray<T>, greatest: f64) -> Option<Reason>
where
    T::Native: Float,
{
    let greatest = T::Native::nearest(greatest);
    let values = elements.values();
    if all_within(values, greatest) {
        return None;
    }
    // What stands in the place of a null is no value.
    let faults = (0..values.len()).filter(|&position| elements.is_valid(position));
    let faults = faults.filter_map(|position| fault(values[position], greatest));
    faults.min_by_key(|reason| match reason {
        Reason::NanFeature => 0,
        Reason::InfFeature => 1,
        _ => 2,
    })
}

/// Positions whose value is infinite or not a number.
pub(super) fn not_finite(values: &ArrayRef) -> Vec<usize> {
    match values.data_type() {
        DataType::Float16 => not_finite_in::<Float16Type>(values),
        DataType::Float32 => not_finite_in::<Float32Type>(values),
        DataType::Float64 => not_finite_in::<Float64Type>(values),
        _ => Vec::new(),
    }
}

fn not_finite_in<T: ArrowPrimitiveType>(values: &ArrayRef) -> Vec<usize>
where
    T::Native: Float,
{
    let values = values.as_primitive::<T>().values();
    let greatest = T::Native::nearest(f64::MAX);
    if all_within(values, greatest) {
        return Vec::new();
    }
    (0..values.len())
        .filter(|&position| !values[position].is_within(greatest))
        .collect()
}

fn all_within<F: Float>(values: &[F], greatest: F) -> bool {
    all(values, |value| value.is_within(greatest))
}

fn fault<F: Float>(value: F, greatest: F) -> Option<Reason> {
    if value.is_within(greatest) {
        None
    } else if value.is_nan() {
        Some(Reason::NanFeature)
    } else if value.is_infinite() {
        Some(Reason::InfFeature)
    } else {
        Some(Reason::CastOverflow)
    }
}

/// What the float types have in common here.
pub(super) trait Float: Copy + 'static {
    /// The nearest finite number of the type.
    fn nearest(value: f64) -> Self;
    /// Finite, and of no greater magnitude.
    fn is_within(self, greatest: Self) -> bool;
    /// Not a number.
    fn is_nan(self) -> bool;
    /// Infinite.
    fn is_infinite(self) -> bool;
}

macro_rules! float {
    ($native:ty, $nearest:expr) => {
        impl Float for $native {
            #[inline]
            fn nearest(value: f64) -> Self {
                let nearest: fn(f64) -> Self = $nearest;
                nearest(value.min(f64::from(Self::MAX)))
            }
            #[inline]
            fn is_within(self, greatest: Self) -> bool {
                // False of what is not a number.
                self <= greatest && self >= -greatest
            }
            #[inline]
            fn is_nan(self) -> bool {
                <$native>::is_nan(self)
            }
            #[inline]
            fn is_infinite(self) -> bool {
                <$native>::is_infinite(self)
            }
        }
    };
}

float!(f16, f16::from_f64);
float!(f32, |value| {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is no greater than the greatest float32"
    )]
    let nearest = value as f32;
    nearest
});
float!(f64, |value| value);
