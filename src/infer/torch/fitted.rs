//! A model's result as the output that the contract says it is: of its extents, activated, of its type.

use tch::{Kind, TchError, Tensor};

use super::kind;
use super::results::Failure;
use crate::contract::{Activation, Output, TensorType};

/// A result as an output, `[rows, values a row]`.
pub(super) fn fitted(tensor: &Tensor, output: &Output, rows: i64) -> Result<Tensor, Failure> {
    let size = tensor.size();
    if !has_extents(&size, &output.shape, rows) {
        return Err(Failure::Output {
            output: output.column.clone(),
            expected: format!("shape {:?} for {rows} rows", output.shape),
            found: format!("shape {size:?}"),
        });
    }
    let refused = |found: String| Failure::Output {
        output: output.column.clone(),
        expected: output.dtype.to_string(),
        found,
    };
    let holds = |returned: Kind| {
        if loses(returned, kind(output.dtype)) {
            return Err(refused(format!("{returned:?}, whose values that type cannot hold")));
        }
        Ok(())
    };
    // Activations are of real numbers.
    if is_complex(tensor.f_kind()?) {
        holds(tensor.f_kind()?)?;
    }
    let mut extents = output.shape.clone();
    extents[0] = rows;
    let tensor = activated(tensor.f_reshape(&extents)?, output)?;
    let tensor = tensor.f_reshape([rows, i64::try_from(output.width()).unwrap_or(i64::MAX)])?;
    let returned = tensor.f_kind()?;
    holds(returned)?;
    // A bool result becomes 0 and 1, and only 0 and 1 become a bool.
    let converted = if output.dtype == TensorType::Bool {
        tensor.f_to_kind(Kind::Bool)?
    } else {
        tensor.f_to_kind(kind(output.dtype.host()))?
    };
    if let Some(value) = changed(&tensor, &converted, output.dtype)? {
        let text = format!("{returned:?}, of which it does not hold {value}");
        return Err(refused(text));
    }
    Ok(converted.f_to_kind(kind(output.dtype.host()))?)
}

/// Whether a result has the extents that the contract states, one by one. Extents of 1 hold nothing apart, and of a single row a model that
/// ends in `squeeze()` returns no extent for the rows.
fn has_extents(size: &[i64], shape: &[i64], rows: i64) -> bool {
    let apart = |extents: &[i64]| -> Vec<i64> { extents.iter().copied().filter(|&extent| extent != 1).collect() };
    let expected = apart(shape.get(1..).unwrap_or_default());
    match size.split_first() {
        Some((first, rest)) if *first == rows => apart(rest) == expected,
        _ => rows == 1 && apart(size) == expected,
    }
}

/// The first value that a conversion has made another, of those for which the types alone do not tell. Rounding of floats is no change.
fn changed(before: &Tensor, after: &Tensor, dtype: TensorType) -> Result<Option<f64>, TchError> {
    let returned = before.f_kind()?;
    if returned == Kind::Bool || !(dtype == TensorType::Bool || is_integer(returned) && dtype.digits().is_some()) {
        return Ok(None);
    }
    // A float beyond all integers may become any of them on the way back.
    let back = after.f_to_kind(returned)?;
    let same = back.f_eq_tensor(before)?;
    let same = if is_integer(returned) && dtype != TensorType::Bool {
        let double = after.f_to_kind(Kind::Double)?;
        let beyond = 9_223_372_036_854_775_808.0;
        let within = double.f_lt(beyond)?.f_logical_and(&double.f_ge(-beyond)?)?;
        same.f_logical_and(&within)?
    } else {
        same
    };
    if same.f_all()?.f_int64_value(&[])? != 0 {
        return Ok(None);
    }
    let place = same
        .f_logical_not()?
        .f_reshape([-1])?
        .f_to_kind(Kind::Int)?
        .f_argmax(0, false)?;
    let place = place.f_int64_value(&[])?;
    before.f_reshape([-1])?.f_double_value(&[place]).map(Some)
}

fn activated(tensor: Tensor, output: &Output) -> Result<Tensor, TchError> {
    if output.activation == Activation::Identity {
        return Ok(tensor);
    }
    // Half precision would lose digits that the result of the model still has.
    let tensor = match tensor.f_kind()? {
        Kind::Float | Kind::Double => tensor,
        _ => tensor.f_to_kind(Kind::Float)?,
    };
    match output.activation {
        Activation::Identity => Ok(tensor),
        Activation::Sigmoid => tensor.f_sigmoid(),
        Activation::Softmax => tensor.f_softmax(output.axis.unwrap_or(-1), None),
        Activation::Exp => tensor.f_exp(),
        Activation::Tanh => tensor.f_tanh(),
    }
}

fn is_integer(kind: Kind) -> bool {
    matches!(kind, Kind::Int8 | Kind::Uint8 | Kind::Int16 | Kind::Int | Kind::Int64)
}

/// Whether values would be other values afterwards by their types alone: rounding of floats is none, and integers may fit into floats.
fn loses(from: Kind, to: Kind) -> bool {
    let bits = |kind| match kind {
        Kind::Int8 | Kind::Uint8 => 8,
        Kind::Int16 => 16,
        Kind::Int => 32,
        Kind::Int64 => 64,
        _ => 0,
    };
    let sign = |kind| kind != Kind::Uint8;
    match (from, to) {
        (from, _) if is_complex(from) => true,
        (_, Kind::Bool) | (Kind::Bool, _) => false,
        (from, to) if is_integer(from) && is_integer(to) => {
            bits(from) > bits(to) || (bits(from) == bits(to) && sign(from) != sign(to)) || (sign(from) && !sign(to))
        }
        (from, to) => !is_integer(from) && is_integer(to),
    }
}

/// Complex numbers would lose their imaginary parts: no type of an output holds them.
fn is_complex(kind: Kind) -> bool {
    matches!(kind, Kind::ComplexHalf | Kind::ComplexFloat | Kind::ComplexDouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: [TensorType; 3] = [TensorType::Float16, TensorType::Float32, TensorType::Float64];
    const INTEGERS: [TensorType; 5] = [
        TensorType::Uint8,
        TensorType::Int8,
        TensorType::Int16,
        TensorType::Int32,
        TensorType::Int64,
    ];

    fn output(dtype: TensorType, shape: &[i64]) -> Output {
        Output {
            result: None,
            column: "y".to_owned(),
            columns: None,
            dtype,
            shape: shape.to_vec(),
            activation: Activation::Identity,
            axis: None,
        }
    }

    /// What becomes of some integers that the model returns in a type of its own.
    fn returned(values: &[i64], by: Kind, dtype: TensorType) -> Result<Vec<f64>, String> {
        let tensor = Tensor::from_slice(values).f_to_kind(by).unwrap();
        let rows = i64::try_from(values.len()).unwrap();
        said(fitted(&tensor, &output(dtype, &[-1]), rows))
    }

    fn said(fitted: Result<Tensor, Failure>) -> Result<Vec<f64>, String> {
        match fitted {
            Ok(tensor) => Ok(Vec::try_from(tensor.f_to_kind(Kind::Double).unwrap().f_reshape([-1]).unwrap()).unwrap()),
            Err(Failure::Output { found, .. }) => Err(found),
            Err(Failure::Torch(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn integers_become_floats_where_these_hold_them() {
        for (dtype, digits) in FLOATS.map(|dtype| (dtype, dtype.digits().unwrap())) {
            let greatest = 1_i64 << digits;
            for by in [Kind::Int64, Kind::Int, Kind::Int16] {
                let fits = |value: i64| by == Kind::Int64 || value < 1 << 31 && by == Kind::Int || value < 1 << 15;
                if !fits(greatest + 1) {
                    continue;
                }
                let held = returned(&[0, greatest, -greatest], by, dtype).unwrap();
                #[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
                let expected = [0.0, greatest as f64, -greatest as f64];
                assert_eq!(held, expected, "{by:?} {dtype}");
                let refused = returned(&[0, greatest + 1], by, dtype).unwrap_err();
                assert!(
                    refused.contains(&format!("does not hold {}", greatest + 1)) || digits == 53,
                    "{refused}"
                );
            }
        }
        for value in [i64::MAX, i64::MAX - 1] {
            returned(&[1, value], Kind::Int64, TensorType::Float64).unwrap_err();
        }
        returned(&[i64::MIN], Kind::Int64, TensorType::Float64).unwrap();
        returned(&[100_000], Kind::Int, TensorType::Float16).unwrap_err();
    }

    #[test]
    fn floats_are_no_integers_and_narrow_integers_hold_no_wide_ones() {
        for by in [Kind::Half, Kind::Float, Kind::Double, Kind::BFloat16] {
            for dtype in INTEGERS {
                returned(&[1], by, dtype).unwrap_err();
            }
            for dtype in FLOATS {
                assert_eq!(returned(&[1, 0], by, dtype), Ok(vec![1.0, 0.0]));
            }
        }
        let widths = [(Kind::Int8, 8), (Kind::Int16, 16), (Kind::Int, 32), (Kind::Int64, 64)];
        for (by, bits) in widths {
            for dtype in [
                TensorType::Int8,
                TensorType::Int16,
                TensorType::Int32,
                TensorType::Int64,
            ] {
                assert_eq!(
                    returned(&[-3], by, dtype).is_ok(),
                    dtype.bytes() * 8 >= bits,
                    "{by:?} {dtype}"
                );
            }
            returned(&[3], by, TensorType::Uint8).unwrap_err();
            returned(&[3], Kind::Uint8, TensorType::Int8).unwrap_err();
        }
        assert_eq!(returned(&[255], Kind::Uint8, TensorType::Int16), Ok(vec![255.0]));
    }

    #[test]
    fn a_bool_holds_0_and_1() {
        for by in [
            Kind::Bool,
            Kind::Uint8,
            Kind::Int8,
            Kind::Int64,
            Kind::Float,
            Kind::Double,
            Kind::Half,
        ] {
            assert_eq!(returned(&[0, 1], by, TensorType::Bool), Ok(vec![0.0, 1.0]), "{by:?}");
            if by != Kind::Bool {
                let refused = returned(&[0, 2], by, TensorType::Bool).unwrap_err();
                assert!(refused.contains("does not hold 2"), "{refused}");
            }
        }
        for dtype in [&FLOATS[..], &INTEGERS[..]].concat() {
            assert_eq!(returned(&[0, 1], Kind::Bool, dtype), Ok(vec![0.0, 1.0]), "{dtype}");
        }
        let half = Tensor::from_slice(&[0.5_f32]);
        said(fitted(&half, &output(TensorType::Bool, &[-1]), 1)).unwrap_err();
    }

    #[test]
    fn extents_are_compared_one_by_one() {
        let fits = |size: &[i64], shape: &[i64], rows| {
            let tensor = Tensor::zeros(size, (Kind::Float, tch::Device::Cpu));
            said(fitted(&tensor, &output(TensorType::Float32, shape), rows)).is_ok()
        };
        for (size, shape) in [
            (&[3][..], &[-1][..]),
            (&[3, 1], &[-1]),
            (&[3], &[-1, 1]),
            (&[3, 8], &[-1, 8]),
            (&[3, 1, 8], &[-1, 8]),
            (&[3, 2, 4], &[-1, 2, 4]),
        ] {
            assert!(fits(size, shape, 3), "{size:?} {shape:?}");
        }
        for (size, shape) in [
            (&[3, 2, 4][..], &[-1, 8][..]),
            (&[3, 2, 4], &[-1, 4, 2]),
            (&[3, 8], &[-1, 2, 4]),
            (&[8, 3], &[-1, 8]),
            (&[1, 3], &[-1]),
            (&[24], &[-1, 8]),
            (&[2], &[-1]),
        ] {
            assert!(!fits(size, shape, 3), "{size:?} {shape:?}");
        }
        assert!(fits(&[], &[-1], 1));
        assert!(fits(&[8], &[-1, 8], 1));
        assert!(fits(&[1, 8], &[-1, 8], 1));
        assert!(!fits(&[2, 4], &[-1, 8], 1));
    }

    #[test]
    fn softmax_is_over_the_axis_that_the_contract_states() {
        let tensor = Tensor::from_slice(&[0.0_f32, 1.0, 2.0, 3.0, 0.0, 5.0])
            .f_reshape([1, 2, 3])
            .unwrap();
        let sums = |axis: Option<i64>| -> Vec<f64> {
            let softmax = Output {
                activation: Activation::Softmax,
                axis,
                ..output(TensorType::Float64, &[-1, 2, 3])
            };
            let found = said(fitted(&tensor, &softmax, 1)).unwrap();
            match axis {
                Some(1) => (0..3).map(|column| found[column] + found[column + 3]).collect(),
                _ => found.chunks(3).map(|row| row.iter().sum()).collect(),
            }
        };
        for axis in [None, Some(-1), Some(2), Some(1)] {
            for sum in sums(axis) {
                assert!((sum - 1.0).abs() < 1e-6, "{axis:?}: {sum}");
            }
        }
    }
}
