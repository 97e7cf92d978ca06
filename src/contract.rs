//! The feature contract: what a model version's `metadata.json` says about columns, tensors and results.
//!
//! Takes the file's text and gives a [`Contract`] whose parts agree with one another, or every problem found.
//! It knows nothing of Parquet files, of tensors in memory or of where the file lies.

mod check;
mod dtype;
mod feature;
mod output;

use std::collections::{BTreeMap, HashMap, HashSet};

use schemars::JsonSchema;
use serde::Deserialize;

pub use dtype::{DType, TensorType};
pub use feature::{Cast, Categorical, Feature, Numeric, Raw, Side, Text, Vector, Vocabulary};
pub use output::{Activation, Decision, Output, ResultKey, Verdict};

use crate::error::Seam;
use crate::exit::ExitCode;

/// Everything that `metadata.json` holds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Name of the model, the same as its folder in the registry.
    pub name: String,
    /// Version, the same as its folder below the model.
    pub version: String,
    /// When the model was trained, RFC 3339. Informational.
    #[serde(default)]
    pub created_at: Option<String>,
    /// Kind of `model.pt`; `torchscript` is the only one.
    #[serde(default)]
    pub format: Format,
    /// SHA-256 of `model.pt`, 64 lower-case hex digits. Checked on the bytes that are loaded.
    pub sha256: String,
    /// Version of PyTorch that exported the model. Informational.
    #[serde(default)]
    pub torch_version: Option<String>,
    /// Metrics of the training run. Informational, any JSON.
    #[serde(default)]
    pub metrics: BTreeMap<String, serde_json::Value>,
    /// Anything else worth keeping with the model, any JSON.
    #[serde(default)]
    pub tags: BTreeMap<String, serde_json::Value>,
    /// Columns that named a row in the training data. Informational.
    #[serde(default)]
    pub id_columns: Vec<String>,
    /// Columns computed from other columns before the features are read.
    #[serde(default)]
    pub derived: Vec<Derived>,
    /// Features, each a column and how it becomes numbers.
    pub features: Vec<Feature>,
    /// Tensors in the order in which the model takes them.
    pub inputs: Vec<Input>,
    /// Results that become columns, in output order.
    pub outputs: Vec<Output>,
    /// How an output becomes a decision.
    #[serde(default)]
    pub decision: Option<Decision>,
}

/// Kind of model file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An archive written by `torch.jit.save`.
    #[default]
    Torchscript,
}

/// A column computed by a row-wise Polars SQL expression.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    /// Name of the new column.
    pub name: String,
    /// The expression, for example `amount / nullif(items, 0)`.
    pub sql: String,
}

/// One tensor that the model takes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name of the tensor, for messages and to tell a mask from tokens.
    pub name: String,
    /// Type of its elements.
    pub dtype: TensorType,
    /// Shape with -1 for the rows, and for the tokens of a text.
    pub shape: Vec<i64>,
    /// Features that fill it, in order.
    pub columns: Vec<String>,
    /// What of a text feature it takes. Default: by `name`, else the token ids.
    #[serde(default)]
    pub source: Option<TextSource>,
}

impl Input {
    /// What this tensor takes of a text feature: as stated, or as its name says.
    pub fn text_source(&self) -> TextSource {
        self.source.unwrap_or(match self.name.as_str() {
            "attention_mask" => TextSource::AttentionMask,
            "token_type_ids" => TextSource::TokenTypeIds,
            _ => TextSource::TokenIds,
        })
    }
}

/// What a tensor takes of a text feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextSource {
    /// Ids of the tokens, padded on the right.
    TokenIds,
    /// 1 for a token, 0 for padding.
    AttentionMask,
    /// Which sentence a token belongs to.
    TokenTypeIds,
}

impl Contract {
    /// Greatest magnitude of a feature that stays finite in each of these tensors, which take it as it is.
    pub fn greatest(feature: &Feature, taking: &[&Input]) -> f64 {
        let as_it_is = matches!(feature, Feature::Raw(_) | Feature::Vector(_));
        let greatest = taking.iter().map(|input| match input.dtype {
            TensorType::Float16 if as_it_is => f64::from(half::f16::MAX),
            TensorType::Float16 | TensorType::Bfloat16 | TensorType::Float32 => f64::from(f32::MAX),
            _ => f64::MAX,
        });
        greatest.fold(f64::MAX, f64::min)
    }

    /// The tensors that take each feature, by its name, in order.
    pub fn taking(&self) -> HashMap<&str, Vec<&Input>> {
        let mut taking: HashMap<_, Vec<_>> = HashMap::new();
        for input in &self.inputs {
            let names: HashSet<_> = input.columns.iter().map(String::as_str).collect();
            for name in names {
                taking.entry(name).or_default().push(input);
            }
        }
        taking
    }

    /// Reads `metadata.json`; `origin` names it in messages.
    pub fn from_json(text: &[u8], origin: &str) -> Result<Self, ContractError> {
        let contract: Self = serde_json::from_slice(text).map_err(|source| ContractError::Form {
            origin: origin.to_owned(),
            source,
        })?;
        let problems = check::problems(&contract);
        if problems.is_empty() {
            Ok(contract)
        } else {
            Err(ContractError::Content {
                origin: origin.to_owned(),
                problems,
            })
        }
    }

    /// The features by their names; the first of a name that stands twice.
    pub fn by_name(&self) -> HashMap<&str, &Feature> {
        let features = self.features.iter().rev();
        features.map(|feature| (feature.name(), feature)).collect()
    }

    /// True when a tensor is filled column by column, and the model gets the transposed view.
    pub fn is_transposed(&self, input: &Input) -> bool {
        if input.shape.len() != 2 || input.columns.len() < 2 {
            return false;
        }
        let features = self.by_name();
        let scalar = |column: &String| {
            features
                .get(column.as_str())
                .is_some_and(|feature| feature.width() == 1)
        };
        input.columns.iter().all(scalar)
    }

    /// Bytes of a row in all tensors; a text counts as one token.
    pub fn row_bytes(&self) -> usize {
        let features = self.by_name();
        let width = |column: &String| features.get(column.as_str()).map_or(1, |feature| feature.width());
        let inputs = self.inputs.iter();
        inputs
            .map(|input| input.columns.iter().map(width).sum::<usize>() * input.dtype.host().bytes())
            .sum()
    }

    /// True when a feature is text, whose rows cost far more than numbers.
    pub fn has_text(&self) -> bool {
        self.features.iter().any(|feature| matches!(feature, Feature::Text(_)))
    }
}

/// Why `metadata.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Not JSON, or JSON of another form.
    #[error("read the feature contract `{origin}`")]
    Form {
        /// The file.
        origin: String,
        /// What the parser says, with line and column.
        source: serde_json::Error,
    },
    /// Parts that contradict one another.
    #[error("the feature contract `{origin}` contradicts itself:\n  - {}", problems.join("\n  - "))]
    Content {
        /// The file.
        origin: String,
        /// Every contradiction found.
        problems: Vec<String>,
    },
}

impl Seam for ContractError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Form { .. } | Self::Content { .. } => ExitCode::Model,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Form { source, .. } if source.is_syntax() => Some(
                "JSON has no NaN, no Infinity, no comments and no comma after the last element; Python's json.dump writes NaN unless allow_nan=False"
                    .to_owned(),
            ),
            Self::Form { .. } => {
                Some("`batch-infer config schema metadata` prints the JSON Schema of metadata.json".to_owned())
            }
            Self::Content { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
