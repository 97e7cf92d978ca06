//! How often something else was scored than what stood in the input.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Rows in which the model got something else for a feature than the input has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandIns {
    /// The category is not in the vocabulary.
    pub unknown: u64,
    /// The value is null, or was taken for null.
    pub imputed: u64,
    /// The integer is another one in the float in which the model takes it.
    pub precision_loss: u64,
}

/// The same of all features that have any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StandInsByFeature(BTreeMap<String, StandIns>);

impl StandIns {
    /// Whether every value was scored as it is.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl AddAssign for StandIns {
    fn add_assign(&mut self, other: Self) {
        self.unknown += other.unknown;
        self.imputed += other.imputed;
        self.precision_loss += other.precision_loss;
    }
}

impl StandInsByFeature {
    /// Adds those of a feature.
    pub fn add(&mut self, feature: &str, counts: StandIns) {
        if !counts.is_none() {
            *self.0.entry(feature.to_owned()).or_default() += counts;
        }
    }

    /// Adds those of other rows.
    pub fn merge(&mut self, others: &Self) {
        for (feature, counts) in others.iter() {
            self.add(feature, counts);
        }
    }

    /// Features by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, StandIns)> {
        self.0.iter().map(|(feature, counts)| (feature.as_str(), *counts))
    }

    /// Whether every value was scored as it is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
