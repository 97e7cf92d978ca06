//! One derived column's expression, from its text to its values. The only file that names polars.
//!
//! What looks at more than one row is refused, by what polars itself says of each function. Expressions are compiled once for a
//! schema and run on the calling thread: neither polars' thread pool nor its query engine is woken. Arrays cross over by the Arrow C
//! data interface.
//!
//! Semantics: `/` gives a float (`1 / 0` is infinity), of decimals a decimal, which fails on zero; `//`, `div` and `%` give null for
//! a zero divisor; integers wrap; `CAST` fails on a value that does not fit, `TRY_CAST` gives null; both arms of a `CASE` are
//! computed; NaN equals NaN and is greater than any number.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use polars::error::{PolarsResult, set_warning_function};
use polars::frame::DataFrame;
use polars::lazy::dsl::{BaseColumnUdf, Expr, OpaqueColumnUdf, new_column_udf};
use polars::polars_utils::arena::{Arena, Node};
use polars::polars_utils::idx_vec::UnitVec;
use polars::prelude::{self as pl, ChunkCompareIneq, Column, CompatLevel};
use polars::series::Series;
use polars::sql::sql_expr;
use polars_arrow::ffi as c;
use polars_expr::prelude::{ExecutionState, PhysicalExpr};
use polars_expr::{ExpressionConversionState, create_physical_expr};
use polars_plan::plans::{
    AExpr, ExprToIRContext, IR, IRAggExpr, IRBuilder, IRFunctionExpr, is_elementwise, is_regex_projection, to_expr_ir,
};
use polars_plan::prelude::{FunctionOptions, ProjectionOptions};

use super::sql::{MAX_OPERATORS, calls, operators};
use super::{DeriveError, DerivedColumn};

/// A parsed expression.
pub(super) struct Expression {
    /// What the metadata says.
    pub(super) column: DerivedColumn,
    /// Columns that it reads, in the order of first use.
    pub(super) reads: Vec<String>,
    expr: Expr,
}

/// An expression compiled for columns of certain types.
pub(super) struct Step {
    /// The derived column as arrow has it.
    pub(super) field: FieldRef,
    evaluator: Arc<dyn PhysicalExpr>,
    dtype: pl::DataType,
}

/// The columns that expressions read, as polars has them.
pub(super) struct Frame(DataFrame);

impl Frame {
    /// A frame without columns.
    pub(super) fn new(rows: usize) -> Self {
        Self(DataFrame::new(rows, Vec::new()).expect("no columns are of one length"))
    }

    /// Adds an input column; if polars does not know its type, says why.
    pub(super) fn add(&mut self, name: &str, array: &dyn Array) -> Result<(), String> {
        let column = guarded(|| import(name, array))?;
        told(self.0.with_column(column)).map(drop)
    }
}

impl Expression {
    /// Parses and checks an expression, without knowing the input.
    pub(super) fn parse(column: &DerivedColumn) -> Result<Self, DeriveError> {
        // It would print for every batch what polars 2 will do otherwise.
        set_warning_function(|_, _| {});
        let DerivedColumn { name, sql } = column;
        let syntax = |reason| DeriveError::Syntax {
            column: name.clone(),
            sql: sql.clone(),
            reason,
        };
        if operators(sql) > MAX_OPERATORS {
            return Err(syntax(format!("has more than {MAX_OPERATORS} operators")));
        }
        let expr = guarded(|| told(sql_expr(sql))).map_err(syntax)?;
        if let Expr::Alias(_, alias) = &expr
            && alias != name
        {
            return Err(DeriveError::Renamed {
                column: name.clone(),
                alias: alias.to_string(),
            });
        }
        if expr.into_iter().any(names_many) {
            return Err(DeriveError::ManyColumns {
                column: name.clone(),
                sql: sql.clone(),
            });
        }
        let mut nodes = Arena::new();
        let root = guarded(|| {
            let schema = pl::Schema::default();
            let mut context = ExprToIRContext::new_no_verification(&mut nodes, &schema);
            told(to_expr_ir(expr.clone(), &mut context))
        });
        let reads = match reads(root.map_err(syntax)?.node(), &nodes) {
            // Polars makes it the row's own value, whatever the window says; whoever writes it means more.
            Ok(_) if calls(sql, "last_value") => Err("last_value".to_owned()),
            other => other,
        };
        let reads = reads.map_err(|function| DeriveError::NotRowWise {
            column: name.clone(),
            function,
        })?;
        Ok(Self {
            column: column.clone(),
            reads,
            expr,
        })
    }

    /// Compiles the expression and adds its column to the frame. It runs once on what the frame holds, which shows the type of the
    /// result and whatever polars finds only when it computes.
    pub(super) fn compile(&self, frame: &mut Frame) -> Result<Step, DeriveError> {
        guarded(|| Step::compile(self.expr.clone(), &self.column.name, &mut frame.0)).map_err(|reason| {
            let DerivedColumn { name: column, sql } = self.column.clone();
            DeriveError::Mistyped { column, sql, reason }
        })
    }

    /// Computes the column as compiled, adds it to the frame for the expressions behind and gives it as arrow has it.
    pub(super) fn run(&self, step: &Step, frame: &mut Frame) -> Result<ArrayRef, DeriveError> {
        guarded(|| step.run(&mut frame.0)).map_err(|reason| {
            let DerivedColumn { name: column, sql } = self.column.clone();
            DeriveError::Failed { column, sql, reason }
        })
    }
}

impl Step {
    fn compile(expr: Expr, name: &str, frame: &mut DataFrame) -> Result<Self, String> {
        let schema = Arc::clone(frame.schema());
        let (mut nodes, mut plans) = (Arena::new(), Arena::new());
        let scan = IR::DataFrameScan {
            df: Arc::new(frame.clone()),
            schema: Arc::clone(&schema),
            output_schema: None,
        };
        let mut builder = IRBuilder::from_lp(scan, &mut nodes, &mut plans);
        let expr = vec![told(builder.add_expr(expr.alias(name)))?];
        let options = ProjectionOptions::default();
        // The rules for types look at the schema of the scan; the projection's own is never asked for.
        let select = |input| IR::Select {
            input,
            expr,
            schema: Arc::clone(&schema),
            options,
        };
        let root = told(builder.add_alp_optimize_exprs(select))?.node();
        let IR::Select { expr, .. } = plans.get(root) else {
            return Err("polars made more than a projection of it".to_owned());
        };
        // Types are known now, and what some functions do depends on them.
        reads(expr[0].node(), &nodes).map_err(|function| format!("`{function}` looks at more than one row"))?;
        replace_extremes(&mut nodes);
        let mut state = ExpressionConversionState::new(false);
        let evaluator = told(create_physical_expr(&expr[0], &mut nodes, &schema, &mut state))?;
        let column = evaluate(evaluator.as_ref(), frame)?;
        let dtype = column.dtype().clone();
        if dtype == pl::DataType::Null {
            return Err("it is NULL in every row and so has no type; CAST it".to_owned());
        }
        let data_type = export(&column)?.data_type().clone();
        told(frame.with_column(column.with_name(name.into())))?;
        Ok(Self {
            field: Arc::new(Field::new(name, data_type, true)),
            evaluator,
            dtype,
        })
    }

    fn run(&self, frame: &mut DataFrame) -> Result<ArrayRef, String> {
        let mut column = evaluate(self.evaluator.as_ref(), frame)?;
        if column.dtype() != &self.dtype {
            column = told(column.strict_cast(&self.dtype))?;
        }
        let array = export(&column)?;
        told(frame.with_column(column))?;
        Ok(array)
    }
}

/// One value a row; a constant is repeated.
fn evaluate(evaluator: &dyn PhysicalExpr, frame: &DataFrame) -> Result<Column, String> {
    let column = told(evaluator.evaluate(frame, &ExecutionState::new()))?;
    match (column.len(), frame.height()) {
        (values, rows) if values == rows => Ok(column),
        (1, rows) => Ok(column.new_from_index(0, rows)),
        (values, rows) => Err(format!("gave {values} values for {rows} rows")),
    }
}

/// Columns that a row-wise expression reads, in the order of first use; or the name of what looks at more than one row.
fn reads(root: Node, nodes: &Arena<AExpr>) -> Result<Vec<String>, String> {
    let mut stack = UnitVec::new();
    stack.push(root);
    let mut reads: Vec<String> = Vec::new();
    while let Some(node) = stack.pop() {
        match nodes.get(node) {
            AExpr::Column(name) if !reads.iter().any(|read| read == name.as_str()) => reads.push(name.to_string()),
            expression if is_elementwise(&mut stack, expression, nodes) || is_constant(node, nodes) => {}
            expression => return Err(name_of(expression)),
        }
    }
    Ok(reads)
}

/// Whether a node is the same for every chunk although it is no row-wise function: the list of an `IN`, a date written as text.
fn is_constant(node: Node, nodes: &Arena<AExpr>) -> bool {
    match nodes.get(node) {
        AExpr::Literal(_) => true,
        AExpr::Cast { expr: input, .. } | AExpr::Agg(IRAggExpr::Implode { input, .. }) => is_constant(*input, nodes),
        AExpr::Function { input, options, .. } => {
            options.is_length_preserving() && input.iter().all(|input| is_constant(input.node(), nodes))
        }
        _ => false,
    }
}

/// What an SQL author would call an expression.
fn name_of(expression: &AExpr) -> String {
    match expression {
        AExpr::Agg(IRAggExpr::Mean(_)) => "avg".to_owned(),
        AExpr::Agg(IRAggExpr::Std(..)) => "stddev".to_owned(),
        AExpr::Agg(IRAggExpr::Var(..)) => "variance".to_owned(),
        AExpr::Agg(IRAggExpr::Implode { .. }) => "array_agg".to_owned(),
        AExpr::Agg(IRAggExpr::NUnique(_)) => "count(distinct)".to_owned(),
        AExpr::Agg(aggregate) => <&str>::from(aggregate).to_ascii_lowercase(),
        AExpr::Over { .. } => "over".to_owned(),
        AExpr::Len => "count".to_owned(),
        AExpr::Explode { .. } => "unnest".to_owned(),
        AExpr::Filter { .. } => "filter".to_owned(),
        AExpr::Function { function, .. } => function.to_string(),
        _ => "a function of the whole column".to_owned(),
    }
}

/// Whether a part of an expression stands for any number of columns: `*`, `columns(...)`, a quoted `"^pattern$"`.
fn names_many(expr: &Expr) -> bool {
    match expr {
        Expr::Selector(_) => true,
        Expr::Column(name) => is_regex_projection(name),
        _ => false,
    }
}

/// Puts our `greatest` and `least` in the place of polars'. Those say that NaN is the greatest number when any row of the batch is
/// null, and otherwise take the other number, so that a row's result would depend on its neighbours; and they wake the thread pool.
fn replace_extremes(nodes: &mut Arena<AExpr>) {
    for node in (0..nodes.len()).map(Node) {
        let AExpr::Function { input, function, .. } = nodes.get(node) else {
            continue;
        };
        let greatest = match function {
            IRFunctionExpr::MaxHorizontal => true,
            IRFunctionExpr::MinHorizontal => false,
            _ => continue,
        };
        let input = input.clone();
        let options = FunctionOptions::elementwise();
        let fmt_str = Box::new(function.to_string().into());
        nodes.replace(
            node,
            AExpr::AnonymousFunction {
                input,
                function: extreme(greatest),
                options,
                fmt_str,
            },
        );
    }
}

/// The greatest or least of columns that are of one type already; nulls are passed over.
fn extreme(greatest: bool) -> OpaqueColumnUdf {
    let better = move |best: Column, other: &Column| {
        let beats = if greatest { best.gt(other) } else { best.lt(other) }?;
        best.zip_with(&(beats & best.is_not_null() | other.is_null()), other)
    };
    let best = move |columns: &mut [Column]| -> PolarsResult<Column> {
        let (first, others) = columns.split_first().expect("it has at least one argument");
        others.iter().try_fold(first.clone(), better)
    };
    new_column_udf(BaseColumnUdf::new(best, |_: &pl::Schema, fields: &[pl::Field]| {
        Ok(fields[0].clone())
    }))
}

/// Hands an array to polars, without a copy of its values where polars knows the type.
fn import(name: &str, array: &dyn Array) -> Result<Column, String> {
    let plain = plain_type(array.data_type());
    let array = if plain == *array.data_type() {
        array.to_data()
    } else {
        told(cast(array, &plain))?.to_data()
    };
    let (array, schema) = told(to_ffi(&array))?;
    // SAFETY: both crates declare the structs of the Arrow C data interface, whose layout is fixed; each is moved, so that its
    // release callback runs once. arrow has just made them from a valid array, which is what the imports ask for.
    #[expect(unsafe_code, reason = "two arrow implementations meet at the C data interface")]
    let (field, array) = unsafe {
        let schema = std::mem::transmute::<FFI_ArrowSchema, c::ArrowSchema>(schema);
        let array = std::mem::transmute::<FFI_ArrowArray, c::ArrowArray>(array);
        let field = told(c::import_field_from_c(&schema))?;
        let array = told(c::import_array_from_c(array, field.dtype.clone()))?;
        (field, array)
    };
    let series = told(Series::try_from((&field, array)))?;
    Ok(series.with_name(name.into()).into())
}

/// Takes a column back as one plain array: text as `LargeUtf8`, not as views.
fn export(column: &Column) -> Result<ArrayRef, String> {
    let array = column
        .as_materialized_series()
        .rechunk()
        .to_arrow(0, CompatLevel::oldest());
    let schema = c::export_field_to_c(&pl::ArrowField::new(column.name().clone(), array.dtype().clone(), true));
    let array = c::export_array_to_c(array);
    // SAFETY: as in `import`, the other way round.
    #[expect(unsafe_code, reason = "two arrow implementations meet at the C data interface")]
    let data = unsafe {
        let schema = std::mem::transmute::<c::ArrowSchema, FFI_ArrowSchema>(schema);
        let array = std::mem::transmute::<c::ArrowArray, FFI_ArrowArray>(array);
        told(from_ffi(array, &schema))?
    };
    Ok(make_array(data))
}

/// The type as which polars gets a column: dictionaries as their values, float16 as float32.
fn plain_type(data_type: &DataType) -> DataType {
    let plain = |item: &FieldRef| {
        let data_type = plain_type(item.data_type());
        Arc::new(item.as_ref().clone().with_data_type(data_type))
    };
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::Float16 => DataType::Float32,
        DataType::List(item) => DataType::List(plain(item)),
        DataType::LargeList(item) => DataType::LargeList(plain(item)),
        DataType::FixedSizeList(item, width) => DataType::FixedSizeList(plain(item), *width),
        other => other.clone(),
    }
}

/// Runs polars. Its panics become reasons like its errors: no expression in a model's metadata may end the process.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(text.unwrap_or("polars panicked").to_owned())
    })
}

/// Some of polars' reasons print a whole syntax tree.
const REASON_CHARS: usize = 300;

/// An error as a reason, without the query plan that polars may append.
fn told<T, E: fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| {
        let text = error.to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let first = first.trim_end_matches(": optimizing 'projection' failed");
        first.chars().take(REASON_CHARS).collect()
    })
}
