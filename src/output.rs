//! The columns of the output: what they are called, of which types they are, and how they are encoded.
//!
//! Written by `write`, put together by `publish`; both take the schema from here and know nothing of one another.

mod copy;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use parquet::arrow::{ArrowSchemaConverter, encode_arrow_schema};
use parquet::basic::{Compression, Encoding, LogicalType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescriptor, ColumnPath, SchemaDescPtr, SchemaDescriptor, Type};

pub use copy::copy_columns;
pub use refusals::{Refusal, refusals};

use crate::contract::{Contract, Output, TensorType, Verdict};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::plan::{Annotations, Columns};
use crate::validate::LineageColumns;

/// Level 3 is what readers of such files are used to; higher ones cost more than they save.
const ZSTD_LEVEL: i32 = 3;

/// Key under which Arrow keeps its own types in a Parquet footer.
const ARROW_SCHEMA: &str = "ARROW:schema";

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
    descriptor: SchemaDescPtr,
    part: SchemaRef,
    scored: SchemaRef,
    constants: SchemaRef,
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
    ) -> Result<Self, OutputError> {
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
        let descriptor = described(&Schema::new(part.clone()), &columns.annotations).map_err(SchemaError)?;
        let (scored, constants) = part.split_at(part.len() - lineage.len());
        Ok(Self {
            descriptor: Arc::new(descriptor),
            scored: Arc::new(Schema::new(scored.to_vec())),
            constants: Arc::new(Schema::new(constants.to_vec())),
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

    /// The columns in Parquet's own terms.
    pub fn descriptor(&self) -> &SchemaDescPtr {
        &self.descriptor
    }

    /// The columns of parts that differ from row to row.
    pub fn scored(&self) -> &SchemaRef {
        &self.scored
    }

    /// The columns of parts that are the same in each row.
    pub fn constants(&self) -> &SchemaRef {
        &self.constants
    }

    /// How the columns of parts are encoded. Numbers that hardly ever repeat are not worth a dictionary, which is looked up for each of
    /// them; keys and times grow by small steps.
    pub fn properties(&self) -> WriterPropertiesBuilder {
        let carried = self.carried.len();
        let fields = self.scored.fields().iter().enumerate();
        let places = self.descriptor.columns().iter().filter(|column| is_place(column));
        let properties = places.fold(properties(), |properties, column| {
            properties.set_column_statistics_enabled(column.path().clone(), EnabledStatistics::None)
        });
        fields.fold(properties, |properties, (position, field)| {
            let column = ColumnPath::from(field.name().as_str());
            match field.data_type() {
                DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                    properties.set_column_dictionary_enabled(column, false)
                }
                DataType::FixedSizeList(..) if position >= carried => {
                    let elements = ["list", ELEMENT].map(str::to_owned);
                    let path = ColumnPath::new([vec![field.name().clone()], elements.to_vec()].concat());
                    properties.set_column_dictionary_enabled(path, false)
                }
                DataType::Int64 | DataType::Timestamp(..) if position < carried => properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
                _ => properties,
            }
        })
    }

    /// Keys and passthrough columns.
    pub fn carried(&self) -> &[FieldRef] {
        &self.carried
    }

    /// Lineage columns.
    pub fn lineage(&self) -> &[Lineage] {
        &self.lineage
    }

    /// A file of these columns without rows, as text, from which a file of parts can be begun by any process.
    pub fn template(&self) -> Result<String, SchemaError> {
        encode_template(&self.descriptor, &self.logical).map_err(SchemaError)
    }
}

/// Whether a column holds shapes, whose bytes have no order.
pub fn is_place(column: &ColumnDescriptor) -> bool {
    matches!(
        column.logical_type_ref(),
        Some(LogicalType::Geometry(_) | LogicalType::Geography(_))
    )
}

/// The columns in Parquet's own terms: as Arrow's types say, with what these do not say.
fn described(schema: &Schema, annotations: &BTreeMap<String, Annotations>) -> Result<SchemaDescriptor, ParquetError> {
    let descriptor = ArrowSchemaConverter::new().convert(schema)?;
    if annotations.is_empty() {
        return Ok(descriptor);
    }
    let root = descriptor.root_schema();
    let columns = root
        .get_fields()
        .iter()
        .map(|column| match annotations.get(column.name()) {
            Some(annotations) => annotations.applied(column),
            None => Ok(Arc::clone(column)),
        });
    let root = Type::group_type_builder(root.name()).with_fields(columns.collect::<Result<_, _>>()?);
    Ok(SchemaDescriptor::new(Arc::new(root.build()?)))
}

fn encode_template(descriptor: &SchemaDescriptor, logical: &Schema) -> Result<String, ParquetError> {
    let types = KeyValue::new(ARROW_SCHEMA.to_owned(), encode_arrow_schema(logical));
    let properties = properties().set_key_value_metadata(Some(vec![types])).build();
    let writer = SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), Arc::new(properties))?;
    Ok(BASE64.encode(writer.into_inner()?))
}

/// The footer of a template, which holds the columns.
pub fn template(text: &str) -> Result<ParquetMetaData, ParquetError> {
    let bytes = BASE64
        .decode(text)
        .map_err(|error| ParquetError::External(Box::new(error)))?;
    ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(bytes))
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

/// Name of the elements of a list, by the specification of Parquet; Arrow calls them `item`, and some readers look for a column by its path.
pub const ELEMENT: &str = "element";

/// A column as a reader sees it.
fn plain(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(
        field.name(),
        as_written(field.data_type()),
        field.is_nullable(),
    ))
}

/// The type that stands for another one in a file. A dictionary is a way to write a column and not a type that a reader should see; of a
/// `date64` Parquet would know the milliseconds and not that it is a date.
fn as_written(kind: &DataType) -> DataType {
    let inside = |field: &FieldRef, name: &str| -> FieldRef {
        Arc::new(Field::new(name, as_written(field.data_type()), field.is_nullable()))
    };
    match kind {
        DataType::Dictionary(_, value) => as_written(value),
        DataType::Date64 => DataType::Date32,
        DataType::List(field) => DataType::List(inside(field, ELEMENT)),
        DataType::LargeList(field) => DataType::LargeList(inside(field, ELEMENT)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inside(field, ELEMENT), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| inside(field, field.name())).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inside(entries, entries.name()), *sorted),
        other => other.clone(),
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
            let list = DataType::FixedSizeList(Arc::new(Field::new(ELEMENT, value, false)), size);
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

/// Why there is no output of such columns.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Names clash.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The columns have no form in Parquet.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl Seam for OutputError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Name(error) => error.exit(),
            Self::Schema(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Name(error) => error.hint(),
            Self::Schema(_) => None,
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use parquet::arrow::ArrowSchemaConverter;

    use super::{encode_template, template};

    #[test]
    fn files_can_be_begun_from_their_template() {
        let utc = || Some("UTC".into());
        let item = |kind| Arc::new(Field::new_list_field(kind, false));
        let kinds = [
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::UInt8,
            DataType::UInt16,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float16,
            DataType::Float32,
            DataType::Float64,
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Binary,
            DataType::FixedSizeBinary(16),
            DataType::Date32,
            DataType::Time32(TimeUnit::Millisecond),
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Timestamp(TimeUnit::Millisecond, utc()),
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Nanosecond, utc()),
            DataType::Decimal128(9, 2),
            DataType::Decimal128(38, 10),
            DataType::Decimal256(60, 4),
            DataType::List(item(DataType::Utf8)),
            DataType::LargeList(item(DataType::Int64)),
            DataType::FixedSizeList(item(DataType::Float32), 8),
            DataType::Struct(vec![Field::new("a b", DataType::Int32, true)].into()),
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        ];
        for (number, kind) in kinds.into_iter().enumerate() {
            for nullable in [true, false] {
                let name = format!("c{number}");
                let schema = Schema::new(vec![Field::new(&name, kind.clone(), nullable)]);
                let expected = ArrowSchemaConverter::new().convert(&schema).unwrap();
                let read = template(&encode_template(&expected, &schema).unwrap()).unwrap();
                assert_eq!(read.file_metadata().schema(), expected.root_schema(), "{name}");
            }
        }
    }

    #[test]
    fn names_of_columns_may_be_any_text() {
        for name in ["amount in €", "a;b", "x (y)", "required", "=", "{", "täg"] {
            let schema = Schema::new(vec![Field::new(name, DataType::Int64, false)]);
            let expected = ArrowSchemaConverter::new().convert(&schema).unwrap();
            let read = template(&encode_template(&expected, &schema).unwrap()).unwrap();
            assert_eq!(read.file_metadata().schema(), expected.root_schema(), "{name}");
        }
    }
}
