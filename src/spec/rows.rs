//! What happens to rows that cannot be scored, by reason.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bad rows are an exception that somebody decides to accept, so none is allowed unless the job says so.
pub const MAX_BAD_ROWS: u64 = 0;

/// As for `MAX_BAD_ROWS`; both limits must hold.
pub const MAX_BAD_FRACTION: f64 = 0.0;

/// What happens to rows that cannot be scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RowsSpec {
    /// Rows that may be rejected before the run fails.
    pub max_bad_rows: u64,
    /// Share of the rows, 0 to 1, that may be rejected before the run fails. Both limits must hold.
    pub max_bad_fraction: f64,
    /// Share of the rows, 0 to 1, in which a category may be unknown before the run fails, for each feature by itself. Without it, any.
    pub max_unknown_fraction: Option<f64>,
    /// Share of the rows, 0 to 1, in which a value may be imputed before the run fails, for each feature by itself. Without it, any.
    pub max_imputed_fraction: Option<f64>,
    /// Whether rejected rows are kept with the values of their features. They are personal data in many jobs, so not unless asked.
    pub include_values: bool,
    /// What is done with a bad row, by reason.
    pub on: RowActions,
}

impl Default for RowsSpec {
    fn default() -> Self {
        Self {
            max_bad_rows: MAX_BAD_ROWS,
            max_bad_fraction: MAX_BAD_FRACTION,
            max_unknown_fraction: None,
            max_imputed_fraction: None,
            include_values: false,
            on: RowActions::default(),
        }
    }
}

/// What is done with a bad row, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "SCREAMING_SNAKE_CASE")]
pub struct RowActions {
    /// A key column is null.
    pub null_key: Action,
    /// A feature is null and its contract has no value for nulls.
    pub null_feature: Action,
    /// A feature is not a number.
    pub nan_feature: Action,
    /// A feature is infinite.
    pub inf_feature: Action,
    /// A list has another length than the contract says.
    pub bad_list_len: Action,
    /// A value does not fit the type in which the model takes it.
    pub cast_overflow: Action,
    /// A feature lies outside the `range` that the contract states.
    pub out_of_range: Action,
    /// A category is not in the vocabulary. With `impute`, the default, it takes the contract's `oov_index`.
    pub unknown_category: Action,
    /// The model's result is infinite or not a number.
    pub nonfinite_output: Action,
    /// A key stands in an earlier row of the input. Looked for only where it is set: the keys of the whole input are read for it before
    /// the first row is scored, and about 30 bytes of memory a row are needed.
    pub duplicate_key: Option<Action>,
    /// The model throws on the row by itself.
    pub model_error: Action,
    /// An integer is another one in the float in which the model takes it. With `warn`, the default, it is scored and counted.
    #[serde(skip_serializing_if = "OnPrecisionLoss::is_warn")]
    pub precision_loss: OnPrecisionLoss,
}

impl Default for RowActions {
    fn default() -> Self {
        Self {
            null_key: Action::Fail,
            null_feature: Action::Fail,
            nan_feature: Action::Fail,
            inf_feature: Action::Fail,
            bad_list_len: Action::Fail,
            cast_overflow: Action::Fail,
            out_of_range: Action::Fail,
            unknown_category: Action::Impute,
            nonfinite_output: Action::Fail,
            duplicate_key: None,
            model_error: Action::Fail,
            precision_loss: OnPrecisionLoss::Warn,
        }
    }
}

impl RowActions {
    /// What is done for that reason.
    pub fn action(self, reason: Reason) -> Action {
        match reason {
            Reason::NullKey => self.null_key,
            Reason::NullFeature => self.null_feature,
            Reason::NanFeature => self.nan_feature,
            Reason::InfFeature => self.inf_feature,
            Reason::BadListLen => self.bad_list_len,
            Reason::CastOverflow => self.cast_overflow,
            Reason::OutOfRange => self.out_of_range,
            Reason::UnknownCategory => self.unknown_category,
            Reason::NonfiniteOutput => self.nonfinite_output,
            Reason::DuplicateKey => self.duplicate_key.unwrap_or_default(),
            Reason::ModelError => self.model_error,
            Reason::PrecisionLoss => match self.precision_loss {
                OnPrecisionLoss::Fail => Action::Fail,
                // With `warn` there is no such row.
                OnPrecisionLoss::Warn | OnPrecisionLoss::Reject => Action::Reject,
            },
            // `input.on_corrupt_file` has decided before there is such a row.
            Reason::CorruptFile => Action::Reject,
        }
    }
}

/// What is done with a bad row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The run fails.
    #[default]
    Fail,
    /// The row goes to the rejects file and counts against the limits.
    Reject,
    /// What the contract has for nulls, or for unknown categories, takes its place. Only for values of features.
    Impute,
}

/// What is done with an integer that a float does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnPrecisionLoss {
    /// The nearest that it holds is scored; how many there are stands in the report, by feature, and in a warning.
    #[default]
    Warn,
    /// The run fails.
    Fail,
    /// The row goes to the rejects file and counts against the limits.
    Reject,
}

impl OnPrecisionLoss {
    /// The default is left out of a plan's identity, as all versions did that did not know it.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_warn(&self) -> bool {
        *self == Self::Warn
    }
}

/// Why a row is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// A key column is null.
    NullKey,
    /// A feature is null and its contract has no value for nulls.
    NullFeature,
    /// A feature is not a number.
    NanFeature,
    /// A feature is infinite.
    InfFeature,
    /// A list has another length than the contract says.
    BadListLen,
    /// A value does not fit the type in which the model takes it.
    CastOverflow,
    /// A feature lies outside the contract's range.
    OutOfRange,
    /// A category is not in the vocabulary.
    UnknownCategory,
    /// The model's result is infinite or not a number.
    NonfiniteOutput,
    /// A key stands in an earlier row.
    DuplicateKey,
    /// The model throws on the row by itself.
    ModelError,
    /// An integer is another one in the float in which the model takes it.
    PrecisionLoss,
    /// The row group cannot be decoded.
    CorruptFile,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::NullKey,
        Self::NullFeature,
        Self::NanFeature,
        Self::InfFeature,
        Self::BadListLen,
        Self::CastOverflow,
        Self::OutOfRange,
        Self::UnknownCategory,
        Self::NonfiniteOutput,
        Self::DuplicateKey,
        Self::ModelError,
        Self::PrecisionLoss,
        Self::CorruptFile,
    ];

    /// The name in job files, rejects and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NullKey => "NULL_KEY",
            Self::NullFeature => "NULL_FEATURE",
            Self::NanFeature => "NAN_FEATURE",
            Self::InfFeature => "INF_FEATURE",
            Self::BadListLen => "BAD_LIST_LEN",
            Self::CastOverflow => "CAST_OVERFLOW",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::UnknownCategory => "UNKNOWN_CATEGORY",
            Self::NonfiniteOutput => "NONFINITE_OUTPUT",
            Self::DuplicateKey => "DUPLICATE_KEY",
            Self::ModelError => "MODEL_ERROR",
            Self::PrecisionLoss => "PRECISION_LOSS",
            Self::CorruptFile => "CORRUPT_FILE",
        }
    }

    /// What is wrong with such a row, in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::NullKey => "the key is null",
            Self::NullFeature => "the feature is null, or an element of it, and the contract has no value for nulls",
            Self::NanFeature => "the feature is not a number, or its logarithm would be none",
            Self::InfFeature => "the feature is infinite, or its logarithm would be",
            Self::BadListLen => "the list has another length than the contract says",
            Self::CastOverflow => "the value does not fit the type in which the model takes it",
            Self::OutOfRange => "the value lies outside the contract's range",
            Self::UnknownCategory => "the category is not in the vocabulary",
            Self::NonfiniteOutput => "the model's result is infinite or not a number",
            Self::DuplicateKey => "an earlier row has the same key",
            Self::ModelError => "the model throws on this row",
            Self::PrecisionLoss => "the model takes the integer as a float, which does not hold it",
            Self::CorruptFile => "the row group cannot be decoded",
        }
    }

    /// True where another value can take the bad one's place.
    pub fn imputable(self) -> bool {
        match self {
            Self::NullFeature
            | Self::NanFeature
            | Self::InfFeature
            | Self::CastOverflow
            | Self::OutOfRange
            | Self::UnknownCategory => true,
            Self::NullKey
            | Self::BadListLen
            | Self::NonfiniteOutput
            | Self::DuplicateKey
            | Self::ModelError
            | Self::PrecisionLoss
            | Self::CorruptFile => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{OnPrecisionLoss, Reason, RowActions};

    #[test]
    fn every_reason_is_a_key_of_the_table_of_actions() {
        let actions = RowActions {
            precision_loss: OnPrecisionLoss::Fail,
            ..RowActions::default()
        };
        let table = serde_json::to_value(actions).unwrap();
        let mut keys: Vec<_> = table.as_object().unwrap().keys().cloned().collect();
        // `input.on_corrupt_file` decides about that one.
        keys.push(Reason::CorruptFile.name().to_owned());
        let mut names = Reason::ALL.map(|reason| reason.name().to_owned());
        keys.sort_unstable();
        names.sort_unstable();
        assert_eq!(keys, names);
    }

    #[test]
    fn reason_is_serialised_under_its_name() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
