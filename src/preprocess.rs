//! Turns the columns of a chunk into the tensors of the contract.
//!
//! Once per chunk: derived columns, casts, vocabulary look-ups, tokens ([`Preprocessor::prepare`]). Once per batch of rows: one pass from
//! those columns into the tensors ([`Prepared::fill`]). Plain functions on plain data: no store, no clock, no model.

mod column;
mod derive;
mod exact;
mod fill;
mod prepared;
mod scale;
pub mod screen;
mod tokens;
mod vocabulary;
mod whole;

use std::collections::{BTreeMap, HashSet};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;
use bytes::Bytes;

pub use derive::{Derivation, DeriveError, DerivedColumn};
pub use prepared::Prepared;
pub use screen::Screened;

use crate::batch::{BadRow, FeatureBatch, Parallelism, places};
use crate::clock::Clock;
use crate::contract::{Contract, Feature};
use crate::error::Seam;
use crate::exit::ExitCode;
use crate::registry::ModelArtifact;
use crate::spec::Reason;
use column::Encoder;

/// The contract made ready: expressions parsed, vocabularies indexed, tokenizers loaded. Shared by all threads.
#[derive(Debug)]
pub struct Preprocessor {
    contract: Contract,
    derivation: Derivation,
    encoders: Vec<Encoder>,
    /// Greatest magnitude of each feature that its tensors hold.
    greatest: Vec<f64>,
}

impl Preprocessor {
    /// Makes ready what the model version's files say.
    pub fn new(artifact: &ModelArtifact) -> Result<Self, PreprocessError> {
        let contract = artifact.contract.clone();
        let derivation = derivation(&contract)?;
        let taking = contract.taking();
        let taking = |feature: &Feature| taking.get(feature.name()).map_or(&[][..], Vec::as_slice);
        let encoders = contract
            .features
            .iter()
            .map(|feature| Encoder::new(feature, taking(feature), &artifact.files))
            .collect::<Result<_, _>>()?;
        let features = contract.features.iter();
        let greatest = features.map(|feature| Contract::greatest(feature, taking(feature)));
        Ok(Self {
            greatest: greatest.collect(),
            contract,
            derivation,
            encoders,
        })
    }

    /// The contract.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The derived columns.
    pub fn derivation(&self) -> &Derivation {
        &self.derivation
    }

    /// Columns that must be read, each once: of features that are not derived, and of derived columns.
    pub fn required_columns(&self) -> Vec<String> {
        required(&self.contract, &self.derivation)
    }

    /// Computes the derived columns and appends them.
    pub fn derive(&self, batch: FeatureBatch) -> Result<FeatureBatch, PreprocessError> {
        if self.derivation.is_empty() {
            return Ok(batch);
        }
        let columns = self.derivation.apply(&batch.columns)?;
        Ok(FeatureBatch { columns, ..batch })
    }

    /// Rows whose category is not in the vocabulary.
    pub fn unknown_categories(&self, columns: &RecordBatch) -> Result<Vec<BadRow>, PreprocessError> {
        self.found(columns, Reason::UnknownCategory, Encoder::unknown)
    }

    /// Rows with an integer of which the arithmetic or the tensor makes another.
    pub fn inexact(&self, columns: &RecordBatch) -> Result<Vec<BadRow>, PreprocessError> {
        self.found(columns, Reason::PrecisionLoss, Encoder::inexact)
    }

    /// Rows with a value that does not fit the type in which the model takes it, where preparing them failed.
    pub fn overflowing(&self, columns: &RecordBatch) -> Result<Vec<BadRow>, PreprocessError> {
        self.found(columns, Reason::CastOverflow, Encoder::overflowing)
    }

    fn found(
        &self,
        columns: &RecordBatch,
        reason: Reason,
        rows: impl Fn(&Encoder, &ArrayRef) -> Result<Vec<usize>, ArrowError>,
    ) -> Result<Vec<BadRow>, PreprocessError> {
        let mut bad = Vec::new();
        let schema = columns.schema();
        let places = places(&schema);
        for (feature, encoder) in self.contract.features.iter().zip(&self.encoders) {
            let name = feature.name();
            let Some(&place) = places.get(name) else {
                continue;
            };
            let rows = rows(encoder, columns.column(place)).map_err(|source| PreprocessError::Column {
                feature: name.to_owned(),
                source,
            })?;
            bad.extend(rows.into_iter().map(|row| BadRow::new(row, reason, name)));
        }
        Ok(bad)
    }

    /// Prepares the features of a chunk whose bad rows have been taken out.
    pub fn prepare(
        &self,
        batch: &FeatureBatch,
        parallelism: Parallelism,
        clock: &dyn Clock,
    ) -> Result<Prepared, PreprocessError> {
        prepared::prepare(&self.contract, &self.encoders, batch, parallelism, clock)
    }
}

/// Columns that a contract needs, each once, before it is made ready.
pub fn required_columns(contract: &Contract) -> Result<Vec<String>, DeriveError> {
    Ok(required(contract, &derivation(contract)?))
}

fn required(contract: &Contract, derivation: &Derivation) -> Vec<String> {
    let derived: HashSet<&str> = derivation.names().collect();
    let features = contract.features.iter().map(Feature::name);
    let plain = features.filter(|name| !derived.contains(name)).map(str::to_owned);
    let mut seen = HashSet::new();
    let mut columns: Vec<String> = plain.chain(derivation.required_columns().iter().cloned()).collect();
    columns.retain(|name| seen.insert(name.clone()));
    columns
}

fn derivation(contract: &Contract) -> Result<Derivation, DeriveError> {
    let derived = contract.derived.iter().map(|derived| DerivedColumn {
        name: derived.name.clone(),
        sql: derived.sql.clone(),
    });
    Derivation::parse(&derived.collect::<Vec<_>>())
}

/// Files beside the model, by name.
type SideFiles = BTreeMap<String, Bytes>;

/// Why columns cannot become tensors.
#[derive(Debug, thiserror::Error)]
pub enum PreprocessError {
    /// A tokenizer or vocabulary beside the model cannot be used.
    #[error("feature `{feature}`: the file `{file}` {reason}")]
    SideFile {
        /// The feature.
        feature: String,
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The contract and a file beside the model say different things.
    #[error("feature `{feature}`: the file `{file}` {reason}")]
    Contradiction {
        /// The feature.
        feature: String,
        /// The file.
        file: String,
        /// What each of them says.
        reason: String,
    },
    /// A tensor does not hold what the contract puts into it.
    #[error("feature `{feature}`: {reason}")]
    Misfit {
        /// The feature.
        feature: String,
        /// What does not fit.
        reason: String,
    },
    /// A derived column cannot be computed.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// A column is of a type that the schema check should have refused.
    #[error("feature `{feature}`: read its column")]
    Column {
        /// The feature.
        feature: String,
        /// What Arrow says.
        source: ArrowError,
    },
    /// A document cannot be cut into tokens.
    #[error("feature `{feature}`: cut a document into tokens: {reason}")]
    Tokens {
        /// The feature.
        feature: String,
        /// What the tokenizer says.
        reason: String,
    },
}

impl Seam for PreprocessError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::SideFile { .. } | Self::Contradiction { .. } | Self::Misfit { .. } => ExitCode::Model,
            Self::Derive(error) => error.exit(),
            Self::Column { .. } => ExitCode::Schema,
            Self::Tokens { .. } => ExitCode::BadRows,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Derive(error) => error.hint(),
            Self::Contradiction { .. } => Some(
                "correct the one that differs from how the model was trained, or take the key out of the contract, which then follows the file"
                    .to_owned(),
            ),
            Self::Misfit { .. } => Some("take a wider type for the tensor in `metadata.json`, as the model's forward() does".to_owned()),
            Self::SideFile { .. } | Self::Column { .. } | Self::Tokens { .. } => None,
        }
    }
}
