//! The smallest and greatest value of a column that is copied and not encoded.

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array};
use arrow::compute::{cast, max, max_string, min, min_string};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::error::ArrowError;
use parquet::data_type::ByteArray;
use parquet::file::statistics::Statistics;

/// Texts beyond this are no help in skipping rows.
const LONGEST_TEXT: usize = 64;

/// What readers can use to skip rows, for types whose order in Parquet is that of Arrow.
pub(super) fn of(array: &ArrayRef) -> Result<Option<Statistics>, ArrowError> {
    let nulls = Some(array.null_count() as u64);
    Ok(match array.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Date32 => {
            let values = cast(array, &DataType::Int32)?;
            let values: &Int32Array = values.as_primitive::<Int32Type>();
            Some(Statistics::int32(min(values), max(values), None, nulls, false))
        }
        DataType::Int64 | DataType::Timestamp(..) => {
            let values = cast(array, &DataType::Int64)?;
            let values: &Int64Array = values.as_primitive::<Int64Type>();
            Some(Statistics::int64(min(values), max(values), None, nulls, false))
        }
        DataType::Utf8 | DataType::LargeUtf8 => {
            let (least, greatest) = match array.as_string_opt::<i32>() {
                Some(values) => (min_string(values), max_string(values)),
                None => (
                    min_string(array.as_string::<i64>()),
                    max_string(array.as_string::<i64>()),
                ),
            };
            let short = |text: Option<&str>| text.is_none_or(|text| text.len() <= LONGEST_TEXT);
            let kept = short(least) && short(greatest);
            let bytes = |text: Option<&str>| text.filter(|_| kept).map(ByteArray::from);
            Some(Statistics::byte_array(
                bytes(least),
                bytes(greatest),
                None,
                nulls,
                false,
            ))
        }
        _ => None,
    })
}
