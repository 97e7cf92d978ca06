//! Finds the rows that cannot be scored, by reason, and takes them out or refuses the chunk, as the job says.
//!
//! Looks at the columns once, before anything is computed from them, and at the model's results once. What is not bad is not touched.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, filter_record_batch, min, nullif};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;

use crate::batch::{BadRow, FeatureBatch};
use crate::contract::{Contract, Feature};
use crate::spec::{Action, Reason, RowActions};

/// A chunk without its bad rows, and the bad rows.
#[derive(Debug)]
pub struct Screened {
    /// The rows that will be scored.
    pub batch: FeatureBatch,
    /// Rows of the chunk as it was read that will not be scored, in order, each once and with its first reason.
    pub bad: Vec<BadRow>,
}

/// Screens the key and feature columns of a chunk.
pub fn features(
    batch: FeatureBatch,
    keys: &[String],
    contract: &Contract,
    actions: RowActions,
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
    for feature in &contract.features {
        if let Ok(index) = schema.index_of(feature.name()) {
            screen.feature(index, feature)?;
        }
    }
    let columns = RecordBatch::try_new(schema, screen.columns)?;
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
    let mut bad = Vec::new();
    let mut note = |position: usize| {
        bad.push(BadRow {
            row: position / width.max(1),
            reason: Reason::NonfiniteOutput,
            column: output.to_owned(),
        });
    };
    match values.data_type() {
        DataType::Float16 => positions::<Float16Type>(values, |value| !value.is_finite(), &mut note),
        DataType::Float32 => positions::<Float32Type>(values, |value| !value.is_finite(), &mut note),
        DataType::Float64 => positions::<Float64Type>(values, |value| !value.is_finite(), &mut note),
        _ => {}
    }
    once(bad)
}

/// Each row once, in order, with the first of its reasons.
fn once(mut bad: Vec<BadRow>) -> Vec<BadRow> {
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

struct Screen {
    actions: RowActions,
    columns: Vec<ArrayRef>,
    bad: Vec<BadRow>,
}

impl Screen {
    fn feature(&mut self, index: usize, feature: &Feature) -> Result<(), ArrowError> {
        let name = feature.name();
        match feature {
            // A null is a value that is not in the vocabulary.
            Feature::Categorical(_) => Ok(()),
            Feature::Text(_) => {
                self.required(index, name);
                Ok(())
            }
            Feature::Numeric(numeric) => {
                self.finite(index, name, true)?;
                if numeric.log1p {
                    self.has_logarithm(index, name)?;
                }
                if numeric.impute.is_none() {
                    self.required(index, name);
                }
                Ok(())
            }
            // There is no value that could stand for one that is handed over as it is.
            Feature::Raw(_) => {
                self.finite(index, name, false)?;
                self.nulls(index, Reason::NullFeature, name);
                Ok(())
            }
            Feature::Vector(vector) => {
                self.list(index, vector.width, name);
                Ok(())
            }
        }
    }

    fn required(&mut self, index: usize, name: &str) {
        if self.actions.null_feature != Action::Impute {
            self.nulls(index, Reason::NullFeature, name);
        }
    }

    fn nulls(&mut self, index: usize, reason: Reason, name: &str) {
        let nulls = self.columns[index].logical_nulls();
        if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
            let rows = (0..nulls.len()).filter(|&row| nulls.is_null(row));
            self.bad.extend(rows.map(|row| bad(row, reason, name)));
        }
    }

    fn finite(&mut self, index: usize, name: &str, imputable: bool) -> Result<(), ArrowError> {
        match self.columns[index].data_type() {
            DataType::Float16 => self.finite_floats::<Float16Type>(index, name, imputable),
            DataType::Float32 => self.finite_floats::<Float32Type>(index, name, imputable),
            DataType::Float64 => self.finite_floats::<Float64Type>(index, name, imputable),
            _ => Ok(()),
        }
    }

    fn finite_floats<T: ArrowPrimitiveType>(
        &mut self,
        index: usize,
        name: &str,
        imputable: bool,
    ) -> Result<(), ArrowError>
    where
        T::Native: Float,
    {
        let column = Arc::clone(&self.columns[index]);
        let values = column.as_primitive::<T>().values();
        // The common case is that all are finite, and that is told without a branch a value.
        if values.iter().fold(true, |finite, value| finite & value.is_finite()) {
            return Ok(());
        }
        self.judge(index, name, imputable, |row| not_finite(values[row]))
    }

    /// Refuses what has no finite `ln(1 + x)`.
    fn has_logarithm(&mut self, index: usize, name: &str) -> Result<(), ArrowError> {
        let values = cast(&self.columns[index], &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        if min(values).is_none_or(|least| least > -1.0) {
            return Ok(());
        }
        self.judge(index, name, true, |row| match values.value(row) {
            value if value < -1.0 => Some(Reason::NanFeature),
            value if value <= -1.0 => Some(Reason::InfFeature),
            _ => None,
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
                self.bad.push(bad(row, reason, name));
            }
        }
        if imputed.contains(&true) {
            self.columns[index] = nullif(&column, &BooleanArray::from(imputed))?;
        }
        Ok(())
    }

    fn list(&mut self, index: usize, width: usize, name: &str) {
        self.nulls(index, Reason::NullFeature, name);
        let column = Arc::clone(&self.columns[index]);
        let lengths: Vec<usize> = match column.data_type() {
            DataType::List(_) => column.as_list::<i32>().offsets().lengths().collect(),
            DataType::LargeList(_) => column.as_list::<i64>().offsets().lengths().collect(),
            _ => Vec::new(),
        };
        for (row, _) in lengths
            .iter()
            .enumerate()
            .filter(|&(row, &length)| length != width && column.is_valid(row))
        {
            self.bad.push(bad(row, Reason::BadListLen, name));
        }
        for row in 0..column.len() {
            if let Some(reason) = element_reason(&column, row) {
                self.bad.push(bad(row, reason, name));
            }
        }
    }
}

/// What is wrong with the elements of one list; `None` when nothing is, or when there is no list.
fn element_reason(column: &ArrayRef, row: usize) -> Option<Reason> {
    if column.is_null(row) {
        return None;
    }
    let elements = match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().value(row),
        DataType::LargeList(_) => column.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => column.as_fixed_size_list().value(row),
        _ => return None,
    };
    if elements
        .nulls()
        .is_some_and(|nulls: &NullBuffer| nulls.null_count() > 0)
    {
        return Some(Reason::NullFeature);
    }
    match elements.data_type() {
        DataType::Float16 => worst(elements.as_primitive::<Float16Type>()),
        DataType::Float32 => worst(elements.as_primitive::<Float32Type>()),
        DataType::Float64 => worst(elements.as_primitive::<Float64Type>()),
        _ => None,
    }
}

fn not_finite<F: Float>(value: F) -> Option<Reason> {
    if value.is_finite() {
        None
    } else if value.is_nan() {
        Some(Reason::NanFeature)
    } else {
        Some(Reason::InfFeature)
    }
}

fn worst<T: ArrowPrimitiveType>(elements: &PrimitiveArray<T>) -> Option<Reason>
where
    T::Native: Float,
{
    let values = elements.values();
    if values.iter().fold(true, |finite, value| finite & value.is_finite()) {
        None
    } else if values.iter().any(|value| value.is_nan()) {
        Some(Reason::NanFeature)
    } else {
        Some(Reason::InfFeature)
    }
}

fn positions<T: ArrowPrimitiveType>(
    values: &ArrayRef,
    wrong: impl Fn(T::Native) -> bool,
    note: &mut impl FnMut(usize),
) {
    let values = values.as_primitive::<T>().values();
    if values.iter().fold(false, |any, &value| any | wrong(value)) {
        (0..values.len())
            .filter(|&position| wrong(values[position]))
            .for_each(note);
    }
}

fn bad(row: usize, reason: Reason, column: &str) -> BadRow {
    BadRow {
        row,
        reason,
        column: column.to_owned(),
    }
}

/// What the float types have in common here.
pub trait Float: Copy {
    /// Neither infinite nor NaN, in a tensor either.
    fn is_finite(self) -> bool;
    /// Not a number.
    fn is_nan(self) -> bool;
}

macro_rules! float {
    ($native:ty) => {
        impl Float for $native {
            #[inline]
            fn is_finite(self) -> bool {
                <$native>::is_finite(self)
            }
            #[inline]
            fn is_nan(self) -> bool {
                <$native>::is_nan(self)
            }
        }
    };
}

float!(f32);
float!(half::f16);

impl Float for f64 {
    /// A value that no float32 holds would become infinite on its way into a tensor.
    #[inline]
    fn is_finite(self) -> bool {
        self.abs() <= f64::from(f32::MAX)
    }
    #[inline]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
}
