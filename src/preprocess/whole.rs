//! Numeric features in tensors of integers: each value is an integer that the tensor holds, or it does not fit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;

use super::column::number;
use super::exact;
use super::scale::Scale;
use crate::contract::{Input, Numeric, TensorType};

/// 2^63: the least float that 64 bits of an integer do not hold. Its negative they do hold.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;

/// How a numeric feature becomes integers.
#[derive(Debug)]
pub(super) struct Whole {
    numeric: Numeric,
    /// The narrowest of the tensors of integers that take it.
    pub(super) narrowest: TensorType,
}

impl Whole {
    /// `None` where no tensor of integers takes the feature.
    pub(super) fn of(numeric: &Numeric, taking: &[&Input]) -> Option<Self> {
        let types = taking.iter().map(|input| input.dtype);
        let narrowest = types
            .filter(|dtype| dtype.is_integer())
            .min_by_key(|dtype| dtype.bytes())?;
        Some(Self {
            numeric: numeric.clone(),
            narrowest,
        })
    }

    /// The values after the contract's arithmetic. One that is no integer of the tensor's type is an error, or a null where casts are lenient.
    pub(super) fn values(&self, column: &ArrayRef, options: &CastOptions) -> Result<Int64Array, ArrowError> {
        let integers = if self.as_they_are(column) {
            // Through a float, those above 2^53 would become others.
            number(column, self.numeric.cast, &DataType::Int64, options)?
        } else {
            let doubles = number(column, self.numeric.cast, &DataType::Float64, options)?;
            self.computed(doubles.as_primitive(), options)?
        };
        let narrow = self.narrowest.arrow().unwrap_or(DataType::Int64);
        let integers = cast_with_options(&integers, &narrow, options)?;
        let integers = cast_with_options(&integers, &DataType::Int64, options)?;
        Ok(integers.as_primitive::<Int64Type>().clone())
    }

    /// What stands for a null; `None` where that is no integer of the tensor's type.
    pub(super) fn imputed(&self) -> Option<i64> {
        let scale = Scale::<f64>::of(&self.numeric);
        let integer = integer(scale.imputed(f64::ln_1p))?;
        let most = self.narrowest.exact_integers();
        (-most - 1..=most).contains(&integer).then_some(integer)
    }

    /// Rows with an integer of which the arithmetic makes another; where nothing is computed, none.
    pub(super) fn inexact(&self, column: &ArrayRef) -> Vec<usize> {
        match TensorType::Float64.digits() {
            Some(digits) if !self.numeric.is_plain() => exact::inexact(column, digits),
            _ => Vec::new(),
        }
    }

    /// Whether a column holds integers, or instants that are cast to whole units, with which nothing is computed.
    fn as_they_are(&self, column: &ArrayRef) -> bool {
        let of_integers = column.data_type().is_integer() || column.data_type() == &DataType::Boolean;
        self.numeric.is_plain() && (of_integers || self.numeric.is_instant())
    }

    fn computed(&self, doubles: &Float64Array, options: &CastOptions) -> Result<ArrayRef, ArrowError> {
        let scale = Scale::<f64>::of(&self.numeric);
        let integers: Int64Array = doubles.unary_opt(|value| integer(scale.compute(value)));
        if !options.safe && integers.null_count() > doubles.null_count() {
            let text = format!("a value is no integer that {} holds", self.narrowest);
            return Err(ArrowError::CastError(text));
        }
        Ok(Arc::new(integers))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "it has no fraction and is within 64 bits"
)]
fn integer(value: f64) -> Option<i64> {
    let fits = value.fract() == 0.0 && (-BEYOND..BEYOND).contains(&value);
    fits.then_some(value as i64)
}
