//! Why a column cannot be derived: by the model's metadata, by the input's columns, by a row.

use arrow::datatypes::{DataType, Schema};

use crate::error::Seam;
use crate::exit::ExitCode;

/// Why a column cannot be derived.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// Not an expression that polars understands.
    #[error("derived column `{column}`: parse `{sql}`: {reason}")]
    Syntax {
        /// The derived column.
        column: String,
        /// Its expression.
        sql: String,
        /// What polars says.
        reason: String,
    },
    /// The expression looks at more than one row.
    #[error("derived column `{column}`: `{function}` looks at more than one row")]
    NotRowWise {
        /// The derived column.
        column: String,
        /// What looks.
        function: String,
    },
    /// The expression stands for any number of columns.
    #[error("derived column `{column}`: `{sql}` stands for more than one column")]
    ManyColumns {
        /// The derived column.
        column: String,
        /// Its expression.
        sql: String,
    },
    /// The expression names its result, and not as the contract does.
    #[error("derived column `{column}`: its expression calls the result `{alias}`")]
    Renamed {
        /// The derived column.
        column: String,
        /// The name after `AS`.
        alias: String,
    },
    /// The expression reads a derived column that is not there yet.
    #[error("derived column `{column}`: reads `{other}` before it is derived")]
    OutOfOrder {
        /// The derived column.
        column: String,
        /// The one that it reads.
        other: String,
    },
    /// Two derived columns of one name.
    #[error("derived column `{column}`: the name stands twice")]
    Repeated {
        /// The derived column.
        column: String,
    },
    /// The input has a column of that name.
    #[error("derived column `{column}`: the input has a column of that name")]
    Taken {
        /// The derived column.
        column: String,
    },
    /// The input lacks a column.
    #[error("derived column `{column}`: reads `{input}`, which the input does not have")]
    Missing {
        /// The derived column.
        column: String,
        /// The column that it reads.
        input: String,
        /// The input column most like it.
        nearest: Option<String>,
    },
    /// A column is of a type that expressions cannot read.
    #[error("derived column `{column}`: reads `{input}` of type `{found}`: {reason}")]
    Unreadable {
        /// The derived column.
        column: String,
        /// The column that it reads.
        input: String,
        /// Its type.
        found: DataType,
        /// What polars says.
        reason: String,
    },
    /// The expression does not fit the types of the columns.
    #[error("derived column `{column}`: `{sql}` does not fit the columns: {reason}")]
    Mistyped {
        /// The derived column.
        column: String,
        /// Its expression.
        sql: String,
        /// What polars says.
        reason: String,
    },
    /// The expression cannot be computed for some row.
    #[error("derived column `{column}`: compute `{sql}`: {reason}")]
    Failed {
        /// The derived column.
        column: String,
        /// Its expression.
        sql: String,
        /// What polars says.
        reason: String,
    },
}

impl DeriveError {
    pub(super) fn missing(column: String, input: &str, schema: &Schema) -> Self {
        let nearest = nearest(input, schema);
        Self::Missing {
            column,
            input: input.to_owned(),
            nearest,
        }
    }

    /// The derived column at fault.
    pub fn column(&self) -> &str {
        match self {
            Self::Syntax { column, .. }
            | Self::NotRowWise { column, .. }
            | Self::ManyColumns { column, .. }
            | Self::Renamed { column, .. }
            | Self::OutOfOrder { column, .. }
            | Self::Repeated { column }
            | Self::Taken { column }
            | Self::Missing { column, .. }
            | Self::Unreadable { column, .. }
            | Self::Mistyped { column, .. }
            | Self::Failed { column, .. } => column,
        }
    }
}

/// How polars calls the reading of dates and times from text.
const INFERRED: &str = "str.strptime";

impl Seam for DeriveError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Syntax { .. }
            | Self::NotRowWise { .. }
            | Self::ManyColumns { .. }
            | Self::Renamed { .. }
            | Self::OutOfOrder { .. }
            | Self::Repeated { .. } => ExitCode::Model,
            Self::Taken { .. } | Self::Missing { .. } | Self::Unreadable { .. } | Self::Mistyped { .. } => {
                ExitCode::Schema
            }
            Self::Failed { .. } => ExitCode::BadRows,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotRowWise { function, .. } if function == INFERRED => Some(
                "its format would be guessed from the first row of a chunk; say it: `date(x, '%Y-%m-%d')`".to_owned(),
            ),
            Self::NotRowWise { function, .. } => Some(format!(
                "chunks are scored separately, so `{function}` would be computed per chunk; put its result into the input instead"
            )),
            Self::ManyColumns { .. } => Some("name each column".to_owned()),
            Self::Renamed { column, .. } => Some(format!("leave out `AS ...`; the column is called `{column}`")),
            Self::OutOfOrder { column, other } if column == other => Some(format!(
                "give the derived column another name than the input column `{other}`"
            )),
            Self::OutOfOrder { other, .. } => Some(format!("put `{other}` before it")),
            Self::Taken { .. } => Some("rename the derived column; input columns are never replaced".to_owned()),
            Self::Missing { nearest, .. } => nearest.as_ref().map(|nearest| format!("did you mean `{nearest}`?")),
            Self::Failed { .. } => Some(
                "where a `CAST` fails, `TRY_CAST` gives null instead, which the rules for bad rows then judge"
                    .to_owned(),
            ),
            Self::Syntax { .. } | Self::Repeated { .. } | Self::Unreadable { .. } | Self::Mistyped { .. } => None,
        }
    }
}

/// The input column whose name is most like this one.
fn nearest(name: &str, input: &Schema) -> Option<String> {
    let names = input.fields().iter().map(|field| field.name());
    let scored = names.map(|other| (strsim::jaro_winkler(name, other), other));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score > LIKE).map(|(_, other)| other.clone())
}

/// Names less alike than this are no slip of the pen.
const LIKE: f64 = 0.8;
