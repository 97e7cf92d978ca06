//! Which columns of a file a run asks for, and as what, by the contract and the job alone: the rest of a footer is not kept.

use std::collections::HashSet;
use std::sync::Arc;

use crate::contract::Contract;
use crate::preprocess::required_columns;
use crate::validate::Job;

/// Columns that are asked for. A clone is the same set.
#[derive(Debug, Clone)]
pub struct Wanted {
    names: Arc<Names>,
    /// Whether bytes without an annotation are text.
    pub(super) binary_as_string: bool,
}

#[derive(Debug)]
enum Names {
    All,
    Exact(HashSet<String>),
    /// In lower case, as files may write them in any.
    AnyCase(HashSet<String>),
}

impl Wanted {
    /// Every column.
    pub fn all() -> Self {
        Self::bytes_as_they_are(Names::All)
    }

    /// Keys, passthrough columns, features and what derived columns read.
    pub fn of(job: &Job, contract: &Contract) -> Self {
        // Expressions that are no expressions are told of when the contract is made ready.
        let required = required_columns(contract).unwrap_or_default();
        let names = job.keys.iter().chain(&job.passthrough).cloned().chain(required);
        let names = if job.case_insensitive {
            Names::AnyCase(names.map(|name| name.to_lowercase()).collect())
        } else {
            Names::Exact(names.collect())
        };
        Self {
            binary_as_string: job.binary_as_string,
            ..Self::bytes_as_they_are(names)
        }
    }

    /// Columns of these names.
    #[cfg(test)]
    pub(super) fn exactly(names: &[&str]) -> Self {
        Self::bytes_as_they_are(Names::Exact(names.iter().map(|&name| name.to_owned()).collect()))
    }

    fn bytes_as_they_are(names: Names) -> Self {
        Self {
            names: Arc::new(names),
            binary_as_string: false,
        }
    }

    /// Whether all columns are, and with them what else a footer says.
    pub(super) fn is_all(&self) -> bool {
        matches!(*self.names, Names::All)
    }

    /// Whether a column that a file calls so is one of them.
    pub(super) fn takes(&self, own: &str) -> bool {
        match &*self.names {
            Names::All => true,
            Names::Exact(names) => names.contains(own),
            Names::AnyCase(names) => names.contains(&own.to_lowercase()),
        }
    }
}
