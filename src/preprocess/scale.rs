//! A numeric feature's arithmetic on single values.

use std::ops::{Mul, Sub};

use crate::contract::Numeric;

/// A numeric feature's constants in the precision of its arithmetic.
pub(super) struct Scale<F> {
    impute: F,
    pub(super) log1p: bool,
    mean: F,
    factor: F,
    low: F,
    high: F,
}

impl Scale<f64> {
    pub(super) fn of(numeric: &Numeric) -> Self {
        let [low, high] = numeric.clip.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        Self {
            impute: numeric.fill_value(),
            log1p: numeric.log1p,
            mean: numeric.mean.unwrap_or(0.0),
            factor: 1.0 / numeric.std.unwrap_or(1.0),
            low,
            high,
        }
    }

    /// The contract's arithmetic, all of it, on a value that is there.
    pub(super) fn compute(&self, value: f64) -> f64 {
        self.apply(if self.log1p { value.ln_1p() } else { value })
    }
}

impl Scale<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "the contract's arithmetic is in float32")]
    pub(super) fn of(numeric: &Numeric) -> Self {
        let double = Scale::<f64>::of(numeric);
        Self {
            impute: double.impute as f32,
            log1p: double.log1p,
            mean: double.mean as f32,
            factor: double.factor as f32,
            low: double.low as f32,
            high: double.high as f32,
        }
    }
}

impl<F> Scale<F>
where
    F: Copy + PartialOrd + Sub<Output = F> + Mul<Output = F>,
{
    /// What stands for a null.
    pub(super) fn imputed(&self, ln_1p: impl Fn(F) -> F) -> F {
        self.apply(if self.log1p { ln_1p(self.impute) } else { self.impute })
    }

    /// The contract's arithmetic after the logarithm. NaN passes through, since it compares with nothing.
    #[inline]
    pub(super) fn apply(&self, value: F) -> F {
        let value = (value - self.mean) * self.factor;
        if value < self.low {
            self.low
        } else if value > self.high {
            self.high
        } else {
            value
        }
    }
}
