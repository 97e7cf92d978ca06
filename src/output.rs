//! The columns of the output: what they are called, of which types they are, and how they are encoded.
//!
//! Written by `write`, put together by `publish`; both take the schema from here and know nothing of one another.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use parquet::arrow::{ArrowSchemaConverter, encode_arrow_schema};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::printer::print_schema;

use crate::contract::{Contract, Output, TensorType, Verdict};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::plan::Columns;
use crate::validate::LineageColumns;

/// Level 3 is what readers of such files are used to; higher ones cost more than they save.
const ZSTD_LEVEL: i32 = 3;

/// Column of the path; a column of the file with the same name would hide it or clash with it, depending on the reader.
const PARTITION_COLUMN: &str = "date";

/// Where a row comes from: one value for the whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lineage {
    /// A column of text.
    Text(String, String),
    /// A column of microseconds since 1970 UTC.
    Time(String, i64),
}

impl Lineage {
    fn name(&self) -> &str {
        match self {
            Self::Text(name, _) | Self::Time(name, _) => name,
        }
    }
}

/// The columns of the output, in order.
#[derive(Debug, Clone)]
pub struct OutputSchema {
    logical: SchemaRef,
    part: SchemaRef,
    carried: Vec<FieldRef>,
    lineage: Vec<Lineage>,
}

impl OutputSchema {
    /// Puts the columns together: keys, passthrough, outputs, decision, lineage.
    pub fn new(
        columns: &Columns,
        contract: &Contract,
        names: &LineageColumns,
        inference_time: DateTime<Utc>,
        run_id: &str,
    ) -> Result<Self, NameError> {
        let carried: Vec<FieldRef> = columns.carried().map(plain).collect();
        let mut part = carried.clone();
        part.extend(contract.outputs.iter().flat_map(output_fields));
        part.extend(decision_field(contract));
        let time = inference_time.timestamp_micros();
        let lineage: Vec<_> = names
            .named()
            .map(|(what, name)| match what {
                "model_name" => Lineage::Text(name.to_owned(), contract.name.clone()),
                "model_version" => Lineage::Text(name.to_owned(), contract.version.clone()),
                "inference_timestamp" => Lineage::Time(name.to_owned(), time),
                _ => Lineage::Text(name.to_owned(), run_id.to_owned()),
            })
            .collect();
        part.extend(
            lineage
                .iter()
                .map(|lineage| Arc::new(Field::new(lineage.name(), lineage_type(lineage), false))),
        );
        unique(&part)?;
        Ok(Self {
            logical: Arc::new(Schema::new(part.iter().map(plain).collect::<Vec<_>>())),
            part: Arc::new(Schema::new(part)),
            carried,
            lineage,
        })
    }

    /// The columns as a reader will see them.
    pub fn logical(&self) -> &SchemaRef {
        &self.logical
    }

    /// The columns as parts are made of them: constants are dictionaries there.
    pub fn part(&self) -> &SchemaRef {
        &self.part
    }

    /// Keys and passthrough columns.
    pub fn carried(&self) -> &[FieldRef] {
        &self.carried
    }

    /// Lineage columns.
    pub fn lineage(&self) -> &[Lineage] {
        &self.lineage
    }

    /// The columns as a Parquet message type, from which a file of parts can be begun by any process.
    pub fn message_type(&self) -> Result<String, SchemaError> {
        let descriptor = ArrowSchemaConverter::new().convert(&self.part).map_err(SchemaError)?;
        let mut text = Vec::new();
        print_schema(&mut text, descriptor.root_schema());
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The columns as Arrow keeps them in a Parquet footer.
    pub fn arrow_schema(&self) -> String {
        encode_arrow_schema(&self.logical)
    }
}

/// How the columns are encoded.
pub fn properties() -> WriterPropertiesBuilder {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(level))
        // A part is one row group; row groups are bounded by the size of a chunk.
        .set_max_row_group_row_count(Some(usize::MAX))
        .set_created_by(concat!("batch-infer ", env!("CARGO_PKG_VERSION")).to_owned())
}

/// A dictionary is a way to write a column, not a type that a reader should see.
fn plain(field: &FieldRef) -> FieldRef {
    match field.data_type() {
        DataType::Dictionary(_, value) => {
            Arc::new(Field::new(field.name(), value.as_ref().clone(), field.is_nullable()))
        }
        _ => Arc::new(Field::new(field.name(), field.data_type().clone(), field.is_nullable())),
    }
}

/// Text that repeats, as a dictionary.
fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn lineage_type(lineage: &Lineage) -> DataType {
    match lineage {
        Lineage::Text(..) => dictionary(),
        Lineage::Time(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

/// True when an output is one number a row.
pub fn is_scalar(output: &Output) -> bool {
    output.shape.len() == 1 || output.shape[1..] == [1]
}

fn value_type(dtype: TensorType) -> DataType {
    match dtype {
        TensorType::Bool => DataType::Boolean,
        // The contract's check refuses bfloat16 as an output.
        other => other.arrow().unwrap_or(DataType::Float32),
    }
}

fn output_fields(output: &Output) -> Vec<FieldRef> {
    let value = value_type(output.dtype);
    let scalar = |name: &String| Arc::new(Field::new(name, value.clone(), false));
    match &output.columns {
        Some(names) => names.iter().map(scalar).collect(),
        None if is_scalar(output) => vec![scalar(&output.column)],
        None => {
            let size = i32::try_from(output.width()).unwrap_or(i32::MAX);
            let list = DataType::FixedSizeList(Arc::new(Field::new_list_field(value, false)), size);
            vec![Arc::new(Field::new(&output.column, list, false))]
        }
    }
}

fn decision_field(contract: &Contract) -> Option<FieldRef> {
    let decision = contract.decision.as_ref()?;
    let kind = match decision.verdict()? {
        Verdict::Threshold(_) => DataType::Int8,
        Verdict::Labels(_) => dictionary(),
    };
    Some(Arc::new(Field::new(&decision.column, kind, false)))
}

fn unique(fields: &[FieldRef]) -> Result<(), NameError> {
    let mut seen = BTreeSet::new();
    for field in fields {
        let name = field.name();
        // Some readers do not tell names by case.
        let problem = if name.eq_ignore_ascii_case(PARTITION_COLUMN) {
            "a column that the path already carries,"
        } else if !seen.insert(name.to_lowercase()) {
            "two columns"
        } else {
            continue;
        };
        return Err(NameError {
            column: name.clone(),
            problem,
        });
    }
    Ok(())
}

/// The columns have no form in Parquet.
#[derive(Debug, thiserror::Error)]
#[error("describe the output's columns in Parquet's terms")]
pub struct SchemaError(#[source] ParquetError);

impl Seam for SchemaError {
    fn exit(&self) -> ExitCode {
        ExitCode::Config
    }
}

/// Two output columns of one name, or one that the path already carries.
#[derive(Debug, thiserror::Error)]
#[error("the output would have {problem} `{column}`")]
pub struct NameError {
    column: String,
    problem: &'static str,
}

impl Seam for NameError {
    fn exit(&self) -> ExitCode {
        ExitCode::Config
    }

    fn hint(&self) -> Option<String> {
        Some(
            "drop the column from `input.passthrough`, rename lineage columns under [output.columns], or rename the column in the contract's `outputs` or `decision`"
                .to_owned(),
        )
    }
}
