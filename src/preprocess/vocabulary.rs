//! Positions in a vocabulary, looked up once per distinct value where the column is a dictionary, else once per row.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::error::ArrowError;

use super::{PreprocessError, SideFiles};
use crate::contract::{Categorical, Vocabulary};

/// The vocabulary of one feature, indexed.
#[derive(Debug)]
pub(super) struct Lookup {
    table: Table,
    oov_index: i64,
}

#[derive(Debug)]
enum Table {
    Strings(HashMap<String, i64>),
    Integers(HashMap<i64, i64>),
}

/// A column as positions in a vocabulary.
#[derive(Debug)]
pub(super) enum Codes {
    /// Codes, and the position that each code stands for.
    Dictionary {
        codes: ScalarBuffer<i32>,
        nulls: Option<NullBuffer>,
        positions: Vec<i64>,
        oov_index: i64,
    },
    /// A position for each row.
    Rows(Vec<i64>),
}

impl Lookup {
    pub(super) fn new(feature: &Categorical, files: &SideFiles) -> Result<Self, PreprocessError> {
        let file = feature.vocabulary_file.as_ref().and_then(|file| files.get(file));
        let values = feature
            .values(file.map(AsRef::as_ref))
            .map_err(|reason| PreprocessError::SideFile {
                feature: feature.name.clone(),
                file: feature.vocabulary_file.clone().unwrap_or_default(),
                reason,
            })?;
        // Position 0 is left to what is not in the vocabulary.
        let table = match values {
            Vocabulary::Strings(values) => Table::Strings(values.into_iter().zip(1..).collect()),
            Vocabulary::Integers(values) => Table::Integers(values.into_iter().zip(1..).collect()),
        };
        Ok(Self {
            table,
            oov_index: feature.oov_index,
        })
    }

    /// The greatest position that a value can have.
    pub(super) fn greatest(&self) -> i64 {
        let values = match &self.table {
            Table::Strings(table) => table.len(),
            Table::Integers(table) => table.len(),
        };
        i64::try_from(values).unwrap_or(i64::MAX).max(self.oov_index)
    }

    /// The positions, and how many values are not in the vocabulary; a null is none.
    pub(super) fn codes(&self, column: &ArrayRef) -> Result<(Codes, usize), ArrowError> {
        let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() else {
            let found = self.found(column)?;
            let missing = found.iter().filter(|position| position.is_none()).count();
            let unknown = missing - column.logical_null_count();
            return Ok((Codes::Rows(self.positions(found)), unknown));
        };
        let (keys, values) = (dictionary.keys(), dictionary.values());
        let found = self.found(values)?;
        let is_unknown: Vec<bool> = (0..values.len())
            .map(|code| values.is_valid(code) && found[code].is_none())
            .collect();
        let unknown = if is_unknown.contains(&true) {
            let codes = keys.iter().flatten().filter_map(|code| usize::try_from(code).ok());
            codes.filter(|&code| is_unknown[code]).count()
        } else {
            0
        };
        let codes = Codes::Dictionary {
            codes: keys.values().clone(),
            nulls: keys.nulls().cloned(),
            positions: self.positions(found),
            oov_index: self.oov_index,
        };
        Ok((codes, unknown))
    }

    /// Rows whose value is not in the vocabulary; a null is none.
    pub(super) fn unknown(&self, column: &ArrayRef) -> Result<Vec<usize>, ArrowError> {
        let (values, codes) = match column.as_dictionary_opt::<Int32Type>() {
            Some(dictionary) => (dictionary.values(), Some(dictionary.keys().values())),
            None => (column, None),
        };
        let known: Vec<bool> = self.found(values)?.iter().map(Option::is_some).collect();
        let nulls = column.logical_nulls();
        let is_known = |row: usize| match codes {
            Some(codes) => usize::try_from(codes[row]).is_ok_and(|code| known[code]),
            None => known[row],
        };
        let present = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
        Ok((0..column.len())
            .filter(present)
            .filter(|&row| !is_known(row))
            .collect())
    }

    fn positions(&self, found: Vec<Option<i64>>) -> Vec<i64> {
        let positions = found.into_iter().map(|position| position.unwrap_or(self.oov_index));
        positions.collect()
    }

    /// Positions of values in the vocabulary.
    fn found(&self, values: &ArrayRef) -> Result<Vec<Option<i64>>, ArrowError> {
        match &self.table {
            Table::Strings(table) => {
                let values = cast(values, &DataType::Utf8)?;
                let values = values.as_string::<i32>().iter();
                Ok(values.map(|value| table.get(value?).copied()).collect())
            }
            Table::Integers(table) => {
                let values = cast(values, &DataType::Int64)?;
                let values: &PrimitiveArray<Int64Type> = values.as_primitive();
                Ok(values.iter().map(|value| table.get(&value?).copied()).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Int32Array, StringArray};

    use super::*;
    use crate::contract::DType;

    fn lookup() -> Lookup {
        let feature = Categorical {
            name: "country".to_owned(),
            dtype: DType::String,
            vocabulary: Some(vec!["de".into(), "fr".into()]),
            vocabulary_file: None,
            oov_index: 0,
        };
        Lookup::new(&feature, &SideFiles::new()).expect("the vocabulary is valid")
    }

    #[test]
    fn unknown_and_null_values_take_the_oov_index() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("fr"), None, Some("xx"), Some("de")]));
        let (Codes::Rows(rows), unknown) = lookup().codes(&column).expect("strings") else {
            panic!("a plain column gives a position for each row");
        };
        assert_eq!((rows, unknown), (vec![2, 0, 0, 1], 1));
    }

    #[test]
    fn a_dictionary_is_looked_up_once_per_value() {
        let keys = Int32Array::from(vec![Some(1), Some(0), None, Some(1), Some(2), Some(3), Some(3)]);
        let values = Arc::new(StringArray::from(vec![Some("fr"), Some("de"), None, Some("xx")]));
        let column: ArrayRef = Arc::new(DictionaryArray::new(keys, values));
        let (Codes::Dictionary { positions, .. }, unknown) = lookup().codes(&column).expect("strings") else {
            panic!("a dictionary stays one");
        };
        assert_eq!((positions, unknown), (vec![2, 1, 0, 0], 2));
    }
}
