//! What of the model's result becomes which column, and the decision drawn from it.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::TensorType;

/// One tensor of the model's result.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Position in the returned tuple, or key of the returned dict. Default: the position in `outputs`.
    #[serde(default)]
    pub result: Option<ResultKey>,
    /// Name of the column.
    pub column: String,
    /// A scalar column for each element of a row, instead of one list column.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// Type of the values in the file.
    pub dtype: TensorType,
    /// `[-1]` or `[-1, 1]` for a number a row, `[-1, K]` for K numbers a row.
    pub shape: Vec<i64>,
    /// Applied to the result first.
    #[serde(default)]
    pub activation: Activation,
    /// Axis of a softmax, as PyTorch counts: an extent of `shape` from 1 on, or from the last, -1, on. Default: the last.
    #[serde(default)]
    pub axis: Option<i64>,
}

impl Output {
    /// Elements of each row.
    pub fn width(&self) -> usize {
        self.shape
            .iter()
            .skip(1)
            .map(|&extent| usize::try_from(extent).unwrap_or(0))
            .product()
    }
}

/// Where in the model's result a tensor lies.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum ResultKey {
    /// Position in a tuple or list.
    Position(usize),
    /// Key of a dict.
    Key(String),
}

impl fmt::Display for ResultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(position) => write!(f, "{position}"),
            Self::Key(key) => write!(f, "\"{key}\""),
        }
    }
}

impl<'de> Deserialize<'de> for ResultKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = ResultKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a position such as 0, or a key such as \"logits\"")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<ResultKey, E> {
                usize::try_from(value)
                    .map(ResultKey::Position)
                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<ResultKey, E> {
                Ok(ResultKey::Key(value.to_owned()))
            }
        }
        deserializer
            .deserialize_any(Either)
            .map_err(|error| D::Error::custom(error.to_string()))
    }
}

/// A function applied to the model's result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Over `axis` of the elements of a row.
    Softmax,
    /// `exp(x)`.
    Exp,
    /// Hyperbolic tangent.
    Tanh,
}

/// How an output becomes a decision: with `threshold` 0 or 1, with `labels` the label of the greatest element.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// `column` of the output.
    pub source: String,
    /// Name of the decision's column.
    pub column: String,
    /// 1 from this value on, else 0.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// One label for each element of a row.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
}

/// A decision's rule, with what it needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict<'a> {
    /// `value >= threshold` as 0 or 1.
    Threshold(f64),
    /// The label of the greatest element.
    Labels(&'a [String]),
}

impl Decision {
    /// The rule; `None` when both or neither are stated, which a checked contract never does.
    pub fn verdict(&self) -> Option<Verdict<'_>> {
        match (self.threshold, &self.labels) {
            (Some(threshold), None) => Some(Verdict::Threshold(threshold)),
            (None, Some(labels)) => Some(Verdict::Labels(labels)),
            _ => None,
        }
    }
}
