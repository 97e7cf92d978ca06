//! What Parquet says of a column and Arrow does not: that bytes are a UUID, a text a JSON document, a time of day one of UTC.
//!
//! A carried column leaves with the annotations that it came with. They are kept beside the Arrow types, since decoded rows do not need them.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

/// The annotations of a column, each with its place in it: which child of which child.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations(Vec<(Vec<usize>, LogicalType)>);

impl Annotations {
    /// Those of a column of a file.
    pub(super) fn of(column: &Type) -> Self {
        let mut found = Vec::new();
        note(column, &mut Vec::new(), &mut found);
        Self(found)
    }

    /// Whether Arrow says all of the column.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The column with its annotations. Places that hold something else now have none.
    pub fn applied(&self, column: &TypePtr) -> Result<TypePtr, ParquetError> {
        self.below(column, &mut Vec::new())
    }

    fn below(&self, node: &TypePtr, place: &mut Vec<usize>) -> Result<TypePtr, ParquetError> {
        let found = self.0.iter().find(|(at, _)| at == place).map(|(_, kind)| kind);
        let info = node.get_basic_info();
        let repetition = if info.has_repetition() {
            info.repetition()
        } else {
            Repetition::REQUIRED
        };
        let id = info.has_id().then(|| info.id());
        if node.is_primitive() {
            return Ok(match found.filter(|kind| fits(kind, node)) {
                None => Arc::clone(node),
                Some(kind) => Arc::new(
                    Type::primitive_type_builder(node.name(), node.get_physical_type())
                        .with_repetition(repetition)
                        .with_length(length(node))
                        .with_logical_type(Some(kind.clone()))
                        .with_id(id)
                        .build()?,
                ),
            });
        }
        let mut children = Vec::with_capacity(node.get_fields().len());
        for (child, field) in node.get_fields().iter().enumerate() {
            place.push(child);
            children.push(self.below(field, place)?);
            place.pop();
        }
        let own = found.filter(|kind| fits(kind, node)).cloned();
        let built = Type::group_type_builder(node.name())
            .with_repetition(repetition)
            .with_converted_type(info.converted_type())
            .with_logical_type(own.or_else(|| info.logical_type_ref().cloned()))
            .with_id(id)
            .with_fields(children)
            .build()?;
        Ok(Arc::new(built))
    }
}

fn note(node: &Type, place: &mut Vec<usize>, found: &mut Vec<(Vec<usize>, LogicalType)>) {
    let info = node.get_basic_info();
    if let Some(kind) = info.logical_type_ref().filter(|kind| is_beyond_arrow(kind)) {
        found.push((place.clone(), kind.clone()));
    }
    if node.is_group() {
        for (child, field) in node.get_fields().iter().enumerate() {
            place.push(child);
            note(field, place, found);
            place.pop();
        }
    }
}

/// Whether an annotation has no type of its own in Arrow.
fn is_beyond_arrow(kind: &LogicalType) -> bool {
    match kind {
        LogicalType::Uuid
        | LogicalType::Json
        | LogicalType::Bson
        | LogicalType::Variant(_)
        | LogicalType::Geometry(_)
        | LogicalType::Geography(_) => true,
        LogicalType::Time(time) => time.is_adjusted_to_u_t_c,
        _ => false,
    }
}

/// Whether an annotation can stand at a place of the output: values of another type there would be read as what they are not.
fn fits(kind: &LogicalType, node: &Type) -> bool {
    use parquet::basic::Type as Physical;
    if node.is_group() {
        return matches!(kind, LogicalType::Variant(_)) && node.get_basic_info().logical_type_ref().is_none();
    }
    match (kind, node.get_physical_type(), node.get_basic_info().logical_type_ref()) {
        (LogicalType::Uuid, Physical::FIXED_LEN_BYTE_ARRAY, None) => length(node) == 16,
        (LogicalType::Json, Physical::BYTE_ARRAY, None | Some(LogicalType::String))
        | (LogicalType::Bson | LogicalType::Geometry(_) | LogicalType::Geography(_), Physical::BYTE_ARRAY, None) => {
            true
        }
        (LogicalType::Time(wanted), _, Some(LogicalType::Time(found))) => wanted.unit == found.unit,
        _ => false,
    }
}

fn length(node: &Type) -> i32 {
    match node {
        Type::PrimitiveType { type_length, .. } => *type_length,
        Type::GroupType { .. } => -1,
    }
}

#[cfg(test)]
mod tests {
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::printer::print_schema;

    use super::*;

    /// A column of a message of one.
    fn column(text: &str) -> TypePtr {
        let message = parse_message_type(&format!("message m {{ {text} }}")).unwrap();
        Arc::clone(&message.get_fields()[0])
    }

    #[track_caller]
    fn expect(input: &str, output: &str, expected: &str) {
        let annotations = Annotations::of(&column(input));
        let printed = |column: &Type| {
            let mut text = Vec::new();
            print_schema(&mut text, column);
            String::from_utf8(text).unwrap()
        };
        let applied = annotations.applied(&column(output)).unwrap();
        assert_eq!(printed(&applied), printed(&column(expected)), "{input}");
    }

    #[test]
    fn annotation_goes_to_its_place_and_leaves_the_rest_as_it_is() {
        expect(
            "required fixed_len_byte_array(16) c (UUID);",
            "optional fixed_len_byte_array(16) c;",
            "optional fixed_len_byte_array(16) c (UUID);",
        );
        expect(
            "optional binary c (JSON);",
            "optional binary c (STRING);",
            "optional binary c (JSON);",
        );
        expect(
            "required int64 c (TIME(MICROS, true));",
            "optional int64 c (TIME(MICROS, false));",
            "optional int64 c (TIME(MICROS, true));",
        );
        // Writers name the groups of a list as they like.
        expect(
            "optional group c (LIST) { repeated group bag { optional group array { optional binary x (BSON); optional int32 y; } } }",
            "optional group c (LIST) { repeated group list { optional group element { optional binary x; optional int32 y; } } }",
            "optional group c (LIST) { repeated group list { optional group element { optional binary x (BSON); optional int32 y; } } }",
        );
    }

    #[test]
    fn annotation_of_other_values_than_those_that_are_written_is_dropped() {
        for (input, output) in [
            (
                "optional fixed_len_byte_array(16) c (UUID);",
                "optional binary c (STRING);",
            ),
            ("optional binary c (JSON);", "optional binary c (ENUM);"),
            (
                "optional int64 c (TIME(MICROS, true));",
                "optional int32 c (TIME(MILLIS, false));",
            ),
            ("optional group c { optional binary x (BSON); }", "optional int64 c;"),
            // Arrow says all of these.
            ("optional binary c (STRING);", "optional binary c;"),
            ("optional int32 c (DATE);", "optional int32 c;"),
        ] {
            expect(input, output, output);
        }
    }
}
