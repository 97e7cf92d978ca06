//! Columns for which a reader opens nothing of a data set, also where nobody asks for the column.
//!
//! Tried with Apache Spark 4.3.0 and Polars 2.1.0 on files of one such column beside a number. `README.md` has the table.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use parquet::schema::types::{SchemaDescriptor, Type};
use serde::Serialize;

const SPARK: &str = "Spark 4.3";
const POLARS: &str = "Polars 2.1";

/// Digits of a decimal that Spark holds.
const SPARK_DIGITS: i32 = 38;

/// A reader that does not open files with a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The reader, with the version that was tried.
    pub reader: &'static str,
    /// Path of the column.
    pub column: String,
    /// The type that it refuses.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What readers refuse of the output's columns, in their order.
pub fn refusals(columns: &SchemaDescriptor) -> Vec<Refusal> {
    let mut found = Vec::new();
    for column in columns.root_schema().get_fields() {
        look(column, column.name().to_owned(), &mut found);
    }
    found
}

fn look(node: &Type, column: String, found: &mut Vec<Refusal>) {
    if node.is_group() {
        for child in node.get_fields() {
            look(child, format!("{column}.{}", child.name()), found);
        }
    }
    if let Some((reader, kind)) = refused(node) {
        found.push(Refusal { reader, column, kind });
    }
}

fn refused(node: &Type) -> Option<(&'static str, &'static str)> {
    let info = node.get_basic_info();
    match info.logical_type_ref() {
        Some(LogicalType::Variant(_)) => Some((POLARS, "VARIANT")),
        Some(LogicalType::Float16) => Some((SPARK, "FLOAT16")),
        Some(LogicalType::Time(_)) => Some((SPARK, "TIME")),
        Some(LogicalType::Uuid) => Some((SPARK, "UUID")),
        Some(LogicalType::Timestamp(stamp)) if stamp.unit == TimeUnit::NANOS => {
            Some((SPARK, "TIMESTAMP in nanoseconds"))
        }
        Some(LogicalType::Decimal(decimal)) if decimal.precision > SPARK_DIGITS => {
            Some((SPARK, "DECIMAL of more than 38 digits"))
        }
        _ if info.converted_type() == ConvertedType::INTERVAL => Some((SPARK, "INTERVAL")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::schema::parser::parse_message_type;

    use super::*;

    #[test]
    fn types_that_a_reader_refuses_are_found_wherever_they_stand() {
        let message = "message m {
            optional int64 plain;
            optional binary document (JSON);
            optional fixed_len_byte_array(16) bytes;
            optional int64 micros (TIMESTAMP(MICROS, true));
            optional int64 nanos (TIMESTAMP(NANOS, true));
            optional fixed_len_byte_array(2) half (FLOAT16);
            optional group many (LIST) { repeated group list { optional fixed_len_byte_array(16) element (UUID); } }
            optional group inside { optional int32 clock (TIME(MILLIS, false)); }
            optional fixed_len_byte_array(16) small (DECIMAL(38, 2));
            optional fixed_len_byte_array(20) large (DECIMAL(39, 2));
        }";
        let columns = SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap()));
        let found = refusals(&columns).into_iter().map(|found| (found.column, found.kind));
        let expected = [
            ("nanos", "TIMESTAMP in nanoseconds"),
            ("half", "FLOAT16"),
            ("many.list.element", "UUID"),
            ("inside.clock", "TIME"),
            ("large", "DECIMAL of more than 38 digits"),
        ];
        let expected = expected.map(|(column, kind)| (column.to_owned(), kind));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
