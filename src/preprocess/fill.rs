//! One pass from prepared columns to a tensor.
//!
//! Numbers are filled column by column, contiguously, and the model gets the transposed view: that is as fast for a matrix product as a
//! row-major matrix and far faster to fill. Vectors, what stands beside them, and tensors of more than two extents are filled row by row.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::buffer::{MutableBuffer, NullBuffer};
use arrow::datatypes::{
    ArrowNativeType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
};

use super::column::Column;
use super::scale::Scale;
use super::tokens::{Document, Padding};
use super::vocabulary::Codes;
use crate::batch::{InputTensor, Layout};
use crate::contract::{Input, Side, TensorType, TextSource};

/// A number that a tensor's host memory holds.
trait Element: ArrowNativeType {
    /// The Arrow type of such numbers.
    type Arrow: ArrowPrimitiveType<Native = Self>;
    fn from_single(value: f32) -> Self;
    fn from_double(value: f64) -> Self;
    fn from_index(value: i64) -> Self;
}

macro_rules! element {
    ($native:ty, $arrow:ty, $single:expr, $double:expr, $index:expr) => {
        impl Element for $native {
            type Arrow = $arrow;
            #[inline]
            fn from_single(value: f32) -> Self {
                $single(value)
            }
            #[inline]
            fn from_double(value: f64) -> Self {
                $double(value)
            }
            #[inline]
            fn from_index(value: i64) -> Self {
                $index(value)
            }
        }
    };
    ($native:ty, $arrow:ty) => {
        element!($native, $arrow, |v| v as $native, |v| v as $native, |v| v
            as $native);
    };
}

/// The conversions that a tensor of a narrower type than its features asks for, by the rules of `as`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "floats round to the tensor's type; what becomes an integer was seen to be one that the type holds"
)]
mod elements {
    use super::{Element, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type};

    element!(f32, Float32Type, |v| v, |v| v as f32, |v| v as f32);
    element!(f64, Float64Type, f64::from, |v| v, |v| v as f64);
    element!(half::f16, Float16Type, half::f16::from_f32, half::f16::from_f64, |v| {
        half::f16::from_f64(v as f64)
    });
    element!(i8, Int8Type);
    element!(i16, Int16Type);
    element!(i32, Int32Type);
    element!(i64, Int64Type, |v| v as i64, |v| v as i64, |v| v);
    element!(u8, UInt8Type);
}

/// Fills one tensor with a range of rows, in the memory given.
pub(super) fn tensor(input: &Input, columns: &[&Column], rows: &Range<usize>, memory: MutableBuffer) -> InputTensor {
    match input.dtype.host() {
        TensorType::Float64 => typed::<f64>(input, columns, rows, memory),
        TensorType::Float16 => typed::<half::f16>(input, columns, rows, memory),
        TensorType::Int8 => typed::<i8>(input, columns, rows, memory),
        TensorType::Int16 => typed::<i16>(input, columns, rows, memory),
        TensorType::Int32 => typed::<i32>(input, columns, rows, memory),
        TensorType::Int64 => typed::<i64>(input, columns, rows, memory),
        TensorType::Uint8 => typed::<u8>(input, columns, rows, memory),
        TensorType::Float32 | TensorType::Bfloat16 | TensorType::Bool => typed::<f32>(input, columns, rows, memory),
    }
}

fn typed<T: Element>(
    input: &Input,
    columns: &[&Column],
    rows: &Range<usize>,
    mut memory: MutableBuffer,
) -> InputTensor {
    if let [Column::Tokens(documents, padding)] = columns {
        return token_tensor::<T>(input, &documents[rows.clone()], *padding, memory);
    }
    let count = rows.len();
    let width: usize = columns.iter().map(|column| column.width()).sum();
    memory.resize(count * width * size_of::<T>(), 0);
    let data = memory.typed_data_mut::<T>();
    // The transposed view has two extents: a tensor of more is filled row by row, as it is read.
    let layout = if input.shape.len() == 2 && columns.iter().all(|column| column.width() == 1) {
        for (column, values) in columns.iter().zip(data.chunks_exact_mut(count.max(1))) {
            column.fill(rows, values, 1);
        }
        Layout::ColumnMajor
    } else {
        let mut first = 0;
        for column in columns {
            column.fill(rows, &mut data[first..], width);
            first += column.width();
        }
        Layout::RowMajor
    };
    // One column is both.
    let layout = if width == 1 { Layout::RowMajor } else { layout };
    let mut shape = input.shape.clone();
    shape[0] = extent(count);
    InputTensor {
        dtype: input.dtype,
        shape,
        layout,
        data: memory,
    }
}

/// Ids filled up to the longest document, the mask of what is no filling, or the types of the tokens.
fn token_tensor<T: Element>(
    input: &Input,
    documents: &[Document],
    padding: Padding,
    mut memory: MutableBuffer,
) -> InputTensor {
    // A tensor of no tokens at all is more than many models can take.
    let longest = documents.iter().map(Document::len).max().unwrap_or(0).max(1);
    memory.resize(documents.len() * longest * size_of::<T>(), 0);
    let source = input.text_source();
    let padded_with = match source {
        TextSource::TokenIds => padding.id,
        TextSource::AttentionMask => 0,
        TextSource::TokenTypeIds => padding.type_id,
    };
    let rows = memory.typed_data_mut::<T>().chunks_exact_mut(longest);
    for (row, document) in rows.zip(documents) {
        let (filled, padded) = match padding.side {
            Side::Right => row.split_at_mut(document.len()),
            Side::Left => {
                let (padded, filled) = row.split_at_mut(longest - document.len());
                (filled, padded)
            }
        };
        match source {
            TextSource::TokenIds => copy_ids(filled, document.ids()),
            TextSource::AttentionMask => filled.fill(T::from_index(1)),
            TextSource::TokenTypeIds => match document.types() {
                Some(types) => copy_ids(filled, types),
                None => filled.fill(T::from_index(0)),
            },
        }
        padded.fill(T::from_index(padded_with));
    }
    InputTensor {
        dtype: input.dtype,
        shape: vec![extent(documents.len()), extent(longest)],
        layout: Layout::RowMajor,
        data: memory,
    }
}

fn copy_ids<T: Element>(to: &mut [T], ids: &[u32]) {
    for (to, &id) in to.iter_mut().zip(ids) {
        *to = T::from_index(i64::from(id));
    }
}

fn extent(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Column {
    /// Elements of each row.
    fn width(&self) -> usize {
        match self {
            Self::Plain(_, width) => *width,
            _ => 1,
        }
    }

    /// Writes a range of rows, each `stride` elements after the one before.
    fn fill<T: Element>(&self, rows: &Range<usize>, to: &mut [T], stride: usize) {
        match self {
            Self::Single(array, numeric) => {
                let scale = Scale::<f32>::of(numeric);
                let values = &array.values()[rows.clone()];
                // Two loops, so that neither asks for each value what holds for all.
                if scale.log1p {
                    write(to, stride, values, |value| {
                        T::from_single(scale.apply(f32::ln_1p(value)))
                    });
                } else {
                    write(to, stride, values, |value| T::from_single(scale.apply(value)));
                }
                let imputed = T::from_single(scale.imputed(f32::ln_1p));
                patch(array.nulls(), rows, to, stride, imputed);
            }
            Self::Double(array, numeric) => {
                let scale = Scale::<f64>::of(numeric);
                let values = &array.values()[rows.clone()];
                if scale.log1p {
                    write(to, stride, values, |value| {
                        T::from_double(scale.apply(f64::ln_1p(value)))
                    });
                } else {
                    write(to, stride, values, |value| T::from_double(scale.apply(value)));
                }
                let imputed = T::from_double(scale.imputed(f64::ln_1p));
                patch(array.nulls(), rows, to, stride, imputed);
            }
            Self::Whole(array, imputed) => {
                write(to, stride, &array.values()[rows.clone()], T::from_index);
                patch(array.nulls(), rows, to, stride, T::from_index(*imputed));
            }
            Self::Codes(Codes::Rows(positions), _) => {
                write(to, stride, &positions[rows.clone()], T::from_index);
            }
            Self::Codes(
                Codes::Dictionary {
                    codes,
                    nulls,
                    positions,
                    oov_index,
                },
                _,
            ) => {
                let position = |code: i32| usize::try_from(code).ok().and_then(|code| positions.get(code)).copied();
                write(to, stride, &codes[rows.clone()], |code| {
                    T::from_index(position(code).unwrap_or(*oov_index))
                });
                patch(nulls.as_ref(), rows, to, stride, T::from_index(*oov_index));
            }
            Self::Plain(array, width) => plain(array, *width, rows, to, stride),
            // Documents are never mixed with numbers: the contract's check sees to it.
            Self::Tokens(..) => {}
        }
    }
}

#[inline]
fn write<S: Copy, T: Copy>(to: &mut [T], stride: usize, values: &[S], element: impl Fn(S) -> T) {
    if stride == 1 {
        // Of one length, so that the compiler sees that no bound need be checked in between.
        let to = &mut to[..values.len()];
        for (to, &value) in to.iter_mut().zip(values) {
            *to = element(value);
        }
    } else {
        for (to, &value) in to.iter_mut().step_by(stride).zip(values) {
            *to = element(value);
        }
    }
}

/// Writes the value that stands for a null where there are nulls.
fn patch<T: Copy>(nulls: Option<&NullBuffer>, rows: &Range<usize>, to: &mut [T], stride: usize, value: T) {
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
        return;
    };
    let valid = nulls.inner().slice(rows.start, rows.len());
    // Word by word: nulls are few.
    for row in (!&valid).set_indices() {
        to[row * stride] = value;
    }
}

fn plain<T: Element>(array: &ArrayRef, width: usize, rows: &Range<usize>, to: &mut [T], stride: usize) {
    let values = array.as_primitive::<T::Arrow>().values();
    let values = &values[rows.start * width..rows.end * width];
    if stride == width {
        to[..values.len()].copy_from_slice(values);
    } else {
        for (to, row) in to.chunks_mut(stride).zip(values.chunks_exact(width)) {
            to[..width].copy_from_slice(row);
        }
    }
}

#[cfg(test)]
mod tests;
