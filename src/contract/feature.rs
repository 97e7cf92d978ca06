//! The kinds of feature: how a column becomes numbers.
//!
//! States the arithmetic's constants; the arithmetic itself is in `preprocess`.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::hash::Hash;

use schemars::JsonSchema;
use serde::Deserialize;

use super::DType;

/// A column and how it becomes numbers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Feature {
    /// A number: impute, log1p, standardise and clip, in that order.
    Numeric(Numeric),
    /// A value of a known set: its position in a vocabulary.
    Categorical(Categorical),
    /// A document: its tokens.
    Text(Text),
    /// A list of numbers of fixed length.
    Vector(Vector),
    /// A number handed over as it is.
    Raw(Raw),
}

/// A number.
///
/// `x = value, or impute where null; x = log1p(x); x = (x - mean) * (1 / std); x = clip(x)`, each step only where it is stated,
/// in the precision of the input tensor but at least float32.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Numeric {
    /// The column.
    pub name: String,
    /// Type of the column.
    pub dtype: DType,
    /// Value for nulls. Without it a null is a bad row.
    #[serde(default)]
    pub impute: Option<f64>,
    /// Whether `ln(1 + x)` is taken.
    #[serde(default)]
    pub log1p: bool,
    /// Subtracted.
    #[serde(default)]
    pub mean: Option<f64>,
    /// Divided by. Not zero.
    #[serde(default)]
    pub std: Option<f64>,
    /// Least and greatest value, last step.
    #[serde(default)]
    pub clip: Option<[f64; 2]>,
    /// Least and greatest value that the column may hold; a row beyond them is bad (`OUT_OF_RANGE`).
    #[serde(default)]
    pub range: Option<[f64; 2]>,
    /// Permits a column of a type that is not plainly a number.
    #[serde(default)]
    pub cast: Option<Cast>,
}

/// How a column that is not plainly a number becomes one. It is never done unless it is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cast {
    /// A decimal to the nearest float.
    Float,
    /// A timestamp to seconds since 1970-01-01 UTC.
    EpochSeconds,
    /// A timestamp to milliseconds since 1970-01-01 UTC.
    EpochMillis,
    /// A date or timestamp to days since 1970-01-01 UTC.
    EpochDays,
}

/// A value of a known set.
///
/// `index = position in the vocabulary + 1`, or `oov_index` for nulls and for values that are not in it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Categorical {
    /// The column.
    pub name: String,
    /// `string`, or an integer type.
    pub dtype: DType,
    /// The values in order; strings or integers as `dtype` says.
    #[serde(default)]
    pub vocabulary: Option<Vec<serde_json::Value>>,
    /// File beside the model with the values as a JSON array, instead of `vocabulary`.
    #[serde(default)]
    pub vocabulary_file: Option<String>,
    /// Index for nulls and for values that are not in the vocabulary.
    #[serde(default)]
    pub oov_index: i64,
}

/// The values of a categorical feature, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vocabulary {
    /// Of a string column.
    Strings(Vec<String>),
    /// Of an integer column.
    Integers(Vec<i64>),
}

/// A document.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The column.
    pub name: String,
    /// `string`.
    pub dtype: DType,
    /// File beside the model in the form of Hugging Face tokenizers.
    #[serde(default = "tokenizer_file")]
    pub tokenizer: String,
    /// Documents are cut to this many tokens, special tokens counted in. Default: `truncation.max_length` of the tokenizer file. It may
    /// differ from that number: libraries that load such files set a length of their own, too.
    #[serde(default)]
    pub max_tokens: Option<usize>,
    /// Id that fills up a shorter document. Default: `padding.pad_id` of the tokenizer file, else 0.
    #[serde(default)]
    pub pad_id: Option<i64>,
    /// Side on which a shorter document is filled up. Default: `padding.direction` of the tokenizer file, else right.
    #[serde(default)]
    pub padding_side: Option<Side>,
    /// Side on which a longer document loses tokens. Default: `truncation.direction` of the tokenizer file, else right.
    #[serde(default)]
    pub truncation_side: Option<Side>,
}

/// A side of a document's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Before the first token.
    Left,
    /// Behind the last token.
    Right,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

fn tokenizer_file() -> String {
    "tokenizer.json".to_owned()
}

/// A list of numbers of fixed length.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vector {
    /// The column, a list or a fixed-size list.
    pub name: String,
    /// Type of its elements.
    pub dtype: DType,
    /// Elements of each row.
    pub width: usize,
}

/// A number handed over as it is; a timestamp as microseconds since 1970-01-01 UTC, a date as days.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// The column.
    pub name: String,
    /// Type of the column.
    pub dtype: DType,
    /// Least and greatest value that the column may hold; a row beyond them is bad (`OUT_OF_RANGE`).
    #[serde(default)]
    pub range: Option<[f64; 2]>,
}

impl Feature {
    /// The column that the feature reads.
    pub fn name(&self) -> &str {
        match self {
            Self::Numeric(feature) => &feature.name,
            Self::Categorical(feature) => &feature.name,
            Self::Text(feature) => &feature.name,
            Self::Vector(feature) => &feature.name,
            Self::Raw(feature) => &feature.name,
        }
    }

    /// Whether a null is no bad row; `imputing` says whether the job lets the contract's stand-in take its place.
    pub fn takes_nulls(&self, imputing: bool) -> bool {
        match self {
            // A null is a value that is not in the vocabulary.
            Self::Categorical(_) => true,
            Self::Numeric(numeric) => numeric.impute.is_some() || imputing,
            Self::Text(_) => imputing,
            // There is no value that could stand for one that is handed over as it is.
            Self::Vector(_) | Self::Raw(_) => false,
        }
    }

    /// Elements that the feature adds to a row of a tensor.
    pub fn width(&self) -> usize {
        match self {
            Self::Vector(vector) => vector.width,
            _ => 1,
        }
    }
}

impl Numeric {
    /// Whether a value is handed over without arithmetic.
    pub fn is_plain(&self) -> bool {
        !self.log1p && self.mean.is_none() && self.std.is_none() && self.clip.is_none()
    }

    /// Whether it is an instant as a number.
    pub fn is_instant(&self) -> bool {
        matches!(
            self.cast,
            Some(Cast::EpochSeconds | Cast::EpochMillis | Cast::EpochDays)
        )
    }

    /// What stands for a null where a null is allowed: `impute`, else the value whose standardised form is the mean's, else 0.
    pub fn fill_value(&self) -> f64 {
        // The mean is that of the values after `log1p`, and the value goes through it again.
        let mean = self.mean.map(|mean| if self.log1p { mean.exp_m1() } else { mean });
        self.impute.or(mean).unwrap_or(0.0)
    }
}

impl Categorical {
    /// The values, from the contract or from the text of `vocabulary_file`.
    pub fn values(&self, file: Option<&[u8]>) -> Result<Vocabulary, String> {
        let listed;
        let values = match (&self.vocabulary, file) {
            (Some(values), _) => values,
            (None, Some(text)) => {
                listed = serde_json::from_slice::<Vec<serde_json::Value>>(text)
                    .map_err(|error| format!("is not a JSON array: {error}"))?;
                &listed
            }
            (None, None) => return Err("is missing".to_owned()),
        };
        if self.dtype == DType::String {
            let strings = values.iter().map(|value| value.as_str().map(str::to_owned));
            let strings: Option<Vec<_>> = strings.collect();
            let strings = strings.ok_or("holds a value that is not a string")?;
            once(&strings)?;
            Ok(Vocabulary::Strings(strings))
        } else {
            let integers: Option<Vec<_>> = values.iter().map(serde_json::Value::as_i64).collect();
            let integers = integers.ok_or("holds a value that is not an integer")?;
            once(&integers)?;
            Ok(Vocabulary::Integers(integers))
        }
    }
}

/// A value that stands twice would have two positions.
fn once<T: Eq + Hash + Display>(values: &[T]) -> Result<(), String> {
    let mut seen = HashSet::with_capacity(values.len());
    match values.iter().find(|value| !seen.insert(*value)) {
        Some(value) => Err(format!("holds `{value}` twice")),
        None => Ok(()),
    }
}
