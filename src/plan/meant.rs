//! Gives columns the Arrow types that the Parquet schema means, where the reader's own choice is another.
//!
//! `INT96` is read as nanoseconds, which end in the year 2262 and wrap beyond it, and without a zone, though it is an instant. `ENUM` is
//! read as bytes, though the format says that it is UTF-8 (parquet-format, `LogicalTypes.md`). Bytes without an annotation are text only
//! where the job says so: old Hive and Impala write text like that.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

/// The types of a file's columns.
#[derive(Debug, Clone)]
pub(super) struct Meant {
    /// As they are meant.
    pub(super) schema: SchemaRef,
    /// As version 0.1 read them, where that differs.
    pub(super) earlier: Option<SchemaRef>,
}

/// The types that are meant by a file whose columns the reader gives in the types of `read`.
pub(super) fn by(parquet: &SchemaDescriptor, read: &SchemaRef, binary_as_string: bool) -> Meant {
    let annotated = |leaf: usize| is_int96(&parquet.column(leaf)) || is_enum(&parquet.column(leaf));
    let is_earlier = (0..parquet.num_columns()).any(annotated);
    let bare = |leaf: usize| binary_as_string && is_bare(&parquet.column(leaf));
    if !is_earlier && !(0..parquet.num_columns()).any(bare) {
        return Meant {
            schema: Arc::clone(read),
            earlier: None,
        };
    }
    let schema = with_leaves(read, parquet.num_columns(), |leaf, found| {
        let column = parquet.column(leaf);
        if is_int96(&column) {
            instant(TimeUnit::Microsecond)
        } else if is_enum(&column) || bare(leaf) {
            text(found)
        } else {
            found.clone()
        }
    });
    Meant {
        schema,
        earlier: is_earlier.then(|| Arc::clone(read)),
    }
}

/// The same types with `INT96` in whole seconds, which hold every day that `INT96` can name; `None` where no such column is read.
pub(super) fn in_seconds(
    parquet: &SchemaDescriptor,
    schema: &SchemaRef,
    is_read: impl Fn(usize) -> bool,
) -> Option<SchemaRef> {
    let is_instant = |leaf: usize| is_int96(&parquet.column(leaf));
    (0..parquet.num_columns())
        .any(|leaf| is_instant(leaf) && is_read(leaf))
        .then(|| {
            with_leaves(schema, parquet.num_columns(), |leaf, found| {
                if is_instant(leaf) {
                    instant(TimeUnit::Second)
                } else {
                    found.clone()
                }
            })
        })
}

/// The columns that are read and hold `INT96` anywhere inside.
pub(super) fn with_int96(parquet: &SchemaDescriptor, is_read: impl Fn(usize) -> bool) -> ProjectionMask {
    let leaves = 0..parquet.num_columns();
    let leaves = leaves.filter(|&leaf| is_read(leaf) && is_int96(&parquet.column(leaf)));
    ProjectionMask::roots(parquet, leaves.map(|leaf| parquet.get_column_root_idx(leaf)))
}

fn is_int96(column: &ColumnDescriptor) -> bool {
    column.physical_type() == Type::INT96
}

fn is_enum(column: &ColumnDescriptor) -> bool {
    column.physical_type() == Type::BYTE_ARRAY
        && match column.logical_type_ref() {
            Some(logical) => *logical == LogicalType::Enum,
            None => column.converted_type() == ConvertedType::ENUM,
        }
}

/// Bytes of which the file does not say what they are.
fn is_bare(column: &ColumnDescriptor) -> bool {
    column.physical_type() == Type::BYTE_ARRAY
        && column.logical_type_ref().is_none()
        && column.converted_type() == ConvertedType::NONE
}

fn instant(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

/// The text type that stores values as a type of bytes does.
fn text(found: &DataType) -> DataType {
    match found {
        DataType::Binary => DataType::Utf8,
        DataType::LargeBinary => DataType::LargeUtf8,
        DataType::BinaryView => DataType::Utf8View,
        DataType::Dictionary(key, value) => DataType::Dictionary(key.clone(), Box::new(text(value))),
        other => other.clone(),
    }
}

/// A schema with other types in its leaves, which lie in the order of the file's columns; as it is where they cannot be matched.
fn with_leaves(schema: &SchemaRef, columns: usize, mut kind: impl FnMut(usize, &DataType) -> DataType) -> SchemaRef {
    let mut leaf = 0;
    let mut next = |found: &DataType| {
        let meant = if leaf < columns {
            kind(leaf, found)
        } else {
            found.clone()
        };
        leaf += 1;
        meant
    };
    let fields: Fields = schema.fields().iter().map(|field| of_field(field, &mut next)).collect();
    if leaf == columns {
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    } else {
        Arc::clone(schema)
    }
}

fn of_field(field: &FieldRef, next: &mut impl FnMut(&DataType) -> DataType) -> FieldRef {
    let kind = of_type(field.data_type(), next);
    if kind == *field.data_type() {
        Arc::clone(field)
    } else {
        Arc::new(Field::clone(field).with_data_type(kind))
    }
}

fn of_type(kind: &DataType, next: &mut impl FnMut(&DataType) -> DataType) -> DataType {
    match kind {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| of_field(field, next)).collect()),
        DataType::List(element) => DataType::List(of_field(element, next)),
        DataType::LargeList(element) => DataType::LargeList(of_field(element, next)),
        DataType::ListView(element) => DataType::ListView(of_field(element, next)),
        DataType::LargeListView(element) => DataType::LargeListView(of_field(element, next)),
        DataType::FixedSizeList(element, size) => DataType::FixedSizeList(of_field(element, next), *size),
        DataType::Map(entries, sorted) => DataType::Map(of_field(entries, next), *sorted),
        leaf => next(leaf),
    }
}

#[cfg(test)]
mod tests {
    use parquet::arrow::parquet_to_arrow_schema;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn meant(message: &str, binary_as_string: bool) -> (Meant, SchemaRef) {
        let parquet = SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap()));
        let read = Arc::new(parquet_to_arrow_schema(&parquet, None).unwrap());
        (by(&parquet, &read, binary_as_string), read)
    }

    const NESTED: &str = "message spark {
        optional int96 at;
        optional group inside { required int32 n; optional int96 at; }
        optional group many (LIST) { repeated group list { optional int96 element; } }
        optional group named (MAP) { repeated group key_value { required binary key (ENUM); optional int96 value; } }
        optional binary plan (ENUM);
        optional binary bare;
        optional binary document (BSON);
        optional binary name (UTF8);
    }";

    #[test]
    fn int96_is_an_instant_in_microseconds_wherever_it_stands() {
        let (found, read) = meant(NESTED, false);
        let instant = || instant(TimeUnit::Microsecond);
        let kinds: Vec<_> = found
            .schema
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        assert_eq!(kinds[0], instant());
        let DataType::Struct(inside) = &kinds[1] else {
            panic!("{:?}", kinds[1])
        };
        assert_eq!(
            (inside[0].data_type(), inside[1].data_type()),
            (&DataType::Int32, &instant())
        );
        let DataType::List(element) = &kinds[2] else {
            panic!("{:?}", kinds[2])
        };
        assert_eq!(element.data_type(), &instant());
        let DataType::Map(entries, _) = &kinds[3] else {
            panic!("{:?}", kinds[3])
        };
        let DataType::Struct(entries) = entries.data_type() else {
            panic!("{entries:?}")
        };
        assert_eq!(
            (entries[0].data_type(), entries[1].data_type()),
            (&DataType::Utf8, &instant())
        );
        assert_eq!(
            kinds[4..],
            [DataType::Utf8, DataType::Binary, DataType::Binary, DataType::Utf8]
        );
        assert_eq!(found.earlier, Some(read));
    }

    #[test]
    fn bytes_without_annotation_are_text_where_the_job_says_so() {
        let (found, _) = meant(NESTED, true);
        let kind = |name: &str| found.schema.field_with_name(name).unwrap().data_type().clone();
        assert_eq!((kind("bare"), kind("document")), (DataType::Utf8, DataType::Binary));
    }

    #[test]
    fn other_files_keep_the_types_of_the_reader() {
        let message = "message other { required int64 id; optional binary name (UTF8); optional binary raw; }";
        let (found, read) = meant(message, false);
        assert!(Arc::ptr_eq(&found.schema, &read) && found.earlier.is_none());
        let (found, read) = meant(message, true);
        assert!(found.schema != read && found.earlier.is_none());
    }
}
