//! Columns of other types that are plainly numbers are features as they are, and give what their values say.

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::{cast, unary};
use arrow::datatypes::{DataType, Float64Type};

use crate::support::{JobFixture, Run, map_column};

/// A run whose amounts are whole and small, in a column of that type.
fn with_amounts(kind: &DataType) -> Run {
    let kind = kind.clone();
    let change = move |values: &ArrayRef| -> ArrayRef {
        // Whole numbers below 2048 are the same in every type here, half precision included.
        let whole: arrow::array::Float64Array = unary(values.as_primitive::<Float64Type>(), |value: f64| {
            value.round().min(100.0)
        });
        cast(&whole, &kind).unwrap()
    };
    JobFixture::new()
        .rows(500)
        .features(|features| features.changed(None, move |batch| map_column(batch, "amount", &change)))
        .run()
}

#[test]
fn integers_and_floats_of_any_width_are_numbers() {
    let expected = with_amounts(&DataType::Float64);
    let expected = expected.expect_rows(500).partition();
    for kind in [DataType::Int64, DataType::Int16, DataType::UInt8, DataType::Float32] {
        with_amounts(&kind)
            .expect_rows(500)
            .partition()
            .expect_predictions_of(&expected);
    }
}

#[test]
fn half_precision_is_a_number() {
    let expected = with_amounts(&DataType::Float64);
    with_amounts(&DataType::Float16)
        .expect_rows(500)
        .partition()
        .expect_predictions_of(&expected.partition());
}

#[test]
fn dictionary_and_large_strings_are_strings() {
    let expected = JobFixture::new().rows(500).run();
    let dictionary = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    for kind in [dictionary, DataType::LargeUtf8, DataType::Utf8View] {
        let change = move |values: &ArrayRef| cast(values, &kind).unwrap();
        let fixture = JobFixture::new().rows(500);
        let run = fixture
            .features(|features| features.changed(None, move |batch| map_column(batch, "country", &change)))
            .run();
        run.expect_rows(500)
            .partition()
            .expect_predictions_of(&expected.partition());
    }
}

#[test]
fn files_may_differ_in_the_width_of_a_feature() {
    let expected = JobFixture::new().rows(500).files(2).run();
    let narrow = |values: &ArrayRef| cast(values, &DataType::Int64).unwrap();
    let fixture = JobFixture::new().rows(500).files(2);
    let run = fixture
        .features(|features| features.changed(1, move |batch| map_column(batch, "days_since_signup", narrow)))
        .run();
    run.expect_rows(500)
        .partition()
        .expect_predictions_of(&expected.partition());
}
