//! One type for each column of a run, whatever the files say one by one.
//!
//! Writers name the same thing differently (`string`, `large_string`, a dictionary), and write it as wide as a day's values need. The type is
//! chosen from all files before any is read: what becomes of a row must not depend on the rows beside it.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, TimeUnit};

/// How far two types may lie apart to become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Wider types that hold each value of both just as it is: what is carried to the output.
    Exact,
    /// Numbers of other widths and timestamps of other units too: what is handed over as it is.
    Numbers,
    /// All that comes out the same after a cast that the contract permits.
    Casts,
}

/// The type that holds the values of both; `None` when there is none within reach.
pub(super) fn common(one: &DataType, other: &DataType, reach: Reach) -> Option<DataType> {
    let (one, other) = (plain(one), plain(other));
    same(&one, &other, reach).or_else(|| match reach {
        Reach::Exact => exact(&one, &other),
        Reach::Numbers => number(&one, &other).or_else(|| timestamp(&one, &other)),
        Reach::Casts => number(&one, &other)
            .or_else(|| timestamp(&one, &other))
            .or_else(|| decimal(&one, &other))
            .or_else(|| date(&one, &other)),
    })
}

/// A dictionary is a way to store values, not a type of its own; files number its keys each for itself.
pub(super) fn plain(found: &DataType) -> DataType {
    match found {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        other => other.clone(),
    }
}

/// The type in which the decoder is asked for a column of the file, as near to the planned one as decoding alone can come.
pub(super) fn decoded(found: &DataType, planned: &DataType) -> DataType {
    let found = plain(found);
    if is_string(&found) && is_string(&plain(planned)) {
        planned.clone()
    } else {
        found
    }
}

/// Whether columns of both types hold the same values, however strings are stored.
pub fn same_values(one: &DataType, other: &DataType) -> bool {
    one.equals_datatype(other) || is_string(one) && is_string(other)
}

pub(super) fn is_string(found: &DataType) -> bool {
    matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

pub(super) fn is_binary(found: &DataType) -> bool {
    matches!(found, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn same(one: &DataType, other: &DataType, reach: Reach) -> Option<DataType> {
    use DataType as T;
    match (one, other) {
        _ if one == other => Some(one.clone()),
        // A column that holds nothing but nulls is written without a type by some writers.
        (T::Null, typed) | (typed, T::Null) => Some(typed.clone()),
        (T::LargeUtf8, kind) | (kind, T::LargeUtf8) if is_string(kind) => Some(T::LargeUtf8),
        (a, b) if is_string(a) && is_string(b) => Some(T::Utf8),
        (T::LargeBinary, kind) | (kind, T::LargeBinary) if is_binary(kind) => Some(T::LargeBinary),
        (a, b) if is_binary(a) && is_binary(b) => Some(T::Binary),
        (T::FixedSizeList(a, size), T::FixedSizeList(b, length)) if size == length => {
            element(a, b, reach).map(|element| T::FixedSizeList(element, *size))
        }
        (a, b) => {
            let element = element(elements(a)?, elements(b)?, reach)?;
            let large = matches!(a, T::LargeList(_)) || matches!(b, T::LargeList(_));
            Some(if large { T::LargeList(element) } else { T::List(element) })
        }
    }
}

fn elements(found: &DataType) -> Option<&FieldRef> {
    match found {
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => Some(element),
        _ => None,
    }
}

fn element(one: &FieldRef, other: &FieldRef, reach: Reach) -> Option<FieldRef> {
    let kind = common(one.data_type(), other.data_type(), reach)?;
    Some(Arc::new(Field::new_list_field(kind, true)))
}

/// A wider type of the same kind in which no value of either changes.
fn exact(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType as T;
    match (one, other) {
        (a, b) if a.is_integer() && b.is_integer() => Some(integer(a, b)).filter(DataType::is_integer),
        (a, b) if a.is_floating() && b.is_floating() => Some(a.clone().max(b.clone())),
        (T::Float64, number) | (number, T::Float64) if integer_bits(number)? <= 53 => Some(T::Float64),
        (T::Float32, number) | (number, T::Float32) if integer_bits(number)? <= 24 => Some(T::Float32),
        (T::Float32, number) | (number, T::Float32) if integer_bits(number)? <= 53 => Some(T::Float64),
        (T::Decimal128(p, s), T::Decimal128(q, t)) => {
            let scale = *s.max(t);
            let whole = (i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t));
            let digits = u8::try_from(whole + i16::from(scale)).ok()?;
            (digits <= DECIMAL128_MAX_PRECISION).then_some(T::Decimal128(digits, scale))
        }
        // Nanoseconds end in the year 2262, and a local time is no instant.
        (T::Timestamp(a, zone), T::Timestamp(b, zoned))
            if (a == b || ![a, b].contains(&&TimeUnit::Nanosecond)) && zone.is_some() == zoned.is_some() =>
        {
            timestamp(one, other)
        }
        _ => None,
    }
}

/// Bits of the greatest integer of a type, without its sign.
fn integer_bits(kind: &DataType) -> Option<usize> {
    let bits = kind.primitive_width()? * 8;
    kind.is_integer().then(|| bits - usize::from(kind.is_signed_integer()))
}

fn number(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType as T;
    let (one, other) = match (one, other) {
        (T::Boolean, number) | (number, T::Boolean) => (&T::UInt8, number),
        both => both,
    };
    if one.is_integer() && other.is_integer() {
        return Some(integer(one, other));
    }
    let is_number = |kind: &DataType| kind.is_integer() || kind.is_floating();
    if !is_number(one) || !is_number(other) {
        return None;
    }
    match (one, other) {
        (T::Float16, T::Float32) | (T::Float32, T::Float16) => Some(T::Float32),
        (T::Float16, T::Float16) => Some(T::Float16),
        _ => Some(T::Float64),
    }
}

/// The wider of two; where signs differ, a signed one that holds both, or a float where none does.
fn integer(one: &DataType, other: &DataType) -> DataType {
    let width = |kind: &DataType| kind.primitive_width().unwrap_or(0);
    if one.is_signed_integer() == other.is_signed_integer() {
        return if width(one) >= width(other) {
            one.clone()
        } else {
            other.clone()
        };
    }
    let unsigned = if one.is_unsigned_integer() { one } else { other };
    if unsigned == &DataType::UInt64 {
        DataType::Float64
    } else {
        DataType::Int64
    }
}

/// A decimal becomes a float in any case, so it becomes the widest at once.
fn decimal(one: &DataType, other: &DataType) -> Option<DataType> {
    (one.is_numeric() && other.is_numeric()).then_some(DataType::Float64)
}

/// Timestamps of one unit, in UTC where zones differ: the zone says how an instant is shown, not when it is.
fn timestamp(one: &DataType, other: &DataType) -> Option<DataType> {
    let (DataType::Timestamp(a, zone), DataType::Timestamp(b, other)) = (one, other) else {
        return None;
    };
    let zone = if zone == other {
        zone.clone()
    } else {
        Some("UTC".into())
    };
    Some(DataType::Timestamp(unit(*a, *b), zone))
}

/// A date is the first instant of its day.
fn date(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType as T;
    let is_date = |kind: &DataType| matches!(kind, T::Date32 | T::Date64);
    match (one, other) {
        (T::Timestamp(_, zone), day) | (day, T::Timestamp(_, zone)) if is_date(day) => {
            Some(T::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        (a, b) if is_date(a) && is_date(b) => Some(T::Date64),
        _ => None,
    }
}

/// The finer of two, but not nanoseconds, which end in the year 2262.
fn unit(one: TimeUnit, other: TimeUnit) -> TimeUnit {
    match one.max(other) {
        TimeUnit::Nanosecond if one != other => TimeUnit::Microsecond,
        finer => finer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(element: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("element", element, false)))
    }

    fn dictionary(keys: DataType) -> DataType {
        DataType::Dictionary(Box::new(keys), Box::new(DataType::Utf8))
    }

    #[test]
    fn other_names_for_the_same_values_are_one_type_at_any_reach() {
        for reach in [Reach::Exact, Reach::Numbers, Reach::Casts] {
            for (one, other, expected) in [
                (DataType::Utf8, dictionary(DataType::Int8), DataType::Utf8),
                (dictionary(DataType::Int8), dictionary(DataType::Int32), DataType::Utf8),
                (DataType::Utf8View, DataType::Utf8, DataType::Utf8),
                (DataType::Utf8View, DataType::LargeUtf8, DataType::LargeUtf8),
                (DataType::Null, DataType::Int8, DataType::Int8),
                (DataType::BinaryView, DataType::Binary, DataType::Binary),
            ] {
                assert_eq!(common(&one, &other, reach), Some(expected.clone()), "{one} {other}");
                assert_eq!(common(&other, &one, reach), Some(expected), "{other} {one}");
            }
        }
    }

    #[test]
    fn only_other_names_for_the_same_values_are_the_same() {
        assert!(same_values(&DataType::Utf8, &DataType::LargeUtf8));
        assert!(same_values(&DataType::Int64, &DataType::Int64));
        for (one, other) in [
            (DataType::Utf8, DataType::Int64),
            (DataType::Int64, DataType::Int32),
            (DataType::Float64, DataType::Int64),
            (DataType::Timestamp(TimeUnit::Microsecond, None), DataType::Date32),
        ] {
            assert!(!same_values(&one, &other), "{one} {other}");
        }
    }

    #[test]
    fn numbers_meet_in_a_type_that_holds_both() {
        for (one, other, expected) in [
            (DataType::Int8, DataType::Int64, DataType::Int64),
            (DataType::UInt8, DataType::Int8, DataType::Int64),
            (DataType::UInt64, DataType::Int8, DataType::Float64),
            (DataType::Boolean, DataType::Int32, DataType::Int64),
            (DataType::Int32, DataType::Float64, DataType::Float64),
            (DataType::Int8, DataType::Float32, DataType::Float64),
            (DataType::Float16, DataType::Float32, DataType::Float32),
        ] {
            assert_eq!(
                common(&one, &other, Reach::Numbers),
                Some(expected.clone()),
                "{one} {other}"
            );
            assert_eq!(common(&other, &one, Reach::Casts), Some(expected), "{other} {one}");
        }
    }

    #[test]
    fn what_is_carried_is_widened_only_where_no_value_changes() {
        let local = |unit| DataType::Timestamp(unit, None);
        let instant = |unit| DataType::Timestamp(unit, Some("UTC".into()));
        let (millis, micros, nanos) = (TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond);
        for (one, other, expected) in [
            (DataType::Int8, DataType::Int64, Some(DataType::Int64)),
            (DataType::UInt32, DataType::Int32, Some(DataType::Int64)),
            (DataType::UInt64, DataType::Int8, None),
            (DataType::Float32, DataType::Float64, Some(DataType::Float64)),
            (DataType::Int16, DataType::Float32, Some(DataType::Float32)),
            (DataType::Int32, DataType::Float32, Some(DataType::Float64)),
            (DataType::Int32, DataType::Float64, Some(DataType::Float64)),
            (DataType::Int64, DataType::Float64, None),
            (DataType::Boolean, DataType::Int64, None),
            (DataType::Utf8, DataType::Int64, None),
            (
                DataType::Decimal128(10, 2),
                DataType::Decimal128(8, 4),
                Some(DataType::Decimal128(12, 4)),
            ),
            (DataType::Decimal128(38, 0), DataType::Decimal128(38, 10), None),
            (local(millis), local(micros), Some(local(micros))),
            (instant(millis), instant(micros), Some(instant(micros))),
            (local(micros), instant(micros), None),
            (instant(micros), instant(nanos), None),
            (DataType::Date32, local(micros), None),
        ] {
            assert_eq!(common(&one, &other, Reach::Exact), expected, "{one} {other}");
            assert_eq!(common(&other, &one, Reach::Exact), expected, "{other} {one}");
        }
    }

    #[test]
    fn timestamps_meet_in_a_unit_and_dates_only_where_they_are_cast() {
        let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("Asia/Tokyo".into()));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(common(&millis, &nanos, Reach::Exact), None);
        assert_eq!(common(&millis, &nanos, Reach::Numbers), Some(micros));
        assert_eq!(common(&millis, &DataType::Date32, Reach::Numbers), None);
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(common(&DataType::Date32, &millis, Reach::Casts), Some(micros));
    }

    #[test]
    fn lists_meet_in_their_elements() {
        let merged = common(&list(DataType::Float32), &list(DataType::Float64), Reach::Casts);
        assert_eq!(
            merged,
            Some(DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true))))
        );
        assert_eq!(
            common(&list(DataType::Float32), &list(DataType::Utf8), Reach::Casts),
            None
        );
        assert_eq!(common(&list(DataType::Float32), &DataType::Float32, Reach::Casts), None);
    }
}
