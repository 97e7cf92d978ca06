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

    pub(super) fn codes(&self, column: &ArrayRef) -> Result<Codes, ArrowError> {
        if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
            return Ok(Codes::Dictionary {
                codes: dictionary.keys().values().clone(),
                nulls: dictionary.keys().nulls().cloned(),
                positions: self.positions(dictionary.values())?,
                oov_index: self.oov_index,
            });
        }
        self.positions(column).map(Codes::Rows)
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

    fn positions(&self, values: &ArrayRef) -> Result<Vec<i64>, ArrowError> {
        let found = self.found(values)?.into_iter();
        Ok(found.map(|position| position.unwrap_or(self.oov_index)).collect())
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
        let Codes::Rows(rows) = lookup().codes(&column).expect("strings") else {
            panic!("a plain column gives a position for each row");
        };
        assert_eq!(rows, [2, 0, 0, 1]);
    }

    #[test]
    fn a_dictionary_is_looked_up_once_per_value() {
        let keys = Int32Array::from(vec![Some(1), Some(0), None, Some(1)]);
        let values = Arc::new(StringArray::from(vec!["fr", "de"]));
        let column: ArrayRef = Arc::new(DictionaryArray::new(keys, values));
        let Codes::Dictionary { positions, .. } = lookup().codes(&column).expect("strings") else {
            panic!("a dictionary stays one");
        };
        assert_eq!(positions, [2, 1]);
    }
}
