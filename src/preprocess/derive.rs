//! Derived features: columns computed from other columns of the same row, before any feature is read.
//!
//! Takes the expressions of a contract and record batches; gives the batches with the new columns behind. What looks at more than
//! one row is refused when parsed: chunks are scored separately, so each would get its own answer. It reads no files and replaces
//! no column.

mod error;
mod expression;
mod sql;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};

pub use error::DeriveError;
use expression::{Expression, Frame, Step};

/// A derived column as the model's metadata states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedColumn {
    /// Name of the new column.
    pub name: String,
    /// A row-wise Polars SQL expression, for example `amount / nullif(items, 0)`.
    pub sql: String,
}

/// The derived columns of a contract, parsed. Shared by all threads.
pub struct Derivation {
    expressions: Vec<Expression>,
    required: Vec<String>,
    /// The last schema seen, ready to run. The files of a partition nearly always agree.
    compiled: Mutex<Option<Arc<Compiled>>>,
}

/// The expressions for required columns of certain types.
struct Compiled {
    types: Vec<DataType>,
    steps: Vec<Step>,
}

impl Derivation {
    /// Parses and checks the expressions, without knowing the input.
    pub fn parse(columns: &[DerivedColumn]) -> Result<Self, DeriveError> {
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let mut expressions = Vec::with_capacity(columns.len());
        let mut required: Vec<String> = Vec::new();
        for (position, column) in columns.iter().enumerate() {
            if place(&column.name) != Some(position) {
                let column = column.name.clone();
                return Err(DeriveError::Repeated { column });
            }
            let expression = Expression::parse(column)?;
            for read in &expression.reads {
                match place(read) {
                    Some(other) if other >= position => {
                        let (column, other) = (column.name.clone(), read.clone());
                        return Err(DeriveError::OutOfOrder { column, other });
                    }
                    None if !required.contains(read) => required.push(read.clone()),
                    _ => {}
                }
            }
            expressions.push(expression);
        }
        let compiled = Mutex::default();
        Ok(Self {
            expressions,
            required,
            compiled,
        })
    }

    /// Input columns that the expressions read, in the order of first use. Derived columns are not among them.
    pub fn required_columns(&self) -> &[String] {
        &self.required
    }

    /// Names of the derived columns, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.expressions
            .iter()
            .map(|expression| expression.column.name.as_str())
    }

    /// Whether there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.expressions.is_empty()
    }

    /// Types of the derived columns for an input of this schema.
    pub fn output_fields(&self, input: &Schema) -> Result<Vec<Field>, DeriveError> {
        let compiled = self.compiled(input)?;
        Ok(compiled.steps.iter().map(|step| step.field.as_ref().clone()).collect())
    }

    /// Appends the derived columns to a batch.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, DeriveError> {
        let compiled = self.compiled(&batch.schema())?;
        let mut frame = self.frame(batch)?;
        let mut derived = Vec::with_capacity(compiled.steps.len());
        for (expression, step) in self.expressions.iter().zip(&compiled.steps) {
            derived.push((Arc::clone(&step.field), expression.run(step, &mut frame)?));
        }
        Ok(appended(batch, derived))
    }

    /// The required columns of a batch whose schema has been compiled for.
    fn frame(&self, batch: &RecordBatch) -> Result<Frame, DeriveError> {
        let mut frame = Frame::new(batch.num_rows());
        for name in &self.required {
            let array = batch.column_by_name(name).expect("its type was found when compiled");
            self.add(&mut frame, name, array)?;
        }
        Ok(frame)
    }

    fn add(&self, frame: &mut Frame, input: &str, array: &dyn Array) -> Result<(), DeriveError> {
        frame.add(input, array).map_err(|reason| DeriveError::Unreadable {
            column: self.reader(input),
            input: input.to_owned(),
            found: array.data_type().clone(),
            reason,
        })
    }

    /// The first derived column that reads a required one.
    fn reader(&self, input: &str) -> String {
        let mut reading = self
            .expressions
            .iter()
            .filter(|expression| expression.reads.iter().any(|read| read == input));
        reading
            .next()
            .expect("a column is required because an expression reads it")
            .column
            .name
            .clone()
    }

    /// The expressions for this schema, compiled now unless the last batch had the same types.
    fn compiled(&self, input: &Schema) -> Result<Arc<Compiled>, DeriveError> {
        let types = self.types(input)?;
        let last = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match last {
            Some(compiled) if compiled.types == types => Ok(compiled),
            _ => {
                // Without the lock: polars may wait on a pool, and a thread that waits may come by here again.
                let compiled = Arc::new(self.compile(types)?);
                *self.compiled.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&compiled));
                Ok(compiled)
            }
        }
    }

    /// Types of the required columns; they must be there and the derived ones must not.
    fn types(&self, input: &Schema) -> Result<Vec<DataType>, DeriveError> {
        if let Some(taken) = self.names().find(|name| input.column_with_name(name).is_some()) {
            return Err(DeriveError::Taken {
                column: taken.to_owned(),
            });
        }
        let type_of = |name: &String| match input.column_with_name(name) {
            Some((_, field)) => Ok(field.data_type().clone()),
            None => Err(DeriveError::missing(self.reader(name), name, input)),
        };
        self.required.iter().map(type_of).collect()
    }

    /// Compiles the expressions on a row of nulls.
    fn compile(&self, types: Vec<DataType>) -> Result<Compiled, DeriveError> {
        let mut frame = Frame::new(1);
        for (name, data_type) in self.required.iter().zip(&types) {
            self.add(&mut frame, name, &new_null_array(data_type, 1))?;
        }
        let steps = self.expressions.iter().map(|expression| expression.compile(&mut frame));
        let steps = steps.collect::<Result<_, _>>()?;
        Ok(Compiled { types, steps })
    }
}

/// A batch with more columns behind.
fn appended(batch: &RecordBatch, more: Vec<(FieldRef, ArrayRef)>) -> RecordBatch {
    let (more_fields, more_columns): (Vec<_>, Vec<_>) = more.into_iter().unzip();
    let schema = batch.schema();
    let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain(more_fields).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let columns = batch.columns().iter().cloned().chain(more_columns).collect();
    // A batch without columns does not know its rows otherwise.
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(schema, columns, &options);
    batch.expect("a derived column is of its field's type and has the batch's rows")
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.expressions.iter().map(|expression| &expression.column))
            .finish()
    }
}
