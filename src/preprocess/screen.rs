//! Finds the rows that cannot be scored, by reason, and takes them out or refuses the chunk, as the job says.
//!
//! Looks at the columns once, before anything is computed from them, and at the model's results once. What is not bad is not touched.

mod lists;
mod numbers;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast_with_options, filter_record_batch, nullif};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;

use super::Preprocessor;
use super::column::{LENIENT, number, plain};
use crate::batch::{BadRow, FeatureBatch, places};
use crate::contract::{Cast, Feature, TensorType};
use crate::spec::{Action, Reason, RowActions};

/// A chunk without its bad rows, and the bad rows.
#[derive(Debug)]
pub struct Screened {
    /// The rows that will be scored.
    pub batch: FeatureBatch,
    /// Rows of the chunk as it was read that will not be scored, in order, each once and with its first reason.
    pub bad: Vec<BadRow>,
}

/// Screens the key and feature columns of a chunk, of which some rows are known to be bad.
pub fn features(
    batch: FeatureBatch,
    keys: &[String],
    preprocessor: &Preprocessor,
    actions: RowActions,
    known: Vec<BadRow>,
) -> Result<Screened, ArrowError> {
    let mut screen = Screen {
        actions,
        columns: batch.columns.columns().to_vec(),
        bad: batch.bad_from_the_start(),
    };
    let schema = batch.columns.schema();
    for key in keys {
        if let Ok(index) = schema.index_of(key) {
            screen.nulls(index, Reason::NullKey, key);
        }
    }
    let places = places(&schema);
    let features = preprocessor.contract.features.iter();
    for (feature, greatest) in features.zip(&preprocessor.greatest) {
        if let Some(&index) = places.get(feature.name()) {
            screen.feature(index, feature, *greatest)?;
        }
    }
    let columns = RecordBatch::try_new(Arc::clone(&schema), screen.columns)?;
    screen.bad.extend(known);
    let bad = once(screen.bad);
    Ok(Screened {
        batch: FeatureBatch {
            columns: without(&columns, &bad)?,
            ..batch
        },
        bad,
    })
}

/// Rows whose results are not finite; `width` values a row.
pub fn results(values: &ArrayRef, width: usize, output: &str) -> Vec<BadRow> {
    let rows = numbers::not_finite(values)
        .into_iter()
        .map(|position| position / width.max(1));
    once(
        rows.map(|row| BadRow::new(row, Reason::NonfiniteOutput, output))
            .collect(),
    )
}

/// Each row once, in order, with the first of its reasons.
pub fn once(mut bad: Vec<BadRow>) -> Vec<BadRow> {
    bad.sort_by_key(|bad| bad.row);
    bad.dedup_by_key(|bad| bad.row);
    bad
}

/// The batch without some of its rows.
pub fn without(columns: &RecordBatch, bad: &[BadRow]) -> Result<RecordBatch, ArrowError> {
    if bad.is_empty() {
        return Ok(columns.clone());
    }
    filter_record_batch(columns, &kept(columns.num_rows(), bad))
}

/// True for each row that stays.
pub fn kept(rows: usize, bad: &[BadRow]) -> BooleanArray {
    let mut keep = vec![true; rows];
    for bad in bad {
        keep[bad.row] = false;
    }
    BooleanArray::from(keep)
}

/// The columns with nulls in the place of some values.
pub fn nulled(columns: &RecordBatch, bad: &[BadRow]) -> Result<RecordBatch, ArrowError> {
    let schema = columns.schema();
    let mut arrays = columns.columns().to_vec();
    let mut gone: HashMap<&str, Vec<bool>> = HashMap::new();
    for bad in bad {
        let rows = gone.entry(&bad.column);
        rows.or_insert_with(|| vec![false; columns.num_rows()])[bad.row] = true;
    }
    for (index, field) in schema.fields().iter().enumerate() {
        if let Some(gone) = gone.get(field.name().as_str()) {
            arrays[index] = nullif(&arrays[index], &BooleanArray::from(gone.clone()))?;
        }
    }
    RecordBatch::try_new(schema, arrays)
}

struct Screen {
    actions: RowActions,
    columns: Vec<ArrayRef>,
    bad: Vec<BadRow>,
}

impl Screen {
    /// Screens the column of a feature whose tensors stay finite up to a magnitude.
    fn feature(&mut self, index: usize, feature: &Feature, greatest: f64) -> Result<(), ArrowError> {
        let name = feature.name();
        match feature {
            Feature::Categorical(_) | Feature::Text(_) => {}
            Feature::Numeric(numeric) => {
                self.instants(index, name, true)?;
                self.finite(index, name, greatest, true)?;
                if numeric.log1p {
                    self.has_logarithm(index, name, numeric.cast)?;
                }
                if let Some(range) = numeric.range {
                    let values = number(&self.columns[index], numeric.cast, &DataType::Float64, &LENIENT)?;
                    self.within(index, name, &values, range, true)?;
                }
            }
            Feature::Raw(raw) => {
                self.instants(index, name, false)?;
                self.finite(index, name, greatest, false)?;
                if let Some(range) = raw.range {
                    let values = plain(&self.columns[index], TensorType::Float64, &LENIENT)?;
                    self.within(index, name, &values, range, false)?;
                }
            }
            Feature::Vector(vector) => {
                let bad = lists::judge(&self.columns[index], vector.width, greatest, name);
                self.bad.extend(bad);
            }
        }
        if !feature.takes_nulls(self.actions.null_feature == Action::Impute) {
            self.nulls(index, Reason::NullFeature, name);
        }
        Ok(())
    }

    fn nulls(&mut self, index: usize, reason: Reason, name: &str) {
        let nulls = self.columns[index].logical_nulls();
        if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
            let rows = (0..nulls.len()).filter(|&row| nulls.is_null(row));
            self.bad.extend(rows.map(|row| BadRow::new(row, reason, name)));
        }
    }

    /// Refuses the ends of a timestamp's 64 bits, which are no instants: DuckDB writes `infinity` and `-infinity` as such.
    fn instants(&mut self, index: usize, name: &str, imputable: bool) -> Result<(), ArrowError> {
        if !matches!(self.columns[index].data_type(), DataType::Timestamp(..)) {
            return Ok(());
        }
        let stamps = cast_with_options(&self.columns[index], &DataType::Int64, &LENIENT)?;
        let stamps = stamps.as_primitive::<Int64Type>().values().clone();
        let is_end = |stamp: i64| stamp.unsigned_abs() >= i64::MAX.unsigned_abs() - 1;
        if !stamps.iter().any(|&stamp| is_end(stamp)) {
            return Ok(());
        }
        self.judge(index, name, imputable, |row| {
            is_end(stamps[row]).then_some(Reason::CastOverflow)
        })
    }

    fn finite(&mut self, index: usize, name: &str, greatest: f64, imputable: bool) -> Result<(), ArrowError> {
        let column = Arc::clone(&self.columns[index]);
        match numbers::beyond(&column, greatest) {
            // The common case is that none is, and that is told without a branch a value.
            None => Ok(()),
            Some(fault) => self.judge(index, name, imputable, fault),
        }
    }

    /// Refuses what has no finite `ln(1 + x)`.
    fn has_logarithm(&mut self, index: usize, name: &str, by: Option<Cast>) -> Result<(), ArrowError> {
        // The common case is told from the column as it is, several values at a time.
        if by.is_none() && numbers::all_above(&self.columns[index], -1.0) {
            return Ok(());
        }
        let values = number(&self.columns[index], by, &DataType::Float64, &LENIENT)?;
        let values = values.as_primitive::<Float64Type>().values().clone();
        self.judge(index, name, true, |row| match values[row] {
            value if value < -1.0 => Some(Reason::NanFeature),
            value if value <= -1.0 => Some(Reason::InfFeature),
            _ => None,
        })
    }

    /// Refuses what lies outside the contract's range, in the unit in which the model takes it.
    fn within(
        &mut self,
        index: usize,
        name: &str,
        values: &ArrayRef,
        range: [f64; 2],
        imputable: bool,
    ) -> Result<(), ArrowError> {
        let values = values.as_primitive::<Float64Type>().values().clone();
        let [least, greatest] = range;
        let outside = |value: f64| value < least || value > greatest;
        if !values.iter().any(|&value| outside(value)) {
            return Ok(());
        }
        self.judge(index, name, imputable, |row| {
            outside(values[row]).then_some(Reason::OutOfRange)
        })
    }

    /// Notes the rows that have a reason, or puts a null in their place where the job says that nulls will be imputed.
    fn judge(
        &mut self,
        index: usize,
        name: &str,
        imputable: bool,
        reason: impl Fn(usize) -> Option<Reason>,
    ) -> Result<(), ArrowError> {
        let column = Arc::clone(&self.columns[index]);
        let mut imputed = vec![false; column.len()];
        for (row, imputed) in imputed.iter_mut().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            let Some(reason) = reason(row) else {
                continue;
            };
            if imputable && self.actions.action(reason) == Action::Impute {
                *imputed = true;
            } else {
                self.bad.push(BadRow::new(row, reason, name));
            }
        }
        if imputed.contains(&true) {
            self.columns[index] = nullif(&column, &BooleanArray::from(imputed))?;
        }
        Ok(())
    }
}
