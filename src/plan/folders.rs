//! Columns that stand in the path, `store=7/`: of which type they are, and whether each folder's text is of it.
//!
//! As a key, as a carried column and in SQL such a column is text, unless the job declares another type; a feature parses it by its own dtype.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, ArrayRef, StringArray, UInt32Array};
use arrow::compute::{cast_with_options, take};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::footers::Footer;
use super::nulls;
use crate::batch::STRICT_CAST;
use crate::contract::{Cast, DType, Feature};
use crate::spec::PathType;

/// A declared type.
pub(super) fn declared(kind: PathType) -> DataType {
    match kind {
        PathType::String => DataType::Utf8,
        PathType::Int32 => DataType::Int32,
        PathType::Int64 => DataType::Int64,
        PathType::Float64 => DataType::Float64,
        PathType::Bool => DataType::Boolean,
        PathType::Date => DataType::Date32,
        PathType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}

/// The type in which a feature takes the text of a folder; `None` where no text can feed it.
pub(super) fn of_feature(feature: &Feature) -> Option<DataType> {
    Some(match feature {
        Feature::Numeric(numeric) => match numeric.cast {
            Some(Cast::EpochSeconds | Cast::EpochMillis | Cast::EpochDays) => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            None if is_whole(numeric.dtype) => DataType::Int64,
            None | Some(Cast::Float) => DataType::Float64,
        },
        Feature::Categorical(categorical) if categorical.dtype != DType::String => DataType::Int64,
        Feature::Categorical(_) | Feature::Text(_) => DataType::Utf8,
        Feature::Vector(_) => return None,
        Feature::Raw(raw) => match raw.dtype {
            DType::Float16 => DataType::Float16,
            DType::Float32 => DataType::Float32,
            DType::Float64 => DataType::Float64,
            DType::Int8 => DataType::Int8,
            DType::Int16 => DataType::Int16,
            DType::Int32 => DataType::Int32,
            DType::Int64 => DataType::Int64,
            DType::Uint8 => DataType::UInt8,
            DType::Bool => DataType::Boolean,
            DType::String => return None,
        },
    })
}

fn is_whole(dtype: DType) -> bool {
    matches!(
        dtype,
        DType::Int8 | DType::Int16 | DType::Int32 | DType::Int64 | DType::Uint8 | DType::Bool
    )
}

/// The text of a folder, or its null, as a column of that type.
pub fn folder_column(text: Option<&str>, kind: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
    // Engines that partition by a truth value name its folders so; a number takes it as it takes such a column.
    let text = match text {
        Some(text) if kind.is_numeric() && text.eq_ignore_ascii_case("true") => Some("1"),
        Some(text) if kind.is_numeric() && text.eq_ignore_ascii_case("false") => Some("0"),
        other => other,
    };
    let one = cast_with_options(&StringArray::from(vec![text]), kind, &STRICT_CAST)?;
    // A cast may make a null of what it cannot read.
    if text.is_some() && one.is_null(0) {
        return Err(ArrowError::CastError(format!("it is no {kind}")));
    }
    take(&one, &UInt32Array::from_value(0, rows), None)
}

/// Whether the text of a folder is of that type.
pub(super) fn is_of(text: &str, kind: &DataType) -> bool {
    folder_column(Some(text), kind, 1).is_ok()
}

/// A column that stands in the path and in files, where these may hold something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overruled {
    /// The column.
    pub name: String,
    /// Such files.
    pub files: usize,
    /// The first of them.
    pub first: String,
}

/// The columns of some names that stand in the path and in files, and are not known to say the same.
pub(super) fn overruled(names: &[String], footers: &[Footer]) -> Vec<Overruled> {
    let mut found: BTreeMap<&str, Overruled> = BTreeMap::new();
    let names: HashSet<&str> = names.iter().map(String::as_str).collect();
    for footer in footers.iter().filter(|footer| !footer.partition.is_empty()) {
        let leaves = nulls::leaves(&footer.metadata);
        for (name, folder) in footer
            .partition
            .iter()
            .filter(|(name, _)| names.contains(name.as_str()))
        {
            if footer.schema.index_of(name).is_err() {
                continue;
            }
            let mut groups = footer.metadata.row_groups().iter();
            let leaf = leaves.get(footer.own_names.of(name));
            if leaf.is_some_and(|&leaf| groups.all(|group| agrees(group.column(leaf), folder.as_deref()))) {
                continue;
            }
            let overruled = found.entry(name).or_insert_with(|| Overruled {
                name: name.clone(),
                files: 0,
                first: footer.file.name.clone(),
            });
            overruled.files += 1;
        }
    }
    found.into_values().collect()
}

/// Whether a column of the file surely holds what the folder says, by the smallest and greatest value that its writer has noted.
pub(super) fn agrees(column: &ColumnChunkMetaData, folder: Option<&str>) -> bool {
    let Some(statistics) = column.statistics() else {
        return false;
    };
    let nulls = statistics.null_count_opt();
    let Some(text) = folder else {
        return nulls.and_then(|nulls| i64::try_from(nulls).ok()) == Some(column.num_values());
    };
    nulls == Some(0)
        && match statistics {
            Statistics::Boolean(found) => all(found, text.parse().as_ref().ok()),
            Statistics::Int32(found) => all(found, text.parse().as_ref().ok()),
            Statistics::Int64(found) => all(found, text.parse().as_ref().ok()),
            Statistics::Float(found) => all(found, text.parse().as_ref().ok()),
            Statistics::Double(found) => all(found, text.parse().as_ref().ok()),
            Statistics::ByteArray(found) => all(found, Some(&text.into())),
            Statistics::Int96(_) | Statistics::FixedLenByteArray(_) => false,
        }
}

/// Whether all values are one and the same.
fn all<T: PartialEq>(found: &ValueStatistics<T>, value: Option<&T>) -> bool {
    value.is_some() && found.min_opt() == value && found.max_opt() == value
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Float64Type, Int8Type};

    use super::*;

    #[test]
    fn text_of_a_folder_is_of_a_type_or_is_refused() {
        let day = DataType::Timestamp(TimeUnit::Microsecond, None);
        for (text, kind) in [
            ("7", &DataType::Int64),
            ("-7", &DataType::Int8),
            ("7.5", &DataType::Float32),
            ("1e3", &DataType::Float64),
            ("true", &DataType::Boolean),
            ("True", &DataType::Float64),
            ("2026-11-19", &day),
            ("2026-11-19 10:00:00", &day),
            ("2026-11-19", &DataType::Date32),
            ("any", &DataType::Utf8),
        ] {
            assert!(is_of(text, kind), "{text} {kind}");
        }
        for (text, kind) in [
            ("7.5", &DataType::Int64),
            ("300", &DataType::Int8),
            ("", &DataType::Int64),
            ("seven", &DataType::Float64),
            ("2026-13-01", &DataType::Date32),
            ("yesterday", &day),
        ] {
            assert!(!is_of(text, kind), "{text} {kind}");
        }
    }

    #[test]
    fn folder_is_a_column_of_one_value() {
        let column = folder_column(Some("7"), &DataType::Int8, 3).unwrap();
        assert_eq!(column.as_primitive::<Int8Type>().values().as_ref(), [7, 7, 7]);
        let column = folder_column(Some("false"), &DataType::Float64, 1).unwrap();
        assert_eq!(column.as_primitive::<Float64Type>().values().as_ref(), [0.0]);
        assert_eq!(folder_column(None, &DataType::Int8, 2).unwrap().null_count(), 2);
        assert_eq!(folder_column(Some("x"), &DataType::Utf8, 0).unwrap().len(), 0);
    }
}
