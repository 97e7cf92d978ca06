//! One feature's column made ready for filling tensors: cast, looked up or cut into tokens, once per chunk.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, Int64Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, unary};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;

use super::tokens::{Document, Padding, Tokens};
use super::vocabulary::{Codes, Lookup};
use super::whole::Whole;
use super::{PreprocessError, SideFiles, exact};
use crate::batch::{STRICT_CAST, StandIns};
use crate::contract::{Cast, Feature, Input, Numeric, TensorType};

/// How one feature's column is made ready, with its constants and tables.
#[derive(Debug)]
pub(super) enum Encoder {
    /// The digits are those that are kept of an integer.
    Numeric(Numeric, Precision, u32),
    /// A numeric feature in tensors of integers.
    Whole(Whole),
    Categorical(Lookup),
    Text(Box<Tokens>),
    Vector(TensorType),
    Raw(TensorType),
}

/// Precision of a numeric feature's arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    Single,
    Double,
}

/// A column made ready.
#[derive(Debug)]
pub(super) enum Column {
    /// Numbers before the contract's arithmetic.
    Single(Float32Array, Numeric),
    Double(Float64Array, Numeric),
    /// Integers after the contract's arithmetic, and what stands for a null.
    Whole(Int64Array, i64),
    /// Positions in a vocabulary, and how many values are not in it.
    Codes(Codes, usize),
    /// Tokens of each document, and how shorter ones are filled up.
    Tokens(Vec<Document>, Padding),
    /// Elements of the tensor's type as they are, `width` a row.
    Plain(ArrayRef, usize),
}

impl Encoder {
    pub(super) fn new(feature: &Feature, taking: &[&Input], files: &SideFiles) -> Result<Self, PreprocessError> {
        Ok(match feature {
            Feature::Numeric(numeric) => match Whole::of(numeric, taking) {
                Some(whole) if whole.imputed().is_none() => {
                    return Err(PreprocessError::Misfit {
                        feature: numeric.name.clone(),
                        reason: format!("what stands for a null is no integer that {} holds", whole.narrowest),
                    });
                }
                Some(whole) => Self::Whole(whole),
                None => {
                    let precision = precision(numeric, taking);
                    Self::Numeric(numeric.clone(), precision, digits(numeric, precision, taking))
                }
            },
            Feature::Categorical(categorical) => {
                let lookup = Lookup::new(categorical, files)?;
                let greatest = lookup.greatest();
                if let Some(input) = taking.iter().find(|input| input.dtype.exact_integers() < greatest) {
                    return Err(PreprocessError::Misfit {
                        feature: categorical.name.clone(),
                        reason: format!(
                            "it has positions up to {greatest}, and the {} tensor `{}` holds integers up to {}",
                            input.dtype,
                            input.name,
                            input.dtype.exact_integers()
                        ),
                    });
                }
                Self::Categorical(lookup)
            }
            Feature::Text(text) => Self::Text(Box::new(Tokens::new(text, files)?)),
            Feature::Vector(_) => Self::Vector(tensor_type(taking)),
            Feature::Raw(_) => Self::Raw(tensor_type(taking)),
        })
    }

    /// Makes a column ready. It holds no bad rows any more.
    pub(super) fn encode(&self, name: &str, column: &ArrayRef) -> Result<Column, PreprocessError> {
        let failed = |source| PreprocessError::Column {
            feature: name.to_owned(),
            source,
        };
        match self {
            Self::Numeric(numeric, Precision::Single, _) => {
                let values = number(column, numeric.cast, &DataType::Float32, &STRICT_CAST).map_err(failed)?;
                Ok(Column::Single(
                    values.as_primitive::<Float32Type>().clone(),
                    numeric.clone(),
                ))
            }
            Self::Numeric(numeric, Precision::Double, _) => {
                let values = number(column, numeric.cast, &DataType::Float64, &STRICT_CAST).map_err(failed)?;
                Ok(Column::Double(
                    values.as_primitive::<Float64Type>().clone(),
                    numeric.clone(),
                ))
            }
            Self::Whole(whole) => {
                let values = whole.values(column, &STRICT_CAST).map_err(failed)?;
                Ok(Column::Whole(values, whole.imputed().unwrap_or(0)))
            }
            Self::Categorical(lookup) => {
                let (codes, unknown) = lookup.codes(column).map_err(failed)?;
                Ok(Column::Codes(codes, unknown))
            }
            Self::Text(tokens) => tokens.cut(name, column),
            Self::Vector(dtype) => {
                let (values, width) = elements(column);
                plain(&values, *dtype, &STRICT_CAST)
                    .map(|values| Column::Plain(values, width))
                    .map_err(failed)
            }
            Self::Raw(dtype) => plain(column, *dtype, &STRICT_CAST)
                .map(|values| Column::Plain(values, 1))
                .map_err(failed),
        }
    }
}

impl Encoder {
    /// Rows whose value does not fit the type in which the model takes it.
    pub(super) fn overflowing(&self, column: &ArrayRef) -> Result<Vec<usize>, ArrowError> {
        let (values, width, cast) = match self {
            Self::Numeric(numeric, Precision::Single, _) => {
                let cast = number(column, numeric.cast, &DataType::Float32, &LENIENT)?;
                (Arc::clone(column), 1, cast)
            }
            Self::Numeric(numeric, Precision::Double, _) => {
                let cast = number(column, numeric.cast, &DataType::Float64, &LENIENT)?;
                (Arc::clone(column), 1, cast)
            }
            Self::Whole(whole) => {
                let cast: ArrayRef = Arc::new(whole.values(column, &LENIENT)?);
                (Arc::clone(column), 1, cast)
            }
            Self::Vector(dtype) => {
                let (values, width) = elements(column);
                let cast = plain(&values, *dtype, &LENIENT)?;
                (values, width, cast)
            }
            Self::Raw(dtype) => (Arc::clone(column), 1, plain(column, *dtype, &LENIENT)?),
            Self::Categorical(_) | Self::Text(_) => return Ok(Vec::new()),
        };
        let positions = (0..values.len()).filter(|&position| values.is_valid(position) && cast.is_null(position));
        let mut rows: Vec<_> = positions.map(|position| position / width.max(1)).collect();
        rows.dedup();
        Ok(rows)
    }

    /// What stands for values of a column and was encoded so.
    pub(super) fn stand_ins(&self, column: &ArrayRef, encoded: &Column) -> Result<StandIns, ArrowError> {
        let unknown = match encoded {
            Column::Codes(_, unknown) => *unknown,
            _ => 0,
        };
        Ok(StandIns {
            unknown: unknown as u64,
            imputed: column.logical_null_count() as u64,
            precision_loss: self.inexact(column)?.len() as u64,
        })
    }

    /// Rows with an integer of which the arithmetic or the tensor makes another.
    pub(super) fn inexact(&self, column: &ArrayRef) -> Result<Vec<usize>, ArrowError> {
        match self {
            Self::Numeric(numeric, _, digits) => match numeric.cast {
                None => Ok(exact::inexact(column, *digits)),
                // Standardised, an instant is no integer any more.
                Some(Cast::EpochSeconds | Cast::EpochMillis) if !numeric.is_plain() => Ok(Vec::new()),
                Some(Cast::EpochSeconds | Cast::EpochMillis) => {
                    let instants = number(column, numeric.cast, &DataType::Float64, &LENIENT)?;
                    Ok(exact::inexact_floats(instants.as_primitive(), *digits))
                }
                Some(Cast::EpochDays) => {
                    let days = number(column, numeric.cast, &DataType::Int64, &LENIENT)?;
                    Ok(exact::inexact(&days, *digits))
                }
                // The nearest float is what the contract asks for.
                Some(Cast::Float) => Ok(Vec::new()),
            },
            Self::Whole(whole) => Ok(whole.inexact(column)),
            Self::Raw(dtype) => match dtype.digits() {
                Some(digits) => Ok(exact::inexact(&as_number(column, &LENIENT)?, digits)),
                None => Ok(Vec::new()),
            },
            Self::Vector(dtype) => {
                let (values, width) = elements(column);
                let positions = dtype
                    .digits()
                    .map_or_else(Vec::new, |digits| exact::inexact(&values, digits));
                let mut rows: Vec<_> = positions.into_iter().map(|position| position / width.max(1)).collect();
                rows.dedup();
                Ok(rows)
            }
            Self::Categorical(_) | Self::Text(_) => Ok(Vec::new()),
        }
    }

    /// Rows whose category is not in the vocabulary; a null is none.
    pub(super) fn unknown(&self, column: &ArrayRef) -> Result<Vec<usize>, ArrowError> {
        match self {
            Self::Categorical(lookup) => lookup.unknown(column),
            _ => Ok(Vec::new()),
        }
    }
}

impl Column {
    /// The documents of a column of documents.
    pub(super) fn documents(&self) -> Option<&[Document]> {
        match self {
            Self::Tokens(documents, _) => Some(documents),
            _ => None,
        }
    }
}

/// Double where a tensor holds more digits than a float32, and where a time would lose its seconds in one.
fn precision(numeric: &Numeric, taking: &[&Input]) -> Precision {
    let wide = taking
        .iter()
        .map(|input| input.dtype)
        .any(|dtype| dtype == TensorType::Float64);
    let time = matches!(numeric.cast, Some(Cast::EpochSeconds | Cast::EpochMillis));
    if wide || time {
        Precision::Double
    } else {
        Precision::Single
    }
}

/// Binary digits that are kept of an integer: those of the arithmetic, and where nothing is computed also those of the tensors.
fn digits(numeric: &Numeric, precision: Precision, taking: &[&Input]) -> u32 {
    let arithmetic = match precision {
        Precision::Single => TensorType::Float32,
        Precision::Double => TensorType::Float64,
    };
    let tensors = taking.iter().map(|input| input.dtype).filter(|_| numeric.is_plain());
    let digits = tensors.chain([arithmetic]).filter_map(TensorType::digits);
    digits.min().unwrap_or(u32::MAX)
}

/// Type of the tensors that take a vector or raw feature: the contract's check sees that it is one.
fn tensor_type(taking: &[&Input]) -> TensorType {
    taking.first().map_or(TensorType::Float32, |input| input.dtype)
}

/// Overflow becomes a null, which is how the rows are found that overflow.
pub(super) const LENIENT: CastOptions = CastOptions {
    safe: true,
    format_options: arrow::util::display::FormatOptions::new(),
};

pub(super) fn number(
    column: &ArrayRef,
    cast: Option<Cast>,
    to: &DataType,
    options: &CastOptions,
) -> Result<ArrayRef, ArrowError> {
    match cast {
        // Whole units, downwards.
        Some(Cast::EpochSeconds) if to == &DataType::Int64 => {
            let seconds: Int64Array = unary(&micros(column, options)?, |stamp| stamp.div_euclid(1_000_000));
            Ok(Arc::new(seconds))
        }
        Some(Cast::EpochMillis) if to == &DataType::Int64 => {
            let millis: Int64Array = unary(&micros(column, options)?, |stamp| stamp.div_euclid(1_000));
            Ok(Arc::new(millis))
        }
        Some(Cast::EpochSeconds) => {
            let seconds: Float64Array = unary(&micros(column, options)?, |stamp| as_double(stamp) / 1e6);
            cast_with_options(&seconds, to, options)
        }
        Some(Cast::EpochMillis) => {
            let millis: Float64Array = unary(&micros(column, options)?, |stamp| as_double(stamp) / 1e3);
            cast_with_options(&millis, to, options)
        }
        Some(Cast::EpochDays) => {
            let days: Int64Array = unary(&micros(column, options)?, |stamp| stamp.div_euclid(DAY_MICROS));
            cast_with_options(&days, to, options)
        }
        // A decimal goes through float64, the nearest float there is.
        Some(Cast::Float) => {
            let double = cast_with_options(column, &DataType::Float64, options)?;
            cast_with_options(&double, to, options)
        }
        None => cast_with_options(column, to, options),
    }
}

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// Microseconds since 1970-01-01 UTC, whatever zone the column is shown in.
fn micros(column: &ArrayRef, options: &CastOptions) -> Result<Int64Array, ArrowError> {
    if let DataType::Timestamp(TimeUnit::Nanosecond, _) = column.data_type() {
        let nanos = cast_with_options(column, &DataType::Int64, options)?;
        // Downwards also before 1970, where a cast would round up and into the next day.
        return Ok(unary(nanos.as_primitive::<Int64Type>(), |stamp| {
            stamp.div_euclid(1_000)
        }));
    }
    let zone = match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let stamps = cast_with_options(column, &DataType::Timestamp(TimeUnit::Microsecond, zone), options)?;
    let stamps = cast_with_options(&stamps, &DataType::Int64, options)?;
    Ok(stamps.as_primitive::<Int64Type>().clone())
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds last until the year 2255")]
fn as_double(stamp: i64) -> f64 {
    stamp as f64
}

/// The elements of lists that are all of one length.
fn elements(column: &ArrayRef) -> (ArrayRef, usize) {
    let rows = column.len().max(1);
    let values = match column.data_type() {
        DataType::FixedSizeList(_, width) => {
            let list = column.as_fixed_size_list();
            let width = usize::try_from(*width).unwrap_or(0);
            list.values().slice(list.offset() * width, list.len() * width)
        }
        // Nothing but nulls: its rows were bad and are gone.
        DataType::Null => Arc::clone(column),
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            let offset = |row: usize| usize::try_from(list.value_offsets()[row]).unwrap_or(0);
            list.values().slice(offset(0), offset(list.len()) - offset(0))
        }
        _ => {
            let list = column.as_list::<i32>();
            let offset = |row: usize| usize::try_from(list.value_offsets()[row]).unwrap_or(0);
            list.values().slice(offset(0), offset(list.len()) - offset(0))
        }
    };
    let width = values.len() / rows;
    (values, width)
}

/// The values in the type in which the tensor's host memory holds them.
pub(super) fn plain(values: &ArrayRef, dtype: TensorType, options: &CastOptions) -> Result<ArrayRef, ArrowError> {
    let target = dtype.host().arrow().unwrap_or(DataType::Float32);
    if values.data_type() == &DataType::Null {
        return Ok(new_null_array(&target, values.len()));
    }
    cast_with_options(&as_number(values, options)?, &target, options)
}

/// Times are handed over as numbers, in one unit whatever the file's writer chose.
fn as_number(values: &ArrayRef, options: &CastOptions) -> Result<ArrayRef, ArrowError> {
    match values.data_type() {
        DataType::Timestamp(..) => Ok(Arc::new(micros(values, options)?)),
        DataType::Date32 | DataType::Date64 => {
            let days = cast_with_options(values, &DataType::Date32, options)?;
            cast_with_options(&days, &DataType::Int32, options)
        }
        _ => Ok(values.clone()),
    }
}
