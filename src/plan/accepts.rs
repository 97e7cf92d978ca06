//! Which types of column a feature takes.
//!
//! Each value is taken as it is, or widened; what would lose something is refused unless the contract declares a cast.

use arrow::datatypes::DataType;

use super::column_type::{self, is_string};
use crate::contract::{Cast, DType, Feature};

/// What a feature's column may be, in words.
pub(super) fn expected(feature: &Feature) -> String {
    let expected = match feature {
        Feature::Numeric(numeric) => match numeric.cast {
            None => "a number",
            Some(Cast::Float) => "a number or decimal",
            Some(_) => "a timestamp or date",
        },
        Feature::Categorical(categorical) if categorical.dtype == DType::String => "a string",
        Feature::Categorical(_) => "an integer",
        Feature::Text(_) => "a string",
        Feature::Vector(vector) => return format!("a list of {} numbers", vector.width),
        Feature::Raw(raw) => return format!("a type whose values all fit the feature's dtype {}", raw.dtype),
    };
    expected.to_owned()
}

/// Whether a column of that type can feed the feature; otherwise what would help.
pub(super) fn accepts(feature: &Feature, found: &DataType) -> Result<(), Option<String>> {
    let found = &column_type::plain(found);
    // A column that holds nothing but nulls is written without a type by some writers.
    if found == &DataType::Null {
        return Ok(());
    }
    let number = found.is_numeric() && !is_decimal(found) || found == &DataType::Boolean;
    let time = matches!(found, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
    let fits = match feature {
        Feature::Numeric(numeric) => match numeric.cast {
            None if is_decimal(found) => {
                return Err(Some(
                    "declare `\"cast\": \"float\"` in the contract to allow it".to_owned(),
                ));
            }
            None if time => {
                return Err(Some(
                    "declare `\"cast\": \"epoch_days\"`, `\"epoch_seconds\"` or `\"epoch_millis\"` in the contract to allow it".to_owned(),
                ));
            }
            None => number,
            Some(Cast::Float) => number || is_decimal(found),
            Some(Cast::EpochSeconds | Cast::EpochMillis | Cast::EpochDays) => time,
        },
        Feature::Categorical(categorical) if categorical.dtype == DType::String => is_string(found),
        Feature::Categorical(_) => found.is_integer(),
        Feature::Text(_) => is_string(found),
        Feature::Vector(vector) => return accepts_list(vector.width, found),
        Feature::Raw(raw) => widens(found, raw.dtype),
    };
    if fits {
        return Ok(());
    }
    Err((takes_text(feature) && column_type::is_binary(found)).then(|| {
        "the file does not say that these bytes are text: if they are, say so for the job by input.binary_as_string = true".to_owned()
    }))
}

fn takes_text(feature: &Feature) -> bool {
    match feature {
        Feature::Categorical(categorical) => categorical.dtype == DType::String,
        Feature::Text(_) => true,
        Feature::Numeric(_) | Feature::Vector(_) | Feature::Raw(_) => false,
    }
}

fn accepts_list(width: usize, found: &DataType) -> Result<(), Option<String>> {
    let element = match found {
        DataType::List(element) | DataType::LargeList(element) => element,
        DataType::FixedSizeList(element, size) => {
            if usize::try_from(*size).ok() != Some(width) {
                return Err(Some(format!("the contract's width is {width}")));
            }
            element
        }
        _ => return Err(None),
    };
    let element = element.data_type();
    if element.is_numeric() && !is_decimal(element) {
        Ok(())
    } else {
        Err(Some(
            "lists of lists and of other things than numbers are not features".to_owned(),
        ))
    }
}

fn is_decimal(found: &DataType) -> bool {
    matches!(
        found,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
    )
}

/// Whether each value of the type is also one of the dtype. Integers of 64 bits count as fitting float64, as everywhere in the field.
fn widens(found: &DataType, dtype: DType) -> bool {
    use DataType as T;
    match dtype {
        DType::Float64 => matches!(found, T::Float16 | T::Float32 | T::Float64) || found.is_integer(),
        DType::Float32 => matches!(
            found,
            T::Float16 | T::Float32 | T::Float64 | T::Int8 | T::Int16 | T::UInt8 | T::UInt16
        ),
        DType::Float16 => matches!(found, T::Float16 | T::Int8 | T::UInt8),
        DType::Int64 => {
            found.is_signed_integer()
                || matches!(
                    found,
                    T::UInt8 | T::UInt16 | T::UInt32 | T::Boolean | T::Timestamp(..) | T::Date32 | T::Date64
                )
        }
        DType::Int32 => matches!(
            found,
            T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 | T::Boolean | T::Date32
        ),
        DType::Int16 => matches!(found, T::Int8 | T::Int16 | T::UInt8 | T::Boolean),
        DType::Int8 => matches!(found, T::Int8 | T::Boolean),
        DType::Uint8 => matches!(found, T::UInt8 | T::Boolean),
        DType::Bool => found == &T::Boolean,
        DType::String => false,
    }
}
