//! Element types by their PyTorch and Arrow names: of columns in a file, and of tensors.

use std::fmt;

use arrow::datatypes::DataType;
use schemars::JsonSchema;
use serde::Deserialize;

/// Type of a feature's values as the model was trained on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum DType {
    Float16,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Bool,
    String,
}

/// Type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum TensorType {
    Float16,
    Bfloat16,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Bool,
}

impl TensorType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 | Self::Bool => 1,
            Self::Float16 | Self::Bfloat16 | Self::Int16 => 2,
            Self::Float32 | Self::Int32 => 4,
            Self::Float64 | Self::Int64 => 8,
        }
    }

    /// Whether its elements are integers. `bool` is not: all numbers but zero are true.
    pub fn is_integer(self) -> bool {
        matches!(self, Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64 | Self::Uint8)
    }

    /// Binary digits of an integer that its floats keep; `None` of types without floats.
    pub fn digits(self) -> Option<u32> {
        match self {
            Self::Bfloat16 => Some(8),
            Self::Float16 => Some(11),
            Self::Float32 => Some(24),
            Self::Float64 => Some(53),
            Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64 | Self::Uint8 | Self::Bool => None,
        }
    }

    /// The greatest integer up to which the type holds each.
    pub fn exact_integers(self) -> i64 {
        match self {
            Self::Bool => 1,
            Self::Int8 => i64::from(i8::MAX),
            Self::Uint8 => i64::from(u8::MAX),
            Self::Bfloat16 => 1 << 8,
            Self::Float16 => 1 << 11,
            Self::Int16 => i64::from(i16::MAX),
            Self::Float32 => 1 << 24,
            Self::Int32 => i64::from(i32::MAX),
            Self::Float64 => 1 << 53,
            Self::Int64 => i64::MAX,
        }
    }

    /// The type in which host memory holds the elements: Arrow has no `bfloat16` and packs `bool` into bits, so these two are
    /// converted by the model's runtime.
    pub fn host(self) -> Self {
        match self {
            Self::Bfloat16 => Self::Float32,
            Self::Bool => Self::Uint8,
            other => other,
        }
    }

    /// The Arrow type whose values have this tensor's bytes; `None` for `bfloat16`, which Arrow lacks, and
    /// for `bool`, which Arrow packs into bits.
    pub fn arrow(self) -> Option<DataType> {
        match self {
            Self::Float16 => Some(DataType::Float16),
            Self::Float32 => Some(DataType::Float32),
            Self::Float64 => Some(DataType::Float64),
            Self::Int8 => Some(DataType::Int8),
            Self::Int16 => Some(DataType::Int16),
            Self::Int32 => Some(DataType::Int32),
            Self::Int64 => Some(DataType::Int64),
            Self::Uint8 => Some(DataType::UInt8),
            Self::Bfloat16 | Self::Bool => None,
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint8 => "uint8",
            Self::Bool => "bool",
        })
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float16 => "float16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint8 => "uint8",
            Self::Bool => "bool",
            Self::String => "string",
        })
    }
}
