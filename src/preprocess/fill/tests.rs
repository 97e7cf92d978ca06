//! The contract's arithmetic on single columns, and how columns lie in a tensor.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array};
use arrow::buffer::MutableBuffer;

use super::super::column::Column;
use super::super::tokens::{Document, Padding};
use super::super::vocabulary::Codes;
use super::tensor;
use crate::batch::Layout;
use crate::contract::{DType, Input, Numeric, Side, TensorType, TextSource};

fn numeric() -> Numeric {
    Numeric {
        name: "x".to_owned(),
        dtype: DType::Float32,
        impute: None,
        log1p: false,
        mean: None,
        std: None,
        range: None,
        clip: None,
        cast: None,
    }
}

fn input(dtype: TensorType, width: i64) -> Input {
    Input {
        name: "dense".to_owned(),
        dtype,
        shape: vec![-1, width],
        columns: Vec::new(),
        source: None,
    }
}

fn floats(values: Vec<Option<f32>>, numeric: Numeric) -> Column {
    Column::Single(Float32Array::from(values), numeric)
}

fn filled(columns: &[&Column], rows: std::ops::Range<usize>) -> Vec<f32> {
    let width = i64::try_from(columns.len()).expect("few columns");
    let tensor = tensor(
        &input(TensorType::Float32, width),
        columns,
        &rows,
        MutableBuffer::default(),
    );
    tensor.data.typed_data::<f32>().to_vec()
}

#[test]
fn steps_are_impute_log1p_standardise_clip_in_that_order() {
    let numeric = Numeric {
        impute: Some(0.0),
        log1p: true,
        mean: Some(1.0),
        std: Some(0.5),
        clip: Some([-1.5, 2.0]),
        ..numeric()
    };
    let e = std::f32::consts::E;
    let column = floats(vec![Some(e - 1.0), None, Some(e * e * e), Some(0.5)], numeric);
    let found = filled(&[&column], 0..4);
    let expected = [0.0, -1.5, 2.0, (0.5f32.ln_1p() - 1.0) * 2.0];
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn nan_passes_through_the_clip() {
    let numeric = Numeric {
        clip: Some([-5.0, 5.0]),
        ..numeric()
    };
    let column = floats(vec![Some(f32::NAN)], numeric);
    assert!(filled(&[&column], 0..1)[0].is_nan());
}

#[test]
fn scalars_lie_column_by_column_and_a_range_of_rows_is_a_range() {
    let a = floats(vec![Some(1.0), Some(2.0), Some(3.0)], numeric());
    let b = floats(vec![Some(4.0), None, Some(6.0)], numeric());
    assert_eq!(filled(&[&a, &b], 1..3), [2.0, 3.0, 0.0, 6.0]);
    let tensor = tensor(
        &input(TensorType::Float32, 2),
        &[&a, &b],
        &(1..3),
        MutableBuffer::default(),
    );
    assert_eq!(tensor.layout, Layout::ColumnMajor);
    assert_eq!(tensor.shape, [2, 2]);
}

#[test]
fn a_vector_beside_scalars_lies_row_by_row() {
    let values: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 4.0]));
    let vector = Column::Plain(values, 2);
    let scalar = floats(vec![Some(10.0), Some(20.0)], numeric());
    let tensor = tensor(
        &input(TensorType::Float32, 3),
        &[&vector, &scalar],
        &(0..2),
        MutableBuffer::default(),
    );
    assert_eq!(tensor.layout, Layout::RowMajor);
    assert_eq!(tensor.data.typed_data::<f32>(), [1.0, 2.0, 10.0, 3.0, 4.0, 20.0]);
}

#[test]
fn codes_become_positions_in_the_type_of_the_tensor() {
    let codes = Column::Codes(
        Codes::Dictionary {
            codes: vec![1, 0, 7].into(),
            nulls: Some(vec![true, false, true].into()),
            positions: vec![3, 4],
            oov_index: 9,
        },
        1,
    );
    let tensor = tensor(
        &input(TensorType::Int64, 1),
        &[&codes],
        &(0..3),
        MutableBuffer::default(),
    );
    assert_eq!(tensor.data.typed_data::<i64>(), [4, 9, 9]);
}

#[test]
fn a_tensor_of_three_extents_lies_row_by_row() {
    let columns = [1.0, 2.0, 3.0, 4.0].map(|first| floats(vec![Some(first), Some(first * 10.0)], numeric()));
    let columns: Vec<_> = columns.iter().collect();
    let grid = Input {
        shape: vec![-1, 2, 2],
        ..input(TensorType::Float32, 4)
    };
    let tensor = tensor(&grid, &columns, &(0..2), MutableBuffer::default());
    assert_eq!(tensor.layout, Layout::RowMajor);
    assert_eq!(tensor.shape, [2, 2, 2]);
    assert_eq!(
        tensor.data.typed_data::<f32>(),
        [1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0]
    );
}

#[test]
fn shorter_documents_are_filled_up_on_the_side_of_the_padding() {
    let input = |source| Input {
        name: "ids".to_owned(),
        dtype: TensorType::Int64,
        shape: vec![-1, -1],
        columns: Vec::new(),
        source: Some(source),
    };
    let documents = || vec![Document::new(&[7, 8, 9], &[2, 0, 1]), Document::new(&[5], &[2])];
    let filled = |side, source| {
        let padding = Padding {
            id: 1,
            type_id: 3,
            side,
        };
        let column = Column::Tokens(documents(), padding);
        let tensor = tensor(&input(source), &[&column], &(0..2), MutableBuffer::default());
        assert_eq!(tensor.shape, [2, 3]);
        tensor.data.typed_data::<i64>().to_vec()
    };
    assert_eq!(filled(Side::Right, TextSource::TokenIds), [7, 8, 9, 5, 1, 1]);
    assert_eq!(filled(Side::Left, TextSource::TokenIds), [7, 8, 9, 1, 1, 5]);
    assert_eq!(filled(Side::Right, TextSource::AttentionMask), [1, 1, 1, 1, 0, 0]);
    assert_eq!(filled(Side::Left, TextSource::AttentionMask), [1, 1, 1, 0, 0, 1]);
    assert_eq!(filled(Side::Right, TextSource::TokenTypeIds), [2, 0, 1, 2, 3, 3]);
    assert_eq!(filled(Side::Left, TextSource::TokenTypeIds), [2, 0, 1, 3, 3, 2]);
}
